package push

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/schema"
)

// scripted is a sink of functions that counts its calls.
type scripted struct {
	execute            func(n int) error
	status             func(n int) (Status, error)
	prepares, executes int
	statuses           int
	token              string
}

func (s *scripted) Prepare(context.Context, *Job) (Ticket, error) {
	s.prepares++
	return Ticket{ID: "j"}, nil
}

func (s *scripted) Execute(context.Context, Ticket) (string, error) {
	s.executes++
	return s.token, s.execute(s.executes)
}

func (s *scripted) Status(context.Context, Ticket) (Status, error) {
	s.statuses++
	return s.status(s.statuses)
}

func (s *scripted) Discard(context.Context, Ticket) error { return nil }

func runScripted(t *testing.T, s *scripted, d time.Duration) error {
	t.Helper()
	p := &Pusher{Sink: s, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""),
		PollInterval: 2 * time.Second, MaxPollInterval: 30 * time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	return p.Run(ctx, NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}}))
}

// TestRefusedOnce: a job of which the target refuses single rows is not tried again.
func TestRefusedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{
			execute: func(int) error { return &Error{Op: "x", Kind: Rejected, Status: 400, Err: &Refused{}} },
			status: func(n int) (Status, error) {
				if n > 1 {
					return Status{}, &Error{Op: "x", Kind: Lost}
				}
				return Status{State: New}, nil
			},
		}
		var refused *Refused
		if err := runScripted(t, s, time.Hour); KindOf(err) != Rejected || !errors.As(err, &refused) || s.executes != 1 {
			t.Errorf("%v after %d executions", err, s.executes)
		}
	})
}

// TestRestartedBefore: a job that the target was started anew before, and of which it has
// nothing, is made again, though its rows must not be there twice, and costs no attempt.
func TestRestartedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{
			execute: func(n int) error {
				if n == 1 {
					return &Error{Op: "x", Kind: Restarted}
				}
				return nil
			},
			status: func(n int) (Status, error) {
				switch n {
				case 1:
					return Status{State: New}, nil
				case 2: // it was removed
					return Status{}, &Error{Op: "x", Kind: Lost}
				}
				return Status{State: Done}, nil
			},
		}
		p := &Pusher{Sink: s, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""), Attempts: 1, MinBackoff: time.Second, MaxBackoff: time.Minute}
		d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})
		d.Once = true
		if err := p.Run(t.Context(), d); err != nil || s.prepares != 2 || s.executes != 2 {
			t.Errorf("%v after it was made %d times and executed %d times", err, s.prepares, s.executes)
		}
	})
}

// TestUnauthorizedExecution: whoever may not execute jobs is told so at once, and the job is
// asked for before it is executed again: it may have been submitted all the same.
func TestUnauthorizedExecution(t *testing.T) {
	for name, late := range map[string]bool{"refused": false, "submitted all the same": true} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{
				execute: func(n int) error {
					if n == 1 {
						return &Error{Op: "x", Kind: Unauthorized, Status: 403}
					}
					return nil
				},
			}
			s.status = func(n int) (Status, error) {
				if late || s.executes > 1 {
					return Status{State: Done}, nil
				}
				return Status{State: New}, nil
			}
			p := &Pusher{Sink: s, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""), Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
			d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})
			if err := p.Run(t.Context(), d); KindOf(err) != Unauthorized || s.executes != 1 || s.statuses > 0 {
				t.Errorf("%s: %v after %d executions and %d questions", name, err, s.executes, s.statuses)
			}
			want := map[bool]int{false: 2, true: 1}[late]
			if err := p.Run(t.Context(), d); err != nil || s.executes != want {
				t.Errorf("%s: %v after %d executions, want %d", name, err, s.executes, want)
			}
		})
	}
}

// TestTokenIsNoted: what an execution has answered is noted like the job itself; where that
// is not to be had, the delivery goes on.
func TestTokenIsNoted(t *testing.T) {
	for _, refusal := range []error{nil, &Error{Op: "commit intent", Kind: Lost}} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{token: "x", execute: func(int) error { return nil }, status: func(int) (Status, error) { return Status{State: Done}, nil }}
			p := &Pusher{Sink: s, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""), Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
			d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})
			var noted []Ticket
			d.Bind = func(_ context.Context, t Ticket, _, _ int) error {
				if noted = append(noted, t); t.Token != "" {
					return refusal
				}
				return nil
			}
			if err := p.Run(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if want := []Ticket{{ID: "j"}, {ID: "j", Token: "x"}}; !slices.Equal(noted, want) || s.statuses != 1 {
				t.Errorf("noted %+v, %d statuses", noted, s.statuses)
			}
		})
	}
}

