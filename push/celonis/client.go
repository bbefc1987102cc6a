package celonis

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/oauth2"
	"golang.org/x/time/rate"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// client makes the API's calls: limits, credentials, and what answers mean.
type client struct {
	http     *http.Client
	base     string // up to and including the pool
	opt      *Options
	limit    *rate.Limiter
	breaker  *gobreaker.TwoStepCircuitBreaker[any]
	outage   atomic.Pointer[push.Error] // the last one that the breaker counted
	requests *push.Requests
}

const (
	opCreate  = "create job"
	opExecute = "execute job"
	opUpload  = "upload chunk"

	maxAnswer = 4 << 20
)

func newClient(opt *Options, transport http.RoundTripper) (*client, error) {
	base, err := baseURL(opt.URL)
	if err != nil {
		return nil, err
	}
	if transport == nil {
		transport = push.NewTransport(opt.TLS)
	}
	requests, err := push.NewRequests(opt.Signals, base)
	if err != nil {
		return nil, err
	}
	return &client{
		http:     &http.Client{Transport: transport, Timeout: opt.RequestTimeout},
		base:     base + jobsPath(opt.PoolID),
		opt:      opt,
		requests: requests,
		// Without a burst: the platform counts by the second, and two bursts could
		// fall into one.
		limit: rate.NewLimiter(rate.Limit(opt.RequestsPerSecond), 1),
		// A target that is down is asked by one request every few seconds instead
		// of by every lane.
		breaker: gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
			Timeout:     breakerPause,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 10 },
		}),
	}, nil
}

func jobsPath(pool string) string { return "/v1/data-push/" + pool + "/jobs/" }

const breakerPause = 5 * time.Second

// body is a request body that can be sent again.
type body struct {
	contentType string
	size        int64
	open        func() io.Reader
	rows        *schema.Table // whose rows are in it, which its answer may quote; nil: none
}

func jsonBody(v any) (*body, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &body{"application/json", int64(len(b)), func() io.Reader { return bytes.NewReader(b) }, nil}, nil
}

// fileBody is a multipart form around data, which is not copied and has rows of a table.
func fileBody(field, name string, data []byte, rows *schema.Table) (*body, error) {
	var frame bytes.Buffer
	w := multipart.NewWriter(&frame)
	if _, err := w.CreateFormFile(field, name); err != nil {
		return nil, err
	}
	head := bytes.Clone(frame.Bytes())
	if err := w.Close(); err != nil {
		return nil, err
	}
	tail := frame.Bytes()[len(head):]
	return &body{w.FormDataContentType(), int64(len(head) + len(data) + len(tail)), func() io.Reader {
		return io.MultiReader(bytes.NewReader(head), bytes.NewReader(data), bytes.NewReader(tail))
	}, rows}, nil
}

// call makes one request. A refused credential is renewed once, and the request repeated,
// but an upload is not: a gateway may refuse what still arrives, and its job would have it
// twice. It fails as unavailable then, once, so that the job is made anew. into is filled
// from the answer's JSON, if there is one. Any 2xx is success: the documents
// disagree on which.
func (c *client) call(ctx context.Context, op, method, path string, b *body, into any) error {
	resent := push.Repeat(ctx)
	err := c.once(ctx, op, method, path, b, into, resent)
	if push.KindOf(err) == push.Unauthorized && err != nil && c.opt.Auth.Refresh() {
		if op == opUpload {
			var e *push.Error
			if resent == 0 && errors.As(err, &e) {
				again := *e
				again.Kind = push.Unavailable
				return &again
			}
			return err
		}
		err = c.once(ctx, op, method, path, b, into, resent+1)
	}
	return err
}

