package connector

import (
	"fmt"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// brokersTake has brokers take so many bytes beside an offset, and while they are shut no
// commit at all.
func (w *world) brokersTake(limit int) (shut *atomic.Bool) {
	shut = new(atomic.Bool)
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := q.(*kmsg.OffsetCommitRequest)
		if shut.Load() {
			return commitAnswer(req, func(kmsg.OffsetCommitRequestTopicPartition) *kerr.Error { return kerr.CoordinatorLoadInProgress }), nil, true
		}
		resp := tooLarge(req, limit)
		return resp, nil, resp != nil
	})
	return shut
}

// TestBrokersRefuseMetadata: brokers that take less beside an offset than Sluice was told
// get none, which is counted and said once a partition; the rows arrive.
func TestBrokersRefuseMetadata(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ ours, theirs int }{
		"the brokers take less than they are said to": {4096, 20},
		"the setting leaves no room for an entry":     {60, 4096},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			w.brokersTake(c.theirs)
			var log lockedBuffer
			reader := sdkmetric.NewManualReader()
			opt := w.options("shop.public.a")
			opt.MetadataLimit = c.ours
			opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
			opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
			w.insert("shop.public.a", 0, 10)
			_, stop := w.run(opt)
			w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
			stop()
			w.check()
			at, err := kadm.NewClient(w.client).FetchOffsets(t.Context(), "sluice")
			if err != nil {
				t.Fatal(err)
			}
			at.Each(func(o kadm.OffsetResponse) {
				if len(o.Metadata) > c.theirs || c.ours < 4096 && o.Metadata != "" {
					t.Errorf("%s/%d has metadata %q", o.Topic, o.Partition, o.Metadata)
				}
			})
			plain := counted(t, reader, "sluice.commits.without_metadata")
			if said := strings.Count(log.String(), "raise offset.metadata.max.bytes of the brokers and SLUICE_KAFKA_OFFSET_METADATA_MAX_BYTES"); plain != 2 || said != 2 {
				t.Errorf("%d partitions without metadata are counted, and the log says so %d times; want both", plain, said)
			}
		})
	}
}

// TestNoRoomNoJob: more tables share a partition than there is room for entries. Their
// jobs take turns, the one that holds the commit back has a slot, and nothing is
// committed without its entry.
func TestNoRoomNoJob(t *testing.T) {
	t.Parallel()
	const limit = 500
	w := newWorld(t, emulator.Options{Delay: time.Hour}, "mixed")
	var mu sync.Mutex
	longest, most := 0, 0
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		for _, t := range q.(*kmsg.OffsetCommitRequest).Topics {
			for _, p := range t.Partitions {
				longest, most = max(longest, len(*p.Metadata)), max(most, strings.Count(*p.Metadata, `"job"`))
			}
		}
		return nil, nil, false
	})
	opt := w.options("mixed")
	opt.MetadataLimit = limit
	var log lockedBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for i := range 80 {
		table := string(rune('a' + i%8))
		key, value := change("shop.public."+table, "c", int64(i), "x")
		w.produce("mixed", 0, key, value)
		name := "public_" + table
		if w.model[name] == nil {
			w.model[name] = map[int64]string{}
		}
		w.model[name][int64(i)] = "x"
	}
	c, stop := w.run(opt)
	w.eventually("all tables want to note a job, and two have", func() bool {
		mu.Lock()
		defer mu.Unlock()
		under := 0
		for _, table := range c.Status().Tables {
			if table.State == "delivering" && table.Job != "" {
				under++
			}
		}
		return under == 8 && most >= 2
	})
	time.Sleep(300 * time.Millisecond) // for whoever would note one too many
	w.emu.SetDelay(0)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("mixed") == 0 })
	stop()
	mu.Lock()
	defer mu.Unlock()
	if longest > limit || most < 2 || most > 4 {
		t.Errorf("up to %d bytes were committed, and %d jobs beside one offset; want at most %d bytes, and two to four jobs", longest, most, limit)
	}
	if strings.Contains(log.String(), "without Sluice's metadata") {
		t.Error("an offset was committed without metadata, though there was room in turns")
	}
}

