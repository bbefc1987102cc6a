package connector

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// told is the traceparents that the target was told, by the call.
type told struct {
	mu  sync.Mutex
	all map[string][]string
}

func (t *told) onRequest(r *http.Request) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = map[string][]string{}
	}
	call := r.Method + " " + r.URL.Path[strings.Index(r.URL.Path, "/jobs/"):]
	t.all[call] = append(t.all[call], r.Header.Get("traceparent"))
}

// traced has a connector's traces recorded, and its target told of them.
func (w *world) traced(opt Options) (Options, *tracetest.SpanRecorder) {
	w.t.Helper()
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	opt.Tracer, opt.Pusher.Tracer = tracer, tracer
	var err error
	opt.Pusher.Sink, err = celonis.New(celonis.Options{URL: "https://emulator", PoolID: "pool",
		Auth:           celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return "hunter2", nil }},
		MultipartField: "file", MultipartFilename: "f", FallbackLength: 500, RequestsPerSecond: 1000,
		Signals: push.Signals{Tracer: tracer, Propagator: propagation.TraceContext{}},
	}, w.transport)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { checkSpans(w.t, recorder.Ended()) })
	return opt, recorder
}

// replaced are names that the conventions have given up.
var replaced = []string{"messaging.operation", "messaging.kafka.consumer.group", "messaging.kafka.destination.partition", "messaging.kafka.message.offset",
	"messaging.destination.kind", "messaging.client_id", "http.method", "http.url", "http.status_code", "http.target", "net.peer.name", "net.peer.port"}

// checkSpans holds every span against what none may have.
func checkSpans(t *testing.T, spans []sdktrace.ReadOnlySpan) {
	t.Helper()
	for _, s := range spans {
		attributes := s.Attributes()
		for _, l := range s.Links() {
			attributes = append(attributes, l.Attributes...)
		}
		for _, e := range s.Events() {
			attributes = append(attributes, e.Attributes...)
		}
		for _, a := range attributes {
			if slices.Contains(replaced, string(a.Key)) || strings.HasPrefix(string(a.Key), "messaging.source.") {
				t.Errorf("span %q has %s, which is replaced", s.Name(), a.Key)
			}
			if text := a.Value.String(); strings.Contains(text, "row-data") || strings.Contains(text, "hunter2") {
				t.Errorf("span %q tells %s=%s", s.Name(), a.Key, text)
			}
		}
		if d := s.Status().Description; strings.Contains(d, "row-data") {
			t.Errorf("span %q tells %s", s.Name(), d)
		}
	}
}

