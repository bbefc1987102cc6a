package feldera_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// TestUnauthorizedNowAndThen: a manager that refuses the right key at times, as it does when
// its database fails, ends a delivery with that error wherever it stands; called again, the
// delivery goes on there, and nothing is posted twice.
func TestUnauthorizedNowAndThen(t *testing.T) {
	for _, op := range []string{"get", "ingress", "completion", "checkpoint", "checkpoint_status"} {
		for skip := range 4 {
			synctest.Test(t, func(t *testing.T) {
				var seen []string
				r := newRig(t, pipeline.Options{Enterprise: true, Lag: 3 * time.Second, OnRow: func(_, _ string, row []any) { seen = append(seen, fmt.Sprint(row[1])) }},
					func(o *feldera.Options) { o.Checkpoint = true })
				r.emu.Inject(op, pipeline.Answer401, skip, 2)
				two := append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{1: "b"}, nil)...)
				d, refused := push.NewDelivery(pushtest.ConformTable("t"), two), 0
				for r.emu.Counts().Requests < 1000 {
					err := r.pusher().Run(t.Context(), d)
					if err == nil {
						break
					}
					if push.KindOf(err) != push.Unauthorized || !strings.Contains(err.Error(), "SLUICE_FELDERA_API_KEY") {
						t.Fatalf("%s: it ends with %v", op, err)
					}
					refused++
					time.Sleep(time.Minute)
				}
				// One alone may go untold: where nothing but the token of an execution hangs on it.
				if faults := r.emu.Counts().Faults; refused > faults || refused < faults-1 || faults > 0 && refused == 0 || skip == 0 && faults != 2 {
					t.Errorf("%s after %d: of %d refusals it has told %d", op, skip, faults, refused)
				}
				if has := fmt.Sprint(seen, r.rows("t")); has != "[a b] map[1:b]" {
					t.Errorf("%s after %d: readers saw %s", op, skip, has)
				}
			})
		}
	}
}

// counted counts what is read of the answers.
type counted struct {
	http.RoundTripper
	most int
}

func (c *counted) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(req)
	if err == nil {
		body, n := resp.Body, 0
		resp.Body = struct {
			io.Reader
			io.Closer
		}{readerFunc(func(p []byte) (int, error) {
			k, err := body.Read(p)
			n += k
			c.most = max(c.most, n)
			return k, err
		}), body}
	}
	return resp, err
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestWideAnswer: an answer of any length takes no more memory than it is worth, and a
// request that got it by a mistake is delivered all the same.
func TestWideAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		c := &counted{RoundTripper: &pushtest.Transport{Handler: r.emu}}
		var err error
		if r.sink, err = feldera.New(feldera.Options{URL: "http://feldera:8080", Pipeline: "shop", RequestTimeout: time.Minute, Key: func() (string, error) { return r.key, nil }}, c); err != nil {
			t.Fatal(err)
		}
		state, err := r.sink.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r.sink.Accept(state)
		r.emu.Inject("ingress", pipeline.Wide, 1, 1) // after the barrier
		rows := map[int64]string{1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}
		if err := r.deliver(t, rows); err != nil {
			t.Fatalf("it ends with %.500v", err)
		}
		if got := r.rows("t"); fmt.Sprint(got) != fmt.Sprint(rows) {
			t.Errorf("it has %v", got)
		}
		if faults := r.emu.Counts().Faults; faults != 1 || c.most < 8<<20 || c.most > 8<<20+64<<10 {
			t.Errorf("of %d answers it has read up to %d bytes", faults, c.most)
		}
	})
}

