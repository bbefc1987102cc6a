package connector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// at returns where in the timeline the first line with all the words is, -1 if it
// is not.
func (w *world) at(words ...string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.IndexFunc(w.timeline, func(line string) bool {
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) })
	})
}

// TestOrderOfABatch: its job is DONE, then its offset is committed, then the job is
// deleted; or kept, where that is set.
func TestOrderOfABatch(t *testing.T) {
	for _, deletes := range []bool{true, false} {
		w := newWorld(t, emulator.Options{Delay: 20 * time.Millisecond}, "shop.public.a")
		opt := w.options("shop.public.a")
		opt.DeleteJobs = deletes
		_, stop := w.run(opt)
		w.put("shop.public.a", "c", 2, "x")
		w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
		stop() // which waits for the job to be deleted
		done, commit, deleted := w.at("DONE"), w.at("commit shop.public.a/0 1"), w.at("DELETED")
		if done < 0 || commit < done || (deletes && deleted < commit) || (!deletes && deleted >= 0) {
			t.Errorf("delete jobs %v: DONE %d, commit %d, DELETED %d in %q", deletes, done, commit, deleted, w.timeline)
		}
	}
}

// TestCommitRefused: the broker refuses one partition's offset in an otherwise good
// reply; that offset is not taken for committed, its job not deleted, and it is
// committed later.
func TestCommitRefused(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	var refuse atomic.Bool
	refuse.Store(true) // once the job is submitted, before which it is noted beside the offset
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := q.(*kmsg.OffsetCommitRequest)
		if !refuse.Load() || w.emu.Counts().Submitted == 0 {
			return nil, nil, false
		}
		return commitAnswer(req, func(p kmsg.OffsetCommitRequestTopicPartition) *kerr.Error {
			if p.Partition == 0 {
				return kerr.InvalidCommitOffsetSize
			}
			return nil
		}), nil, true
	})
	_, stop := w.run(w.options("shop.public.a"))
	w.put("shop.public.a", "c", 2, "x") // partition 0
	w.eventually("the row", w.equal)
	time.Sleep(700 * time.Millisecond) // some tries
	if lag := w.lag("shop.public.a"); lag != 1 || w.at("DELETED") >= 0 {
		t.Errorf("lag %d, job deleted at %d: a refused offset passed for committed", lag, w.at("DELETED"))
	}
	refuse.Store(false)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if w.at("DELETED") < 0 {
		t.Error("the job was not deleted after the commit")
	}
}

// TestCommitRefusedForLong: a commit is tried again and again, and the log says why once a
// minute, and at once where it is something else.
func TestCommitRefusedForLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	var why atomic.Pointer[kerr.Error]
	var tries, told atomic.Int64
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		tries.Add(1)
		return commitAnswer(q.(*kmsg.OffsetCommitRequest), func(kmsg.OffsetCommitRequestTopicPartition) *kerr.Error { return why.Load() }), nil, true
	})
	opt := w.options("shop.public.a")
	opt.Logger = slog.New(lines("a commit was refused", func(string) { told.Add(1) }))
	w.insert("shop.public.a", 0, 10)
	why.Store(kerr.TopicAuthorizationFailed)
	began := time.Now()
	w.run(opt)
	for causes, err := range []*kerr.Error{kerr.TopicAuthorizationFailed, kerr.InvalidCommitOffsetSize} {
		why.Store(err)
		before := tries.Load()
		w.eventually("some tries", func() bool { return tries.Load() >= before+5 })
		if n, most := told.Load(), int64(causes+1)*(1+int64(time.Since(began)/time.Minute)); n <= int64(causes) || n > most {
			t.Errorf("%d lines of %d tries for %d causes", n, tries.Load(), causes+1)
		}
	}
}

