package feldera_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// watch follows the lives of a pipeline and the tables whose rows it has under way.
type watch struct {
	crashes  int
	under    map[string]bool
	most     int
	suspects map[string]bool // by the rule: what was under way at the crash, until it has passed
	beside   int             // how often something was under way beside a suspect
}

func (w *watch) see(e pipeline.Event) {
	switch e.What {
	case "rows":
		w.under[e.Table] = true
		w.most = max(w.most, len(w.under))
		for table := range w.under {
			if w.suspects[table] && len(w.under) > 1 {
				w.beside++
			}
		}
	case "complete":
		if w.under[e.Table] {
			delete(w.suspects, e.Table)
		}
		delete(w.under, e.Table)
	case "crash":
		w.crashes++
		w.suspects, w.under = w.under, map[string]bool{}
	}
}

// send delivers a batch of rows with ids from first on into a table.
func (r *rig) send(t *testing.T, table string, first int64) error {
	return r.sendBy(r.pusher(), t, table, first)
}

func (r *rig) sendBy(p *push.Pusher, t *testing.T, table string, first int64) error {
	rows := map[int64]string{}
	for id := first; id < first+3; id++ {
		rows[id] = "hunter2"
	}
	d := push.NewDelivery(pushtest.ConformTable(table), chunks(rows, nil))
	d.Jobs[0].Source = []push.Span{{Topic: "shop." + table, Partition: 2, First: first, End: first + 3}}
	return p.Run(t.Context(), d)
}

// post begins a batch whose rows are from offset first on.
func (r *rig) post(t *testing.T, table string, first int64, chunks []schema.Chunk) (push.Ticket, error) {
	ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable(table), Chunks: chunks, Source: []push.Span{{Topic: "shop." + table, First: first, End: first + 10}}})
	if err == nil {
		_, err = r.sink.Execute(t.Context(), ticket)
	}
	return ticket, err
}

var one = chunks(map[int64]string{1: "a"}, nil)

// TestPoison: a batch that kills the pipeline does so twice, whatever else is under way, and
// then its table is named and nothing of it is sent; all others go on. A new process tries
// again.
func TestPoison(t *testing.T) {
	for _, tc := range []struct {
		version  string
		attempts int
		named    bool
	}{{"0.337.0", 1, true}, {"0.291.0", 3, true}, {"0.291.0", 3, false}} { // the former with events
		synctest.Test(t, func(t *testing.T) {
			w := watch{under: map[string]bool{}}
			poison := true
			r := newRig(t, pipeline.Options{Enterprise: true, Version: tc.version, Lag: 3 * time.Second, Revive: 20 * time.Second, OnEvent: w.see,
				Panic: func(table string, row []any) bool { return poison && row[0] == int64(13) }}, func(o *feldera.Options) { o.Checkpoint = true })
			if !tc.named {
				r.open(t, unnamed(r.emu), func(o *feldera.Options) { o.Checkpoint = true })
			}
			var all sync.WaitGroup
			all.Go(func() {
				for i := range int64(20) {
					if err := r.send(t, "u", 100*i); err != nil {
						t.Errorf("u: %v", err)
					}
				}
			})
			all.Go(func() { // as the connector does, to see what a deployment has failed with
				for range 60 {
					time.Sleep(5 * time.Second)
					r.sink.State(t.Context())
				}
			})
			p := r.pusher()
			p.Attempts = tc.attempts
			err := r.sendBy(p, t, "t", 12)
			all.Wait()
			var e *push.Error
			if !errors.As(err, &e) || e.Kind != push.Rejected || strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("it ends with %v", err)
			}
			for _, want := range []string{"table t has killed the pipeline", "RuntimeError.WorkerPanic", "3 rows", "shop.t/2 offsets 12 to 14", "its program"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("it does not say %q: %v", want, err)
				}
			}
			if err := r.send(t, "t", 20); push.KindOf(err) != push.Rejected {
				t.Errorf("its next batch: %v", err)
			}
			if w.crashes != 2 || len(r.rows("u")) != 60 || len(r.rows("t")) != 0 {
				t.Errorf("%d crashes, %d rows in u, %d in t", w.crashes, len(r.rows("u")), len(r.rows("t")))
			}
			poison = false
			r.restart(t, nil)
			if err := r.send(t, "t", 12); err != nil || len(r.rows("t")) != 3 {
				t.Errorf("mended and started anew: %v", err)
			}
		})
	}
}

