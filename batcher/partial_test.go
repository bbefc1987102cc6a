package batcher

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

// change is one of a source whose rows have a small value, which always comes, and a
// large one, which comes only when it changed.
type change struct {
	op         schema.Op
	id         int64
	small, big string
	sent       bool  // the large value is in the record
	fresh      bool  // the row is new under its key
	other      int64 // where it went to or came from, -1: nowhere
	serial     uint64
}

// offset is where the change's record stands: both of a move have one serial.
func (c change) offset() int64 { return 2*int64(c.serial) + int64(c.op) }

// history draws changes of a source, and what it holds in the end. Rows may be created,
// updated with and without their large value, deleted, and moved to other keys.
func history(t *rapid.T) (changes []change, rows map[int64]change) {
	rows = map[int64]change{}
	for serial := range uint64(rapid.IntRange(1, 60).Draw(t, "n")) {
		id := rapid.Int64Range(0, 4).Draw(t, "id")
		to := rapid.Int64Range(0, 4).Draw(t, "to")
		old, exists := rows[id]
		_, taken := rows[to]
		c := change{id: id, small: fmt.Sprint("s", serial), big: fmt.Sprint("b", serial), sent: true, other: -1, serial: serial}
		switch what := rapid.IntRange(0, 9).Draw(t, "what"); {
		case !exists:
			c.fresh = true
		case what == 0:
			c.op = schema.Delete
		case what <= 2 && !taken:
			gone := change{op: schema.Delete, id: id, other: to, serial: serial}
			changes = append(changes, gone)
			delete(rows, id)
			c = change{id: to, small: c.small, big: old.big, fresh: true, other: id, serial: serial}
		case what <= 7:
			c.big, c.sent = old.big, false
		}
		changes = append(changes, c)
		if rows[c.id] = c; c.op == schema.Delete {
			delete(rows, c.id)
		}
	}
	return changes, rows
}

// shuffle draws an order in which a reader may see the changes when each key has a
// partition of its own out of n.
func shuffle(t *rapid.T, changes []change, n int64) (seen []change) {
	parts := make([][]change, n)
	for _, c := range changes {
		parts[c.id%n] = append(parts[c.id%n], c)
	}
	for len(parts) > 0 {
		p := rapid.IntRange(0, len(parts)-1).Draw(t, "partition")
		if len(parts[p]) == 0 {
			parts = slices.Delete(parts, p, p+1)
			continue
		}
		seen = append(seen, parts[p][0])
		parts[p] = parts[p][1:]
	}
	return seen
}

// feed gives the changes to a batcher in runs of random lengths.
func feed(t *rapid.T, b *Batcher, changes []change) {
	for len(changes) > 0 {
		n := rapid.IntRange(1, len(changes)).Draw(t, "run")
		r := newRun("t", col("small", schema.String), col("big", schema.String))
		for i, c := range changes[:n] {
			var big any = c.big
			switch {
			case c.op == schema.Delete || c.sent:
			case c.fresh:
				big = schema.Missing
			default:
				big = schema.Unavailable
			}
			r.add(c.op, c.id, c.small, big)
			r.Offsets[i] = c.offset()
			if c.other >= 0 {
				var v schema.Values
				v.Reset(schema.Integer)
				v.AppendNum(c.other)
				r.Moves = append(r.Moves, schema.Move{Row: i, Other: schema.AppendKey(nil, &v, 0), Change: c.serial})
			}
		}
		if _, err := b.Add(epoch, r.Rows, 0); err != nil {
			t.Fatal(err)
		}
		changes = changes[n:]
	}
}

