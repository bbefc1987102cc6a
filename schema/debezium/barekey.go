package debezium

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// A transform such as ExtractField$Key leaves of a record's key one value without a
// name. The tables file names its column, which must be one; where the row has that
// column too, it must agree, or the key is of something else and what it deletes is
// another row.

// BareKeys says how keys are written that are one value without a name.
type BareKeys uint8

const (
	BareAuto    BareKeys = iota // as other keys: JSON or Avro
	BareText                    // the value's text, as StringConverter writes it
	BareLong                    // eight bytes, as LongConverter writes them
	BareIgnored                 // not asked: key columns that are configured are read from the rows
)

// bareForm is how a bare key at hand is read.
type bareForm uint8

const (
	notBare bareForm = iota
	bareJSON
	bareAvro
	bareText
	bareLong
)

var (
	plainKey = &plan{bare: bareJSON, fields: []field{{codec: codec{wire: wireInferred}}}}
	textKey  = &plan{bare: bareText}
	longKey  = &plan{bare: bareLong}
)

// bare reports whether a key is one value without a name.
func (p payload) bare() bool { return p.plan != nil && p.plan.bare != notBare }

// openBare returns a key that is not in the format of the others.
func (d *Decoder) openBare(raw []byte) (payload, bool) {
	switch {
	case d.opt.BareKeys == BareText && raw[0] != '{' && !frame.Framed(raw):
		return payload{plan: textKey, data: raw}, true
	case d.opt.BareKeys == BareLong && len(raw) == 8:
		return payload{plan: longKey, data: raw}, true
	}
	return payload{}, false
}

// byKey reports whether a row of the table is known by its record's key.
func (d *Decoder) byKey(sh *shape, key payload) bool {
	return !sh.fromRow || key.bare() && len(sh.keys) == 1 && d.opt.BareKeys != BareIgnored
}

// fillBareKey appends the key column from a bare key.
func (d *Decoder) fillBareKey(sh *shape, run *schema.Rows, key payload) (col int, err error) {
	k := sh.keys[0]
	v := &run.Values[k]
	switch key.plan.bare {
	case bareText:
		return k, d.appendKeyText(sh, run, k, key.data)
	case bareLong:
		if sh.rules[k].Action == Hash {
			d.text = strconv.AppendInt(d.text[:0], int64(binary.BigEndian.Uint64(key.data)), 10)
			return k, d.appendKeyText(sh, run, k, d.text)
		}
		if _, err := sh.keyCodec(run, k, codec{wire: wireInt, kind: schema.Integer, bits: 64}); err != nil {
			return k, err
		}
		v.AppendNum(int64(binary.BigEndian.Uint64(key.data)))
		return k, nil
	case bareAvro:
		f := &key.plan.fields[0]
		c, err := sh.keyCodec(run, k, f.codec)
		if err != nil {
			return k, err
		}
		r := avro.Reader{Data: key.data}
		if err = d.appendAvroColumn(&r, sh, run, k, &c, &f.avro); err == nil && r.Left() > 0 {
			err = errAvro
		}
		return k, err
	}
	c := key.plan.fields[0].codec
	declared := c.wire != wireInferred
	if !declared {
		if of, ok := sh.declared[k]; ok {
			c, declared = of, true
		}
	}
	if declared {
		if c, err = sh.keyCodec(run, k, c); err != nil {
			return k, err
		}
	}
	s := scanner{b: key.data}
	if err = d.appendColumn(&s, sh, run, k, &c); err == nil {
		err = s.end()
	}
	return k, err
}

// appendKeyText appends a key of raw text. It is STRING unless the tables file gives
// INTEGER: what a row's schema says comes too late for a tombstone that is first.
func (d *Decoder) appendKeyText(sh *shape, run *schema.Rows, k int, text []byte) error {
	given := schema.Unknown
	if d.opt.Types != nil {
		given = d.opt.Types(sh.table, sh.sources[k])
	}
	v := &run.Values[k]
	if sh.rules[k].Action == Hash {
		return d.hash(v, &codec{wire: wireString, kind: schema.String}, func(c *codec) error { return d.appendText(&d.plain, text, c) })
	}
	if given == schema.Integer {
		n, ok := parseInt(text)
		if !ok {
			return fmt.Errorf("a key that is no %v", given)
		}
		v.AppendNum(n)
		return nil
	}
	if v.Kind != schema.String && v.Kind != schema.Unknown {
		return &fault{fmt.Sprintf("the key is text and the rows have it as %v", v.Kind),
			fmt.Sprintf("give it under tables.%s.types in the tables file and restart", sh.table)}
	}
	if v.Kind == schema.Unknown {
		v.Become(schema.String)
		run.Columns[k].Type = schema.Type{Kind: schema.String, Inferred: true}
		d.typed(sh, run, k, true)
	}
	return d.appendText(v, text, &keyText)
}

// keyed reports whether the row being filled has the column of its bare key already.
func (sh *shape) keyed(run *schema.Rows) bool {
	return sh.fromRow && len(sh.keys) == 1 && run.Values[sh.keys[0]].Len() > run.Len()
}

// readTwin reads the value that the row itself has in the column.
func (d *Decoder) readTwin(s *scanner, sh *shape, run *schema.Rows, col int, c *codec) error {
	d.twin.Reset(run.Values[col].Kind)
	if r := sh.rules[col]; r.Action == Hash {
		return d.appendRuled(s, &d.twin, r, c)
	}
	d.twinCol = run.Columns[col]
	return d.appendValue(s, &d.twin, &d.twinCol, c)
}

// readAvroTwin does the same for Avro.
func (d *Decoder) readAvroTwin(rd *avro.Reader, sh *shape, run *schema.Rows, col int, c *codec, f *avroField) error {
	d.twin.Reset(run.Values[col].Kind)
	if r := sh.rules[col]; r.Action == Hash {
		return d.appendRuledAvro(rd, &d.twin, r, c, f)
	}
	return d.appendAvro(rd, &d.twin, c, f)
}

// sameKey holds the twin, or the error of reading it, against the record's key.
func (d *Decoder) sameKey(sh *shape, run *schema.Rows, col int, err error) error {
	if err == nil && d.twin.States[0] == schema.Present {
		own := schema.AppendKey(d.raw[:0], &d.twin, 0)
		d.raw = schema.AppendKey(own, &run.Values[col], run.Len())
		if bytes.Equal(own, d.raw[len(own):]) {
			return nil
		}
	}
	return &fault{"the record's key is not the value that the row has in the key column",
		fmt.Sprintf("name the column that the keys are of under tables.%[1]s.keys, and its type under tables.%[1]s.types, in the tables file; "+
			"or set SLUICE_BARE_KEYS=ignore where they are of something else; then restart", sh.table)}
}

// bareKey is the error of a bare key whose column nothing names.
func bareKey(table string) error {
	return &fault{"key: a single value without a name", fmt.Sprintf("name the table's key column under tables.%s.keys in the tables file and restart", table)}
}
