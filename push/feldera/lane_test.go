package feldera_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
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

// TestQueueOfEachWorker: before 0.275 an empty body says nothing of what lies in the queue of
// another worker. What another process has posted there is waited for all the same, also if it
// comes at the last moment.
func TestQueueOfEachWorker(t *testing.T) {
	for _, last := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Version: "0.274.0", Lag: time.Second}, nil)
			r.emu.Stick("shop", true)
			theirs, first := r.sink, sync.Once{}
			post := func() {
				ticket, err := theirs.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: one})
				if err == nil {
					_, err = theirs.Execute(t.Context(), ticket)
				}
				if err != nil {
					t.Error(err)
				}
			}
			if !last {
				post()
			}
			r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if last && strings.Contains(req.URL.Path, "/ingress/") {
					first.Do(post)
				}
				r.emu.ServeHTTP(w, req)
			}), nil)
			time.AfterFunc(10*time.Minute, func() { r.emu.Stick("shop", false) })
			if err := r.deliver(t, map[int64]string{1: "b"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if got := r.rows("t")[1]; got != "b" {
				t.Errorf("at the last moment %v: it has %q", last, got)
			}
		})
	}
}

// TestBacklog: requests that lie before a full queue are given up by the manager, and read one
// after the other when there is room. What another process sends comes after them.
func TestBacklog(t *testing.T) {
	for version, queues := range map[string]int{"0.337.0": 1, "0.274.0": 4} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Version: version, Backlog: 1, Lag: 1200 * time.Millisecond}, nil)
			var begun []func() error
			for _, v := range []string{"a", "b"} {
				r.restart(t, nil)
				sink := r.sink
				ticket, err := sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: v}, nil)})
				if err != nil {
					t.Fatal(err)
				}
				begun = append(begun, func() error {
					_, err := sink.Execute(t.Context(), ticket)
					return err
				})
			}
			r.emu.Stick("shop", true)
			time.AfterFunc(10*time.Minute, func() { r.emu.Stick("shop", false) })
			r.fill(queues)
			for _, execute := range begun {
				if err := execute(); err == nil {
					t.Fatal("a full queue took it")
				}
			}
			clock, done := time.NewTicker(100*time.Millisecond), make(chan bool)
			defer close(done)
			go func() { // the pipeline works while nobody asks it
				for {
					select {
					case <-clock.C:
						r.rows("t")
					case <-done:
						return
					}
				}
			}()
			r.restart(t, nil)
			if err := r.deliver(t, map[int64]string{1: "c"}); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				time.Sleep(time.Second)
				if got := r.rows("t")[1]; got != "c" {
					t.Fatalf("%s: it has %q", version, got)
				}
			}
		})
	}
}