// TestSuspects: what was under way when the pipeline died goes alone until it has passed,
// and all others after it.
func TestSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := watch{under: map[string]bool{}}
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: 10 * time.Second, OnEvent: w.see}, nil)
		var program strings.Builder
		for i := range 5 {
			fmt.Fprintf(&program, "CREATE TABLE t%d (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR);", i)
		}
		r.emu.Create("shop", program.String())
		r.emu.Start("shop")
		r.restart(t, nil)
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				if i > 2 {
					time.Sleep(10 * time.Second)
				}
				for batch := range int64(3) {
					if err := r.send(t, fmt.Sprint("t", i), 10*batch); err != nil {
						t.Errorf("t%d: %v", i, err)
					}
				}
			})
		}
		time.Sleep(8 * time.Second)
		synctest.Wait()
		if w.most != 3 {
			t.Errorf("%d batches were under way at once", w.most)
		}
		r.emu.Crash("shop")
		r.emu.Start("shop")
		all.Wait()
		if w.beside > 0 || len(w.suspects) > 0 || w.most < 3 {
			t.Errorf("%d times something was under way beside a suspect; %v are suspect; %d were under way at once", w.beside, w.suspects, w.most)
		}
		for i := range 5 {
			if n := len(r.rows(fmt.Sprint("t", i))); n != 9 {
				t.Errorf("t%d has %d rows", i, n)
			}
		}
	})
}

// TestSuspectUntil: where all is read again, in other batches, a table is suspect until those
// up to where it was have passed.
func TestSuspectUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Lag: time.Minute}, nil)
		for _, table := range []string{"t", "u"} {
			ticket, err := r.post(t, table, 40, one)
			if err != nil {
				t.Fatal(err)
			}
			defer r.sink.Forget(ticket.ID)
		}
		r.emu.Crash("shop")
		r.emu.Start("shop")
		state, err := r.sink.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.sink.Accept(state)
		for _, tc := range []struct {
			first int64
			want  string // what keeps u from being sent beside it
		}{{0, "sent alone"}, {30, "sent alone"}, {40, "sent alone"}, {50, "when nothing else is"}} {
			ticket, err := r.post(t, "t", tc.first, one)
			if err != nil {
				t.Fatalf("from %d on: %v", tc.first, err)
			}
			if _, err := r.post(t, "u", 0, one); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("beside t from %d on: %v", tc.first, err)
			}
			time.Sleep(2 * time.Minute)
			if st, err := r.sink.Status(t.Context(), ticket); err != nil || st.State != push.Done {
				t.Errorf("from %d on it is %v: %v", tc.first, st.State, err)
			}
		}
		if _, err := r.post(t, "u", 0, one); err != nil {
			t.Error(err)
		}
	})
}

// TestSuspectMoves: a table is suspect no longer than this process has the partitions of what was
// under way; what another one has of it does not pass here. If they were given up while it was
// under way, or come back before anything was sent, that makes no difference.
func TestSuspectMoves(t *testing.T) {
	all := map[string][]int32{"shop.t": {0, 1}}
	for name, tc := range map[string]struct {
		before, after []map[string][]int32 // the failure
		alone         string               // whether its next batch of partition 0, and the one after it, go alone
	}{
		"before it died":      {before: []map[string][]int32{{"shop.t": {0}}}, alone: "true false"},
		"after it died":       {after: []map[string][]int32{{"shop.t": {0}}}, alone: "true false"},
		"all of them":         {after: []map[string][]int32{{"shop.u": {0, 1}}}, alone: "false false"},
		"none":                {before: []map[string][]int32{all}, alone: "true true"},
		"it comes back":       {after: []map[string][]int32{{"shop.t": {0}}, all}, alone: "true true"},
		"nobody has told any": {alone: "true true"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Enterprise: true}, nil)
			post := func(table string, source ...push.Span) (push.Ticket, error) {
				ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable(table), Chunks: one, Source: source})
				if err == nil {
					_, err = r.sink.Execute(t.Context(), ticket)
				}
				return ticket, err
			}
			r.emu.Stick("shop", true)
			if _, err := post("t", push.Span{Topic: "shop.t", First: 0, End: 10}, push.Span{Topic: "shop.t", Partition: 1, First: 0, End: 10}); err != nil {
				t.Fatal(err)
			}
			for _, has := range tc.before {
				r.sink.Assigned(has)
			}
			r.emu.Stick("shop", false)
			r.emu.Crash("shop")
			r.emu.Start("shop")
			for _, has := range tc.after {
				r.sink.Assigned(has)
			}
			var alone []string
			for first := range int64(2) {
				ticket, err := post("t", push.Span{Topic: "shop.t", First: 10 * first, End: 10*first + 10})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				u, err := post("u")
				if err != nil && !strings.Contains(err.Error(), "sent alone") {
					t.Fatalf("%s: beside it: %v", name, err)
				}
				alone = append(alone, fmt.Sprint(err != nil))
				if st, err := r.sink.Status(t.Context(), ticket); err != nil || st.State != push.Done {
					t.Fatalf("%s: it is %v: %v", name, st.State, err)
				}
				r.sink.Forget(u.ID)
			}
			if got := strings.Join(alone, " "); got != tc.alone {
				t.Errorf("%s: alone %s, want %s", name, got, tc.alone)
			}
		})
	}
}

