package feldera_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

const program = `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR);
CREATE TABLE u (id BIGINT NOT NULL, v VARCHAR, PRIMARY KEY (id));`

// rig is a sink on an emulator.
type rig struct {
	emu  *pipeline.Emulator
	sink *feldera.Sink
	key  string
}

func newRig(t *testing.T, eo pipeline.Options, change func(*feldera.Options)) *rig {
	t.Helper()
	eo.Key = "apikey:secret"
	r := &rig{emu: pipeline.New(eo), key: eo.Key}
	if err := r.emu.Create("shop", program); err != nil {
		t.Fatal(err)
	}
	r.emu.Start("shop")
	r.restart(t, change)
	return r
}

// restart makes a sink anew, as another process does.
func (r *rig) restart(t *testing.T, change func(*feldera.Options)) {
	t.Helper()
	r.open(t, r.emu, change)
}

// open makes the sink of what answers its requests.
func (r *rig) open(t *testing.T, handler http.Handler, change func(*feldera.Options)) {
	t.Helper()
	opt := feldera.Options{URL: "http://feldera:8080", Pipeline: "shop", RequestTimeout: time.Minute, Key: func() (string, error) { return r.key, nil }}
	if change != nil {
		change(&opt)
	}
	var err error
	if r.sink, err = feldera.New(opt, &pushtest.Transport{Handler: handler}); err != nil {
		t.Fatal(err)
	}
	if state, err := r.sink.State(t.Context()); err == nil {
		r.sink.Accept(state)
	}
}

// put gives the pipeline, which is stopped, another program.
func (r *rig) put(t *testing.T, program string) {
	t.Helper()
	w := httptest.NewRecorder()
	body, _ := json.Marshal(map[string]any{"name": "shop", "program_code": program})
	req := httptest.NewRequest("PUT", "/v0/pipelines/shop", bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+r.key)
	if r.emu.ServeHTTP(w, req); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// fill posts so many requests that fill a queue with deletes of rows that are not there, as a
// zombie might.
func (r *rig) fill(requests int) {
	for range requests {
		req := httptest.NewRequest("POST", "/v0/pipelines/shop/ingress/t?format=json&update_format=insert_delete&array=true", strings.NewReader(
			`[{"delete":{"id":-1}},{"delete":{"id":-2}},{"delete":{"id":-3}},{"delete":{"id":-4}},{"delete":{"id":-5}}]`))
		req.Header.Set("Authorization", "Bearer "+r.key)
		r.emu.ServeHTTP(httptest.NewRecorder(), req)
	}
}

// status is the pipeline's, as the manager tells it.
func (r *rig) status() string {
	w := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/v0/pipelines/shop?selector=status", nil)
	req.Header.Set("Authorization", "Bearer "+r.key)
	r.emu.ServeHTTP(w, req)
	var d struct {
		Status string `json:"deployment_status"`
	}
	json.Unmarshal(w.Body.Bytes(), &d)
	return d.Status
}

func chunks(rows map[int64]string, deleted []int64) (out []schema.Chunk) {
	array := func(op schema.Op, events []any) {
		if len(events) > 0 {
			b, _ := json.Marshal(events)
			out = append(out, schema.Chunk{Op: op, Rows: len(events), Data: b})
		}
	}
	var upserts, deletes []any
	for id, v := range rows {
		upserts = append(upserts, map[string]any{"insert": map[string]any{"id": id, "v": v}})
	}
	for _, id := range deleted {
		deletes = append(deletes, map[string]any{"delete": map[string]any{"id": id}})
	}
	array(schema.Upsert, upserts)
	array(schema.Delete, deletes)
	return out
}

func (r *rig) rows(table string) map[int64]string {
	rows := map[int64]string{}
	for _, row := range r.emu.Rows("shop", table) {
		rows[row[0].(int64)] = row[1].(string)
	}
	return rows
}

func (r *rig) pusher() *push.Pusher {
	return &push.Pusher{Sink: r.sink, Budget: push.NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""),
		PollInterval: time.Second, MaxPollInterval: 5 * time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
}

func (r *rig) deliver(t *testing.T, rows map[int64]string) error {
	t.Helper()
	return r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), chunks(rows, nil)))
}

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
		if err == nil || !strings.Contains(err.Error(), "SLUICE_FELDERA_ON_STATE_LOSS") {
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

// TestCheckpoint: with checkpoints, whatever is DONE outlives a crash.
func TestCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second}, func(o *feldera.Options) { o.Checkpoint = true })
		for i, v := range []string{"a", "b", "c"} {
			if err := r.deliver(t, map[int64]string{int64(i): v}); err != nil {
				t.Fatal(err)
			}
			r.emu.Crash("shop")
			r.emu.Start("shop")
			if got := r.rows("t"); len(got) != i+1 {
				t.Fatalf("after crash %d it has %v", i, got)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, func(o *feldera.Options) { o.Checkpoint = true })
		if _, err := r.sink.State(t.Context()); err == nil || !strings.Contains(err.Error(), "SLUICE_FELDERA_CHECKPOINT") {
			t.Errorf("checkpoints of an edition without: %v", err)
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

// TestAppended: rows without a key are not sent a second time, whatever became of a request.
func TestAppended(t *testing.T) {
	for _, f := range []pipeline.Fault{pipeline.LostAfter, pipeline.After503, pipeline.LostBefore} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
			r.emu.Start("shop")
			r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
			r.emu.Inject("ingress", f, 1, 1) // after the barrier
			d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: "a"}, nil))
			d.Once = true
			if err := r.pusher().Run(t.Context(), d); err == nil || push.KindOf(err) != push.Rejected {
				t.Errorf("%s: %v", f, err)
			}
			if n := len(r.emu.Rows("shop", "t")); n > 1 {
				t.Errorf("%s: %d rows", f, n)
			}
		})
	}
}

