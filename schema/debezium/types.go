package debezium

import (
	"slices"

	"github.com/sluice-cdc/sluice/schema"
)

// mapping is how one type of the source is read, and the kind of column that it fills
// unless a setting says otherwise. mappings is the only place that says it: the decoder
// goes by it, and Types prints it.
type mapping struct {
	name string // the semantic name of the schema, "" for a base type alone
	base string // Kafka Connect's base type in JsonConverter's spelling
	wire wire
	kind schema.Kind
	note string
}

// mappings lists the base types (Kafka Connect, Schema.Type), then the types that a
// schema's name makes of them (Kafka Connect, org.apache.kafka.connect.data; Debezium
// documentation, "Data type mappings" of each connector).
var mappings = []mapping{
	{"", "int8", wireInt, schema.Integer, "all digits"},
	{"", "int16", wireInt, schema.Integer, "all digits"},
	{"", "int32", wireInt, schema.Integer, "all digits"},
	{"", "int64", wireInt, schema.Integer, "all digits; `BIGINT UNSIGNED`, where the schema tells, as a Decimal of 20 digits"},
	{"", "float", wireFloat, schema.Float, "its shortest decimal; NaN and infinities by `SLUICE_OUT_OF_RANGE`"},
	{"", "double", wireFloat, schema.Float, "NaN and infinities by `SLUICE_OUT_OF_RANGE`"},
	{"", "boolean", wireBool, schema.Boolean, ""},
	{"", "string", wireString, schema.String, ""},
	{"", "bytes", wireBytes, schema.String, "base64, hex or left out, by `SLUICE_BINARY`"},
	{"", "array", wireArray, schema.String, "JSON without spaces; elements by their own type"},
	{"", "map", wireMap, schema.String, "JSON object with sorted names; pairs where keys are not text"},
	{"", "struct", wireStruct, schema.String, "JSON object, members in the schema's order"},

	{decimalName, "bytes", wireDecimal, schema.Float, "INTEGER without fraction up to 18 digits, STRING beyond; with fraction by `SLUICE_DECIMAL`; exact text in keys"},
	{"org.apache.kafka.connect.data.Date", "int32", wireDays, schema.Date, "years 1400 to 9999; others by `SLUICE_OUT_OF_RANGE`"},
	{"org.apache.kafka.connect.data.Time", "int32", wireMilliTime, schema.Time, "0 to 24 h; others by `SLUICE_OUT_OF_RANGE`"},
	{"org.apache.kafka.connect.data.Timestamp", "int64", wireMillis, schema.DateTime, "as Date; milliseconds unless `SLUICE_TIMESTAMP` says otherwise"},

	{"io.debezium.data.VariableScaleDecimal", "struct", wireParts, schema.Float, "by `SLUICE_DECIMAL`; text without trailing zeros, exact in keys"},

	{"io.debezium.time.Date", "int32", wireDays, schema.Date, "as Connect's Date; infinities by `SLUICE_OUT_OF_RANGE`"},
	{"io.debezium.time.Time", "int32", wireMilliTime, schema.Time, "as Connect's Time"},
	{"io.debezium.time.MicroTime", "int64", wireMicroTime, schema.Time, "milliseconds in the files; MySQL's times beyond one day by `SLUICE_OUT_OF_RANGE`"},
	{"io.debezium.time.NanoTime", "int64", wireNanoTime, schema.Time, "milliseconds in the files"},
	{"io.debezium.time.Timestamp", "int64", wireMillis, schema.DateTime, "wall clock; infinities by `SLUICE_OUT_OF_RANGE`"},
	{"io.debezium.time.MicroTimestamp", "int64", wireMicros, schema.DateTime, "wall clock; infinities by `SLUICE_OUT_OF_RANGE`"},
	{"io.debezium.time.NanoTimestamp", "int64", wireNanos, schema.DateTime, "wall clock; infinities by `SLUICE_OUT_OF_RANGE`"},
	{"io.debezium.time.ZonedTimestamp", "string", wireInstant, schema.DateTime, "UTC; without an offset taken for UTC, and counted"},
	{"io.debezium.time.ZonedTime", "string", wireString, schema.String, "as sent, with its offset"},
	{"io.debezium.time.Year", "int32", wireInt, schema.Integer, ""},
	{"io.debezium.time.MicroDuration", "int64", wireInt, schema.Integer, "microseconds"},
	{"io.debezium.time.NanoDuration", "int64", wireInt, schema.Integer, "nanoseconds"},
	{"io.debezium.time.Interval", "string", wireString, schema.String, "`P1Y2M3DT4H5M6.78S`"},
	{"io.debezium.time.IsoDate", "string", wireISODate, schema.Date, ""},
	{"io.debezium.time.IsoTime", "string", wireISOTime, schema.Time, ""},
	{"io.debezium.time.IsoTimestamp", "string", wireISOLocal, schema.DateTime, "wall clock: its Z is nominal"},
	{"io.debezium.time.StructuredDate", "struct", wireParts, schema.Date, "zero dates and infinities by `SLUICE_OUT_OF_RANGE`"},
	{"io.debezium.time.StructuredTime", "struct", wireParts, schema.Time, ""},
	{"io.debezium.time.StructuredTimestamp", "struct", wireParts, schema.DateTime, "wall clock; as StructuredDate"},
	{"io.debezium.time.StructuredZonedTime", "struct", wireParts, schema.String, "as ZonedTime, such as `09:00:00+08:00`"},
	{"io.debezium.time.StructuredZonedTimestamp", "struct", wireParts, schema.DateTime, "UTC; as StructuredDate"},
	{"io.debezium.time.StructuredDuration", "struct", wireParts, schema.String, "as Interval"},

	{"io.debezium.data.Bits", "bytes", wireBits, schema.String, "0s and 1s, most significant first, as many as declared"},
	{"io.debezium.data.Enum", "string", wireString, schema.String, ""},
	{"io.debezium.data.EnumSet", "string", wireString, schema.String, "`a,b`"},
	{"io.debezium.data.Json", "string", wireString, schema.String, "as sent"},
	{"io.debezium.data.Xml", "string", wireString, schema.String, "as sent"},
	{"io.debezium.data.Uuid", "string", wireString, schema.String, ""},
	{"io.debezium.data.Ltree", "string", wireString, schema.String, ""},
	{"io.debezium.data.Tsvector", "string", wireString, schema.String, ""},
	{"io.debezium.data.FloatVector", "array", wireArray, schema.String, "`[1,-2.5]`"},
	{"io.debezium.data.DoubleVector", "array", wireArray, schema.String, "`[1,-2.5]`"},
	{"io.debezium.data.SparseDoubleVector", "struct", wireParts, schema.String, "pgvector's text, `{1:1.5,3:2}/5`"},
	{"io.debezium.data.geometry.Point", "struct", wireParts, schema.String, "EWKT, `SRID=4326;POINT(1 2)`"},
	{"io.debezium.data.geometry.Geometry", "struct", wireParts, schema.String, "EWKT"},
	{"io.debezium.data.geometry.Geography", "struct", wireParts, schema.String, "EWKT"},
	{"io.debezium.data.geometry.Circle", "struct", wireStruct, schema.String, "`{\"center\":\"POINT(1 2)\",\"radius\":3}`"},
	{"io.debezium.data.geometry.Line", "struct", wireStruct, schema.String, "`{\"a\":1,\"b\":2,\"c\":3}`"},
}

