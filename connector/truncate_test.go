package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

const truncated = "shop.public.t" // a topic of one partition

func truncateWorld(t *testing.T, eo emulator.Options, policy debezium.Truncate) (*world, Options) {
	w := newWorld(t, eo, "shop.public.a")
	if _, err := kadm.NewClient(w.client).CreateTopic(t.Context(), 1, 1, nil, truncated); err != nil {
		t.Fatal(err)
	}
	opt := w.options(truncated)
	opt.Decoder.Truncate = func(string) debezium.Truncate { return policy }
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 4, MaxBytes: 1 << 20, MaxAge: 300 * time.Millisecond}
	}
	return w, opt
}

// put1 changes rows of the table with one partition; id 0 empties it.
func (w *world) put1(op string, ids ...int64) {
	w.t.Helper()
	m := w.model["public_t"]
	if m == nil {
		m = map[int64]string{}
		w.model["public_t"] = m
	}
	for _, id := range ids {
		v := fmt.Sprint(op, id, "-", len(m))
		key, value := change(truncated, op, id, v)
		if op == "t" {
			key, value = "", strings.Replace(value, fmt.Sprintf(`{"id":%d,"v":%q}`, id, v), "null", 1)
			clear(m)
		}
		w.produce(truncated, 0, key, value)
		if delete(m, id); op == "c" || op == "u" {
			m[id] = v
		}
	}
}

// TestTruncate: a TRUNCATE empties the target table, with the rows that follow it in the
// same job, in whatever batch it comes, again after a crash, and where nothing follows.
func TestTruncate(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, 400 * time.Millisecond} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			w, opt := truncateWorld(t, emulator.Options{Delay: delay}, debezium.TruncateReplace)
			c, stop := w.run(opt)
			equal := func(what string) {
				t.Helper()
				w.eventually(what, func() bool { return w.lag(truncated) == 0 && w.equal() })
			}
			w.put1("c", 1, 2, 3, 4, 5, 6)
			equal("six rows")
			w.put1("t", 0)
			equal("an empty table")
			w.put1("c", 1, 2)
			w.put1("t", 0)
			w.put1("c", 3)
			w.put1("d", 3)
			w.put1("t", 0)
			w.put1("d", 1)
			w.put1("c", 2, 7)
			equal("two rows")
			w.eventually("totals that balance", func() bool {
				s := c.Status().Totals
				return s.Read == 16 && s.Read == s.Upserted+s.Deleted+s.Compacted+s.Truncated && s.Truncated >= 2
			})
			stop()

			// A process may begin with a TRUNCATE. Nothing tells it the columns of the table
			// until a row comes.
			w.put1("t", 0)
			c, stop = w.run(opt)
			w.eventually("the TRUNCATE", func() bool { return c.Status().Totals.Read == 1 })
			w.put1("c", 11)
			equal("one row")
			stop()
		})
	}
}

// TestTruncateOutlivesACrash: a job that empties the table is noted and adopted like any
// other, or made again from the TRUNCATE on.
func TestTruncateOutlivesACrash(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			w, opt := truncateWorld(t, emulator.Options{Delay: delay}, debezium.TruncateReplace)
			w.put1("c", 1, 2)
			w.put1("t", 0)
			w.put1("c", 8, 9)
			mend := w.cutCommits()
			_, stop := w.run(opt)
			w.eventually("a job", func() bool { return w.emu.Counts().Submitted > 0 && (delay > 0 || w.at("DONE") >= 0) })
			stop()
			mend()
			w.put1("c", 10)
			_, stop = w.run(opt)
			w.eventually("three rows", func() bool { return w.lag(truncated) == 0 && w.equal() })
			stop()
			if n := w.emu.Counts().Submitted; n != 2 {
				t.Errorf("%d jobs, want 2", n)
			}
		})
	}
}

// TestTruncateIsIgnored: the rows stay and the record is counted.
func TestTruncateIsIgnored(t *testing.T) {
	t.Parallel()
	w, opt := truncateWorld(t, emulator.Options{}, debezium.TruncateIgnore)
	c, _ := w.run(opt)
	w.put1("c", 1)
	_, value := change(truncated, "t", 1, "x")
	w.produce(truncated, 0, "", value)
	w.put1("c", 2)
	w.eventually("two rows", func() bool { return w.lag(truncated) == 0 && w.equal() })
	w.eventually("the totals", func() bool { return c.Status().Totals == (Totals{Read: 3, Skipped: 1, Upserted: 2}) })
}

// TestTruncateOfPartitions: where a table has several partitions, a TRUNCATE is not taken. By
// their offsets nothing orders it among them; by position, a row of after it that another
// partition brought first is DONE, and would go with the table.
func TestTruncateOfPartitions(t *testing.T) {
	t.Parallel()
	const topic = "shop.public.a"
	for _, byPosition := range []bool{false, true} {
		t.Run(fmt.Sprint("by position ", byPosition), func(t *testing.T) {
			w, opt := truncateWorld(t, emulator.Options{}, debezium.TruncateReplace)
			opt.Kafka.Topics = []string{topic}
			opt.Decoder.ByPosition = func(string) bool { return byPosition }
			opt.PositionMemory = 1 << 20
			put := func(part int32, lsn int, key, value string) {
				w.produce(topic, part, key, strings.Replace(value, `"source":{`, fmt.Sprintf(`"source":{"connector":"postgresql","name":"shop","lsn":%d,`, lsn), 1))
			}
			c, _ := w.run(opt)
			key, value := change(topic, "c", 1, "x")
			put(1, 20, key, value)
			w.model["public_a"] = map[int64]string{1: "x"}
			w.eventually("a row", func() bool { return w.lag(topic) == 0 && w.equal() })
			_, value = change(topic, "t", 2, "x")
			put(0, 10, "", value)
			w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
			if h := c.Status().Holds[0]; h.Table != "public_a" || *h.Offset != 0 || !strings.Contains(h.Reason, "more than one partition") || !strings.Contains(h.Remedy, "truncate: ignore") {
				t.Errorf("the hold says %+v", h)
			}
			if lag := w.lag(topic); lag != 1 || !w.equal() {
				t.Errorf("lag %d: the TRUNCATE was passed", lag)
			}
		})
	}
}
