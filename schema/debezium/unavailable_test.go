package debezium

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

// TestUnavailable: the placeholder becomes a state, in whatever form it comes, and gives
// its column no type. What follows it is read.
func TestUnavailable(t *testing.T) {
	forms := []string{
		`"__debezium_unavailable_value"`,
		`["__debezium_unavailable_value"]`,
		`{"__debezium_unavailable_value": "__debezium_unavailable_value"}`,
		`"{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}"`,
		`"X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="`,
		`"5f5f646562657a69756d5f756e617661696c61626c655f76616c7565"`,
	}
	for _, form := range forms {
		got := decodeAll(t, testOptions(),
			message{`{"id":1}`, event("u", "null", `{"id":1,"a":`+form+`,"b":7}`)},
			message{`{"id":2}`, event("c", "null", `{"id":2,"a":`+form+`,"b":8}`)},
			message{`{"id":3}`, event("u", "null", `{"id":3,"a":5,"b":9}`)})
		want := `public_t(id*:INTEGER a:INTEGER b:INTEGER)
  0 upsert 1 unavailable 7
  1 upsert 2 missing 8
  2 upsert 3 5 9
`
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", form, got, want)
		}
	}
}

// TestUnavailableObject: what some versions of Debezium write for the placeholder is text
// like any other, unless the options say that they did.
func TestUnavailableObject(t *testing.T) {
	const object = "java.lang.Object@2c5e36a7"
	for _, objects := range []bool{false, true} {
		for text, placeholder := range map[string]bool{object: true, "java.lang.Object@a": true,
			"java.lang.Object@": false, object + "0": false, "java.lang.Object@2C": false, "a " + object: false, "java.lang.String@2c5e36a7": false} {
			opt := testOptions()
			opt.ObjectText = objects
			// In plain JSON, where another row tells the type, and under a schema.
			for _, row := range []string{event("u", "null", fmt.Sprintf(`{"id":1,"name":%q}`, text)), flatSchema(fmt.Sprintf(`{"id":1,"name":%q,"__op":"u"}`, text))} {
				want := fmt.Sprintf("public_t(id*:INTEGER name:STRING)\n  0 upsert 2 \"x\"\n  1 upsert 1 %q\n", text)
				if objects && placeholder {
					want = "public_t(id*:INTEGER name:STRING)\n  0 upsert 2 \"x\"\n  1 upsert 1 unavailable\n"
				}
				if got := decodeAll(t, opt, message{`{"id":2}`, event("c", "null", `{"id":2,"name":"x"}`)}, message{`{"id":1}`, row}); got != want {
					t.Errorf("objects %v: got\n%swant\n%s", objects, got, want)
				}
			}
		}
	}
}

// TestUnavailableKey: a row whose key is not known cannot be named.
func TestUnavailableKey(t *testing.T) {
	_, err := NewDecoder("p.public.t", testOptions()).Decode(Record{
		Key: []byte(`{"id":"__debezium_unavailable_value"}`), Value: []byte(event("u", "null", `{"id":"__debezium_unavailable_value"}`))})
	if s := said(err); !strings.Contains(s, "value of the key") || !strings.Contains(s, "REPLICA IDENTITY FULL") {
		t.Error(s)
	}
}