// attributes are those of a span, as text.
func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := map[string]string{}
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// named returns the spans of a name, as they began.
func named(r *tracetest.SpanRecorder, name string) (spans []sdktrace.ReadOnlySpan) {
	for _, s := range r.Ended() {
		if s.Name() == name {
			spans = append(spans, s)
		}
	}
	slices.SortFunc(spans, func(a, b sdktrace.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	return spans
}

func traceID(n int) string { return fmt.Sprintf("%032x", n) }

// from is a traceparent of a trace.
func from(n int) string { return fmt.Sprintf("00-%s-%016x-01", traceID(n), n) }

// putFrom puts a row of shop.public.a whose record has headers.
func (w *world) putFrom(part int32, id int64, value string, headers ...string) {
	w.t.Helper()
	rec := &kgo.Record{Topic: "shop.public.a", Partition: part, Key: fmt.Appendf(nil, `{"id":%d}`, id), Value: []byte(value)}
	for i := 0; i < len(headers); i += 2 {
		rec.Headers = append(rec.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	if err := w.client.ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// TestTrace: a batch is one trace from its first record to the commit, linked to those that
// its changes were made in, and the target is told it.
func TestTrace(t *testing.T) {
	var told told
	w := newWorld(t, emulator.Options{OnRequest: told.onRequest}, "shop.public.a")
	opt, recorder := w.traced(w.options("shop.public.a"))
	_, value := change("shop.public.a", "c", 1, "row-data")
	w.putFrom(1, 1, value, "traceparent", from(0xa1), "tracestate", "k=v")
	_, value = change("shop.public.a", "c", 3, "row-data")
	w.putFrom(1, 3, value, "traceparent", "not one")
	column := strings.Replace(value, `"id":3`, fmt.Sprintf(`"id":5,"tracingspancontext":%q`, "#Sat Nov 28\ntraceparent="+from(0xb2)+"\n"), 1)
	w.putFrom(1, 5, column)
	_, stop := w.run(opt)
	w.eventually("commit", func() bool { return w.lag("shop.public.a") == 0 })
	stop()

	roots := named(recorder, "process shop.public.a")
	if len(roots) != 1 {
		t.Fatalf("%d batches are traced", len(roots))
	}
	root := roots[0]
	got := attributes(root)
	for key, want := range map[string]string{
		"messaging.system": "kafka", "messaging.operation.name": "process", "messaging.operation.type": "process", "messaging.destination.name": "shop.public.a",
		"messaging.destination.partition.id": "1", "messaging.consumer.group.name": "sluice", "messaging.batch.message_count": "3",
		"sluice.table": "public_a", "sluice.batch.reason": "age", "sluice.rows": "3", "sluice.upserts": "3", "sluice.deletes": "0",
		"sluice.offsets": `["shop.public.a/1:0-2"]`, "sluice.budget.wait": "0", "sluice.job.attempts": "1",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if got["sluice.job.id"] == "" || got["sluice.bytes"] == "" || root.SpanKind() != trace.SpanKindConsumer || root.Status().Code == codes.Error {
		t.Errorf("%v, %v, %v", got, root.SpanKind(), root.Status())
	}
	var links []string
	for _, l := range root.Links() {
		links = append(links, l.SpanContext.TraceID().String()+" "+l.SpanContext.TraceState().String())
	}
	if want := []string{traceID(0xa1) + " k=v", traceID(0xb2) + " "}; !slices.Equal(links, want) {
		t.Errorf("linked to %q, want %q", links, want)
	}
	if done := named(recorder, "DONE"); len(done) == 1 && (!done[0].StartTime().Equal(done[0].EndTime()) || attributes(done[0])["sluice.job.id"] != got["sluice.job.id"]) {
		t.Errorf("DONE from %v to %v: %v", done[0].StartTime(), done[0].EndTime(), attributes(done[0]))
	}

	const base = "/data-ingestion/api/v1/data-push/{poolId}/jobs/"
	kinds := map[string]trace.SpanKind{"commit shop.public.a": trace.SpanKindClient}
	calls := map[string]string{}
	for name, call := range map[string]string{"seal": "", "encode": "", "create": "POST " + base, "upload": "POST " + base + "{id}/chunks/upserted",
		"commit intent": "", "execute": "POST " + base + "{id}", "poll": "GET " + base + "{id}", "DONE": "", "commit shop.public.a": ""} {
		spans := named(recorder, name)
		if len(spans) != 1 {
			t.Fatalf("%d spans %q", len(spans), name)
		}
		s := spans[0]
		kind := kinds[name]
		if kind == 0 {
			kind = trace.SpanKindInternal
		}
		if s.Parent().SpanID() != root.SpanContext().SpanID() || s.SpanKind() != kind || s.StartTime().Before(root.StartTime()) || s.EndTime().After(root.EndTime()) {
			t.Errorf("span %q: %v within %v, of kind %v", name, s.StartTime(), s.Parent().SpanID(), s.SpanKind())
		}
		if call == "" {
			continue
		}
		for i, request := range named(recorder, call) {
			if i == 0 && request.Parent().SpanID() != s.SpanContext().SpanID() {
				t.Errorf("%q is not within %q", call, name)
			}
			id := strings.TrimPrefix(attributes(request)["url.full"], "https://emulator/data-ingestion/api/v1/data-push/pool")
			method, _, _ := strings.Cut(call, " ")
			calls[request.SpanContext().SpanID().String()] = method + " " + id
		}
	}
	commit := attributes(named(recorder, "commit shop.public.a")[0])
	if commit["messaging.operation.name"] != "commit" || commit["messaging.operation.type"] != "settle" || commit["messaging.destination.name"] != "shop.public.a" {
		t.Errorf("the commit is %v", commit)
	}

	// Every request of the batch told the target its own span in this trace.
	told.mu.Lock()
	defer told.mu.Unlock()
	within := 0
	for span, call := range calls {
		want := "00-" + root.SpanContext().TraceID().String() + "-" + span + "-01"
		if !slices.Contains(told.all[call], want) {
			t.Errorf("%s: the target was told %q, want %s", call, told.all[call], want)
		}
		within++
	}
	if within < 4 {
		t.Errorf("%d requests", within)
	}
	for _, s := range recorder.Ended() {
		if s.SpanContext().TraceID() != root.SpanContext().TraceID() {
			t.Errorf("span %q is in another trace", s.Name())
		}
	}
}

// TestTraceOfFailures: each upload attempt is a span, those that fail with their class, and
// the batch's own says what became of it.
func TestTraceOfFailures(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt, recorder := w.traced(w.options("shop.public.a"))
	opt.Pusher.Attempts = 1
	w.emu.Inject("upload", emulator.Answer500, 0, 2)
	w.emu.Inject("execute", emulator.JobError, 0, 1)
	c, stop := w.run(opt)
	w.put("shop.public.a", "c", 1, "row-data")
	w.eventually("hold", func() bool { return len(c.Status().Holds) == 1 })
	stop()
	var got []string
	for _, s := range named(recorder, "upload") {
		a := attributes(s)
		got = append(got, fmt.Sprint(a["error.type"], " ", a["http.request.resend_count"], " ", s.Status().Code == codes.Error))
	}
	if want := []string{"unavailable  true", "unavailable 1 true", " 2 false"}; !slices.Equal(got, want) {
		t.Errorf("uploads %q, want %q", got, want)
	}
	roots := named(recorder, "process shop.public.a")
	if len(roots) != 1 || roots[0].Status().Code != codes.Error || attributes(roots[0])["error.type"] != "rejected" {
		t.Errorf("%v", roots)
	}
	if s := named(recorder, "poll"); len(s) != 1 || attributes(s[0])["error.type"] != "rejected" {
		t.Errorf("%v", s)
	}
}

// TestTraceOfAdopted: a job that an earlier owner left behind has a trace too, which the
// job's id ties to that of its maker.
func TestTraceOfAdopted(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt, recorder := w.traced(w.options("shop.public.a"))
	key, value := change("shop.public.a", "c", 0, "row-data")
	w.produce("shop.public.a", 0, key, value)
	ticket := w.prepare(opt, "shop.public.a", [][2]string{{key, value}})
	w.commitAs("shop.public.a", 0, 0, intent.Metadata{Tables: map[string]intent.Entry{"public_a": {Job: ticket.ID, Part: 1, Parts: 1, End: 1, Bytes: 100}}}.String())
	_, stop := w.run(opt)
	w.eventually("commit", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	roots := named(recorder, "process shop.public.a")
	if len(roots) != 1 {
		t.Fatalf("%d traces", len(roots))
	}
	got := attributes(roots[0])
	if got["sluice.job.id"] != ticket.ID || got["sluice.batch.reason"] != "adopted" || got["sluice.offsets"] != `["shop.public.a/0:0-0"]` {
		t.Errorf("%v", got)
	}
	for _, name := range []string{"execute", "poll", "commit shop.public.a"} {
		if s := named(recorder, name); len(s) != 1 || s[0].Parent().SpanID() != roots[0].SpanContext().SpanID() {
			t.Errorf("%d spans %q", len(s), name)
		}
	}
}

// TestTraceOfGivenUp: a batch whose partitions are given away with it ends its trace, and
// says why.
func TestTraceOfGivenUp(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt, recorder := w.traced(w.options("shop.public.a"))
	c := w.idle(opt)
	b := w.batch(c, "public_a", 1)
	b.lane.running = nil // no worker has it
	c.quit(b)
	if s := recorder.Ended(); len(s) != 1 || s[0].Status().Code != codes.Error || attributes(s[0])["error.type"] != "revoked" {
		t.Errorf("%v", s)
	}
}

// TestTraceOfWaiting: that a due batch waits for a submission is a span, for every table
// that does.
func TestTraceOfWaiting(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt, recorder := w.traced(w.options("shop.public.a"))
	c := w.idle(opt)
	begin := time.Now()
	for _, topic := range []string{"shop.public.a", "shop.public.b"} {
		d := debezium.NewDecoder(topic, opt.Decoder)
		key, value := change(topic, "c", 1, "row-data")
		if _, err := d.Decode(debezium.Record{Key: []byte(key), Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.batcher.Add(begin, d.Take(nil)[0], 0); err != nil {
			t.Fatal(err)
		}
	}
	opt.Pusher.Budget.Refused(begin, 15*time.Minute)
	for _, after := range []time.Duration{5 * time.Minute, 10 * time.Minute, 20 * time.Minute} {
		c.now = begin.Add(after)
		c.schedule()
	}
	waits := named(recorder, "wait for budget")
	if len(waits) != 2 {
		t.Fatalf("%d batches have waited", len(waits))
	}
	for _, s := range waits {
		if took := s.EndTime().Sub(s.StartTime()); took != 15*time.Minute {
			t.Errorf("waited for %v", took)
		}
	}
	for _, l := range c.lanes {
		root := l.running.span.(sdktrace.ReadOnlySpan)
		if got := attributes(root)["sluice.budget.wait"]; got != "900" || !root.StartTime().Equal(begin) {
			t.Errorf("the batch of %s began at %v and waited for %q", l.table, root.StartTime(), got)
		}
	}
}

// TestTraceOfDeadLetter: a record that is put aside keeps the context that it came with.
func TestTraceOfDeadLetter(t *testing.T) {
	rec := &kgo.Record{Topic: "t", Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte(from(1))}, {Key: "tracestate", Value: []byte("k=v")}}}
	out := deadLetterRecord("dead", badRecord{rec, &debezium.BadRecord{Err: errors.New("bad")}})
	if !slices.EqualFunc(rec.Headers, out.Headers[:2], func(a, b kgo.RecordHeader) bool { return a.Key == b.Key && string(a.Value) == string(b.Value) }) {
		t.Errorf("%v", out.Headers)
	}
	for _, h := range out.Headers[2:] {
		if strings.HasPrefix(h.Key, "trace") {
			t.Errorf("it has %s twice", h.Key)
		}
	}
}

// TestTraceOff: without a tracer nobody looks for contexts.
func TestTraceOff(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	if w.idle(w.options("shop.public.a")).opt.Decoder.Traces {
		t.Error("contexts are looked for")
	}
	opt, _ := w.traced(w.options("shop.public.a"))
	if !w.idle(opt).opt.Decoder.Traces {
		t.Error("contexts are not looked for")
	}
}
