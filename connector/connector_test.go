package connector

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// TestCommitAfterDone is I1 as broker and target see it: when an offset is
// committed, every row before it is in its table.
func TestCommitAfterDone(t *testing.T) {
	w := newWorld(t, emulator.Options{Delay: 40 * time.Millisecond, FaultRate: 0.05, Seed: 1}, "shop.public.a", "shop.public.b")
	_, stop := w.run(w.options("shop.public.a", "shop.public.b"))
	for i := range int64(10) {
		w.insert("shop.public.a", i*40, 40)
		w.insert("shop.public.b", i*10, 10)
	}
	w.eventually("tables equal", w.equal)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a")+w.lag("shop.public.b") == 0 })
	stop()
	w.check()
	// The same over events: before a commit of an offset, as many jobs of its table
	// are DONE as had to be for its rows.
	commits, done := 0, map[string]int{}
	for _, line := range w.timeline {
		f := strings.Fields(line)
		switch {
		case f[0] == "job" && f[len(f)-1] == "DONE":
			done[f[3]]++
		case f[0] == "commit":
			commits++
			if topic := f[1][:strings.IndexByte(f[1], '/')]; f[2] != "0" && done[tableOf(topic)] == 0 {
				t.Errorf("%q before any job of the table was DONE", line)
			}
		}
	}
	if commits < 3 {
		t.Errorf("only %d commits: the test saw too little", commits)
	}
}

// TestChanges runs updates, deletes and key changes with faults and restarts in
// between; the tables must end as the model.
func TestChanges(t *testing.T) {
	w := newWorld(t, emulator.Options{Delay: 10 * time.Millisecond, FaultRate: 0.1, Seed: 7}, "shop.public.a", "shop.public.b")
	r := rand.New(rand.NewPCG(1, 2))
	opt := w.options("^shop\\.public\\..*")
	for round := range 4 {
		opt.Pusher.Attempts = 1000 // the faults never end
		c, stop := w.run(opt)
		for range 300 {
			topic := []string{"shop.public.a", "shop.public.b"}[r.IntN(2)]
			id := r.Int64N(60)
			switch r.IntN(4) {
			case 0:
				w.put(topic, "d", id, "")
				w.produce(topic, int32(id%2), fmt.Sprintf(`{"id":%d}`, id), "")
			case 1: // a key change
				w.put(topic, "d", id, "")
				w.put(topic, "c", id+60, fmt.Sprint(round))
			default:
				w.put(topic, "u", id, fmt.Sprint(r.Int()))
			}
		}
		if round == 3 {
			w.eventually("tables equal", w.equal)
			w.eventually("lag zero", func() bool { return w.lag("shop.public.a")+w.lag("shop.public.b") == 0 })
			if s := c.Status(); len(s.Holds) > 0 {
				t.Errorf("on hold: %+v", s.Holds)
			}
		}
		stop()
		opt = w.options("^shop\\.public\\..*")
	}
}

func TestNewTopicsOfAPatternAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.run(w.options("^shop\\.public\\..*"))
	w.put("shop.public.a", "c", 1, "x")
	w.eventually("the first topic", w.equal)
	if err := w.cluster.CreateTopic("shop.public.late", 2, nil); err != nil {
		t.Fatal(err)
	}
	w.put("shop.public.late", "c", 1, "y")
	w.eventually("the late topic", w.equal)
}

// TestRebalance has members come and go while rows flow.
func TestRebalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Delay: 20 * time.Millisecond}, "shop.public.a", "shop.public.b")
	topics := []string{"shop.public.a", "shop.public.b"}
	_, stop1 := w.run(w.options(topics...))
	next := int64(0)
	feed := func() {
		for range 5 {
			w.insert("shop.public.a", next, 20)
			w.insert("shop.public.b", next, 20)
			next += 20
		}
	}
	feed()
	c2, stop2 := w.run(w.options(topics...))
	feed()
	w.eventually("the second member has partitions", func() bool { return c2.Status().Partitions > 0 })
	feed()
	stop1()
	feed()
	w.eventually("tables equal", w.equal)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a")+w.lag("shop.public.b") == 0 })
	stop2()
	w.check()
}

