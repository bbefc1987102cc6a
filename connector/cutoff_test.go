package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// merged are options where the topics a and b feed one table, t, and c has its own, with
// little memory.
func (w *world) merged() Options {
	opt := w.options("shop.public.a", "shop.public.b", "shop.public.c")
	opt.Decoder.Table = func(id debezium.Identity) string {
		if id.Table == "c" {
			return "c"
		}
		return "t"
	}
	opt.MemoryLimit, opt.Kafka.FetchBytes = 300<<10, 16<<10
	w.elsewhere = true
	return opt
}

// flood gives b more rows than memory takes, and then c one that must arrive all the same.
func (w *world) flood() {
	w.t.Helper()
	for id := range int64(40) {
		key, value := change("shop.public.b", "c", 100+id, strings.Repeat("z", 16<<10))
		w.produce("shop.public.b", int32(id%2), key, value)
	}
	key, value := change("shop.public.c", "c", 0, "x")
	w.produce("shop.public.c", 0, key, value)
	w.eventually("the table of another topic", func() bool { return w.emu.Snapshot("c") != nil })
}

// holdOf returns what holds a table.
func holdOf(c *Connector, table string) *Hold {
	for _, h := range c.Status().Holds {
		if h.Table == table {
			return &h
		}
	}
	return nil
}

// TestNotedBesideAHold: a job is noted beside a partition of a topic whose other partition, or
// itself, retention has overtaken. Rows of another topic that feeds its table do not go past
// the job, whichever partition is looked at first, and what is not theirs goes on.
func TestNotedBesideAHold(t *testing.T) {
	t.Parallel()
	for part := range int32(2) {
		t.Run(fmt.Sprint("partition ", part), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b", "shop.public.c")
			opt := w.merged()
			var changes [][2]string
			for id := range int64(3) {
				key, value := change("shop.public.a", "c", id, "x")
				changes = append(changes, [2]string{key, value})
				w.produce("shop.public.a", 0, key, value)
				w.produce("shop.public.a", 1, key, value)
			}
			ticket := w.prepare(opt, "shop.public.a", changes)
			w.emu.Inject("execute", emulator.JobCancel, 0, 1)
			if _, err := opt.Pusher.Sink.Execute(t.Context(), ticket); err != nil {
				t.Fatal(err)
			}
			for p := range int32(2) {
				m := intent.Metadata{}
				if p == part {
					m.Tables = map[string]intent.Entry{"t": {Job: ticket.ID, Part: 1, Parts: 1, End: 3, Bytes: 1000}}
				}
				w.commitAs("shop.public.a", p, 0, m.String())
			}
			if err := w.cluster.DeleteRecords("shop.public.a", 0, 2); err != nil {
				t.Fatal(err)
			}
			c, stop := w.run(opt)
			w.eventually("held", func() bool { return holdOf(c, "t") != nil })
			if h := holdOf(c, "t"); h.Where() != fmt.Sprintf("table t, at shop.public.a/%d", part) || !strings.Contains(h.Reason, "a partition on hold") || h.Remedy != "see to what holds topic shop.public.a; then restart" {
				t.Errorf("the hold says %+v", h)
			}
			w.flood()
			if n := w.emu.Counts().Submitted; n != 2 {
				t.Errorf("%d jobs were submitted, want that of before and that of c", n)
			}
			stop()
		})
	}
}

// TestDeletedUnderABatch: a topic is deleted when a batch has rows of it that are not sent yet.
// Their job can be noted beside no offset of it any more: the table is held, and not the others.
func TestDeletedUnderABatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b", "shop.public.c")
	opt := w.merged()
	opt.Policy = func(table string) batcher.Policy {
		p := batcher.Policy{MaxRows: 1 << 20, MaxBytes: 1 << 30, MaxAge: 2 * time.Second}
		if table == "c" {
			p.MaxAge = 50 * time.Millisecond
		}
		return p
	}
	c, _ := w.run(opt)
	for i, topic := range []string{"shop.public.a", "shop.public.b"} {
		key, value := change(topic, "c", int64(i), "x")
		w.produce(topic, 0, key, value)
	}
	w.eventually("both are read", func() bool { return c.Status().Totals.Read == 2 })
	if err := w.cluster.DeleteTopic("shop.public.a"); err != nil {
		t.Fatal(err)
	}
	w.eventually("held", func() bool { return holdOf(c, "t") != nil })
	if h := holdOf(c, "t"); !strings.Contains(h.Reason, "deleted") || !strings.Contains(h.Remedy, "empty the target table") {
		t.Errorf("the hold says %+v", h)
	}
	w.flood()
	if w.emu.Snapshot("t") != nil {
		t.Error("rows were sent that are noted nowhere")
	}
}

// TestLeavingIsNoHold: a partition that is about to be given up is stopped as one on hold is, and
// its tables wait for its next owner, not for a person.
func TestLeavingIsNoHold(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	p := c.newPartition(kafka.Partition{Topic: "shop.public.a"})
	c.parts[p.Partition] = p
	c.ledger.Assign(p.Partition)
	c.ledger.Advance(p.Partition, 2)
	p.entries["public_a"] = intent.Entry{Job: "a job that is gone", End: 5}
	p.stopped, p.leaving = true, true
	if c.holdCutOff(); len(c.holds) > 0 {
		t.Errorf("on hold: %+v", c.holds)
	}
	p.leaving = false
	if c.holdCutOff(); len(c.holds) != 1 || c.holds[0].Table != "public_a" {
		t.Errorf("on hold: %+v, want its table", c.holds)
	}
	if c.lane("public_a").held == "" || c.covering("public_a") {
		t.Error("its table is waited for")
	}
}
