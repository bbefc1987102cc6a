package connector

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// readers watch a table as its readers see it: the values of a row are versions, which
// must never go back (I8).
type readers struct {
	mu    sync.Mutex
	seen  map[string]int
	steps []string
}

func (r *readers) onRow(table, key string, row []any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if row == nil {
		return
	}
	v, _ := strconv.Atoi(row[1].(string))
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	if k := table + " " + key; v < r.seen[k] {
		r.steps = append(r.steps, fmt.Sprintf("%s went from version %d back to %d", k, r.seen[k], v))
	} else {
		r.seen[k] = v
	}
}

func (r *readers) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.steps {
		t.Error(s)
	}
}

// prepare makes a job of changes at the target, as a process did that is no more.
func (w *world) prepare(opt Options, topic string, changes [][2]string) push.Ticket {
	w.t.Helper()
	d := debezium.NewDecoder(topic, opt.Decoder)
	for i, c := range changes {
		if _, err := d.Decode(debezium.Record{Offset: int64(i), Key: []byte(c[0]), Value: []byte(c[1])}); err != nil {
			w.t.Fatal(err)
		}
	}
	b := batcher.New(opt.Policy)
	var batch *batcher.Batch
	for _, rows := range d.Take(nil) {
		var err error
		if batch, err = b.Add(time.Now(), rows, 0); err != nil {
			w.t.Fatal(err)
		}
	}
	b.Seal(batch)
	chunks, err := opt.Encode(batch)
	if err != nil {
		w.t.Fatal(err)
	}
	ticket, err := opt.Pusher.Sink.Prepare(w.t.Context(), &push.Job{Table: batch.Table, Chunks: chunks})
	if err != nil {
		w.t.Fatal(err)
	}
	return ticket
}

// commitAs commits an offset with metadata for the group, from outside.
func (w *world) commitAs(topic string, part int32, at int64, metadata string) {
	w.t.Helper()
	var o kadm.Offsets = map[string]map[int32]kadm.Offset{topic: {part: {Topic: topic, Partition: part, At: at, LeaderEpoch: -1, Metadata: metadata}}}
	if err := kadm.NewClient(w.client).CommitAllOffsets(w.t.Context(), "sluice", o); err != nil {
		w.t.Fatal(err)
	}
}

