package debezium

import (
	"errors"
	"fmt"

	"github.com/sluice-cdc/sluice/schema"
)

// fillKey appends the key columns from the payload of a record's key.
func (d *Decoder) fillKey(sh *shape, run *schema.Rows, key payload) (col int, err error) {
	p := key.plan
	switch {
	case key.data == nil:
		return -1, noKey(sh.table)
	case key.bare():
		return d.fillBareKey(sh, run, key)
	case p != nil && p.avro != nil:
		return d.fillAvroKey(sh, run, key)
	case p != nil && p.proto != nil:
		return d.fillProtobufKey(sh, run, key)
	}
	n := run.Len()
	s := scanner{b: key.data}
	more, err := s.open()
	if err != nil {
		return -1, fmt.Errorf("key: %w", err)
	}
	for hint := 0; more; hint++ {
		name, err := s.name(&d.name)
		if err != nil {
			return -1, fmt.Errorf("key: %w", err)
		}
		isID := key.document && string(name) == "id"
		if isID {
			name = append(d.name[:0], documentID...)
			d.name = name
		}
		k := sh.findKey(name, hint)
		switch {
		case k < 0 && isID:
			return -1, notDocuments(sh.table)
		case k < 0:
			return -1, newInKey(string(name))
		}
		v := &run.Values[k]
		if v.Len() != n {
			return k, errors.New("twice in the key")
		}
		c, declared := sh.declared[k]
		if isID {
			c, declared = codec{wire: wireDocumentKey, key: true}, false
		} else if p != nil {
			if at := p.find(name, hint); at >= 0 {
				c, declared = p.fields[at].codec, true
			}
		}
		if declared {
			if c, err = sh.keyCodec(run, k, c); err != nil {
				return k, err
			}
		}
		if err := d.appendColumn(&s, sh, run, k, &c); err != nil {
			return k, err
		}
		if more, err = s.next(); err != nil {
			return -1, fmt.Errorf("key: %w", err)
		}
	}
	if err := s.end(); err != nil {
		return -1, fmt.Errorf("key: %w", err)
	}
	return -1, nil
}

// keyCodec returns how key column k is read under a schema, after giving the column
// its type or holding it against the one it has.
func (sh *shape) keyCodec(run *schema.Rows, k int, c codec) (codec, error) {
	c = c.asKey()
	v := &run.Values[k]
	if sh.rules[k].Action == Hash {
		return c, nil
	}
	if v.Kind == schema.Unknown {
		v.Become(c.kind)
		sh.cols[k].Type = c.typ()
		run.Columns[k].Type = sh.cols[k].Type
	} else if v.Kind != c.kind && c.wire != wireRefused {
		return c, &fault{fmt.Sprintf("the type of a key column changed from %v to %v", v.Kind, c.kind),
			"drop the target table and load it anew, with the group's offset moved to where that begins; then restart"}
	}
	return c, nil
}

// findKey returns the column of a key member, where hint is its place in the key.
func (sh *shape) findKey(name []byte, hint int) int {
	if hint < len(sh.keys) && string(name) == sh.sources[sh.keys[hint]] {
		return sh.keys[hint]
	}
	for _, k := range sh.keys {
		if string(name) == sh.sources[k] {
			return k
		}
	}
	return -1
}