// TestMoves: the two records of a changed key tell each other's key, as the header
// converters write it. One that cannot be read changes nothing else.
func TestMoves(t *testing.T) {
	const placeholder = `"__debezium_unavailable_value"`
	headers := func(name, key string) []Header { return []Header{{"other", []byte("x")}, {name, []byte(key)}} }
	for _, tc := range []struct{ header, want string }{
		{`{"id":%d}`, "moves"},
		{`{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"}]},"payload":{"id":%d}}`, "moves"},
		{`Struct{id=%d}`, ""}, {`{"id":"x%d"}`, ""}, {`{"other":%d}`, ""}, {"\x00\x00\x00\x00\x07%d", ""},
	} {
		d := NewDecoder("p.public.t", testOptions())
		for _, rec := range []Record{
			{Offset: 0, Key: []byte(`{"id":5}`), Value: []byte(event("c", "null", `{"id":5,"a":"x"}`))},
			{Offset: 1, Key: []byte(`{"id":1}`), Value: []byte(event("d", `{"id":1}`, "null")), Headers: headers(newKeyHeader, fmt.Sprintf(tc.header, 2))},
			{Offset: 2, Key: []byte(`{"id":1}`), Headers: headers(newKeyHeader, fmt.Sprintf(tc.header, 2))},
			{Offset: 3, Key: []byte(`{"id":2}`), Value: []byte(event("c", "null", `{"id":2,"a":`+placeholder+`}`)), Headers: headers(oldKeyHeader, fmt.Sprintf(tc.header, 1))},
		} {
			if _, err := d.Decode(rec); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		runs := d.Take(nil)
		for _, m := range runs[0].Moves {
			for i := range runs[0].Len() {
				if string(runs[0].Key(i)) == string(m.Other) {
					got = append(got, fmt.Sprintf("%d-%d", m.Row, i))
				}
			}
		}
		want := []string(nil)
		if tc.want != "" {
			want = []string{"1-2", "2-1"}
		}
		if strings.Join(got, " ") != strings.Join(want, " ") || runs[0].Len() != 3 || runs[0].Values[1].States[2] != schema.Missing {
			t.Errorf("%s: %v, want %v, in\n%s", tc.header, got, want, text(runs))
		}
	}
}

// TestMovesOfConfiguredKey: without a record key one update is both halves of a key's change.
// The row is new under its key, so that nothing at the target has the value that the source
// did not send; where the key stays, the target does.
func TestMovesOfConfiguredKey(t *testing.T) {
	opt := testOptions()
	opt.Keys = func(string) []string { return []string{"k"} }
	for _, tc := range []struct {
		before, after string
		mode          Mode
		want, moves   string
	}{
		{`{"k":"x"}`, `{"k":"y","a":"__debezium_unavailable_value"}`, ModeUpsert, "0 upsert \"x\" 1, 1 delete \"x\" NULL, 1 upsert \"y\" missing", "1-2 2-1"},
		{`{"k":"x"}`, `{"k":"x","a":"__debezium_unavailable_value"}`, ModeUpsert, "0 upsert \"x\" 1, 1 upsert \"x\" unavailable", ""},
		{`{"k":"x"}`, `{"k":"y","a":2}`, ModeUpsert, "0 upsert \"x\" 1, 1 delete \"x\" NULL, 1 upsert \"y\" 2", ""},
		{`{"k":"x"}`, `{"k":"y","a":"__debezium_unavailable_value"}`, ModeSoftDelete, "0 upsert \"x\" 1 NULL, 1 upsert \"x\" unavailable unavailable, 1 upsert \"y\" missing NULL", ""},
	} {
		opt.Mode = func(string) Mode { return tc.mode }
		d := NewDecoder("p.public.t", opt)
		for i, value := range []string{event("c", "null", `{"k":"x","a":1}`), event("u", tc.before, tc.after)} {
			if _, err := d.Decode(Record{Offset: int64(i), Value: []byte(value)}); err != nil {
				t.Fatal(err)
			}
		}
		runs := d.Take(nil)
		lines := strings.Split(strings.TrimSpace(text(runs)), "\n  ")
		if got := strings.Join(lines[1:], ", "); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.after, got, tc.want)
		}
		if got := pairs(runs[0]); got != tc.moves {
			t.Errorf("%s: moves %s, want %s", tc.after, got, tc.moves)
		}
	}
}

// pairs is each move of a run as its row and the row whose key it names, of one change.
func pairs(rows *schema.Rows) string {
	var all []string
	for _, m := range rows.Moves {
		for i := range rows.Len() {
			if string(rows.Key(i)) == string(m.Other) && m.Change == rows.Moves[0].Change && i >= rows.Moves[0].Row {
				all = append(all, fmt.Sprintf("%d-%d", m.Row, i))
			}
		}
	}
	return strings.Join(all, " ")
}
