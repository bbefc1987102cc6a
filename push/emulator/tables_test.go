package emulator

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestTablesAsText reads a table as JSON and CSV: NULL and empty differ in JSON.
func TestTablesAsText(t *testing.T) {
	e := New(Options{})
	e.tables["t"] = &Table{Name: "t", Keys: []string{"id"}, Columns: []Column{{Name: "id", Type: "INTEGER"}, {Name: "s", Type: "STRING"}},
		Rows: map[string][]any{"1": {int64(9007199254740993), ""}, "2": {int64(2), nil}}}
	get := func(path string) string {
		rec := httptest.NewRecorder()
		e.ServeHTTP(rec, httptest.NewRequest("GET", path, nil))
		return rec.Body.String()
	}
	var doc struct{ Rows []json.RawMessage }
	if err := json.Unmarshal([]byte(get("/emulator/tables/t")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Rows) != 2 || string(doc.Rows[0]) != `{"id":9007199254740993,"s":""}` || string(doc.Rows[1]) != `{"id":2,"s":null}` {
		t.Errorf("%s", doc.Rows)
	}
	if got := get("/emulator/tables/t?format=csv"); got != "id,s\n9007199254740993,\n2,\n" {
		t.Errorf("%q", got)
	}
	if got := get("/emulator/tables/none"); !strings.Contains(got, "no table none") {
		t.Error(got)
	}
}

// TestApply: strings are cut at the declared length without a word, and a job with
// a key twice is refused, as the platform is known or feared to do.
func TestApply(t *testing.T) {
	e := New(Options{})
	f := func(ids ...any) *file {
		c := fileColumn{name: "s", typ: "STRING"}
		for range ids {
			c.values = append(c.values, "äöüß")
		}
		return &file{rows: len(ids), columns: []fileColumn{{name: "id", typ: "INTEGER", values: ids}, c}}
	}
	j := &job{doc: document{Type: "DELTA", TargetName: "t", Keys: []string{"id"}, FallbackVarcharLength: 3},
		chunks: []*chunk{{doc: chunkDocument{Type: "UPSERT"}, file: f(int64(1))}}}
	if err := e.apply(j, false); err != nil {
		t.Fatal(err)
	}
	if got := e.tables["t"].Rows["int64:1|"][1]; got != "äöü" {
		t.Errorf("%v", got)
	}
	for _, kind := range []string{"UPSERT", "DELETE"} {
		j.chunks = append(j.chunks[:1], &chunk{doc: chunkDocument{Type: kind}, file: f(int64(1))})
		if err := e.apply(j, false); err == nil || !strings.Contains(err.Error(), "duplicate key") {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

// TestLengths: a job that declares a column longer lengthens it, or does not.
func TestLengths(t *testing.T) {
	for keep, want := range map[bool]string{false: "äöüß", true: "äöü"} {
		e := New(Options{KeepLengths: keep})
		for _, length := range []int{3, 4} {
			f := &file{rows: 1, columns: []fileColumn{{name: "id", typ: "INTEGER", values: []any{int64(1)}}, {name: "s", typ: "STRING", values: []any{"äöüß"}}}}
			j := &job{doc: document{Type: "DELTA", TargetName: "t", Keys: []string{"id"}, TableSchema: &tableTransport{Columns: []columnTransport{{ColumnName: "S", FieldLength: length}}}},
				chunks: []*chunk{{doc: chunkDocument{Type: "UPSERT"}, file: f}}}
			if err := e.apply(j, false); err != nil {
				t.Fatal(err)
			}
		}
		if got := e.tables["t"].Rows["int64:1|"][1]; got != want {
			t.Errorf("keep %v: %v, want %s", keep, got, want)
		}
	}
}
