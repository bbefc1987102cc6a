package debezium

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/avro"
)

func TestNames(t *testing.T) {
	n := &Names{Fold: true, Merge: func(table string) bool { return table == "shards" }}
	for _, tc := range []struct {
		table string
		id    Identity
		want  string
	}{
		{"public_a", Identity{Schema: "public", Table: "a"}, ""}, // read off a topic's name
		{"public_a", Identity{Database: "shop", Schema: "public", Table: "a"}, ""},
		{"public_a", Identity{Topic: "another", Database: "shop", Schema: "public", Table: "a"}, ""},
		{"public_a", Identity{Database: "other", Schema: "public", Table: "a"}, "shop.public.a and other.public.a"},
		{"public_A", Identity{Database: "shop", Schema: "public", Table: "A"}, "shop.public.a and shop.public.A"},
		{"inventory_b", Identity{Schema: "inventory", Table: "b"}, ""},
		{"inventory_b", Identity{Database: "inventory", Table: "b"}, ""}, // MySQL: the database stands for the schema
		{"shards", Identity{Database: "s", Table: "s1"}, ""},
		{"shards", Identity{Database: "s", Table: "s2"}, ""},
	} {
		err := n.Claim(tc.table, tc.id)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s of %v: %v, want %q", tc.table, tc.id, err, tc.want)
		}
	}
}

// TestTwoSourcesOfOneTable: rows of a second source table do not reach the first one's
// target, in the same topic or another.
func TestTwoSourcesOfOneTable(t *testing.T) {
	opt := testOptions()
	opt.Table = func(id Identity) string { return id.Table }
	opt.Claim = new(Names).Claim
	d := NewDecoder("all", opt)
	good := event("c", "null", `{"id":1}`)
	if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(good)}); err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(good, `"schema":"public"`, `"schema":"archive"`, 1)
	for _, second := range []*Decoder{d, NewDecoder("p.archive.t", opt)} {
		var bad *BadRecord
		if _, err := second.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(other)}); !errors.As(err, &bad) || !bad.OfTable || bad.Table != "t" {
			t.Errorf("got %v", err)
		}
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(good)}); err != nil {
			t.Error(err)
		}
	}
}

// TestExcluded: nothing of a table that is left out is decoded, complained about or
// waited for.
func TestExcluded(t *testing.T) {
	opt := testOptions()
	opt.Exclude = func(table string) bool { return table == "public_t" }
	d := NewDecoder("p.public.t", opt)
	for _, rec := range []Record{
		{Value: []byte(event("c", "null", `{"id":1}`))}, // no key
		{Key: []byte(`{"id":1}`)},
		{Key: []byte(`{"id":1}`), Value: []byte("nonsense")},
		{Value: []byte(event("t", "null", "null"))},
	} {
		if class, err := d.Decode(rec); class != Excluded || err != nil {
			t.Errorf("%s: %v, %v", rec.Value, class, err)
		}
	}
	if runs := d.Take(nil); len(runs) > 0 {
		t.Errorf("rows of it: %s", text(runs))
	}
	opt.Schema = func(uint64) (*avro.Type, error) { return nil, nil }
	d = NewDecoder("p.public.t", opt)
	if class, err := d.Decode(Record{Value: []byte{0, 0, 0, 0, 9, 1}}); class != Excluded || err != nil {
		t.Errorf("an unknown schema: %v, %v", class, err)
	}
}
