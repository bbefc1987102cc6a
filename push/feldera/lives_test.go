package feldera_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// unnamed is a pipeline that does not tell one of its deployments from the next: deployment_id
// may be null.
func unnamed(next http.Handler) http.Handler {
	id := regexp.MustCompile(`"deployment_id":"[^"]*"`)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasSuffix(req.URL.Path, "/pipelines/shop") {
			next.ServeHTTP(w, req)
			return
		}
		seen := httptest.NewRecorder()
		next.ServeHTTP(seen, req)
		w.WriteHeader(seen.Code)
		w.Write(id.ReplaceAll(seen.Body.Bytes(), []byte(`"deployment_id":null`)))
	})
}

// TestOrderlyRestarts: whoever stops a pipeline, and starts it again, has nobody suspected:
// a crash afterwards is the first one. Where nothing tells which of them it was, each is an
// attempt.
func TestOrderlyRestarts(t *testing.T) {
	for _, force := range []bool{false, true} {
		for _, named := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Minute}, nil)
				p := r.pusher()
				if !named {
					r.open(t, unnamed(r.emu), nil)
					p = r.pusher()
					p.Attempts = 5
				}
				r.emu.Crash("shop") // of what is not ours
				r.emu.Start("shop")
				for i := range 3 {
					time.AfterFunc(time.Duration(i+1)*40*time.Second, func() {
						if r.emu.Stop("shop", force); i == 2 {
							r.emu.Start("shop")
							time.AfterFunc(20*time.Second, func() {
								r.emu.Crash("shop")
								r.emu.Start("shop")
							})
							return
						}
						r.emu.Start("shop")
					})
				}
				if err := r.sendBy(p, t, "t", 0); err != nil {
					t.Errorf("force %v, named %v: %v", force, named, err)
				}
			})
		}
	}
}

// TestRestartsAreNoAttempts: a batch is delivered however often the pipeline is stopped and
// started while it is under way, though one attempt is all that it has.
func TestRestartsAreNoAttempts(t *testing.T) {
	for _, tc := range []struct {
		version string
		named   bool
	}{{"0.337.0", true}, {"0.291.0", true}, {"0.291.0", false}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Enterprise: true, Version: tc.version, Lag: time.Minute}, nil)
			if !tc.named {
				r.open(t, unnamed(r.emu), nil)
			}
			ask := time.NewTicker(5 * time.Second)
			done := make(chan bool)
			go func() { // as the connector asks, so that it is seen down
				for {
					select {
					case <-ask.C:
						r.sink.State(t.Context())
					case <-done:
						return
					}
				}
			}()
			defer close(done)
			for i := range time.Duration(5) {
				time.AfterFunc((i+1)*40*time.Second, func() { r.emu.Stop("shop", true) })
				time.AfterFunc((i+1)*40*time.Second+10*time.Second, func() { r.emu.Start("shop") })
			}
			p := r.pusher()
			p.Attempts = 1
			if err := p.Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), one)); err != nil {
				t.Fatalf("%+v: %v", tc, err)
			}
			if got := r.rows("t"); got[1] != "a" {
				t.Errorf("%+v: it has %v", tc, got)
			}
		})
	}
}

// TestUntoldEnds: where nothing tells that rows have killed the pipeline, they do so as often
// as a batch may be tried, and no more.
func TestUntoldEnds(t *testing.T) {
	for _, named := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := watch{under: map[string]bool{}}
			r := newRig(t, pipeline.Options{Enterprise: true, Version: "0.291.0", Lag: 2500 * time.Millisecond, Revive: time.Nanosecond, OnEvent: w.see,
				Panic: func(string, []any) bool { return true }}, nil)
			if !named {
				r.open(t, unnamed(r.emu), nil)
			}
			if err := r.send(t, "t", 0); push.KindOf(err) != push.Rejected || w.crashes != 3 {
				t.Errorf("named %v: %d crashes, and then %v", named, w.crashes, err)
			}
		})
	}
}

// TestLateAnswer: an answer that tells of the deployment before is no news.
func TestLateAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Minute}, nil)
		late := false
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			wait := late
			late = false
			r.emu.ServeHTTP(w, req)
			if wait {
				time.Sleep(20 * time.Second)
			}
		}), nil)
		late = true
		go r.sink.State(t.Context())
		time.Sleep(time.Second)
		r.emu.Crash("shop")
		r.emu.Start("shop")
		for range 2 { // before it comes, and after
			if _, err := r.post(t, "t", 0, one); err != nil {
				t.Error(err)
			}
			time.Sleep(30 * time.Second)
		}
		if _, err := r.post(t, "u", 0, one); err != nil {
			t.Error(err)
		}
	})
}

