package connector

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// TestCoverAcrossColumns: the range of a job that ended half applied has a new column in
// its middle, which makes two batches of it. The first must not show what the second
// replaces.
func TestCoverAcrossColumns(t *testing.T) {
	t.Parallel()
	var r readers
	w := newWorld(t, emulator.Options{OnRow: r.onRow}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Kafka.FetchBytes = 64 // a record a fetch
	var changes [][2]string
	put := func(id int64, version int, more string) {
		key, value := change("shop.public.a", "u", id, strconv.Itoa(version))
		value = strings.Replace(value, `"},"source"`, `"`+more+`},"source"`, 1)
		changes = append(changes, [2]string{key, value})
		w.produce("shop.public.a", 0, key, value)
	}
	for id := range int64(8) {
		put(id, 1, "")
	}
	for id := range int64(8) {
		put(id, 2, `,"w":7`)
	}
	later := changes[8:] // the last version of every row
	ticket := w.prepare(opt, "shop.public.a", later)
	w.emu.Inject("execute", emulator.JobError, 0, 1)
	if _, err := opt.Pusher.Sink.Execute(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	m := intent.Metadata{Tables: map[string]intent.Entry{"public_a": {Job: ticket.ID, Part: 1, Parts: 1, End: 16, Bytes: 1000}}}
	w.commitAs("shop.public.a", 0, 0, m.String())
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	r.check(t)
	if rows := w.emu.Snapshot("public_a").Rows; len(rows) != 8 || rows["int64:3|"][1] != "2" || rows["int64:3|"][2] != int64(7) {
		t.Errorf("%v", rows)
	}
}

// TestReplayBesideOthers: the job of one of two tables in a partition ended without
// effect. Its rows begin behind what is committed; those of the other table, which lie
// before, are not passed over.
func TestReplayBesideOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "mixed")
	opt := w.options("mixed")
	var changes [][2]string
	for i, table := range []string{"other", "a", "other", "a"} {
		key, value := change("shop.public."+table, "c", int64(i), "x")
		w.produce("mixed", 0, key, value)
		if table == "a" {
			changes = append(changes, [2]string{key, value})
		}
	}
	ticket := w.prepare(opt, "mixed", changes[1:])
	w.emu.Inject("execute", emulator.JobCancel, 0, 1)
	if _, err := opt.Pusher.Sink.Execute(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	m := intent.Metadata{Tables: map[string]intent.Entry{"public_a": {Mark: 2, Job: ticket.ID, Part: 1, Parts: 1, End: 4, Bytes: 1000}}}
	w.commitAs("mixed", 0, 0, m.String())
	var once sync.Once
	w.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		once.Do(func() { time.Sleep(500 * time.Millisecond) }) // nothing is read when the job is found to have failed
		return nil, nil, false
	})
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("mixed") == 0 })
	stop()
	rows := func(table string) int {
		if s := w.emu.Snapshot(table); s != nil {
			return len(s.Rows)
		}
		return 0
	}
	if rows("public_other") != 2 || rows("public_a") != 1 {
		t.Errorf("%d rows of the other table, want 2; %d of the table whose job failed, want the one behind its mark", rows("public_other"), rows("public_a"))
	}
}

// TestLostBeforeCommit: a member is thrown out when its job is DONE and not committed.
// The offsets name the job, so it stays at the target, and whoever comes next finds it.
func TestLostBeforeCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	mend := w.cutCommits()
	opt := w.options("shop.public.a")
	// All rows in one batch, however slowly they come: a second one could not be noted.
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	reader := meter(&opt)
	w.run(opt)
	w.insert("shop.public.a", 0, 10)
	w.eventually("the rows", w.equal)
	adm := kadm.NewClient(w.client)
	groups, err := adm.DescribeGroups(t.Context(), "sluice")
	if err != nil {
		t.Fatal(err)
	}
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "sluice"
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = groups["sluice"].Members[0].MemberID
	req.Members = append(req.Members, m)
	if _, err := req.RequestWith(t.Context(), w.client); err != nil {
		t.Fatal(err)
	}
	w.eventually("all is lost", func() bool { return read(t, reader).of("sluice.rebalances", "event=lost").value > 0 })
	mend()
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	if n := w.emu.Counts().Submitted; n != 1 {
		t.Errorf("%d jobs submitted for one batch", n)
	}
}

// TestEntriesGoTogether: one of two partitions has a commit in doubt when a batch of both
// wants its job noted. Neither says so before both do.
func TestEntriesGoTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	var mu sync.Mutex
	first, late := "", 0 // the first commit that names a job; how many there were since it was made
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		req := q.(*kmsg.OffsetCommitRequest)
		if w.emu.Counts().Jobs > 0 {
			late++
		}
		doubt := late < 4 // the job wants to be noted a while after it was made
		text := ""
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				text += fmt.Sprintf("%d:%v ", p.Partition, strings.Contains(*p.Metadata, "job"))
			}
		}
		if first == "" && strings.Contains(text, "true") {
			first = text
		}
		return commitAnswer(req, func(p kmsg.OffsetCommitRequestTopicPartition) *kerr.Error {
			if p.Partition == 1 {
				return kerr.RequestTimedOut
			}
			return nil
		}), nil, doubt
	})
	opt := w.options("shop.public.a")
	// All rows in one batch, however slowly they come.
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	_, stop := w.run(opt)
	w.eventually("both starts are committed", func() bool { return w.at("commit shop.public.a/0 0") >= 0 && w.at("commit shop.public.a/1 0") >= 0 })
	w.insert("shop.public.a", 0, 10)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	mu.Lock()
	defer mu.Unlock()
	if first != "0:true 1:true " && first != "1:true 0:true " {
		t.Errorf("the first commit that names a job says %q", first)
	}
}

