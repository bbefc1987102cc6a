package avro

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
)

// AppendJSON appends the binary encoding of a value that is in Avro's JSON encoding
// (specification, "JSON Encoding"), in which the branch of a union is named and bytes
// are characters up to U+00FF. It is as strict as the specification: all fields must be
// there, and no others.
func AppendJSON(dst []byte, t *Type, text []byte) ([]byte, error) {
	dst, err := appendJSON(dst, t, text, 0)
	if err != nil {
		return nil, fmt.Errorf("JSON of Avro: %w", err)
	}
	return dst, nil
}

func appendJSON(dst []byte, t *Type, text json.RawMessage, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	switch t.Kind {
	case Null:
		var v *struct{}
		if err := json.Unmarshal(text, &v); err != nil || v != nil {
			return nil, mismatch(t)
		}
		return dst, nil
	case Boolean:
		v, err := value[bool](t, text)
		if v {
			return append(dst, 1), err
		}
		return append(dst, 0), err
	case Int:
		v, err := value[int32](t, text)
		return binary.AppendVarint(dst, int64(v)), err
	case Long:
		v, err := value[int64](t, text)
		return binary.AppendVarint(dst, v), err
	case Float:
		v, err := value[float32](t, text)
		return binary.LittleEndian.AppendUint32(dst, math.Float32bits(v)), err
	case Double:
		v, err := value[float64](t, text)
		return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v)), err
	case String:
		v, err := value[string](t, text)
		return append(binary.AppendVarint(dst, int64(len(v))), v...), err
	case Enum:
		v, err := value[string](t, text)
		i := slices.Index(t.Symbols, v)
		if i < 0 {
			return nil, mismatch(t)
		}
		return binary.AppendVarint(dst, int64(i)), err
	case Bytes, Fixed:
		v, err := value[string](t, text)
		if err != nil {
			return nil, err
		}
		raw := make([]byte, 0, len(v))
		for _, c := range v {
			if c > 0xff {
				return nil, mismatch(t)
			}
			raw = append(raw, byte(c))
		}
		if t.Kind == Fixed {
			if len(raw) != t.Size {
				return nil, mismatch(t)
			}
			return append(dst, raw...), nil
		}
		return append(binary.AppendVarint(dst, int64(len(raw))), raw...), nil
	case Array:
		items, err := value[[]json.RawMessage](t, text)
		if err != nil || len(items) == 0 {
			return append(dst, 0), err
		}
		dst = binary.AppendVarint(dst, int64(len(items)))
		for _, item := range items {
			if dst, err = appendJSON(dst, t.Items, item, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, 0), nil
	}
	if t.Kind == Union && string(text) == "null" {
		i := slices.IndexFunc(t.Union, func(b *Type) bool { return b.Kind == Null })
		if i < 0 {
			return nil, mismatch(t)
		}
		return binary.AppendVarint(dst, int64(i)), nil
	}
	members, err := value[map[string]json.RawMessage](t, text)
	if err != nil {
		return nil, err
	}
	switch {
	case t.Kind == Union && len(members) == 1:
		for name, member := range members {
			i := slices.IndexFunc(t.Union, func(b *Type) bool { return b.branchName() == name })
			if i < 0 {
				return nil, mismatch(t)
			}
			return appendJSON(binary.AppendVarint(dst, int64(i)), t.Union[i], member, depth+1)
		}
	case t.Kind == Map:
		if len(members) > 0 {
			dst = binary.AppendVarint(dst, int64(len(members)))
		}
		for name, member := range members {
			dst = append(binary.AppendVarint(dst, int64(len(name))), name...)
			if dst, err = appendJSON(dst, t.Items, member, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, 0), nil
	case t.Kind == Record && len(members) == len(t.Fields):
		for _, f := range t.Fields {
			if dst, err = appendJSON(dst, f.Type, members[f.Name], depth+1); err != nil {
				return nil, fmt.Errorf("%s: %w", f.Name, err)
			}
		}
		return dst, nil
	}
	return nil, mismatch(t)
}

// value reads a JSON value as what the type is in Go. JSON's null is none of them.
func value[V any](t *Type, text json.RawMessage) (v V, err error) {
	var p *V
	if err := json.Unmarshal(text, &p); err != nil || p == nil {
		return v, mismatch(t)
	}
	return *p, nil
}

func mismatch(t *Type) error { return fmt.Errorf("a value that is no %s", t.branchName()) }

// branchName is how a union names a branch.
func (t *Type) branchName() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Kind.String()
}