const decimalName = "org.apache.kafka.connect.data.Decimal"

// plainCodecs are those of base types by name, semanticCodecs those of semantic names.
var plainCodecs, semanticCodecs = codecsOf(mappings)

var integerBits = map[string]uint8{"int8": 8, "int16": 16, "int32": 32, "int64": 64}

func codecsOf(all []mapping) (plain, semantic map[string]codec) {
	plain, semantic = map[string]codec{}, map[string]codec{}
	for _, m := range all {
		c := codec{wire: m.wire, kind: m.kind, bits: integerBits[m.base], name: m.name}
		if m.name == "" {
			c.name = m.base
			plain[m.base] = c
			continue
		}
		switch m.kind {
		case schema.Date, schema.Time, schema.DateTime:
			c.temporal = m.kind
		}
		c.zoned = m.name == "io.debezium.time.ZonedTimestamp" || m.name == "io.debezium.time.StructuredZonedTimestamp"
		c.parts = partsOf[m.name]
		semantic[m.name] = c
	}
	return plain, semantic
}

// TypeMapping says what becomes of a type of the source.
type TypeMapping struct {
	Source string // the semantic name of the schema, else the base type
	JSON   string // how JsonConverter writes it
	Avro   string // how the Avro converters write it
	Target string // the kind of column, unless a setting that the note names says otherwise
	Note   string
}

var jsonForms = map[string]string{"float": `number or "NaN", "Infinity"`, "double": `number or "NaN", "Infinity"`, "boolean": "boolean", "string": "string",
	"bytes": "base64", "array": "array", "map": "object or pairs", "struct": "object"}

var avroForms = map[string]string{"int8": "int", "int16": "int", "int32": "int", "int64": "long", "bytes": "bytes or fixed", "string": "string or enum",
	"map": "map or array of records", "struct": "record"}

// Types lists every type that is known. A semantic name that is not in it is read as
// its base type, and counted.
func Types() []TypeMapping {
	var all []TypeMapping
	for _, m := range slices.Clone(mappings) {
		t := TypeMapping{Source: m.name, JSON: jsonForms[m.base], Avro: avroForms[m.base], Target: m.kind.String(), Note: m.note}
		if t.Source == "" {
			t.Source = m.base
		}
		if t.JSON == "" {
			t.JSON = "number"
		}
		if t.Avro == "" {
			t.Avro = m.base
		}
		if m.name == decimalName {
			t.JSON, t.Target = "base64 or number", "INTEGER, FLOAT or STRING"
		}
		if m.name == "io.debezium.data.VariableScaleDecimal" {
			t.Target = "FLOAT or STRING"
		}
		if m.base == "array" || m.name == "io.debezium.time.ZonedTimestamp" {
			t.Avro = m.base
		}
		all = append(all, t)
	}
	return all
}