// TestFillUnavailable: in whatever order partitions are read, a value that was not sent is
// the source's own or is not known. Read in the source's order, it is known wherever the
// batch has seen it.
func TestFillUnavailable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		changes, rows := history(t)
		partitions := rapid.Int64Range(1, 3).Draw(t, "partitions")
		skip := rapid.IntRange(0, len(changes)).Draw(t, "not seen") // they were in earlier batches
		// A batch begins somewhere in each partition.
		all := shuffle(t, changes, partitions)
		batch := all[skip:]
		b := New(anyPolicy)
		feed(t, b, batch)
		if len(b.Batches()) == 0 {
			return
		}
		got := b.Batches()[0]
		if got.Read != len(batch) || got.Read != got.Upserts()+got.Deletes()+got.Replaced {
			t.Fatalf("%d changes, read %d as %d upserts, %d deletes, %d replaced", len(batch), got.Read, got.Upserts(), got.Deletes(), got.Replaced)
		}
		known := map[int64]bool{} // in the source's order
		for _, c := range batch {
			switch {
			case c.op == schema.Delete && c.other >= 0:
				known[c.other], known[c.id] = known[c.id], false
			case c.op == schema.Delete:
				known[c.id] = false
			case c.sent:
				known[c.id] = true
			}
		}
		n := 0
		got.Each(schema.Upsert, func(row int) bool {
			n++
			id := got.Values(0).Nums[row]
			want, ok := rows[id]
			if !ok || string(got.Values(1).Bytes(row)) != want.small {
				t.Fatalf("row %d is %q, want %+v", id, got.Values(1).Bytes(row), want)
			}
			if at := got.Record(row).Offset; at != want.offset() && at != -1 {
				t.Fatalf("row %d comes from offset %d, want %d", id, at, want.offset())
			}
			switch s := got.Values(2).States[row]; {
			case s == schema.Present && string(got.Values(2).Bytes(row)) != want.big:
				t.Fatalf("row %d has %q, the source %q", id, got.Values(2).Bytes(row), want.big)
			case s == schema.Null:
				t.Fatalf("row %d: an unknown value passes for NULL", id)
			case s != schema.Present && partitions == 1 && known[id]:
				t.Fatalf("row %d: %v, though the batch has seen it", id, s)
			}
			return true
		})
	})
}

// TestMoveAcrossPartitions: the value of a row whose key changed is found whichever of the
// two records comes first.
func TestMoveAcrossPartitions(t *testing.T) {
	key := func(id int64) []byte {
		var v schema.Values
		v.Reset(schema.Integer)
		v.AppendNum(id)
		return schema.AppendKey(nil, &v, 0)
	}
	old := newRun("t", col("big", schema.String)).add(schema.Upsert, 1, "large")
	gone := newRun("t", col("big", schema.String)).add(schema.Delete, 1)
	gone.Moves = []schema.Move{{Row: 0, Other: key(2), Change: 7}}
	came := newRun("t", col("big", schema.String)).add(schema.Upsert, 2, schema.Missing)
	came.Moves = []schema.Move{{Row: 0, Other: key(1), Change: 7}}
	later := newRun("t", col("big", schema.String)).add(schema.Upsert, 2, schema.Unavailable)
	other := newRun("t", col("big", schema.String)).add(schema.Upsert, 2, schema.Missing)
	other.Moves = []schema.Move{{Row: 0, Other: key(1), Change: 8}}
	for _, tc := range []struct {
		runs []run
		want string
	}{
		{[]run{old, gone, came}, "large"}, {[]run{old, came, gone}, "large"}, {[]run{came, old, gone}, "large"},
		{[]run{old, came, later, gone}, "large"}, {[]run{old, gone, came, later}, "large"},
		{[]run{gone, came}, ""}, {[]run{came}, ""}, {[]run{old, gone, other}, ""}, {[]run{old, other, gone}, ""},
	} {
		b := New(anyPolicy)
		for _, r := range tc.runs {
			if _, err := b.Add(epoch, r.Rows, 0); err != nil {
				t.Fatal(err)
			}
		}
		batch := b.Batches()[0]
		batch.Each(schema.Upsert, func(row int) bool {
			v := batch.Values(1)
			if string(v.Bytes(row)) != tc.want || (v.States[row] == schema.Present) != (tc.want != "") {
				t.Errorf("%d records: %v %q, want %q", len(tc.runs), v.States[row], v.Bytes(row), tc.want)
			}
			return true
		})
	}
}

