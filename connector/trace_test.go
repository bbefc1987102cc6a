package connector

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// TestTrace: a batch is one trace from poll to commit, and the target is told it.
func TestTrace(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	recorder := tracetest.NewSpanRecorder()
	tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
	opt := w.options("shop.public.a")
	opt.Tracer, opt.Pusher.Tracer = tracer, tracer
	var mu sync.Mutex
	parents := map[string]bool{}
	sink, err := celonis.New(celonis.Options{URL: "https://emulator", PoolID: "pool",
		Auth:           celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return "k", nil }},
		MultipartField: "file", MultipartFilename: "f", FallbackLength: 100, RequestsPerSecond: 1000,
	}, &pushtest.Transport{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if p := strings.Split(r.Header.Get("traceparent"), "-"); len(p) == 4 && r.Method == http.MethodPost {
			mu.Lock()
			parents[p[1]] = true
			mu.Unlock()
		}
		w.emu.ServeHTTP(rw, r)
	})})
	if err != nil {
		t.Fatal(err)
	}
	opt.Pusher.Sink = sink
	_, stop := w.run(opt)
	w.put("shop.public.a", "c", 1, "x")
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	names := map[string][]string{}
	for _, s := range recorder.Ended() {
		id := s.SpanContext().TraceID().String()
		names[id] = append(names[id], s.Name())
	}
	if len(names) != 1 || len(parents) != 1 {
		t.Fatalf("one batch, %d traces, %d told to the target", len(names), len(parents))
	}
	for id, got := range names {
		for _, want := range []string{"batch public_a", "poll", "seal", "encode", "upload", "execute", "poll status", "commit"} {
			if !slices.Contains(got, want) {
				t.Errorf("no span %q among %q", want, got)
			}
		}
		if !parents[id] {
			t.Error("the target was told another trace")
		}
	}
}
