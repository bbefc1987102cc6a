package feldera_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// TestConform holds the sink against what all sinks promise: of both editions, and of a version
// that has several queues for a table, under every failure of its calls.
func TestConform(t *testing.T) {
	for name, eo := range map[string]pipeline.Options{"open source": {}, "Enterprise": {Enterprise: true}, "before 0.275": {Version: "0.274.9"}} {
		eo.Lag, eo.Backlog = 3*time.Second, 5
		t.Run(name, func(t *testing.T) {
			pushtest.Conform(t, func(t *testing.T) pushtest.Target {
				edition := func(o *feldera.Options) { o.Checkpoint = eo.Enterprise }
				r := newRig(t, eo, edition)
				faults := map[string]func(){
					"paused": func() {
						r.emu.Pause("shop")
						time.AfterFunc(5*time.Minute, func() { r.emu.Resume("shop") })
					},
					"paused while it is posted": func() {
						r.emu.Inject("get", pipeline.LostBefore, 0, 1)
						time.AfterFunc(time.Second, func() { r.emu.Pause("shop") })
						time.AfterFunc(2*time.Minute, func() { r.emu.Resume("shop") })
					},
					"stuck output": func() {
						r.emu.Stick("shop", true)
						time.AfterFunc(10*time.Minute, func() { r.emu.Stick("shop", false) })
					},
					"full queues": func() {
						r.emu.Stick("shop", true)
						r.fill(4) // where there are fewer, the rest waits before them
						time.AfterFunc(3*time.Minute, func() { r.emu.Stick("shop", false) })
					},
				}
				for _, op := range []string{"ingress", "completion", "get", "config", "stats", "checkpoint", "checkpoint_status"} {
					for _, f := range []pipeline.Fault{pipeline.LostBefore, pipeline.LostAfter, pipeline.Answer500, pipeline.AnswerHTML, pipeline.Answer429,
						pipeline.Unreachable, pipeline.After503, pipeline.Late, pipeline.Cut, pipeline.Terminating, pipeline.Accepted, pipeline.Fails, pipeline.FailsLost} {
						if of := map[pipeline.Fault]string{pipeline.After503: "ingress", pipeline.Late: "ingress", pipeline.Cut: "ingress", pipeline.Fails: "checkpoint", pipeline.FailsLost: "checkpoint"}[f]; of == "" || of == op {
							faults[op+" "+string(f)] = func() { r.emu.Inject(op, f, 0, 1) }
							faults[op+" "+string(f)+" after the first"] = func() { r.emu.Inject(op, f, 1, 2) }
						}
					}
				}
				for op, effect := range map[string]bool{"ingress": true, "checkpoint": true, "completion": false, "get": false, "config": false, "stats": false, "checkpoint_status": false} {
					for _, f := range script.All[pipeline.Fault](effect) {
						faults[op+" "+string(f)] = func() { r.emu.Inject(op, f, 0, 1) }
					}
				}
				return pushtest.Target{Sink: r.sink,
					Again: func() push.Sink {
						r.restart(t, edition)
						return r.sink
					},
					Encode: func(_ string, rows map[int64]string, deleted []int64) []schema.Chunk { return chunks(rows, deleted) },
					Rows:   r.rows, Faults: faults,
					Refuse: func() { r.key = "apikey:wrong" }, Accept: func() { r.key = "apikey:secret" }}
			})
		})
	}
}

// TestStateLoss: nothing is sent to a pipeline that has forgotten what was delivered, until
// somebody has said that it may be; the edition with checkpoints has not.
func TestStateLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		if err := r.deliver(t, map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		before, err := r.sink.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.emu.Crash("shop")
		if _, err := r.sink.State(t.Context()); err == nil || !strings.Contains(err.Error(), "WorkerPanic") {
			t.Errorf("a pipeline that is down: %v", err)
		}
		r.emu.Start("shop")
		now, err := r.sink.State(t.Context())
		if err != nil || now == before {
			t.Fatalf("state %q after %q: %v", now, before, err)
		}
		_, err = r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{2: "b"}, nil)})
		if err == nil || !strings.Contains(err.Error(), "SLUICE_FELDERA_ON_STATE_LOSS=rewind all topics are read again") {
			t.Fatalf("sent to a pipeline that has forgotten: %v", err)
		}
		r.sink.Accept(now)
		if err := r.deliver(t, map[int64]string{2: "b"}); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(r.rows("t")); got != "map[2:b]" {
			t.Errorf("it has %s", got)
		}
	})
}