// TestAppendedInParts: what surely was not taken of a batch whose rows have no key is sent
// when it can be.
func TestAppendedInParts(t *testing.T) {
	for fault, skip := range map[pipeline.Fault]int{pipeline.Answer429: 2, pipeline.Pausing: 1} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
			r.emu.Start("shop")
			r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
			r.emu.Inject("ingress", fault, skip, 1) // after the barrier and the first request, or with that
			time.AfterFunc(time.Hour, func() { r.emu.Resume("shop") })
			d := push.NewDelivery(pushtest.ConformTable("t"), append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{2: "b"}, nil)...))
			d.Once = true
			if err := r.pusher().Run(t.Context(), d); err != nil {
				t.Errorf("%s: %v", fault, err)
			}
			if n := len(r.emu.Rows("shop", "t")); n != 2 || r.emu.Counts().Faults != 1 {
				t.Errorf("%s: %d rows", fault, n)
			}
		})
	}
}

// TestAppendedAndRefused: of a batch whose rows have no key, and of which some are there, nothing
// is sent again because others are refused.
func TestAppendedAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
		r.emu.Start("shop")
		r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
		d := push.NewDelivery(pushtest.ConformTable("t"), append(chunks(map[int64]string{1: "a"}, nil),
			schema.Chunk{Op: schema.Upsert, Rows: 1, Data: []byte(`[{"insert":{"id":"x"}}]`), Records: []schema.Record{{}}}))
		d.Once = true
		var refused *push.Refused
		if err := r.pusher().Run(t.Context(), d); push.KindOf(err) != push.Rejected || errors.As(err, &refused) {
			t.Errorf("it ends with %v", err)
		}
		if n := len(r.emu.Rows("shop", "t")); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
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

