package connector

import (
	"errors"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestBindWaitsForTheCommitUnderWay: a job that wants to be noted while a commit is under way is
// let in after its answer, which may leave one of the batch's partitions in doubt: what goes
// out next for that one would be the old content, and the other's entry would go alone.
func TestBindWaitsForTheCommitUnderWay(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	c.now = time.Now()
	batch := w.batch(c, "public_a", 1)
	for id := range int32(2) {
		w.hold(c, kafka.Partition{Topic: "shop.public.a", ID: id}, batch, 5)
	}
	b := &bind{work: batch, job: "job", part: 1, parts: 1, since: c.now, reply: make(chan error, 1)}
	c.onBind(b)
	c.commits.busy = true
	if c.admit(); b.admitted {
		t.Error("a job is noted though it is not known what is committed")
	}
	c.commits.busy = false
	if c.admit(); !b.admitted {
		t.Error("nor is it after that")
	}
}

// TestJobThatOthersMayFindStays: a batch is DONE and committed. Its job is deleted, unless
// offsets that are not ours, or were not, may name it.
func TestJobThatOthersMayFindStays(t *testing.T) {
	for _, c := range []struct {
		name           string
		given, adopted bool
		deleted        int
	}{{"ours alone", false, false, 1}, {"given away in part", true, false, 0}, {"adopted", false, true, 0}} {
		w := newWorld(t, emulator.Options{}, "shop.public.a")
		conn := w.idle(w.options("shop.public.a"))
		batch := w.batch(conn, "public_a", 1)
		p := w.hold(conn, kafka.Partition{Topic: "shop.public.a"}, batch, 5)
		batch.given, batch.adopted = c.given, c.adopted
		batch.delivery = push.NewDelivery(nil)
		conn.commits.acked[p.Partition] = content{at: 5}
		conn.commits.settle = []*work{batch}
		if conn.onCommitted(committed{}); conn.discarding != c.deleted || len(conn.commits.settle) > 0 {
			t.Errorf("%s: %d jobs deleted, want %d; %d batches still wait", c.name, conn.discarding, c.deleted, len(conn.commits.settle))
		}
	}
}

// TestProbeWhileItsJobRuns: nothing follows in a partition up to where a job is noted. The
// entry stands all the same until the job has ended: without it a next owner would send newer
// rows beside it.
func TestProbeWhileItsJobRuns(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	id := kafka.Partition{Topic: "shop.public.a"}
	p := c.newPartition(id)
	p.known = true
	c.parts[id] = p
	c.ledger.Assign(id)
	c.ledger.Advance(id, 5)
	p.entries["public_a"] = intent.Entry{Job: "job", Part: 1, Parts: 1, End: 8}
	c.adopt("public_a", p.entries["public_a"], []*partition{p}, 1)
	named := func() bool { return c.news()[id].meta.Tables["public_a"].Job == "job" }

	none := probed{part: p, none: true, from: 5, upTo: 8}
	c.onProbed(none)
	if !named() {
		t.Error("its job runs, and is not named beside the offset")
	}
	l := c.lane("public_a")
	l.running, l.adopted = l.adopted[0], nil
	c.onProbed(none)
	if !named() || !c.covering("public_a") {
		t.Error("its job runs, and is not named beside the offset")
	}
	l.running = nil
	c.onProbed(none)
	if named() || c.covering("public_a") {
		t.Error("its job has ended, and the table waits for what does not come")
	}
}

// TestLeaderThatIsBehind: after a failover a leader may not have come yet to where an intent
// ends. That it has nothing more to give says nothing of what is up to there.
func TestLeaderThatIsBehind(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	w.put("shop.public.a", "c", 2, "x")
	for _, q := range []struct {
		from, upTo int64
		none       bool
	}{{0, 1, false}, {1, 1, true}, {1, 2, false}} {
		if none, err := c.consumer.Exhausted(t.Context(), kafka.Partition{Topic: "shop.public.a"}, q.from, q.upTo); err != nil || none != q.none {
			t.Errorf("one record: nothing more from %d to %d: %v %v", q.from, q.upTo, none, err)
		}
	}
}

// TestHeldTableWantsNothing: what a table that is held lacks nobody waits for: nothing is
// fetched for it beyond the memory limit, and others' ranges need not take turns with it.
func TestHeldTableWantsNothing(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	c := w.idle(opt)
	id := kafka.Partition{Topic: "shop.public.a"}
	p := c.newPartition(id)
	c.parts[id] = p
	c.ledger.Assign(id)
	c.ledger.Advance(id, 5)
	p.entries["public_a"] = intent.Entry{Job: "job", Part: 1, Parts: 1, End: 8}
	c.queued = opt.MemoryLimit
	l := c.lane("public_a")
	l.replays = 1
	if c.paused() || c.room(opt.MemoryLimit) {
		t.Error("its rows are read again, for nothing else can go on, and nobody else's")
	}
	l.held = "for a reason"
	if !c.paused() || !c.room(opt.MemoryLimit) {
		t.Errorf("paused %v: a table that is held has memory for the asking", c.paused())
	}
}

// TestReplaysOfOneTable: two jobs of a table did not deliver. The second waits for memory until
// the first one's rows are there, and its being there does not keep those from being looked for.
func TestReplaysOfOneTable(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	p := c.newPartition(kafka.Partition{Topic: "shop.public.a"})
	c.ledger.Assign(p.Partition)
	c.ledger.Advance(p.Partition, 5)
	p.entries["public_a"] = intent.Entry{Job: "job", Part: 1, Parts: 1, End: 8}
	second := w.batch(c, "public_a", 2)
	second.lane.running, second.lane.adopted = nil, []*work{second}
	if c.wants(p, "public_a") {
		t.Error("the second job has not ended")
	}
	second.lost = errors.New("it failed")
	if !c.wants(p, "public_a") {
		t.Error("nobody looks for the first one's rows")
	}
}
