package connector

import (
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
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