// TestAdopt: what becomes of a job that a process has noted and then died, by where the
// job stands. Its rows are sent again only if it did not deliver them, then all at once,
// and nothing is ever seen to go back.
func TestAdopt(t *testing.T) {
	t.Parallel()
	execute := func(t *testing.T, w *world, sink push.Sink, ticket push.Ticket) {
		if _, err := sink.Execute(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(t *testing.T, w *world, sink push.Sink, ticket push.Ticket) {
		ticket.Done = true // or NEW: whatever it is, it goes
		if err := sink.Discard(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name  string
		part  int // the first of so many
		of    int // partitions that it was to be noted beside
		delay time.Duration
		setUp func(*testing.T, *world, push.Sink, push.Ticket)
		again bool // its rows are read and sent again
	}{
		{"NEW", 1, 0, 0, func(*testing.T, *world, push.Sink, push.Ticket) {}, false},
		{"RUNNING", 1, 0, 2 * time.Second, execute, false},
		{"DONE", 1, 0, 0, execute, false},
		{"ERROR, half applied", 1, 0, 0, func(t *testing.T, w *world, s push.Sink, ticket push.Ticket) {
			w.emu.Inject("execute", emulator.JobError, 0, 1)
			execute(t, w, s, ticket)
		}, true},
		{"CANCELED", 1, 0, 0, func(t *testing.T, w *world, s push.Sink, ticket push.Ticket) {
			w.emu.Inject("execute", emulator.JobCancel, 0, 1)
			execute(t, w, s, ticket)
		}, true},
		{"gone, never executed", 1, 0, 0, gone, true},
		{"gone after it was DONE", 1, 0, 0, func(t *testing.T, w *world, s push.Sink, ticket push.Ticket) {
			execute(t, w, s, ticket)
			gone(t, w, s, ticket)
		}, true},
		{"DONE, a part of two", 2, 0, 0, execute, true},
		{"NEW, and the API hides it at first", 1, 0, 0, func(_ *testing.T, w *world, _ push.Sink, _ push.Ticket) {
			w.emu.Inject("get", emulator.Gateway404, 0, 2)
		}, false},
		{"NEW, noted in part", 1, 2, 0, func(*testing.T, *world, push.Sink, push.Ticket) {}, true},
		{"NEW, and noted beside what others have", 1, 2, 0, func(_ *testing.T, w *world, _ push.Sink, ticket push.Ticket) {
			m := intent.Metadata{Tables: map[string]intent.Entry{"public_a": {Job: ticket.ID, Part: 1, Parts: 1, Of: 2, End: 6, Bytes: 1000}}}
			w.commitAs("shop.public.other", 0, 0, m.String())
		}, false},
		{"DONE, and others have passed it", 1, 2, 0, execute, false},
		{"executing it is refused", 1, 0, 0, func(_ *testing.T, w *world, _ push.Sink, _ push.Ticket) {
			w.emu.Inject("execute", emulator.Answer500, 0, 1)
			w.emu.Inject("execute", emulator.LostAfter, 0, 1)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r readers
			w := newWorld(t, emulator.Options{OnRow: r.onRow, Delay: c.delay}, "shop.public.a", "shop.public.other")
			opt := w.options("shop.public.a")
			// One row is enough for a batch, and each comes alone: what holds it back is the
			// range to be covered.
			opt.Kafka.FetchBytes = 64
			opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 1, MaxBytes: 1 << 20, MaxAge: time.Hour} }
			var changes [][2]string
			put := func(id int64, version int) {
				key, value := change("shop.public.a", "u", id, strconv.Itoa(version))
				changes = append(changes, [2]string{key, value})
				w.put("shop.public.a", "u", id, strconv.Itoa(version))
			}
			for v := 1; v <= 3; v++ {
				put(0, v)
				put(2, v)
			}
			ticket := w.prepare(opt, "shop.public.a", changes)
			c.setUp(t, w, opt.Pusher.Sink, ticket)
			m := intent.Metadata{Tables: map[string]intent.Entry{"public_a": {Job: ticket.ID, Part: 1, Parts: c.part, Of: c.of, End: 6, Bytes: 1000}}}
			w.commitAs("shop.public.a", 0, 0, m.String())
			put(0, 4)
			put(4, 4)
			reader := meter(&opt)
			conn, stop := w.run(opt)
			w.eventually("everything", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
			stop()
			r.check(t)
			want := int64(len(changes) - 6)
			if c.again {
				want = int64(len(changes))
			}
			got := read(t, reader)
			if adopted, replayed := got.of("sluice.intents", "outcome=adopted").value, got.of("sluice.intents", "outcome=replayed").value; adopted != 1 || replayed == 1 != c.again || replayed > 1 {
				t.Errorf("%v jobs are counted as adopted and %v as replayed", adopted, replayed)
			}
			if n := conn.Status().Totals.Read; n != want {
				t.Errorf("%d changes were sent, want %d", n, want)
			}
		})
	}
}

// TestDoneIsNotSentAgain: a process ends between DONE and the commit. The next one finds
// the job in the offsets' metadata and sends nothing again.
func TestDoneIsNotSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	mend := w.cutCommits()
	opt := w.options("shop.public.a")
	opt.DrainTimeout = time.Second
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	w.insert("shop.public.a", 0, 10)
	_, stop := w.run(opt)
	w.eventually("the rows", w.equal)
	stop()
	if lag := w.lag("shop.public.a"); lag != 10 {
		t.Fatalf("lag %d: the commit went through", lag)
	}
	mend()
	_, stop = w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if n := w.emu.Counts().Submitted; n != 1 {
		t.Errorf("%d jobs submitted for one batch", n)
	}
	w.check()
}

// TestHandedOver: a partition whose job does not end in time goes with it; its new owner
// brings it to its end. If it is DONE, nobody sends its rows again; if it fails, each
// owner sends those of its own partition again.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		t.Run(fmt.Sprint("fails ", fails), func(t *testing.T) {
			t.Parallel()
			var r readers
			w := newWorld(t, emulator.Options{Delay: time.Hour, OnRow: r.onRow}, "shop.public.a")
			if fails {
				w.emu.Inject("execute", emulator.JobError, 0, 1)
			}
			opt := w.options("shop.public.a")
			opt.DrainTimeout = 500 * time.Millisecond
			// All rows in one batch, also where they come slowly; what is sent again is less.
			opt.Policy = func(string) batcher.Policy {
				return batcher.Policy{MaxRows: 5, MaxBytes: 1 << 20, MaxAge: 2 * time.Second}
			}
			for v := range 2 {
				for id := range int64(5) {
					w.put("shop.public.a", "u", id, strconv.Itoa(v))
				}
			}
			c1, stop1 := w.run(opt)
			w.eventually("a job runs", func() bool { return w.emu.Counts().Submitted == 1 })
			c2, stop2 := w.run(opt.fresh(w, "shop.public.a"))
			w.eventually("each has a partition, though the job runs", func() bool { return c2.Status().Partitions == 1 && c1.Status().Partitions == 1 })
			w.emu.SetDelay(0)
			w.eventually("everything", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
			if n := w.emu.Counts().Submitted; n != 1 && !fails {
				t.Errorf("%d jobs submitted for one batch", n)
			}
			stop1()
			stop2()
			if n := c1.Status().Totals.Read + c2.Status().Totals.Read; n != 10 {
				t.Errorf("%d changes were sent by both together, want each of 10 once", n)
			}
			r.check(t)
			w.check()
		})
	}
}

