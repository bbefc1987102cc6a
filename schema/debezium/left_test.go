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