// TestWordsOfAnswers: what an answer says is not repeated, whoever gives it to which call, for it
// may quote rows. Its code and its status are.
func TestWordsOfAnswers(t *testing.T) {
	for _, tc := range []struct {
		status     int
		body, want string
	}{
		{500, `{"message":"panicked at 'hunter2': hunter2","error_code":"DbspPanic","details":{"row":{"v":"hunter2"}}}`, ": 500 DbspPanic"},
		{400, `{"message":"bad hunter2","error_code":"InvalidParam","details":{"error":"hunter2"}}`, ": 400 InvalidParam"},
		{503, `{"message":"no hunter2"}`, ": 503 an answer that is not Feldera's (text/html, 24 bytes)"},
		{500, "hunter2", ": 500 an answer that is not Feldera's (of no type, 7 bytes)"},
		{502, "<html><h1>hunter2</h1></html>", ": 502 an answer that is not Feldera's (text/html, 29 bytes)"},
		{200, "<html><h1>hunter2</h1></html>", ": 200 an answer that is not the API's: text/html, 29 bytes"},
		{200, `["hunter2"]`, ": 200 an answer that is not the API's: text/html, 11 bytes"},
		{200, `{"success":null,"failure":{"sequence_number":1000,"error":"cannot write 'hunter': hunter2"}}`, ""},
	} {
		for op, path := range map[string]string{"read pipeline": "GET /v0/pipelines/shop", "read configuration": "GET /v0/config", "read statistics": "GET /v0/pipelines/shop/stats", "post barrier": "POST /v0/pipelines/shop/ingress/t",
			"read completion": "GET /v0/pipelines/shop/completion_status", "make checkpoint": "POST /v0/pipelines/shop/checkpoint", "read checkpoint": "GET /v0/pipelines/shop/checkpoint_status"} {
			want := op + tc.want
			if tc.want == "" {
				if want = "make checkpoint: cannot write …: … ("; op != "read checkpoint" {
					continue
				}
			}
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, pipeline.Options{Enterprise: true}, nil)
				state, err := r.sink.State(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					if req.Method+" "+req.URL.Path == path {
						if tc.body != "hunter2" {
							w.Header().Set("Content-Type", "text/html")
						}
						w.WriteHeader(tc.status)
						io.WriteString(w, tc.body)
						return
					}
					r.emu.ServeHTTP(w, req)
				}), func(o *feldera.Options) { o.Checkpoint = true })
				r.sink.Accept(state)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
				defer cancel()
				d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: "hunter2"}, nil))
				err = r.pusher().Run(ctx, d)
				if told := d.Progress().Err; told == nil || !strings.Contains(told.Error(), want) || strings.Contains(fmt.Sprintf("%v %+v", told, err), "hunter") {
					t.Errorf("%s, %d %s: it says %v and ends with %v", op, tc.status, tc.body, told, err)
				}
			})
		}
	}
}

// TestRetryAfter: a request is repeated when the answer says, within an hour, and soon where it
// says nothing that is a number of seconds.
func TestRetryAfter(t *testing.T) {
	const soon = 1300 * time.Millisecond // the pusher's first pause, at most
	for _, tc := range []struct {
		status     int
		after      string
		from, upto time.Duration
	}{
		{503, "5", 5 * time.Second, 5 * time.Second},
		{429, "1800", 30 * time.Minute, 30 * time.Minute},
		{503, "7200", time.Hour, time.Hour},
		{503, "", 1, soon}, {503, "0", 1, soon}, {503, "-5", 1, soon}, {503, "Thu, 01 Jan 2099 00:00:00 GMT", 1, soon},
	} {
		for op, path := range map[string]string{"get": "/pipelines/shop", "ingress": "/ingress/t", "completion": "/completion_status"} {
			t.Run(fmt.Sprint(op, " ", tc.status, " ", tc.after), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, pipeline.Options{Enterprise: true}, nil)
					var refused, next time.Time
					opened := false
					r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						switch {
						case opened && refused.IsZero() && strings.HasSuffix(req.URL.Path, path):
							refused = time.Now()
							w.Header().Set("Retry-After", tc.after)
							w.WriteHeader(tc.status)
							io.WriteString(w, `{"message":"","error_code":"PipelineInteractionNotDeployed","details":{}}`)
							return
						case next.IsZero() && !refused.IsZero():
							next = time.Now()
						}
						r.emu.ServeHTTP(w, req)
					}), nil)
					opened = true
					if err := r.deliver(t, map[int64]string{1: "a"}); err != nil {
						t.Fatal(err)
					}
					if wait := next.Sub(refused); wait < tc.from || wait > tc.upto {
						t.Errorf("the next request comes after %v", wait)
					}
				})
			})
		}
	}
}