func (c *client) once(ctx context.Context, op, method, path string, b *body, into any, resent int) error {
	// The token first: whoever waits for one must not do so with a place under the
	// limit in hand, or all who waited would ask within one second.
	header, err := c.opt.Auth.Header(ctx)
	if err != nil {
		return c.authError(op, err)
	}
	if c.opt.Counted.has(op) && c.opt.Budget != nil {
		if _, err := c.opt.Budget.Await(ctx, c.requests.Tracer); err != nil {
			return err
		}
	}
	if err := c.limit.Wait(ctx); err != nil {
		return &push.Error{Op: op, Kind: push.Unavailable, Err: err}
	}
	done, err := c.breaker.Allow()
	if err != nil {
		e := &push.Error{Op: op, Kind: push.Unavailable, RetryAfter: breakerPause,
			Message: "the target failed ten times in a row; waiting before asking again"}
		if last := c.outage.Load(); last != nil {
			e.Message += "; last: " + last.Error()
		}
		return e
	}
	err = c.send(ctx, op, method, path, header, b, into, resent)
	var outage error // what the breaker counts
	if err != nil && push.KindOf(err) == push.Unavailable && ctx.Err() == nil {
		outage = err
		var e *push.Error
		if errors.As(err, &e) {
			c.outage.Store(e)
		}
	}
	done(outage)
	return err
}

func (c *client) send(ctx context.Context, op, method, path, authorization string, b *body, into any, resent int) error {
	var reader io.Reader
	if b != nil {
		reader = b.open()
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, reader)
	if err != nil {
		return &push.Error{Op: op, Kind: push.Rejected, Err: err}
	}
	if b != nil {
		req.Header.Set("Content-Type", b.contentType)
		req.ContentLength = b.size
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(b.open()), nil }
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "sluice")
	req.Header.Set("Authorization", authorization)
	resp, text, err := c.requests.Do(c.http, req, templateOf(path), resent, maxAnswer)
	if resp == nil {
		return &push.Error{Op: op, Kind: push.Unavailable, Err: err, Hint: push.Unanswered(err, "SLUICE_CELONIS_")}
	}
	if resp.StatusCode/100 != 2 {
		err := failure(op, resp, text)
		if b != nil && b.rows != nil {
			err = push.Private(err, b.rows)
		}
		return err
	}
	return push.Decode(op, resp.StatusCode, text, err, into, words)
}

// authError tells a token endpoint that refuses the client from one that is away, and
// from a secret that cannot be read.
func (c *client) authError(op string, err error) error {
	if key, static := c.opt.Auth.(Key); static {
		file := "SLUICE_CELONIS_API_KEY_FILE"
		if key.Scheme == "AppKey" {
			file = "SLUICE_CELONIS_APP_KEY_FILE"
		}
		return &push.Error{Op: op + ": read the key", Kind: push.Unauthorized, Err: err, Hint: "make the key's file readable and not empty: " + file}
	}
	e := &push.Error{Op: op + ": get a token", Kind: push.Unauthorized, Err: err,
		Hint: "the token endpoint refuses the client: check SLUICE_CELONIS_OAUTH_CLIENT_ID, _CLIENT_SECRET, _SCOPE and _TOKEN_URL"}
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		if r := refused.Response; r != nil && (r.StatusCode >= 500 || r.StatusCode == http.StatusTooManyRequests || r.StatusCode == http.StatusRequestTimeout) {
			e.Kind, e.Hint = push.Unavailable, "the token endpoint fails; if it persists: check SLUICE_CELONIS_OAUTH_TOKEN_URL"
		}
		return e
	}
	if file := (*fs.PathError)(nil); errors.As(err, &file) {
		e.Hint = "make the secret's file readable: SLUICE_CELONIS_OAUTH_CLIENT_SECRET_FILE"
	}
	if netErr := net.Error(nil); errors.As(err, &netErr) {
		e.Kind, e.Hint = push.Unavailable, "nothing answers at the token endpoint: check SLUICE_CELONIS_OAUTH_TOKEN_URL, the network and HTTPS_PROXY"
	}
	return e
}