// hold makes an idle connector own a partition, all of whose rows from its start on a
// batch holds.
func (w *world) hold(c *Connector, id kafka.Partition, batch *work, end int64) *partition {
	p := c.newPartition(id)
	p.known = true
	c.parts[id] = p
	c.ledger.Assign(id)
	c.ledger.Advance(id, 0)
	c.ledger.Hold(id, 0, batch.holder)
	batch.ends[id] = end
	return p
}

func (w *world) batch(c *Connector, table string, holder Holder) *work {
	ctx, span := c.opt.Tracer.Start(w.t.Context(), "")
	b := &work{lane: c.lane(table), holder: holder, ctx: ctx, span: span, cancel: func() {}, ends: map[kafka.Partition]int64{}}
	b.lane.running = b
	return b
}

// TestNoRoomForAnyone: two tables wait for each other's room. After a while, and not
// before, one partition goes on without metadata.
func TestNoRoomForAnyone(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.MetadataLimit = 300
	c := w.idle(opt)
	c.now = time.Now()
	batch := w.batch(c, "public_a", 1)
	p := w.hold(c, kafka.Partition{Topic: "shop.public.a"}, batch, 5)
	c.ledger.Hold(p.Partition, -1, 2) // another table's rows hold the commit back
	for i := range 8 {
		p.entries[fmt.Sprint("public_", i)] = intent.Entry{Mark: 1000}
	}
	b := &bind{work: batch, job: "job", part: 1, parts: 1, since: c.now, reply: make(chan error, 1)}
	c.onBind(b)
	c.admit()
	if b.admitted || p.plain {
		t.Fatalf("admitted %v, without metadata %v: there is no room", b.admitted, p.plain)
	}
	c.now = c.now.Add(stuck + time.Second)
	other := w.batch(c, "public_b", 3) // which may yet make room
	c.admit()
	if b.admitted || p.plain {
		t.Fatalf("admitted %v, without metadata %v: another job runs", b.admitted, p.plain)
	}
	other.lane.running = nil
	c.admit()
	if !b.admitted || !p.plain {
		t.Errorf("admitted %v, without metadata %v: nothing else can make room", b.admitted, p.plain)
	}
}

// TestUnnotedJobIsNotGivenAway: where there is no metadata, nobody finds a job that is
// given away: it must not be executed any more, for it would come after the new owner's. Nor
// does anybody who finds rows of which only a token tells, and not the token.
func TestUnnotedJobIsNotGivenAway(t *testing.T) {
	for name, q := range map[string]struct{ plain, memory, token, found bool }{
		"noted":                           {found: true},
		"without metadata":                {plain: true},
		"rows whose token is noted":       {memory: true, token: true, found: true},
		"rows whose token is not noted":   {memory: true},
		"rows with a token, not metadata": {memory: true, token: true, plain: true},
	} {
		w := newWorld(t, emulator.Options{}, "shop.public.a")
		c := w.idle(w.options("shop.public.a"))
		if q.memory {
			c.opt.Memory = new(forgetful)
		}
		batch := w.batch(c, "public_a", 1)
		batch.bound, batch.token = true, q.token
		w.hold(c, kafka.Partition{Topic: "shop.public.a", ID: 0}, batch, 5)
		goes := w.hold(c, kafka.Partition{Topic: "shop.public.a", ID: 1}, batch, 5)
		goes.plain = q.plain
		c.giveUp(map[kafka.Partition]bool{goes.Partition: true}, false)
		if batch.abandoned == q.found || batch.given != q.found {
			t.Errorf("%s: abandoned %v, given away %v", name, batch.abandoned, batch.given)
		}
	}
}