// TestRestartInFlight: a restart makes all tokens void; what was not DONE is sent again.
func TestRestartInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Minute}, func(o *feldera.Options) { o.Checkpoint = true })
		time.AfterFunc(100*time.Second, func() {
			r.emu.Crash("shop")
			r.emu.Start("shop")
		})
		if err := r.deliver(t, map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		r.emu.Crash("shop")
		r.emu.Start("shop")
		if got := fmt.Sprint(r.rows("t")); got != "map[1:a]" {
			t.Errorf("it has %s", got)
		}
	})
}

// TestRestartBetweenRequests: a batch whose first request went to a pipeline that is no more
// is sent again whole.
func TestRestartBetweenRequests(t *testing.T) {
	for _, checkpoint := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Enterprise: true, Lag: 3 * time.Second}, func(o *feldera.Options) { o.Checkpoint = checkpoint })
			if err := r.deliver(t, map[int64]string{0: "a"}); err != nil {
				t.Fatal(err)
			}
			r.emu.Inject("ingress", pipeline.LostBefore, 1, 1)
			time.AfterFunc(100*time.Millisecond, func() {
				r.emu.Crash("shop")
				r.emu.Start("shop")
			})
			two := append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{2: "b"}, nil)...)
			if err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), two)); err != nil {
				t.Fatal(err)
			}
			if got := r.rows("t"); got[1] != "a" || got[2] != "b" {
				t.Errorf("checkpoint %v: it has %v", checkpoint, got)
			}
		})
	}
}

// TestBrokenAnswer: an answer that quotes rows and broke off is not told in its own words.
func TestBrokenAnswer(t *testing.T) {
	answer := `{"message":"Errors parsing input data (1 errors):\nInvalid fragment: {\"v\":\"hunter2\"`
	sink, err := feldera.New(feldera.Options{URL: "http://feldera:8080", Pipeline: "shop"}, &pushtest.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, answer)
	})})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.State(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "broke off") {
		t.Errorf("it says %v", err)
	}
}

// TestTokens: a token that another process has noted is as good as the pipeline's life that
// gave it, and a job that went to two lives has none.
func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second}, nil)
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "a"}, nil)})
		if err != nil {
			t.Fatal(err)
		}
		if ticket.Token, err = r.sink.Execute(t.Context(), ticket); err != nil || ticket.Token == "" {
			t.Fatalf("%q %v", ticket.Token, err)
		}
		r.restart(t, nil)
		time.Sleep(2 * time.Second)
		if s, err := r.sink.Status(t.Context(), ticket); err != nil || s.State != push.Done {
			t.Errorf("%v %v", s.State, err)
		}
		r.emu.Stop("shop", true)
		r.emu.Start("shop")
		if _, err := r.sink.Status(t.Context(), ticket); push.KindOf(err) != push.Restarted {
			t.Errorf("after a restart of the pipeline: %v", err)
		}
		if _, err := r.sink.Status(t.Context(), push.Ticket{ID: ticket.ID, Table: "t"}); push.KindOf(err) != push.Lost {
			t.Errorf("without the token: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, nil)
		posted := 0
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/ingress/") {
				if posted++; posted == 3 { // after the barrier and the first of them
					r.emu.Stop("shop", true)
					r.emu.Start("shop")
				}
			}
			r.emu.ServeHTTP(w, req)
		}), nil)
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "a"}, []int64{2})})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := r.sink.Execute(t.Context(), ticket); err != nil || token != "" {
			t.Errorf("the first request went to a life that is over, the second to this one: %q %v", token, err)
		}
	})
}
