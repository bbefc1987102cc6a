package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// putLarge changes a row with a large value, which may be Debezium's placeholder, and
// says in a header where a row whose key changed went to or came from.
func (w *world) putLarge(op string, id int64, v, large string, header ...string) {
	w.t.Helper()
	after := "null"
	if op != "d" {
		after = fmt.Sprintf(`{"id":%d,"v":%q,"large":%q}`, id, v, large)
	}
	rec := &kgo.Record{Topic: "shop.public.a", Partition: int32(id % 2), Key: fmt.Appendf(nil, `{"id":%d}`, id),
		Value: fmt.Appendf(nil, `{"before":null,"after":%s,"source":{"lsn":%d,"db":"shop","schema":"public","table":"a"},"op":%q}`, after, len(v), op)}
	if len(header) > 0 {
		rec.Headers = []kgo.RecordHeader{{Key: header[0], Value: []byte(header[1])}}
	}
	if err := w.client.ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// large is the table as id=v,large.
func (w *world) large() string {
	rows := map[int64]string{}
	t := w.emu.Snapshot("public_a")
	if t == nil {
		return ""
	}
	for _, row := range t.Rows {
		rows[row[0].(int64)] = strings.Trim(fmt.Sprint(row[1:]), "[]")
	}
	return strings.TrimPrefix(fmt.Sprint(rows), "map") // by id
}

const placeholder = "__debezium_unavailable_value"

// TestUnavailable: a large value that the source did not log is filled from what came
// before it in the batch, also where the row's key changed; else the table's policy says
// what becomes of it. It never reaches the target as data (I6).
func TestUnavailable(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		policy batcher.Unavailable
		whole  bool // the target wants all columns in each file
		want   string
		hold   string
	}{
		{"hold", batcher.UnavailableHold, false, `[1:a1 A 2:b1 B]`, "column large: the source did not log"},
		{"null", batcher.UnavailableNull, false, `[1:a2 <nil> 2:b1 B]`, ""},
		{"unchanged", batcher.UnavailableKeep, false, `[1:a2 A 2:b1 B]`, ""},
		{"refused", batcher.UnavailableKeep, true, `[1:a1 A 2:b1 B]`, "have changed. Table won't be delta loaded"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{WholeFiles: tc.whole}, "shop.public.a")
			opt := w.options("shop.public.a")
			policy := opt.Policy("")
			policy.Unavailable = tc.policy
			opt.Policy = func(string) batcher.Policy { return policy }
			c, stop := w.run(opt)
			w.putLarge("c", 1, "a1", "A")
			w.putLarge("c", 2, "b1", "B")
			w.eventually("two rows", func() bool { return w.lag("shop.public.a") == 0 })
			w.putLarge("u", 1, "a2", placeholder)
			w.eventually("an end", func() bool { return len(c.Status().Holds) > 0 || w.lag("shop.public.a") == 0 })
			if holds := c.Status().Holds; (len(holds) > 0) != (tc.hold != "") || len(holds) > 0 && !strings.Contains(holds[0].Reason, tc.hold) {
				t.Errorf("holds %+v, want %q", holds, tc.hold)
			}
			if got := w.large(); got != tc.want {
				t.Errorf("the table is %s, want %s", got, tc.want)
			}
			stop()
			// A change that brings the whole row mends what is on hold.
			policy.MaxAge = 300 * time.Millisecond
			w.putLarge("u", 1, "a3", "A3")
			_, stop = w.run(opt)
			w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
			stop()
			if got := w.large(); got != `[1:a3 A3 2:b1 B]` {
				t.Errorf("in the end the table is %s", got)
			}
		})
	}
}

// TestUnavailableIsFilled: within a batch the value is found, across a changed key whose
// two records are in two partitions too, and what the two are named by is the source's
// position.
func TestUnavailableIsFilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 6, MaxBytes: 1 << 20, MaxAge: time.Hour}
	}
	w.putLarge("c", 1, "a1", "A")
	w.putLarge("u", 1, "a2", placeholder)
	w.putLarge("c", 3, "c1", "C")
	w.putLarge("d", 3, "xx", "", "__debezium.newkey", `{"id":4}`)
	w.putLarge("c", 4, "c2", placeholder, "__debezium.oldkey", `{"id":3}`)
	w.putLarge("u", 4, "c3", placeholder)
	for id := range int64(3) {
		w.putLarge("c", 10+2*id, "x", "X")
	}
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if got := w.large(); got != `[1:a2 A 4:c3 C 10:x X 12:x X 14:x X]` {
		t.Errorf("the table is %s", got)
	}
}

