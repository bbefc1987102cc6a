package batcher

import (
	"encoding/binary"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func anyPolicy(string) Policy {
	return Policy{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: time.Minute}
}

// run builds rows of a table with an integer key and the given other columns.
type run struct{ *schema.Rows }

func newRun(table string, cols ...schema.Column) run {
	r := new(schema.Rows)
	r.Reset(table, append([]schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}}, cols...))
	return run{r}
}

func (r run) add(op schema.Op, id int64, values ...any) run {
	r.Values[0].AppendNum(id)
	for i := range r.Values[1:] {
		v := &r.Values[i+1]
		if i >= len(values) || values[i] == nil || op == schema.Delete {
			v.AppendNull()
			continue
		}
		switch x := values[i].(type) {
		case schema.State:
			v.AppendAbsent(x)
			r.Partial = true
		case int:
			v.AppendNum(int64(x))
		case float64:
			v.AppendFloat(x)
		case string:
			v.AppendString([]byte(x))
		}
	}
	r.Ops = append(r.Ops, op)
	r.Offsets = append(r.Offsets, int64(len(r.Offsets)))
	r.Keys = schema.AppendKey(r.Keys, &r.Values[0], r.Len()-1)
	r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
	return r
}

func col(name string, k schema.Kind) schema.Column {
	return schema.Column{Name: name, Type: schema.Type{Kind: k, Inferred: true}}
}

// apply does to a map what a target does with a batch, and fails if a key
// appears twice (I4).
func apply(t interface{ Fatalf(string, ...any) }, target map[int64]string, b *Batch) {
	seen := map[int64]bool{}
	for _, op := range []schema.Op{schema.Upsert, schema.Delete} {
		n := 0
		b.Each(op, func(row int) bool {
			n++
			id := b.Values(0).Nums[row]
			if seen[id] {
				t.Fatalf("key %d twice in a batch", id)
			}
			seen[id] = true
			if delete(target, id); op == schema.Upsert {
				target[id] = string(b.Values(1).Bytes(row))
			}
			return true
		})
		if n != b.live[op] {
			t.Fatalf("%d live %vs, counted %d", n, op, b.live[op])
		}
	}
	if compacted := b.Read - b.Len(); compacted < 0 {
		t.Fatalf("%d rows read, %d live", b.Read, b.Len())
	}
}

// TestAgainstMap folds random changes into batches sealed at random times; the
// batches applied in order must leave what the changes themselves leave.
func TestAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := New(anyPolicy)
		want, got := map[int64]string{}, map[int64]string{}
		read := 0
		keys := rapid.Int64Range(1, 300).Draw(t, "keys")
		for range rapid.IntRange(1, 30).Draw(t, "runs") {
			r := newRun("t", col("v", schema.String))
			for range rapid.IntRange(1, 400).Draw(t, "rows") {
				id := rapid.Int64Range(1, keys).Draw(t, "id")
				if rapid.IntRange(0, 3).Draw(t, "op") == 0 {
					r.add(schema.Delete, id)
					delete(want, id)
				} else {
					v := rapid.StringN(0, 5, -1).Draw(t, "v")
					r.add(schema.Upsert, id, v)
					want[id] = v
				}
			}
			batch, err := b.Add(epoch, r.Rows, 0)
			if err != nil {
				t.Fatal(err)
			}
			read += r.Len()
			if batch.Read != batch.Upserts()+batch.Deletes()+batch.Replaced { // I7
				t.Fatalf("read %d, upserts %d, deletes %d, replaced %d", batch.Read, batch.Upserts(), batch.Deletes(), batch.Replaced)
			}
			if rapid.IntRange(0, 5).Draw(t, "seal") == 0 {
				b.Seal(batch)
				apply(t, got, batch)
				read -= batch.Read
			}
		}
		for _, batch := range b.Batches() {
			b.Seal(batch)
			apply(t, got, batch)
			read -= batch.Read
		}
		if !maps.Equal(got, want) {
			t.Fatalf("target %v, want %v", got, want)
		}
		if read != 0 {
			t.Fatalf("%d rows were not accounted for", read)
		}
	})
}