func TestBadRecordHoldsItsTable(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	c, stop := w.run(w.options("shop.public.a", "shop.public.b"))
	w.insert("shop.public.a", 0, 10)
	w.eventually("before it", w.equal)
	at := w.produce("shop.public.a", 0, `{"id":1}`, `{"broken`)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	h := c.Status().Holds[0]
	if h.Where() != fmt.Sprintf("table public_a, at shop.public.a/0 offset %d", at) || !strings.Contains(h.Reason, "invalid JSON") || !strings.Contains(h.Remedy, "SLUICE_DEADLETTER_TOPIC") {
		t.Errorf("the hold says %+v, want topic, partition, offset %d, reason and remedy", h, at)
	}
	w.insert("shop.public.b", 0, 10) // other tables run
	w.eventually("the other table", w.equal)
	key, value := change("shop.public.a", "c", 100, "after")
	w.produce("shop.public.a", 0, key, value)
	time.Sleep(300 * time.Millisecond)
	if lag := w.lag("shop.public.a"); lag != 2 {
		t.Errorf("lag %d, want the bad record and the one after it", lag)
	}
	stop()
	w.check()

	// With a dead-letter topic it goes on after a restart.
	if err := w.cluster.CreateTopic("dead", 1, nil); err != nil {
		t.Fatal(err)
	}
	opt := w.options("shop.public.a", "shop.public.b")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 10
	w.run(opt)
	w.model["public_a"][100] = "after"
	w.eventually("the row after it", w.equal)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	rec := w.deadLetters(1)[0]
	headers := map[string]string{}
	for _, h := range rec.Headers {
		headers[h.Key] = string(h.Value)
	}
	if string(rec.Key) != `{"id":1}` || string(rec.Value) != `{"broken` || headers["__connect.errors.topic"] != "shop.public.a" ||
		headers["__connect.errors.offset"] != fmt.Sprint(at) || !strings.Contains(headers["__connect.errors.exception.message"], "invalid JSON") {
		t.Errorf("dead letter %s %s %v", rec.Key, rec.Value, headers)
	}
}

func TestDeadLetterLimit(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "dead")
	for range 20 {
		w.produce("shop.public.a", 0, `{"id":1}`, `nonsense`)
	}
	opt := w.options("shop.public.a")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 5
	c, _ := w.run(opt)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; *h.Offset != 5 || !strings.Contains(h.Remedy, "SLUICE_DEADLETTER_LIMIT") {
		t.Errorf("the hold says %+v", h)
	}
}

func TestDeadLetterTopicMissing(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.produce("shop.public.a", 0, `{"id":1}`, `nonsense`)
	opt := w.options("shop.public.a")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "nowhere", 5
	c, _ := w.run(opt)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; !strings.Contains(h.Remedy, "create the topic nowhere") {
		t.Errorf("the hold says %+v", h)
	}
	if lag := w.lag("shop.public.a"); lag != 1 {
		t.Errorf("lag %d: the record was passed without being written", lag)
	}
}

func TestTableWithoutKeyHolds(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	c, stop := w.run(w.options("shop.public.a", "shop.public.b"))
	_, value := change("shop.public.a", "c", 1, "x")
	w.produce("shop.public.a", 0, "", value)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; h.Table != "public_a" || !strings.Contains(h.Reason, "no key") || !strings.Contains(h.Remedy, "tables.public_a.keys") {
		t.Errorf("the hold says %+v", h)
	}
	w.insert("shop.public.b", 0, 5)
	w.eventually("the other table", w.equal)
	stop()
	if lag := w.lag("shop.public.a"); lag != 1 {
		t.Errorf("lag %d: the record was passed", lag)
	}
}