// TestUnavailableUntyped: a process that starts anew does not know the type of a column of
// plain JSON that has been nothing but the placeholder in all that it looks back to. What
// the target has there stands all the same.
func TestUnavailableUntyped(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		policy batcher.Unavailable
		want   string // columns id, v, large
		held   bool
	}{
		{"hold", batcher.UnavailableHold, `[1 u39 A]`, true},
		{"unchanged", batcher.UnavailableKeep, `[1 last A]`, false},
		{"null", batcher.UnavailableNull, `[1 last <nil>]`, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			opt := w.options("shop.public.a")
			policy := opt.Policy("")
			policy.Unavailable, policy.MaxAge = tc.policy, time.Hour
			opt.Policy = func(string) batcher.Policy { return policy }
			// One batch, so that the updates are filled from what comes before them; a stop
			// seals it.
			c, stop := w.run(opt)
			w.putLarge("c", 1, "a", "A")
			for i := range 40 {
				w.putLarge("u", 1, fmt.Sprint("u", i), placeholder)
			}
			w.eventually("41 records", func() bool { return c.Status().Totals.Read == 41 })
			stop()
			if got := w.named("id", "v", "large"); fmt.Sprint(got) != `[1 u39 A]` {
				t.Fatalf("the table is %q", got)
			}
			policy.MaxAge = 50 * time.Millisecond
			c, stop = w.run(opt)
			w.putLarge("u", 1, "last", placeholder)
			w.eventually("an end", func() bool { return len(c.Status().Holds) > 0 || w.lag("shop.public.a") == 0 })
			if holds := c.Status().Holds; len(holds) > 0 != tc.held || tc.held && !strings.Contains(holds[0].Reason, "column large: the source did not log") {
				t.Errorf("holds %+v", holds)
			}
			stop()
			if got := w.named("id", "v", "large"); fmt.Sprint(got) != tc.want {
				t.Errorf("the table is %q, want %s", got, tc.want)
			}
		})
	}
}

// TestNullUntyped: NULL in a column whose type nothing tells cannot be said beside a value
// that the target is to keep, for the file leaves out both. The table is held until the
// tables file names the type.
func TestNullUntyped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	policy := opt.Policy("")
	policy.Unavailable = batcher.UnavailableKeep
	opt.Policy = func(string) batcher.Policy { return policy }
	put := func(op string, note, large string) {
		w.produce("shop.public.a", 1, `{"id":1}`, fmt.Sprintf(`{"before":null,"after":{"id":1,"note":%s,"large":%q},"source":{"db":"shop","schema":"public","table":"a"},"op":%q}`, note, large, op))
	}
	put("c", `"x"`, "A")
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	for range 40 { // more than a process looks back to
		w.produce("shop.public.a", 1, `{"id":3}`, `{"before":null,"after":{"id":3,"note":null,"large":"C"},"source":{"db":"shop","schema":"public","table":"a"},"op":"u"}`)
	}
	_, stop = w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	put("u", "null", placeholder)
	c, stop := w.run(opt)
	w.eventually("an end", func() bool { return len(c.Status().Holds) > 0 || w.lag("shop.public.a") == 0 })
	if h := c.Status().Holds; len(h) != 1 || !strings.Contains(h[0].Reason, "column note") || !strings.Contains(h[0].Remedy, "tables.public_a.types") {
		t.Errorf("holds %+v", h)
	}
	stop()
	opt.Decoder.Types = func(_, column string) schema.Kind {
		if column == "note" {
			return schema.String
		}
		return schema.Unknown
	}
	_, stop = w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if got := w.named("id", "note", "large"); !slices.Equal(got, []string{"1 <nil> A", "3 <nil> C"}) {
		t.Errorf("the table is %q", got)
	}
}

// TestUnavailableConfiguredKey: an update that changes a configured key, which no record key
// shows, fills the new row from the old one in the batch. Where that is not in it, the target
// has nothing to keep.
func TestUnavailableConfiguredKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Decoder.Keys = func(string) []string { return []string{"id"} }
	policy := opt.Policy("")
	policy.Unavailable, policy.MaxAge = batcher.UnavailableKeep, time.Hour // a stop seals it
	opt.Policy = func(string) batcher.Policy { return policy }
	put := func(op, before, after string) {
		w.produce("shop.public.a", 0, "", fmt.Sprintf(`{"before":%s,"after":%s,"source":{"db":"shop","schema":"public","table":"a"},"op":%q}`, before, after, op))
	}
	put("c", "null", `{"id":1,"v":"a1","large":"A"}`)
	put("u", `{"id":1,"v":"a1"}`, `{"id":2,"v":"a2","large":"`+placeholder+`"}`)
	c, stop := w.run(opt)
	w.eventually("three rows", func() bool { return c.Status().Totals.Read == 3 })
	stop()
	if got := w.named("id", "v", "large"); !slices.Equal(got, []string{"2 a2 A"}) {
		t.Fatalf("the table is %q", got)
	}
	policy.MaxAge = 50 * time.Millisecond
	put("u", `{"id":2,"v":"a2"}`, `{"id":3,"v":"a3","large":"`+placeholder+`"}`)
	c, stop = w.run(opt)
	w.eventually("an end", func() bool { return len(c.Status().Holds) > 0 || w.lag("shop.public.a") == 0 })
	if h := c.Status().Holds; len(h) != 1 || !strings.Contains(h[0].Reason, "has nothing to keep") {
		t.Errorf("holds %+v", h)
	}
	stop()
	if got := w.named("id", "v", "large"); !slices.Equal(got, []string{"2 a2 A"}) {
		t.Errorf("the table is %q", got)
	}
}
