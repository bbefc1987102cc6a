package main

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sluice-cdc/sluice/"

// TestLayout keeps the top level as it is: a newcomer reads the folders in the
// order of the work.
func TestLayout(t *testing.T) {
	allowed := []string{"cmd", "connector", "batcher", "schema", "push", "deploy", "helm", "go.mod", "go.sum", "README.md"}
	entries, err := os.ReadDir("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

// TestImports keeps the arrows between packages: what each may import of ours.
// Tests may import more.
func TestImports(t *testing.T) {
	allowed := map[string][]string{
		"schema":                        {},
		"schema/avro":                   {},
		"schema/jsonschema":             {},
		"schema/protobuf":               {},
		"schema/frame":                  {"schema/avro", "schema/protobuf"},
		"schema/schematest":             {},
		"schema/debezium":               {"schema", "schema/avro", "schema/frame", "schema/protobuf"},
		"batcher":                       {"schema"},
		"push":                          {"schema"},
		"push/celonis":                  {"schema", "push"},
		"push/feldera":                  {"schema", "batcher", "push"},
		"push/emulator/script":          {},
		"push/emulator/pipeline":        {"push/emulator/script"},
		"push/emulator":                 {"push/emulator/script"},
		"push/pushtest":                 {"schema", "push"},
		"connector/instrument":          {},
		"connector/kafka":               {"connector/instrument"},
		"connector/intent":              {},
		"connector/registry":            {"schema/avro", "schema/frame", "schema/jsonschema", "schema/protobuf"},
		"connector":                     {"schema", "schema/debezium", "schema/frame", "batcher", "push", "connector/instrument", "connector/intent", "connector/kafka", "connector/registry"},
		"connector/admin":               {"connector"},
		"cmd/sluice/internal/config":    {"schema", "schema/debezium", "batcher", "push/celonis", "push/feldera"},
		"cmd/sluice/internal/check":     {"push", "push/celonis", "push/feldera", "connector/kafka", "connector/registry", "cmd/sluice/internal/config"},
		"cmd/sluice/internal/telemetry": {"cmd/sluice/internal/config"},
		"cmd/sluice/internal/otlptest":  {},
		"cmd/sluice":                    {"schema", "schema/debezium", "schema/frame", "batcher", "push", "push/celonis", "push/feldera", "push/emulator", "push/emulator/pipeline", "connector", "connector/instrument", "connector/kafka", "connector/registry", "connector/admin", "cmd/sluice/internal/check", "cmd/sluice/internal/config", "cmd/sluice/internal/telemetry"},
		"helm":                          {},
		"deploy/e2e":                    {}, // tests only
	}
	out, err := exec.Command("go", "list", "-f", `{{.ImportPath}}{{range .Imports}} {{.}}{{end}}`, module+"...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		fields := strings.Fields(line)
		pkg := strings.TrimPrefix(fields[0], module)
		may, known := allowed[pkg]
		if !known {
			t.Errorf("package %s has no place in the layout: give it one in this test", pkg)
			continue
		}
		for _, imp := range fields[1:] {
			ours, ok := strings.CutPrefix(imp, module)
			if ok && !slices.Contains(may, ours) {
				t.Errorf("%s imports %s", pkg, ours)
			}
			// The fake broker is for tests and the demo.
			if strings.HasSuffix(imp, "/kfake") && pkg != "cmd/sluice" {
				t.Errorf("%s imports the fake broker", pkg)
			}
		}
	}
}

// TestFormat: gofmt has nothing to say.
func TestFormat(t *testing.T) {
	out, err := exec.Command("gofmt", "-l", "../..").CombinedOutput()
	if err != nil {
		t.Skip("no gofmt on this machine")
	}
	if len(out) > 0 {
		t.Errorf("not formatted:\n%s", out)
	}
}
