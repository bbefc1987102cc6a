package debezium

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// Arrays, maps and structs become JSON text in one form, so that equal values have equal
// texts whatever they were written in: members in the schema's order, names of a map
// sorted, no space between tokens, decimals as numbers with all their digits, dates and
// times in ISO 8601. What has no number in JSON is in quotes, as JsonConverter has it.

// appendNested reads an array, map or struct of JSON into a column.
func (d *Decoder) appendNested(s *scanner, v *schema.Values, c *codec) (err error) {
	if c.wire == wireParts {
		if s.peek() != '{' {
			lit, quoted, err := d.literal(s)
			if err == nil {
				err = mismatch(lit, quoted, c)
			}
			return err
		}
		if err = d.readParts(s, c); err == nil {
			err = d.appendMade(v, c)
		}
		return c.named(err)
	}
	if d.json, err = d.nestJSON(d.json[:0], s, c); err != nil {
		return c.named(err)
	}
	return d.appendJSON(v, c)
}

// appendJSON appends the JSON that a nested value became.
func (d *Decoder) appendJSON(v *schema.Values, c *codec) error {
	if d.isUnavailable(c, d.json) {
		return errUnavailable
	}
	return c.named(d.appendText(v, d.json, c))
}

// nestJSON appends the canonical form of the value at the cursor.
func (d *Decoder) nestJSON(dst []byte, s *scanner, c *codec) ([]byte, error) {
	open := s.peek()
	switch {
	case open == 'n':
		lit, err := s.scalar()
		if err == nil && !isNull(lit) {
			err = mismatch(lit, false, c)
		}
		return append(dst, "null"...), err
	case c.wire == wireStruct && open == '{':
		return d.nestObject(dst, s, c)
	case c.wire == wireArray && open == '[':
		dst = append(dst, '[')
		more, err := s.openList()
		for first := true; more && err == nil; first = false {
			if !first {
				dst = append(dst, ',')
			}
			if dst, err = d.nestJSON(dst, s, &c.of.elem.codec); err == nil {
				more, err = s.nextItem()
			}
		}
		return append(dst, ']'), err
	case c.wire == wireMap && open == '{' && c.of.named:
		var all entries
		more, err := s.open()
		for more && err == nil {
			var name []byte
			if name, err = s.name(&d.name); err != nil {
				break
			}
			all.key(appendJSONText(all.text, name))
			if all.text, err = d.nestJSON(all.text, s, &c.of.elem.codec); err == nil {
				all.value()
				more, err = s.next()
			}
		}
		if err != nil {
			return dst, err
		}
		return all.appendTo(dst, c)
	case c.wire == wireMap && open == '[':
		var all entries
		more, err := s.openList()
		for more && err == nil {
			if all, err = d.nestPair(all, s, c); err == nil {
				more, err = s.nextItem()
			}
		}
		if err != nil {
			return dst, err
		}
		return all.appendTo(dst, c)
	case c.wire == wireStruct || c.wire == wireArray || c.wire == wireMap:
		lit, quoted, err := d.literal(s)
		if err == nil {
			err = mismatch(lit, quoted, c)
		}
		return dst, err
	}
	d.leaf.Reset(c.kind)
	if err := d.appendValue(s, &d.leaf, nil, c); err != nil {
		return dst, err
	}
	return appendLeaf(dst, &d.leaf, c), nil
}

// nestObject appends a struct. JSON may have its members in any order.
func (d *Decoder) nestObject(dst []byte, s *scanner, c *codec) ([]byte, error) {
	members := c.of.members
	values := make([][]byte, len(members))
	more, err := s.open()
	for hint := 0; more && err == nil; hint++ {
		var name []byte
		if name, err = s.name(&d.name); err != nil {
			break
		}
		at := memberAt(members, name, hint)
		if at < 0 || values[at] != nil {
			return dst, fmt.Errorf("member %.80q is not in the schema, or twice in the value", name)
		}
		if values[at], err = s.skip(); err == nil {
			more, err = s.next()
		}
	}
	dst = append(dst, '{')
	for i := range members {
		if err != nil {
			break
		}
		dst = appendName(dst, i, members[i].name)
		if values[i] == nil {
			dst = append(dst, "null"...)
			continue
		}
		dst, err = d.nestJSON(dst, &scanner{b: values[i]}, &members[i].codec)
	}
	return append(dst, '}'), err
}

// memberAt returns the place of a member, where hint is the one expected next, or -1.
func memberAt(members []member, name []byte, hint int) int {
	if hint < len(members) && string(name) == members[hint].name {
		return hint
	}
	return slices.IndexFunc(members, func(m member) bool { return m.name == string(name) })
}

// nestPair reads [key,value].
func (d *Decoder) nestPair(all entries, s *scanner, c *codec) (entries, error) {
	more, err := s.openList()
	if err != nil || !more {
		return all, s.fail("expected a pair of key and value")
	}
	text, err := d.nestJSON(all.text, s, &c.of.key.codec)
	if err != nil {
		return all, err
	}
	all.key(text)
	if more, err = s.nextItem(); err != nil || !more {
		return all, s.fail("expected a pair of key and value")
	}
	if all.text, err = d.nestJSON(all.text, s, &c.of.elem.codec); err != nil {
		return all, err
	}
	all.value()
	if more, err = s.nextItem(); err == nil && more {
		err = s.fail("expected a pair of key and value")
	}
	return all, err
}

