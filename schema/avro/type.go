// Package avro reads Apache Avro's binary encoding
// (https://avro.apache.org/docs/1.12.0/specification/) under the schema that it
// was written with: Parse makes a Type of a schema, Reader walks over bytes.
// Nothing is turned into maps or boxed values; what a value means is for the
// caller, who finds Kafka Connect's notes in Type.Connect.
package avro

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/linkedin/goavro/v2"
)

// Kind is one of Avro's types.
type Kind uint8

const (
	Null Kind = iota
	Boolean
	Int
	Long
	Float
	Double
	Bytes
	String
	Record
	Enum
	Array
	Map
	Union
	Fixed
)

var kindNames = [...]string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "record", "enum", "array", "map", "union", "fixed"}

func (k Kind) String() string { return kindNames[k] }

// Type is a parsed schema. It is never changed and may be used concurrently. A
// recursive schema makes a cyclic Type.
type Type struct {
	Kind    Kind
	Name    string   // full name of a record, enum or fixed
	Fields  []Field  // of a record
	Union   []*Type  // the branches
	Items   *Type    // of an array; the values of a map
	Symbols []string // of an enum
	Size    int      // of a fixed, in bytes

	Logical          string // logicalType, "" if none
	Precision, Scale int    // of logicalType decimal
	HasScale         bool   // a scale is noted
	Connect          Connect

	// empty values take no bytes: null, and records of nothing else.
	empty bool
}

// Field is a field of a record.
type Field struct {
	Name string
	Type *Type
}

// Connect is what Kafka Connect's Avro converters note on a type about the Connect
// schema that it was made from.
type Connect struct {
	Type       string // connect.type, such as int8
	Name       string // connect.name, such as io.debezium.time.Date
	Internal   string // connect.internal.type: MapEntry where a record is an entry of a map
	Parameters map[string]string
}

// Parse parses a schema and validates it by goavro. references are the schemas
// whose names it uses, each after those that it uses itself.
func Parse(text string, references ...string) (*Type, error) {
	p := parser{names: map[string]*Type{}}
	var all []any // references and schema as fields of one record: they share their names
	var t *Type
	for _, one := range append(references, text) {
		var v any
		if err := json.Unmarshal([]byte(one), &v); err != nil {
			// A schema may be the bare name of a type.
			if v = strings.TrimSpace(one); v == "" {
				return nil, fmt.Errorf("avro schema: %w", err)
			}
		}
		var err error
		if t, err = p.parse(v, ""); err != nil {
			return nil, fmt.Errorf("avro schema: %w", err)
		}
		all = append(all, map[string]any{"name": fmt.Sprintf("f%d", len(all)), "type": v})
	}
	structure, err := json.Marshal(bare(map[string]any{"type": "record", "name": "sluice_all_schemas", "fields": all}))
	if err != nil {
		return nil, fmt.Errorf("avro schema: %w", err)
	}
	if _, err := goavro.NewCodec(string(structure)); err != nil {
		return nil, fmt.Errorf("avro schema: %w", err)
	}
	return t, nil
}

// bare copies a schema without what does not bear on how bytes are read: defaults
// and logical types, which writers get wrong and readers are told to ignore then, and
// the letters of names. Java writes names that the specification does not allow, such
// as my-app.public.straße.
func bare(v any) any {
	switch v := v.(type) {
	case string: // a type by its name
		if _, ok := primitives[v]; ok || slices.Contains(complexTypes, v) {
			return v
		}
		return plainName(v)
	case []any:
		c := make([]any, len(v))
		for i := range v {
			c[i] = bare(v[i])
		}
		return c
	case map[string]any:
		c := map[string]any{}
		for k, x := range v {
			switch k {
			case "type", "items", "values", "fields":
				c[k] = bare(x)
			case "name", "namespace":
				c[k] = plainName(text(x))
			case "symbols":
				symbols, _ := x.([]any)
				all := make([]any, len(symbols))
				for i := range symbols {
					all[i] = plainName(text(symbols[i]))
				}
				c[k] = all
			case "size":
				c[k] = x
			}
		}
		return c
	}
	return v
}

var complexTypes = []string{"record", "error", "enum", "fixed", "array", "map"}

// plainName writes a name with the letters that the specification allows. Different
// names stay different, unless one is spelt like the other's escapes; then the schema is
// refused.
func plainName(name string) string {
	var b strings.Builder
	first := true // of a component
	for _, c := range name {
		letter := c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		switch {
		case c == '.', letter, !first && c >= '0' && c <= '9':
			b.WriteRune(c)
		default:
			fmt.Fprintf(&b, "_x%04X_", c)
		}
		first = c == '.'
	}
	return b.String()
}

