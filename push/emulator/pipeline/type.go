package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// columnType is a type as GET /v0/pipelines/{name} describes it.
type columnType struct {
	Type      string      `json:"type"`
	Nullable  bool        `json:"nullable"`
	Precision *int        `json:"precision,omitempty"`
	Scale     *int        `json:"scale,omitempty"`
	Component *columnType `json:"component,omitempty"` // of an ARRAY
	Key       *columnType `json:"key,omitempty"`       // of a MAP
	Value     *columnType `json:"value,omitempty"`
	Fields    []field     `json:"fields,omitempty"` // of a STRUCT, which SQL calls ROW
}

var (
	typed   = regexp.MustCompile(`(?is)^\s*(TIMESTAMP WITH TIME ZONE|DOUBLE PRECISION|[A-Z]+(?:\s+UNSIGNED)?)\s*(?:\(\s*(\d+)\s*(?:,\s*(\d+)\s*)?\))?(.*)$`)
	arrayOf = regexp.MustCompile(`(?is)^\s*ARRAY\b(.*)$`)
)

// names are the types under the names that the API gives them.
var names = map[string]string{"INT": "INTEGER", "STRING": "VARCHAR", "TEXT": "VARCHAR", "BOOL": "BOOLEAN", "NUMERIC": "DECIMAL", "DOUBLE PRECISION": "DOUBLE",
	"FLOAT": "DOUBLE", "BYTEA": "VARBINARY", "TIMESTAMP WITH TIME ZONE": "TIMESTAMP_TZ", "ROW": "STRUCT",
	"TINYINT UNSIGNED": "UTINYINT", "SMALLINT UNSIGNED": "USMALLINT", "INTEGER UNSIGNED": "UINTEGER", "INT UNSIGNED": "UINTEGER", "BIGINT UNSIGNED": "UBIGINT"}

// parseType reads the type that a text begins with.
func parseType(s string) (t columnType, rest string, err error) {
	m := typed.FindStringSubmatch(s)
	if m == nil {
		return t, "", fmt.Errorf("%q is not a type", s)
	}
	t.Type, t.Nullable, rest = strings.ToUpper(strings.Join(strings.Fields(m[1]), " ")), true, m[4]
	if name := names[t.Type]; name != "" {
		t.Type = name
	}
	for i, to := range []**int{&t.Precision, &t.Scale} {
		if n, err := strconv.Atoi(m[2+i]); err == nil {
			*to = &n
		}
	}
	if t.Type == "MAP" || t.Type == "STRUCT" {
		var parts []string
		if parts, rest, err = enclosed(rest); err != nil {
			return t, "", fmt.Errorf("%s: %w", t.Type, err)
		}
		if err := t.of(parts); err != nil {
			return t, "", err
		}
	}
	for m := arrayOf.FindStringSubmatch(rest); m != nil; m = arrayOf.FindStringSubmatch(rest) {
		component := t
		t, rest = columnType{Type: "ARRAY", Nullable: true, Component: &component}, m[1]
	}
	return t, rest, nil
}

// of reads what a MAP or a STRUCT is made of.
func (t *columnType) of(parts []string) error {
	if t.Type == "STRUCT" {
		for _, part := range parts {
			f, _, err := parseField(part)
			if err != nil {
				return err
			}
			t.Fields = append(t.Fields, f)
		}
		return nil
	}
	if len(parts) != 2 {
		return fmt.Errorf("MAP of %d types", len(parts))
	}
	for i, to := range []**columnType{&t.Key, &t.Value} {
		inner, _, err := parseType(parts[i])
		if err != nil {
			return err
		}
		*to = &inner
	}
	t.Key.Nullable = false
	return nil
}

// enclosed cuts what stands in the brackets that a text begins with at its commas.
func enclosed(s string) (parts []string, rest string, err error) {
	s = strings.TrimSpace(s)
	depth := 0
	for i, r := range s {
		switch r {
		case '(', '<':
			depth++
		case ')', '>':
			depth--
		}
		if depth == 0 {
			if i == 0 {
				break
			}
			return columns(s[1:i]), s[i+1:], nil
		}
	}
	return nil, "", fmt.Errorf("brackets are wanted at %q", s)
}

// composite reads a value that is made of others; it is the JSON of these.
func composite(t *columnType, raw json.RawMessage) (any, error) {
	wrong := fmt.Errorf("invalid %s", t.Type)
	var list []json.RawMessage
	var members map[string]json.RawMessage
	if json.Unmarshal(raw, &list) != nil && json.Unmarshal(raw, &members) != nil {
		return nil, wrong
	}
	out := map[string]any{}
	var err error
	switch {
	case t.Type == "ARRAY" && list != nil:
		elements := make([]any, len(list))
		for i, v := range list {
			if elements[i], err = inner(t.Component, v); err != nil {
				return nil, fmt.Errorf("ARRAY: %w", err)
			}
		}
		return written(elements)
	case t.Type == "MAP" && members != nil:
		for k, v := range members {
			if out[k], err = inner(t.Value, v); err != nil {
				return nil, fmt.Errorf("MAP: %w", err)
			}
		}
		return written(out)
	case t.Type == "STRUCT":
		r := relation{Fields: t.Fields}
		given, err := r.given(raw)
		if err != nil {
			return nil, err
		}
		for i := range t.Fields {
			f := &t.Fields[i]
			v, ok := given[f.Name]
			if !ok {
				v = json.RawMessage("null")
			}
			if out[f.Name], err = inner(&f.Type, v); err != nil {
				return nil, fmt.Errorf("ROW: field %s: %w", f.Name, err)
			}
		}
		return written(out)
	}
	return nil, wrong
}

// inner reads a value within another.
func inner(t *columnType, raw json.RawMessage) (any, error) {
	v, err := value(t, raw)
	switch t.Type {
	case "VARIANT", "ARRAY", "MAP", "STRUCT":
		if s, ok := v.(string); ok {
			return json.RawMessage(s), err
		}
	}
	return v, err
}

// written is the JSON of a value, with no character escaped that need not be.
func written(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSpace(b.String()), err
}
