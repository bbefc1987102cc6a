package connector

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluice-cdc/sluice/connector/instrument"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// meter gives a connector instruments that the test reads.
func meter(opt *Options) *sdkmetric.ManualReader {
	reader := sdkmetric.NewManualReader()
	opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithCardinalityLimit(0)).Meter("")
	return reader
}

// series is one of an instrument's: a value, or a histogram's sum with its count.
type series struct {
	value float64
	count uint64
	attrs map[string]string
}

// readings are the series of each instrument at one time.
type readings map[string][]series

func read(t *testing.T, reader *sdkmetric.ManualReader) readings {
	t.Helper()
	var got metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &got); err != nil {
		t.Fatal(err)
	}
	all := readings{}
	for _, scope := range got.ScopeMetrics {
		for _, m := range scope.Metrics {
			all[m.Name] = append(all[m.Name], seriesOf(m.Data)...)
		}
	}
	return all
}

func attributesOf(set attribute.Set) map[string]string {
	m := map[string]string{}
	for _, kv := range set.ToSlice() {
		m[string(kv.Key)] = kv.Value.String()
	}
	return m
}

func seriesOf(data metricdata.Aggregation) (all []series) {
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		for _, p := range d.DataPoints {
			all = append(all, series{float64(p.Value), 0, attributesOf(p.Attributes)})
		}
	case metricdata.Sum[float64]:
		for _, p := range d.DataPoints {
			all = append(all, series{p.Value, 0, attributesOf(p.Attributes)})
		}
	case metricdata.Gauge[float64]:
		for _, p := range d.DataPoints {
			all = append(all, series{p.Value, 0, attributesOf(p.Attributes)})
		}
	case metricdata.Histogram[float64]:
		for _, p := range d.DataPoints {
			all = append(all, series{p.Sum, p.Count, attributesOf(p.Attributes)})
		}
	}
	return all
}

// of sums the series of an instrument that have all of the attributes, given as key=value.
func (r readings) of(name string, attrs ...string) (sum series) {
	for _, s := range r[name] {
		if !slices.ContainsFunc(attrs, func(a string) bool {
			k, v, _ := strings.Cut(a, "=")
			return s.attrs[k] != v
		}) {
			sum.value += s.value
			sum.count += s.count
		}
	}
	return sum
}

// jobs counts the jobs of a table that the emulator has seen in a state.
func (w *world) jobs(table, state string) (n float64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.timeline {
		if strings.HasPrefix(l, "job ") && strings.HasSuffix(l, " of "+table+" "+state) {
			n++
		}
	}
	return n
}

