package debezium

import (
	"fmt"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema"
)

// flatSchema wraps a row of a table with an id, a NOT NULL name and the transform's
// fields, as JsonConverter does.
func flatSchema(row string) string {
	return `{"schema":{"type":"struct","name":"p.public.t.Value","optional":false,"fields":[
		{"type":"int32","optional":false,"field":"id"},{"type":"string","optional":false,"field":"name"},
		{"type":"string","optional":true,"field":"__op"},{"type":"string","optional":true,"field":"__table"},
		{"type":"int64","optional":true,"field":"__source_ts_ms"},{"type":"string","optional":true,"field":"__deleted"}]},"payload":` + row + `}`
}

// TestFlattened: rows that ExtractNewRecordState took out of their envelope, in the
// modes of delete.tombstone.handling.mode (Debezium documentation, "New record state
// extraction").
func TestFlattened(t *testing.T) {
	const cols = "public_t(id*:INTEGER name:STRING)\n"
	for _, tc := range []struct {
		name string
		opt  func(*Options)
		msgs []message
		want string
	}{
		{"tombstone", nil, []message{
			{`{"id":1}`, flatSchema(`{"id":1,"name":"a"}`)},
			{`{"id":1}`, `{"schema":{"type":"struct","name":"p.public.t.Value","fields":[]},"payload":null}`},
			{`{"id":2}`, flatSchema(`{"id":2,"name":"b"}`)},
			{`{"id":2}`, "-"},
		}, cols + "  0 upsert 1 \"a\"\n  1 delete 1 NULL\n  2 upsert 2 \"b\"\n  3 delete 2 NULL\n"},
		{"rewrite", nil, []message{
			{`{"id":1}`, `{"id":1,"name":"a","__deleted":"false"}`},
			{`{"id":1}`, `{"id":1,"name":"","__deleted":"true"}`}, // "" is what Debezium puts for want of the value
			{`{"id":2}`, `{"id":2,"name":"","__deleted":true}`},
		}, cols + "  0 upsert 1 \"a\"\n  1 delete 1 NULL\n  2 delete 2 NULL\n"},
		{"rewrite-with-tombstone", nil, []message{
			{`{"id":1}`, flatSchema(`{"id":1,"name":"a","__op":"c","__table":"t","__source_ts_ms":5,"__deleted":"false"}`)},
			{`{"id":1}`, flatSchema(`{"id":1,"name":"","__op":"d","__table":"t","__source_ts_ms":5,"__deleted":"true"}`)},
			{`{"id":1}`, "-"},
		}, cols + "  0 upsert 1 \"a\"\n  1 delete 1 NULL\n"},
		{"op alone, in either case", nil, []message{
			{`{"id":1}`, `{"id":1,"name":"a","__op":"R"}`},
			{`{"id":1}`, `{"id":1,"name":"a","__op":"d"}`},
		}, cols + "  0 upsert 1 \"a\"\n  1 delete 1 NULL\n"},
		{"nothing added, by the setting", func(o *Options) { o.Events = EventsFlattened }, []message{
			{`{"id":1}`, `{"id":1,"name":"a"}`}, {`{"id":1}`, "null"},
		}, cols + "  0 upsert 1 \"a\"\n  1 delete 1 NULL\n"},
		{"another prefix", func(o *Options) { o.FlattenedPrefix = "dbz." }, []message{
			{`{"id":1}`, `{"id":1,"name":"a","dbz.op":"c","dbz.lsn":7,"__op":"d","__deleted":"false"}`},
		}, "public_t(id*:INTEGER name:STRING __op:STRING)\n  0 upsert 1 \"a\" \"d\"\n"},
		{"metadata kept", func(o *Options) { o.KeepMetadata = true }, []message{
			{`{"id":1}`, `{"id":1,"name":"a","__op":"c","__source_lsn":7}`},
		}, "public_t(id*:INTEGER name:STRING __op:STRING __source_lsn:INTEGER)\n  0 upsert 1 \"a\" \"c\" 7\n"},
		{"columns of the table's own", nil, []message{
			{`{"id":1}`, `{"id":1,"__v":3,"op":"x","source":"web","after":null,"__op":"c"}`},
		}, "public_t(id*:INTEGER __v:INTEGER op:STRING source:STRING after:UNKNOWN)\n  0 upsert 1 3 \"x\" \"web\" NULL\n"},
		{"the same, under the setting and without metadata", func(o *Options) { o.Events = EventsFlattened }, []message{
			{`{"_id":1}`, `{ "_id" : 1, "data" : "hello, 1", "op" : "foo" }`},
			{`{"_id":3}`, `{"_id":3,"data":null,"op":"c","source":{"a":1},"after":"x"}`},
		}, "public_t(_id*:INTEGER data:STRING op:STRING source:STRING after:STRING)\n  0 upsert 1 \"hello, 1\" \"foo\" NULL NULL\n  1 upsert 3 NULL \"c\" \"{\\\"a\\\":1}\" \"x\"\n"},
		{"configured keys", func(o *Options) { o.Keys = func(string) []string { return []string{"id"} } }, []message{
			{"-", flatSchema(`{"id":1,"name":"a"}`)},
			{"-", flatSchema(`{"id":1,"name":"","__deleted":"true"}`)},
		}, cols + "  0 upsert 1 \"a\"\n  1 delete 1 NULL\n"},
		{"rows that are only added", func(o *Options) { o.Mode = func(string) Mode { return ModeAppend } }, []message{
			{"-", flatSchema(`{"id":1,"name":"a"}`)},
		}, "public_t(id:INTEGER name:STRING)\n  0 upsert 1 \"a\"\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opt := testOptions()
			if tc.opt != nil {
				tc.opt(&opt)
			}
			if got := decodeAll(t, opt, tc.msgs...); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
		})
	}
}