// TestUnsettled: a job beside which others may be under way that nobody knows is made again
// when those are over, and the next one of the batch is not.
func TestUnsettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{execute: func(int) error { return nil }, status: func(int) (Status, error) { return Status{State: Done}, nil }}
		d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}}, []schema.Chunk{{}})
		var settled []bool
		d.Bind = func(_ context.Context, _ Ticket, part, _ int) error {
			if settled = append(settled, d.Jobs[part-1].Settle); len(settled) == 1 {
				return ErrUnsettled
			}
			return nil
		}
		p := &Pusher{Sink: s, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""), Attempts: 1, MinBackoff: time.Second, MaxBackoff: time.Minute}
		if err := p.Run(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if want := []bool{false, true, false}; !slices.Equal(settled, want) || s.executes != 2 {
			t.Errorf("settled %v, %d executions", settled, s.executes)
		}
	})
}

// TestSubmissionsAreNotBurnt: whatever a target keeps answering, a delivery may not
// eat the hour's submissions.
func TestSubmissionsAreNotBurnt(t *testing.T) {
	ok := func(int) error { return nil }
	gone := &Error{Op: "x", Kind: Lost, Status: 404}
	down := &Error{Op: "x", Kind: Unavailable, Status: 503}
	for _, tc := range []struct {
		name string
		sink *scripted
		most int // executions in an hour
		held bool
	}{
		{"execution always 404", &scripted{execute: func(int) error { return gone }, status: func(int) (Status, error) { return Status{}, gone }}, 3, true},
		{"status always 404", &scripted{execute: ok, status: func(int) (Status, error) { return Status{}, gone }}, 3, true},
		{"status stays NEW", &scripted{execute: ok, status: func(int) (Status, error) { return Status{}, nil }}, 130, false},
		{"execution always 503", &scripted{execute: func(int) error { return down }, status: func(int) (Status, error) { return Status{}, nil }}, 100, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				err := runScripted(t, tc.sink, time.Hour)
				if tc.sink.executes > tc.most {
					t.Errorf("%d executions in an hour, want at most %d", tc.sink.executes, tc.most)
				}
				if held := KindOf(err) == Rejected && err != nil; held != tc.held {
					t.Errorf("ended with %v", err)
				}
			})
		})
	}
}

// TestStatusLags: a status that shows NEW for a while after an accepted execution
// does not make it be executed again.
func TestStatusLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{execute: func(int) error { return nil }, status: func(n int) (Status, error) {
			if n < 3 {
				return Status{State: New}, nil
			}
			return Status{State: Done}, nil
		}}
		if err := runScripted(t, s, time.Hour); err != nil || s.executes != 1 {
			t.Errorf("%v, executed %d times", err, s.executes)
		}
	})
}

// TestConflictsCost: a 409 takes a submission from the hour, or does not, as it is set.
func TestConflictsCost(t *testing.T) {
	for free, want := range map[bool]int{false: 4, true: 0} {
		synctest.Test(t, func(t *testing.T) {
			sink := &scripted{
				execute: func(n int) error {
					if n <= 4 {
						return &Error{Op: "x", Kind: Conflict, Status: 409}
					}
					return nil
				},
				status: func(int) (Status, error) { return Status{State: Done}, nil },
			}
			budget := NewBudget(250, 25)
			p := &Pusher{Sink: sink, Budget: budget, Tracer: noop.NewTracerProvider().Tracer(""), FreeConflicts: free,
				PollInterval: time.Second, MaxPollInterval: time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
			if err := p.Run(t.Context(), NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})); err != nil {
				t.Fatal(err)
			}
			// The first submission was granted before, so what is spent here is for repeats.
			if left, _ := budget.Left(time.Now()); 250-left != want {
				t.Errorf("free %v: %d submissions spent on four conflicts, want %d", free, 250-left, want)
			}
		})
	}
}