// TestFaultIsNotPutAside: what ails a whole table holds it, though single bad records
// may go to a dead-letter topic.
func TestFaultIsNotPutAside(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "dead")
	opt := w.options("shop.public.a")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 100
	c, _ := w.run(opt)
	w.put("shop.public.a", "c", 2, "x")
	w.eventually("a row", w.equal)
	_, value := change("shop.public.a", "t", 2, "x")
	w.produce("shop.public.a", 0, "", value)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; h.Table != "public_a" || !strings.Contains(h.Reason, "TRUNCATE") || !strings.Contains(h.Remedy, "empty the target table") {
		t.Errorf("the hold says %+v", h)
	}
	if lag := w.lag("shop.public.a"); lag != 1 {
		t.Errorf("lag %d: the TRUNCATE was passed", lag)
	}
}

// TestFirstRecordBad: a table is held as a whole by a bad record of one partition,
// also if no row of it was ever seen, and by one whose topic tells no table.
func TestFirstRecordBad(t *testing.T) {
	for topic, where := range map[string]string{"shop.public.a": "table public_a, at shop.public.a/0 offset 0", "all": "topic all, at all/0 offset 0"} {
		t.Run(topic, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, topic)
			w.produce(topic, 0, `{"id":1}`, `nonsense`)
			c, _ := w.run(w.options(topic))
			w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
			if h := c.Status().Holds[0]; h.Where() != where {
				t.Errorf("the hold is of %s", h.Where())
			}
			_, value := change("shop.public.a", "c", 1, "x")
			w.produce(topic, 1, `{"id":1}`, value)
			time.Sleep(300 * time.Millisecond)
			if lag := w.lag(topic); lag != 2 || w.emu.Snapshot("public_a") != nil {
				t.Errorf("lag %d: the other partition goes on", lag)
			}
		})
	}
}

// TestTargetAway: a target that does not answer is in the status, and in the log once
// and not at each try.
func TestTargetAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.emu.Inject("create", emulator.AnswerHTML, 0, 1<<30) // until the status has said so
	opt := w.options("shop.public.a")
	var log lockedBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, _ := w.run(opt)
	w.put("shop.public.a", "c", 1, "x")
	w.eventually("the status says so", func() bool { return strings.Contains(c.Status().Target, "503") })
	w.emu.Heal()
	w.eventually("delivered", w.equal)
	w.eventually("the status is fine", func() bool { return c.Status().Target == "ok" })
	if n := strings.Count(log.String(), "a job fails"); n != 1 || !strings.Contains(log.String(), "the job goes on") {
		t.Errorf("told %d times:\n%s", n, log.String())
	}
}

// lockedBuffer is a buffer that a log may write to while a test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestCommittedOffsetGone(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	_, stop := w.run(w.options("shop.public.a", "shop.public.b"))
	w.insert("shop.public.a", 0, 10)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	w.insert("shop.public.a", 10, 10)
	if err := w.cluster.DeleteRecords("shop.public.a", 0, 8); err != nil {
		t.Fatal(err)
	}
	c, _ := w.run(w.options("shop.public.a", "shop.public.b"))
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; h.Where() != "topic shop.public.a, at shop.public.a/0" || !strings.Contains(h.Reason, "deleted before Sluice read them") {
		t.Errorf("the hold says %+v", h)
	}
	w.insert("shop.public.a", 20, 2) // one in each partition: the whole table stops
	w.insert("shop.public.b", 0, 5)
	w.eventually("the other topic", func() bool { t := w.emu.Snapshot("public_b"); return t != nil && len(t.Rows) == 5 })
	if t2 := w.emu.Snapshot("public_a"); len(t2.Rows) != 10 {
		t.Errorf("%d rows: the table went on without those that are gone", len(t2.Rows))
	}
}

// TestTopicMadeAnew: a topic that is deleted and made anew is another one, whose
// records must not be taken for the next ones.
func TestTopicMadeAnew(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, 2 * time.Second} {
		t.Run("metadata late by "+late.String(), func(t *testing.T) {
			t.Parallel()
			testTopicMadeAnew(t, late)
		})
	}
}

