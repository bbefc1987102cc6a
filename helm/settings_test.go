package helm

import (
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/goccy/go-yaml"
)

// settings are what `sluice config` tells.
type settings struct {
	names   []string // of variables that are no secrets; a secret's with _FILE among them
	secrets []string
	table   map[string]any // an example of each setting of a table
}

var readSettings = sync.OnceValues(func() (s settings, err error) {
	out, err := exec.Command("go", "run", "../cmd/sluice", "config").Output()
	if err != nil {
		return s, err
	}
	reference, rest, _ := strings.Cut(string(out), "\n\n")
	for line := range strings.Lines(reference) {
		name, rest, _ := strings.Cut(line, " ")
		switch {
		case !strings.HasPrefix(name, "SLUICE_"):
		case strings.Contains(rest, name+"_FILE, a file"):
			s.secrets = append(s.secrets, name)
			s.names = append(s.names, name+"_FILE")
		default:
			s.names = append(s.names, name)
		}
	}
	_, example, _ := strings.Cut(rest, "\ntables:\n")
	example, _, _ = strings.Cut(example, "\n\n")
	var tables map[string]map[string]any
	if err := yaml.Unmarshal([]byte(example), &tables); err != nil {
		return s, err
	}
	for _, s.table = range tables {
	}
	return s, nil
})

// expand puts the program's settings into a schema where the comments of values.yaml leave
// them open: <settings> and <secrets> in a pattern, and <table> for those of a table.
func expand(t *testing.T, schema any) any {
	t.Helper()
	known, err := readSettings()
	if err != nil || len(known.names) < 100 || len(known.secrets) < 5 || len(known.table) < 20 {
		t.Fatalf("sluice config tells of %d settings, %d secrets and %d settings of a table: %v", len(known.names), len(known.secrets), len(known.table), err)
	}
	patterns := strings.NewReplacer("<settings>", alternatives(known.names), "<secrets>", alternatives(known.secrets))
	switch v := schema.(type) {
	case map[string]any:
		expanded := map[string]any{}
		for key, one := range v {
			expanded[patterns.Replace(key)] = expand(t, one)
		}
		return expanded
	case []any:
		for i, one := range v {
			v[i] = expand(t, one)
		}
	case string:
		if v == "<table>" {
			return tableSchema(known.table)
		}
		return patterns.Replace(v)
	}
	return schema
}

func alternatives(names []string) string {
	return "SLUICE_(" + strings.ReplaceAll(strings.Join(names, "|"), "SLUICE_", "") + ")"
}

var size = regexp.MustCompile(`^[0-9]+[KMG]iB$`)

// tableSchema takes each setting for what its example is.
func tableSchema(example map[string]any) map[string]any {
	properties := map[string]any{}
	for name, value := range example {
		one := map[string]any{}
		switch value := value.(type) {
		case bool:
			one["type"] = "boolean"
		case uint64:
			one["type"], one["minimum"] = "integer", 0
		case []any:
			one["type"], one["items"] = "array", map[string]any{"type": "string"}
		case map[string]any:
			one["type"], one["additionalProperties"] = "object", map[string]any{"type": []string{"string", "null"}}
		case string:
			if one["type"] = "string"; size.MatchString(value) {
				one["type"] = []string{"string", "integer"}
			}
		}
		properties[name] = one
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}
