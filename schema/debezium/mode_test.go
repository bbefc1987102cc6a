package debezium

import (
	"strings"
	"testing"
)

func inMode(m Mode, whole bool) Options {
	opt := testOptions()
	opt.Mode = func(string) Mode { return m }
	opt.WholeBefore = func(string) bool { return whole }
	opt.Metadata = func(string) []MetadataColumn { return []MetadataColumn{{Operation, "_op"}, {Deleted, "_deleted"}} }
	return opt
}

// life is that of row 1: made, changed, deleted, made anew and, as only a tombstone
// tells, deleted. The image of the delete has what PostgreSQL invents for a column that
// cannot be NULL, unless it logs whole rows.
func life(old string) []message {
	return []message{
		{`{"id":1}`, event("c", "null", `{"id":1,"a":"x"}`)},
		{`{"id":1}`, event("u", "null", `{"id":1,"a":"y"}`)},
		{`{"id":1}`, event("d", `{"id":1,"a":"`+old+`"}`, "null")},
		{`{"id":1}`, "-"},
		{`{"id":1}`, event("c", "null", `{"id":1,"a":"z"}`)},
		{`{"id":1}`, "-"},
	}
}

// TestHistory: every change is a row, each known by its place. Of what was deleted only
// the key is taken for true, unless the source is said to log whole rows.
func TestHistory(t *testing.T) {
	for whole, old := range map[bool][2]string{false: {"", "NULL"}, true: {"y", `"y"`}} {
		d := NewDecoder("p.public.t", inMode(ModeHistory, whole))
		for i, m := range life(old[0]) {
			value := []byte(m.value)
			if m.value == "-" {
				value = nil
			}
			if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(m.key), Value: value}); err != nil {
				t.Fatal(i, err)
			}
		}
		runs := d.Take(nil)
		want := "public_t(id:INTEGER a:STRING _op:STRING _deleted:BOOLEAN)\n" + `  0 upsert 1 "x" "c" false
  1 upsert 1 "y" "u" false
  2 upsert 1 ` + old[1] + ` "d" true
  4 upsert 1 "z" "c" false
  5 upsert 1 NULL "d" true
`
		if got := text(runs); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		keys := map[string]bool{}
		for i := range runs[0].Len() {
			keys[string(runs[0].Key(i))] = true
		}
		if len(keys) != runs[0].Len() || runs[0].Partial {
			t.Error("rows take each other's place, or lack something")
		}
	}
	opt := inMode(ModeHistory, false)
	if !opt.Appends("public_t") {
		t.Error("its rows may be sent twice")
	}
}

// TestHistoryOfConfiguredKeys: an update that changes the key is one row, as the source
// has one event of it. Of a delete the key is read from the before image.
func TestHistoryOfConfiguredKeys(t *testing.T) {
	opt := inMode(ModeHistory, false)
	opt.Keys = func(string) []string { return []string{"a"} }
	got := decodeAll(t, opt, message{"-", event("u", `{"id":1,"a":"x"}`, `{"id":1,"a":"y"}`)}, message{"-", event("d", `{"id":1,"a":"y"}`, "null")})
	if want := "public_t(id:INTEGER a:STRING _op:STRING _deleted:BOOLEAN)\n  0 upsert 1 \"y\" \"u\" false\n  1 upsert NULL \"y\" \"d\" true\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestHistoryWithoutKey: a table without a key can have a history where whole rows are
// logged. Else nothing says what was deleted.
func TestHistoryWithoutKey(t *testing.T) {
	row, gone := message{"-", event("c", "null", `{"a":"x"}`)}, message{"-", event("d", `{"a":"x"}`, "null")}
	if got, want := decodeAll(t, inMode(ModeHistory, true), row, row, gone), "public_t(a:STRING _op:STRING _deleted:BOOLEAN)\n  0 upsert \"x\" \"c\" false\n  1 upsert \"x\" \"c\" false\n  2 upsert \"x\" \"d\" true\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for whole, want := range map[bool]string{false: "set tables.public_t.fullBefore: true", true: "leave out tables.public_t.fullBefore"} {
		value := gone.value
		if whole { // as is said, but not so
			value = event("d", "null", "null")
		}
		_, err := NewDecoder("p.public.t", inMode(ModeHistory, whole)).Decode(Record{Value: []byte(value)})
		if !ofTable(err) || !strings.Contains(said(err), want) {
			t.Errorf("got %s, want %q", said(err), want)
		}
	}
}

// TestSoftDelete: a delete is written as a row with its flag; what it does not tell is
// for the target to keep, also of columns that come to be known only later. A row that
// is made anew has no flag.
func TestSoftDelete(t *testing.T) {
	first := []message{{`{"id":2}`, event("d", `{"id":2}`, "null")}}
	for whole, want := range map[bool]string{
		false: `public_t(id*:INTEGER (rest):UNKNOWN _op:STRING _deleted:BOOLEAN a:STRING)
  0 upsert 2 unavailable "d" true unavailable
  1 upsert 1 NULL "c" false "x"
  2 upsert 1 NULL "u" false "y"
  3 upsert 1 unavailable "d" true unavailable
  5 upsert 1 NULL "c" false "z"
  6 upsert 1 unavailable "d" true unavailable
`,
		true: `public_t(id*:INTEGER (rest):UNKNOWN _op:STRING _deleted:BOOLEAN a:STRING)
  0 upsert 2 NULL "d" true NULL
  1 upsert 1 NULL "c" false "x"
  2 upsert 1 NULL "u" false "y"
  3 upsert 1 NULL "d" true "y"
  5 upsert 1 NULL "c" false "z"
  6 upsert 1 unavailable "d" true unavailable
`} {
		if got := decodeAll(t, inMode(ModeSoftDelete, whole), append(first, life("y")...)...); got != want {
			t.Errorf("whole %v: got\n%swant\n%s", whole, got, want)
		}
	}
	// Without a record key, a changed key deletes the old row.
	opt := inMode(ModeSoftDelete, false)
	opt.Keys = func(string) []string { return []string{"a"} }
	got := decodeAll(t, opt, message{"-", event("u", `{"id":1,"a":"x"}`, `{"id":1,"a":"y"}`)})
	if want := "public_t(id:INTEGER a*:STRING (rest):UNKNOWN _op:STRING _deleted:BOOLEAN)\n  0 upsert unavailable \"x\" unavailable \"d\" true\n  0 upsert 1 \"y\" NULL \"u\" false\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
