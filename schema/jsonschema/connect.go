// Package jsonschema reads the JSON Schemas that Kafka Connect's converters register.
// They say in keywords of their own, connect.type and others, what Connect's schema was
// (Confluent, JsonSchemaConverter).
package jsonschema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// node is a node of a Connect schema as JsonConverter spells it.
type node struct {
	Type       string            `json:"type"`
	Optional   bool              `json:"optional"`
	Name       string            `json:"name,omitempty"`
	Version    json.Number       `json:"version,omitempty"`
	Field      string            `json:"field,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Default    json.RawMessage   `json:"default,omitempty"`
	Fields     []*node           `json:"fields,omitempty"`
	Items      *node             `json:"items,omitempty"`
	Keys       *node             `json:"keys,omitempty"`
	Values     *node             `json:"values,omitempty"`
}

// own is about how many bytes a node has by itself.
func (n *node) own() int {
	size := len(n.Type) + len(n.Name) + len(n.Default)
	for k, v := range n.Parameters {
		size += len(k) + len(v)
	}
	return size
}

const (
	maxSteps = 64       // from one $ref to the next
	maxSize  = 10 << 20 // of the schema that is made, about
)

// Connect returns the Connect schema that a JSON Schema was made of, in the form in which
// JsonConverter sends schemas. references are the schemas that $ref may name. What Connect
// has no type for gets a type that nobody knows, so that a column of it is refused and
// the others are read. Where a type holds itself, the inner one has no fields.
func Connect(text string, references map[string]string) ([]byte, error) {
	r := reader{references: references, documents: map[string]any{}, open: map[uintptr]bool{}}
	root, err := parse(text)
	if err != nil {
		return nil, err
	}
	n, err := r.read(at{root, root})
	if err != nil {
		return nil, fmt.Errorf("JSON schema: %w", err)
	}
	return json.Marshal(n)
}

func parse(text string) (v any, err error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // parameters keep their digits
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("JSON schema: %w", err)
	}
	return v, nil
}

// at is a place in a document.
type at struct{ document, value any }

type reader struct {
	references map[string]string
	documents  map[string]any   // those that were parsed
	open       map[uintptr]bool // the types that the one at hand is inside of
	size       int              // of the schema so far
}

// read makes the node of a schema.
func (r *reader) read(s at) (*node, error) {
	if r.size += 100; r.size > maxSize {
		return nil, errors.New("too many types in it") // by $ref, one may be there many times
	}
	optional := false
	for range maxSteps {
		m, _ := s.value.(map[string]any)
		branches, null := alternatives(m)
		r.size += 16 * len(branches)
		optional = optional || null
		switch ref, isRef := m["$ref"].(string); {
		case isRef:
			var err error
			if s, err = r.resolve(s, ref); err != nil {
				return nil, err
			}
			continue
		case len(branches) == 1:
			s.value = branches[0]
			continue
		case len(branches) > 1:
			return &node{Type: fmt.Sprintf("one of %d types", len(branches)), Optional: optional}, nil
		}
		n := &node{Type: typeOf(m, &optional), Name: str(m["title"]), Default: written(m["default"]), Parameters: parameters(m["connect.parameters"])}
		n.Optional = optional
		n.Version, _ = m["connect.version"].(json.Number)
		r.size += n.own()
		return n, r.inside(n, s.document, m)
	}
	return nil, errors.New("a $ref that leads nowhere")
}

// inside reads the types that a type is made of.
func (r *reader) inside(n *node, document any, m map[string]any) (err error) {
	id := reflect.ValueOf(m).Pointer()
	if r.open[id] {
		return nil
	}
	r.open[id] = true
	defer delete(r.open, id)
	child := func(v any) (c *node) {
		if err == nil {
			c, err = r.read(at{document, v})
		}
		return c
	}
	switch n.Type {
	case "struct":
		properties, _ := m["properties"].(map[string]any)
		names := slices.SortedFunc(maps.Keys(properties), func(a, b string) int {
			return cmp.Or(cmp.Compare(indexOf(properties[a]), indexOf(properties[b])), strings.Compare(a, b))
		})
		for _, name := range names {
			if c := child(properties[name]); c != nil {
				c.Field = name
				r.size += len(name)
				n.Fields = append(n.Fields, c)
			}
		}
	case "array":
		n.Items = child(m["items"])
	case "map":
		if items, ok := m["items"].(map[string]any); ok { // of pairs, where keys are no strings
			pair, _ := items["properties"].(map[string]any)
			n.Keys, n.Values = child(pair["key"]), child(pair["value"])
			return err
		}
		n.Keys, n.Values = &node{Type: "string"}, child(m["additionalProperties"])
	}
	return err
}

// alternatives returns the branches of a combined schema but null, and whether null is
// one.
func alternatives(m map[string]any) (branches []any, null bool) {
	for _, keyword := range []string{"oneOf", "anyOf", "allOf"} {
		list, _ := m[keyword].([]any)
		for _, b := range list {
			if one, _ := b.(map[string]any); one["type"] == "null" {
				null = true
			} else {
				branches = append(branches, b)
			}
		}
	}
	return branches, null
}

// connectTypes are the types that a JSON type stands for where connect.type does not tell.
var connectTypes = map[string]string{"integer": "int64", "number": "double", "boolean": "boolean", "string": "string", "object": "struct", "array": "array"}

func typeOf(m map[string]any, optional *bool) string {
	switch t := str(m["connect.type"]); t {
	case "":
	case "float32":
		return "float"
	case "float64":
		return "double"
	default:
		return t
	}
	name := str(m["type"])
	if list, ok := m["type"].([]any); ok {
		var others []string
		for _, t := range list {
			if t == "null" {
				*optional = true
			} else {
				others = append(others, str(t))
			}
		}
		name = strings.Join(others, " or ")
	}
	_, values := m["additionalProperties"].(map[string]any)
	switch t := connectTypes[name]; {
	case name == "object" && values && m["properties"] == nil:
		return "map"
	case t != "":
		return t
	case name == "" && m["enum"] != nil:
		return "string"
	case name == "":
		return "anything"
	}
	return name
}

// written is a default as JSON, nil where there is none.
func written(v any) json.RawMessage {
	if v == nil {
		return nil
	}
	text, _ := json.Marshal(v) // as it was read
	return text
}

func parameters(v any) map[string]string {
	m, _ := v.(map[string]any)
	if len(m) == 0 {
		return nil
	}
	p := map[string]string{}
	for k, v := range m {
		p[k] = fmt.Sprint(v)
	}
	return p
}

// indexOf is a property's place in the struct; those without one come last.
func indexOf(v any) int64 {
	m, _ := v.(map[string]any)
	n, _ := m["connect.index"].(json.Number)
	if i, err := n.Int64(); err == nil {
		return i
	}
	return 1 << 62
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

// resolve finds what a $ref names: a place in this document, or in one of the references,
// which are known by the name that they have there.
func (r *reader) resolve(s at, ref string) (at, error) {
	name, pointer, _ := strings.Cut(ref, "#")
	if name != "" {
		document, known := r.documents[name]
		text, given := r.references[name]
		if !known && !given {
			return s, fmt.Errorf("$ref %.200q names none of the schema's references", ref)
		}
		if !known {
			var err error
			if document, err = parse(text); err != nil {
				return s, fmt.Errorf("%s: %w", name, err)
			}
			r.documents[name] = document
		}
		s.document = document
	}
	v := s.document
	if pointer != "" && !strings.HasPrefix(pointer, "/") {
		return s, fmt.Errorf("$ref %.200q, an anchor, is not supported", ref)
	}
	for step := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		m, _ := v.(map[string]any)
		next, ok := m[unescape(step)]
		if !ok {
			return s, fmt.Errorf("$ref %.200q names nothing", ref)
		}
		v = next
	}
	return at{s.document, v}, nil
}

// unescape reads a step of a JSON pointer (RFC 6901).
func unescape(step string) string {
	return strings.ReplaceAll(strings.ReplaceAll(step, "~1", "/"), "~0", "~")
}

// Is tells a JSON Schema from what else is written as a JSON object, for registries that
// do not say what a text is.
func Is(text []byte) bool {
	var m map[string]json.RawMessage
	if json.Unmarshal(text, &m) != nil {
		return false
	}
	for _, keyword := range []string{"$schema", "$ref", "oneOf", "anyOf", "properties", "connect.type"} {
		if m[keyword] != nil {
			return true
		}
	}
	t := string(bytes.TrimSpace(m["type"]))
	return t == `"object"` || t == `"integer"` || t == `"number"`
}
