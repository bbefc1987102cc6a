package feldera_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// TestGhost: a request that was given up while the pipeline was paused is read when it goes
// on, and must not land after what was sent later, also if its sender is dead.
func TestGhost(t *testing.T) {
	for _, crash := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var seen []string
			r := newRig(t, pipeline.Options{OnRow: func(_, _ string, row []any) { seen = append(seen, fmt.Sprint(row[1])) }}, nil)
			if err := r.deliver(t, map[int64]string{1: "a"}); err != nil {
				t.Fatal(err)
			}
			ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "b"}, nil)})
			if err != nil {
				t.Fatal(err)
			}
			// It is paused after the sink has looked.
			done := make(chan error)
			r.emu.Inject("get", pipeline.Pausing, 0, 1)
			go func() {
				_, err := r.sink.Execute(t.Context(), ticket)
				done <- err
			}()
			time.Sleep(time.Minute)
			if err := <-done; err == nil || push.KindOf(err) != push.Unavailable {
				t.Fatalf("posted to a paused pipeline: %v", err)
			}
			time.AfterFunc(time.Hour, func() { r.emu.Resume("shop") })
			if crash {
				state, _ := r.sink.State(t.Context())
				r.restart(t, nil)
				for state == "" {
					time.Sleep(time.Second)
					state, _ = r.sink.State(t.Context())
				}
				r.sink.Accept(state)
			}
			if err := r.deliver(t, map[int64]string{1: "c"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			if got := strings.Join(seen, " "); got != "a b c" {
				t.Errorf("crash %v: readers saw %s", crash, got)
			}
		})
	}
}

// TestAmbiguousPost: whatever is heard of a request, and whenever its rows arrive, they do not
// land after what was sent later.
func TestAmbiguousPost(t *testing.T) {
	for _, f := range append(script.All[pipeline.Fault](true), pipeline.After503, pipeline.Late) {
		synctest.Test(t, func(t *testing.T) {
			var seen []string
			r := newRig(t, pipeline.Options{OnRow: func(_, _ string, row []any) { seen = append(seen, fmt.Sprint(row[1])) }}, nil)
			r.emu.Inject("ingress", f, 1, 2) // after the barrier
			for _, v := range []string{"a", "b", "c"} {
				d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: v}, nil))
				err := r.pusher().Run(t.Context(), d)
				for push.KindOf(err) == push.Unauthorized {
					err = r.pusher().Run(t.Context(), d)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			for range 60 { // the emulator works when it is asked
				time.Sleep(time.Second)
				r.rows("t")
			}
			if !slices.IsSorted(seen) || slices.Max(seen) != "c" {
				t.Errorf("%s: readers saw %s", f, strings.Join(seen, " "))
			}
		})
	}
}

// TestTakenBack: a table that another process had in between is settled anew, though what was
// waited for before is complete by now.
func TestTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Lag: time.Minute}, nil)
		first := sync.Once{}
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/ingress/") {
				first.Do(func() { r.fill(1) }) // what our barrier has to wait for
			}
			r.emu.ServeHTTP(w, req)
		}), nil)
		if _, err := r.post(t, "t", 0, one); err == nil || !strings.Contains(err.Error(), "not complete yet") {
			t.Fatalf("what was posted before is not waited for: %v", err)
		}
		ours := r.sink
		r.restart(t, nil)
		time.Sleep(2 * time.Minute)
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "b"}, nil)})
		for ; push.KindOf(err) == push.Unavailable && err != nil; time.Sleep(time.Second) {
			ticket, err = r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "b"}, nil)})
		}
		r.emu.Inject("get", pipeline.Pausing, 0, 1)
		if _, err := r.sink.Execute(t.Context(), ticket); err == nil {
			t.Fatal("posted to a paused pipeline")
		}
		r.sink = ours
		if _, err := r.sink.Status(t.Context(), ticket); push.KindOf(err) != push.Lost {
			t.Fatalf("the job of another process: %v", err)
		}
		r.emu.Resume("shop")
		if err := r.deliver(t, map[int64]string{1: "c"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if got := r.rows("t")[1]; got != "c" {
			t.Errorf("it has %q", got)
		}
	})
}

