package debezium

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// wire says how a value is written.
type wire uint8

const (
	wireInferred wire = iota // no schema: read the type off the value
	wireInt                  // a number, or a number in a string
	wireUnsigned             // 64 bits that JSON and Avro have as a signed number
	wireFloat
	wireBool
	wireString
	wireBytes   // base64
	wireBits    // base64, the least significant byte first
	wireDecimal // base64 of the unscaled value, or a number
	wireDays
	wireMilliTime
	wireMicroTime
	wireNanoTime
	wireMillis
	wireMicros
	wireNanos
	wireInstant // ISO 8601 text with offset
	wireISODate // ISO 8601 text of a wall clock, with a nominal Z
	wireISOTime
	wireISOLocal
	wireArray // what follows is nested and becomes canonical JSON
	wireMap
	wireStruct
	wireParts       // a struct whose members make one value; see codec.parts
	wireDropped     // left out, as Options.Binary says
	wireRefused     // a type that cannot be read; see codec.name
	wireMetadata    // left out: what a transform adds to a row
	wireDocument    // a member of a document: extended JSON, inferred as plain JSON is
	wireDocumentKey // the same in a string, as its key is
)

// codec is how a column of one schema is read and what it becomes.
type codec struct {
	wire      wire
	kind      schema.Kind // of a value that is inferred: what Options.Types gives it, else Unknown
	temporal  schema.Kind // Date, Time or DateTime, also where the column is text
	zoned     bool        // a temporal value is an instant, not a wall clock's
	bits      uint8       // of an integer
	scale     int         // of a decimal
	length    int         // declared length of a string, of Bits; 0 if unknown
	precision int         // of a decimal that is kept as text with so many digits
	key       bool        // of a key column
	inner     bool        // of a value within an array, map or struct
	unknown   bool        // it has a semantic name that is not known
	parts     parts
	of        *nested
	plain     *codec        // of a document's member that Options.Wire tells: how its plain value is read
	absent    *placeholders // if the schema tells the column's own, else nil
	name      string        // the source's name for the type, for messages
}

// nested are the parts of an array, a map or a struct.
type nested struct {
	members []member // of a struct
	key     member   // of a map
	elem    member   // of an array; the value of a map
	named   bool     // a map whose keys are text, which JSON has as an object
	entries bool     // a map that Avro has as an array of records
	typ     *schema.Nested
}

type member struct {
	name  string
	codec codec
	typ   schema.Type
	avro  avroField
	proto *protobuf.Field
	part  part
}

// maxBits bounds how many bits a declared length makes text of.
const maxBits = 1 << 16

// codecOf returns how to read a field. A semantic name that is not known, as custom
// converters make them, is read by its base type.
func (o *Options) codecOf(f *connectSchema) codec {
	c, ok := semanticCodecs[f.Name]
	if !ok || f.Name == "" {
		if c, ok = plainCodecs[f.Type]; !ok {
			return codec{wire: wireRefused, name: f.Type}
		}
		c.unknown = f.Name != "" && f.Type != "struct"
		if c.unknown {
			c.name = f.Name
		}
	}
	c.absent = placeholdersOf(f.Parameters["__debezium.unavailable.value.placeholder"])
	switch c.wire {
	case wireDecimal:
		scale, err := strconv.Atoi(f.Parameters["scale"])
		if err != nil {
			return codec{wire: wireRefused, name: decimalName + " without a scale"}
		}
		precision, _ := strconv.Atoi(f.Parameters["connect.decimal.precision"])
		return o.decimalCodec(c, scale, precision)
	case wireInt:
		// Sent with column.propagate.source.type. In bigint.unsigned.handling.mode=long
		// numbers from 2^63 on come as negative ones.
		if c.bits == 64 && f.Name == "" && strings.HasPrefix(strings.ToUpper(f.Parameters["__debezium.source.column.type"]), "BIGINT UNSIGNED") {
			c.wire = wireUnsigned
			return o.decimalCodec(c, 0, 20)
		}
	case wireBytes:
		if o.Binary == BinaryDrop {
			return codec{wire: wireDropped, kind: schema.String, name: f.Type}
		}
	case wireString:
		if f.Name == "" {
			c.length = o.declaredLength(f.Parameters)
		}
	case wireBits:
		// An unlimited BIT VARYING declares the greatest number there is.
		if n, err := strconv.Atoi(f.Parameters["length"]); err == nil && n > 0 && n <= maxBits {
			c.length = n
		}
	case wireArray, wireMap, wireStruct, wireParts:
		return o.nestedCodec(c, f)
	}
	if c.temporal != schema.Unknown && o.OutOfRange == RangeText {
		c.kind = schema.String
	}
	return c
}

// characterTypes are the databases' names of the types whose declared length bounds the text
// on the wire. It does not of others that come as text: of a decimal it counts digits, of
// bytes those behind base64 or hex, and a LOB holds more than it says.
var characterTypes = regexp.MustCompile(`(?i)^(NATIONAL )?(BPCHAR|N?CHAR|N?VARCHAR2?|LVARCHAR|CHARACTER|(VAR)?GRAPHIC)( VARYING| VARCHAR)?( BINARY)?$`)

// declaredLength returns the length that the source declares for a column of text, 0 if none
// is known or it cannot be declared. The connector's column.propagate.source.type sends it.
func (o *Options) declaredLength(parameters map[string]string) int {
	if t, told := parameters["__debezium.source.column.type"]; told && !characterTypes.MatchString(t) {
		return 0
	}
	n, err := strconv.Atoi(parameters["__debezium.source.column.length"])
	if o.LengthInBytes {
		n *= utf8.UTFMax
	}
	if err != nil || n <= 0 || o.LengthLimit > 0 && n > o.LengthLimit {
		return 0
	}
	return n
}