// TestUnavailableAfterTruncate: what a table had before it was emptied fills no row that came
// after it, whichever batch has the TRUNCATE, and the target has nothing to keep.
func TestUnavailableAfterTruncate(t *testing.T) {
	big := col("big", schema.String)
	old := newRun("t", big).add(schema.Upsert, 1, "old")
	grown := newRun("t", big, col("more", schema.Integer)).add(schema.Upsert, 2, "x", 1) // closes the batch before
	again := newRun("t", big, col("more", schema.Integer), col("most", schema.Integer)).add(schema.Upsert, 3, "y", 1, 1)
	emptied := newRun("t")
	emptied.Columns, emptied.Values, emptied.Ops, emptied.Offsets = nil, nil, []schema.Op{schema.Truncate}, []int64{0}
	for _, s := range []schema.State{schema.Missing, schema.Unavailable} {
		came := newRun("t", big).add(schema.Upsert, 1, s)
		whole := newRun("t", big).add(schema.Upsert, 1, "new")
		for _, tc := range []struct {
			name string
			runs []run
			want string
		}{
			{"in its batch", []run{old, emptied, came}, ""},
			{"in a later batch than the value", []run{old, grown, emptied, came}, ""},
			{"in an earlier batch than the row", []run{old, emptied, grown, again, came}, ""},
			{"in a batch between", []run{old, grown, emptied, again, came}, ""},
			{"before the value", []run{emptied, whole, came}, "new"},
			{"before the value, in an earlier batch", []run{old, emptied, whole, grown, again, came}, "new"},
		} {
			b := New(anyPolicy)
			for _, r := range tc.runs {
				if _, err := b.Add(epoch, r.Rows, 0); err != nil {
					t.Fatal(tc.name, err)
				}
			}
			of := b.Of("t")
			last := of[len(of)-1]
			last.Each(schema.Upsert, func(row int) bool {
				v := last.Values(1)
				if last.Values(0).Nums[row] == 1 && (string(v.Bytes(row)) != tc.want || tc.want == "" && v.States[row] != schema.Missing) {
					t.Errorf("%s: %v %q, want %q", tc.name, v.States[row], v.Bytes(row), tc.want)
				}
				return true
			})
		}
	}
}

// TestSettle: each policy has an answer for what is not known, or names the column.
func TestSettle(t *testing.T) {
	rows := func() run {
		return newRun("t", col("a", schema.String), col("b", schema.Integer), col("c", schema.String)).
			add(schema.Upsert, 1, "whole", 1, "x").
			add(schema.Upsert, 2, schema.Unavailable, 2, "x").
			add(schema.Upsert, 3, schema.Unavailable, 3, schema.Unavailable).
			add(schema.Upsert, 4, schema.Unavailable, 4, "y").
			add(schema.Delete, 5)
	}
	for _, tc := range []struct {
		policy Unavailable
		rows   run
		lack   string
		files  string
	}{
		{UnavailableHold, rows(), "{a 3 false false}", ""},
		{UnavailableNull, rows(), "", "4 upserts; 1 deletes"},
		{UnavailableKeep, rows(), "", "1 upserts; 2 upserts without a; 1 upserts without a,c; 1 deletes"},
		{UnavailableKeep, rows().add(schema.Upsert, 6, schema.Missing, 6, "z"), "{a 1 true false}", ""},
		{UnavailableKeep, rows().add(schema.Delete, 2).add(schema.Upsert, 2, schema.Unavailable, 6, "z"), "{a 1 true false}", ""},
	} {
		_, lack, files := settled(t, tc.policy, tc.rows)
		if lack != tc.lack || files != tc.files {
			t.Errorf("policy %v lacks %q and makes %s, want %q, %s", tc.policy, lack, files, tc.lack, tc.files)
		}
	}
}

// TestSettleUntyped: a value that the source did not send is one too in a column of which no
// value has told the type, as after a restart, though files leave that out in any case: the
// target would take it for NULL.
func TestSettleUntyped(t *testing.T) {
	rows := func() run {
		return newRun("t", col("a", schema.Unknown), col("b", schema.String)).
			add(schema.Upsert, 1, nil, "whole").
			add(schema.Upsert, 2, schema.Unavailable, "x").
			add(schema.Delete, 3)
	}
	for _, tc := range []struct {
		policy       Unavailable
		rows         run
		lack         string
		files        string
		nulled, kept int
	}{
		{UnavailableHold, rows(), "{a 1 false false}", "", 0, 0},
		{UnavailableHold, rows().add(schema.Upsert, 2, nil, "y"), "", "2 upserts; 1 deletes", 0, 0},
		{UnavailableNull, rows(), "", "2 upserts; 1 deletes", 1, 0},
		{UnavailableKeep, rows(), "", "1 upserts; 1 upserts without a; 1 deletes", 0, 1},
		{UnavailableKeep, rows().add(schema.Upsert, 4, schema.Missing, "z"), "{a 1 true false}", "", 0, 0},
		// NULL, where the target is to keep what a file leaves out.
		{UnavailableKeep, rows().add(schema.Upsert, 4, nil, schema.Unavailable), "{a 1 false true}", "", 0, 0},
		{UnavailableNull, rows().add(schema.Upsert, 4, nil, schema.Unavailable), "", "3 upserts; 1 deletes", 2, 0},
	} {
		batch, lack, files := settled(t, tc.policy, tc.rows)
		if lack != tc.lack || files != tc.files || lack == "" && (batch.Nulled != tc.nulled || batch.Kept != tc.kept) {
			t.Errorf("policy %v: lacks %q, %s, %d nulled, %d kept; want %q, %s, %d, %d", tc.policy, lack, files, batch.Nulled, batch.Kept, tc.lack, tc.files, tc.nulled, tc.kept)
		}
	}
}