type parser struct {
	names map[string]*Type
	depth int // of the schema at hand in others
}

var primitives = map[string]Kind{"null": Null, "boolean": Boolean, "int": Int, "long": Long, "float": Float, "double": Double, "bytes": Bytes, "string": String}

// parse makes the type of a schema's JSON form in an enclosing namespace.
func (p *parser) parse(v any, namespace string) (*Type, error) {
	// No value would be read under a deeper one; and goavro copies what is inside at each level.
	if p.depth++; p.depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	defer func() { p.depth-- }()
	switch v := v.(type) {
	case string:
		if k, ok := primitives[v]; ok {
			return &Type{Kind: k, empty: k == Null}, nil
		}
		if t := p.names[fullName(v, namespace)]; t != nil {
			return t, nil
		}
		if t := p.names[v]; t != nil {
			return t, nil
		}
		return nil, fmt.Errorf("unknown type %.80q", v)
	case []any:
		t := &Type{Kind: Union}
		for _, b := range v {
			branch, err := p.parse(b, namespace)
			if err != nil {
				return nil, err
			}
			t.Union = append(t.Union, branch)
		}
		return t, nil
	case map[string]any:
		return p.complex(v, namespace)
	}
	return nil, errors.New("want a name, an object or an array")
}

func (p *parser) complex(m map[string]any, namespace string) (*Type, error) {
	name, ok := m["type"].(string)
	if !ok { // {"type": {…}} or {"type": […]}
		return p.parse(m["type"], namespace)
	}
	t := &Type{Logical: text(m["logicalType"]), Precision: number(m["precision"]), Scale: number(m["scale"]), Connect: connectOf(m)}
	t.HasScale = t.Logical == "decimal" || m["scale"] != nil
	var err error
	switch name {
	case "record", "error":
		t.Kind = Record
	case "enum":
		t.Kind = Enum
	case "fixed":
		size, ok := m["size"].(float64)
		if !ok || size < 1 || size > math.MaxInt32 || size != math.Trunc(size) {
			return nil, fmt.Errorf("%.80q: a fixed of size %v", text(m["name"]), m["size"])
		}
		t.Kind, t.Size = Fixed, int(size)
	case "array":
		t.Kind = Array
		t.Items, err = p.parse(m["items"], namespace)
		return t, err
	case "map":
		t.Kind = Map
		t.Items, err = p.parse(m["values"], namespace)
		return t, err
	default:
		k, primitive := primitives[name]
		if !primitive {
			return p.parse(name, namespace)
		}
		t.Kind, t.empty = k, k == Null
		return t, nil
	}
	if ns, ok := m["namespace"].(string); ok {
		namespace = ns
	}
	t.Name = fullName(text(m["name"]), namespace)
	if at := strings.LastIndexByte(t.Name, '.'); at >= 0 {
		namespace = t.Name[:at]
	}
	if t.Name == "" || p.names[t.Name] != nil {
		return nil, fmt.Errorf("a %s with the name %.80q, which is empty or taken", name, t.Name)
	}
	p.names[t.Name] = t // before its fields, which may be of it
	switch t.Kind {
	case Enum:
		symbols, _ := m["symbols"].([]any)
		for _, s := range symbols {
			t.Symbols = append(t.Symbols, text(s))
		}
	case Record:
		fields, _ := m["fields"].([]any)
		for _, f := range fields {
			fm, ok := f.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("%s: a field that is no object", t.Name)
			}
			ft, err := p.parse(fm["type"], namespace)
			if err != nil {
				return nil, fmt.Errorf("%s.%s: %w", t.Name, text(fm["name"]), err)
			}
			t.Fields = append(t.Fields, Field{Name: text(fm["name"]), Type: ft})
		}
		t.empty = !slices.ContainsFunc(t.Fields, func(f Field) bool { return !f.Type.empty })
	}
	return t, nil
}

func fullName(name, namespace string) string {
	if namespace == "" || strings.Contains(name, ".") {
		return name
	}
	return namespace + "." + name
}

func connectOf(m map[string]any) Connect {
	c := Connect{Type: text(m["connect.type"]), Name: text(m["connect.name"]), Internal: text(m["connect.internal.type"])}
	if params, ok := m["connect.parameters"].(map[string]any); ok {
		c.Parameters = map[string]string{}
		for k, v := range params {
			c.Parameters[k] = fmt.Sprint(v)
		}
	}
	return c
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// number reads a whole number of a modest size, 0 if it is none.
func number(v any) int {
	if f, ok := v.(float64); ok && math.Abs(f) < 1e6 {
		return int(f)
	}
	return 0
}
