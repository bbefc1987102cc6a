package pushtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// Target is a sink, and what lies behind it, for Conform. Its table "t" has the integer
// key "id" and the text "v", and "u" is the same.
type Target struct {
	Sink push.Sink
	// Again makes the sink of another process.
	Again func() push.Sink
	// Encode makes the files of a job: rows by key, and the keys of those that are deleted.
	Encode func(table string, rows map[int64]string, deleted []int64) []schema.Chunk
	// Rows returns what a reader of the target sees now.
	Rows func(table string) map[int64]string
	// Faults are ways to let the next call of that kind fail which pass by themselves.
	Faults map[string]func()
	// Refuse has the target refuse the credentials, until Accept.
	Refuse, Accept func()
}

// Conform holds a sink against what push.Sink promises and Pusher relies on. make is called
// for each test, in a bubble of virtual time.
func Conform(t *testing.T, make func(*testing.T) Target) {
	run := func(name string, f func(*testing.T, Target)) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, make(t)) })
		})
	}
	run("a job shows when it is done", func(t *testing.T, x Target) {
		ticket, err := x.Sink.Prepare(t.Context(), x.job("t", map[int64]string{1: "a", 2: "b"}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if s, err := x.Sink.Status(t.Context(), ticket); err != nil || s.State != push.New {
			t.Fatalf("prepared: %v %v", s.State, err)
		}
		if len(x.Rows("t")) > 0 {
			t.Fatal("it shows before it is executed")
		}
		if _, err := x.Sink.Execute(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
		x.done(t, ticket)
		x.want(t, "t", map[int64]string{1: "a", 2: "b"})
		if s, err := x.Sink.Status(t.Context(), ticket); err != nil || s.State != push.Done {
			t.Errorf("asked again: %v %v", s.State, err)
		}
	})
	run("a job that is discarded is gone", func(t *testing.T, x Target) {
		ticket, err := x.Sink.Prepare(t.Context(), x.job("t", map[int64]string{1: "a"}))
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := x.Sink.Discard(t.Context(), ticket); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := x.Sink.Status(t.Context(), ticket); err == nil || push.KindOf(err) != push.Lost {
			t.Errorf("its status: %v", err)
		}
		if _, err := x.Sink.Execute(t.Context(), ticket); err == nil {
			t.Error("it was executed all the same")
		}
		time.Sleep(time.Minute)
		x.want(t, "t", map[int64]string{})
	})
	run("a job of another process is adopted or gone", func(t *testing.T, x Target) {
		d := push.Adopt(push.Ticket{ID: "0f0e0d0c-0000-0000-0000-000000000000", Table: "t"}, true)
		if err := x.pusher().Run(t.Context(), d); err == nil || push.KindOf(err) != push.Lost {
			t.Errorf("a job that nobody knows: %v", err)
		}
	})
	run("a job that another process has executed is not sent again", func(t *testing.T, x Target) {
		x.deliver(t, "t", map[int64]string{7: "old"})
		ticket, err := x.Sink.Prepare(t.Context(), x.job("t", map[int64]string{1: "a"}, 7))
		if err != nil {
			t.Fatal(err)
		}
		for {
			if ticket.Token, err = x.Sink.Execute(t.Context(), ticket); err == nil {
				break
			}
			if s, err := x.Sink.Status(t.Context(), ticket); err != nil || s.State != push.New {
				t.Fatalf("a part is posted: %v %v", s.State, err)
			}
			time.Sleep(time.Second)
		}
		p := x.pusher()
		p.Sink = x.Again()
		if err := p.Run(t.Context(), push.Adopt(ticket, true)); err != nil {
			t.Errorf("it is adopted: %v", err)
		}
		x.want(t, "t", map[int64]string{1: "a"})
	})
	run("batches of a table land in their order", func(t *testing.T, x Target) {
		x.deliver(t, "t", map[int64]string{1: "a", 2: "a", 3: "a"})
		x.deliver(t, "t", map[int64]string{2: "b", 4: "b"}, 1)
		x.deliver(t, "t", map[int64]string{1: "c"}, 4, 99)
		x.want(t, "t", map[int64]string{1: "c", 2: "b", 3: "a"})
	})
	run("tables go side by side", func(t *testing.T, x Target) {
		var wg sync.WaitGroup
		for _, table := range []string{"t", "u"} {
			wg.Go(func() {
				for i := range int64(3) {
					x.deliver(t, table, map[int64]string{i: table})
				}
			})
		}
		wg.Wait()
		for _, table := range []string{"t", "u"} {
			x.want(t, table, map[int64]string{0: table, 1: table, 2: table})
		}
	})
	run("refused credentials", func(t *testing.T, x Target) {
		x.Refuse()
		d := x.delivery("t", map[int64]string{1: "a"})
		if err := x.pusher().Run(t.Context(), d); err == nil || push.KindOf(err) != push.Unauthorized {
			t.Fatalf("it ends with %v", err)
		}
		x.Accept()
		if err := x.pusher().Run(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		x.want(t, "t", map[int64]string{1: "a"})
	})
	run("an end of the context", func(t *testing.T, x Target) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := x.pusher().Run(ctx, x.delivery("t", map[int64]string{1: "a"})); !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
	})
	faults := map[string]bool{}
	synctest.Test(t, func(t *testing.T) {
		for name := range make(t).Faults {
			faults[name] = true
		}
	})
	for name := range faults {
		for nth := range 3 { // of three batches
			run(fmt.Sprintf("%s at batch %d", name, nth+1), func(t *testing.T, x Target) {
				want := map[int64]string{}
				for i := range 3 {
					if i == nth {
						x.Faults[name]()
					}
					rows := map[int64]string{0: fmt.Sprint("version ", i), int64(10 + i): "own"}
					maps.Copy(want, rows)
					x.deliver(t, "t", rows)
					x.want(t, "t", want)
				}
				time.Sleep(5 * time.Minute) // for whatever comes late
				x.want(t, "t", want)
			})
		}
	}
}

func (x *Target) pusher() *push.Pusher {
	return &push.Pusher{Sink: x.Sink, Budget: push.NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""),
		PollInterval: 2 * time.Second, MaxPollInterval: 30 * time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
}

func (x *Target) job(table string, rows map[int64]string, deleted ...int64) *push.Job {
	return &push.Job{Table: ConformTable(table), Chunks: x.Encode(table, rows, deleted)}
}

// ConformTable is a table of Conform's.
func ConformTable(name string) *schema.Table {
	return &schema.Table{Name: name, Columns: []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}, {Name: "v", Type: schema.Type{Kind: schema.String}}}}
}

