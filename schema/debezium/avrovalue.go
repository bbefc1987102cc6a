package debezium

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// fillAvroKey appends the key columns from a record's key.
func (d *Decoder) fillAvroKey(sh *shape, run *schema.Rows, key payload) (col int, err error) {
	n := run.Len()
	r := avro.Reader{Data: key.data}
	for i := range key.plan.fields {
		f := &key.plan.fields[i]
		if key.document && f.name == "id" && f.codec.wire == wireString {
			if err := d.fillAvroID(sh, run, &r, f); err != nil {
				return sh.keys[0], err
			}
			continue
		}
		k := -1
		if i < len(sh.keys) && sh.sources[sh.keys[i]] == f.name {
			k = sh.keys[i]
		} else if k = sh.findKey([]byte(f.name), i); k < 0 {
			return -1, newInKey(f.name)
		}
		v := &run.Values[k]
		if v.Len() != n {
			return k, errors.New("twice in the key")
		}
		c, err := sh.keyCodec(run, k, f.codec)
		if err == nil {
			err = d.appendAvroColumn(&r, sh, run, k, &c, &f.avro)
		}
		if err != nil {
			return k, err
		}
	}
	if r.Failed || r.Left() > 0 {
		return -1, fmt.Errorf("key: %w", errAvro)
	}
	return -1, nil
}

// fillAvroID appends the key column from the id of a document.
func (d *Decoder) fillAvroID(sh *shape, run *schema.Rows, r *avro.Reader, f *field) error {
	k := sh.findKey([]byte(documentID), 0)
	if k < 0 {
		return notDocuments(sh.table)
	}
	var text []byte
	if f.avro.present(r) {
		text = r.Bytes()
	}
	if len(text) == 0 {
		return errors.New("a key column without a value")
	}
	v := &run.Values[k]
	if sh.rules[k].Action == Hash {
		return d.hash(v, &codec{wire: wireDocumentKey}, func(*codec) error { return d.appendID(&d.plain, &d.plainColumn, text) })
	}
	untyped := v.Kind == schema.Unknown
	err := d.appendID(v, &run.Columns[k], text)
	d.typed(sh, run, k, untyped)
	return err
}

// fillAvroImage appends the columns of a row image; of a deleted row only the key.
func (d *Decoder) fillAvroImage(sh *shape, run *schema.Rows, op schema.Op, image payload) (col int, err error) {
	n := run.Len()
	keyed := sh.keyed(run)
	r := avro.Reader{Data: image.data}
	for i := range image.plan.fields {
		f := &image.plan.fields[i]
		if f.col < 0 || (op == schema.Delete && !sh.isKey(f.col)) {
			present := f.avro.present(&r)
			if present {
				r.Skip(f.avro.value)
			}
			if present && f.codec.wire == wireDropped && f.col == -1 && op == schema.Upsert {
				d.Lost.Values++
			}
			continue
		}
		v := &run.Values[f.col]
		if keyed && sh.isKey(f.col) {
			c := f.codec.asKey()
			if err := d.sameKey(sh, run, f.col, d.readAvroTwin(&r, sh, run, f.col, &c, &f.avro)); err != nil {
				return f.col, err
			}
			continue
		}
		if v.Len() != n {
			return f.col, errors.New("twice in the row")
		}
		c := &f.codec
		if sh.fromRow && sh.isKey(f.col) {
			key := c.asKey()
			c = &key
		}
		if err := d.appendAvroColumn(&r, sh, run, f.col, c, &f.avro); err != nil {
			return f.col, err
		}
	}
	if r.Failed || r.Left() > 0 {
		return -1, errAvro
	}
	return -1, nil
}

// appendAvroColumn reads a field's value into a column of the run.
func (d *Decoder) appendAvroColumn(r *avro.Reader, sh *shape, run *schema.Rows, col int, c *codec, f *avroField) error {
	v := &run.Values[col]
	if rule := sh.rules[col]; rule.Action >= Hash {
		return d.absence(d.appendRuledAvro(r, v, rule, c, f), run, v)
	}
	return d.absence(d.appendAvro(r, v, c, f), run, v)
}

// appendAvro reads a field's value into v under codec c. Where the bytes are wrong
// the reader says so in the end.
func (d *Decoder) appendAvro(r *avro.Reader, v *schema.Values, c *codec, f *avroField) error {
	if c.wire == wireRefused {
		return c.refusal()
	}
	if !f.present(r) {
		v.AppendNull()
		return nil
	}
	err := d.appendPresent(r, v, c, f)
	if r.Failed {
		return errAvro
	}
	return err
}

// appendPresent reads a value that is not null.
func (d *Decoder) appendPresent(r *avro.Reader, v *schema.Values, c *codec, f *avroField) (err error) {
	switch c.wire {
	case wireString, wireInstant, wireISODate, wireISOTime, wireISOLocal:
		text := []byte(nil)
		if f.value.Kind == avro.Enum {
			text = append(d.text[:0], f.value.Symbols[r.Index(len(f.value.Symbols))]...)
			d.text = text
		} else {
			text = r.Bytes()
		}
		err = d.appendQuoted(v, text, c)
	case wireBool:
		n := int64(0)
		if r.Boolean() {
			n = 1
		}
		v.AppendNum(n)
	case wireFloat:
		x := 0.0
		if f.value.Kind == avro.Float {
			// The shortest text of a float is what JSON has, and what people mean by it.
			d.text = strconv.AppendFloat(d.text[:0], float64(r.Float()), 'g', -1, 32)
			x, err = strconv.ParseFloat(string(d.text), 64)
		} else {
			x = r.Double()
		}
		if err == nil {
			err = d.appendFloat(v, x, c)
		}
	case wireBytes, wireBits, wireDecimal:
		raw := []byte(nil)
		if f.value.Kind == avro.Fixed {
			raw = r.Fixed(f.value.Size)
		} else {
			raw = r.Bytes()
		}
		err = d.appendRaw(v, raw, c)
	case wireArray, wireMap, wireStruct:
		null := *f
		null.null = -1 // it is known to be there
		if d.json, err = d.nestAvro(d.json[:0], r, c, &null); err == nil && !r.Failed {
			return d.appendJSON(v, c)
		}
	case wireParts:
		if err = d.readAvroParts(r, c); err == nil && !r.Failed {
			err = d.appendMade(v, c)
		}
	default:
		err = d.appendNumber(v, r.Long(), c)
	}
	return c.named(err)
}