// TestAnotherServer: one that has none of the API's paths may be the wrong one, and is asked again
// under the name of the setting that leads to it; a pipeline that is not there has its own.
func TestAnotherServer(t *testing.T) {
	for body, want := range map[string]string{"<html>Not Found</html>": "(no Feldera at that address: check SLUICE_FELDERA_URL)", `{"message":"","error_code":"UnknownPipelineName","details":{}}`: "(no such pipeline: make it, or check SLUICE_FELDERA_PIPELINE;"} {
		r := newRig(t, pipeline.Options{}, nil)
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, body)
		}), nil)
		if _, err := r.sink.State(t.Context()); push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// TestGatewayRefuses: what is not the API's answer may be that of a gateway which has let the
// request through, whatever its status: so what was posted is waited for, and a batch whose rows
// have no key is not sent again.
func TestGatewayRefuses(t *testing.T) {
	for _, status := range []int{http.StatusBadRequest, http.StatusForbidden, http.StatusUnprocessableEntity} {
		for _, words := range []string{"<html>Forbidden</html>", `{"error":"forbidden"}`, ""} {
			for _, appends := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					var seen []string
					r := newRig(t, pipeline.Options{OnRow: func(_, _ string, row []any) { seen = append(seen, fmt.Sprint(row[1])) }}, nil)
					if appends {
						r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
						r.emu.Start("shop")
					}
					said := false
					r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						if said || req.ContentLength <= 0 || !strings.Contains(req.URL.Path, "/ingress/") {
							r.emu.ServeHTTP(w, req)
							return
						}
						said = true
						r.emu.Inject("ingress", pipeline.Late, 0, 1)
						r.emu.ServeHTTP(httptest.NewRecorder(), req)
						w.WriteHeader(status)
						io.WriteString(w, words)
					}), func(o *feldera.Options) { o.Append = func(string) bool { return appends } })
					deliver := func(v string) error {
						d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: v}, nil))
						d.Once = appends
						err := r.pusher().Run(t.Context(), d)
						for push.KindOf(err) == push.Unauthorized {
							err = r.pusher().Run(t.Context(), d)
						}
						return err
					}
					want := "a a b"
					err := deliver("a")
					switch {
					case appends:
						want = "a"
						if push.KindOf(err) != push.Rejected || !strings.Contains(fmt.Sprint(err), "which of its rows are there is not known") {
							t.Errorf("%d %q: %v", status, words, err)
						}
					case err != nil:
						t.Errorf("%d %q: %v", status, words, err)
					default:
						err = deliver("b")
					}
					for range 60 { // the emulator works when it is asked
						time.Sleep(time.Second)
						r.rows("t")
					}
					if got := strings.Join(seen, " "); !said || got != want {
						t.Errorf("%d %q, appends %v: readers saw %s, want %s: %v", status, words, appends, got, want, err)
					}
				})
			}
		}
	}
}

// TestNotReached: a manager that has not reached the pipeline has left nothing there, and the
// request is repeated without a wait for what it could be.
func TestNotReached(t *testing.T) {
	for words, barriers := range map[string]int{"Unable to reach pipeline to interact: Failed to connect to host: Connection refused": 1, "Unable to reach pipeline to interact: timeout (30s) was reached": 2} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			empty, refused := 0, false
			r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				switch {
				case !strings.Contains(req.URL.Path, "/ingress/"):
				case req.ContentLength == 0:
					empty++
				case !refused:
					refused = true
					w.WriteHeader(http.StatusServiceUnavailable)
					fmt.Fprintf(w, `{"message":%q,"error_code":"PipelineInteractionUnreachable","details":{}}`, words)
					return
				}
				r.emu.ServeHTTP(w, req)
			}), nil)
			if err := r.deliver(t, map[int64]string{1: "a"}); err != nil || !refused || empty != barriers {
				t.Errorf("%s: %v, %d barriers", words, err, empty)
			}
		})
	}
}
