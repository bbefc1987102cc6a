package debezium

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

func testOptions() Options {
	return Options{Table: func(id Identity) string { return id.Schema + "_" + id.Table }, Traces: true}
}

// text renders runs for comparison: a line for the columns of a run, then one a row.
func text(runs []*schema.Rows) string {
	var b strings.Builder
	for _, r := range runs {
		b.WriteString(r.Table + "(")
		for i, c := range r.Columns {
			if i > 0 {
				b.WriteString(" ")
			}
			b.WriteString(c.Name)
			if c.Key {
				b.WriteString("*")
			}
			b.WriteString(":" + c.Type.Kind.String())
		}
		b.WriteString(")\n")
		for i := range r.Len() {
			fmt.Fprintf(&b, "  %d %v", r.Offsets[i], r.Ops[i])
			for c := range r.Columns {
				b.WriteString(" " + cell(&r.Values[c], i))
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

func cell(v *schema.Values, i int) string {
	switch v.States[i] {
	case schema.Null:
		return "NULL"
	case schema.Unavailable:
		return "unavailable"
	case schema.Missing:
		return "missing"
	}
	switch v.Kind {
	case schema.String:
		return strconv.Quote(string(v.Bytes(i)))
	case schema.Float:
		return strconv.FormatFloat(v.Float(i), 'g', -1, 64)
	case schema.Boolean:
		return strconv.FormatBool(v.Nums[i] != 0)
	case schema.Date:
		return time.Unix(v.Nums[i]*86400, 0).UTC().Format("2006-01-02")
	case schema.DateTime:
		return time.UnixMicro(v.Nums[i]).UTC().Format("2006-01-02T15:04:05.999999")
	case schema.Time:
		return time.UnixMicro(v.Nums[i]).UTC().Format("15:04:05.999999")
	}
	return strconv.FormatInt(v.Nums[i], 10)
}

func event(op, before, after string) string {
	return fmt.Sprintf(`{"before":%s,"after":%s,"source":{"version":"3.0","connector":"postgresql","ts_ms":1700000000000,"db":"shop","schema":"public","table":"t"},"op":"%s","ts_ms":1}`, before, after, op)
}

type message struct{ key, value string }

// said is a bad record's error with its remedy.
func said(err error) string {
	var bad *BadRecord
	if errors.As(err, &bad) {
		return bad.Error() + "; " + bad.Remedy
	}
	return fmt.Sprint(err)
}

func decodeAll(t *testing.T, opt Options, msgs ...message) string {
	t.Helper()
	d := NewDecoder("p.public.t", opt)
	for i, m := range msgs {
		rec := Record{Offset: int64(i), Key: []byte(m.key), Value: []byte(m.value)}
		if m.key == "-" {
			rec.Key = nil
		}
		if m.value == "-" {
			rec.Value = nil
		}
		if _, err := d.Decode(rec); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	return text(d.Take(nil))
}

func TestPlainJSON(t *testing.T) {
	for _, tc := range []struct {
		name string
		msgs []message
		want string
	}{
		{"operations", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":"x","b":true}`)},
			{`{"id":2}`, event("r", "null", `{"id":2,"a":"","b":null}`)},
			{`{"id":1}`, event("u", "null", `{"id":1,"a":"y","b":false}`)},
			{`{"id":2}`, event("d", `{"id":2,"a":"","b":null}`, "null")},
			{`{"id":2}`, "-"},
		}, `public_t(id*:INTEGER a:STRING b:BOOLEAN)
  0 upsert 1 "x" true
  1 upsert 2 "" NULL
  2 upsert 1 "y" false
  3 delete 2 NULL NULL
`},
		{"sixty-four bits keep their digits", []message{
			{`{"id":9223372036854775807}`, event("c", "null", `{"id":9223372036854775807,"a":-9223372036854775808}`)},
		}, `public_t(id*:INTEGER a:INTEGER)
  0 upsert 9223372036854775807 -9223372036854775808
`},
		{"widening keeps what was and never narrows", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":5,"b":null}`)},
			{`{"id":2}`, event("c", "null", `{"id":2,"a":5.25,"b":7}`)},
			{`{"id":3}`, event("c", "null", `{"id":3,"a":6,"b":8}`)},
			{`{"id":4}`, event("c", "null", `{"id":4,"a":9007199254740993,"b":9}`)},
			{`{"id":5}`, event("c", "null", `{"id":5,"a":1.50,"b":9223372036854775808}`)},
		}, `public_t(id*:INTEGER a:INTEGER b:UNKNOWN)
  0 upsert 1 5 NULL
public_t(id*:INTEGER a:FLOAT b:INTEGER)
  1 upsert 2 5.25 7
  2 upsert 3 6 8
public_t(id*:INTEGER a:STRING b:INTEGER)
  3 upsert 4 "9007199254740993" 9
public_t(id*:INTEGER a:STRING b:STRING)
  4 upsert 5 "1.5" "9223372036854775808"
`},
		{"a decimal with more digits than a double has", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":0.12345678901234567890}`)},
		}, `public_t(id*:INTEGER a:STRING)
  0 upsert 1 "0.12345678901234567890"
`},
		{"sixteen digits that no double has", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":90071992547409.93}`)},
		}, `public_t(id*:INTEGER a:STRING)
  0 upsert 1 "90071992547409.93"
`},
		{"a number so small that no double has its digits", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":1e-400,"b":1.2345678e-320,"c":5e-324,"d":0e-400}`)},
		}, `public_t(id*:INTEGER a:STRING b:STRING c:FLOAT d:FLOAT)
  0 upsert 1 "1e-400" "1.2345678e-320" 5e-324 0
`},
		{"seventeen digits that are a double's", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":0.30000000000000004}`)},
		}, `public_t(id*:INTEGER a:FLOAT)
  0 upsert 1 0.30000000000000004
`},
		{"nested values are compact text", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":{"x": [1, "a b\" "]},"b":[ ]}`)},
		}, `public_t(id*:INTEGER a:STRING b:STRING)
  0 upsert 1 "{\"x\":[1,\"a b\\\" \"]}" "[]"