// TestFlattenedRefused: what might be anything is not taken for a row.
func TestFlattenedRefused(t *testing.T) {
	for _, tc := range []struct {
		events     Events
		value, why string
	}{
		{EventsAuto, `{"id":1,"name":"a"}`, "SLUICE_EVENTS=flattened"},
		{EventsAuto, `{"id":1,"op":"foo"}`, "SLUICE_EVENTS=flattened"},
		{EventsAuto, `{"id":1,"__v":1}`, "SLUICE_EVENTS=flattened"},
		{EventsEnvelope, `{"id":1,"__op":"c"}`, "no op and source"},
		{EventsEnvelope, flatSchema(`{"id":1,"name":"a"}`), "no op and source"},
		{EventsFlattened, `[1]`, "invalid JSON"},
		{EventsAuto, `{"id":1,"__op":"x"}`, `unknown op "x"`},
		{EventsAuto, `{"id":1,"__op":"create"}`, `unknown op "create"`},
	} {
		opt := testOptions()
		opt.Events = tc.events
		d := NewDecoder("p.public.t", opt)
		if class, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(tc.value)}); err == nil || !strings.Contains(said(err), tc.why) {
			t.Errorf("%d %s: %v, %v", tc.events, tc.value, class, err)
		}
		if rows := d.Take(nil); len(rows) > 0 {
			t.Errorf("%s left rows:\n%s", tc.value, text(rows))
		}
	}
	// The setting leaves envelopes and side records what they are.
	opt := testOptions()
	opt.Events = EventsFlattened
	got := decodeAll(t, opt, message{`{"id":1}`, event("c", "null", `{"id":1}`)},
		message{`{"serverName":"p"}`, `{"ts_ms":1}`}, message{`{"id":"5"}`, `{"status":"BEGIN","id":"5","event_count":null,"data_collections":null}`})
	if want := "public_t(id*:INTEGER)\n  0 upsert 1\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	// An outbox's row is none of Debezium's notifications.
	got = decodeAll(t, opt, message{`{"id":"u"}`, `{"id":"u","aggregate_type":"order","aggregate_id":"7","type":"made","payload":"{}"}`})
	if !strings.Contains(got, `upsert "u" "order" "7" "made" "{}"`) {
		t.Errorf("an outbox's row: %s", got)
	}
	got = decodeAll(t, opt, message{`{"id":"u"}`, `{"id":"u","aggregate_type":"order","aggregate_id":"7","type":"made","payload":"{}","timestamp":5}`})
	if !strings.Contains(got, `upsert "u" "order" "7" "made" "{}" 5`) {
		t.Errorf("an outbox's row with a time: %s", got)
	}
}

