// Package helm has no code of its own: its tests make values.schema.json and the table
// in the README of the chart from values.yaml and the program's settings, and fail where
// they are stale.
package helm

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

var update = flag.Bool("update", false, "write what is made from values.yaml")

// value is an entry of values.yaml with the comment above it: "# -- " begins what it
// is for, "# @schema " a YAML map that adds to the schema of its default.
type value struct {
	key     string
	path    string // the keys from the top, with dots
	purpose string
	initial any
	schema  map[string]any
	nested  []value // of a map whose members are entries themselves
}

// typed says that the annotation has a type, so that the default implies nothing.
func (v value) typed() bool { return v.schema["type"] != nil }

func readValues(t *testing.T) []value {
	t.Helper()
	text, err := os.ReadFile("sluice/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return entries(t, strings.Split(string(text), "\n"), "", file.Docs[0].Body)
}

func entries(t *testing.T, lines []string, prefix string, n ast.Node) (all []value) {
	t.Helper()
	for _, pair := range n.(*ast.MappingNode).Values {
		key := pair.Key.GetToken()
		v := value{key: key.Value, path: prefix + key.Value}
		if err := yaml.NodeToValue(pair.Value, &v.initial); err != nil {
			t.Fatal(err)
		}
		first := key.Position.Line - 1
		for first > 0 && strings.HasPrefix(strings.TrimSpace(lines[first-1]), "#") {
			first--
		}
		annotated := false
		for _, line := range lines[first : key.Position.Line-1] {
			line = strings.TrimPrefix(strings.TrimSpace(line), "#")
			if text, ok := strings.CutPrefix(line, " @schema "); ok {
				annotated = true
				if err := yaml.Unmarshal([]byte(text), &v.schema); err != nil {
					t.Fatalf("values.yaml: %s: @schema: %v", v.path, err)
				}
			} else if text, ok := strings.CutPrefix(line, " -- "); ok {
				v.purpose = text
			} else if v.purpose != "" && !annotated {
				v.purpose += line
			}
		}
		if m, ok := pair.Value.(*ast.MappingNode); ok && len(m.Values) > 0 && !v.typed() {
			v.nested = entries(t, lines, v.path+".", m)
		}
		all = append(all, v)
	}
	return all
}

// schemaOf is the JSON schema of a map with these entries and no others.
func schemaOf(t *testing.T, all []value) map[string]any {
	t.Helper()
	properties := map[string]any{}
	for _, v := range all {
		one := map[string]any{}
		if v.nested != nil {
			one = schemaOf(t, v.nested)
		} else if !v.typed() {
			switch v.initial.(type) {
			case string:
				one["type"] = "string"
			case bool:
				one["type"] = "boolean"
			case uint64, int64:
				one["type"] = "integer"
			case float64:
				one["type"] = "number"
			case []any:
				one["type"] = "array"
			case map[string]any:
				one["type"] = "object"
			default:
				t.Errorf("values.yaml: %s has no default whose type can be told; give it one by @schema", v.path)
			}
		}
		for k, s := range v.schema {
			one[k] = s
		}
		if v.purpose != "" {
			one["description"] = v.purpose
		}
		properties[v.key] = one
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

func marshal(t *testing.T, v any, indent string) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func table(t *testing.T, all []value) string {
	t.Helper()
	var b strings.Builder
	for _, v := range all {
		if v.nested != nil {
			b.WriteString(table(t, v.nested))
			continue
		}
		initial := strings.TrimSpace(marshal(t, v.initial, ""))
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", v.path, strings.ReplaceAll(initial, "|", `\|`), strings.ReplaceAll(v.purpose, "|", `\|`))
	}
	return b.String()
}

// same compares a file with what it should be, or writes it.
func same(t *testing.T, path, want string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s is not what values.yaml makes it (%v): run go test ./helm -update", path, err)
	}
}

func TestSchema(t *testing.T) {
	all := expand(t, schemaOf(t, readValues(t))).(map[string]any)
	all["$schema"] = "http://json-schema.org/draft-07/schema#"
	same(t, "sluice/values.schema.json", marshal(t, all, "  "))
}

func TestReadme(t *testing.T) {
	const begin, end = "<!-- made from values.yaml: go test ./helm -update -->\n", "<!-- end -->\n"
	text, err := os.ReadFile("sluice/README.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("README.md has no %q and %q", begin, end)
	}
	same(t, "sluice/README.md", before+begin+"| value | default | what it is for |\n| --- | --- | --- |\n"+table(t, readValues(t))+end+after)
}

// TestPurpose: whoever reads the table learns what each value is for.
func TestPurpose(t *testing.T) {
	var look func(all []value)
	look = func(all []value) {
		for _, v := range all {
			if v.nested != nil {
				look(v.nested)
			} else if v.purpose == "" {
				t.Errorf("values.yaml: %s has no comment that begins with # --", v.path)
			}
		}
	}
	look(readValues(t))
}

// TestUsed: no value does nothing; <name> is a placeholder in a file, whose alerts have values by name. The condition of a parent chart is read by Helm.
func TestUsed(t *testing.T) {
	var templates strings.Builder
	for _, pattern := range []string{"templates/*.*", "templates/tests/*.*", "files/*.*"} {
		paths, err := filepath.Glob("sluice/" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			templates.Write(text)
		}
	}
	var look func(all []value)
	look = func(all []value) {
		for _, v := range all {
			if v.nested != nil {
				look(v.nested)
			} else if v.path != "enabled" && !regexp.MustCompile(`(?:[."<]|alert: )`+regexp.QuoteMeta(v.key)+`\b`).MatchString(templates.String()) {
				t.Errorf("values.yaml: no template reads %s", v.path)
			}
		}
	}
	look(readValues(t))
}

// TestImages: what Chart.yaml tells Artifact Hub of the image is the one that the chart takes, and
// chart and image say the same of what they do.
func TestImages(t *testing.T) {
	var chart struct {
		Description string
		AppVersion  string `yaml:"appVersion"`
		Annotations map[string]string
	}
	text, err := os.ReadFile("sluice/Chart.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	var images []struct{ Image string }
	if err := yaml.Unmarshal([]byte(chart.Annotations["artifacthub.io/images"]), &images); err != nil {
		t.Fatal(err)
	}
	var values struct {
		Image struct{ Registry, Repository string }
	}
	if text, err = os.ReadFile("sluice/values.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	if want := values.Image.Registry + "/" + values.Image.Repository + ":" + chart.AppVersion; len(images) != 1 || images[0].Image != want {
		t.Errorf("artifacthub.io/images has %v, want %s", images, want)
	}
	if text, err = os.ReadFile("../deploy/Dockerfile"); err != nil || !strings.Contains(string(text), `image.description="`+chart.Description+`"`) {
		t.Errorf("the image's description is not the chart's: %s (%v)", chart.Description, err)
	}
}
