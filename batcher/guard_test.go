package batcher

import (
	"encoding/binary"
	"maps"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

// sourceChange is a change as the source made it, and the partition that it went to.
type sourceChange struct {
	id, at, part int64
	deleted      bool
}

// guarded makes the run of some changes of one partition; scope 0 leaves positions out.
func guarded(scope uint64, changes ...sourceChange) *schema.Rows {
	r := new(schema.Rows)
	r.Reset("t", []schema.Column{{Name: "id", Key: true, Type: schema.Type{Kind: schema.Integer}}, {Name: "v", Type: schema.Type{Kind: schema.Integer}}})
	for i, c := range changes {
		op := schema.Upsert
		r.Values[0].AppendNum(c.id)
		if c.deleted {
			op = schema.Delete
			r.Values[1].AppendNull()
		} else {
			r.Values[1].AppendNum(c.at)
		}
		r.Ops, r.Offsets = append(r.Ops, op), append(r.Offsets, int64(i))
		r.Keys = schema.AppendKey(r.Keys, &r.Values[0], i)
		r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
		if scope > 0 {
			r.Positions = binary.BigEndian.AppendUint64(schema.AppendPosition(r.Positions, uint64(c.part), scope), uint64(c.at))
		}
		r.PositionEnds = append(r.PositionEnds, uint32(len(r.Positions)))
	}
	return r
}

// TestGuardedHistories: the changes of a source go to any partitions, which are read in
// any interleaving and folded into any batches, some of them again from an earlier record
// on; in the end the table is the source's, and of what was read every row was delivered,
// replaced or stale.
func TestGuardedHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		source := map[int64]int64{}
		parts := make([][]sourceChange, rapid.IntRange(1, 4).Draw(t, "partitions"))
		for at := range int64(rapid.IntRange(1, 40).Draw(t, "changes")) {
			c := sourceChange{id: rapid.Int64Range(0, 4).Draw(t, "id"), at: at + 1, part: int64(rapid.IntRange(0, len(parts)-1).Draw(t, "partition")), deleted: rapid.IntRange(0, 3).Draw(t, "delete") == 0}
			if delete(source, c.id); !c.deleted {
				source[c.id] = c.at
			}
			parts[c.part] = append(parts[c.part], c)
		}
		var total int
		target, counts := map[int64]int64{}, 0
		b := New(func(string) Policy { return Policy{MaxRows: 1, MaxBytes: 1 << 20, MaxAge: time.Hour} })
		seal := func() {
			for _, batch := range b.Due(time.Unix(0, 0), false, func(string) bool { return true }) {
				b.Seal(batch)
				batch.Each(schema.Delete, func(row int) bool { delete(target, batch.Values(0).Nums[row]); return true })
				batch.Each(schema.Upsert, func(row int) bool {
					target[batch.Values(0).Nums[row]] = batch.Values(1).Nums[row]
					return true
				})
				if batch.Read != batch.Len()+batch.Replaced {
					t.Fatalf("%d read, %d live, %d replaced", batch.Read, batch.Len(), batch.Replaced)
				}
				counts += batch.Read
			}
		}
		g, buffer := NewGuard(1<<20), new(schema.Rows)
		read := make([]int, len(parts))
		for {
			var left []int
			for p := range parts {
				if read[p] < len(parts[p]) {
					left = append(left, p)
				}
			}
			if len(left) == 0 {
				break
			}
			p := rapid.SampledFrom(left).Draw(t, "next")
			n := rapid.IntRange(1, len(parts[p])-read[p]).Draw(t, "rows")
			rows := guarded(1, parts[p][read[p]:read[p]+n]...)
			read[p] += n
			total += n
			fresh, from := g.Admit(rows, 0, buffer)
			counts += n - (fresh.Len() - from) // stale
			if from < fresh.Len() {
				if _, err := b.Add(time.Unix(0, 0), fresh, from); err != nil {
					t.Fatal(err)
				}
			}
			if rapid.Bool().Draw(t, "seal") {
				seal()
			}
			if rapid.IntRange(0, 5).Draw(t, "again") == 0 {
				read[p] = rapid.IntRange(0, read[p]).Draw(t, "from")
			}
		}
		seal()
		if !maps.Equal(target, source) {
			t.Fatalf("the target has %v, the source %v", target, source)
		}
		if counts != total {
			t.Fatalf("%d rows read, %d accounted for", total, counts)
		}
	})
}

// TestGuard: what has no position is taken and leaves the known one; scopes do not compare.
func TestGuard(t *testing.T) {
	g := NewGuard(1 << 20)
	for i, tc := range []struct {
		scope uint64
		c     sourceChange
		taken bool
	}{
		{1, sourceChange{id: 1, at: 5, part: 0}, true},
		{1, sourceChange{id: 1, at: 4, part: 1}, false},
		{0, sourceChange{id: 1, at: 1, part: 1}, true},
		{1, sourceChange{id: 1, at: 4, part: 1}, false},
		{1, sourceChange{id: 1, at: 5, part: 1}, true},
		{1, sourceChange{id: 1, at: 1, part: 1}, true}, // of the same partition
		{1, sourceChange{id: 1, at: 2, part: 0}, true},
		{2, sourceChange{id: 1, at: 1, part: 1}, true}, // of another log
		{1, sourceChange{id: 2, at: 1, part: 1}, true},
	} {
		rows, from := g.Admit(guarded(tc.scope, tc.c), 0, new(schema.Rows))
		if taken := from < rows.Len(); taken != tc.taken {
			t.Errorf("change %d: taken %v", i, taken)
		}
	}
}

// TestGuardForgets: its memory is bounded, what it forgets it counts, and a key that
// changes now and then is not among that.
func TestGuardForgets(t *testing.T) {
	const limit = 1 << 16
	g := NewGuard(limit)
	admit := func(c sourceChange) bool {
		rows, from := g.Admit(guarded(1, c), 0, new(schema.Rows))
		return from < rows.Len()
	}
	for at := range int64(10_000) {
		admit(sourceChange{id: at, at: at, part: 0})
		if at%50 == 0 {
			admit(sourceChange{id: -1, at: at + 1, part: 0})
		}
		if size := g.young.bytes + g.aged.bytes; size > limit+1000 {
			t.Fatalf("%d bytes", size)
		}
	}
	held := int64(len(g.young.positions) + len(g.aged.positions))
	if g.Forgotten == 0 || held+g.Forgotten != 10_001 {
		t.Errorf("%d keys held, %d forgotten", held, g.Forgotten)
	}
	if admit(sourceChange{id: -1, at: 1, part: 1}) {
		t.Error("the key that changed lately is forgotten")
	}
	if !admit(sourceChange{id: 0, at: -1, part: 1}) {
		t.Error("the oldest key is not forgotten")
	}
}
