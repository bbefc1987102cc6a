package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// repeats lets a warning or error through so many times a minute and keeps back the rest,
// the last of which then goes out with their number: when the minute is over and
// something is logged, or at the flush. The same are those of one level and message about
// one table or topic. What is below a warning passes: it is a line per event, which is
// to be there.
type repeats struct {
	slog.Handler
	minute *minute // shared with what WithAttrs and WithGroup return
}

// minute is what was logged in the current one.
type minute struct {
	most int

	mu    sync.Mutex
	began time.Time
	seen  map[sameness]*seen
}

type sameness struct {
	level            slog.Level
	message, subject string
}

type seen struct {
	passed, kept int
	last         slog.Record
	span         trace.SpanContext // that last is of
	to           slog.Handler
}

func newRepeats(h slog.Handler, most int) repeats {
	return repeats{h, &minute{most: most, seen: map[sameness]*seen{}}}
}

func (h repeats) Handle(ctx context.Context, r slog.Record) error {
	over, pass := h.minute.admit(ctx, h.Handler, r)
	tell(over)
	if !pass {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h repeats) WithAttrs(attrs []slog.Attr) slog.Handler {
	return repeats{h.Handler.WithAttrs(attrs), h.minute}
}

func (h repeats) WithGroup(name string) slog.Handler {
	return repeats{h.Handler.WithGroup(name), h.minute}
}

// flush tells what is kept back.
func (h repeats) flush() {
	h.minute.mu.Lock()
	over := h.minute.end()
	h.minute.mu.Unlock()
	tell(over)
}

// admit says whether a record passes, by the record's own time, and which have been kept
// back of a minute that is over.
func (m *minute) admit(ctx context.Context, to slog.Handler, r slog.Record) (over []*seen, pass bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Time.Sub(m.began) >= time.Minute {
		over, m.began = m.end(), r.Time
	}
	if r.Level < slog.LevelWarn {
		return over, true
	}
	k := sameness{r.Level, r.Message, subject(r)}
	s := m.seen[k]
	if s == nil {
		s = &seen{}
		m.seen[k] = s
	}
	if s.passed < m.most {
		s.passed++
		return over, true
	}
	s.kept++
	s.last, s.span, s.to = r.Clone(), trace.SpanContextFromContext(ctx), to
	return over, false
}

func (m *minute) end() (over []*seen) {
	for _, s := range m.seen {
		if s.kept > 0 {
			over = append(over, s)
		}
	}
	clear(m.seen)
	return over
}

func tell(over []*seen) {
	for _, s := range over {
		s.last.AddAttrs(slog.Int("repeated", s.kept))
		s.to.Handle(trace.ContextWithSpanContext(context.Background(), s.span), s.last) // there is no log to tell of an error
	}
}

// subject is the table or topic that a record is about.
func subject(r slog.Record) (s string) {
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "table", "topic", "what":
			s = a.Value.String()
			return false
		}
		return true
	})
	return s
}