`},
		{"escapes", []message{
			{`{"id":"\u00e9\ud83d\ude00"}`, event("c", "null", `{"id":"é😀","a":"\"\\\/\b\f\n\r\t\u0000"}`)},
		}, `public_t(id*:STRING a:STRING)
  0 upsert "é😀" "\"\\/\b\f\n\r\t\x00"
`},
		{"a column that comes later and one that goes", []message{
			{`{"id":1}`, event("c", "null", `{"id":1,"a":1}`)},
			{`{"id":2}`, event("c", "null", `{"b":2,"id":2}`)},
		}, `public_t(id*:INTEGER a:INTEGER b:INTEGER)
  0 upsert 1 1 NULL
  1 upsert 2 NULL 2
`},
		{"key columns stand where the row has them", []message{
			{`{"y":"k","x":1}`, event("c", "null", `{"a":1,"x":1,"b":2,"y":"k"}`)},
		}, `public_t(a:INTEGER x*:INTEGER b:INTEGER y*:STRING)
  0 upsert 1 1 2 "k"
`},
		{"a key column that only the key has", []message{
			{`{"id":1,"__dbz__physicalTableIdentifier":"s1"}`, event("c", "null", `{"id":1,"a":1}`)},
		}, `public_t(id*:INTEGER a:INTEGER __dbz__physicalTableIdentifier*:STRING)
  0 upsert 1 1 "s1"
`},
		{"tombstones in all their shapes", []message{
			{`{"id":1}`, event("c", "null", `{"id":1}`)},
			{`{"id":1}`, "-"}, {`{"id":1}`, "null"}, {`{"id":1}`, ""},
			{`{"id":1}`, `{"schema":null,"payload":null}`},
			{`{"id":1}`, `{"schema":{"type":"struct","fields":[]},"payload":null}`},
		}, `public_t(id*:INTEGER)
  0 upsert 1
  1 delete 1
  2 delete 1
  3 delete 1
  4 delete 1
  5 delete 1