// TestDeadLetterHoldsItsOffset: while the write of a dead letter is under way, no
// offset behind it is committed, whatever else is delivered (I1).
func TestDeadLetterHoldsItsOffset(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "dead")
	var hold atomic.Bool
	hold.Store(true)
	w.cluster.ControlKey(int16(kmsg.Produce), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := q.(*kmsg.ProduceRequest)
		for _, t := range req.Topics {
			topic := t.Topic
			if topic == "" {
				topic = w.cluster.TopicIDInfo(t.TopicID).Topic
			}
			if topic == "dead" && hold.Load() {
				return nil, fmt.Errorf("the broker is busy"), true
			}
		}
		return nil, nil, false
	})
	rec := &kgo.Record{Topic: "shop.public.a", Partition: 0, Key: []byte(`{"id":2}`), Value: []byte("nonsense"), Headers: []kgo.RecordHeader{{Key: "mine", Value: []byte("kept")}}}
	if err := w.client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.put("shop.public.a", "c", 4, "after it")
	opt := w.options("shop.public.a")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 10
	_, stop := w.run(opt)
	w.eventually("the row after it", w.equal)
	time.Sleep(500 * time.Millisecond) // a delivered batch asks for a commit at once
	if lag := w.lag("shop.public.a"); lag != 2 {
		t.Errorf("lag %d: an offset behind an unwritten dead letter was committed", lag)
	}
	hold.Store(false)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	dead := w.deadLetters(1)[0]
	if len(dead.Headers) == 0 || dead.Headers[0].Key != "mine" || string(dead.Headers[0].Value) != "kept" || string(dead.Value) != "nonsense" {
		t.Errorf("the dead letter lost what it came with: %+v", dead)
	}
}

// TestAbortedTransaction: what a producer took back never reaches the target.
func TestAbortedTransaction(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	transaction := w.transactions()
	transaction("x", kgo.TryAbort, 2)
	transaction("x", kgo.TryCommit, 4)
	w.model["public_a"] = map[int64]string{4: "x"}
	reader := sdkmetric.NewManualReader()
	opt := w.options("shop.public.a")
	opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
	c, _ := w.run(opt)
	w.eventually("the committed row", func() bool { t := w.emu.Snapshot("public_a"); return t != nil && len(t.Rows) > 0 })
	if !w.equal() {
		t.Errorf("the target holds %v, want the committed row only", w.emu.Snapshot("public_a").Rows)
	}
	// I7: the aborted record and both markers are known gaps.
	w.eventually("the totals", func() bool { return c.Status().Totals == Totals{Read: 1, Upserted: 1, Gaps: 3} })
	if n := counted(t, reader, "sluice.offsets.skipped"); n != 3 {
		t.Errorf("%d offsets are counted as skipped, want 3", n)
	}
}

// TestExclude: a table can be read and dropped.
func TestExclude(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	opt.Decoder.Exclude = func(table string) bool { return table == "public_b" }
	c, stop := w.run(opt)
	w.put("shop.public.a", "c", 1, "x")
	w.put("shop.public.b", "c", 1, "x")
	delete(w.model, "public_b")
	w.eventually("the other table", w.equal)
	w.eventually("both passed", func() bool { return c.Status().Totals.Filtered == 1 })
	stop()
	if w.emu.Snapshot("public_b") != nil || w.lag("shop.public.b") != 0 {
		t.Errorf("lag %d, table %v", w.lag("shop.public.b"), w.emu.Snapshot("public_b"))
	}
}

// TestCountedByKind: records that change no table are counted, each under its kind.
func TestCountedByKind(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	reader := sdkmetric.NewManualReader()
	opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
	w.produce("shop.public.a", 0, `{"serverName":"p"}`, `{"ts_ms":1}`)
	w.produce("shop.public.a", 0, `{"id":"1"}`, `{"status":"BEGIN","id":"1","event_count":null,"data_collections":null,"ts_ms":1}`)
	w.put("shop.public.a", "c", 2, "x")
	w.put("shop.public.a", "d", 2, "")
	w.produce("shop.public.a", 0, `{"id":2}`, "")
	c, _ := w.run(opt)
	w.eventually("all read", func() bool { return w.lag("shop.public.a") == 0 && c.Status().Totals.Read > 0 })
	got := map[string]int64{}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "sluice.records" {
			for _, p := range sum.DataPoints {
				class, _ := p.Attributes.Value("class")
				got[class.AsString()] += p.Value
			}
		}
	}
	if want := "map[heartbeat:1 row:2 tombstone:1 transaction:1]"; fmt.Sprint(got) != want {
		t.Errorf("counted %v, want %s", got, want)
	}
	// I7: every record is accounted for.
	want := Totals{Read: 5, Deleted: 1, Compacted: 1, Skipped: 3}
	w.eventually("the totals", func() bool { return c.Status().Totals == want })
	if rows, replaced := counted(t, reader, "sluice.rows"), counted(t, reader, "sluice.rows.compacted"); rows != 1 || replaced != 1 {
		t.Errorf("%d rows and %d compacted ones are counted, want 1 and 1", rows, replaced)
	}
}

