package debezium

import (
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
)

// connectSchema is a node of the schema that Kafka Connect's JsonConverter
// sends along (schemas.enable=true).
type connectSchema struct {
	Type       string            `json:"type"`
	Name       string            `json:"name"`
	Field      string            `json:"field"`
	Parameters map[string]string `json:"parameters"`
	Fields     []connectSchema   `json:"fields"`
}

func parseConnectSchema(text []byte) (*connectSchema, error) {
	var s connectSchema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("schema of the record: %w", err)
	}
	return &s, nil
}

func (s *connectSchema) field(name string) *connectSchema {
	for i := range s.Fields {
		if s.Fields[i].Field == name {
			return &s.Fields[i]
		}
	}
	return nil
}

// wire says how a value is written in JSON.
type wire uint8

const (
	wireInferred wire = iota // no schema: read the type off the value
	wireInt                  // a number, or a number in a string
	wireFloat
	wireBool
	wireString
	wireBytes   // base64
	wireDecimal // base64 of the unscaled value, or a number
	wireDays
	wireMilliTime
	wireMicroTime
	wireMillis
	wireMicros
	wireNanos
	wireInstant     // ISO 8601 text with offset
	wireDropped     // left out, as Options.Binary says
	wireRefused     // a type that is not supported; see codec.name
	wireMetadata    // left out: what a transform adds to a row
	wireDocument    // a member of a document: extended JSON, inferred as plain JSON is
	wireDocumentKey // the same in a string, as its key is
)

// codec is how a column of one schema is read and what it becomes.
type codec struct {
	wire      wire
	kind      schema.Kind
	bits      uint8  // of an integer
	scale     int    // of a decimal
	length    int    // declared length of a string, 0 if unknown
	precision int    // of a decimal that is kept as text with so many digits
	key       bool   // of a key column
	name      string // the source's name for the type, for messages
}

// plainCodecs are the base types without a semantic name (Kafka Connect's
// Schema.Type), in the spelling of JsonConverter.
var plainCodecs = map[string]codec{
	"int8":    {wire: wireInt, kind: schema.Integer, bits: 8},
	"int16":   {wire: wireInt, kind: schema.Integer, bits: 16},
	"int32":   {wire: wireInt, kind: schema.Integer, bits: 32},
	"int64":   {wire: wireInt, kind: schema.Integer, bits: 64},
	"float":   {wire: wireFloat, kind: schema.Float},
	"double":  {wire: wireFloat, kind: schema.Float},
	"boolean": {wire: wireBool, kind: schema.Boolean},
	"string":  {wire: wireString, kind: schema.String},
	"bytes":   {wire: wireBytes, kind: schema.String},
}

// semanticCodecs are the types that a schema name gives a base type (Debezium
// documentation, "Data type mappings" of each connector).
var semanticCodecs = map[string]codec{
	"org.apache.kafka.connect.data.Date":      {wire: wireDays, kind: schema.Date},
	"org.apache.kafka.connect.data.Time":      {wire: wireMilliTime, kind: schema.Time},
	"org.apache.kafka.connect.data.Timestamp": {wire: wireMillis, kind: schema.DateTime},
	"io.debezium.time.Date":                   {wire: wireDays, kind: schema.Date},
	"io.debezium.time.Time":                   {wire: wireMilliTime, kind: schema.Time},
	"io.debezium.time.MicroTime":              {wire: wireMicroTime, kind: schema.Time},
	"io.debezium.time.Timestamp":              {wire: wireMillis, kind: schema.DateTime},
	"io.debezium.time.MicroTimestamp":         {wire: wireMicros, kind: schema.DateTime},
	"io.debezium.time.NanoTimestamp":          {wire: wireNanos, kind: schema.DateTime},
	"io.debezium.time.ZonedTimestamp":         {wire: wireInstant, kind: schema.DateTime},
	"io.debezium.data.Uuid":                   {wire: wireString, kind: schema.String},
	"io.debezium.data.Json":                   {wire: wireString, kind: schema.String},
	"io.debezium.data.Enum":                   {wire: wireString, kind: schema.String},
}

const decimalName = "org.apache.kafka.connect.data.Decimal"

// codecOf returns how to read a field. A type that is not known is refused when
// a row has it, never guessed.
func (o *Options) codecOf(f *connectSchema) codec {
	switch {
	case f.Name == decimalName:
		return o.decimalCodec(f)
	case f.Name != "":
		if c, ok := semanticCodecs[f.Name]; ok {
			c.name = f.Name
			return c
		}
		return codec{wire: wireRefused, name: f.Name}
	}
	c, ok := plainCodecs[f.Type]
	if !ok {
		return codec{wire: wireRefused, name: f.Type}
	}
	c.name = f.Type
	switch c.wire {
	case wireBytes:
		if o.Binary == BinaryDrop {
			return codec{wire: wireDropped, kind: schema.String, name: f.Type}
		}
	case wireString:
		// Sent with the connector's column.propagate.source.type setting.
		n, err := strconv.Atoi(f.Parameters["__debezium.source.column.length"])
		if o.LengthInBytes {
			n *= utf8.UTFMax
		}
		if err == nil && n > 0 && (o.MaxLength == 0 || n <= o.MaxLength) {
			c.length = n
		}
	}
	return c
}

// decimalCodec chooses a column's kind by the declared scale and precision, never
// by a value: a column must not change its type from batch to batch.
func (o *Options) decimalCodec(f *connectSchema) codec {
	scale, err := strconv.Atoi(f.Parameters["scale"])
	if err != nil {
		return codec{wire: wireRefused, name: decimalName + " without a scale"}
	}
	precision, _ := strconv.Atoi(f.Parameters["connect.decimal.precision"])
	c := codec{wire: wireDecimal, kind: schema.String, scale: scale, name: decimalName}
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

// inferred reports whether a value tells the type itself.
func (c *codec) inferred() bool { return c.wire == wireInferred || c.wire == wireDocument }

// typ is the type of the column that the codec fills.
func (c *codec) typ() schema.Type {
	t := schema.Type{Kind: c.kind, Length: c.length, Precision: c.precision}
	if c.kind == schema.Float || c.precision > 0 {
		t.Scale = c.scale
	}
	return t
}