// TestMarkOutlivesACrash: of two tables in one partition the later one is DONE ahead of
// what can be committed. Its mark is kept, and a restart does not send it again.
func TestMarkOutlivesACrash(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "mixed")
	key, value := change("shop.public.slow", "c", 1, "x")
	w.produce("mixed", 0, key, value)
	for id := range int64(5) {
		key, value = change("shop.public.fast", "c", id, "y")
		w.produce("mixed", 0, key, value)
	}
	opt := w.options("mixed")
	opt.Policy = func(table string) batcher.Policy {
		if table == "public_slow" {
			return batcher.Policy{MaxRows: 100, MaxBytes: 1 << 20, MaxAge: time.Hour}
		}
		return batcher.Policy{MaxRows: 5, MaxBytes: 1 << 20, MaxAge: time.Hour}
	}
	_, stop := w.run(opt)
	mark := func() intent.Entry {
		at, _ := kadm.NewClient(w.client).FetchOffsets(t.Context(), "sluice")
		o, _ := at.Lookup("mixed", 0)
		m, _ := intent.Parse(o.Metadata)
		return m.Tables["public_fast"]
	}
	w.eventually("the mark", func() bool { return mark() == intent.Entry{Mark: 6} })
	opt.Pusher.Budget.Refused(time.Now(), time.Hour) // nothing is left for the drain
	stop()
	if mark() != (intent.Entry{Mark: 6}) || w.lag("mixed") != 6 {
		t.Fatalf("%+v, lag %d", mark(), w.lag("mixed"))
	}
	opt.Pusher.Budget = push.NewBudget(100_000, 1000)
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 100, MaxBytes: 1 << 20, MaxAge: 50 * time.Millisecond}
	}
	c, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("mixed") == 0 })
	stop()
	if n := c.Status().Totals.Upserted; n != 1 || w.emu.Counts().Submitted != 2 {
		t.Errorf("after the restart %d rows were sent, want the one of the slow table; %d jobs in all", n, w.emu.Counts().Submitted)
	}
}