// TestBegun: a batch that is there in part comes to its end, though a suspect waits for it.
func TestBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, nil)
		r.emu.Stick("shop", true)
		if _, err := r.post(t, "t", 0, one); err != nil {
			t.Fatal(err)
		}
		r.emu.Crash("shop")
		r.emu.Start("shop")
		r.emu.Inject("ingress", pipeline.Answer429, 2, 1) // after u's barrier and its first request
		u, err := r.post(t, "u", 0, append(one, one...))
		if err == nil {
			t.Fatal("no request of it has failed")
		}
		if _, err := r.post(t, "t", 0, one); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "table u still is") {
			t.Errorf("beside what is there in part: %v", err)
		}
		if _, err := r.sink.Execute(t.Context(), u); err != nil {
			t.Errorf("it does not go on: %v", err)
		}
	})
}

// TestGivenUpSuspect: a batch that was given up, while nobody had noticed yet that the pipeline
// had died over it, makes its table none of the suspects: nothing of it would ever pass.
func TestGivenUpSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, nil)
		slow := false
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			wait := slow
			slow = false
			if r.emu.ServeHTTP(w, req); wait {
				time.Sleep(30 * time.Second)
			}
		}), nil)
		r.emu.Inject("ingress", pipeline.After503, 1, 1) // after the barrier
		ticket, err := r.post(t, "t", 0, one)
		if push.KindOf(err) != push.Unavailable {
			t.Fatalf("of what was posted it is told %v", err)
		}
		r.emu.Crash("shop")
		r.emu.Start("shop")
		slow = true // as it looks at the pipeline
		time.AfterFunc(time.Second, func() { r.sink.Forget(ticket.ID) })
		if _, err := r.sink.Execute(t.Context(), ticket); push.KindOf(err) != push.Lost {
			t.Errorf("it ends with %v", err)
		}
		for _, table := range []string{"u", "t"} {
			if _, err := r.post(t, table, 0, one); err != nil {
				t.Errorf("%s: %v", table, err)
			}
		}
	})
}

// TestLostIsOver: a suspect does not wait for a batch of which the pipeline has said that its
// token is void, though whoever sent it comes back neither to repeat it nor to give it up.
func TestLostIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, nil)
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.HasSuffix(req.URL.Path, "/completion_status") && req.URL.Query().Get("token") == "void" {
				w.WriteHeader(http.StatusBadRequest)
				io.WriteString(w, `{"message":"","error_code":"UnknownEndpointInCompletionToken","details":{}}`)
				return
			}
			if strings.HasSuffix(req.URL.Path, "/ingress/u") && req.ContentLength > 0 {
				io.WriteString(w, `{"token":"void"}`)
				return
			}
			r.emu.ServeHTTP(w, req)
		}), nil)
		if _, err := r.post(t, "t", 0, one); err != nil {
			t.Fatal(err)
		}
		r.emu.Crash("shop")
		r.emu.Start("shop")
		u, err := r.post(t, "u", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.post(t, "t", 0, one); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "table u still is") {
			t.Errorf("beside what is under way: %v", err)
		}
		if _, err := r.sink.Status(t.Context(), u); push.KindOf(err) != push.Lost {
			t.Errorf("of what is under way it is told %v", err)
		}
		if _, err := r.post(t, "t", 0, one); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}
