package push

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/schema"
)

// deleting is a sink whose jobs are gone once they are discarded.
type deleting struct {
	scripted
	gone bool
}

func (s *deleting) Prepare(ctx context.Context, j *Job) (Ticket, error) {
	s.gone = false
	return s.scripted.Prepare(ctx, j)
}

func (s *deleting) Discard(context.Context, Ticket) error {
	s.gone = true
	return nil
}

func (s *deleting) Status(ctx context.Context, t Ticket) (Status, error) {
	if s.gone {
		return Status{}, &Error{Op: "get job", Kind: Lost, Status: 404}
	}
	return s.scripted.Status(ctx, t)
}

// TestEnded: each job's end is told once, with the time since its execution was accepted,
// and the budget has counted each submission.
func TestEnded(t *testing.T) {
	gone := &Error{Op: "get job", Kind: Lost, Status: 404}
	refused := &Error{Op: "execute job", Kind: Rejected, Status: 400}
	accept := func(int) error { return nil }
	always := func(s State) func(int) (Status, error) {
		return func(n int) (Status, error) {
			if n%3 != 0 {
				return Status{State: Running}, nil // twice each time, over five seconds
			}
			return Status{State: s}, nil
		}
	}
	for _, tc := range []struct {
		name  string
		sink  *scripted
		want  string
		spent int64
	}{
		{"two jobs of a batch", &scripted{execute: accept, status: always(Done)}, "[done 5s done 5s]", 2},
		{"failed", &scripted{execute: accept, status: always(Failed)}, "[error 5s error 5s]", 2},
		{"canceled at the target", &scripted{execute: accept, status: always(Canceled)}, "[canceled 5s canceled 5s]", 2},
		{"gone", &scripted{execute: accept, status: func(int) (Status, error) { return Status{}, gone }}, "[lost 0s lost 0s]", 2},
		// Asked after 2 s, 3 s more, and so on by half more up to 30 s, until 5 min are over.
		{"overdue", &scripted{execute: accept, status: func(int) (Status, error) { return Status{State: Running}, nil }}, "[canceled 5m4.34375s canceled 5m4.34375s]", 2},
		{"refused", &scripted{execute: func(int) error { return refused }, status: func(int) (Status, error) { return Status{State: New}, nil }}, "[refused 0s refused 0s]", 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				budget := NewBudget(250, 25)
				p := &Pusher{Sink: &deleting{scripted: *tc.sink}, Budget: budget, Tracer: noop.NewTracerProvider().Tracer(""), Deadline: 5 * time.Minute, Overdue: OverdueCancel,
					PollInterval: 2 * time.Second, MaxPollInterval: 30 * time.Second, Attempts: 2, MinBackoff: time.Second, MaxBackoff: time.Minute}
				d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}}, []schema.Chunk{{}})
				budget.Grant(time.Now())
				var got []any
				d.Ended = func(_ context.Context, table string, outcome Outcome, took time.Duration) {
					if table != "t" {
						t.Errorf("of table %q", table)
					}
					got = append(got, outcome, took)
				}
				p.Run(t.Context(), d)
				if s := fmt.Sprint(got); s != tc.want {
					t.Errorf("%s, want %s", s, tc.want)
				}
				if budget.Spent() != tc.spent || budget.Limit() != 250 {
					t.Errorf("%d spent, want %d", budget.Spent(), tc.spent)
				}
			})
		})
	}
}