// TestRespawn: a new process of the same deployment is nobody's wish.
func TestRespawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Minute}, nil)
		for i := range 2 {
			time.AfterFunc(time.Duration(i+1)*40*time.Second, func() { r.emu.Respawn("shop") })
		}
		if err := r.send(t, "t", 0); err == nil || !strings.Contains(err.Error(), "table t has killed the pipeline") {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestOneDeath: a batch that was there in part when the pipeline died has been under way at
// one death, whoever noticed it first, and though the batch was about to go on.
func TestOneDeath(t *testing.T) {
	for name, die := range map[string]func(*pipeline.Emulator){
		"a new deployment": func(e *pipeline.Emulator) { e.Crash("shop"); e.Start("shop") },
		"the same":         func(e *pipeline.Emulator) { e.Respawn("shop") },
	} {
		for _, version := range []string{"0.274.9", "0.337.0"} { // the former waits for the request before
			t.Run(name+" of "+version, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, pipeline.Options{Enterprise: true, Version: version, Lag: time.Second}, nil)
					other, err := r.post(t, "u", 0, one)
					if err != nil {
						t.Fatal(err)
					}
					r.emu.Inject("ingress", pipeline.Answer429, 2, 1) // after the barrier and the first request
					ticket, err := r.post(t, "t", 0, append(one, one...))
					if err == nil {
						t.Fatal("no request of it has failed")
					}
					r.emu.Heal()
					die(r.emu)
					if _, err := r.sink.Status(t.Context(), other); err == nil {
						t.Error("the other batch is there")
					}
					for range 2 {
						r.sink.Execute(t.Context(), ticket)
						time.Sleep(10 * time.Second)
					}
					if _, err := r.sink.Status(t.Context(), ticket); push.KindOf(err) != push.Lost && push.KindOf(err) != push.Restarted {
						t.Errorf("of the job that has begun: %v", err)
					}
					if _, err := r.post(t, "t", 0, one); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// TestBegunUnnoticed: a batch that began in a life of the pipeline before anybody noticed
// that the one before was over goes on.
func TestBegunUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second}, nil)
		old, err := r.post(t, "u", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		r.emu.Respawn("shop")
		r.emu.Inject("ingress", pipeline.Answer429, 2, 1)
		ticket, err := r.post(t, "t", 0, append(one, one...))
		if err == nil {
			t.Fatal("no request of it has failed")
		}
		r.emu.Heal()
		if _, err := r.sink.Status(t.Context(), old); push.KindOf(err) != push.Restarted {
			t.Errorf("what went with the life before: %v", err)
		}
		if _, err := r.sink.Execute(t.Context(), ticket); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "anew after the first") {
			t.Errorf("it goes on, and nobody has asked whether it is there: %v", err)
		}
		if st, err := r.sink.Status(t.Context(), ticket); err != nil || st.State != push.New {
			t.Errorf("it is there in part: %v %v", st.State, err)
		}
		if token, err := r.sink.Execute(t.Context(), ticket); err != nil || token == "" {
			t.Errorf("it does not go on: %q %v", token, err)
		}
	})
}

// TestWholeUnnoticed: the same of one that was posted as a whole. It is under way, which a
// suspect waits for.
func TestWholeUnnoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Minute}, nil)
		old, err := r.post(t, "u", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		r.emu.Respawn("shop")
		ticket, err := r.post(t, "t", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sink.Status(t.Context(), old); push.KindOf(err) != push.Restarted {
			t.Errorf("what went with the life before: %v", err)
		}
		if _, err := r.post(t, "u", 0, one); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "table t still is") {
			t.Errorf("a suspect beside what is under way: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if st, err := r.sink.Status(t.Context(), ticket); err != nil || st.State != push.Done {
			t.Errorf("it is %v: %v", st.State, err)
		}
		if _, err := r.post(t, "u", 0, one); err != nil {
			t.Errorf("a suspect alone: %v", err)
		}
		if _, err := r.post(t, "t", 10, one); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "sent alone") {
			t.Errorf("beside it: %v", err)
		}
	})
}

// TestUnanswered: what went with a process of the pipeline, perhaps, and has no token to tell,
// is suspect when it is sent again.
func TestUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second}, nil)
		other, err := r.post(t, "u", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		r.emu.Inject("ingress", pipeline.After503, 1, 1) // after the barrier
		ticket, err := r.post(t, "t", 0, one)
		if err == nil {
			t.Fatal("it is answered")
		}
		r.emu.Respawn("shop")
		if _, err := r.sink.Status(t.Context(), other); push.KindOf(err) != push.Restarted {
			t.Errorf("what went with the life before: %v", err)
		}
		st, err := r.sink.Status(t.Context(), ticket)
		for ; err != nil && push.KindOf(err) == push.Unavailable; st, err = r.sink.Status(t.Context(), ticket) {
			time.Sleep(time.Second)
		}
		if err != nil || st.State != push.New {
			t.Fatalf("it is %v: %v", st.State, err)
		}
		if _, err := r.sink.Execute(t.Context(), ticket); err != nil {
			t.Errorf("it is not sent again: %v", err)
		}
		if _, err := r.post(t, "u", 0, one); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "sent alone") {
			t.Errorf("beside it: %v", err)
		}
	})
}