`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := decodeAll(t, testOptions(), tc.msgs...); got != tc.want {
				t.Errorf("got\n%swant\n%s", got, tc.want)
			}
		})
	}
}

func TestKeysKeepTypesApart(t *testing.T) {
	keys := map[string]string{}
	for _, key := range []string{
		`{"a":"1b","b":"2"}`, `{"a":"1","b":"b2"}`, `{"a":"","b":"1bb2"}`, `{"a":1,"b":"2"}`, `{"a":"1","b":"2"}`, `{"a":true,"b":"2"}`,
		`{"a":"\u0000\u0000\u0000\u0000\u0000\u0000\u0000\u0001","b":"2"}`,
	} {
		d := NewDecoder("p.public.t", testOptions())
		if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(event("c", "null", key))}); err != nil {
			t.Fatal(err)
		}
		k := string(d.Take(nil)[0].Key(0))
		if other, ok := keys[k]; ok {
			t.Errorf("%s and %s are one key", key, other)
		}
		keys[k] = key
	}
	// The order of the members does not matter.
	d := NewDecoder("p.public.t", testOptions())
	for _, key := range []string{`{"a":1,"b":"x"}`, `{"b":"x","a":1}`} {
		if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(event("c", "null", `{"a":1,"b":"x"}`))}); err != nil {
			t.Fatal(err)
		}
	}
	rows := d.Take(nil)[0]
	if string(rows.Key(0)) != string(rows.Key(1)) {
		t.Error("one key in two orders of members gave two keys")
	}
}

func TestClasses(t *testing.T) {
	for _, tc := range []struct {
		want       Class
		key, value string
	}{
		{Heartbeat, `{"serverName":"p"}`, `{"ts_ms":1700000000000}`},
		{Transaction, `{"id":"571:53195829"}`, `{"status":"BEGIN","id":"571:53195829","event_count":null,"data_collections":null,"ts_ms":1}`},
		{Transaction, `{"id":"571"}`, `{"status":"END","id":"571","event_count":2,"data_collections":[{"data_collection":"public.a","event_count":1}],"ts_ms":1}`},
		{SchemaChange, `{"databaseName":"inventory"}`, `{"source":{"db":"inventory"},"ts_ms":1,"databaseName":"inventory","schemaName":null,"ddl":"CREATE TABLE c (id INT)","tableChanges":[]}`},
		{Signal, `p`, `{"type":"execute-snapshot","data":{"data-collections":["public.t"]}}`},
		{Signal, `{"id":"1"}`, strings.ReplaceAll(event("c", "null", `{"id":"1","type":"x","data":""}`), `"table":"t"`, `"table":"debezium_signal"`)},
		{Message, `{"prefix":"x"}`, `{"op":"m","ts_ms":1,"source":{"schema":"","table":""},"message":{"prefix":"x","content":"aGk="}}`},
		{Notification, `{"id":"u"}`, `{"id":"u","aggregate_type":"Initial Snapshot","type":"STARTED","additional_data":{},"timestamp":1}`},
		{Heartbeat, `{"serverName":"p"}`, `{"schema":{"type":"struct","fields":[{"type":"int64","field":"ts_ms"}],"name":"io.debezium.connector.common.Heartbeat"},"payload":{"ts_ms":1}}`},
	} {
		d := NewDecoder("p.public.t", testOptions())
		got, err := d.Decode(Record{Key: []byte(tc.key), Value: []byte(tc.value)})
		if err != nil || got != tc.want {
			t.Errorf("%.60s: %v, %v; want %v", tc.value, got, err, tc.want)
		}
		if runs := d.Take(nil); len(runs) != 0 {
			t.Errorf("%.60s: changed a table: %s", tc.value, text(runs))
		}
	}
}

func TestBadRecords(t *testing.T) {
	good := message{`{"id":1}`, event("c", "null", `{"id":1,"a":"x"}`)}
	for _, tc := range []struct {
		name, key, value string
		want             string
	}{
		{"not JSON", `{"id":1}`, `\x00\x01`, "invalid JSON"},
		{"cut short", `{"id":1}`, event("c", "null", `{"id":1}`)[:80], "invalid JSON"},
		{"text behind the value", `{"id":1}`, event("c", "null", `{"id":1}`) + "x", "invalid JSON"},
		{"broken number in a row", `{"id":1}`, event("c", "null", `{"id":1,"a":01}`), "malformed number"},
		{"broken JSON within a value", `{"id":1}`, event("c", "null", `{"id":1,"a":[1 2]}`), "invalid JSON"},
		{"broken UTF-8", `{"id":1}`, event("c", "null", "{\"id\":1,\"a\":\"\xff\"}"), "column a: a string that is not valid UTF-8"},
		{"an image twice", `{"id":1}`, `{"after":{"id":1},` + event("c", "null", `{"id":2}`)[1:], `member "after" twice`},
		{"more columns than any table has", `{"id":1}`, event("c", "null", `{"id":1`+manyMembers(20_000)+`}`), "more than 10000 columns"},
		{"broken UTF-8 in a column's name", `{"id":1}`, event("c", "null", "{\"id\":1,\"b\xff\":1}"), `the column name "b\xff" is not valid UTF-8`},
		{"broken UTF-8 in a table's name", `{"id":1}`, strings.Replace(event("c", "null", `{"id":1}`), `"t"`, "\"\xff\"", 1), `the name "\xff" is not valid UTF-8`},
		{"half a surrogate pair in a table's name", `{"id":1}`, strings.Replace(event("c", "null", `{"id":1}`), `"t"`, `"\ud83d"`, 1), "source: invalid JSON: half"},
		{"half a surrogate pair", `{"id":1}`, event("c", "null", `{"id":1,"a":"\ud83d"}`), "surrogate"},
		{"unknown op", `{"id":1}`, event("z", "null", `{"id":1}`), `unknown op "z"`},
		{"truncate", "-", event("t", "null", "null"), "TRUNCATE"},
		{"no key", "-", event("c", "null", `{"id":1}`), "tables.public_t.keys in the tables file"},
		{"NULL in the key", `{"id":null}`, event("c", "null", `{"id":null}`), "column id: a key column without a value"},
		{"another key", `{"id":1,"b":2}`, event("c", "null", `{"id":1,"b":2}`), `column "b" is new in it`},
		{"key of another type", `{"id":"1"}`, event("c", "null", `{"id":"1"}`), "type of a key column changed from INTEGER to STRING"},
		{"flattened row", `{"id":1}`, `{"id":1,"op":"c"}`, "ExtractNewRecordState"},
		{"no after image", `{"id":1}`, event("u", "null", "null"), "without an after image"},
		{"column twice", `{"id":1}`, event("c", "null", `{"id":1,"a":"x","a":"y"}`), "twice in the row"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := NewDecoder("p.public.t", testOptions())
			if _, err := d.Decode(Record{Offset: 1, Key: []byte(good.key), Value: []byte(good.value)}); err != nil {
				t.Fatal(err)
			}
			rec := Record{Offset: 2, Key: []byte(tc.key), Value: []byte(tc.value)}
			if tc.key == "-" {
				rec.Key = nil
			}
			if tc.name == "no key" {
				d = NewDecoder("p.public.t", testOptions())
				_, err := d.Decode(rec)
				if err == nil || !strings.Contains(said(err), tc.want) {
					t.Fatalf("got %v, want %q", err, tc.want)
				}
				return
			}
			_, err := d.Decode(rec)
			var bad *BadRecord
			if !errors.As(err, &bad) || !strings.Contains(said(err), tc.want) {
				t.Fatalf("got %v, want %q", err, tc.want)
			}
			if _, err := d.Decode(Record{Offset: 3, Key: []byte(good.key), Value: []byte(good.value)}); err != nil {
				t.Fatalf("the record after it: %v", err)
			}
			want := "public_t(id*:INTEGER a:STRING)\n  1 upsert 1 \"x\"\n  3 upsert 1 \"x\"\n"
			if got := text(d.Take(nil)); got != want {
				t.Errorf("it left a trace:\n%s", got)
			}
		})
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"c%d":%d`, i, i)
	}
	return b.String()
}

