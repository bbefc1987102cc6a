package avro

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendJSON appends the binary encoding of a value that is in Avro's JSON encoding
// (specification, "JSON Encoding"), in which the branch of a union is named and bytes
// are characters up to U+00FF. It is as strict as the specification: all fields must be
// there, once, and no others; and text must be Unicode, which encoding/json would mend.
func AppendJSON(dst []byte, t *Type, text []byte) ([]byte, error) {
	if !json.Valid(text) || !utf8.Valid(text) {
		return nil, errors.New("JSON of Avro: no JSON in UTF-8")
	}
	if halfEscaped(text) {
		return nil, errors.New("JSON of Avro: half a surrogate pair")
	}
	r := jsonReader{json.NewDecoder(bytes.NewReader(text))}
	r.UseNumber()
	dst, err := r.append(dst, t, 0)
	if err != nil {
		return nil, fmt.Errorf("JSON of Avro: %w", err)
	}
	return dst, nil
}

// halfEscaped reports whether valid JSON escapes a half of a surrogate pair alone.
func halfEscaped(text []byte) bool {
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return false
		}
		if text = text[i:]; text[1] != 'u' {
			text = text[2:]
			continue
		}
		c := escaped(text)
		if text = text[6:]; !utf16.IsSurrogate(c) {
			continue
		}
		if !bytes.HasPrefix(text, []byte(`\u`)) || utf16.DecodeRune(c, escaped(text)) == utf8.RuneError {
			return true
		}
		text = text[6:]
	}
}

// escaped is the character of an escape by four digits, which the text begins with.
func escaped(text []byte) rune {
	c, _ := strconv.ParseUint(string(text[2:6]), 16, 16) // valid JSON has four digits
	return rune(c)
}

// jsonReader reads a text once, token by token, however deep it is nested.
type jsonReader struct{ *json.Decoder }

func (r jsonReader) append(dst []byte, t *Type, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, errors.New("nested too deeply")
	}
	token, err := r.Token()
	if err != nil {
		return nil, err
	}
	switch v := token.(type) {
	case nil:
		if t.Kind == Union {
			if i := slices.IndexFunc(t.Union, func(b *Type) bool { return b.Kind == Null }); i >= 0 {
				return binary.AppendVarint(dst, int64(i)), nil
			}
		}
		if t.Kind == Null {
			return dst, nil
		}
	case bool:
		switch {
		case t.Kind == Boolean && v:
			return append(dst, 1), nil
		case t.Kind == Boolean:
			return append(dst, 0), nil
		}
	case json.Number:
		return appendNumber(dst, t, v.String())
	case string:
		return appendText(dst, t, v)
	case json.Delim:
		switch {
		case v == '[' && t.Kind == Array:
			return r.items(dst, t, depth, nil)
		case v == '{' && t.Kind == Map:
			return r.items(dst, t, depth, map[string]bool{})
		case v == '{' && t.Kind == Record:
			return r.record(dst, t, depth)
		case v == '{' && t.Kind == Union:
			return r.branch(dst, t, depth)
		}
	}
	return nil, mismatch(t)
}

// items reads an array, or a map if there is a set for the names, as one block.
func (r jsonReader) items(dst []byte, t *Type, depth int, names map[string]bool) (_ []byte, err error) {
	start, n := len(dst), int64(0)
	for ; r.More(); n++ {
		if names != nil {
			name, err := r.name()
			if err != nil {
				return nil, err
			}
			if names[name] {
				return nil, errTwice
			}
			names[name] = true
			dst = append(binary.AppendVarint(dst, int64(len(name))), name...)
		}
		if dst, err = r.append(dst, t.Items, depth+1); err != nil {
			return nil, err
		}
	}
	if n > 0 {
		dst = slices.Insert(dst, start, binary.AppendVarint(nil, n)...)
	}
	_, err = r.Token()
	return append(dst, 0), err
}

