package feldera_test

import (
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
