package jsonschema

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

// TestConnect: keywords as the documentation of Confluent's converter has them, against
// what JsonConverter would send of the same schema, both written by hand.
func TestConnect(t *testing.T) {
	for _, tc := range []struct{ name, schema, want string }{
		{"an integer of Connect", `{"type":"integer","title":"io.debezium.time.Date","connect.type":"int32","connect.version":1}`,
			`{"type":"int32","optional":false,"name":"io.debezium.time.Date","version":1}`},
		{"an optional one", `{"connect.index":3,"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int8"}]}`, `{"type":"int8","optional":true}`},
		{"a decimal", `{"type":"number","title":"org.apache.kafka.connect.data.Decimal","connect.type":"bytes","connect.version":1,"connect.parameters":{"scale":"2","connect.decimal.precision":10}}`,
			`{"type":"bytes","optional":false,"name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"connect.decimal.precision":"10","scale":"2"}}`},
		{"floats", `{"type":"object","properties":{"b":{"type":"number","connect.type":"float64","connect.index":0},"a":{"type":"number","connect.type":"float32","connect.index":1}}}`,
			`{"type":"struct","optional":false,"fields":[{"type":"double","optional":false,"field":"b"},{"type":"float","optional":false,"field":"a"}]}`},
		{"a default", `{"type":"boolean","default":true}`, `{"type":"boolean","optional":false,"default":true}`},
		{"types that Connect did not write", `{"type":"object","properties":{"i":{"type":"integer"},"n":{"type":["null","number"]},"e":{"enum":["a","b"]},"x":{}}}`,
			`{"type":"struct","optional":false,"fields":[{"type":"string","optional":false,"field":"e"},{"type":"int64","optional":false,"field":"i"},{"type":"double","optional":true,"field":"n"},{"type":"anything","optional":false,"field":"x"}]}`},
		{"a union", `{"oneOf":[{"type":"string"},{"type":"null"},{"type":"integer"}]}`, `{"type":"one of 2 types","optional":true}`},
		{"an array", `{"type":"array","items":{"oneOf":[{"type":"null"},{"type":"string"}]}}`, `{"type":"array","optional":false,"items":{"type":"string","optional":true}}`},
		{"a map", `{"type":"object","connect.type":"map","additionalProperties":{"type":"string"}}`, `{"type":"map","optional":false,"keys":{"type":"string","optional":false},"values":{"type":"string","optional":false}}`},
		{"a map of other keys", `{"type":"array","connect.type":"map","items":{"type":"object","properties":{"key":{"type":"integer","connect.type":"int32","connect.index":0},"value":{"type":"string","connect.index":1}}}}`,
			`{"type":"map","optional":false,"keys":{"type":"int32","optional":false},"values":{"type":"string","optional":false}}`},
		{"one definition twice", `{"type":"object","properties":{"a":{"$ref":"#/definitions/V~1x"},"b":{"oneOf":[{"type":"null"},{"$ref":"#/definitions/V~1x"}]}},"definitions":{"V/x":{"type":"object","title":"V","properties":{"i":{"type":"string"}}}}}`,
			`{"type":"struct","optional":false,"fields":[{"type":"struct","optional":false,"name":"V","field":"a","fields":[{"type":"string","optional":false,"field":"i"}]},{"type":"struct","optional":true,"name":"V","field":"b","fields":[{"type":"string","optional":false,"field":"i"}]}]}`},
		{"another document, which refers to itself", `{"$ref":"other.json"}`, `{"type":"struct","optional":false,"name":"Other","fields":[{"type":"string","optional":false,"field":"s"}]}`},
		{"a place in another document", `{"$ref":"other.json#/definitions/s"}`, `{"type":"string","optional":false}`},
		{"a type that holds itself", `{"type":"object","title":"T","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}}}`,
			`{"type":"struct","optional":false,"name":"T","fields":[{"type":"struct","optional":false,"name":"T","field":"a"},{"type":"struct","optional":false,"name":"T","field":"b"}]}`},
	} {
		got, err := Connect(tc.schema, map[string]string{"other.json": `{"type":"object","title":"Other","properties":{"s":{"$ref":"#/definitions/s"}},"definitions":{"s":{"type":"string"}}}`})
		if err != nil || string(got) != tc.want {
			t.Errorf("%s: %v, got\n%s, want\n%s", tc.name, err, got, tc.want)
		}
	}
	// Few types with a long name, each of which holds the next twice.
	named := `{"$ref":"#/d/a","d":{`
	for c := 'a'; c < 'n'; c++ {
		named += fmt.Sprintf(`"%c":{"type":"object","properties":{"x":{"$ref":"#/d/%c"},"y":{"$ref":"#/d/%c"}}},`, c, c+1, c+1)
	}
	named += `"n":{"title":"` + strings.Repeat("long", 1000) + `"}}}`
	doubling := `{"$ref":"#/d/a","d":{`
	for c := 'a'; c < 'z'; c++ { // the same of many
		doubling += fmt.Sprintf(`"%c":{"type":"object","properties":{"x":{"$ref":"#/d/%c"},"y":{"$ref":"#/d/%c"}}},`, c, c+1, c+1)
	}
	for _, tc := range []struct{ schema, want string }{
		{`{`, "JSON schema"}, {`{"$ref":"#"}`, "leads nowhere"}, {`{"$ref":"gone.json"}`, "names none of the schema's references"},
		{`{"$ref":"#/nowhere"}`, "names nothing"}, {`{"$ref":"#anchor"}`, "not supported"}, {doubling + `"z":{"type":"string"}}}`, "too many types"}, {named, "too many types"},
	} {
		if got, err := Connect(tc.schema, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.80s: %s, %v, want %q", tc.schema, got, err, tc.want)
		}
	}
}

// FuzzConnect: no text makes it fail but in an error, nor take memory out of proportion.
func FuzzConnect(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		var got []byte
		var err error
		schematest.Within(t, 64<<20, 1<<12, len(text), func() { got, err = Connect(text, map[string]string{"other.json": text}) })
		if err == nil && len(got) == 0 {
			t.Error("neither a schema nor an error")
		}
	})
}
