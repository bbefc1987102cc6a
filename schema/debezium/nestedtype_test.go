package debezium

import (
	"reflect"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

// TestNestedTypes: a column tells which texts are of bytes, and what JSON its schema declares.
func TestNestedTypes(t *testing.T) {
	text, whole, double := schema.Type{Kind: schema.String}, schema.Type{Kind: schema.Integer}, schema.Type{Kind: schema.Float}
	raw := schema.Type{Kind: schema.String, Bytes: true}
	array := func(of schema.Type) *schema.Nested { return &schema.Nested{Elem: &of} }
	arrayOf := func(items string) string { return `{"type":"array","items":{` + items + `},"field":"v"}` }
	for _, tc := range []struct {
		field string
		want  schema.Type
	}{
		{typed("string", "", ""), text},
		{typed("bytes", "", ""), raw},
		{typed("bytes", "com.example.Blob", ""), raw},
		{typed("bytes", "io.debezium.data.Bits", `"length":"9"`), schema.Type{Kind: schema.String, Length: 9}},
		{typed("string", "io.debezium.data.Json", ""), text},
		{arrayOf(`"type":"bytes"`), schema.Type{Kind: schema.String, Nested: array(raw)}},
		{arrayOf(`"type":"string"`), schema.Type{Kind: schema.String, Nested: array(text)}},
		{arrayOf(`"type":"int16"`), schema.Type{Kind: schema.String, Nested: array(whole)}},
		{arrayOf(`"type":"boolean"`), schema.Type{Kind: schema.String, Nested: array(schema.Type{Kind: schema.Boolean})}},
		{arrayOf(`"type":"int32","name":"io.debezium.time.Date"`), schema.Type{Kind: schema.String, Nested: array(schema.Type{Kind: schema.Date})}},
		{arrayOf(`"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"}`),
			schema.Type{Kind: schema.String, Nested: array(schema.Type{Kind: schema.String, Precision: 10, Scale: 2})}},
		{arrayOf(`"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"0","connect.decimal.precision":"9"}`),
			schema.Type{Kind: schema.String, Nested: array(whole)}},
		{arrayOf(`"type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}]`),
			schema.Type{Kind: schema.String, Nested: array(double)}},
		{`{"type":"map","keys":{"type":"string"},"values":{"type":"string"},"field":"v"}`, schema.Type{Kind: schema.String, Nested: &schema.Nested{Elem: &text, Map: true}}},
		{`{"type":"map","keys":{"type":"int32"},"values":{"type":"string"},"field":"v"}`, schema.Type{Kind: schema.String, Nested: &schema.Nested{}}},
		{`{"type":"struct","fields":[{"type":"bytes","field":"a"},` + `{"type":"array","items":{"type":"double"},"field":"b"}],"field":"v"}`,
			schema.Type{Kind: schema.String, Nested: &schema.Nested{Fields: []schema.Column{{Name: "a", Type: raw}, {Name: "b", Type: schema.Type{Kind: schema.String, Nested: array(double)}}}}}},
	} {
		opt := testOptions()
		opt.Decimals = DecimalsExact
		d := NewDecoder("p.public.t", opt)
		key, value := withSchema(tc.field, `"v":null`)
		if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(value)}); err != nil {
			t.Fatalf("%s: %v", tc.field, err)
		}
		rows := d.Take(nil)[0]
		if got := rows.Columns[len(rows.Columns)-1]; got.Name != "v" || !reflect.DeepEqual(got.Type, tc.want) {
			t.Errorf("%s: %+v, want %+v", tc.field, got, tc.want)
		}
	}
}

// TestBytesOfPlainJSON: texts that the tables file says to be of bytes are of bytes, also where
// bytes are left out that a schema declares. Of another text nobody knows.
func TestBytesOfPlainJSON(t *testing.T) {
	w, _ := ParseWireType("bytes-base64")
	for binary, want := range map[Binary]string{BinaryBase64: "3q0=", BinaryHex: "dead", BinaryDrop: "3q0="} {
		opt := testOptions()
		opt.Binary = binary
		opt.Wire = func(_, source string) *WireType { return map[string]*WireType{"v": w}[source] }
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"v":"3q0=","plain":"3q0="}`))}); err != nil {
			t.Fatal(err)
		}
		rows := d.Take(nil)[0]
		if got := string(rows.Values[1].Bytes(0)); got != want || !rows.Columns[1].Type.Bytes || rows.Columns[2].Type.Bytes {
			t.Errorf("%v: %s, %+v", binary, got, rows.Columns)
		}
		if _, err := d.Decode(Record{Key: []byte(`{"id":2}`), Value: []byte(event("c", "null", `{"id":2,"v":"no base64","plain":""}`))}); err == nil {
			t.Error("a text that is not of bytes is taken")
		}
	}
}