// TestFlattenedTable: a row says which table it is of, or names of schemas and topic do.
func TestFlattenedTable(t *testing.T) {
	key := func(name string) string {
		return `{"schema":{"type":"struct","name":"` + name + `.Key","fields":[{"type":"int32","field":"id"}]},"payload":{"id":1}}`
	}
	for _, tc := range []struct {
		name, topic, key, value, want string
	}{
		{"topic", "p.s.t", `{"id":1}`, `{"id":1,"__op":"c"}`, ".s.t"},
		{"field within the topic's schema", "p.s.t", `{"id":1}`, `{"id":1,"__op":"c","__table":"t"}`, ".s.t"},
		{"database that has no schemas", "p.shop.t", `{"id":1}`, `{"id":1,"__op":"c","__table":"t","__db":"shop"}`, "shop..t"},
		{"database and schema", "p.s.t", `{"id":1}`, `{"id":1,"__op":"c","__db":"shop"}`, "shop.s.t"},
		{"all of it", "routed", `{"id":1}`, `{"id":1,"__op":"c","__source_table":"t","__source_schema":"s","__source_db":"d"}`, "d.s.t"},
		{"null fields", "p.s.t", `{"id":1}`, `{"id":1,"__op":"c","__table":null,"__schema":null}`, ".s.t"},
		{"collection", "p.shop.t", `{"id":1}`, `{"id":1,"__op":"c","__collection":"t"}`, ".shop.t"},
		{"schema's name", "routed", `{"id":1}`, strings.ReplaceAll(flatSchema(`{"id":1,"name":"a"}`), "p.public.t", "p.s.t"), ".s.t"},
		{"key's schema", "routed", key("p.s.t"), `{"id":1,"__op":"c"}`, ".s.t"},
		{"tables file", "listed", `{"id":1}`, `{"id":1,"__op":"c"}`, "by topic"},
		{"nothing", "routed", `{"id":1}`, `{"id":1,"__op":"c"}`, "does not say which table"},
		{"table without its schema", "routed", `{"id":1}`, `{"id":1,"__op":"c","__table":"t"}`, "does not say which table"},
	} {
		opt := Options{
			Table:      func(id Identity) string { return id.Database + "." + id.Schema + "." + id.Table },
			TopicTable: func(topic string) string { return map[string]string{"listed": "by topic"}[topic] },
		}
		if !strings.HasPrefix(tc.want, "d.") && !strings.HasPrefix(tc.want, "shop.") {
			opt.Table = func(id Identity) string { return "." + id.Schema + "." + id.Table }
		}
		d := NewDecoder(tc.topic, opt)
		for i := range 2 { // the second is found again
			_, err := d.Decode(Record{Offset: int64(i), Key: []byte(tc.key), Value: []byte(tc.value)})
			if err != nil {
				if !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: %v", tc.name, err)
				}
				continue
			}
			if rows := d.Take(nil); len(rows) != 1 || rows[0].Table != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, text(rows), tc.want)
			}
		}
	}
	// Two tables in one topic, told apart by nothing but their schemas' names.
	d := NewDecoder("all", testOptions())
	for i, table := range []string{"a", "b", "a", "b"} {
		if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(key("p.public." + table)),
			Value: []byte(strings.ReplaceAll(flatSchema(`{"id":1,"name":"x"}`), "public.t", "public."+table))}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := d.Decode(Record{Offset: 4, Key: []byte(key("p.public.b"))}); err != nil {
		t.Fatal(err)
	}
	want := "public_a(id*:INTEGER name:STRING)\n  0 upsert 1 \"x\"\n  2 upsert 1 \"x\"\npublic_b(id*:INTEGER name:STRING)\n  1 upsert 1 \"x\"\n  3 upsert 1 \"x\"\n  4 delete 1 NULL\n"
	if got := text(d.Take(nil)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestFlattenedTime: the commit time is the source's where the row has it.
func TestFlattenedTime(t *testing.T) {
	for fields, want := range map[string]int64{`"__source_ts_ms":5,"__ts_ms":9`: 5, `"__ts_ms":9,"__source_ts_ms":5`: 5, `"__ts_ms":9`: 9, `"__ts_ms":"9"`: 9, `"__lsn":9`: 0} {
		d := NewDecoder("p.public.t", testOptions())
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(`{"id":1,"__op":"c",` + fields + `}`)}); err != nil {
			t.Fatal(err)
		}
		if rows := d.Take(nil)[0]; rows.Oldest != want || len(rows.Columns) != 1 {
			t.Errorf("%s: %d, want %d, with %d columns", fields, rows.Oldest, want, len(rows.Columns))
		}
	}
}