// settled seals a batch of rows under a policy. It says what the batch lacks, in which case
// there must be no files of it, and what its files hold.
func settled(t *testing.T, policy Unavailable, rows run) (batch *Batch, lack, files string) {
	t.Helper()
	b := New(func(string) Policy {
		p := anyPolicy("")
		p.Unavailable = policy
		return p
	})
	batch, err := b.Add(epoch, rows.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	if l := b.Lacks(batch); l != nil {
		lack = fmt.Sprint(*l)
	}
	b.Seal(batch)
	chunks, err := testEncoder().Encode(batch)
	if (err != nil) != (lack != "") {
		t.Errorf("policy %v, which lacks %q: %v", policy, lack, err)
	}
	var all []string
	for _, c := range chunks {
		text := fmt.Sprintf("%d %vs", c.Rows, c.Op)
		if len(c.Without) > 0 {
			text += " without " + strings.Join(c.Without, ",")
		}
		all = append(all, text)
		for _, name := range readNames(t, c.Data) {
			if slices.Contains(c.Without, name) {
				t.Errorf("%s: the file has column %s", text, name)
			}
		}
	}
	return batch, lack, strings.Join(all, "; ")
}

// readNames returns the columns of a Parquet file.
func readNames(t *testing.T, data []byte) (names []string) {
	f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range f.Schema().Fields() {
		names = append(names, field.Name())
	}
	return names
}

// TestRest: rows of which only some columns are known have no value in those that other
// runs bring, before or after them: each is filled from an earlier row or left out.
func TestRest(t *testing.T) {
	rest := schema.Column{Name: "(rest)", Rest: true}
	known := func() run {
		return newRun("t", rest, col("v", schema.String)).add(schema.Upsert, 1, nil, "one").add(schema.Upsert, 2, nil, "two")
	}
	bare := func(id int64) run { return newRun("t", rest).add(schema.Upsert, id, schema.Unavailable) }
	for _, tc := range []struct {
		name         string
		runs         []run
		whole, parts []string
	}{
		{"after", []run{known(), bare(2), bare(3)}, []string{`"1"|"one"|`, `"2"|"two"|`}, []string{`"3"|`}},
		{"before", []run{bare(3), known(), bare(2)}, []string{`"1"|"one"|`, `"2"|"two"|`}, []string{`"3"|`}},
		{"alone", []run{bare(3)}, nil, []string{`"3"|`}},
	} {
		policy := anyPolicy("")
		policy.Unavailable = UnavailableKeep
		b := New(func(string) Policy { return policy })
		for _, r := range tc.runs {
			if _, err := b.Add(epoch, r.Rows, 0); err != nil {
				t.Fatal(err)
			}
		}
		var whole, parts []string
		for _, batch := range slices.Clone(b.Of("t")) {
			if lack := b.Lacks(batch); lack != nil {
				t.Errorf("%s: lacks %+v", tc.name, lack)
			}
			b.Seal(batch)
			chunks, err := testEncoder().Encode(batch)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range chunks {
				if got := readBack(t, []schema.Chunk{c}, schema.Upsert); len(c.Without) == 0 {
					whole = append(whole, got...)
				} else {
					parts = append(parts, got...)
				}
			}
		}
		if !slices.Equal(whole, tc.whole) || !slices.Equal(parts, tc.parts) {
			t.Errorf("%s: whole rows %v, want %v; in part %v, want %v", tc.name, whole, tc.whole, parts, tc.parts)
		}
	}
}