// TestMetrics: what the metrics say of a run is what broker, target and model have seen.
func TestMetrics(t *testing.T) {
	t.Parallel()
	bytes := 0
	w := newWorld(t, emulator.Options{Delay: 10 * time.Millisecond, OnChunk: func(_, _ string, data []byte) { bytes += len(data) }}, "shop.public.a", "shop.public.b")
	var requests int
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		w.mu.Lock()
		defer w.mu.Unlock()
		requests++
		return nil, nil, false
	})
	opt := w.options("shop.public.a", "shop.public.b")
	opt.Version = "v1.2.3"
	reader := meter(&opt)
	budget := opt.Pusher.Budget
	w.insert("shop.public.a", 0, 230)
	w.insert("shop.public.b", 0, 40)
	began := time.Now()
	c, stop := w.run(opt)
	done := func() bool { return w.equal() && w.lag("shop.public.a") == 0 && w.lag("shop.public.b") == 0 }
	w.eventually("all rows", done)
	w.put("shop.public.a", "d", 1, "")
	w.eventually("a delete", done)
	partitions := read(t, reader).of("sluice.partitions").value
	stop()
	got := read(t, reader)

	is := func(what string, got, want float64) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	batches := 0.0
	for table, rows := range map[string]float64{"public_a": 230, "public_b": 40} {
		at := "sluice.table=" + table
		is("upserts of "+table, got.of("sluice.rows", at, "op=upsert").value, rows)
		jobs := w.jobs(table, "DONE")
		is("jobs of "+table, got.of("sluice.jobs", at, "outcome=done").value, jobs)
		is("jobs that were timed of "+table, float64(got.of("sluice.job.duration", at, "outcome=done").count), jobs)
		for _, name := range []string{"sluice.batch.duration", "sluice.batch.rows", "sluice.batch.size", "sluice.delay"} {
			is(name+" of "+table, float64(got.of(name, at).count), jobs) // one a batch
		}
		batches += jobs
		is("freshness of "+table, got.of("sluice.freshness", at).value, 0)
		is("target of "+table, got.of("sluice.freshness.target", at).value, 60)
		is("holds of "+table, got.of("sluice.holds", at).value, 0)
		is("lag of "+table, got.of("sluice.lag", at).value, 0)
	}
	is("deletes", got.of("sluice.rows", "op=delete").value, 1)
	is("rows of the batches", got.of("sluice.batch.rows").value, 271)
	is("bytes of the batches", got.of("sluice.batch.size").value, float64(bytes))
	is("jobs", got.of("sluice.jobs").value, float64(w.emu.Counts().Jobs))
	is("batches sealed", got.of("sluice.batches").value, batches)
	is("waits for the budget", float64(got.of("sluice.budget.wait").count), batches)
	is("batches processed", float64(got.of("messaging.process.duration").count), batches)
	is("budget spent", got.of("sluice.budget.spent").value, float64(w.emu.Counts().Submitted))
	is("budget's limit", got.of("sluice.budget.limit").value, 100_000)
	if left, _ := budget.Left(time.Now()); left < 100_000 { // else the hour has just begun anew
		is("budget left", got.of("sluice.budget.left").value, float64(left))
	}
	is("partitions", partitions, 4)
	is("memory's limit", got.of("sluice.memory.limit").value, 64<<20)
	is("memory", got.of("sluice.memory").value, 0)
	is("residuals", got.of("sluice.residuals").value, 0)
	is("fenced commits", got.of("sluice.commits.fenced").value, 0)
	is("intents", got.of("sluice.intents").value, 0)
	is("build info", got.of("sluice.build.info", "version=v1.2.3").value, 1)
	if n := got.of("sluice.rebalances", "event=assigned").value; n < 1 {
		t.Errorf("%v times assigned", n)
	}
	is("revoked", got.of("sluice.rebalances", "event=revoked").value, 0)
	is("lost", got.of("sluice.rebalances", "event=lost").value, 0)

	is("records", got.of("sluice.records", "class=row").value, 271)
	for topic, n := range map[string]float64{"shop.public.a": 231, "shop.public.b": 40} {
		is("consumed of "+topic, got.of("messaging.client.consumed.messages", "messaging.destination.name="+topic, "messaging.operation.name=poll", "messaging.consumer.group.name=sluice", "messaging.system=kafka").value, n)
	}
	w.mu.Lock()
	commits := 0.0
	for _, l := range w.timeline {
		if strings.HasPrefix(l, "commit ") {
			commits++
		}
	}
	is("commit requests", float64(got.of("messaging.client.operation.duration", "messaging.operation.name=commit", "messaging.operation.type=settle").count), float64(requests))
	w.mu.Unlock()
	is("commits", got.of("sluice.commits", "outcome=ok").value, commits)
	if last := got.of("sluice.commit.last").value; last < float64(began.Unix()) || last > float64(time.Now().Unix()+1) {
		t.Errorf("the last commit was at %v", last)
	}
	if n := got.of("messaging.client.operation.duration", "messaging.operation.name=poll", "messaging.operation.type=receive", "server.address=127.0.0.1").count; n == 0 {
		t.Error("no fetch was timed")
	}
	if s := c.Status(); s.Lag != 0 || s.LastCommit.IsZero() || s.Tables[0].FreshnessTarget != 60 {
		t.Errorf("%+v", s)
	}
}

