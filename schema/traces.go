package schema

import (
	"encoding/binary"
	"slices"
)

// TraceContext names a span of whoever made a change (W3C Trace Context,
// https://www.w3.org/TR/trace-context/).
type TraceContext struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
	State   string // the tracestate, as it came

	// The first record that was made in it, of those for which there was room.
	Partition int32
	Offset    int64
}

// maxTraceState is what the recommendation has everybody pass on at least.
const maxTraceState = 512

const parentSize = len("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

// parted reports whether a text has the parts of a traceparent, whatever is in them.
func parted(text []byte) bool {
	return len(text) >= parentSize && text[2] == '-' && text[35] == '-' && text[52] == '-'
}

// ParseTraceparent reads a traceparent: version 00, or a later one as far as that is
// alike. What is malformed is none, as the recommendation wants it.
func ParseTraceparent(text []byte) (c TraceContext, ok bool) {
	if !parted(text) {
		return c, false
	}
	var version, flags [1]byte
	if !unhex(version[:], text) || !unhex(c.TraceID[:], text[3:]) || !unhex(c.SpanID[:], text[36:]) || !unhex(flags[:], text[53:]) {
		return TraceContext{}, false
	}
	switch {
	case version[0] == 0xff, version[0] == 0 && len(text) > parentSize, len(text) > parentSize && text[parentSize] != '-',
		c.TraceID == [16]byte{}, c.SpanID == [8]byte{}:
		return TraceContext{}, false
	}
	c.Flags = flags[0]
	return c, true
}

// digits are the values of hexadecimal digits; others, and those in upper case, which the
// recommendation does not allow, have more than 15.
var digits = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i, c := range "0123456789abcdef" {
		t[c] = byte(i)
	}
	return t
}()

// unhex fills dst from the digits that text begins with.
func unhex(dst, text []byte) bool {
	var all byte
	for i := range dst {
		high, low := digits[text[2*i]], digits[text[2*i+1]]
		all |= high | low
		dst[i] = high<<4 | low
	}
	return all < 16
}

// MaxTraces is how many contexts are kept, which is how many links a span has by
// default (OTEL_SPAN_LINK_COUNT_LIMIT).
const MaxTraces = 128

// sampled is the flag of a context whose trace is recorded: a link to another one leads
// nowhere (https://www.w3.org/TR/trace-context/#sampled-flag).
const sampled = 1

// Traces are the distinct contexts in which changes were made: the first MaxTraces, of those
// that are sampled before others.
type Traces struct {
	Contexts []TraceContext
	// Left counts the times that one was met for which there was no room, or lost its own.
	Left int64

	spare int        // contexts that are kept and not sampled
	met   [16]uint64 // a bit for the last ten of each context's span: one whose bit is not there is new
}

// bit is where met has the context whose span ends in last.
func (t *Traces) bit(last uint16) (word *uint64, bit uint64) {
	return &t.met[last>>6%16], 1 << (last % 64)
}

// Beyond reports whether a traceparent is one more for which there is no room, and counts it
// then. Where every change has a context of its own nearly all are that, and are not worth to
// be read: a malformed one may count as well.
func (t *Traces) Beyond(parent []byte) bool {
	if len(t.Contexts) < MaxTraces || !parted(parent) {
		return false
	}
	if t.spare > 0 && digits[parent[54]]&sampled != 0 {
		return false // it is worth the place of another
	}
	end := parent[49:52] // of the span
	if word, bit := t.bit(uint16(digits[end[0]])<<8 | uint16(digits[end[1]])<<4 | uint16(digits[end[2]])); *word&bit != 0 {
		return false
	}
	t.Left++
	return true
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

// room reports whether a context is a new one and can be kept, as it then is to be.
func (t *Traces) room(c TraceContext) bool {
	word, bit := t.bit(binary.BigEndian.Uint16(c.SpanID[6:]))
	if *word&bit != 0 {
		// A transaction's changes come together, so most often it is the last one.
		for i := len(t.Contexts) - 1; i >= 0; i-- {
			if have := &t.Contexts[i]; have.SpanID == c.SpanID && have.TraceID == c.TraceID {
				return false
			}
		}
	}
	lost := c.Flags&sampled == 0
	if len(t.Contexts) == MaxTraces {
		if t.Left++; lost || t.spare == 0 {
			return false
		}
		t.spare--
		last := len(t.Contexts) - 1
		for last >= 0 && t.Contexts[last].Flags&sampled != 0 {
			last--
		}
		t.Contexts = slices.Delete(t.Contexts, last, last+1)
	}
	if lost {
		t.spare++
	}
	*word |= bit
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
func (t *Traces) Reset() { *t = Traces{Contexts: t.Contexts[:0]} }
