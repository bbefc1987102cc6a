package celonis

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 11, 0, 0, 200_000_000, time.UTC)
	for _, tc := range []struct {
		op, header, value, text string
		want                    time.Duration
	}{
		{"execute job", "X-Ratelimit-Reset", "7", "", 7 * time.Second},
		{"execute job", "Retry-After", "Thu, 01 Jan 2026 11:01:00 GMT", "", 59800 * time.Millisecond},
		{"execute job", "", "", "Please try again at 11:10:41 UTC.", 10*time.Minute + 41800*time.Millisecond},
		{"execute job", "", "", "Please try again at 11:00:00 UTC.", time.Second}, // a moment ago
		{"execute job", "", "", "", time.Hour + 800*time.Millisecond},
		{"upload chunk", "", "", "", 2 * time.Second},
	} {
		h := http.Header{}
		if tc.header != "" {
			h.Set(tc.header, tc.value)
		}
		if got := retryAfter(tc.op, h, []byte(tc.text), now); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	late := time.Date(2026, 1, 1, 23, 59, 59, 0, time.UTC)
	if got := retryAfter("execute job", http.Header{}, []byte("try again at 00:00:05 UTC"), late); got != 7*time.Second {
		t.Errorf("over midnight: %v", got)
	}
}

// TestPrivateAnswers: whatever is wrong with a file, and whoever says so, what it quotes of the
// rows is in no error: neither in the upload's own nor in that of who is told of it later.
func TestPrivateAnswers(t *testing.T) {
	status := 0
	s, err := New(Options{URL: "https://t", PoolID: "p", RequestsPerSecond: 10_000, Auth: Key{Scheme: "Bearer", Value: func() (string, error) { return "k", nil }}},
		answers(func(r *http.Request) (int, string) {
			if !strings.HasSuffix(r.URL.Path, "/chunks/upserted") {
				return http.StatusOK, `{"id":"j"}`
			}
			return status, `{"message":"value 'hunter2' in row 17 of column 'name1'"}`
		}))
	if err != nil {
		t.Fatal(err)
	}
	job := &push.Job{Table: &schema.Table{Name: "people", Columns: []schema.Column{{Name: "name1"}}}, Chunks: []schema.Chunk{{Op: schema.Upsert, Data: []byte("x")}}}
	for _, status = range []int{400, 401, 404, 409, 413, 429, 503, 302, 500} {
		if _, err := s.Prepare(t.Context(), job); err == nil || !strings.Contains(err.Error(), "value … in row … of column 'name1'") {
			t.Errorf("%d: %v", status, err)
		}
	}
	for range 10 { // and then nobody asks for a while
		b, err := fileBody("file", "f", []byte("x"), job.Table)
		if err != nil {
			t.Fatal(err)
		}
		s.c.call(t.Context(), "upload chunk", http.MethodPost, "j/chunks/upserted", b, nil)
	}
	if _, err := s.Status(t.Context(), push.Ticket{ID: "j"}); err == nil || !strings.Contains(err.Error(), "value … in row …") {
		t.Errorf("of the last failure: %v", err)
	}
}

type answers func(*http.Request) (int, string)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := f(r)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

// TestAnswers: any 2xx is success, and of everything else the platform's own words
// and the class are kept, whatever the form of the body.
func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		kind   push.Kind
		words  string // "" is success
	}{
		{200, "", 0, ""}, {201, "{}", 0, ""}, {202, "null", 0, ""}, {204, "", 0, ""},
		{400, `{"frontendErrorKey":"JOB_CLOSED","errorInformation":{"message":"Job already closed"}}`, push.Rejected, `JOB_CLOSED: {"message":"Job already closed"}`},
		{400, `{"errors":[{"attribute":"keys","error":"unknown"}]}`, push.Rejected, `[{"attribute":"keys","error":"unknown"}]`},
		{400, `not JSON at all`, push.Rejected, "not JSON at all"},
		{401, `{"error":"Unauthorized"}`, push.Unauthorized, "Unauthorized"},
		{403, ``, push.Unauthorized, "Data Push permission"},
		{404, `"Data push job x not found"`, push.Lost, "Data push job x not found"},
		{409, `A job on the same target is already running`, push.Conflict, "already running"},
		{429, `{"title":"Rate limit exceeded","status":429,"detail":"Please try again at 06:10:41 UTC."}`, push.Throttled, "Rate limit exceeded: Please try again"},
		{500, `{"reference":"r1","message":"boom","shortMessage":"b"}`, push.Unavailable, "boom: b: r1"},
		{503, "<html><body><h1>503   Service Unavailable</h1></body></html>", push.Unavailable, "503 Service Unavailable"},
		{302, "", push.Unavailable, "302"},
	} {
		opt := &Options{URL: "https://t", PoolID: "p", RequestsPerSecond: 1000, Auth: Key{Scheme: "Bearer", Value: func() (string, error) { return "k", nil }}}
		c, err := newClient(opt, answers(func(*http.Request) (int, string) { return tc.status, tc.body }))
		if err != nil {
			t.Fatal(err)
		}
		err = c.call(t.Context(), "do it", http.MethodPost, "x", nil, nil)
		switch {
		case tc.words == "" && err != nil:
			t.Errorf("%d: %v", tc.status, err)
		case tc.words == "":
		case err == nil || push.KindOf(err) != tc.kind || !strings.Contains(err.Error(), tc.words):
			t.Errorf("%d %s: %v of kind %v, want %q of kind %v", tc.status, tc.body, err, push.KindOf(err), tc.words, tc.kind)
		}
	}
}