// TestFlattenedMetadata: what a row does not tell of its change is NULL.
func TestFlattenedMetadata(t *testing.T) {
	opt := testOptions()
	opt.Metadata = func(string) []MetadataColumn {
		return []MetadataColumn{{Operation, "op"}, {SourceTime, "at"}, {SourcePosition, "position"}, {KafkaOffset, "offset"}}
	}
	got := decodeAll(t, opt, message{`{"id":1}`, `{"id":1,"__deleted":"false"}`}, message{`{"id":1}`, `{"id":1,"__op":"u","__source_ts_ms":1700000000000}`},
		message{`{"id":1}`, cloud("r", `{"after":{"id":1}}`)})
	want := "public_t(id*:INTEGER op:STRING at:DATETIME position:STRING offset:INTEGER)\n  0 upsert 1 NULL NULL NULL 0\n" +
		"  1 upsert 1 \"u\" 2023-11-14T22:13:20 NULL 1\n  2 upsert 1 \"r\" 2020-01-13T13:55:39.738 NULL 2\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestFlattenedEnvelopeColumns: a schema's name tells a row whose columns are called as an
// envelope's members are.
func TestFlattenedEnvelopeColumns(t *testing.T) {
	got := decodeAll(t, testOptions(), message{`{"id":1}`, `{"schema":{"type":"struct","name":"p.public.t.Value","fields":[{"type":"int32","field":"id"},{"type":"string","field":"op"},
		{"type":"string","field":"before"},{"type":"string","field":"after"}]},"payload":{"id":1,"op":"d","before":"x","after":"y"}}`},
		message{`{"id":2}`, `{"schema":{"type":"struct","name":"p.public.t.Value","fields":[{"type":"int32","field":"id"},{"type":"string","field":"op"},
		{"type":"string","field":"before"},{"type":"string","field":"after"}]},"payload":{"id":2,"op":"t","before":null,"after":"y"}}`})
	if want := "public_t(id*:INTEGER op:STRING before:STRING after:STRING)\n  0 upsert 1 \"d\" \"x\" \"y\"\n  1 upsert 2 \"t\" NULL \"y\"\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	row := &envelope{op: []byte(`"c"`), source: []byte(`{}`), after: []byte(`{}`)}
	if row.isEnvelope("p.public.t.Value", EventsAuto) || !row.isEnvelope("p.public.t.Envelope", EventsAuto) {
		t.Error("the schema's name does not tell")
	}
}

// TestFlattenedUnavailable: without an op a row may be an update, which leaves out what
// it did not change, unless its header tells that its key changed; and nothing pairs the two
// halves of that.
func TestFlattenedUnavailable(t *testing.T) {
	moved := []Header{{oldKeyHeader, []byte(`{"id":2}`)}}
	for _, tc := range []struct {
		fields  string
		headers []Header
		want    schema.State
	}{
		{`"__op":"u"`, nil, schema.Unavailable}, {`"__op":"u"`, moved, schema.Unavailable}, {`"__op":"c"`, nil, schema.Missing}, {`"__op":"c"`, moved, schema.Missing},
		{`"__deleted":"false"`, nil, schema.Unavailable}, {`"__deleted":"false"`, moved, schema.Missing},
	} {
		d := NewDecoder("p.public.t", testOptions())
		rec := Record{Key: []byte(`{"id":1}`), Value: []byte(`{"id":1,"a":"__debezium_unavailable_value",` + tc.fields + `}`), Headers: tc.headers}
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
		rows := d.Take(nil)[0]
		if got := rows.Values[1].States[0]; got != tc.want || len(rows.Moves) > 0 {
			t.Errorf("%s, %d headers: state %d, want %d; %d moves", tc.fields, len(tc.headers), got, tc.want, len(rows.Moves))
		}
	}
}

// TestFlattenedAvro reads rows that goavro wrote.
func TestFlattenedAvro(t *testing.T) {
	r := newAvroRig(t, keySchema, `{"type":"record","name":"Value","namespace":"p.public.t","fields":[
		{"name":"id","type":"long"},{"name":"op","type":"string"},{"name":"source","type":["null","string"],"default":null},
		{"name":"__op","type":["null","string"]},{"name":"__table","type":["null","string"]},{"name":"__lsn","type":["null","long"]},
		{"name":"before","type":"string"},{"name":"after","type":"string"},
		{"name":"__source_ts_ms","type":["long","null"]},{"name":"__ts_ms","type":["null","long"]},{"name":"__deleted","type":["null","string"]}]}`)
	d := NewDecoder("routed", r.options())
	for i, op := range []string{"c", "u", "d"} {
		rec := r.record(t, 1, map[string]any{"id": int64(1), "op": fmt.Sprint("own", i), "source": goavro.Union("string", "web"), "before": "b", "after": "a", "__op": goavro.Union("string", op),
			"__table": goavro.Union("string", "t"), "__lsn": goavro.Union("long", int64(4)), "__ts_ms": goavro.Union("long", int64(9)),
			"__source_ts_ms": goavro.Union("long", int64(5)), "__deleted": goavro.Union("string", fmt.Sprint(op == "d"))})
		rec.Offset = int64(i)
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
		if op == "d" { // its tombstone
			if class, err := d.Decode(Record{Offset: 3, Key: rec.Key}); class != Tombstone || err != nil {
				t.Fatal(class, err)
			}
		}
	}
	rows := d.Take(nil)
	want := "public_t(id*:INTEGER op:STRING source:STRING before:STRING after:STRING)\n  0 upsert 1 \"own0\" \"web\" \"b\" \"a\"\n  1 upsert 1 \"own1\" \"web\" \"b\" \"a\"\n  2 delete 1 NULL NULL NULL NULL\n"
	if got := text(rows); got != want || rows[0].Oldest != 5 {
		t.Errorf("got\n%s%d, want\n%s", got, rows[0].Oldest, want)
	}
	if rows[0].Ops[2] != schema.Delete {
		t.Error("no delete")
	}
}