// TestLongRequests: what the pipeline does not read in time is sent in halves, and what
// follows as well, until ten have been taken.
func TestLongRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Inject("ingress", pipeline.Unreachable, 1, 1)
		rows := map[int64]string{}
		for i := range int64(7) {
			rows[i] = `"},]{[\` + fmt.Sprint(i)
		}
		if err := r.deliver(t, rows); err != nil {
			t.Fatal(err)
		}
		if got := r.rows("t"); fmt.Sprint(got) != fmt.Sprint(rows) {
			t.Errorf("it has %v", got)
		}
		posts := r.emu.Counts().Posts
		if posts != 4 { // two barriers, and two halves
			t.Errorf("%d requests", posts)
		}
		for _, want := range []int{2, 2, 2, 2, 1, 1} {
			if err := r.deliver(t, rows); err != nil {
				t.Fatal(err)
			}
			n := r.emu.Counts().Posts
			if n-posts != want {
				t.Errorf("%d requests for seven rows, want %d", n-posts, want)
			}
			posts = n
		}
	})
}

// TestOwnDeadline: that we had no more time for a request says nothing of its length.
func TestOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		wait := time.Duration(0)
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/ingress/") {
				time.Sleep(wait)
			}
			r.emu.ServeHTTP(w, req)
		}), nil)
		rows := map[int64]string{1: "a", 2: "b", 3: "c"}
		if err := r.deliver(t, rows); err != nil {
			t.Fatal(err)
		}
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(rows, nil)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		wait = 10 * time.Second
		if _, err := r.sink.Execute(ctx, ticket); err == nil {
			t.Fatal("it had the time")
		}
		wait = 0
		time.Sleep(time.Minute)
		posts := r.emu.Counts().Posts
		if err := r.deliver(t, rows); err != nil {
			t.Fatal(err)
		}
		if n := r.emu.Counts().Posts - posts; n != 2 { // a barrier, and the rows
			t.Errorf("%d requests", n)
		}
	})
}

// TestTables: a table that the pipeline would take in part, or twice, is refused with the
// remedy, before anything is sent.
func TestTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Create("shop", `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, "V" VARCHAR NOT NULL, d DECIMAL(10,2), ts TIMESTAMP, b VARBINARY, j VARIANT, u BIGINT UNSIGNED, iv INTERVAL DAY TO SECOND, l BIGINT ARRAY, def INT NOT NULL DEFAULT 5);
			CREATE TABLE "Ta" (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)); CREATE TABLE bag (a INT); CREATE TABLE heap (a INT);`)
		r.emu.Start("shop")
		r.restart(t, func(o *feldera.Options) { o.Append = func(table string) bool { return table == "bag" } })
		col := func(name string, k schema.Kind, key bool) schema.Column {
			return schema.Column{Name: name, Type: schema.Type{Kind: k}, Key: key}
		}
		decimal := func(name string, precision, scale int) schema.Column {
			return schema.Column{Name: name, Type: schema.Type{Kind: schema.String, Precision: precision, Scale: scale}}
		}
		id, v := col("ID", schema.Integer, true), col("V", schema.String, false)
		for _, tc := range []struct {
			table   string
			columns []schema.Column
			want    string // "": it is taken
		}{
			{"t", []schema.Column{id, v}, ""},
			{"T", []schema.Column{id, v, decimal("d", 10, 2), col("ts", schema.DateTime, false), col("J", schema.Float, false)}, ""},
			{"t", []schema.Column{id, col("v", schema.String, false)}, "column v is not in the pipeline"},
			{"t", []schema.Column{id}, "column V of the pipeline is NOT NULL"},
			{"t", []schema.Column{id, col("V", schema.Unknown, false)}, ""}, // so far each row has NULL there, and is refused for it
			{"t", []schema.Column{id, v, col("x", schema.Integer, false)}, "column x is not in the pipeline"},
			{"t", []schema.Column{col("id", schema.Integer, false), v}, "its key is ()"},
			{"t", []schema.Column{id, v, col("d", schema.String, false)}, "column d is STRING here and DECIMAL(10, 2) in the pipeline"},
			{"t", []schema.Column{id, v, decimal("d", 10, 4)}, "column d is DECIMAL(10, 4) here and DECIMAL(10, 2) in the pipeline"}, // which would cut two digits
			{"t", []schema.Column{id, v, col("d", schema.Float, false)}, "column d is FLOAT here"},
			{"t", []schema.Column{id, v, decimal("d", 38, 1), decimal("u", 20, 0)}, ""}, // of too many digits the pipeline says so
			{"t", []schema.Column{id, v, decimal("u", 20, 1)}, "column u is DECIMAL(20, 1) here and UBIGINT"},
			{"t", []schema.Column{id, v, col("iv", schema.String, false)}, "column iv is STRING here and INTERVAL"},
			{"t", []schema.Column{id, v, col("l", schema.Integer, false)}, "column l is INTEGER here and BIGINT ARRAY"},
			{"t", []schema.Column{id, v, col("ts", schema.Integer, false)}, "column ts is INTEGER"},
			{"Ta", []schema.Column{col("b", schema.Integer, true), col("a", schema.Integer, true)}, ""},
			{"Ta", []schema.Column{col("b", schema.Integer, false), col("a", schema.Integer, true)}, "(a), and PRIMARY KEY in the pipeline is (a, b)"},
			{"ta", nil, "no such table"},
			{"bag", []schema.Column{col("a", schema.Integer, false)}, ""},
			{"heap", []schema.Column{col("a", schema.Integer, false)}, "it has no key, neither here nor in the pipeline (a row that is sent again would stand there twice: declare PRIMARY KEY in the pipeline's program and set tables.heap.keys in the tables file; or set tables.heap.append: true there"},
			{"heap", []schema.Column{col("a", schema.Integer, true)}, "its key is (a), and PRIMARY KEY in the pipeline is ()"},
			{"nowhere", nil, "no such table"},
		} {
			_, err := r.sink.Prepare(t.Context(), &push.Job{Table: &schema.Table{Name: tc.table, Columns: tc.columns}})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s %v: %v", tc.table, tc.columns, err)
			case tc.want != "" && (err == nil || push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s %v: %v, want %s", tc.table, tc.columns, err, tc.want)
			}
		}
	})
}

// TestOtherProgram: rows that were written for a column of one type are not posted to a column
// of another one; they are made anew. What the program's change does not concern is posted.
func TestOtherProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, nil)
		table := pushtest.ConformTable("t")
		encode := func() []schema.Chunk {
			for i := range table.Columns {
				r.sink.Form("t", &table.Columns[i])
			}
			return chunks(map[int64]string{1: "a"}, nil)
		}
		change := func(kind string) {
			t.Helper()
			r.emu.Stop("shop", false)
			r.put(t, strings.ReplaceAll(program, "v VARCHAR", "v "+kind))
			r.emu.Start("shop")
		}
		deliver := func(d *push.Delivery) push.Kind {
			if err := r.pusher().Run(t.Context(), d); err != nil {
				return push.KindOf(err)
			}
			return push.Unavailable
		}
		d := push.NewDelivery(table, encode())
		change("VARIANT")
		if kind := deliver(d); kind != push.Lost {
			t.Errorf("changed before the job was made: %v", kind)
		}
		d = push.NewDelivery(table, encode())
		d.Bind = func(context.Context, push.Ticket, int, int) error {
			change("VARCHAR(10)")
			return nil
		}
		if kind := deliver(d); kind != push.Lost {
			t.Errorf("changed before the job was posted: %v", kind)
		}
		if n := len(r.rows("t")); n > 0 {
			t.Errorf("%d rows are there", n)
		}
		d = push.NewDelivery(table, encode())
		d.Bind = func(context.Context, push.Ticket, int, int) error {
			d.Bind = nil
			change("VARCHAR(20)")
			return nil
		}
		if err := r.pusher().Run(t.Context(), d); err != nil || r.rows("t")[1] != "a" {
			t.Errorf("a change that does not concern it: %v, it has %v", err, r.rows("t"))
		}
	})
}

// TestDeletesOfUnknownColumns: deletes are sent though no row has told the columns yet.
func TestDeletesOfUnknownColumns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Create("shop", `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR NOT NULL);`)
		r.emu.Start("shop")
		r.restart(t, nil)
		table := &schema.Table{Name: "t", Columns: []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}}}
		if err := r.pusher().Run(t.Context(), push.NewDelivery(table, chunks(nil, []int64{1}))); err != nil {
			t.Error(err)
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
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(map[int64]string{1: "a"}, []int64{2})})
		if err != nil {
			t.Fatal(err)
		}
		r.emu.Inject("ingress", pipeline.LostAfter, 1, 1) // the second request
		if token, err := r.sink.Execute(t.Context(), ticket); err == nil {
			t.Fatalf("%q though a request failed", token)
		}
		r.emu.Stop("shop", true)
		r.emu.Start("shop")
		if token, err := r.sink.Execute(t.Context(), ticket); err != nil || token != "" {
			t.Errorf("the first request went to a life that is over, the second to this one: %q %v", token, err)
		}
	})
}

// TestCheckpointOfALifeThatIsOver: that it is not to be had any more says nothing of what was
// posted since.
func TestCheckpointOfALifeThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posted := 0
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second, OnEvent: func(e pipeline.Event) { posted += e.Rows }},
			func(o *feldera.Options) { o.Checkpoint = true })
		r.emu.Inject("checkpoint_status", pipeline.Answer500, 0, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: "a"}, nil))
		if err := r.pusher().Run(ctx, d); err == nil {
			t.Fatal("it is DONE without a checkpoint")
		}
		r.emu.Heal()
		r.emu.Stop("shop", true)
		r.emu.Start("shop")
		posted = 0
		if err := r.deliver(t, map[int64]string{1: "b"}); err != nil || posted != 1 {
			t.Errorf("%v, %d rows were posted", err, posted)
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

// TestVersions: what is too old is refused, and what does not keep the order of requests
// gets one at a time.
func TestVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Version: "0.47.3"}, nil)
		if _, err := r.sink.State(t.Context()); err == nil || push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), "0.48") {
			t.Errorf("0.47: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var under, most int
		r := newRig(t, pipeline.Options{Version: "0.274.0", Lag: time.Minute, OnEvent: func(e pipeline.Event) {
			switch e.What {
			case "rows":
				under++
				most = max(most, under)
			case "complete":
				under = 0
			}
		}}, nil)
		two := append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{1: "b"}, nil)...)
		if err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), two)); err != nil {
			t.Fatal(err)
		}
		if most != 1 {
			t.Errorf("%d requests under way at once", most)
		}
		if r.rows("t")[1] != "b" {
			t.Errorf("it has %v", r.rows("t"))
		}
	})
}
