package schema

import (
	"encoding/binary"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// FuzzTraceparent holds the reader against OpenTelemetry's.
func FuzzTraceparent(f *testing.F) {
	for _, text := range []string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-later",
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", "00", "",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := ParseTraceparent([]byte(text))
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": text}))
		if want.IsValid() && !ok {
			t.Fatalf("%q is refused", text)
		}
		if ok && want.IsValid() && (got.TraceID != want.TraceID() || got.SpanID != want.SpanID()) {
			t.Fatalf("%q: %x %x, want %v", text, got.TraceID, got.SpanID, want)
		}
		// It is stricter with the flags of version 00, of which only two bits have a meaning.
		if ok && !want.IsValid() && got.Flags <= 3 {
			t.Fatalf("%q is taken", text)
		}
	})
}

func TestTraces(t *testing.T) {
	context := func(n int) (c TraceContext) {
		binary.BigEndian.PutUint32(c.TraceID[:], uint32(n))
		c.SpanID[0] = 1
		return c
	}
	var a, b Traces
	for i := range MaxTraces + 10 {
		for range 3 {
			a.Add(context(i), []byte("k=v"))
		}
	}
	if len(a.Contexts) != MaxTraces || a.Left != 30 || a.Contexts[0].State != "k=v" {
		t.Errorf("%d contexts, %d left out, state %q", len(a.Contexts), a.Left, a.Contexts[0].State)
	}
	b.Add(context(0), nil)
	b.Add(context(MaxTraces+20), nil)
	b.Merge(&a)
	if len(b.Contexts) != MaxTraces || b.Left != 31 {
		t.Errorf("merged: %d contexts, %d left out", len(b.Contexts), b.Left)
	}
	b.Reset()
	if n := testing.AllocsPerRun(10, func() { b.Add(context(1), nil) }); n != 0 || len(b.Contexts) != 1 {
		t.Errorf("%v allocations for one that is known", n)
	}
}
