package debezium

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// Rule is what is done with a source column on its way.
type Rule struct {
	Action Action
	Text   *string // what Mask puts in the place of values, nil is NULL
}

// Action is the kind of a Rule.
type Action uint8

const (
	Keep     Action = iota
	Unlisted        // left out, unless it is of the key
	Exclude         // left out: its bytes are skipped, whatever they are
	Hash            // STRING: the HMAC of its value's text under Options.HashKey; NULL stays NULL
	Mask            // STRING: a fixed text, or NULL; the value is not looked at, NULL stays NULL
)

// rule returns what is done with a source column of a table.
func (d *Decoder) rule(sh *shape, source string) Rule {
	if d.opt.Rule == nil {
		return Rule{}
	}
	r := d.opt.Rule(sh.table, source)
	if r.Action == Unlisted && sh.isKey(sh.index(source)) {
		return Rule{}
	}
	return r
}

// leaves reports whether a source column is left out.
func (d *Decoder) leaves(sh *shape, source string) bool {
	a := d.rule(sh, source).Action
	return a == Unlisted || a == Exclude
}

// checkKey refuses what would make one of several keys.
func (d *Decoder) checkKey(table, source string) error {
	if d.opt.Rule == nil {
		return nil
	}
	how := map[Action]string{Exclude: "excludeColumns", Mask: "maskColumns"}[d.opt.Rule(table, source).Action]
	if how == "" {
		return nil
	}
	return &fault{fmt.Sprintf("column %q is of the key and under tables.%s.%s; rows would no longer be told apart", source, table, how),
		fmt.Sprintf("take it out there, or put it under tables.%s.hashColumns, which keeps keys distinct; then restart", table)}
}

// typ is the type of a column that is not as the source has it, whatever that is.
func (r Rule) typ() schema.Type {
	t := schema.Type{Kind: schema.String, Length: 2 * sha256.Size}
	if r.Action == Mask {
		t.Length = 1
		if r.Text != nil {
			t.Length = max(1, len(*r.Text))
		}
	}
	return t
}

// mask appends what stands for a value.
func (r Rule) mask(v *schema.Values, null bool) {
	if null || r.Text == nil {
		v.AppendNull()
		return
	}
	v.Data = append(v.Data, *r.Text...)
	v.EndString()
}

// appendRuled appends what a rule makes of the value at the cursor.
func (d *Decoder) appendRuled(s *scanner, v *schema.Values, r Rule, c *codec) error {
	if r.Action == Mask {
		val, err := s.skip()
		r.mask(v, isNull(val))
		return err
	}
	return d.hash(v, c, func(c *codec) error { return d.appendValue(s, &d.plain, &d.plainColumn, c) })
}

// appendRuledAvro does the same for Avro.
func (d *Decoder) appendRuledAvro(rd *avro.Reader, v *schema.Values, r Rule, c *codec, f *avroField) error {
	if r.Action == Mask {
		present := f.present(rd)
		if present {
			rd.Skip(f.value)
		}
		r.mask(v, !present)
		return nil
	}
	return d.hash(v, c, func(c *codec) error { return d.appendAvro(rd, &d.plain, c, f) })
}

// hash appends the HMAC-SHA-256 (RFC 2104, FIPS 180-4), in hex, of the text that
// schema.Values.AppendText has for the value which read puts into d.plain: the same in
// every table and form of record. It is read with all its digits and at any length,
// and what the hash hides is not counted as lost.
func (d *Decoder) hash(v *schema.Values, c *codec, read func(*codec) error) error {
	d.plainCodec = c.asKey()
	d.plainCodec.length = 0
	d.plain.Reset(d.plainCodec.kind)
	d.plainColumn = schema.Column{}
	limit, lost := d.opt.MaxLength, d.Lost
	d.opt.MaxLength = 0
	err := read(&d.plainCodec)
	d.opt.MaxLength, d.Lost = limit, lost
	if err != nil {
		return err
	}
	if d.plain.States[0] == schema.Null {
		v.AppendNull()
		return nil
	}
	if d.mac == nil {
		d.mac = hmac.New(sha256.New, d.opt.HashKey)
	}
	d.raw = d.plain.AppendText(d.raw[:0], 0)
	d.mac.Reset()
	d.mac.Write(d.raw)
	d.raw = d.mac.Sum(d.raw[:0])
	v.Data = hex.AppendEncode(v.Data, d.raw)
	v.EndString()
	return nil
}