// nestedCodec adds how the parts of a nested value are read.
func (o *Options) nestedCodec(c codec, f *connectSchema) codec {
	c.of = &nested{}
	add := func(name string, of *connectSchema) member {
		if of == nil {
			return member{codec: codec{wire: wireRefused, name: "a type that its schema leaves out"}}
		}
		inner := o.codecOf(of)
		m := member{name: name, codec: inner.within(), typ: inner.inNested(), avro: of.avro, proto: of.proto, part: partNames[name]}
		c.unknown = c.unknown || m.codec.unknown
		return m
	}
	switch f.Type {
	case "array":
		c.of.elem = add("", f.Items)
	case "map":
		c.of.key, c.of.elem = add("key", f.Keys), add("value", f.Values)
		c.of.named = c.of.key.codec.wire == wireString
		c.of.entries = f.entries
	default:
		for i := range f.Fields {
			c.of.members = append(c.of.members, add(f.Fields[i].Field, &f.Fields[i]))
		}
	}
	for _, m := range append([]member{c.of.key, c.of.elem}, c.of.members...) {
		if m.codec.wire == wireRefused {
			return codec{wire: wireRefused, name: fmt.Sprintf("%s of %s", c.name, m.codec.name)}
		}
	}
	c.of.typ = c.of.nestedType(c.wire)
	switch {
	case c.parts == partsDecimal:
		c.kind = schema.String
		if o.Decimals == DecimalsFloat {
			c.kind = schema.Float
		}
	case c.temporal != schema.Unknown && o.OutOfRange == RangeText:
		c.kind = schema.String
	}
	return c
}

// nestedType is what the JSON of an array, map or struct holds, nil of what becomes one value.
func (n *nested) nestedType(w wire) *schema.Nested {
	switch {
	case w == wireParts:
		return nil
	case w == wireArray, w == wireMap && n.named:
		return &schema.Nested{Elem: &n.elem.typ, Map: w == wireMap}
	case w == wireMap: // pairs
		return &schema.Nested{}
	}
	t := &schema.Nested{Fields: []schema.Column{}}
	for i := range n.members {
		t.Fields = append(t.Fields, schema.Column{Name: n.members[i].name, Type: n.members[i].typ})
	}
	return t
}

// inNested is the type of a value that is part of a nested one. A decimal of which the digits
// are not known is the number that it is there.
func (c *codec) inNested() schema.Type {
	switch {
	case c.temporal != schema.Unknown:
		return schema.Type{Kind: c.temporal}
	case c.isDecimal() && c.kind != schema.Integer && c.precision == 0:
		return schema.Type{Kind: schema.Float}
	}
	t := c.typ()
	t.Length = 0
	return t
}

// within returns how a value is read that is part of a nested one, which becomes text:
// nothing there is out of range, and decimals keep every digit.
func (c codec) within() codec {
	c.inner, c.length, c.precision = true, 0, 0
	if c.temporal != schema.Unknown || c.isDecimal() {
		c.kind = schema.String
	}
	if c.wire == wireDropped {
		c.wire = wireBytes
	}
	return c
}

func (c *codec) isDecimal() bool {
	return c.wire == wireDecimal || c.wire == wireUnsigned || c.parts == partsDecimal
}

// decimalCodec chooses a column's kind by the declared scale and precision, never
// by a value: a column must not change its type from batch to batch.
func (o *Options) decimalCodec(c codec, scale, precision int) codec {
	c.kind, c.scale = schema.String, scale
	switch {
	case scale <= 0 && precision > 0 && precision-scale <= 18:
		c.kind = schema.Integer
	case scale > 0 && o.Decimals == DecimalsFloat:
		c.kind = schema.Float
	case scale >= 0 && o.Decimals == DecimalsExact && precision >= max(scale, 1):
		c.precision = precision
	}
	return c
}

// typ is the type of the column that the codec fills.
func (c *codec) typ() schema.Type {
	t := schema.Type{Kind: c.kind, Precision: c.precision}
	if c.kind == schema.String {
		t.Length = c.length
		t.Bytes = c.wire == wireBytes || c.wire == wireDropped
		if c.of != nil {
			t.Nested = c.of.typ
		}
	}
	if c.wire != wireParts && c.kind == schema.Float || c.precision > 0 {
		t.Scale = c.scale
	}
	return t
}

// asKey returns how a key column is read: its decimals keep every digit, and it
// is never left out.
func (c codec) asKey() codec {
	c.key = true
	if c.isDecimal() && c.kind == schema.Float {
		c.kind = schema.String
	}
	if c.wire == wireDropped {
		c.wire = wireBytes
	}
	return c
}

// refusal is the error of a value whose type is not supported.
func (c *codec) refusal() error {
	return &fault{fmt.Sprintf("its type %s is not supported", c.name),
		"leave the column out by excludeColumns in the tables file or at the connector (column.exclude.list), or the table by exclude: true; then restart"}
}

// inferred reports whether a value tells the type itself.
func (c *codec) inferred() bool { return c.wire == wireInferred || c.wire == wireDocument }

// isNested reports whether JSON has the value as an object or array.
func (c *codec) isNested() bool {
	return c.wire >= wireArray && c.wire <= wireParts
}