// TestConfirm: nothing is submitted without a confirmation, nor after it has lapsed,
// and what was granted is not spent on it.
func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &scripted{execute: func(int) error { return nil }, status: func(int) (Status, error) { return Status{State: Done}, nil }}
		budget := NewBudget(250, 25)
		p := &Pusher{Sink: sink, Budget: budget, Tracer: noop.NewTracerProvider().Tracer(""),
			PollInterval: time.Second, MaxPollInterval: time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
		d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})
		asked := 0
		d.Confirm = func(context.Context) (time.Time, error) {
			if asked++; asked < 4 {
				return time.Time{}, errors.New("UNKNOWN_MEMBER_ID")
			}
			if sink.executes > 0 {
				t.Error("submitted before it was confirmed")
			}
			return time.Now().Add(time.Second), nil
		}
		if err := p.Run(t.Context(), d); err != nil || sink.executes != 1 || asked != 4 {
			t.Errorf("%v, executed %d times, asked %d times", err, sink.executes, asked)
		}
		if left, _ := budget.Left(time.Now()); left != 250 {
			t.Errorf("%d submissions left of 250", left)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		sink := &scripted{status: func(int) (Status, error) { return Status{}, nil }}
		sink.execute = func(int) error { t.Error("submitted after the confirmation had lapsed"); return nil }
		frozen := &lateSink{sink}
		p := &Pusher{Sink: frozen, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""),
			PollInterval: time.Second, MaxPollInterval: time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
		d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})
		d.Confirm = func(context.Context) (time.Time, error) { return time.Now().Add(time.Second), nil }
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := p.Run(ctx, d); err == nil {
			t.Error("delivered")
		}
	})
}

// TestAdoptedPart: a job that another process has bound is DONE. Only the last one of a batch
// delivers it; the rows of any other are to be read again.
func TestAdoptedPart(t *testing.T) {
	for _, last := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			sink := &scripted{status: func(int) (Status, error) { return Status{State: Done}, nil }}
			p := &Pusher{Sink: sink, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""), Attempts: 3}
			err := p.Run(t.Context(), Adopt(Ticket{ID: "j", Table: "t"}, last))
			if last && err != nil || !last && (err == nil || KindOf(err) != Lost) {
				t.Errorf("a job that is the last one (%v) delivers its batch: %v", last, err)
			}
		})
	}
}

// TestAdoptedHalf: a job that was noted in part is not executed. Where it still is New it goes,
// also where its rows must not be there twice, and these are read again; where it does not go,
// it is asked for again, and what it turns out to be by then counts.
func TestAdoptedHalf(t *testing.T) {
	gone := &Error{Op: "x", Kind: Lost}
	for name, c := range map[string]struct {
		answers []any // of Status: a state or an error
		want    Kind
	}{
		"it goes":                        {[]any{New, gone}, Lost},
		"it goes the second time":        {[]any{New, New, New, gone}, Lost},
		"somebody has executed it first": {[]any{New, Running, Running, Done}, 0},
		"it is DONE":                     {[]any{Done, Done}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &scripted{execute: func(int) error { return nil }, status: func(n int) (Status, error) {
				switch a := c.answers[min(n, len(c.answers))-1].(type) {
				case State:
					return Status{State: a}, nil
				default:
					return Status{}, a.(error)
				}
			}}
			p := &Pusher{Sink: s, Budget: NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""), Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
			d := Adopt(Ticket{ID: "j", Table: "t"}, true)
			d.Half, d.Once = true, true
			err := p.Run(t.Context(), d)
			if (err == nil) != (c.want == 0) || err != nil && KindOf(err) != c.want || s.executes > 0 || s.statuses != len(c.answers) {
				t.Errorf("%s: %v after %d executions, and it was asked for %d times", name, err, s.executes, s.statuses)
			}
		})
	}
}

// lateSink waits two seconds for its turn before it submits.
type lateSink struct{ *scripted }

func (s *lateSink) Execute(ctx context.Context, t Ticket) (string, error) {
	if err := Sleep(ctx, 2*time.Second); err != nil {
		return "", &Error{Op: "execute job", Kind: Unavailable, Err: err}
	}
	return s.scripted.Execute(ctx, t)
}