// TestBreaker: a target that is down is asked every few seconds, not by every call.
func TestBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		opt := &Options{URL: "https://t", PoolID: "p", RequestsPerSecond: 1000, Auth: Key{Scheme: "Bearer", Value: func() (string, error) { return "k", nil }}}
		c, err := newClient(opt, answers(func(*http.Request) (int, string) { asked++; return 503, "" }))
		if err != nil {
			t.Fatal(err)
		}
		for range 600 { // ten calls a second for a minute
			c.call(t.Context(), "do it", http.MethodGet, "x", nil, nil)
			time.Sleep(100 * time.Millisecond)
		}
		if asked < 15 || asked > 30 {
			t.Errorf("a target that is down was asked %d times in a minute", asked)
		}
	})
}

// slowAuth is a token that takes its time, as one does that is fetched.
type slowAuth struct{ got chan struct{} }

func (a slowAuth) Header(ctx context.Context) (string, error) {
	<-a.got
	return "Bearer k", nil
}
func (slowAuth) Refresh() bool { return false }

// TestLimitBehindToken: lanes that waited for one token do not ask all at once.
func TestLimitBehindToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		var mu sync.Mutex
		auth := slowAuth{make(chan struct{})}
		c, err := newClient(&Options{URL: "https://x", PoolID: "p", Auth: auth, RequestsPerSecond: 10, RequestTimeout: time.Minute},
			answers(func(*http.Request) (int, string) {
				mu.Lock()
				defer mu.Unlock()
				at = append(at, time.Now())
				return 200, "{}"
			}))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 40 {
			wg.Go(func() { c.call(t.Context(), "read job", http.MethodGet, "j", nil, nil) })
		}
		time.Sleep(3 * time.Second)
		close(auth.got)
		wg.Wait()
		for i := 10; i < len(at); i++ {
			if at[i].Sub(at[i-10]) < time.Second {
				t.Fatalf("requests %d to %d within %v", i-10, i, at[i].Sub(at[i-10]))
			}
		}
	})
}

// TestHints: an answer that does not come has said what to do, and with which setting, and so
// has the pause of the breaker after ten of them.
func TestHints(t *testing.T) {
	for want, failure := range map[string]error{
		"SLUICE_CELONIS_CA_FILE": &tls.CertificateVerificationError{Err: errors.New("unknown authority")},
		"the proxy does not let it through: check HTTPS_PROXY and NO_PROXY":                                    &net.OpError{Op: "proxyconnect", Err: errors.New("refused")},
		"no answer in time: check SLUICE_CELONIS_URL and the network, or raise SLUICE_CELONIS_REQUEST_TIMEOUT": context.DeadlineExceeded,
		"nothing answers there: check SLUICE_CELONIS_URL, the network and HTTPS_PROXY":                         &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host"}},
		"no answer came: check SLUICE_CELONIS_URL, the network and HTTPS_PROXY":                                errors.New("connection reset by peer"),
	} {
		synctest.Test(t, func(t *testing.T) {
			c, err := newClient(&Options{URL: "https://x", PoolID: "p", Auth: Key{"Bearer", func() (string, error) { return "k", nil }}, RequestsPerSecond: 1000},
				failing{failure})
			if err != nil {
				t.Fatal(err)
			}
			for range 11 { // the last one meets the breaker
				err = c.call(t.Context(), "read job", http.MethodGet, "j", nil, nil)
				if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), failure.Error()) {
					t.Errorf("%v, want %s", err, want)
				}
			}
		})
	}
	unreadable := Key{"Bearer", func() (string, error) { return "", errors.New("open /key: no such file") }}
	c, err := newClient(&Options{URL: "https://x", Auth: unreadable, RequestsPerSecond: 1000}, failing{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.call(t.Context(), "read job", http.MethodGet, "j", nil, nil); push.KindOf(err) != push.Unauthorized || !strings.Contains(err.Error(), "make the key's file readable and not empty: SLUICE_CELONIS_API_KEY_FILE") {
		t.Error(err)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