// TestMetricsOfTrouble: failed jobs, holds, lag, freshness and dead letters.
func TestMetricsOfTrouble(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b", "dead")
	opt := w.options("shop.public.a", "shop.public.b")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 100
	reader := meter(&opt)
	w.emu.Inject("execute", emulator.JobError, 0, 2)
	w.emu.Inject("execute", emulator.JobCancel, 0, 1)
	c, _ := w.run(opt)
	w.put("shop.public.a", "c", 2, "x")
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	w.produce("shop.public.a", 0, `{"id":4}`, `nonsense`) // behind the hold
	_, value := change("shop.public.b", "c", 6, "x")
	for reason, value := range map[string]string{"unreadable": `{"after":`, "event": strings.Replace(value, `"op":"c"`, `"op":"y"`, 1), "table": strings.Replace(value, `"table":"b"`, `"table":""`, 1),
		"value": strings.Replace(value, `"v":"x"`, `"v":"x","v":"y"`, 1)} {
		w.produce("shop.public.b", 0, `{"id":6}`, value)
		w.eventually(reason, func() bool {
			return read(t, reader).of("sluice.dead_letters", "reason="+reason, "messaging.destination.name=shop.public.b").value == 1
		})
	}
	w.eventually("the lag of what is held", func() bool { return read(t, reader).of("sluice.lag", "sluice.table=public_a").value == 2 })
	if want := float64(w.lag("shop.public.a")); want != 2 || c.Status().Lag < 2 {
		t.Errorf("the group's lag is %v, in all %d", want, c.Status().Lag)
	}
	for outcome, state := range map[string]string{"error": "ERROR", "canceled": "CANCELED"} {
		if got, want := read(t, reader).of("sluice.jobs", "sluice.table=public_a", "outcome="+outcome).value, w.jobs("public_a", state); got != want || want == 0 {
			t.Errorf("%v jobs end in %s, want %v", got, outcome, want)
		}
	}
	if n := read(t, reader).of("sluice.holds", "sluice.table=public_a").value; n != 1 {
		t.Errorf("%v holds", n)
	}
	if n := read(t, reader).of("sluice.holds").value; n != 1 {
		t.Errorf("%v holds in all", n)
	}
	if n := read(t, reader).of("messaging.process.duration", "error.type=rejected", "messaging.destination.name=shop.public.a").count; n != 1 {
		t.Errorf("%d batches have failed", n)
	}
	if n := read(t, reader).of("messaging.client.sent.messages", "messaging.destination.name=dead", "messaging.operation.name=send").value; n != 4 {
		t.Errorf("%v records sent, want 4", n)
	}
	// A held table grows older, though its rows are dropped.
	before := read(t, reader).of("sluice.freshness", "sluice.table=public_a").value
	w.eventually("the table grows older", func() bool {
		return read(t, reader).of("sluice.freshness", "sluice.table=public_a").value > before
	})
	if n := read(t, reader).of("sluice.residuals").value; n != 0 {
		t.Errorf("residuals %v", n)
	}
}

