package debezium

import (
	"errors"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/frame"
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
	opt.Schema = func(frame.ID) (*frame.Schema, error) { return nil, nil }
	d = NewDecoder("p.public.t", opt)
	if class, err := d.Decode(Record{Value: []byte{0, 0, 0, 0, 9, 1}}); class != Excluded || err != nil {
		t.Errorf("an unknown schema: %v, %v", class, err)
	}
}

// TestShards: the rows of tables that a router leads into one topic are told apart by
// the column that it adds to their keys, deletes and lone tombstones as well.
func TestShards(t *testing.T) {
	opt := testOptions()
	opt.Table = func(id Identity) string {
		if strings.HasPrefix(id.Table, "customers") {
			return "customers"
		}
		return id.Table
	}
	opt.Merge = func(table string) bool { return table == "customers" }
	opt.Claim = (&Names{Merge: opt.Merge}).Claim
	of := func(shard, op, before, after string) string {
		return strings.ReplaceAll(event(op, before, after), `"table":"t"`, `"table":"customers_`+shard+`"`)
	}
	key := func(field, shard string) string { return `{"id":1,"` + field + `":"p.public.customers_` + shard + `"}` }
	for _, field := range []string{"__dbz__physicalTableIdentifier", "__dbz__sourceIdentifier"} {
		d := NewDecoder("p.public.customers", opt)
		for i, m := range []message{
			{key(field, "a"), of("a", "c", "null", `{"id":1,"name":"x"}`)},
			{key(field, "b"), of("b", "c", "null", `{"id":1,"name":"y"}`)},
			{key(field, "a"), of("a", "d", `{"id":1,"name":""}`, "null")},
			{key(field, "a"), ""},
			{key(field, "b"), ""}, // compaction has removed its delete
		} {
			if class, err := d.Decode(Record{Offset: int64(i), Key: []byte(m.key), Value: []byte(m.value)}); err != nil || (class == Tombstone) != (i == 3) {
				t.Fatal(i, class, err)
			}
		}
		want := "customers(id*:INTEGER name:STRING " + field + "*:STRING)\n" +
			`  0 upsert 1 "x" "p.public.customers_a"` + "\n" + `  1 upsert 1 "y" "p.public.customers_b"` + "\n" +
			`  2 delete 1 NULL "p.public.customers_a"` + "\n" + `  4 delete 1 NULL "p.public.customers_b"` + "\n"
		if got := text(d.Take(nil)); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		// The first record of all may be a tombstone.
		d = NewDecoder("p.public.customers", opt)
		if _, err := d.Decode(Record{Key: []byte(key(field, "b"))}); err != nil {
			t.Error(err)
		} else if got, want := text(d.Take(nil)), "customers(id*:INTEGER "+field+"*:STRING)\n"+`  0 delete 1 "p.public.customers_b"`+"\n"; got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
		// Where nothing says that the topic's name is a table's, it is not taken for one.
		for _, k := range []string{key(field, "b"),
			`{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"string","field":"` + field + `"}],"name":"p.public.customers.Key"},"payload":` + key(field, "b") + `}`} {
			_, err := NewDecoder("p.public.customers", testOptions()).Decode(Record{Key: []byte(k)})
			if err == nil || !strings.Contains(said(err), "tables.<table>.topic") {
				t.Errorf("a tombstone of an unknown table: %v", err)
			}
		}
	}
}

// TestTwoTargets: settings that name two targets for one table hold it and say both.
func TestTwoTargets(t *testing.T) {
	n := &Names{Targets: func(id Identity) []string { return []string{"a", "b"}[:len(id.Table)] }}
	if err := n.Claim("a", Identity{Schema: "public", Table: "t"}); err != nil {
		t.Error(err)
	}
	err := n.Claim("a", Identity{Schema: "public", Table: "tt"})
	var f *fault
	if !errors.As(err, &f) || !strings.Contains(f.text+f.remedy, "public.tt becomes a and b by the settings") || !strings.Contains(f.remedy, "tables.a.from or tables.b.from") {
		t.Errorf("got %v", err)
	}
}