// failure says what an answer means, in the platform's own words.
func failure(op string, resp *http.Response, text []byte) error {
	e := &push.Error{Op: op, Status: resp.StatusCode, Message: words(text)}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Kind = push.Unauthorized
		e.Hint = "the platform refuses the key, which is wrong or expired: renew SLUICE_CELONIS_API_KEY, SLUICE_CELONIS_APP_KEY or SLUICE_CELONIS_OAUTH_*"
	case s == http.StatusForbidden:
		e.Kind = push.Unauthorized
		e.Hint = "grant the key the Data Push permission on the pool of SLUICE_CELONIS_POOL_ID"
	case s == http.StatusNotFound && isHTML(resp, text):
		e.Kind = push.Unavailable
		e.Hint = "a gateway's answer and not the API's; if it persists: check SLUICE_CELONIS_URL and SLUICE_CELONIS_POOL_ID"
	case s == http.StatusNotFound:
		e.Kind = push.Lost
		e.Hint = "if it persists: check SLUICE_CELONIS_URL and SLUICE_CELONIS_POOL_ID"
	case s == http.StatusConflict:
		e.Kind = push.Conflict
	case s == http.StatusTooManyRequests:
		e.Kind = push.Throttled
		e.RetryAfter = retryAfter(op, resp.Header, text, time.Now())
	case s >= 500, s == http.StatusRequestTimeout, s < 400:
		e.Kind = push.Unavailable
		e.RetryAfter = headerSeconds(resp.Header.Get("Retry-After"), time.Now())
	default:
		e.Kind = push.Rejected
	}
	return e
}

func isHTML(resp *http.Response, text []byte) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || bytes.HasPrefix(bytes.TrimSpace(text), []byte("<"))
}

var tryAgainAt = regexp.MustCompile(`try again at (\d\d:\d\d:\d\d) UTC`)

// retryAfter returns how long a 429 asks to wait: by one of the headers, by the
// text, else, for a submission, until the next full hour, when the quota starts
// anew. Other calls are limited by the second.
func retryAfter(op string, h http.Header, text []byte, now time.Time) time.Duration {
	for _, name := range []string{"X-Ratelimit-Reset", "Retry-After"} {
		if d := headerSeconds(h.Get(name), now); d > 0 {
			return d
		}
	}
	now = now.UTC()
	if m := tryAgainAt.FindSubmatch(text); m != nil {
		if t, err := time.Parse("15:04:05", string(m[1])); err == nil {
			at := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
			if now.Sub(at) > 12*time.Hour {
				at = at.Add(24 * time.Hour) // it names tomorrow; a moment ago is now
			}
			return max(0, at.Sub(now)) + time.Second
		}
	}
	if op != opExecute {
		return 2 * time.Second
	}
	return now.Truncate(time.Hour).Add(time.Hour).Sub(now) + time.Second
}

// headerSeconds reads a header of seconds or of an HTTP date.
func headerSeconds(v string, now time.Time) time.Duration {
	if v == "" {
		return 0
	}
	if s, err := strconv.ParseFloat(v, 64); err == nil && s > 0 && s < 86400 {
		return time.Duration(s * float64(time.Second))
	}
	if t, err := http.ParseTime(v); err == nil && t.After(now) {
		return t.Sub(now)
	}
	return 0
}

// words returns what people can read of an error body. Its documented forms are
// JSON of three kinds, a bare string, or nothing; a gateway answers with HTML.
func words(text []byte) string {
	var m map[string]any
	if json.Unmarshal(text, &m) == nil {
		var parts []string
		for _, k := range []string{"frontendErrorKey", "errorInformation", "message", "shortMessage", "reference", "title", "detail", "error", "errorCode", "errors"} {
			switch v := m[k].(type) {
			case nil:
			case string:
				if v != "" {
					parts = append(parts, v)
				}
			default:
				if b, err := json.Marshal(v); err == nil {
					parts = append(parts, string(b))
				}
			}
		}
		if len(parts) > 0 {
			return push.Clip(strings.Join(parts, ": "))
		}
	}
	var s string
	if json.Unmarshal(text, &s) == nil {
		return push.Clip(s)
	}
	return push.Clip(strings.Join(strings.Fields(string(text)), " "))
}