// record reads the fields in the order of the text and puts them in that of the schema.
func (r jsonReader) record(dst []byte, t *Type, depth int) (_ []byte, err error) {
	start, ordered, n := len(dst), true, 0
	spans := make([][2]int, len(t.Fields)) // of the fields in dst
	seen := make([]bool, len(t.Fields))
	for ; r.More(); n++ {
		name, err := r.name()
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(t.Fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return nil, mismatch(t)
		}
		if seen[i] {
			return nil, fmt.Errorf("%s: %w", t.Fields[i].Name, errTwice)
		}
		at := len(dst)
		if dst, err = r.append(dst, t.Fields[i].Type, depth+1); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Fields[i].Name, err)
		}
		seen[i], spans[i], ordered = true, [2]int{at, len(dst)}, ordered && i == n
	}
	if n != len(t.Fields) {
		return nil, mismatch(t)
	}
	if !ordered {
		read := slices.Clone(dst[start:])
		dst = dst[:start]
		for _, s := range spans {
			dst = append(dst, read[s[0]-start:s[1]-start]...)
		}
	}
	_, err = r.Token()
	return dst, err
}

// branch reads the one member of a union's object.
func (r jsonReader) branch(dst []byte, t *Type, depth int) ([]byte, error) {
	if !r.More() {
		return nil, mismatch(t)
	}
	name, err := r.name()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(t.Union, func(b *Type) bool { return b.branchName() == name })
	if i < 0 {
		return nil, mismatch(t)
	}
	if dst, err = r.append(binary.AppendVarint(dst, int64(i)), t.Union[i], depth+1); err != nil {
		return nil, err
	}
	if r.More() {
		return nil, mismatch(t)
	}
	_, err = r.Token()
	return dst, err
}

// name reads the name of a member.
func (r jsonReader) name() (string, error) {
	token, err := r.Token()
	name, _ := token.(string)
	return name, err
}

func appendNumber(dst []byte, t *Type, text string) ([]byte, error) {
	switch t.Kind {
	case Int:
		if v, err := strconv.ParseInt(text, 10, 32); err == nil {
			return binary.AppendVarint(dst, v), nil
		}
	case Long:
		if v, err := strconv.ParseInt(text, 10, 64); err == nil {
			return binary.AppendVarint(dst, v), nil
		}
	case Float:
		if v, err := strconv.ParseFloat(text, 32); err == nil {
			return binary.LittleEndian.AppendUint32(dst, math.Float32bits(float32(v))), nil
		}
	case Double:
		if v, err := strconv.ParseFloat(text, 64); err == nil {
			return binary.LittleEndian.AppendUint64(dst, math.Float64bits(v)), nil
		}
	}
	return nil, mismatch(t)
}

func appendText(dst []byte, t *Type, text string) ([]byte, error) {
	switch t.Kind {
	case String:
		return append(binary.AppendVarint(dst, int64(len(text))), text...), nil
	case Enum:
		if i := slices.Index(t.Symbols, text); i >= 0 {
			return binary.AppendVarint(dst, int64(i)), nil
		}
	case Bytes, Fixed:
		n := utf8.RuneCountInString(text)
		if t.Kind == Bytes {
			dst = binary.AppendVarint(dst, int64(n))
		} else if n != t.Size {
			return nil, mismatch(t)
		}
		for _, c := range text {
			if c > 0xff {
				return nil, mismatch(t)
			}
			dst = append(dst, byte(c))
		}
		return dst, nil
	}
	return nil, mismatch(t)
}

// errTwice names no member: of a map, the name is data.
var errTwice = errors.New("a member that is there twice")

func mismatch(t *Type) error { return fmt.Errorf("a value that is no %s", t.branchName()) }

// branchName is how a union names a branch.
func (t *Type) branchName() string {
	if t.Name != "" {
		return t.Name
	}
	return t.Kind.String()
}