// nestAvro appends the canonical form of a value of Avro.
func (d *Decoder) nestAvro(dst []byte, r *avro.Reader, c *codec, f *avroField) (_ []byte, err error) {
	if !f.present(r) {
		return append(dst, "null"...), nil
	}
	switch c.wire {
	case wireStruct:
		dst = append(dst, '{')
		for i := range c.of.members {
			m := &c.of.members[i]
			dst = appendName(dst, i, m.name)
			if dst, err = d.nestAvro(dst, r, &m.codec, &m.avro); err != nil || r.Failed {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case wireArray:
		dst = append(dst, '[')
		from := len(dst)
		err = eachItem(r, func() error {
			if len(dst) > from {
				dst = append(dst, ',')
			}
			dst, err = d.nestAvro(dst, r, &c.of.elem.codec, &c.of.elem.avro)
			return err
		})
		return append(dst, ']'), err
	case wireMap:
		var all entries
		err = eachItem(r, func() error {
			if c.of.entries {
				text, err := d.nestAvro(all.text, r, &c.of.key.codec, &c.of.key.avro)
				if err != nil {
					return err
				}
				all.key(text)
			} else {
				all.key(appendJSONText(all.text, r.Bytes()))
			}
			all.text, err = d.nestAvro(all.text, r, &c.of.elem.codec, &c.of.elem.avro)
			all.value()
			return err
		})
		if err != nil {
			return dst, err
		}
		return all.appendTo(dst, c)
	}
	d.leaf.Reset(c.kind)
	if err := d.appendPresent(r, &d.leaf, c, f); err != nil || r.Failed {
		return dst, err
	}
	return appendLeaf(dst, &d.leaf, c), nil
}

// eachItem walks over the blocks of an array or map.
func eachItem(r *avro.Reader, item func() error) error {
	for {
		n := r.Long()
		if n < 0 { // the block's size in bytes follows
			n = -n
			r.Long()
		}
		if n == 0 || r.Failed {
			return nil
		}
		if n < 0 || n > int64(r.Left()) { // each item takes a byte at the least
			r.Failed = true
			return nil
		}
		for range n {
			if err := item(); err != nil || r.Failed {
				return err
			}
		}
	}
}

// entries are the entries of a map, before they are sorted.
type entries struct {
	text []byte
	ends []int // of each key and value in text
}

func (e *entries) key(text []byte) { e.text, e.ends = text, append(e.ends, len(text)) }
func (e *entries) value()          { e.ends = append(e.ends, len(e.text)) }

// appendTo appends the entries by their keys: numbers ascending, else texts by their bytes.
// A key twice is refused, for readers differ in which of its values they take.
func (e *entries) appendTo(dst []byte, c *codec) ([]byte, error) {
	type entry struct{ key, value []byte }
	all := make([]entry, 0, len(e.ends)/2)
	from := 0
	for i := 0; i+1 < len(e.ends); i += 2 {
		all = append(all, entry{e.text[from:e.ends[i]], e.text[e.ends[i]:e.ends[i+1]]})
		from = e.ends[i+1]
	}
	slices.SortStableFunc(all, func(a, b entry) int {
		x, xOK := parseInt(a.key)
		y, yOK := parseInt(b.key)
		if xOK && yOK {
			return cmp.Compare(x, y)
		}
		return bytes.Compare(a.key, b.key)
	})
	brackets := "[]"
	if c.of.named {
		brackets = "{}"
	}
	dst = append(dst, brackets[0])
	for i := range all {
		if i > 0 {
			if bytes.Equal(all[i].key, all[i-1].key) {
				return dst, errors.New("a key twice in a map")
			}
			dst = append(dst, ',')
		}
		if c.of.named {
			dst = append(append(append(dst, all[i].key...), ':'), all[i].value...)
		} else {
			dst = append(append(append(append(append(dst, '['), all[i].key...), ','), all[i].value...), ']')
		}
	}
	return append(dst, brackets[1]), nil
}

func appendName(dst []byte, i int, name string) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	return append(appendJSONText(dst, []byte(name)), ':')
}

// appendLeaf appends the one value of a column as JSON.
func appendLeaf(dst []byte, v *schema.Values, c *codec) []byte {
	switch {
	case v.States[0] != schema.Present:
		return append(dst, "null"...)
	case v.Kind == schema.Integer:
		return strconv.AppendInt(dst, v.Nums[0], 10)
	case v.Kind == schema.Boolean:
		return strconv.AppendBool(dst, v.Nums[0] != 0)
	case v.Kind == schema.Float:
		switch f := v.Float(0); {
		case math.IsNaN(f):
			return append(dst, `"NaN"`...)
		case math.IsInf(f, 1):
			return append(dst, `"Infinity"`...)
		case math.IsInf(f, -1):
			return append(dst, `"-Infinity"`...)
		default:
			return schema.AppendFloatText(dst, f)
		}
	case c.isDecimal():
		return append(dst, v.Bytes(0)...)
	}
	return appendJSONText(dst, v.Bytes(0))
}

// appendJSONText appends UTF-8 as a JSON string, escaping only what must be.
func appendJSONText(dst, text []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