// TestMetricsOfWaiting: each batch tells how long it was due without a submission.
func TestMetricsOfWaiting(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	reader := meter(&opt)
	c := w.idle(opt)
	begin := time.Now()
	d := debezium.NewDecoder("shop.public.a", opt.Decoder)
	key, value := change("shop.public.a", "c", 1, "x")
	if _, err := d.Decode(debezium.Record{Key: []byte(key), Value: []byte(value)}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.batcher.Add(begin, d.Take(nil)[0], 0); err != nil {
		t.Fatal(err)
	}
	opt.Pusher.Budget.Refused(begin, 15*time.Minute)
	for _, after := range []time.Duration{5 * time.Minute, 20 * time.Minute} {
		c.now = begin.Add(after)
		c.schedule()
	}
	if got := read(t, reader).of("sluice.budget.wait"); got.count != 1 || got.value != 900 {
		t.Errorf("%d batches have waited for %v s", got.count, got.value)
	}
}

// TestMetricsOfPause: that nothing is fetched for want of memory is said while it is so, and
// not where reading is all that can make room.
func TestMetricsOfPause(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	reader := meter(&opt)
	c := w.idle(opt)
	said := func(when string, want float64) {
		t.Helper()
		c.picture()
		got := read(t, reader)["sluice.fetching.paused"]
		if len(got) != 1 || got[0].value != want || c.Status().Memory.Paused != (want == 1) {
			t.Errorf("%s: %v, want %v; the status says %v", when, got, want, c.Status().Memory.Paused)
		}
	}
	said("at the start", 0)
	c.inflight = opt.MemoryLimit - 1
	said("below the limit", 0)
	c.inflight++
	said("at the limit", 1)
	p := w.hold(c, kafka.Partition{Topic: "shop.public.a"}, w.batch(c, "public_a", 1), 5)
	p.entries["public_a"] = intent.Entry{Mark: 5, Job: "job", Part: 1, Parts: 1, End: 9, Bytes: 400}
	c.lanes["public_a"].running = nil
	said("at the limit, with a range to be read again", 0)
	delete(p.entries, "public_a")
	said("when that is read", 1)
	c.inflight = 0
	said("after the batches are DONE", 0)
}

// TestLagByName: what lies in a topic of which nothing was read yet is the lag of the table
// that its name tells; and a partition without a committed offset lags from its start.
func TestLagByName(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Kafka.TableOf = func(topic string) string { return "public_" + topic[len("shop.public."):] }
	opt.Decoder.Exclude = func(table string) bool { return table == "public_c" }
	c := w.idle(opt)
	for id, p := range map[kafka.Partition]partition{
		{Topic: "shop.public.a", ID: 0}: {known: true, start: 100, end: 130},
		{Topic: "shop.public.a", ID: 1}: {known: true, start: 100, end: 0}, // nothing is known of its end
		{Topic: "shop.public.b", ID: 0}: {known: true, end: 50, taken: map[string]int64{"x": 1, "y": 2}},
		{Topic: "shop.public.c", ID: 0}: {known: true, end: 7},
		{Topic: "shop.public.d", ID: 0}: {end: 7}, // where it stands is not known
	} {
		p.Partition = id
		c.parts[id] = &p
	}
	c.commits.acked[kafka.Partition{Topic: "shop.public.b", ID: 0}] = content{at: 45}
	all, tables := c.lags()
	if want := map[string]int64{"public_a": 30, "x": 5, "y": 5}; all != 42 || !maps.Equal(tables, want) {
		t.Errorf("lag %d, %v", all, tables)
	}
	clear(c.parts)
}

// TestMetricsOfManyTables: thousands of tables and topics have a bounded number of
// series, in which nothing is lost.
func TestMetricsOfManyTables(t *testing.T) {
	const tables, most = 3000, 500
	opt := testOptions(t, []string{"127.0.0.1:1"}, nil)
	opt.MetricTables = most
	reader := meter(&opt)
	x, err := newMetrics(&opt, instrument.NewLimit(most))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	s := &Status{topics: map[string]bool{}}
	for i := range tables {
		name := fmt.Sprintf("t%04d", i)
		x.assigned(name)
		x.commits(name, "ok")
		x.delivered(&work{lane: &lane{table: name}, ctx: t.Context(), upserts: 2, deletes: 1, compacted: 1, files: 10, sealed: now, oldest: now.UnixMilli()}, now)
		for _, outcome := range []push.Outcome{push.JobDone, push.JobFailed, push.JobCanceled, push.JobLost, push.JobRefused} {
			x.ended(t.Context(), name, outcome, time.Second)
		}
		x.changed(name)
		s.Tables = append(s.Tables, TableStatus{Table: name, Lag: 2, Freshness: float64(i % 1000), FreshnessTarget: 300, State: "held"})
		s.topics[name] = true
	}
	s.Tables[1234].Freshness, s.Tables[1234].FreshnessTarget = 7000, 60 // the latest by far
	s.Tables[2345].Freshness, s.Tables[2345].FreshnessTarget = 8000, 7999
	x.observe(s)
	got := read(t, reader)

	for name, want := range map[string]float64{"sluice.rows": 3 * tables, "sluice.rows.compacted": tables, "sluice.jobs": 5 * tables, "sluice.commits": tables,
		"sluice.lag": 2 * tables, "sluice.holds": 2 * tables, "sluice.batch.rows": 3 * tables, "sluice.batch.size": 10 * tables, "sluice.schema.changes": tables, "sluice.dead_letters": 0} {
		if n := got.of(name).value; n != want {
			t.Errorf("%s: %v in all, want %v", name, n, want)
		}
	}
	if f, target := got.of("sluice.freshness", "sluice.table=other").value, got.of("sluice.freshness.target", "sluice.table=other").value; f != 7000 || target != 60 {
		t.Errorf("the latest of the others is %v over a target of %v", f, target)
	}
	for _, i := range instrument.List {
		per := map[string]int{}
		for _, at := range got[i.Name] {
			key := at.attrs["outcome"] + at.attrs["op"] + at.attrs["reason"]
			for _, k := range []string{instrument.Table, instrument.Topic} {
				if at.attrs[k] != "" {
					per[k+key]++
				}
			}
			if at.attrs["otel.metric.overflow"] != "" {
				t.Errorf("%s: names are lost in the SDK", i.Name)
			}
		}
		for key, n := range per {
			if n > most+1 {
				t.Errorf("%s: %d series of %s", i.Name, n, key)
			}
		}
	}
}
