package debezium

import (
	"fmt"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

// TestLeft: a column that leaves the rows of plain JSON is noted once; one that the tables
// file names is there in any case.
func TestLeft(t *testing.T) {
	opt := testOptions()
	opt.Types = func(_, source string) schema.Kind {
		return map[string]schema.Kind{"known": schema.Float, "gone": schema.String}[source]
	}
	opt.Columns = func(string) []string { return []string{"gone", "known"} }
	d := NewDecoder("p.public.t", opt)
	var left []string
	for i, row := range []string{`{"id":1,"known":1,"a":1,"b":2}`, `{"id":1,"a":3}`, `{"id":1,"a":4}`, `{"id":1}`, `{"id":1,"a":5,"b":6,"c":7}`, `{"id":1,"c":8}`} {
		rec := Record{Offset: int64(i), Key: []byte(`{"id":1}`), Value: []byte(event("u", "null", row))}
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
		left = append(left, fmt.Sprint(d.TakeLeft()))
	}
	if got, want := fmt.Sprint(left), "[[] [{public_t b}] [] [{public_t a}] [] []]"; got != want {
		t.Errorf("noted %s, want %s", got, want)
	}
	runs := d.Take(nil)
	want := `public_t(id*:INTEGER known:FLOAT a:INTEGER b:INTEGER gone:STRING c:INTEGER)
  0 upsert 1 1 1 2 NULL NULL
  1 upsert 1 NULL 3 NULL NULL NULL
  2 upsert 1 NULL 4 NULL NULL NULL
  3 upsert 1 NULL NULL NULL NULL NULL
  4 upsert 1 NULL 5 6 NULL 7
  5 upsert 1 NULL NULL NULL NULL 8
`
	if got := text(runs); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestLeftSchema: a column that a schema no longer has is noted, but not where a row comes
// late under a schema that had it not yet, nor where the schemas are of several sources.
func TestLeftSchema(t *testing.T) {
	key, both := withSchema(typed("int32", "", "")+`,{"type":"int32","optional":true,"field":"gone"}`, `"v":1,"gone":2`)
	_, one := withSchema(typed("int32", "", ""), `"v":3`)
	_, none := withSchema(`{"type":"int32","optional":true,"field":"a"}`, `"a":4`)
	for _, tc := range []struct {
		name   string
		merge  bool
		values []string
		want   string
	}{
		{"dropped", false, []string{both, one, both, one, none}, "[[] [] [] [] [{public_t v}]]"},
		{"added, a row late", false, []string{one, both, one, both}, "[[] [] [] []]"},
		{"several sources", true, []string{both, none}, "[[] []]"},
	} {
		opt := testOptions()
		opt.Types = func(_, source string) schema.Kind {
			return map[string]schema.Kind{"gone": schema.Integer}[source]
		}
		opt.Merge = func(string) bool { return tc.merge }
		opt.Metadata = func(string) []MetadataColumn { return []MetadataColumn{{Name: "op", What: Operation}} }
		d := NewDecoder("p.public.t", opt)
		var left []string
		for i, value := range tc.values {
			if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(key), Value: []byte(value)}); err != nil {
				t.Fatal(err)
			}
			left = append(left, fmt.Sprint(d.TakeLeft()))
		}
		if got := fmt.Sprint(left); got != tc.want {
			t.Errorf("%s: noted %s, want %s", tc.name, got, tc.want)
		}
	}
}