// TestManyColumns: a row of many columns, all of which widen, is read again for each of
// them, and none is lost.
func TestManyColumns(t *testing.T) {
	d := NewDecoder("p.public.t", testOptions())
	for i, row := range []string{`{"id":1` + manyMembers(300) + `}`, `{"id":1` + strings.ReplaceAll(manyMembers(300), ",", `.5,`)[2:] + `.5}`} {
		if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", row))}); err != nil {
			t.Fatal(err)
		}
	}
	runs := d.Take(nil)
	if len(runs) != 2 || runs[1].Len() != 1 || len(runs[1].Columns) != 301 {
		t.Fatalf("%d runs", len(runs))
	}
	for i := range 300 {
		if got, want := cell(&runs[1].Values[i+1], 0), fmt.Sprintf("%d.5", i); got != want {
			t.Fatalf("column %d: %s, want %s", i, got, want)
		}
	}
}

// TestAppend: rows without a key are told apart by where their records stand, and those
// read twice are one; what changes a row is refused.
func TestAppend(t *testing.T) {
	opt := testOptions()
	opt.Mode = func(table string) Mode { return map[string]Mode{"public_t": ModeAppend}[table] }
	d := NewDecoder("p.public.t", opt)
	same := []byte(event("c", "null", `{"id":1,"a":"x"}`))
	for _, rec := range []Record{{Offset: 1, Value: same}, {Offset: 2, Value: same, Key: []byte(`{"id":1}`)}, {Offset: 2, Partition: 1, Value: same}, {Offset: 1, Value: same}} {
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
	}
	for _, op := range []string{"u", "d"} {
		_, err := d.Decode(Record{Offset: 3, Value: []byte(event(op, `{"id":1,"a":"x"}`, `{"id":1,"a":"y"}`))})
		var bad *BadRecord
		if !errors.As(err, &bad) || !bad.OfTable || !strings.Contains(said(err), "tables.public_t.append") || !strings.Contains(said(err), "skipped.operations=u,d") {
			t.Errorf("op %s: %v", op, said(err))
		}
	}
	if class, err := d.Decode(Record{Offset: 4, Key: []byte(`{"id":1}`)}); class != Tombstone || err != nil {
		t.Errorf("a tombstone is a %v, %v", class, err)
	}
	rows := d.Take(nil)
	if len(rows) != 1 || rows[0].Len() != 4 {
		t.Fatalf("%s", text(rows))
	}
	for _, c := range rows[0].Columns {
		if c.Key {
			t.Errorf("column %s is part of a key", c.Name)
		}
	}
	keys := map[string]bool{}
	for i := range rows[0].Len() {
		keys[string(rows[0].Key(i))] = true
	}
	if len(keys) != 3 {
		t.Errorf("%d rows, want 3", len(keys))
	}
	other := NewDecoder("p2.public.t", opt)
	if _, err := other.Decode(Record{Offset: 1, Value: same}); err != nil {
		t.Fatal(err)
	}
	if keys[string(other.Take(nil)[0].Key(0))] {
		t.Error("rows of two topics are one")
	}
}