// TestSweep replaces the same keys many times: the batch must not grow with it.
func TestSweep(t *testing.T) {
	b := New(anyPolicy)
	var batch *Batch
	for i := range 200 {
		r := newRun("t", col("v", schema.String))
		for id := range int64(100) {
			r.add(schema.Upsert, id, strings.Repeat("x", i))
		}
		batch, _ = b.Add(epoch, r.Rows, 0)
	}
	if batch.Read != 20000 || batch.Len() != 100 || batch.rows.Len() > 8192+100 {
		t.Fatalf("read %d, live %d, held %d", batch.Read, batch.Len(), batch.rows.Len())
	}
	got := map[int64]string{}
	apply(t, got, batch)
	for id := range int64(100) {
		if len(got[id]) != 199 {
			t.Fatalf("key %d: %d characters, want 199", id, len(got[id]))
		}
	}
}

func mustAdd(t *testing.T, b *Batcher, now time.Time, r run) *Batch {
	t.Helper()
	batch, err := b.Add(now, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

func due(b *Batcher, now time.Time, short bool) string {
	var s []string
	for _, x := range b.Due(now, short, func(table string) bool { return table != "busy" }) {
		s = append(s, x.Table.Name+":"+x.Reason.String())
	}
	return strings.Join(s, " ")
}

func TestDue(t *testing.T) {
	b := New(func(table string) Policy {
		p := Policy{MaxRows: 3, MaxBytes: 1 << 20, MaxAge: time.Minute}
		if table == "slow" {
			p.MaxAge = time.Hour
		}
		return p
	})
	mustAdd(t, b, epoch, newRun("slow").add(schema.Upsert, 1))
	mustAdd(t, b, epoch.Add(time.Second), newRun("quick").add(schema.Upsert, 1).add(schema.Upsert, 1).add(schema.Upsert, 1))
	if got := due(b, epoch.Add(2*time.Second), false); got != "" {
		t.Errorf("due early: %s", got)
	}
	if got := due(b, epoch.Add(61*time.Second), false); got != "quick:age" {
		t.Errorf("after a minute: %s", got)
	}
	mustAdd(t, b, epoch.Add(61*time.Second), newRun("slow").add(schema.Delete, 2).add(schema.Upsert, 3))
	if got := due(b, epoch.Add(62*time.Second), false); got != "quick:age slow:rows" {
		t.Errorf("most overdue first: %s", got)
	}
	mustAdd(t, b, epoch, newRun("wide", col("s", schema.String)).add(schema.Upsert, 1, strings.Repeat("x", 1<<20)))
	if got := due(b, epoch.Add(time.Second), false); !strings.Contains(got, "wide:bytes") {
		t.Errorf("by bytes: %s", got)
	}
}

func TestMemoryAndDrain(t *testing.T) {
	b := New(anyPolicy)
	mustAdd(t, b, epoch, newRun("small").add(schema.Upsert, 1))
	mustAdd(t, b, epoch, newRun("large", col("s", schema.String)).add(schema.Upsert, 1, strings.Repeat("x", 1<<16)))
	if got := due(b, epoch, true); got != "large:memory" {
		t.Errorf("memory short: %s", got)
	}
	b.Drain()
	if got := due(b, epoch, false); got != "large:drain small:drain" {
		t.Errorf("draining: %s", got)
	}
}

func TestSchemaChanges(t *testing.T) {
	b := New(anyPolicy)
	first := mustAdd(t, b, epoch, newRun("t", col("a", schema.Unknown)).add(schema.Delete, 9))
	// Deletes only: the batch can take columns.
	if got := mustAdd(t, b, epoch, newRun("t", col("a", schema.Integer)).add(schema.Upsert, 1, 5)); got != first {
		t.Error("a batch of deletes was closed for a new column")
	}
	// A column that had only NULLs gets its kind in place.
	if got := mustAdd(t, b, epoch, newRun("t", col("a", schema.Integer), col("n", schema.Unknown)).add(schema.Upsert, 2, 5)); got != first {
		t.Error("a batch was closed for a column of NULLs")
	}
	if got := mustAdd(t, b, epoch, newRun("t", col("a", schema.Integer), col("n", schema.String)).add(schema.Upsert, 3, 5, "x")); got != first {
		t.Error("a batch was closed when a column of NULLs got its kind")
	}
	second := mustAdd(t, b, epoch, newRun("t", col("a", schema.Integer), col("b", schema.String)).add(schema.Upsert, 2, 6, "y"))
	if second == first || first.Reason != Schema {
		t.Fatalf("a new column did not close the batch: %v", first.Reason)
	}
	if got := fmt.Sprint(names(first.Table), names(second.Table)); got != "[id a n] [id a n b]" {
		t.Errorf("columns: %s", got)
	}
	third := mustAdd(t, b, epoch, newRun("t", col("a", schema.Float)).add(schema.Upsert, 2, 6.5))
	if third == second || third.Table.Columns[1].Type.Kind != schema.Float {
		t.Error("a wider type did not close the batch")
	}
	// The narrow type joins the wide one.
	if got := mustAdd(t, b, epoch, newRun("t", col("a", schema.Integer)).add(schema.Upsert, 4, 7)); got != third || got.Values(1).Float(1) != 7 {
		t.Error("an integer did not join a FLOAT column")
	}
	if got := due(b, epoch, false); got != "t:schema" {
		t.Errorf("due: %s", got)
	}
	if _, err := b.Add(epoch, newRun("t", schema.Column{Name: "a", Type: schema.Type{Kind: schema.Date}}).add(schema.Upsert, 1, 1).Rows, 0); err == nil {
		t.Error("FLOAT took a DATE")
	}
	big := newRun("t", col("a", schema.Integer)).add(schema.Upsert, 4, 1<<53+1)
	if got := mustAdd(t, b, epoch, big); got == third || string(got.Values(1).Bytes(0)) != "9007199254740993" {
		t.Error("digits were lost in a FLOAT column")
	}
}

// TestFlags: a column of INTEGER or BOOLEAN stays what it is when it comes as the other, as
// long as it holds the values; one of the key does not, whose bytes tell the kinds apart.
func TestFlags(t *testing.T) {
	flag := func(k schema.Kind) schema.Column { return schema.Column{Name: "v", Type: schema.Type{Kind: k}} }
	for _, k := range []schema.Kind{schema.Integer, schema.Boolean} {
		b := New(anyPolicy)
		first := mustAdd(t, b, epoch, newRun("t", flag(k)).add(schema.Upsert, 1, 1))
		other := flag(schema.Integer + schema.Boolean - k)
		got := mustAdd(t, b, epoch, newRun("t", other).add(schema.Upsert, 2, 0).add(schema.Upsert, 3, nil).add(schema.Upsert, 4, 1))
		if v := got.Values(1); got != first || got.Table.Columns[1].Type != flag(k).Type || fmt.Sprint(v.Kind, v.Nums, v.States) != k.String()+" [1 0 0 1] [1 1 0 1]" {
			t.Errorf("%v: %+v, %v of states %v", k, got.Table.Columns[1], v.Nums, v.States)
		}
		if _, err := b.Add(epoch, newRun("t", flag(schema.Integer)).add(schema.Upsert, 1, 2).Rows, 0); (err == nil) != (k == schema.Integer) {
			t.Errorf("2 in a column of %v: %v", k, err)
		}
		key := newRun("k", flag(k)).add(schema.Upsert, 1, 1)
		key.Columns[1].Key = true
		mustAdd(t, b, epoch, key)
		key = newRun("k", other).add(schema.Upsert, 1, 1)
		key.Columns[1].Key = true
		if _, err := b.Add(epoch, key.Rows, 0); err == nil {
			t.Errorf("a key of %v took the other", k)
		}
	}
}

func names(t *schema.Table) (s []string) {
	for _, c := range t.Columns {
		s = append(s, c.Name)
	}
	return s
}

// FuzzIndex holds the index against a Go map.
func FuzzIndex(f *testing.F) {
	f.Add([]byte{1, 2, 3, 1, 2, 3})
	f.Fuzz(func(t *testing.T, ids []byte) {
		var x index
		rows := newRun("t")
		want := map[uint16]int32{}
		for i := 0; i+2 <= len(ids); i += 2 {
			id := binary.BigEndian.Uint16(ids[i:])
			rows.add(schema.Upsert, int64(id))
			row := int32(rows.Len() - 1)
			e := x.at(rows.Key(int(row)), rows.Rows)
			if old, ok := want[id]; ok != (e.row >= 0) || (ok && old != e.row) {
				t.Fatalf("key %d: row %d, want %d, %v", id, e.row, old, ok)
			}
			e.row, want[id] = row, row
		}
	})
}

// TestDueForMemory: a due batch whose lane is busy frees no memory, so another one goes.
func TestDueForMemory(t *testing.T) {
	b := New(func(string) Policy { return Policy{MaxRows: 3, MaxBytes: 1 << 20, MaxAge: time.Hour} })
	mustAdd(t, b, epoch, newRun("busy").add(schema.Upsert, 1).add(schema.Upsert, 2).add(schema.Upsert, 3))
	mustAdd(t, b, epoch, newRun("idle").add(schema.Upsert, 1))
	mustAdd(t, b, epoch, newRun("small").add(schema.Delete, 1))
	mustAdd(t, b, epoch, newRun("idle").add(schema.Upsert, 2))
	if got := due(b, epoch, false); got != "busy:rows" {
		t.Errorf("with memory left: %s", got)
	}
	if got := due(b, epoch, true); !strings.Contains(got, "idle:memory") || strings.Contains(got, "small") {
		t.Errorf("short of memory: %s", got)
	}
}

// TestLongest: a batch's table declares strings as long as its rows and those before need,
// also when the source no longer tells a length or the column becomes STRING.
func TestLongest(t *testing.T) {
	type step struct{ length, longest, want int }
	for _, steps := range [][]step{
		{{0, 0, 0}, {0, 9, 9}, {0, 7, 9}},
		{{200, 0, 0}, {0, 0, 200}, {200, 0, 200}, {200, 201, 201}},
	} {
		b := New(anyPolicy)
		for i, s := range steps {
			c := schema.Column{Name: "s", Type: schema.Type{Kind: schema.String, Length: s.length, Longest: s.longest}}
			batch, err := b.Add(epoch, newRun("t", c).add(schema.Upsert, int64(i), "x").Rows, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := batch.Table.Columns[1].Type.Longest; got != s.want || batch.Table.Version != 1 {
				t.Errorf("%v, batch %d: %d, version %d", steps, i, got, batch.Table.Version)
			}
			if i == 1 {
				b.Seal(batch)
			}
		}
	}
	b := New(func(string) Policy { return Policy{Loose: true} })
	b.Add(epoch, newRun("t", schema.Column{Name: "s", Type: schema.Type{Kind: schema.Boolean}}).add(schema.Upsert, 1, 1).Rows, 0)
	batch, err := b.Add(epoch, newRun("t", schema.Column{Name: "s", Type: schema.Type{Kind: schema.String, Length: 200}}).add(schema.Upsert, 1, "x").Rows, 0)
	if err != nil || batch.Table.Columns[1].Type != (schema.Type{Kind: schema.String, Longest: 200}) {
		t.Errorf("%v, %+v", err, batch)
	}
}
