package debezium

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/jsonschema"
)

// jsonRow is one row in the two ways in which Connect writes its schema: a node of
// JsonConverter's and a property of JsonSchemaConverter's for each column.
var jsonRow = []struct{ name, connect, property, value string }{
	{"id", `"type":"int64","optional":false`, `"type":"integer","connect.type":"int64"`, `7`},
	{"b", `"type":"boolean","optional":false`, `"type":"boolean"`, `true`},
	{"i8", `"type":"int8","optional":false`, `"type":"integer","connect.type":"int8"`, `-5`},
	{"f", `"type":"float","optional":false`, `"type":"number","connect.type":"float32"`, `0.5`},
	{"s", `"type":"string","optional":false,"parameters":{"__debezium.source.column.length":"4"}`, `"type":"string","connect.parameters":{"__debezium.source.column.length":"4"}`, `"größ"`},
	{"raw", `"type":"bytes","optional":false`, `"type":"string","connect.type":"bytes"`, `"AP8="`},
	{"day", `"type":"int32","optional":false,"name":"io.debezium.time.Date","version":1`, `"type":"integer","title":"io.debezium.time.Date","connect.type":"int32","connect.version":1`, `19000`},
	{"us", `"type":"int64","optional":false,"name":"io.debezium.time.MicroTimestamp","version":1`, `"type":"integer","title":"io.debezium.time.MicroTimestamp","connect.type":"int64"`, `1700000000000001`},
	{"dec", `"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}`, `"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes","connect.parameters":{"scale":"2"}`, `12.34`},
	{"d64", `"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"}`, `"type":"string","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes","connect.parameters":{"scale":"2"}`, `"BNI="`},
	{"uuid", `"type":"string","optional":false,"name":"io.debezium.data.Uuid"`, `"type":"string","title":"io.debezium.data.Uuid"`, `"6f1c2b9e-0000-4000-8000-00000000000a"`},
}

// TestJSONSchema: a row under JSON Schema of a registry is what it is under the schema
// that JsonConverter sends along, NULL or not.
func TestJSONSchema(t *testing.T) {
	const source = `"source":{"db":"shop","schema":"public","table":"t","ts_ms":5}`
	for _, null := range []bool{false, true} {
		var fields, properties, row []string
		for i, c := range jsonRow {
			fields = append(fields, `{`+c.connect+`,"field":"`+c.name+`"}`)
			if null && i > 0 {
				properties = append(properties, fmt.Sprintf(`"%s":{"oneOf":[{"type":"null"},{%s}],"connect.index":%d}`, c.name, c.property, i))
				row = append(row, `"`+c.name+`":null`)
				continue
			}
			properties = append(properties, fmt.Sprintf(`"%s":{%s,"connect.index":%d}`, c.name, c.property, i))
			row = append(row, `"`+c.name+`":`+c.value)
		}
		slices.Reverse(properties) // connect.index has the order
		image := `{"type":"struct","optional":true,"field":"after","fields":[` + strings.Join(fields, ",") + `]}`
		event := `{"before":null,"after":{` + strings.Join(row, ",") + `},` + source + `,"op":"c"}`
		sent := NewDecoder("p.public.t", testOptions())
		if _, err := sent.Decode(Record{Key: []byte(`{"schema":{"type":"struct","name":"p.public.t.Key","fields":[{"type":"int64","field":"id"}]},"payload":{"id":7}}`),
			Value: []byte(`{"schema":{"type":"struct","name":"p.public.t.Envelope","fields":[` + image + `]},"payload":` + event + `}`)}); err != nil {
			t.Fatal(err)
		}

		value := `{"oneOf":[{"type":"null"},{"type":"object","title":"p.public.t.Value","properties":{` + strings.Join(properties, ",") + `}}]}`
		schemas := map[uint64]string{
			1: `{"type":"object","title":"p.public.t.Key","properties":{"id":{"type":"integer","connect.type":"int64","connect.index":0}}}`,
			2: `{"type":"object","title":"p.public.t.Envelope","properties":{"before":` + value + `,"after":` + value + `,"source":{"type":"object"},"op":{"type":"string"}}}`,
		}
		opt := testOptions()
		opt.Schema = func(id frame.ID) (*frame.Schema, error) {
			text, err := jsonschema.Connect(schemas[id.Number], nil)
			return &frame.Schema{Connect: text}, err
		}
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(Record{Key: framedAs(1, []byte(`{"id":7}`)), Value: framedAs(2, []byte(event))}); err != nil {
			t.Fatal(err)
		}
		if got, want := text(d.Take(nil)), text(sent.Take(nil)); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		if class, err := d.Decode(Record{Key: framedAs(1, []byte(`{"id":7}`)), Value: framedAs(2, []byte(`null`))}); err != nil || class != Row {
			t.Errorf("null in a frame: %v, %v", class, err)
		} else if got := d.Take(nil)[0]; got.Ops[0] != schema.Delete {
			t.Errorf("null in a frame is no delete: %v", got.Ops)
		}
	}
}