// lateMetadata has the brokers describe the topics as they are now for a while: they learn
// of a deletion one after the other, and the client remembers what they said.
func (w *world) lateMetadata(late time.Duration) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = nil // all
	old, err := req.RequestWith(w.t.Context(), w.client)
	if err != nil {
		w.t.Fatal(err)
	}
	end := time.Now().Add(late)
	w.cluster.ControlKey(int16(kmsg.Metadata), func(r kmsg.Request) (kmsg.Response, error, bool) {
		if time.Now().After(end) {
			return nil, nil, false
		}
		w.cluster.KeepControl()
		said := *old
		said.Version = r.GetVersion()
		return &said, nil, true
	})
}

func testTopicMadeAnew(t *testing.T, late time.Duration) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	var log lockedBuffer
	opt := w.options("shop.public.a", "shop.public.b")
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, stop := w.run(opt)
	w.insert("shop.public.a", 0, 10)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	if late > 0 {
		w.lateMetadata(late)
	}
	if err := w.cluster.DeleteTopic("shop.public.a"); err != nil {
		t.Fatal(err)
	}
	if err := w.cluster.CreateTopic("shop.public.a", 2, nil); err != nil {
		t.Fatal(err)
	}
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; !strings.HasPrefix(h.Where(), "topic shop.public.a, at shop.public.a/") || !strings.Contains(h.Reason, "deleted while Sluice read it") {
		t.Errorf("the hold says %+v", h)
	}
	w.insert("shop.public.b", 0, 4)
	w.eventually("the other topic", func() bool { t := w.emu.Snapshot("public_b"); return t != nil && len(t.Rows) == 4 })
	if n := strings.Count(log.String(), "UNKNOWN_TOPIC_ID"); n > 20 {
		t.Errorf("the log tells it %d times", n)
	}
	// The next process knows it too, though the brokers have forgotten the old offsets.
	w.eventually("it is kept in mind", func() bool {
		at, _ := kadm.NewClient(w.client).FetchOffsets(t.Context(), "sluice")
		o, ok := at.Lookup("shop.public.a", 0)
		return ok && strings.Contains(o.Metadata, `"topic"`)
	})
	stop()
	c, _ = w.run(opt)
	w.eventually("held again", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; !strings.Contains(h.Reason, "made anew") || !strings.Contains(h.Remedy, "empty the target table") {
		t.Errorf("the hold says %+v", h)
	}
}

// TestTopicComesBack: a topic was missing for so long that its partitions were given up,
// and is another one when it comes back.
func TestTopicComesBack(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	id := kafka.Partition{Topic: "shop.public.a"}
	own := func(topicID string) *partition {
		p := c.newPartition(id)
		c.parts[id] = p
		c.ledger.Assign(id)
		c.onLocated(located{parts: []*partition{p}, at: map[kafka.Partition]kafka.Location{id: {Start: 0, TopicID: topicID, Committed: map[int32]kafka.Offset{}}}})
		return p
	}
	own("old") // nothing of it was read yet
	if p := own("old, made anew"); p.stopped {
		t.Fatalf("held: %+v", c.holds)
	}
	c.onDecoded(decoded{part: c.parts[id], next: 1, read: 1, classes: [debezium.Classes]int64{debezium.Tombstone: 1}})
	delete(c.parts, id)
	c.ledger.Revoke(id)
	p := own("new")
	if !p.stopped || len(c.holds) != 1 || !strings.Contains(c.holds[0].Reason, "made anew while Sluice ran") {
		t.Fatalf("stopped %v, on hold: %+v", p.stopped, c.holds)
	}
	if n := c.news()[id]; n.at != 0 || n.meta.Topic != "old, made anew" {
		t.Errorf("kept in mind: %+v", n)
	}
}

func TestRejectedTableHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	w.emu.Inject("execute", emulator.JobError, 0, 3)
	var log lockedBuffer
	opt := w.options("shop.public.a", "shop.public.b")
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	opt.Pusher.MinBackoff, opt.Pusher.MaxBackoff = 2*time.Second, 2*time.Second // the failure is in a status before it is tried again
	c, stop := w.run(opt)
	w.put("shop.public.a", "c", 1, "x")
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	time.Sleep(2 * publishEvery)
	if _, after, _ := strings.Cut(log.String(), "on hold"); !strings.Contains(log.String(), "a job fails") || strings.Contains(after, "the job goes on") {
		t.Errorf("the log says\n%s", log.String())
	}
	if h := c.Status().Holds[0]; h.Table != "public_a" || !strings.Contains(h.Reason, "connection to the database was lost") {
		t.Errorf("the hold says %+v", h)
	}
	w.insert("shop.public.b", 0, 5)
	w.eventually("the other table", func() bool { t := w.emu.Snapshot("public_b"); return t != nil && len(t.Rows) == 5 })
	if lag := w.lag("shop.public.a"); lag != 1 {
		t.Errorf("lag %d: a held table's offset was committed", lag)
	}
	stop()
	w.run(w.options("shop.public.a", "shop.public.b"))
	w.eventually("after a restart", w.equal)
}

func TestUnauthorizedWaits(t *testing.T) {
	w := newWorld(t, emulator.Options{Keys: []string{"Bearer other"}}, "shop.public.a")
	c, _ := w.run(w.options("shop.public.a"))
	w.put("shop.public.a", "c", 1, "x")
	w.eventually("the status says why", func() bool { return strings.Contains(c.Status().Target, "SLUICE_CELONIS_API_KEY") })
	if s := c.Status(); len(s.Holds) != 0 || s.Tables[0].State != "waiting" {
		t.Errorf("%+v", s)
	}
}

// TestOneJobAtATime: where the platform takes more than a table for one target, no
// two jobs run at once.
func TestOneJobAtATime(t *testing.T) {
	topics := []string{"shop.public.a", "shop.public.b", "shop.public.c"}
	for _, exclusive := range []bool{true, false} {
		delay := 100 * time.Millisecond
		if !exclusive {
			delay = time.Hour // until two run
		}
		w := newWorld(t, emulator.Options{Delay: delay}, topics...)
		opt := w.options(topics...)
		opt.Exclusive = exclusive
		for _, topic := range topics {
			w.insert(topic, 0, 10)
		}
		_, stop := w.run(opt)
		if !exclusive {
			w.eventually("two jobs at once", func() bool { return w.emu.Counts().Submitted > 1 })
			w.emu.SetDelay(0)
		}
		w.eventually("tables equal", w.equal)
		stop()
		most, now := 0, 0
		for _, l := range w.timeline {
			switch {
			case strings.HasSuffix(l, " QUEUED"):
				now++
				most = max(most, now)
			case strings.HasSuffix(l, " DONE"):
				now--
			}
		}
		if (most == 1) != exclusive {
			t.Errorf("exclusive %v: %d jobs at once", exclusive, most)
		}
	}
}

func TestSplitJobs(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Split = celonis.DeletesFirst.Split
	for id := range int64(10) {
		w.put("shop.public.a", "c", id, "x")
	}
	_, _ = w.run(opt)
	w.eventually("rows", w.equal)
	w.put("shop.public.a", "d", 1, "")
	w.put("shop.public.a", "u", 2, "y")
	w.eventually("changes", w.equal)
}

// TestCutStringsAreSaid: with truncation allowed, a string is cut by characters,
// and the log says so (I6).
func TestCutStringsAreSaid(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Decoder.MaxLength, opt.Decoder.Overflow = 3, debezium.OverflowCut
	var mu sync.Mutex
	var log strings.Builder
	opt.Logger = slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return log.Write(p)
	}), nil))
	_, stop := w.run(opt)
	w.put("shop.public.a", "c", 1, "äöüß")
	w.model["public_a"][1] = "äöü"
	w.eventually("the cut row", w.equal)
	stop()
	if !strings.Contains(log.String(), "SLUICE_STRING_OVERFLOW") || strings.Count(log.String(), "level=WARN") != 1 {
		t.Errorf("the log does not say that a string was cut:\n%s", &log)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
