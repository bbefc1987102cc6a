package debezium

import (
	"errors"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

func bareOptions(column string) Options {
	opt := testOptions()
	opt.Keys = func(string) []string { return []string{column} }
	return opt
}

// TestBareKeys: a key that is one value without a name is of the column that is
// configured; deletes and tombstones go by it, and so do rows that lack the column.
func TestBareKeys(t *testing.T) {
	const uuid = `"6f1c2b9e-0000-4000-8000-00000000000a"`
	for _, tc := range []struct {
		name           string
		bare           BareKeys
		types          schema.Kind
		key, row, want string // want: the column's kind and value
	}{
		{"number", BareAuto, 0, `5`, `5`, "INTEGER 5"},
		{"text", BareAuto, 0, `"a\u0062"`, `"ab"`, `STRING "ab"`},
		{"uuid", BareAuto, 0, uuid, uuid, "STRING " + uuid},
		{"number with schema", BareAuto, 0, `{"schema":{"type":"int32","optional":false},"payload":5}`, `5`, "INTEGER 5"},
		{"text with schema", BareAuto, 0, `{"schema":{"type":"string","optional":false},"payload":"5"}`, `"5"`, `STRING "5"`},
		{"date with schema", BareAuto, 0, `{"schema":{"type":"int32","name":"io.debezium.time.Date"},"payload":1}`, ``, `DATE 1970-01-02`},
		{"raw text", BareText, 0, `ab`, `"ab"`, `STRING "ab"`},
		{"raw text that looks like a number", BareText, 0, `5`, `"5"`, `STRING "5"`},
		{"raw text of a number", BareText, schema.Integer, `5`, `5`, `INTEGER 5`},
		{"eight bytes", BareLong, 0, "\x00\x00\x00\x00\x00\x00\x00\x05", `5`, "INTEGER 5"},
		{"negative", BareLong, 0, "\xff\xff\xff\xff\xff\xff\xff\xfb", `-5`, "INTEGER -5"},
		{"other keys beside text", BareText, 0, `{"id":5}`, `5`, ""},
	} {
		for _, column := range []string{`"id":` + tc.row + `,`, ""} {
			if column != "" && tc.row == "" || column == "" && tc.want == "" {
				continue
			}
			opt := bareOptions("id")
			opt.BareKeys = tc.bare
			opt.Types = func(string, string) schema.Kind { return schema.Unknown }
			if tc.types != schema.Unknown {
				opt.Types = func(_, source string) schema.Kind { return map[string]schema.Kind{"id": tc.types}[source] }
			}
			row := `{` + column + `"a":true}`
			before := "null"
			if tc.want == "" { // the key is an object, so the row's is asked
				before = row
			}
			got := decodeAll(t, opt,
				message{tc.key, event("c", "null", row)}, message{tc.key, event("u", "null", row)},
				message{tc.key, event("d", before, "null")}, message{tc.key, "-"}, message{tc.key, "-"})
			kind, value, _ := strings.Cut(tc.want, " ")
			if tc.want == "" {
				kind, value = "INTEGER", "5"
			}
			id, want := "id*:"+kind, ""
			if column != "" {
				want = "public_t(" + id + " a:BOOLEAN)\n  0 upsert V true\n  1 upsert V true\n  2 delete V NULL\n  4 delete V NULL\n"
			} else {
				want = "public_t(a:BOOLEAN " + id + ")\n  0 upsert true V\n  1 upsert true V\n  2 delete NULL V\n  4 delete NULL V\n"
			}
			want = strings.ReplaceAll(want, "V", value)
			if tc.want == "" { // and a tombstone's says nothing
				want = strings.Replace(want, "  4 delete 5 NULL\n", "", 1)
			}
			if got != want {
				t.Errorf("%s: got\n%swant\n%s", tc.name, got, want)
			}
		}
	}
}

// TestBareKeysRefused: a bare key never passes for what it is not.
func TestBareKeysRefused(t *testing.T) {
	for _, tc := range []struct {
		name       string
		bare       BareKeys
		keys       []string
		key, value string
		why        string
	}{
		{"no column configured", BareAuto, nil, `5`, event("c", "null", `{"id":5}`), "name the table's key column under tables.public_t.keys"},
		{"tombstone, no column", BareAuto, nil, `5`, "", "tables.public_t.keys"},
		{"the key of something else", BareAuto, []string{"id"}, `6`, event("c", "null", `{"id":5}`), "SLUICE_BARE_KEYS=ignore"},
		{"of another type", BareAuto, []string{"id"}, `5`, event("c", "null", `{"id":"5"}`), "SLUICE_BARE_KEYS=ignore"},
		{"NULL in the row", BareAuto, []string{"id"}, `5`, event("c", "null", `{"id":null}`), "SLUICE_BARE_KEYS=ignore"},
		{"raw text that is not JSON", BareAuto, []string{"id"}, `ab`, event("c", "null", `{"id":"ab"}`), "invalid JSON"},
		{"two columns", BareAuto, []string{"id", "x"}, `5`, event("d", "null", "null"), "without a before image"},
		{"ignored", BareIgnored, []string{"id"}, `5`, event("d", "null", "null"), "without a before image"},
		{"text under a schema that has a number", BareText, []string{"id"}, `5`,
			`{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"int32","field":"id"}]}]},"payload":` + event("c", "null", `{"id":5}`) + `}`, "tables.public_t.types"},
	} {
		opt := testOptions()
		opt.BareKeys = tc.bare
		opt.Keys = func(string) []string { return tc.keys }
		d := NewDecoder("p.public.t", opt)
		class, err := d.Decode(Record{Key: []byte(tc.key), Value: []byte(tc.value)})
		var bad *BadRecord
		if !errors.As(err, &bad) || !strings.Contains(said(err), tc.why) {
			t.Errorf("%s: %v, %v", tc.name, class, said(err))
		}
		if rows := d.Take(nil); len(rows) > 0 {
			t.Errorf("%s left rows:\n%s", tc.name, text(rows))
		}
	}
	opt := bareOptions("id")
	opt.BareKeys = BareIgnored
	got := decodeAll(t, opt, message{`"routed"`, event("c", "null", `{"id":5}`)}, message{`"routed"`, event("d", `{"id":5}`, "null")}, message{`"routed"`, "-"})
	if want := "public_t(id*:INTEGER)\n  0 upsert 5\n  1 delete 5\n"; got != want {
		t.Errorf("ignored: got\n%swant\n%s", got, want)
	}
}

// TestBareKeysHashed: a hashed key is hashed however it is written, and is the row's.
func TestBareKeysHashed(t *testing.T) {
	hashes := map[string]bool{}
	for _, tc := range []struct {
		bare BareKeys
		key  string
	}{{BareAuto, `5`}, {BareText, `5`}, {BareLong, "\x00\x00\x00\x00\x00\x00\x00\x05"}, {BareIgnored, `5`}} {
		opt := bareOptions("id")
		opt.BareKeys, opt.HashKey = tc.bare, []byte("k")
		opt.Rule = func(_, source string) Rule { return map[string]Rule{"id": {Action: Hash}}[source] }
		d := NewDecoder("p.public.t", opt)
		for i, value := range []string{event("c", "null", `{"id":5}`), event("d", `{"id":5}`, "null")} {
			if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(tc.key), Value: []byte(value)}); err != nil {
				t.Fatal(tc, err)
			}
		}
		rows := d.Take(nil)[0]
		for i := range rows.Len() {
			hashes[cell(&rows.Values[0], i)] = true
		}
	}
	if len(hashes) != 1 || hashes[`"5"`] {
		t.Errorf("the hashes of one key: %v", hashes)
	}
}