func TestConfiguredKeys(t *testing.T) {
	opt := testOptions()
	opt.Keys = func(string) []string { return []string{"k"} }
	got := decodeAll(t, opt,
		message{"-", event("c", "null", `{"a":1,"k":"x"}`)},
		message{"-", event("u", `{"a":1,"k":"x"}`, `{"a":2,"k":"x"}`)},
		message{"-", event("u", `{"a":2,"k":"x"}`, `{"a":2,"k":"y"}`)},
		message{"-", event("d", `{"a":2,"k":"y"}`, "null")})
	want := `public_t(a:INTEGER k*:STRING)
  0 upsert 1 "x"
  1 upsert 2 "x"
  2 delete NULL "x"
  2 upsert 2 "y"
  3 delete NULL "y"
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	d := NewDecoder("t", opt)
	_, err := d.Decode(Record{Value: []byte(event("d", "null", "null"))})
	if err == nil || !strings.Contains(said(err), "REPLICA IDENTITY FULL") {
		t.Errorf("delete without before image: %v", err)
	}
}

// TestOrderColumn: every upsert carries its offset, in plain JSON and under a schema.
func TestOrderColumn(t *testing.T) {
	opt := testOptions()
	opt.Metadata = func(string) []MetadataColumn { return []MetadataColumn{{KafkaOffset, "change_no"}} }
	got := decodeAll(t, opt,
		message{`{"id":1}`, event("c", "null", `{"id":1,"s":"a"}`)},
		message{`{"id":1}`, event("d", `{"id":1}`, "null")},
		message{`{"id":1}`, event("u", "null", `{"id":1,"s":"b","more":true}`)})
	want := `public_t(id*:INTEGER s:STRING change_no:INTEGER more:BOOLEAN)
  0 upsert 1 "a" 0 NULL
  1 delete 1 NULL NULL NULL
  2 upsert 1 "b" 2 true
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	_, err := NewDecoder("p.public.t", opt).Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"change_no":5}`))})
	if err == nil || !strings.Contains(err.Error(), `"change_no"`) {
		t.Errorf("a source column of that name: %v", err)
	}
}

// TestColumnNames: columns are renamed for the target, key and configured key
// included; two of one name are refused.
func TestColumnNames(t *testing.T) {
	opt := testOptions()
	opt.Column = func(_, source string) string { return strings.ReplaceAll(source, " ", "_") }
	msgs := []message{
		{`{"the id":1}`, event("c", "null", `{"a b":2,"the id":1}`)},
		{`{"the id":1}`, event("d", `{"the id":1}`, "null")},
	}
	want := "public_t(a_b:INTEGER the_id*:INTEGER)\n  0 upsert 2 1\n  1 delete NULL 1\n"
	if got := decodeAll(t, opt, msgs...); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	opt.Keys = func(string) []string { return []string{"the id"} }
	if got := decodeAll(t, opt, msgs...); got != want {
		t.Errorf("configured key: got\n%swant\n%s", got, want)
	}
	_, err := NewDecoder("p.public.t", opt).Decode(Record{Value: []byte(event("c", "null", `{"the id":1,"a b":2,"a_b":3}`))})
	if err == nil || !strings.Contains(err.Error(), `"a b" and "a_b" are both named "a_b"`) {
		t.Errorf("two columns of one name: %v", err)
	}
}

// TestTombstoneFirst: a tombstone before any row finds its table by the topic's
// name, if that tells all that the target's name is made of.
func TestTombstoneFirst(t *testing.T) {
	want := "public_t(id*:INTEGER)\n  0 delete 1\n"
	if got := decodeAll(t, testOptions(), message{`{"id":1}`, "-"}); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	opt := testOptions()
	opt.Table = func(id Identity) string { return id.Database + "_" + id.Table }
	_, err := NewDecoder("p.public.t", opt).Decode(Record{Key: []byte(`{"id":1}`)})
	if err == nil || !strings.Contains(said(err), "tables.<table>.topic") {
		t.Errorf("a table without its database: %v", err)
	}
}

// TestTombstoneOfManyTables: in a topic of several tables a tombstone must not
// delete another table's row.
func TestTombstoneOfManyTables(t *testing.T) {
	of := func(table, op string) string {
		return strings.ReplaceAll(event(op, "null", `{"id":5}`), `"table":"t"`, `"table":"`+table+`"`)
	}
	gone := func(table string) string {
		return strings.ReplaceAll(of(table, "d"), `"after":{"id":5}`, `"after":null`)
	}
	d := NewDecoder("all", testOptions())
	for i, m := range []message{{`{"id":5}`, of("a", "c")}, {`{"id":5}`, of("b", "c")}, {`{"id":5}`, gone("b")}, {`{"id":5}`, ""}} {
		rec := Record{Offset: int64(i), Key: []byte(m.key), Value: []byte(m.value)}
		if class, err := d.Decode(rec); err != nil || (class == Tombstone) != (i == 3) {
			t.Fatal(i, class, err)
		}
	}
	want := "public_a(id*:INTEGER)\n  0 upsert 5\npublic_b(id*:INTEGER)\n  1 upsert 5\n  2 delete 5\n"
	if got := text(d.Take(nil)); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if _, err := d.Decode(Record{Key: []byte(`{"id":5}`)}); err == nil || !strings.Contains(said(err), "tables.<table>.topic") {
		t.Errorf("a tombstone of either table: %v", err)
	}
	opt := testOptions()
	opt.TopicTable = func(string) string { return "public_b" }
	d = NewDecoder("all", opt)
	for _, value := range []string{of("a", "c"), of("b", "c"), ""} {
		if _, err := d.Decode(Record{Key: []byte(`{"id":5}`), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := text(d.Take(nil)), "public_a(id*:INTEGER)\n  0 upsert 5\npublic_b(id*:INTEGER)\n  0 upsert 5\n  0 delete 5\n"; got != want {
		t.Errorf("configured: got\n%swant\n%s", got, want)
	}
	// The name of the key's schema tells, whatever the topic is called.
	key := `{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}],"name":"shop.public.b.Key"},"payload":{"id":5}}`
	if got, want := decodeIn(t, "all", message{key, of("a", "c")}, message{key, "-"}), "public_a(id*:INTEGER)\n  0 upsert 5\npublic_b(id*:INTEGER)\n  1 delete 5\n"; got != want {
		t.Errorf("by the key's schema: got\n%swant\n%s", got, want)
	}
}

func decodeIn(t *testing.T, topic string, msgs ...message) string {
	t.Helper()
	d := NewDecoder(topic, testOptions())
	for i, m := range msgs {
		rec := Record{Offset: int64(i), Key: []byte(m.key), Value: []byte(m.value)}
		if m.value == "-" {
			rec.Value = nil
		}
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(i, err)
		}
	}
	return text(d.Take(nil))
}

// TestUnwrappedRows: rows without their envelope are bad records, however much
// they look like one of Debezium's side records.
func TestUnwrappedRows(t *testing.T) {
	for _, value := range []string{`{"id":5,"type":"x","data":"y"}`, `{"type":"x","data":{"a":1}}`, `{"id":5,"status":"END","amount":7}`, `{"ts_ms":5}`, `{"id":1}`} {
		class, err := NewDecoder("p.public.t", testOptions()).Decode(Record{Key: []byte(`{"id":5}`), Value: []byte(value)})
		if err == nil || !strings.Contains(err.Error(), "ExtractNewRecordState") {
			t.Errorf("%s passes for a %v: %v", value, class, err)
		}
	}
}

// TestBadRecordLeavesNoTrace: the types of columns are those that they would be
// without the bad record, also in the run that was open.
func TestBadRecordLeavesNoTrace(t *testing.T) {
	ok := func(id int, row string) message {
		return message{fmt.Sprintf(`{"id":%d}`, id), event("c", "null", fmt.Sprintf(`{"id":%d,%s}`, id, row))}
	}
	const invalid = "\"\xff\"" // no UTF-8
	for _, tc := range []struct {
		name        string
		before, bad message
		after       message
	}{
		{"a widening", ok(1, `"a":1`), ok(2, `"a":`+invalid), ok(3, `"a":5`)},
		{"two widenings", ok(1, `"a":1,"b":1`), ok(2, `"a":2.5,"b":`+invalid), ok(3, `"a":5,"b":2`)},
		{"a first value", ok(1, `"a":null,"b":1`), ok(2, `"a":"x","b":`+invalid), ok(3, `"a":5,"b":2`)},
		{"a first value, then a widening", ok(1, `"a":null,"b":1,"c":"x"`), ok(2, `"a":1,"b":2.5,"c":`+invalid), ok(3, `"a":true,"b":2,"c":"y"`)},
	} {
		with := NewDecoder("p.public.t", testOptions())
		for i, m := range []message{tc.before, tc.bad, tc.after} {
			if _, err := with.Decode(Record{Key: []byte(m.key), Value: []byte(m.value)}); (err != nil) != (i == 1) {
				t.Fatal(tc.name, i, err)
			}
		}
		without := NewDecoder("p.public.t", testOptions())
		for _, m := range []message{tc.before, tc.after} {
			if _, err := without.Decode(Record{Key: []byte(m.key), Value: []byte(m.value)}); err != nil {
				t.Fatal(tc.name, err)
			}
		}
		if got, want := typedCells(with.Take(nil)), typedCells(without.Take(nil)); got != want {
			t.Errorf("%s: got\n%swant\n%s", tc.name, got, want)
		}
	}
}

// typedCells renders rows, a line each, with the type of what they hold, whichever
// run they are in.
func typedCells(runs []*schema.Rows) string {
	var b strings.Builder
	for _, r := range runs {
		for i := range r.Len() {
			for c := range r.Columns {
				if v := &r.Values[c]; v.States[i] != schema.Null {
					fmt.Fprintf(&b, "%s %v %s  ", r.Columns[c].Name, r.Columns[c].Type.Kind, cell(v, i))
				}
			}
			b.WriteString("\n")
		}
	}
	return b.String()
}

// TestTypesGiven: a column of plain JSON has the type that the tables file gives it,
// whatever comes first.
func TestTypesGiven(t *testing.T) {
	opt := testOptions()
	opt.Types = func(_, source string) schema.Kind {
		return map[string]schema.Kind{"price": schema.Float, "code": schema.String, "id": schema.String}[source]
	}
	got := decodeAll(t, opt,
		message{`{"id":1}`, event("c", "null", `{"id":1,"price":5,"code":12}`)},
		message{`{"id":"x"}`, event("c", "null", `{"id":"x","price":5.25,"code":"a"}`)})
	want := `public_t(id*:STRING price:FLOAT code:STRING)
  0 upsert "1" 5 "12"
  1 upsert "x" 5.25 "a"
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestTypeGivenIsFixed: a value that does not fit the kind which the tables file gives is a
// bad record, and the column stays what it is; of a key it holds the table.
func TestTypeGivenIsFixed(t *testing.T) {
	kinds := map[string]schema.Kind{"i": schema.Integer, "f": schema.Float, "b": schema.Boolean, "s": schema.String, "id": schema.Integer}
	opt := testOptions()
	opt.Types = func(_, source string) schema.Kind { return kinds[source] }
	opt.OutOfRange = RangeNull
	const bad = "bad"
	for _, tc := range []struct{ member, value, want string }{
		{"i", "5", "5"}, {"i", "-9223372036854775808", "-9223372036854775808"}, {"i", "true", "1"}, {"i", "false", "0"}, {"i", "null", "NULL"},
		{"i", "1.5", bad}, {"i", "9223372036854775808", bad}, {"i", `"n/a"`, bad}, {"i", "[1]", bad}, {"i", "{}", bad},
		{"f", "5", "5"}, {"f", "0.1", "0.1"}, {"f", "1e300", "1e+300"},
		{"f", "9007199254740993", bad}, {"f", "0.12345678901234567890", bad}, {"f", "1e999", bad}, {"f", "true", bad}, {"f", `"NaN"`, "NULL"}, {"f", `"-Infinity"`, "NULL"}, {"f", `"1.5 kg"`, bad},
		{"b", "true", "true"}, {"b", "0", "false"}, {"b", "1", "true"},
		{"b", "2", bad}, {"b", "1.5", bad}, {"b", `"yes"`, bad},
		{"s", "1.50", `"1.5"`}, {"s", "true", `"true"`}, {"s", `{"a": 1}`, `"{\"a\":1}"`},
	} {
		d := NewDecoder("p.public.t", opt)
		for range 2 { // the second time into the column that the first left
			_, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"`+tc.member+`":`+tc.value+`}`))})
			got := bad
			if err == nil {
				run := d.Take(nil)[0]
				if c := run.Columns[1].Type; c != (schema.Type{Kind: kinds[tc.member]}) {
					t.Errorf("%s %s: the column is %+v", tc.member, tc.value, c)
				}
				got = cell(&run.Values[1], 0)
			} else if s := said(err); ofTable(err) || !strings.Contains(s, "column "+tc.member+":") || !strings.Contains(s, "tables.public_t.types") {
				t.Errorf("%s %s: %s", tc.member, tc.value, s)
			}
			if got != tc.want {
				t.Errorf("%s %s: got %s, want %s", tc.member, tc.value, got, tc.want)
			}
		}
	}
	_, err := NewDecoder("p.public.t", opt).Decode(Record{Key: []byte(`{"id":"x"}`), Value: []byte(event("c", "null", `{"id":"x"}`))})
	if s := said(err); !ofTable(err) || !strings.Contains(s, "tables.public_t.types") {
		t.Errorf("a key: %s", s)
	}
}

// TestPartitionsAgree: a number in a STRING column has one text, whether the column
// became STRING before or after it.
func TestPartitionsAgree(t *testing.T) {
	row := func(v string) message { return message{`{"id":1}`, event("c", "null", `{"id":1,"a":`+v+`}`)} }
	for _, number := range []string{"12.50", "1e3", "0.1", "-7", "12345678901234567890", "true"} {
		first, later := NewDecoder("p.public.t", testOptions()), NewDecoder("p.public.t", testOptions())
		decode := func(d *Decoder, m message) {
			if _, err := d.Decode(Record{Key: []byte(m.key), Value: []byte(m.value)}); err != nil {
				t.Fatal(err)
			}
		}
		decode(first, row(number))
		decode(later, row(`"text"`))
		decode(later, row(number))
		a := first.Take(nil)[0]
		var v schema.Values
		v.Reset(schema.String)
		v.AppendRows(&a.Values[1], []int32{0}) // as the batcher does when the column widens
		b := later.Take(nil)[0]
		if got, want := cell(&b.Values[1], 1), cell(&v, 0); got != want {
			t.Errorf("%s: %s in one partition, %s in another", number, want, got)
		}
	}
}

func ofTable(err error) bool {
	var bad *BadRecord
	return errors.As(err, &bad) && bad.OfTable
}

// allocatesNothing fails if decoding a record again and again takes memory for each. The rows
// stay with the decoder: the pool that Recycle fills may drop what it is given, and with the
// race detector does, at random.
func allocatesNothing(t *testing.T, d *Decoder, rec Record) {
	t.Helper()
	decode := func() {
		for range 1000 {
			if _, err := d.Decode(rec); err != nil {
				t.Fatal(err)
			}
		}
		d.order[0].run.Truncate(0) // which keeps its memory
	}
	decode()
	if n := testing.AllocsPerRun(20, decode); n > 0 {
		t.Errorf("%.0f allocations in 1000 rows", n)
	}
}