// TestBatchThatDoesNotBalance: a batch whose files lack a row is not sent, and its table
// held with the numbers; other tables go on.
func TestBatchThatDoesNotBalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	reader := sdkmetric.NewManualReader()
	opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
	encode := opt.Encode
	opt.Encode = func(b *batcher.Batch) ([]schema.Chunk, error) {
		chunks, err := encode(b)
		if b.Table.Name == "public_a" {
			chunks[0].Rows--
		}
		return chunks, err
	}
	c, _ := w.run(opt)
	w.put("shop.public.a", "c", 2, "x")
	w.put("shop.public.a", "u", 2, "y")
	w.put("shop.public.a", "c", 4, "z")
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; h.Table != "public_a" || !strings.Contains(h.Reason, "does not balance") || !strings.Contains(h.Reason, "residual 1") || !strings.Contains(h.Remedy, "report it") {
		t.Errorf("the hold says %+v", h)
	}
	if n := counted(t, reader, "sluice.residuals"); n != 1 {
		t.Errorf("%d residuals are counted, want 1", n)
	}
	if lag := w.lag("shop.public.a"); lag == 0 || w.emu.Snapshot("public_a") != nil {
		t.Errorf("lag %d: it was sent", lag)
	}
	delete(w.model, "public_a")
	w.put("shop.public.b", "c", 1, "x")
	w.eventually("the other table", w.equal)
}

// TestTypesWiden: a column of plain JSON that turns out wider goes on in the target.
func TestTypesWiden(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c, _ := w.run(w.options("shop.public.a"))
	row := func(id int64, v string) {
		key, value := change("shop.public.a", "c", id, "@")
		w.produce("shop.public.a", 0, key, strings.Replace(value, `"@"`, v, 1))
	}
	for i, tc := range []struct{ literal, want string }{{"5", "5"}, {"5.25", "5.25"}, {`"text"`, "text"}} {
		row(int64(2*i), tc.literal)
		w.eventually(tc.literal, func() bool {
			t := w.emu.Snapshot("public_a")
			return t != nil && len(t.Rows) == i+1 && fmt.Sprint(t.Rows[fmt.Sprintf("int64:%d|", 2*i)][1]) == tc.want
		})
	}
	if h := c.Status().Holds; len(h) > 0 {
		t.Errorf("on hold: %+v", h)
	}
}

// TestMemoryLimit delivers far more than the limit while the target is slow: the
// bytes held stay under it (I5) and everything arrives.
func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Delay: 700 * time.Millisecond}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.MemoryLimit = 1 << 20
	opt.Kafka.FetchBytes = 64 << 10
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 1 << 30, MaxBytes: 1 << 40, MaxAge: 3 * time.Second}
	}
	const rows = 800 // of 10 kB: eight times the limit
	text := strings.Repeat("x", 10_000)
	var recs []*kgo.Record
	w.model["public_a"] = map[int64]string{}
	for id := range int64(rows) {
		key, value := change("shop.public.a", "c", id, text)
		recs = append(recs, &kgo.Record{Topic: "shop.public.a", Partition: int32(id % 2), Key: []byte(key), Value: []byte(value)})
		w.model["public_a"][id] = text
	}
	if err := w.client.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	c, stop := w.run(opt)
	most := int64(0)
	w.eventually("everything delivered", func() bool {
		s := c.Status()
		most = max(most, s.Memory.Open+s.Memory.InFlight)
		return w.equal()
	})
	// One poll may overshoot: the fetch that was under way (I5).
	if limit := opt.MemoryLimit + 2<<20; most > limit {
		t.Errorf("held %d bytes, limit %d and a fetch", most, opt.MemoryLimit)
	}
	stop()
	if lag := w.lag("shop.public.a"); lag != 0 {
		t.Errorf("lag %d after the drain", lag)
	}
}

// TestHeldTableSubmitsNothing: once a table is on hold, none of its batches goes
// out, also not what comes later from another topic's partitions.
func TestHeldTableSubmitsNothing(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "other.public.a")
	w.emu.Inject("execute", emulator.JobError, 0, 3)
	c, _ := w.run(w.options("shop.public.a", "other.public.a"))
	w.put("shop.public.a", "c", 1, "x")
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	before := w.emu.Counts()
	key, value := change("shop.public.a", "c", 3, "y")
	w.produce("other.public.a", 0, key, value)
	time.Sleep(500 * time.Millisecond)
	if now := w.emu.Counts(); now.Submitted != before.Submitted || now.Jobs != before.Jobs {
		t.Errorf("%d jobs and %d submissions after the hold", now.Jobs-before.Jobs, now.Submitted-before.Submitted)
	}
	if lag := w.lag("other.public.a"); lag != 1 {
		t.Errorf("lag %d: the record was passed", lag)
	}
}