// TestUnnotedJobOfAnother: where there is no metadata, nobody finds the job of a process that
// has died. Its execution may still be on the way: it must not come after newer rows.
func TestUnnotedJobOfAnother(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.brokersTake(20)
	opt := w.options("shop.public.a")
	key, value := change("shop.public.a", "c", 1, "old")
	w.put("shop.public.a", "c", 1, "old")
	ticket := w.prepare(opt, "shop.public.a", [][2]string{{key, value}})
	w.put("shop.public.a", "u", 1, "new")
	_, stop := w.run(opt)
	arrived := func() bool { return w.equal() && w.lag("shop.public.a") == 0 }
	w.eventually("the newer row", arrived)
	if _, err := opt.Pusher.Sink.Execute(t.Context(), ticket); push.KindOf(err) != push.Lost {
		t.Errorf("what was on its way is answered %v", err)
	}
	other := w.prepare(opt, "shop.public.a", [][2]string{{key, value}})
	w.put("shop.public.a", "u", 1, "newer")
	w.eventually("a newer row", arrived)
	stop()
	w.check()
	if n := w.emu.Counts().Submitted; n != 2 {
		t.Errorf("%d jobs submitted, want 2", n)
	}
	if st, err := opt.Pusher.Sink.Status(t.Context(), other); err != nil || st.State != push.New {
		t.Errorf("who knows its own jobs looks for others again: %v %v", st.State, err)
	}
}

// TestProbe: a job that failed is noted up to an offset to which nothing leads any more, as
// where compaction has taken a tombstone away. Its rows are sent again all the same.
func TestProbe(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	key, value := change("shop.public.a", "u", 2, "x")
	w.put("shop.public.a", "u", 2, "x")
	w.produce("shop.public.a", 0, key, "") // the tombstone
	w.cluster.ControlKey(int16(kmsg.Fetch), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, t := range q.(*kmsg.FetchRequest).Topics {
			for i := range t.Partitions {
				t.Partitions[i].PartitionMaxBytes = 1 // a batch, which has one record
			}
		}
		return nil, nil, false
	})
	w.withhold(math.MaxInt32)
	opt := w.options("shop.public.a")
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 1, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	w.emu.Inject("execute", emulator.JobError, 0, 1)
	ticket := w.prepare(opt, "shop.public.a", [][2]string{{key, value}})
	if _, err := opt.Pusher.Sink.Execute(t.Context(), ticket); err != nil {
		t.Fatal(err)
	}
	m := intent.Metadata{Tables: map[string]intent.Entry{"public_a": {Job: ticket.ID, Part: 1, Parts: 1, End: 2, Bytes: 1000}}}
	w.commitAs("shop.public.a", 0, 0, m.String())
	c, stop := w.run(opt)
	// First, for the job that failed may have written the row.
	w.eventually("the totals", func() bool { return c.Status().Totals.Upserted == 1 })
	w.eventually("the row", w.equal)
	stop()
	if w.emu.Counts().Submitted != 2 {
		t.Errorf("%d jobs submitted, want the one that failed and another", w.emu.Counts().Submitted)
	}
}

// TestSlotHoldsAnEntry: what is kept free beside an offset takes the largest entry of the
// table with the longest name.
func TestSlotHoldsAnEntry(t *testing.T) {
	w := newWorld(t, emulator.Options{})
	c := w.idle(w.options("shop.public.a"))
	for _, name := range []string{"a", strings.Repeat("n", 128), strings.Repeat("ñ", 128)} {
		c.lane(name)
		m := intent.Metadata{Tables: map[string]intent.Entry{"other": {Mark: 1}}}
		before := len(m.String())
		m.Tables[name] = intent.Entry{Mark: math.MaxInt64, Job: "6f3a0e9e-0001-4a4b-8b7e-000000000001", Part: 99, Parts: 99, Of: 9999, End: math.MaxInt64, Bytes: 1 << 40}
		if n := len(m.String()) - before; n > c.slot() {
			t.Errorf("an entry of a table name of %d bytes takes %d, %d are kept free", len(name), n, c.slot())
		}
	}
}
