package telemetry

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// lines is a log that the SDK may still write to after a stop that had no time left.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// plain is a handler of lines without the time.
func plain(b io.Writer) slog.Handler {
	return slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
}

// TestCorrelated: a line has the ids of the context's span, as W3C writes them.
func TestCorrelated(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(correlated{plain(&b)})
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 15: 0x36}, SpanID: trace.SpanID{0xaf, 7: 0x27}, TraceFlags: trace.FlagsSampled}))
	log.With("a", 1).InfoContext(ctx, "in")
	log.InfoContext(t.Context(), "out")
	const want = "level=INFO msg=in a=1 trace_id=4b000000000000000000000000000036 span_id=af00000000000027 trace_flags=01\nlevel=INFO msg=out\n"
	if b.String() != want {
		t.Errorf("%s", &b)
	}
}

// TestRepeats is the trace of a minute and what follows it.
func TestRepeats(t *testing.T) {
	var b bytes.Buffer
	h := newRepeats(plain(&b), 2)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	say := func(second int, level slog.Level, msg string, args ...any) {
		r := slog.NewRecord(start.Add(time.Duration(second)*time.Second), level, msg, 0)
		r.Add(args...)
		h.Handle(context.Background(), r)
	}
	for i := range 5 {
		say(i, slog.LevelWarn, "bad", "topic", "t", "offset", i)
	}
	say(5, slog.LevelWarn, "bad", "topic", "u", "offset", 5)
	say(6, slog.LevelError, "bad", "topic", "t", "offset", 6)
	for range 4 {
		say(7, slog.LevelInfo, "delivered")
	}
	say(59, slog.LevelWarn, "bad", "topic", "t", "offset", 59)
	say(60, slog.LevelInfo, "a minute on")
	say(61, slog.LevelWarn, "bad", "topic", "t", "offset", 61)
	for i := range 3 {
		say(62, slog.LevelWarn, "worse", "try", i)
	}
	h.flush()
	h.flush()
	const want = `level=WARN msg=bad topic=t offset=0
level=WARN msg=bad topic=t offset=1
level=WARN msg=bad topic=u offset=5
level=ERROR msg=bad topic=t offset=6
level=INFO msg=delivered
level=INFO msg=delivered
level=INFO msg=delivered
level=INFO msg=delivered
level=WARN msg=bad topic=t offset=59 repeated=4
level=INFO msg="a minute on"
level=WARN msg=bad topic=t offset=61
level=WARN msg=worse try=0
level=WARN msg=worse try=1
level=WARN msg=worse try=2 repeated=1
`
	if b.String() != want {
		t.Errorf("got\n%s", &b)
	}
}

// TestRepeatsCorrelated: the line that tells of those kept back has the ids of the last one, and
// a context that has ended since takes it from no collector.
func TestRepeatsCorrelated(t *testing.T) {
	var b bytes.Buffer
	h := newRepeats(correlated{live{plain(&b)}}, 1)
	log := slog.New(h)
	for i := range byte(3) {
		ctx, cancel := context.WithCancel(trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: trace.TraceID{15: 1 + i}, SpanID: trace.SpanID{7: 1 + i}})))
		log.WarnContext(ctx, "bad")
		cancel()
	}
	h.flush()
	const want = "level=WARN msg=bad trace_id=00000000000000000000000000000001 span_id=0000000000000001 trace_flags=00\n" +
		"level=WARN msg=bad repeated=2 trace_id=00000000000000000000000000000003 span_id=0000000000000003 trace_flags=00\n"
	if b.String() != want {
		t.Errorf("%s", &b)
	}
}

// live takes no record of a context that has ended.
type live struct{ slog.Handler }

func (h live) Handle(ctx context.Context, r slog.Record) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return h.Handler.Handle(ctx, r)
}

// TestRepeatsWith: what With returns counts along.
func TestRepeatsWith(t *testing.T) {
	var b bytes.Buffer
	log := slog.New(newRepeats(plain(&b), 1))
	log.With("a", 1).Warn("x")
	log.WithGroup("g").Warn("x", "b", 2)
	if strings.Count(b.String(), "msg=x") != 1 {
		t.Errorf("%s", &b)
	}
}