// TestAnswerLost: the group has a commit whose answer did not arrive. The same goes out
// again, and the batch is sent once.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	var mu sync.Mutex
	sent := map[string]int{}
	lost := 0
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		req := q.(*kmsg.OffsetCommitRequest)
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				sent[fmt.Sprintf("%d %d %s", p.Partition, p.Offset, *p.Metadata)]++
			}
		}
		if lost++; lost%3 != 0 {
			return commitAnswer(req, func(kmsg.OffsetCommitRequestTopicPartition) *kerr.Error { return kerr.RequestTimedOut }), nil, true
		}
		return nil, nil, false
	})
	opt := w.options("shop.public.a")
	// All rows in one batch, however slowly they come.
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	_, stop := w.run(opt)
	w.insert("shop.public.a", 0, 10)
	w.eventually("the job", func() bool { return w.at("QUEUED") >= 0 })
	// Two answers are lost of three, for the start of both partitions and for the job.
	if queued := w.at("QUEUED"); queued < 7 {
		t.Errorf("the job was executed at %d, before it was noted beside its offsets: %q", queued, w.timeline)
	}
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	mu.Lock()
	defer mu.Unlock()
	for what, n := range sent {
		if n%3 != 0 {
			t.Errorf("after a doubt something else was committed than %s, sent %d times", what, n)
		}
	}
	w.check()
}

// TestForeignMetadata: what somebody else wrote beside an offset is not overwritten,
// except for what client libraries write by themselves.
func TestForeignMetadata(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		metadata, reason string
	}{
		{"", ""},
		{"other-b1f4cbd2-8a07-4f43-9e4c-1ba1a4b2a3d5", ""},
		{"checkpoint:17", "that Sluice did not write"},
		{`{"sluice":9}`, "of version 9"},
		{intent.Metadata{Topic: "anotherTopicsId"}.String(), "made anew"},
	} {
		t.Run(c.metadata, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
			w.put("shop.public.a", "c", 2, "x")
			w.put("shop.public.b", "c", 2, "x")
			w.commitAs("shop.public.a", 0, 0, c.metadata)
			conn, _ := w.run(w.options("shop.public.a", "shop.public.b"))
			if c.reason == "" {
				w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
				return
			}
			w.eventually("the other topic", func() bool { return w.lag("shop.public.b") == 0 })
			holdsAt(t, conn, "topic shop.public.a, at shop.public.a/0", c.reason)
			at, _ := kadm.NewClient(w.client).FetchOffsets(t.Context(), "sluice")
			if o, _ := at.Lookup("shop.public.a", 0); o.At != 0 || o.Metadata != c.metadata || w.emu.Snapshot("public_a") != nil {
				t.Errorf("overwritten: %+v", o)
			}
		})
	}
}

func holdsAt(t *testing.T, c *Connector, where, reason string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, h := range c.Status().Holds {
			if h.Where() == where && strings.Contains(h.Reason, reason) && h.Remedy != "" {
				return
			}
		}
	}
	t.Errorf("holds %+v, want one of %s: %s", c.Status().Holds, where, reason)
}

// TestOffsetExpired: a partition that had an offset and has none any more is held; one
// that never had any is read from its beginning.
func TestOffsetExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	run := func() (c *Connector, stop func()) { return w.run(w.options("shop.public.a")) }
	w.insert("shop.public.a", 0, 4)
	for range 2 { // the second start knows that both have offsets
		_, stop := run()
		w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
		w.put("shop.public.a", "u", 0, "again")
		w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
		stop()
	}
	adm := kadm.NewClient(w.client)
	if _, err := adm.CreatePartitions(t.Context(), 1, "shop.public.a"); err != nil {
		t.Fatal(err)
	}
	key, value := change("shop.public.a", "c", 100, "new partition")
	w.client.ForceMetadataRefresh()
	w.eventually("the new partition", func() bool {
		rec := &kgo.Record{Topic: "shop.public.a", Partition: 2, Key: []byte(key), Value: []byte(value)}
		return w.client.ProduceSync(t.Context(), rec).FirstErr() == nil
	})
	w.model["public_a"][100] = "new partition"
	_, stop := run()
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	gone := kadm.TopicsSet{"shop.public.a": map[int32]struct{}{1: {}}}
	if _, err := adm.DeleteOffsets(t.Context(), "sluice", gone); err != nil {
		t.Fatal(err)
	}
	jobs := w.emu.Counts().Submitted
	c, _ := run()
	holdsAt(t, c, "topic shop.public.a, at shop.public.a/1", "is gone, though it had one")
	if n := w.emu.Counts().Submitted; n != jobs {
		t.Errorf("%d jobs send again what was delivered", n-jobs)
	}
}