// TestBareKeyOfDeclaredColumn: a plain key is read as the row's schema has the column.
func TestBareKeyOfDeclaredColumn(t *testing.T) {
	value := `{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"int32","name":"io.debezium.time.Date","field":"id"}]}]},"payload":` + event("c", "null", `{"id":1}`) + `}`
	if got, want := decodeAll(t, bareOptions("id"), message{`1`, value}), "public_t(id*:DATE)\n  0 upsert 1970-01-02\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestBareAvroKeys: goavro writes the keys, of a type without a record around it.
func TestBareAvroKeys(t *testing.T) {
	for schemaText, native := range map[string]any{`"long"`: int64(5), `"int"`: int32(5), `["null","long"]`: goavro.Union("long", int64(5)), `{"type":"int","connect.type":"int16"}`: int32(5)} {
		r := newAvroRig(t, keySchema, avroEnvelope(`{"name":"id","type":"long"},{"name":"a","type":["null","string"]}`))
		typ, err := avro.Parse(schemaText)
		if err != nil {
			t.Fatal(err)
		}
		r.types[1] = typ
		codec, err := goavro.NewCodec(strings.Replace(schemaText, `,"connect.type":"int16"`, "", 1))
		if err != nil {
			t.Fatal(err)
		}
		key, err := codec.BinaryFromNative(nil, native)
		if err != nil {
			t.Fatal(err)
		}
		opt := r.options()
		opt.Keys = func(string) []string { return []string{"id"} }
		d := NewDecoder("p.public.t", opt)
		row := map[string]any{"id": int64(5), "a": goavro.Union("string", "x")}
		value := map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", row), "source": avroSource(), "transaction": nil, "op": "c", "ts_ms": nil}
		rec := r.record(t, 5, value)
		rec.Key = framedAs(1, key)
		for _, one := range []Record{rec, {Offset: 1, Key: rec.Key}} {
			if _, err := d.Decode(one); err != nil {
				t.Fatal(schemaText, err)
			}
		}
		if got, want := text(d.Take(nil)), "public_t(id*:INTEGER a:STRING)\n  0 upsert 5 \"x\"\n  1 delete 5 NULL\n"; got != want {
			t.Errorf("%s: got\n%swant\n%s", schemaText, got, want)
		}
		row["id"] = int64(6)
		other := r.record(t, 6, value)
		other.Key = rec.Key
		if _, err := d.Decode(other); err == nil || !strings.Contains(said(err), "SLUICE_BARE_KEYS=ignore") {
			t.Errorf("another row's key: %v", err)
		}
	}
}
