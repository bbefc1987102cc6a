package connector

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// TestPartitionThatDoesNotBalance: a partition of whose records one is not accounted for
// is not committed any more, and its table held with the numbers.
func TestPartitionThatDoesNotBalance(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*decoded)
		says  string
	}{
		"a row that came out of no batch": {func(d *decoded) { d.runs = nil }, "residual 1"},
		"a record read twice":             {func(d *decoded) { d.read++; d.classes[debezium.Tombstone]++ }, "residual -1"},
		"an offset lost":                  {func(d *decoded) { d.gaps = 0 }, "and 0 that the brokers skipped: residual 3"},
		"nothing":                         {func(*decoded) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			opt := w.options("shop.public.a")
			conn := w.idle(opt)
			id := kafka.Partition{Topic: "shop.public.a"}
			p := conn.newPartition(id)
			p.known = true
			p.taken["public_a"] = 0 // it feeds the table
			conn.parts[id] = p
			conn.ledger.Assign(id)
			conn.ledger.Advance(id, 7)
			key, value := change(id.Topic, "c", 1, "x")
			if _, err := p.decoder.Decode(debezium.Record{Offset: 10, Key: []byte(key), Value: []byte(value)}); err != nil {
				t.Fatal(err)
			}
			d := decoded{part: p, runs: p.decoder.Take(nil), read: 1, gaps: 3, next: 11}
			d.classes[debezium.Row] = 1
			c.spoil(&d)
			conn.onDecoded(d)
			conn.audit()
			if c.says == "" {
				if at := conn.news()[id].at; at != 10 || len(conn.holds) > 0 {
					t.Errorf("%d may be committed, want 10; on hold: %+v", at, conn.holds)
				}
				return
			}
			if n, ok := conn.news()[id]; ok {
				t.Errorf("%d may be committed", n.at)
			}
			if len(conn.holds) != 1 {
				t.Fatalf("on hold: %+v", conn.holds)
			}
			h := conn.holds[0]
			if h.Table != "public_a" || !p.stopped || !strings.Contains(h.Reason, c.says) || h.Remedy != defect {
				t.Errorf("the hold says %+v, want %q", h, c.says)
			}
		})
	}
}

// TestBalance has records go every way that there is, and be read again; the ledger
// balances after each step, and stops to where one is left out.
func TestBalance(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := kafka.Partition{Topic: "t"}
		l := NewLedger()
		l.Assign(p)
		l.Advance(p, 0)
		next := int64(0)
		live := map[Holder]int{} // records
		serial := Holder(0)
		some := func(t *rapid.T, label string) int { return rapid.IntRange(1, 5).Draw(t, label) }
		read := func(t *rapid.T) int {
			n, gaps := int64(some(t, "records")), int64(rapid.IntRange(0, 3).Draw(t, "gaps"))
			next += n + gaps
			l.Read(p, next, n, gaps)
			return int(n)
		}
		held := func(t *rapid.T) (Holder, bool) {
			if len(live) == 0 {
				return 0, false
			}
			return rapid.SampledFrom(slices.Sorted(maps.Keys(live))).Draw(t, "holder"), true
		}
		steps := map[string]func(*rapid.T){
			"skip": func(t *rapid.T) {
				l.Count(p, rapid.SampledFrom([]Outcome{Filtered, Skipped, Repeated, Stale}).Draw(t, "outcome"), int64(read(t)))
			},
			"batch": func(t *rapid.T) {
				serial++
				at := next
				n := read(t)
				l.Hold(p, at, serial)
				l.Took(p, serial, n, n)
				live[serial] = n
			},
			"done": func(t *rapid.T) {
				if h, ok := held(t); ok {
					l.Done(h, rapid.SampledFrom([]Outcome{Delivered, DeadLettered}).Draw(t, "outcome"))
					delete(live, h)
				}
			},
			"move": func(t *rapid.T) {
				if h, ok := held(t); ok {
					serial++
					l.Move(h, serial)
					live[serial] = live[h]
					delete(live, h)
				}
			},
			"again": func(t *rapid.T) {
				if h, ok := held(t); ok {
					first, _ := l.First(p, h)
					l.Done(h, Dropped)
					delete(live, h)
					l.Rewind(p, first)
					next = min(next, first)
				}
			},
			"": func(t *rapid.T) {
				if err := l.Balance(p); err != nil {
					t.Fatal(err)
				}
				rows := 0
				for h := range live {
					rows += l.Rows(h)
				}
				want := 0
				for _, n := range live {
					want += n
				}
				if rows != want {
					t.Fatalf("%d rows in batches, want %d", rows, want)
				}
			},
		}
		t.Repeat(steps)
		n := read(t) // of which nothing is said
		if err := l.Balance(p); err == nil {
			t.Fatalf("%d records are unaccounted for, and nobody notices", n)
		}
	})
}
