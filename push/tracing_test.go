package push

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/sluice-cdc/sluice/schema"
)

// TestWaitSpans: what a batch waits for because the target or the hour has no submission
// left is a span of its own, and the batch's tells the sum; the target's words are in none.
func TestWaitSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorder := tracetest.NewSpanRecorder()
		tracer := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("")
		budget := NewBudget(2, 0)
		for range 2 {
			budget.Retry(time.Now()) // the hour is spent
		}
		next := budget.hour.Add(time.Hour)
		p := &Pusher{Sink: &scripted{
			execute: func(n int) error {
				if n == 1 {
					return &Error{Op: "execute job", Kind: Throttled, Status: 429, RetryAfter: 10 * time.Minute, Message: "row-data"}
				}
				return nil
			},
			status: func(int) (Status, error) { return Status{State: Failed, Logs: []string{"row-data is too long"}}, nil },
		}, Budget: budget, Tracer: tracer, PollInterval: time.Second, MaxPollInterval: time.Second, Attempts: 1, MinBackoff: time.Second, MaxBackoff: time.Minute}
		begin := time.Now()
		ctx, root := tracer.Start(t.Context(), "process")
		d := NewDelivery(&schema.Table{Name: "t"}, []schema.Chunk{{}})
		d.Waited = time.Minute // before it was sealed
		err := p.Run(ctx, d)
		if err == nil || !strings.Contains(err.Error(), "row-data") {
			t.Fatal(err)
		}
		Fail(root, err)
		root.End()
		var waits []time.Duration
		var executions []string
		for _, s := range recorder.Ended() {
			if strings.Contains(s.Status().Description, "row-data") {
				t.Errorf("span %q tells %s", s.Name(), s.Status().Description)
			}
			switch s.Name() {
			case "wait for budget":
				waits = append(waits, s.EndTime().Sub(s.StartTime()))
			case "execute":
				executions = append(executions, s.Status().Description)
			}
		}
		if len(waits) != 2 || waits[0] != 10*time.Minute || waits[1] != next.Sub(begin.Add(10*time.Minute)) {
			t.Errorf("waits %v", waits)
		}
		if len(executions) != 2 || executions[0] != "execute job: throttled, HTTP 429" || executions[1] != "" {
			t.Errorf("executions %q", executions)
		}
		at := attribute.NewSet(root.(sdktrace.ReadOnlySpan).Attributes()...)
		for key, want := range map[attribute.Key]any{"sluice.budget.wait": (waits[0] + waits[1] + time.Minute).Seconds(), "sluice.job.attempts": int64(2),
			"sluice.job.id": "j", "error.type": "rejected"} {
			if v, _ := at.Value(key); v.AsInterface() != want {
				t.Errorf("%s is %v, want %v", key, v.AsInterface(), want)
			}
		}
		if s := root.(sdktrace.ReadOnlySpan).Status(); s.Code != codes.Error || s.Description != "job j: rejected" {
			t.Errorf("%v", s)
		}
	})
}