// TestReplaysTakeTurns: the ranges of two jobs that did not deliver do not fit into memory
// together. The second is read again when the first is there.
func TestReplaysTakeTurns(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	opt.MemoryLimit = 1000
	c := w.idle(opt)
	c.now = time.Now()
	var parts []*partition
	for i, table := range []string{"public_a", "public_b"} {
		batch := w.batch(c, table, Holder(i+1))
		p := w.hold(c, kafka.Partition{Topic: "shop." + strings.Replace(table, "_", ".", 1)}, batch, 5)
		p.entries[table] = intent.Entry{Job: "job", Part: 1, Parts: 1, End: 5, Bytes: 400}
		c.ledger.Advance(p.Partition, 7)
		batch.adopted, batch.size = true, 400
		parts = append(parts, p)
		c.onDelivered(delivered{batch, &push.Error{Op: "job", Kind: push.Lost}})
	}
	again := func() (n int) {
		for _, p := range parts {
			if c.ledger.Next(p.Partition) == 0 {
				n++
			}
		}
		return n
	}
	c.schedule()
	if n := again(); n != 1 {
		t.Fatalf("%d ranges are read again at once, want 1", n)
	}
	c.schedule()
	if n := again(); n != 1 {
		t.Fatalf("%d ranges are read again before the first is there, want 1", n)
	}
	for _, p := range parts {
		if c.ledger.Next(p.Partition) == 0 {
			c.ledger.Advance(p.Partition, 5)
		}
	}
	c.schedule()
	if n := again(); n != 1 {
		t.Fatalf("%d ranges are read again after the first, want the other", n)
	}
}

// TestAdoptedGoesFirst: a batch is due while there is no room to read the range of a lost
// job of its table again. Those rows are older, so the batch waits.
func TestAdoptedGoesFirst(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	opt.MemoryLimit = 1 << 20
	c := w.idle(opt)
	c.now = time.Now()
	other := w.batch(c, "public_b", 1) // its range is being read again, and fills the memory
	p := w.hold(c, kafka.Partition{Topic: "shop.public.b"}, other, 5)
	p.entries["public_b"] = intent.Entry{Job: "job", Part: 1, Parts: 1, End: 5}
	other.lane.running, other.lane.replays = nil, opt.MemoryLimit
	lost := w.batch(c, "public_a", 2)
	lost.lost, lost.size = &push.Error{Op: "job", Kind: push.Lost}, 400
	lost.lane.running, lost.lane.adopted = nil, []*work{lost}

	rows := new(schema.Rows)
	rows.Reset("public_a", []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}})
	rows.Values[0].AppendNum(1)
	rows.Ops, rows.Offsets = append(rows.Ops, schema.Upsert), append(rows.Offsets, 9)
	rows.Keys = schema.AppendKey(rows.Keys, &rows.Values[0], 0)
	rows.KeyEnds = append(rows.KeyEnds, uint32(len(rows.Keys)))
	if _, err := c.batcher.Add(c.now.Add(-time.Hour), rows, 0); err != nil {
		t.Fatal(err)
	}
	c.schedule()
	if lost.lane.running != nil {
		t.Error("a batch was started before what was adopted")
	}
	lost.lane.adopted = nil
	c.schedule()
	if lost.lane.running == nil {
		t.Error("nor was it started after that: it was not due")
	}
}

// TestGivenBatchEndsWithItsJob: a batch of two jobs loses a partition while its second job
// waits to be noted. The offsets that go name the first one, which does not deliver, so
// their new owner sends their rows: the second job must not send them again, later.
func TestGivenBatchEndsWithItsJob(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	batch := w.batch(c, "public_a", 1)
	batch.bound = true
	for id := range int32(2) {
		w.hold(c, kafka.Partition{Topic: "shop.public.a", ID: id}, batch, 5)
	}
	second := &bind{work: batch, job: "second", part: 2, parts: 2, reply: make(chan error, 1)}
	c.onBind(second)
	c.giveUp(map[kafka.Partition]bool{{Topic: "shop.public.a", ID: 1}: true}, false)
	c.admit()
	for p, n := range c.news() {
		if job := n.meta.Tables["public_a"].Job; job != "" {
			t.Errorf("job %s is noted beside %v", job, p)
		}
	}
	select {
	case err := <-second.reply:
		if push.KindOf(err) != push.Lost {
			t.Errorf("the second job is answered %v", err)
		}
	default:
		t.Error("the second job waits for ever")
	}
}
