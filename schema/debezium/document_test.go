package debezium

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

// mongo is an event of Debezium's MongoDB connector; "null" is no document.
func mongo(op, before, after string) string {
	quote := func(doc string) string {
		if doc == "null" {
			return doc
		}
		return strconv.Quote(doc)
	}
	return `{"before":` + quote(before) + `,"after":` + quote(after) + `,"updateDescription":null,"source":{"version":"3.0","connector":"mongodb","name":"p","ts_ms":1700000000000,
		"snapshot":"false","db":"shop","rs":"rs0","collection":"t","ord":1},"op":"` + op + `","ts_ms":1}`
}

func mongoKey(id string) string { return `{"id":` + strconv.Quote(id) + `}` }

// TestDocuments: a document's members become columns, its id the key, whatever the form
// of its extended JSON is; the values of each form are those of MongoDB's documentation
// of it.
func TestDocuments(t *testing.T) {
	for name, doc := range map[string]string{
		"version 1": `{"_id" : {"$oid" : "596e275826f08b2730779e1f"},"n" : {"$numberLong" : "9007199254740993"},"i" : 5,"f" : 2.5,"d" : {"$numberDecimal" : "1.10"},
			"at" : {"$date" : 1565546054692},"b" : {"$binary" : "aGk=","$type" : "00"},"u" : {"$undefined" : true},"s" : "x","y" : true,"z" : null,
			"sub" : {"a" : [ {"$numberLong" : "1"}, {"$date" : 0} ],"r" : {"$regex" : "^a","$options" : "i"}}}`,
		"version 2": `{"_id": {"$oid": "596e275826f08b2730779e1f"}, "n": {"$numberLong": "9007199254740993"}, "i": {"$numberInt": "5"}, "f": {"$numberDouble": "2.5"}, "d": {"$numberDecimal": "1.10"},
			"at": {"$date": {"$numberLong": "1565546054692"}}, "b": {"$binary": {"base64": "aGk=", "subType": "00"}}, "u": null, "s": "x", "y": true, "z": null,
			"sub": {"a": [{"$numberLong": "1"}, {"$date": {"$numberLong": "0"}}], "r": {"$regex": "^a", "$options": "i"}}}`,
		"relaxed": `{"_id": {"$oid": "596e275826f08b2730779e1f"}, "n": 9007199254740993, "i": 5, "f": 2.5, "d": {"$numberDecimal": "1.10"},
			"at": {"$date": "2019-08-11T17:54:14.692Z"}, "b": {"$binary": {"base64": "aGk=", "subType": "00"}}, "u": null, "s": "x", "y": true, "z": null,
			"sub": {"a": [1, {"$date": "1970-01-01T00:00:00Z"}], "r": {"$regex": "^a", "$options": "i"}}}`,
	} {
		key := mongoKey(`{"$oid":"596e275826f08b2730779e1f"}`)
		got := decodeAll(t, testOptions(), message{key, mongo("c", "null", doc)}, message{key, mongo("d", "null", "null")}, message{key, "-"})
		want := "_t(_id*:STRING n:INTEGER i:INTEGER f:FLOAT d:FLOAT at:STRING b:STRING u:UNKNOWN s:STRING y:BOOLEAN z:UNKNOWN sub:STRING)\n" +
			`  0 upsert "596e275826f08b2730779e1f" 9007199254740993 5 2.5 1.1 "2019-08-11T17:54:14.692Z" "aGk=" NULL "x" true NULL ` +
			strconv.Quote(`{"a":[1,"1970-01-01T00:00:00.000Z"],"r":{"$regex":"^a","$options":"i"}}`) + "\n" +
			`  1 delete "596e275826f08b2730779e1f"` + strings.Repeat(" NULL", 11) + "\n"
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
}

// TestDocumentIDs: one id has one text in all forms.
func TestDocumentIDs(t *testing.T) {
	for want, forms := range map[string][]string{
		"596e":                     {`{"$oid":"596e"}`, `{ "$oid" : "596e" }`, `"596e"`},
		"1004":                     {`1004`, `{"$numberLong":"1004"}`, `{"$numberInt":"1004"}`, `{"$numberDouble":"1004.0"}`, `1004.0`, `{"$numberDecimal":"1004"}`},
		"-2.5":                     {`-2.5`, `{"$numberDouble":"-2.5"}`, `{"$numberDecimal":"-2.5"}`},
		"a \"b\"":                  {`"a \"b\""`},
		`{"a":1,"b":2}`:            {`{"a":1,"b":2}`, `{"a": {"$numberInt": "1"}, "b": {"$numberLong": "2"}}`},
		"9223372036854775807":      {`{"$numberLong":"9223372036854775807"}`, `9223372036854775807`},
		"2020-01-01T00:00:00.000Z": {`{"$date":1577836800000}`, `{"$date":"2020-01-01T00:00:00Z"}`, `{"$date":{"$numberLong":"1577836800000"}}`},
	} {
		for _, form := range forms {
			d := NewDecoder("p.shop.t", testOptions())
			if _, err := d.Decode(Record{Key: []byte(mongoKey(form)), Value: []byte(mongo("d", "null", "null"))}); err != nil {
				t.Fatal(form, err)
			}
			if got := string(d.Take(nil)[0].Values[0].Bytes(0)); got != want {
				t.Errorf("%s is %q, want %q", form, got, want)
			}
		}
	}
	opt := testOptions()
	opt.Types = func(_, source string) schema.Kind { return map[string]schema.Kind{"_id": schema.Integer}[source] }
	got := decodeAll(t, opt, message{mongoKey(`{"$numberLong":"7"}`), mongo("c", "null", `{"_id":7,"a":1}`)})
	if want := "_t(_id*:INTEGER a:INTEGER)\n  0 upsert 7 1\n"; got != want {
		t.Errorf("with a type: got\n%swant\n%s", got, want)
	}
	// Without the record's key it is the document's own.
	opt = testOptions()
	opt.Keys = func(string) []string { return []string{"_id"} }
	got = decodeAll(t, opt, message{"-", mongo("c", "null", `{"_id":{"$oid":"a"},"a":1}`)}, message{"-", mongo("d", `{"_id":{"$oid":"a"}}`, "null")})
	if want := "_t(_id*:STRING a:INTEGER)\n  0 upsert \"a\" 1\n  1 delete \"a\" NULL\n"; got != want {
		t.Errorf("configured: got\n%swant\n%s", got, want)
	}
	got = decodeAll(t, opt, message{"-", mongo("c", "null", `{"_id":{"$numberLong":"7"},"a":1}`)})
	if want := "_t(_id*:STRING a:INTEGER)\n  0 upsert \"7\" 1\n"; got != want {
		t.Errorf("configured, a number: got\n%swant\n%s", got, want)
	}
}

// TestDocumentTypes: the tables file gives a document's members types as it does those of
// plain JSON, by the plain values that extended JSON stands for, and has their columns in
// each file.
func TestDocumentTypes(t *testing.T) {
	opt := testOptions()
	wires := map[string]string{"created": "timestamp-zoned", "wall": "timestamp-iso", "ms": "timestamp-millis", "price": "decimal(10,2)", "absent": "date-iso"}
	kinds := map[string]schema.Kind{"n": schema.Float, "s": schema.String, "flag": schema.Boolean}
	opt.Wire = func(_, source string) *WireType {
		if wires[source] == "" {
			return nil
		}
		w, err := ParseWireType(wires[source])
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	opt.Types = func(_, source string) schema.Kind { return kinds[source] }
	opt.Columns = func(string) []string { return []string{"absent", "created"} }
	key := mongoKey(`{"$oid":"a"}`)
	for name, doc := range map[string]string{
		"version 1": `{"_id":{"$oid":"a"},"created":{"$date":1565546054692},"wall":{"$date":1565546054692},"ms":{"$numberLong":"1565546054692"},
			"price":{"$numberDecimal":"12.30"},"n":{"$numberLong":"5"},"s":{"$numberInt":"7"},"flag":true}`,
		"version 2": `{"_id":{"$oid":"a"},"created":{"$date":{"$numberLong":"1565546054692"}},"wall":{"$date":{"$numberLong":"1565546054692"}},"ms":1565546054692,
			"price":{"$numberDecimal":"12.3"},"n":{"$numberDouble":"5.0"},"s":7,"flag":true}`,
		"relaxed": `{"_id":{"$oid":"a"},"created":{"$date":"2019-08-11T17:54:14.692Z"},"wall":{"$date":"2019-08-11T17:54:14.692Z"},"ms":1565546054692,
			"price":12.3,"n":5,"s":{"$numberLong":"7"},"flag":true}`,
	} {
		got := decodeAll(t, opt, message{key, mongo("c", "null", doc)}, message{key, mongo("u", "null", `{"_id":{"$oid":"a"},"created":null}`)})
		want := "_t(_id*:STRING created:DATETIME wall:DATETIME ms:DATETIME price:FLOAT n:FLOAT s:STRING flag:BOOLEAN absent:DATE)\n" +
			"  0 upsert \"a\" 2019-08-11T17:54:14.692 2019-08-11T17:54:14.692 2019-08-11T17:54:14.692 12.3 5 \"7\" true NULL\n" +
			"  1 upsert \"a\"" + strings.Repeat(" NULL", 8) + "\n"
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
	for member, value := range map[string]string{"created": `{"$oid":"b"}`, "ms": `"x"`, "n": `{"$numberDecimal":"NaN"}`, "flag": `{"$date":0}`} {
		d := NewDecoder("p.shop.t", opt)
		_, err := d.Decode(Record{Key: []byte(key), Value: []byte(mongo("c", "null", `{"_id":{"$oid":"a"},"`+member+`":`+value+`}`))})
		if s := said(err); err == nil || ofTable(err) || !strings.Contains(s, "column "+member+":") || !strings.Contains(s, "tables._t.types") {
			t.Errorf("%s %s: %s", member, value, s)
		}
	}
	wires["_id"] = "timestamp-zoned"
	_, err := NewDecoder("p.shop.t", opt).Decode(Record{Key: []byte(mongoKey(`{"$date":0}`)), Value: []byte(mongo("c", "null", `{"_id":{"$date":0}}`))})
	if s := said(err); !ofTable(err) || !strings.Contains(s, "tables._t.types") {
		t.Errorf("an id: %s", s)
	}
}

// TestDocumentTombstone: a tombstone that comes first finds the document's key.
func TestDocumentTombstone(t *testing.T) {
	key := mongoKey(`{"$oid":"a"}`)
	got := decodeAll(t, testOptions(), message{key, "-"}, message{key, "null"})
	if want := "public_t(_id*:STRING)\n  0 delete \"a\"\n  1 delete \"a\"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// A number may be a row's text, unless documents came before.
	got = decodeAll(t, testOptions(), message{mongoKey("5"), strings.Replace(mongo("c", "null", `{"_id":5}`), `"db":"shop"`, `"db":"public"`, 1)}, message{mongoKey("6"), "-"})
	if want := "_t(_id*:STRING)\n  0 upsert \"5\"\n  1 delete \"6\"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// A number that comes first is told by the type that the tables file gives _id.
	opt := testOptions()
	opt.Types = func(table, source string) schema.Kind {
		return map[string]schema.Kind{"public_t._id": schema.Integer}[table+"."+source]
	}
	if got, want := decodeAll(t, opt, message{mongoKey("6"), "-"}), "public_t(_id*:INTEGER)\n  0 delete 6\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	d := NewDecoder("p.public.t", testOptions())
	if _, err := d.Decode(Record{Key: []byte(mongoKey("6"))}); err != nil {
		t.Fatal(err)
	}
	value := strings.NewReplacer(`"db":"shop"`, `"schema":"public"`).Replace(mongo("c", "null", `{"_id":6}`))
	if _, err := d.Decode(Record{Offset: 1, Key: []byte(mongoKey("6")), Value: []byte(value)}); err == nil || !strings.Contains(said(err), "give _id its type under tables.public_t.types") {
		t.Errorf("a document after it: %v", err)
	}
	got = decodeAll(t, testOptions(), message{`{"id":"abc"}`, "-"})
	if want := "public_t(id*:STRING)\n  0 delete \"abc\"\n"; got != want {
		t.Errorf("a row's key: got\n%swant\n%s", got, want)
	}
}

// TestDocumentGone: an update without its document is neither a delete nor an empty row.
func TestDocumentGone(t *testing.T) {
	rec := Record{Key: []byte(mongoKey("5")), Value: []byte(mongo("u", "null", "null"))}
	_, err := NewDecoder("p.shop.t", testOptions()).Decode(rec)
	var bad *BadRecord
	if !errors.As(err, &bad) || bad.OfTable || bad.Table != "_t" || !strings.Contains(bad.Remedy, "change_streams_update_full") {
		t.Errorf("%v", said(err))
	}
	opt := testOptions()
	opt.SkipGone = true
	d := NewDecoder("p.shop.t", opt)
	if class, err := d.Decode(rec); class != Gone || err != nil || len(d.Take(nil)) != 0 {
		t.Error(class, err)
	}
	for doc, why := range map[string]string{`[1]`: "invalid JSON", `{"_id":5,"a":{]}`: "invalid JSON", `{"_id":5`: "invalid JSON", `{"_id":5,"a":{"b" 1}}`: "invalid JSON"} {
		if _, err := NewDecoder("p.shop.t", testOptions()).Decode(Record{Key: rec.Key, Value: []byte(mongo("c", "null", doc))}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

// TestDocumentsUnderSchemas: the documents are strings to JsonConverter and Avro as well.
func TestDocumentsUnderSchemas(t *testing.T) {
	member := func(field string) string {
		return `{"type":"string","optional":true,"name":"io.debezium.data.Json","version":1,"field":"` + field + `"}`
	}
	wrap := func(value string) string {
		return `{"schema":{"type":"struct","name":"p.shop.t.Envelope","fields":[` + member("before") + `,` + member("after") + `]},"payload":` + value + `}`
	}
	key := `{"schema":{"type":"struct","name":"p.shop.t.Key","fields":[{"field":"id","type":"string","optional":false}]},"payload":{"id":"7"}}`
	want := "_t(_id*:STRING a:INTEGER)\n  0 upsert \"7\" 1\n  1 delete \"7\" NULL\n"
	if got := decodeAll(t, testOptions(), message{key, wrap(mongo("c", "null", `{"_id":7,"a":1}`))}, message{key, wrap(mongo("d", "null", "null"))}, message{key, "-"}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}

	r := newAvroRig(t, `{"type":"record","name":"Key","namespace":"p.shop.t","fields":[{"name":"id","type":"string"}]}`,
		`{"type":"record","name":"Envelope","namespace":"p.shop.t","fields":[
		{"name":"before","type":["null",{"type":"string","connect.name":"io.debezium.data.Json"}]},{"name":"after","type":["null",{"type":"string","connect.name":"io.debezium.data.Json"}]},
		{"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"connector","type":"string"},{"name":"db","type":"string"},{"name":"collection","type":"string"}]}},
		{"name":"op","type":["null","string"]}]}`)
	d := NewDecoder("p.shop.t", r.options())
	id, err := r.key.BinaryFromNative(nil, map[string]any{"id": `{"$numberLong":"7"}`})
	if err != nil {
		t.Fatal(err)
	}
	for i, after := range []any{goavro.Union("string", `{"_id":7,"a":1}`), nil} {
		body, err := r.value.BinaryFromNative(nil, map[string]any{"before": nil, "after": after, "op": goavro.Union("string", []string{"c", "d"}[i]),
			"source": map[string]any{"connector": "mongodb", "db": "shop", "collection": "t"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(Record{Offset: int64(i), Key: framedAs(1, id), Value: framedAs(2, body)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(d.Take(nil)); got != want {
		t.Errorf("Avro: got\n%swant\n%s", got, want)
	}
	d = NewDecoder("p.shop.t", r.options())
	if _, err := d.Decode(Record{Key: framedAs(1, id)}); err != nil {
		t.Fatal(err)
	}
	if got := text(d.Take(nil)); got != "shop_t(_id*:STRING)\n  0 delete \"7\"\n" {
		t.Errorf("Avro tombstone: %s", got)
	}
}

// FuzzPlain: what is not extended JSON keeps its value, and all else stays JSON; in memory
// in proportion to it.
func FuzzPlain(f *testing.F) {
	for _, doc := range []string{`{"a":{"$oid":"x"},"b":[{"$numberLong":"5"},1.5,{"$date":{"$numberLong":"1"}}]}`, `{"$binary":{"base64":"a"},"x":1}`, `[{"$":1},{"":2}]`,
		`{"$numberLong":{}}`, `{"$date":"x\""}`, `"\u0000"`, `{"$numberDouble":""}`, `{"$binary":{"base64":"\"\\\u0000"}}`} {
		f.Add(doc)
	}
	f.Fuzz(func(t *testing.T, doc string) {
		var out []byte
		var err error
		schematest.Within(t, 1<<12, 64, len(doc), func() { out, err = appendPlain(nil, []byte(doc)) })
		if !json.Valid([]byte(doc)) {
			if err == nil {
				t.Fatalf("%q is no JSON", doc)
			}
			return
		}
		if err != nil {
			if errors.Is(err, errDepth) {
				return
			}
			t.Fatalf("%q: %v", doc, err)
		}
		if !json.Valid(out) {
			t.Fatalf("%q became %q", doc, out)
		}
		if !strings.Contains(doc, "$") && !strings.Contains(doc, `\`) {
			var want bytes.Buffer
			if err := json.Compact(&want, []byte(doc)); err != nil || want.String() != string(out) {
				t.Fatalf("%q became %q", doc, out)
			}
		}
	})
}

// TestAvroDocumentDeleted: a delete of a document in Avro is read, also before any document.
func TestAvroDocumentDeleted(t *testing.T) {
	r := newAvroRig(t, `{"type":"record","name":"Key","namespace":"p.shop.t","fields":[{"name":"id","type":"string"}]}`,
		`{"type":"record","name":"Envelope","namespace":"p.shop.t","fields":[{"name":"before","type":["null","string"]},{"name":"after","type":["null","string"]},
		{"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"connector","type":"string"},{"name":"db","type":"string"},{"name":"collection","type":"string"}]}},{"name":"op","type":"string"}]}`)
	d := NewDecoder("p.shop.t", r.options())
	for offset, op := range []string{"d", "c", "d"} {
		value := map[string]any{"before": nil, "after": nil, "source": map[string]any{"connector": "mongodb", "db": "shop", "collection": "t"}, "op": op}
		if op == "c" {
			value["after"] = goavro.Union("string", `{"_id":1,"a":2}`)
		}
		body, err := r.value.BinaryFromNative(nil, value)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(Record{Offset: int64(offset), Key: framedAs(1, []byte{2, '1'}), Value: framedAs(2, body)}); err != nil {
			t.Errorf("op %s: %v", op, err)
		}
	}
	want := "_t(_id*:STRING a:INTEGER)\n  0 delete \"1\" NULL\n  1 upsert \"1\" 2\n  2 delete \"1\" NULL\n"
	if got := text(d.Take(nil)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if document.shape != nil {
		t.Error("a table's columns are in the plan that all decoders share")
	}
}
