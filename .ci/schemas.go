//go:build ignore

// Schemas writes JSON schemas for kubeconform that refuse unknown fields: go run
// .ci/schemas.go OUT FILE..., each file an OpenAPI document of Kubernetes (swagger.json)
// or a custom resource definition.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

type object = map[string]any

func main() {
	for _, path := range os.Args[2:] {
		text, err := os.ReadFile(path)
		if err != nil {
			log.Fatal(err)
		}
		write := kubernetes
		if strings.HasSuffix(path, ".yaml") {
			write = custom
		}
		if err := write(os.Args[1], text); err != nil {
			log.Fatalf("%s: %v", path, err)
		}
	}
}

func kubernetes(out string, text []byte) error {
	var document struct{ Definitions map[string]object }
	if err := json.Unmarshal(text, &document); err != nil {
		return err
	}
	for name, d := range document.Definitions {
		closed(d)
		if strings.HasSuffix(name, ".api.resource.Quantity") {
			d["type"] = []string{"string", "number"}
		}
		kinds, _ := d["x-kubernetes-group-version-kind"].([]any)
		for _, k := range kinds {
			k := k.(object)
			ref := object{"$ref": "_definitions.json#/definitions/" + name}
			if err := save(out, fileName(k["kind"], k["group"], k["version"]), ref); err != nil {
				return err
			}
		}
	}
	return save(out, "_definitions.json", object{"definitions": document.Definitions})
}

func custom(out string, text []byte) error {
	var document struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema object `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		return err
	}
	for _, v := range document.Spec.Versions {
		closed(v.Schema.OpenAPIV3Schema)
		if err := save(out, fileName(document.Spec.Names.Kind, document.Spec.Group, v.Name), v.Schema.OpenAPIV3Schema); err != nil {
			return err
		}
	}
	return nil
}

// closed has every object with properties refuse others.
func closed(v any) {
	switch v := v.(type) {
	case object:
		if v["properties"] != nil && v["additionalProperties"] == nil && v["x-kubernetes-preserve-unknown-fields"] != true {
			v["additionalProperties"] = false
		}
		if v["format"] == "int-or-string" || v["x-kubernetes-int-or-string"] == true {
			delete(v, "format")
			v["type"] = []string{"integer", "string"}
		}
		for _, member := range v {
			closed(member)
		}
	case []any:
		for _, member := range v {
			closed(member)
		}
	}
}

// fileName is what kubeconform looks for by {{ .ResourceKind }}{{ .KindSuffix }}.
func fileName(kind, group, version any) string {
	parts := []string{fmt.Sprint(kind)}
	if g, _, _ := strings.Cut(fmt.Sprint(group), "."); g != "" {
		parts = append(parts, g)
	}
	return strings.ToLower(strings.Join(append(parts, fmt.Sprint(version)), "-")) + ".json"
}

func save(out, name string, schema object) error {
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, name), text, 0o644)
}