// TestTakenBackUnknown: the same where nothing beside the offsets names what the other process
// has posted, so that the connector asks for it to be over. It is waited for once, however often
// the table is looked at meanwhile.
func TestTakenBackUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Lag: time.Minute}, nil)
		if err := r.deliver(t, map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		ours := r.sink
		r.restart(t, nil)
		if err := r.deliver(t, map[int64]string{1: "a"}); err != nil { // so that it is settled there
			t.Fatal(err)
		}
		r.emu.Inject("get", pipeline.Pausing, 1, 1) // after it has prepared
		if _, err := r.post(t, "t", 0, chunks(map[int64]string{1: "b"}, nil)); err == nil {
			t.Fatal("posted to a paused pipeline")
		}
		r.sink = ours
		r.emu.Resume("shop")
		job := &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "c"}, nil), Settle: true}
		ticket, err := r.sink.Prepare(t.Context(), job)
		for tries := 0; err != nil; ticket, err = r.sink.Prepare(t.Context(), job) {
			if tries++; tries > 100 || push.KindOf(err) != push.Unavailable {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if _, err := r.sink.Execute(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
		for range 3 { // the emulator works when it is asked
			time.Sleep(time.Hour)
			r.rows("t")
		}
		if got := r.rows("t")[1]; got != "c" {
			t.Errorf("it has %q", got)
		}
	})
}

// TestPausedBetweenRequests: a pipeline that is paused after the first request of a batch gets
// the second one when it runs again, and not before.
func TestPausedBetweenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		early := 0
		handler := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/ingress/") && r.status() != "Running" {
				early++
			}
			r.emu.ServeHTTP(w, req)
		})
		r.open(t, handler, nil)
		r.emu.Inject("ingress", pipeline.Pausing, 1, 1) // after the barrier
		time.AfterFunc(time.Hour, func() { r.emu.Resume("shop") })
		two := append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{2: "b"}, nil)...)
		if err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), two)); err != nil {
			t.Fatal(err)
		}
		if got := r.rows("t"); got[1] != "a" || got[2] != "b" || early > 0 {
			t.Errorf("it has %v; %d requests were posted while it was paused", got, early)
		}
	})
}

// TestGivenUp: a job that its owner has given up is let go of with the table's next one.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		job := &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "a"}, nil)}
		first, err := r.sink.Prepare(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.sink.Prepare(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sink.Status(t.Context(), first); err == nil || push.KindOf(err) != push.Lost {
			t.Errorf("the first: %v", err)
		}
		if s, err := r.sink.Status(t.Context(), second); err != nil || s.State != push.New {
			t.Errorf("the second: %v %v", s.State, err)
		}
	})
}

// TestGivenUpMeanwhile: nothing is posted of a job that was given up, and followed by another,
// while it was about to be.
func TestGivenUpMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		var slow atomic.Bool
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			wait := slow.Swap(false)
			r.emu.ServeHTTP(w, req)
			if wait {
				time.Sleep(30 * time.Second)
			}
		}), nil)
		job := &push.Job{Table: pushtest.ConformTable("t"), Chunks: one}
		first, err := r.sink.Prepare(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		slow.Store(true) // it looks at the pipeline
		done := make(chan error)
		go func() {
			_, err := r.sink.Execute(t.Context(), first)
			done <- err
		}()
		time.Sleep(time.Second)
		if _, err := r.sink.Prepare(t.Context(), job); err != nil {
			t.Fatal(err)
		}
		if err := <-done; push.KindOf(err) != push.Lost {
			t.Errorf("it ends with %v", err)
		}
		time.Sleep(time.Second)
		if got := r.rows("t"); len(got) > 0 {
			t.Errorf("it has %v", got)
		}
	})
}

// TestOvertaking: where requests overtake each other, a job waits for what one that was given
// up has posted.
func TestOvertaking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Version: "0.274.0", Lag: time.Minute}, nil)
		if err := r.deliver(t, map[int64]string{0: "settled"}); err != nil {
			t.Fatal(err)
		}
		first, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "a"}, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sink.Execute(t.Context(), first); err != nil {
			t.Fatal(err)
		}
		r.sink.Forget(first.ID)
		if err := r.deliver(t, map[int64]string{1: "b"}); err != nil {
			t.Fatal(err)
		}
		if got := r.rows("t")[1]; got != "b" {
			t.Errorf("it has %q", got)
		}
	})
}

// TestTakenBackMeanwhile: that another process has posted to the pipeline's table, as is told of
// a table of the source that is the same one there, counts also where the lane is being settled
// just then.
func TestTakenBackMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		barriers := 0
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/ingress/") {
				barriers++
			}
			r.emu.ServeHTTP(w, req)
			if strings.HasSuffix(req.URL.Path, "/completion_status") {
				time.Sleep(10 * time.Second)
			}
		}), nil)
		time.AfterFunc(5*time.Second, func() {
			if _, err := r.sink.Status(t.Context(), push.Ticket{ID: "another", Table: "T"}); push.KindOf(err) != push.Lost {
				t.Errorf("of another's job it is told %v", err)
			}
		})
		for range 3 {
			if _, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: one}); err != nil {
				t.Fatal(err)
			}
		}
		if barriers != 2 {
			t.Errorf("it was settled %d times", barriers)
		}
	})
}
