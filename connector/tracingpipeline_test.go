package connector

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// TestTraceOfPipeline: a batch that goes to a pipeline has the same trace as one that goes as
// a job: what it waited for before it was posted, each array, each time, with its class where
// it failed, the completion and the checkpoint; and the pipeline is told it.
func TestTraceOfPipeline(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var told []string
	s := newStream(t, pipeline.Options{Enterprise: true, Lag: 50 * time.Millisecond, OnEvent: func(e pipeline.Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.What == "rows" {
			told = append(told, e.Trace)
		}
	}})
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	s.signals = push.Signals{Tracer: tracer, Propagator: propagation.TraceContext{}}
	opt := s.options(false, true)
	opt.Tracer, opt.Pusher.Tracer = tracer, tracer
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 30, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	s.pipe.Inject("ingress", pipeline.Answer500, 2, 1) // the barrier and the first array go through
	for id := range int64(30) {
		s.put("shop.public.a", "c", 2*id, "row-data") // of one partition
	}
	_, stop := s.run(opt)
	s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	stop()
	checkSpans(t, recorder.Ended())

	roots := named(recorder, "process shop.public.a")
	if len(roots) != 1 || roots[0].Status().Code == codes.Error {
		t.Fatalf("%d batches are traced: %v", len(roots), roots)
	}
	root := attributes(roots[0])
	if root["sluice.table"] != "public_a" || root["sluice.rows"] != "30" || root["sluice.bytes"] == "" || root["sluice.job.id"] == "" || root["sluice.job.attempts"] != "2" {
		t.Errorf("the batch is %v", root)
	}
	within := func(name string) (spans []sdktrace.ReadOnlySpan) {
		t.Helper()
		if spans = named(recorder, name); len(spans) == 0 {
			t.Errorf("no span %q", name)
		}
		for _, span := range spans {
			if span.SpanContext().TraceID() != roots[0].SpanContext().TraceID() {
				t.Errorf("span %q is in another trace", name)
			}
		}
		return spans
	}
	for _, name := range []string{"seal", "encode", "commit intent", "execute", "DONE", "commit shop.public.a", "POST /v0/pipelines/{pipeline}/checkpoint"} {
		within(name)
	}
	// Before the first array, and before the second goes out again: what became of it must be over.
	if n := len(within("settle")); n < 2 {
		t.Errorf("it settled %d times", n)
	}
	var uploads []string
	for _, span := range within("upload") {
		a := attributes(span)
		uploads = append(uploads, fmt.Sprint(a["sluice.table"], " ", a["error.type"], " ", a["http.request.resend_count"]))
		if a["sluice.bytes"] == "" || a["sluice.job.id"] != root["sluice.job.id"] {
			t.Errorf("an upload is %v", a)
		}
	}
	if want := []string{"public_a  ", "public_a unavailable ", "public_a  1"}; !slices.Equal(uploads, want) {
		t.Errorf("uploads %q, want %q", uploads, want)
	}
	var events []string
	polls := within("poll")
	for _, e := range polls[len(polls)-1].Events() {
		events = append(events, e.Name)
	}
	if want := []string{"complete"}; !slices.Equal(events, want) {
		t.Errorf("events %q, want %q", events, want)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(told) != 2 {
		t.Errorf("the pipeline took %d arrays", len(told))
	}
	for _, traceparent := range told {
		if !strings.Contains(traceparent, roots[0].SpanContext().TraceID().String()) {
			t.Errorf("the pipeline was told %q", traceparent)
		}
	}
}
