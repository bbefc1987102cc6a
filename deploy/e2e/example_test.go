//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// TestExample runs what deploy/compose.yaml has with these servers in the place of its
// own: the tables, the rights, the connector's settings and Sluice's. The example for
// Kubernetes has the same ones (TestKubernetesExample of cmd/sluice).
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var compose struct {
		Services map[string]struct{ Environment map[string]string }
		Configs  map[string]struct{ Content string }
	}
	if err := yaml.Unmarshal(text, &compose); err != nil {
		t.Fatal(err)
	}
	sql(t, "postgres", "create database example;")
	inExample := func(statements string) string { return sql(t, "postgres", "\\connect example\n"+statements) }
	inExample(compose.Configs["shop.sql"].Content)

	var connector map[string]string
	if err := json.Unmarshal([]byte(compose.Configs["connector.json"].Content), &connector); err != nil {
		t.Fatal(err)
	}
	connector["name"], connector["database.hostname"], connector["database.port"], connector["database.dbname"] = "example", "127.0.0.1", "15432", "example"
	for _, p := range validate(t, connector) {
		t.Error(p)
	}
	connector["database.dbnam"] = "example" // what is not known is seen
	if p := validate(t, connector); len(p) != 1 || !strings.Contains(p[0], "database.dbnam") {
		t.Errorf("a setting that there is not: %v", p)
	}
	delete(connector, "database.dbnam")
	connect(t, "connectors/example/config", connector, nil)
	t.Cleanup(func() { stack(t, "disconnect", "example") })

	p := newPipeline(t, "postgres", "jsonschema", "example")
	env := maps.Clone(compose.Services["sluice"].Environment)
	for _, name := range []string{"SLUICE_KAFKA_BROKERS", "SLUICE_CELONIS_URL", "SLUICE_HTTP_ADDR"} {
		env[name] = p.env[name]
	}
	p.env = env
	p.start()
	for range 120 {
		inExample(compose.Configs["customers.sql"].Content)
	}
	for table, columns := range map[string][]string{"customers": {"id", "name", "note"}, "orders": {"id", "customer", "state"}} {
		want := strings.Fields(inExample(fmt.Sprintf("select concat_ws('|', %s) from %s order by id;", strings.Join(columns, ","), table)))
		if len(want) < 3 {
			t.Fatalf("%s: %d rows", table, len(want))
		}
		var got []string
		eventually(t, fmt.Sprintf("%d rows of %s are in the target", len(want), table), 2*time.Minute, func() bool {
			got = nil
			s := p.emu.Snapshot("public_" + table)
			if s == nil {
				return false
			}
			for _, row := range s.Rows {
				var cells []string
				for _, name := range columns {
					for i, c := range s.Columns {
						if c.Name == name && row[i] != nil {
							cells = append(cells, cellText(row[i]))
						}
					}
				}
				got = append(got, strings.Join(cells, "|"))
			}
			slices.Sort(got)
			slices.Sort(want)
			return slices.Equal(got, want)
		})
	}
}

// validate has Connect say what is wrong with a connector's settings, those included
// that nothing there knows.
func validate(t *testing.T, connector map[string]string) (problems []string) {
	t.Helper()
	var answer struct {
		Configs []struct {
			Value struct {
				Name   string
				Errors []string
			}
		}
	}
	class := connector["connector.class"][strings.LastIndex(connector["connector.class"], ".")+1:]
	connect(t, "connector-plugins/"+class+"/config/validate", connector, &answer)
	known := map[string]bool{}
	for _, c := range answer.Configs {
		known[c.Value.Name] = true
		for _, e := range c.Value.Errors {
			problems = append(problems, c.Value.Name+": "+e)
		}
	}
	for name := range connector {
		// The worker's own are not the connector's to know, and this one Debezium reads
		// without having it among its definitions for PostgreSQL.
		if !known[name] && !strings.HasPrefix(name, "topic.creation.default.") && name != "event.converting.failure.handling.mode" {
			problems = append(problems, name+": not known")
		}
	}
	return problems
}

// connect puts JSON to Kafka Connect.
func connect(t *testing.T, path string, body, answer any) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://127.0.0.1:18083/"+path, bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("PUT %s: %s %v\n%s", path, resp.Status, err, said)
	}
	if answer != nil {
		if err := json.Unmarshal(said, answer); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
}
