package debezium

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

// cloud is a CloudEvent of JSON around data, as CloudEventsConverter of Debezium writes it.
func cloud(op, data string) string {
	return `{"id":"name:p;lsn:29274832;txId:565","source":"/debezium/postgresql/p","specversion":"1.0","type":"io.debezium.connector.postgresql.DataChangeEvent",
		"time":"2020-01-13T13:55:39.738Z","datacontenttype":"application/json","iodebeziumop":"` + op + `","iodebeziumversion":"3.0","iodebeziumconnector":"postgresql",
		"iodebeziumname":"p","iodebeziumtsms":"1578923739738","iodebeziumsnapshot":"true","iodebeziumdb":"shop","iodebeziumschema":"public","iodebeziumtable":"t",
		"iodebeziumtxId":"565","iodebeziumlsn":"29274832","iodebeziumxmin":null,"data":` + data + `}`
}

const imagesSchema = `{"type":"record","name":"Data","namespace":"p.public.t","fields":[
	{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},{"name":"name","type":["null","string"]}]}]},
	{"name":"after","type":["null","Value"]}]}`

// TestCloudEvents: op and source are in the attributes, the images in the data.
func TestCloudEvents(t *testing.T) {
	withSchema := func(payload string) string {
		row := `"type":"struct","optional":true,"fields":[{"type":"int16","field":"id"},{"type":"string","optional":true,"field":"name"}]`
		return `{"schema":{"type":"struct","fields":[{` + row + `,"field":"before"},{` + row + `,"field":"after"}]},"payload":` + payload + `}`
	}
	want := "public_t(id*:INTEGER name:STRING)\n  0 upsert 1 \"a\"\n  1 upsert 1 \"b\"\n  2 delete 1 NULL\n"
	for name, data := range map[string]func(string) string{"plain": func(s string) string { return s }, "with schema": withSchema} {
		got := decodeAll(t, testOptions(),
			message{`{"id":1}`, cloud("r", data(`{"before":null,"after":{"id":1,"name":"a"}}`))},
			message{`{"id":1}`, cloud("u", data(`{"before":{"id":1,"name":"a"},"after":{"id":1,"name":"b"}}`))},
			message{`{"id":1}`, cloud("d", data(`{"before":{"id":1,"name":"b"},"after":null}`))},
			message{`{"id":1}`, "-"})
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", name, got, want)
		}
	}
	d := NewDecoder("x", testOptions())
	if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(cloud("c", `{"after":{"id":1}}`))}); err != nil || d.Take(nil)[0].Oldest != 1578923739738 {
		t.Error("the commit time is lost", err)
	}
	if class, err := d.Decode(Record{Value: []byte(cloud("m", `{"message":{}}`))}); class != Message || err != nil {
		t.Error(class, err)
	}
	for value, why := range map[string]string{
		cloud("x", `{"after":{"id":1}}`):    `unknown op "x"`,
		cloud("c", `{"before":null}`):       "without an after image",
		cloud("c", `null`):                  "data of the CloudEvent",
		cloud("c", `"%"`):                   "neither an object nor base64",
		cloud("c", `"AAAAAAE="`):            "SLUICE_SCHEMA_REGISTRY_URL is not set",
		cloud("t", `{}`):                    "TRUNCATE",
		`{"specversion":"1.0","type":"io"}`: "no op and source",
	} {
		if _, err := NewDecoder("p.public.t", testOptions()).Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(value)}); err == nil || !strings.Contains(said(err), why) {
			t.Errorf("%s: %v", value, err)
		}
	}
}

// TestCloudEventsAvro: the data, or all of the event, is framed Avro that goavro wrote.
func TestCloudEventsAvro(t *testing.T) {
	data := newAvroRig(t, keySchema, imagesSchema)
	images := func(before, after any) []byte {
		row := func(v any) any {
			if v == nil {
				return nil
			}
			return goavro.Union("p.public.t.Value", map[string]any{"id": int64(1), "name": goavro.Union("string", v)})
		}
		return data.record(t, 1, map[string]any{"before": row(before), "after": row(after)}).Value
	}
	events := []struct {
		op            string
		before, after any
	}{{"c", nil, "a"}, {"u", "a", "b"}, {"d", "b", nil}}
	want := "public_t(id*:INTEGER name:STRING)\n  0 upsert 1 \"a\"\n  1 upsert 1 \"b\"\n  2 delete 1 NULL\n"

	d := NewDecoder("x", data.options())
	for i, e := range events {
		value := cloud(e.op, `"`+base64.StdEncoding.EncodeToString(images(e.before, e.after))+`"`)
		if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(`{"id":1}`), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	if got := text(d.Take(nil)); got != want {
		t.Errorf("data: got\n%swant\n%s", got, want)
	}

	whole := newAvroRig(t, keySchema, `{"type":"record","name":"Envelope","namespace":"p.public.t.CloudEvents","fields":[
		{"name":"id","type":"string"},{"name":"source","type":"string"},{"name":"specversion","type":"string"},{"name":"dataschema","type":"string"},
		{"name":"iodebeziumop","type":"string"},{"name":"iodebeziumtsms","type":"string"},{"name":"iodebeziumdb","type":"string"},
		{"name":"iodebeziumschema","type":["null","string"]},{"name":"iodebeziumtable","type":"string"},{"name":"iodebeziumlsn","type":["null","string"]},{"name":"data","type":"bytes"}]}`)
	opt := whole.options()
	opt.Schema = whole.options().Schema
	whole.types[3] = data.types[2]
	d = NewDecoder("x", opt)
	for i, e := range events {
		body := images(e.before, e.after)
		body[4] = 3 // the id of the images' schema
		rec := whole.record(t, 1, map[string]any{"id": "n", "source": "/debezium/postgresql/p", "specversion": "1.0", "dataschema": "http://r/schemas/ids/3", "iodebeziumop": e.op,
			"iodebeziumtsms": "1578923739738", "iodebeziumdb": "shop", "iodebeziumschema": goavro.Union("string", "public"), "iodebeziumtable": "t", "iodebeziumlsn": nil, "data": body})
		rec.Offset = int64(i)
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
	}
	rows := d.Take(nil)
	if got := text(rows); got != want || rows[0].Oldest != 1578923739738 {
		t.Errorf("event: got\n%swant\n%s", got, want)
	}
}
