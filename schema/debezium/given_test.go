package debezium

import (
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema"
)

// givenOptions have the tables file name columns that the rows may lack.
func givenOptions(opt Options) Options {
	opt.Types = func(_, source string) schema.Kind {
		return map[string]schema.Kind{"gone": schema.Float, "v": schema.String}[source]
	}
	opt.Columns = func(string) []string { return []string{"gone", "v"} }
	return opt
}

// TestGivenColumns: what the tables file names is a column whatever the rows are written in
// and whatever comes first; one that a schema has keeps the schema's type.
func TestGivenColumns(t *testing.T) {
	const key = `{"id":1}`
	remove := message{key, event("d", `{"id":1}`, "null")}
	plain := message{key, event("u", "null", `{"id":1,"a":2}`)}
	typedKey, row := withSchema(typed("int32", "", ""), `"v":5`)
	_, without := withSchema(`{"type":"int32","optional":true,"field":"a"}`, `"a":2`)
	document := message{`{"id":"1"}`, `{"after":"{\"_id\":1,\"a\":2}","source":{"connector":"mongodb","db":"shop","collection":"t"},"op":"c"}`}
	gone := message{`{"id":"1"}`, `{"before":null,"after":null,"source":{"connector":"mongodb","db":"shop","collection":"t"},"op":"d"}`}
	const typedCols = "public_t(id*:INTEGER v:INTEGER gone:FLOAT)\n"
	for _, tc := range []struct {
		name string
		mode Mode
		msgs []message
		want string
	}{
		{"plain JSON", ModeUpsert, []message{plain}, "public_t(id*:INTEGER a:INTEGER gone:FLOAT v:STRING)\n  0 upsert 1 2 NULL NULL\n"},
		{"plain JSON, a delete first", ModeUpsert, []message{remove, plain}, "public_t(id*:INTEGER gone:FLOAT v:STRING a:INTEGER)\n  0 delete 1 NULL NULL NULL\n  1 upsert 1 NULL NULL 2\n"},
		{"plain JSON, a tombstone first", ModeUpsert, []message{{key, ""}, plain}, "public_t(id*:INTEGER gone:FLOAT v:STRING a:INTEGER)\n  0 delete 1 NULL NULL NULL\n  1 upsert 1 NULL NULL 2\n"},
		{"JSON with schema", ModeUpsert, []message{{typedKey, row}}, typedCols + "  0 upsert 1 5 NULL\n"},
		{"JSON with schema, a tombstone first", ModeUpsert, []message{{typedKey, ""}, {typedKey, row}}, "public_t(id*:INTEGER gone:FLOAT v:INTEGER)\n  0 delete 1 NULL NULL\n  1 upsert 1 NULL 5\n"},
		{"JSON with schema, which lacks both", ModeUpsert, []message{{typedKey, without}}, "public_t(id*:INTEGER a:INTEGER gone:FLOAT v:STRING)\n  0 upsert 1 2 NULL NULL\n"},
		{"documents", ModeUpsert, []message{document}, "_t(_id*:STRING a:INTEGER gone:FLOAT v:STRING)\n  0 upsert \"1\" 2 NULL NULL\n"},
		{"documents, a delete first", ModeUpsert, []message{gone, document}, "_t(_id*:STRING gone:FLOAT v:STRING a:INTEGER)\n  0 delete \"1\" NULL NULL NULL\n  1 upsert \"1\" NULL NULL 2\n"},
		{"a soft delete first", ModeSoftDelete, []message{{key, ""}, plain},
			"public_t(id*:INTEGER (rest):UNKNOWN gone:FLOAT v:STRING a:INTEGER)\n  0 upsert 1 unavailable unavailable unavailable unavailable\n  1 upsert 1 NULL NULL NULL 2\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opt := givenOptions(testOptions())
			opt.Mode = func(string) Mode { return tc.mode }
			if got := decodeAll(t, opt, tc.msgs...); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
		})
	}

	r := newAvroRig(t, keySchema, avroEnvelope(`{"name":"id","type":"long"},{"name":"v","type":["null","int"]}`))
	rec := r.record(t, 1, map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", map[string]any{"id": int64(1), "v": goavro.Union("int", int32(5))}),
		"source": avroSource(), "transaction": nil, "op": "c", "ts_ms": nil})
	removal := r.record(t, 1, map[string]any{"before": nil, "after": nil, "source": avroSource(), "transaction": nil, "op": "d", "ts_ms": nil})
	for _, tc := range []struct {
		first Record
		want  string
	}{{removal, "0 delete 1 NULL NULL"}, {rec, "0 upsert 1 5 NULL"}} {
		d := NewDecoder("p.public.t", givenOptions(r.options()))
		for i, rec := range []Record{tc.first, rec} {
			rec.Offset = int64(i)
			if _, err := d.Decode(rec); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := text(d.Take(nil)), typedCols+"  "+tc.want+"\n  1 upsert 1 5 NULL\n"; got != want {
			t.Errorf("Avro: got\n%swant\n%s", got, want)
		}
	}
}
