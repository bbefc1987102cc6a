package schema

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

// FuzzTraceparent holds the reader, which allocates nothing, against OpenTelemetry's.
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
		raw := []byte(text)
		var got TraceContext
		var ok bool
		schematest.Within(t, 0, 0, len(text), func() { got, ok = ParseTraceparent(raw) })
		want := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier{"traceparent": text}))
		// OpenTelemetry's takes a dash behind version 00, which has nothing more.
		if want.IsValid() && !ok && !(text[:2] == "00" && len(text) > parentSize) {
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

// TestSampledTraces: of producers that sample one change in many, those are kept whose traces
// somebody has.
func TestSampledTraces(t *testing.T) {
	context := func(n int, flags byte) (c TraceContext) {
		binary.BigEndian.PutUint32(c.TraceID[:], uint32(n))
		binary.BigEndian.PutUint32(c.SpanID[4:], uint32(n))
		c.Flags = flags
		return c
	}
	var a, b Traces
	for i := range 200 {
		a.Add(context(1+i, 0), nil)
	}
	last := context(1000, 1)
	if a.Beyond(fmt.Appendf(nil, "00-%x-%x-01", last.TraceID, last.SpanID)) {
		t.Error("a sampled context is not looked at")
	}
	a.Add(last, nil)
	if len(a.Contexts) != MaxTraces || !slices.Contains(a.Contexts, last) || a.Left != 73 {
		t.Errorf("%d contexts, %d left out, the sampled one is there: %v", len(a.Contexts), a.Left, slices.Contains(a.Contexts, last))
	}
	for i := range MaxTraces {
		b.Add(context(500+i, 0), nil)
	}
	if b.Merge(&a); len(b.Contexts) != MaxTraces || !slices.Contains(b.Contexts, last) {
		t.Error("merged, the sampled one is not there")
	}
}

// TestTracesAgainstList: whatever contexts come, in whatever order, the kept ones and the number
// of those left out are those of a plain list.
func TestTracesAgainstList(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	var traces, texts Traces // contexts as they are, and as they are read
	for round := range 50 {
		traces.Reset()
		texts.Reset()
		var list []TraceContext
		left := int64(0)
		for range 600 {
			var c TraceContext
			c.TraceID[0] = byte(1 + dice.IntN(3))
			binary.BigEndian.PutUint64(c.SpanID[:], uint64(1+dice.IntN(10*(1+round)))<<dice.IntN(12))
			c.Flags = byte(c.SpanID[7]+c.SpanID[6]+c.TraceID[0]) / byte(1+round) & 1 // always the same for a context
			traces.Add(c, nil)
			if text := fmt.Appendf(nil, "00-%x-%x-%02x", c.TraceID, c.SpanID, c.Flags); !texts.Beyond(text) {
				read, ok := ParseTraceparent(text)
				if !ok {
					t.Fatalf("%s is refused", text)
				}
				texts.Add(read, nil)
			}
			if slices.Contains(list, c) {
				continue
			}
			if len(list) == MaxTraces {
				left++
				spare := -1
				for i := range list {
					if list[i].Flags == 0 {
						spare = i
					}
				}
				if c.Flags == 0 || spare < 0 {
					continue
				}
				list = append(list[:spare], list[spare+1:]...)
			}
			list = append(list, c)
		}
		for _, got := range []*Traces{&traces, &texts} {
			if !slices.Equal(got.Contexts, list) || got.Left != left {
				t.Fatalf("round %d: %d contexts and %d left out, want %d and %d", round, len(got.Contexts), got.Left, len(list), left)
			}
		}
	}
}
