package main

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

// TestChartSecrets: the Helm chart takes each secret for one, refusing it in env and
// making a file of it under secrets, and no other setting; it takes all others in env, and
// under secrets each.
func TestChartSecrets(t *testing.T) {
	var reference bytes.Buffer
	if err := config.Reference(&reference); err != nil {
		t.Fatal(err)
	}
	var schema struct {
		Properties struct {
			Env struct {
				Properties        map[string]struct{ Const string }
				PatternProperties map[string]struct{ Const string }
			}
			Secrets struct{ PatternProperties map[string]any }
		}
	}
	text, err := os.ReadFile("../../helm/sluice/values.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	refused := func(name string) bool {
		for pattern, p := range schema.Properties.Env.PatternProperties {
			if p.Const != "" && regexp.MustCompile(pattern).MatchString(name) {
				return true
			}
		}
		return false
	}
	taken := func(name string) (env, secret bool) {
		for pattern, p := range schema.Properties.Env.PatternProperties {
			env = env || p.Const == "" && regexp.MustCompile(pattern).MatchString(name)
		}
		for pattern := range schema.Properties.Secrets.PatternProperties {
			secret = secret || regexp.MustCompile(pattern).MatchString(name)
		}
		return env, secret
	}
	templates, err := os.ReadFile("../../helm/sluice/templates/_settings.tpl")
	if err != nil {
		t.Fatal(err)
	}
	file := regexp.MustCompile(regexp.MustCompile(`regexMatch "(\^SLUICE[^"]*)"`).FindStringSubmatch(string(templates))[1])

	secrets, settings := 0, map[string]bool{}
	for line := range strings.Lines(reference.String()) {
		name, _, _ := strings.Cut(line, " ")
		if !strings.HasPrefix(name, config.Prefix) || name == config.Prefix+"TABLES_FILE" && settings[name] {
			continue
		}
		settings[name] = true
		secret := strings.Contains(line, name+"_FILE, a file")
		if secret {
			secrets++
		}
		if refused(name) != secret || file.MatchString(name) != secret {
			t.Errorf("%s: secret is %v; the chart refuses it in env: %v, makes a file of it: %v", name, secret, refused(name), file.MatchString(name))
		}
		if inEnv, inSecrets := taken(name); inEnv == secret || !inSecrets {
			t.Errorf("%s: secret is %v; the chart takes it in env: %v, under secrets: %v", name, secret, inEnv, inSecrets)
		}
	}
	for _, name := range []string{config.Prefix + "KAFKA_TOPIC", config.Prefix + "CELONIS_APIKEY"} {
		if env, secret := taken(name); env || secret {
			t.Errorf("%s is no setting, and taken: in env %v, under secrets %v", name, env, secret)
		}
	}
	if secrets == 0 {
		t.Error("the reference tells of no secret")
	}
	for name := range schema.Properties.Env.Properties {
		if strings.HasPrefix(name, config.Prefix) && !settings[name] {
			t.Errorf("the chart refuses %s in env, which is no setting", name)
		}
	}
}