func (x *Target) delivery(table string, rows map[int64]string, deleted ...int64) *push.Delivery {
	j := x.job(table, rows, deleted...)
	return push.NewDelivery(j.Table, j.Chunks)
}

func (x *Target) deliver(t *testing.T, table string, rows map[int64]string, deleted ...int64) {
	t.Helper()
	d := x.delivery(table, rows, deleted...)
	err := x.pusher().Run(t.Context(), d)
	for again := 0; again < 3 && push.KindOf(err) == push.Unauthorized; again++ { // as the connector does
		time.Sleep(time.Minute)
		err = x.pusher().Run(t.Context(), d)
	}
	if err != nil {
		t.Errorf("%s %v: %v", table, rows, err)
	}
}

func (x *Target) done(t *testing.T, ticket push.Ticket) {
	t.Helper()
	for range 100 {
		s, err := x.Sink.Status(t.Context(), ticket)
		if err == nil && s.State == push.Done {
			return
		}
		if err != nil || s.State.Final() {
			t.Fatalf("it ends in %v, %v %v", s.State, err, s.Logs)
		}
		time.Sleep(5 * time.Second)
	}
	t.Fatal("it never ends")
}

func (x *Target) want(t *testing.T, table string, rows map[int64]string) {
	t.Helper()
	if got := x.Rows(table); !maps.Equal(got, rows) {
		t.Errorf("table %s has %v, want %v", table, got, rows)
	}
}
