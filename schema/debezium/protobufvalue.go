package debezium

import (
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// fillProtobufKey appends the key columns from a record's key.
func (d *Decoder) fillProtobufKey(sh *shape, run *schema.Rows, key payload) (col int, err error) {
	n := run.Len()
	m := key.plan.proto.message
	values := d.fields(m)
	if !m.Split(key.data, values) {
		return -1, fmt.Errorf("key: %w", errProtobuf)
	}
	for i := range key.plan.fields {
		f := &key.plan.fields[i]
		k := sh.findKey([]byte(f.name), i)
		if k < 0 {
			return -1, newInKey(f.name)
		}
		v := &run.Values[k]
		if v.Len() != n {
			return k, errors.New("twice in the key")
		}
		c, err := sh.keyCodec(run, k, f.codec)
		if err == nil {
			err = d.appendProtobufColumn(&values[i], sh, run, k, &c, &m.Fields[i])
		}
		if err != nil {
			return k, err
		}
	}
	return -1, nil
}

// fillProtobufImage appends the columns of a row image; of a deleted row only the key.
func (d *Decoder) fillProtobufImage(sh *shape, run *schema.Rows, op schema.Op, image payload) (col int, err error) {
	n := run.Len()
	keyed := sh.keyed(run)
	m := image.plan.proto.message
	values := d.fields(m)
	if !m.Split(image.data, values) {
		return -1, errProtobuf
	}
	for i := range image.plan.fields {
		f := &image.plan.fields[i]
		if f.col < 0 || (op == schema.Delete && !sh.isKey(f.col)) {
			if values[i].Set && f.codec.wire == wireDropped && f.col == -1 && op == schema.Upsert {
				d.Lost.Values++
			}
			continue
		}
		if keyed && sh.isKey(f.col) {
			c := f.codec.asKey()
			if err := d.sameKey(sh, run, f.col, d.readProtobufTwin(&values[i], sh, run, f.col, &c, &m.Fields[i])); err != nil {
				return f.col, err
			}
			continue
		}
		if run.Values[f.col].Len() != n {
			return f.col, errors.New("twice in the row")
		}
		c := &f.codec
		if sh.fromRow && sh.isKey(f.col) {
			key := c.asKey()
			c = &key
		}
		if err := d.appendProtobufColumn(&values[i], sh, run, f.col, c, &m.Fields[i]); err != nil {
			return f.col, err
		}
	}
	return -1, nil
}

// appendProtobufColumn reads a field's value into a column of the run.
func (d *Decoder) appendProtobufColumn(x *protobuf.Value, sh *shape, run *schema.Rows, col int, c *codec, f *protobuf.Field) error {
	v := &run.Values[col]
	if rule := sh.rules[col]; rule.Action >= Hash {
		return d.absence(d.appendRuledProtobuf(x, v, rule, c, f), run, v)
	}
	return d.absence(d.appendProtobuf(x, v, c, f), run, v)
}

// appendRuledProtobuf appends what a rule makes of a field's value.
func (d *Decoder) appendRuledProtobuf(x *protobuf.Value, v *schema.Values, r Rule, c *codec, f *protobuf.Field) error {
	if r.Action == Mask {
		r.mask(v, !x.Set && f.Presence)
		return nil
	}
	return d.hash(v, c, func(c *codec) error { return d.appendProtobuf(x, &d.plain, c, f) })
}

// readProtobufTwin reads the value that the row itself has in the column.
func (d *Decoder) readProtobufTwin(x *protobuf.Value, sh *shape, run *schema.Rows, col int, c *codec, f *protobuf.Field) error {
	d.twin.Reset(run.Values[col].Kind)
	if r := sh.rules[col]; r.Action == Hash {
		return d.appendRuledProtobuf(x, &d.twin, r, c, f)
	}
	return d.appendProtobuf(x, &d.twin, c, f)
}

// appendProtobuf reads a field's value into v under codec c.
func (d *Decoder) appendProtobuf(x *protobuf.Value, v *schema.Values, c *codec, f *protobuf.Field) error {
	if c.wire == wireRefused {
		return c.refusal()
	}
	if !x.Set && f.Presence {
		v.AppendNull()
		return nil
	}
	err := d.appendProtobufPresent(x, v, c, f)
	if errors.Is(err, errProtobuf) {
		return err
	}
	return c.named(err)
}

func (d *Decoder) appendProtobufPresent(x *protobuf.Value, v *schema.Values, c *codec, f *protobuf.Field) error {
	if c.isNested() {
		return d.appendProtobufNested(x, v, c, f)
	}
	if inner := f.Wrapped(); inner != f {
		var room [1]protobuf.Value
		if !f.Message.Split(x.Bytes, room[:]) {
			return errProtobuf
		}
		return d.appendProtobufPresent(&room[0], v, c, inner)
	}
	if f.Message != nil {
		return d.appendLogical(x.Bytes, v, c, f.Message)
	}
	switch f.Kind {
	case protoreflect.StringKind:
		return d.appendQuoted(v, x.Bytes, c)
	case protoreflect.BytesKind:
		return d.appendRaw(v, x.Bytes, c)
	case protoreflect.EnumKind:
		symbol, known := f.Symbols[int32(x.Number)]
		if !known {
			return fmt.Errorf("%d, which is no value of its enum", int32(x.Number))
		}
		d.text = append(d.text[:0], symbol...)
		return d.appendQuoted(v, d.text, c)
	case protoreflect.DoubleKind:
		return d.appendFloat(v, x.Double(), c)
	case protoreflect.FloatKind:
		// The shortest text of a float is what JSON has, and what people mean by it.
		d.text = strconv.AppendFloat(d.text[:0], float64(x.Float()), 'g', -1, 32)
		n, err := strconv.ParseFloat(string(d.text), 64)
		if err != nil {
			return err
		}
		return d.appendFloat(v, n, c)
	}
	n, ok := x.Int(f.Kind)
	switch {
	case !ok:
		return errors.New("a number beyond 63 bits")
	case c.wire == wireBool:
		v.AppendNum(n)
		return nil
	}
	return d.appendNumber(v, n, c)
}

// appendLogical reads one of the messages in protobufNames. A part that is not there is
// zero.
func (d *Decoder) appendLogical(raw []byte, v *schema.Values, c *codec, m *protobuf.Message) error {
	var room [4]protobuf.Value
	if len(m.Fields) > len(room) || !m.Split(raw, room[:len(m.Fields)]) {
		return errProtobuf
	}
	part := func(number int32) (n int64) {
		for i := range m.Fields {
			if f := &m.Fields[i]; f.Number == number {
				n, _ = room[i].Int(f.Kind)
			}
		}
		return n
	}
	switch c.temporal {
	case schema.Date:
		day, ok := dayOf(part(1), part(2), part(3))
		if !ok {
			return errDateRange
		}
		return d.appendMoment(v, moment{day: day}, c)
	case schema.Time:
		hours, minutes, seconds, ns := part(1), part(2), part(3), part(4)
		if hours < 0 || hours > 23 || minutes < 0 || minutes > 59 || seconds < 0 || seconds > 59 || ns < 0 || ns >= 1e9 {
			return errTimeRange
		}
		return d.appendMoment(v, moment{nanos: ((hours*60+minutes)*60+seconds)*1e9 + ns}, c)
	case schema.DateTime:
		seconds, ns := part(1), part(2)
		if ns < 0 || ns >= 1e9 {
			return errDateRange
		}
		day := floorDiv(seconds, 86_400)
		return d.appendMoment(v, moment{day: day, nanos: (seconds-day*86_400)*1e9 + ns}, c)
	}
	for i := range m.Fields {
		if m.Fields[i].Number == 1 {
			return d.appendScaledBytes(v, room[i].Bytes, int(part(3)), c)
		}
	}
	return errProtobuf
}

// appendScaledBytes appends a decimal whose own scale may be another than its column's.
func (d *Decoder) appendScaledBytes(v *schema.Values, unscaled []byte, scale int, c *codec) (err error) {
	if d.text, err = appendDecimal(d.text[:0], unscaled, scale); err != nil {
		return err
	}
	if scale == c.scale {
		return d.appendDecimalText(v, d.text, c)
	}
	if d.raw, err = appendDecimalLiteral(d.raw[:0], d.text, c.scale); err != nil {
		return err
	}
	return d.appendDecimalText(v, d.raw, c)
}
