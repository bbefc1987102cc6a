package schema

import (
	"bytes"
	"encoding/hex"
)

// TraceContext names a span of whoever made a change (W3C Trace Context,
// https://www.w3.org/TR/trace-context/).
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
	State   string // the tracestate, as it came
}

// maxTraceState is what the recommendation has everybody pass on at least.
const maxTraceState = 512

// ParseTraceparent reads a traceparent: version 00, or a later one as far as that is
// alike. What is malformed is none, as the recommendation wants it.
func ParseTraceparent(text []byte) (c TraceContext, ok bool) {
	const size = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if len(text) < size || text[2] != '-' || text[35] != '-' || text[52] != '-' {
		return c, false
	}
	var version, flags [1]byte
	for _, part := range []struct{ dst, src []byte }{{version[:], text[:2]}, {c.TraceID[:], text[3:35]}, {c.SpanID[:], text[36:52]}, {flags[:], text[53:55]}} {
		if _, err := hex.Decode(part.dst, part.src); err != nil || bytes.ContainsAny(part.src, "ABCDEF") {
			return TraceContext{}, false
		}
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(text) > size, len(text) > size && text[size] != '-',
		c.TraceID == [16]byte{}, c.SpanID == [8]byte{}:
		return TraceContext{}, false
	}
	c.Flags = flags[0]
	return c, true
}

// MaxTraces is how many contexts are kept, which is how many links a span has by
// default (OTEL_SPAN_LINK_COUNT_LIMIT).
const MaxTraces = 128

// Traces are the distinct contexts in which changes were made, the first MaxTraces.
type Traces struct {
	Contexts []TraceContext
	// Left counts the times that one was met for which there was no room.
	Left int64
}

// Add notes a context with its state, which may be nil and is copied.
func (t *Traces) Add(c TraceContext, state []byte) {
	if !t.room(c) {
		return
	}
	if len(state) <= maxTraceState {
		c.State = string(state)
	}
	t.Contexts = append(t.Contexts, c)
}

// room reports whether a context is a new one and can be kept.
func (t *Traces) room(c TraceContext) bool {
	// A transaction's changes come together, so most often it is the last one.
	for i := len(t.Contexts) - 1; i >= 0; i-- {
		if have := &t.Contexts[i]; have.SpanID == c.SpanID && have.TraceID == c.TraceID {
			return false
		}
	}
	if len(t.Contexts) == MaxTraces {
		t.Left++
		return false
	}
	return true
}

// Merge notes what others has.
func (t *Traces) Merge(others *Traces) {
	for _, c := range others.Contexts {
		if t.room(c) {
			t.Contexts = append(t.Contexts, c)
		}
	}
	t.Left += others.Left
}

// Reset forgets all of them.
func (t *Traces) Reset() { t.Contexts, t.Left = t.Contexts[:0], 0 }