// TestAllOffsetsExpired: a group without any offset is new, or has lost all that it had.
// Where that is said, it is held; a new topic beside others is not.
func TestAllOffsetsExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a")
	w.insert("shop.public.a", 0, 4)
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	opt.HoldNewGroup = true
	opt.Kafka.Topics = append(opt.Kafka.Topics, "shop.public.b")
	_, stop = w.run(opt)
	w.eventually("the new topic, which is empty", func() bool { return w.at("commit shop.public.b/0 0") >= 0 && w.at("commit shop.public.b/1 0") >= 0 })
	w.insert("shop.public.b", 0, 4)
	w.eventually("the new topic", func() bool { return w.equal() && w.lag("shop.public.b") == 0 })
	stop()
	adm := kadm.NewClient(w.client)
	if _, err := adm.DeleteGroup(t.Context(), "sluice"); err != nil {
		t.Fatal(err)
	}
	jobs := w.emu.Counts().Submitted
	c, stop := w.run(opt)
	w.eventually("both are held", func() bool { return len(c.Status().Holds) == 2 })
	if h := c.Status().Holds[0]; !strings.Contains(h.Reason, "no offsets at all") || !strings.Contains(h.Remedy, "SLUICE_KAFKA_AUTO_OFFSET_RESET=earliest") {
		t.Errorf("the hold says %+v", h)
	}
	stop()
	if n := w.emu.Counts().Submitted; n != jobs {
		t.Errorf("%d jobs send again what was delivered", n-jobs)
	}
}

// TestStartWithoutHistory: nobody knows whether what retention has deleted was delivered. That is
// said, once for each partition; of one that has all its records there is nothing to say.
func TestStartWithoutHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.insert("shop.public.a", 0, 8)
	if err := w.cluster.DeleteRecords("shop.public.a", 1, 2); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	opt := w.options("shop.public.a")
	opt.Logger = slog.New(lines("first records were deleted", func(line string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, line)
	}))
	_, stop := w.run(opt)
	w.eventually("what is there", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if len(said) != 1 || !strings.Contains(said[0], "shop.public.a/1") || !strings.Contains(said[0], "SLUICE_KAFKA_AUTO_OFFSET_RESET=none") {
		t.Errorf("the log says %q", said)
	}
}

// TestTopicOffsetsGone: a group has no offsets of one of its topics, as where that was
// deleted and made anew while nobody ran. Told that it has delivered before, it holds that
// topic and no other, until a person has said where to begin.
func TestTopicOffsetsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	w.insert("shop.public.a", 0, 4)
	w.insert("shop.public.b", 0, 4)
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 && w.lag("shop.public.b") == 0 })
	stop()
	adm := kadm.NewClient(w.client)
	gone := kadm.TopicsSet{}
	gone.Add("shop.public.a", 0, 1)
	if done, err := adm.DeleteOffsets(t.Context(), "sluice", gone); err != nil || done.Error() != nil {
		t.Fatal(err, done.Error())
	}
	opt.HoldNewGroup = true
	c, stop := w.run(opt)
	w.eventually("it is held", func() bool { return len(c.Status().Holds) > 0 })
	w.insert("shop.public.b", 4, 4)
	w.eventually("the other goes on", func() bool { return w.equal() && w.lag("shop.public.b") == 0 })
	if h := c.Status().Holds; len(h) != 1 || h[0].Topic != "shop.public.a" || !strings.Contains(h[0].Reason, "no offsets of this topic") || !strings.Contains(h[0].Remedy, "--group sluice --topic shop.public.a --reset-offsets --to-earliest") {
		t.Errorf("on hold: %+v", h)
	}
	stop()
	if lag := w.lag("shop.public.a"); lag != 4 {
		t.Errorf("lag %d: offsets of the topic on hold were committed", lag)
	}
	w.commitAs("shop.public.a", 0, 0, "") // as the remedy says
	w.commitAs("shop.public.a", 1, 0, "")
	w.run(opt)
	w.eventually("it is read", func() bool { return w.lag("shop.public.a") == 0 })
}

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
