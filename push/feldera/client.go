package feldera

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/push"
)

// client makes the API's calls and says what answers mean.
type client struct {
	http     *http.Client
	base     string // up to and including the version
	pipeline string // the path of the pipeline below it
	opt      *Options
	requests *push.Requests
}

func newClient(opt *Options, transport http.RoundTripper) (*client, error) {
	if err := CheckURL(opt.URL); err != nil {
		return nil, err
	}
	base := strings.TrimSuffix(opt.URL, "/") + "/v0"
	if transport == nil {
		transport = push.NewTransport(opt.TLS)
	}
	requests, err := push.NewRequests(opt.Signals, base)
	if err != nil {
		return nil, err
	}
	return &client{http: &http.Client{Transport: transport, Timeout: opt.RequestTimeout}, base: base,
		pipeline: "/pipelines/" + url.PathEscape(opt.Pipeline), opt: opt, requests: requests}, nil
}

const maxAnswer = 8 << 20 // a pipeline's description has its whole program

// refusal is the API's own error.
type refusal struct {
	Message string          `json:"message"`
	Code    string          `json:"error_code"`
	Details json.RawMessage `json:"details"`
	rows    *parseErrors
	quotes  bool // so much of a request that the answer is longer than what is read of it
	foreign bool // it is not known to be the API's
}

// call makes one request and fills into from the answer's JSON; template is that of the path.
// An error is a *push.Error; its cause is a *refusal where the API gave one.
func (c *client) call(ctx context.Context, op, method, path, template string, body []byte, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return &push.Error{Op: op, Kind: push.Rejected, Err: err}
	}
	if c.opt.Key != nil {
		key, err := c.opt.Key()
		if err != nil {
			return &push.Error{Op: op + ": read the key", Kind: push.Unauthorized, Err: err, Hint: "make the key's file readable and not empty: SLUICE_FELDERA_API_KEY_FILE"}
		}
		req.Header.Set("Authorization", "Bearer "+key)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.GetBody = nil // nobody repeats a request but the sink: a repeated one could land twice
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "sluice")
	resp, text, err := c.requests.Do(c.http, req, template, push.Repeat(ctx), maxAnswer)
	if resp == nil {
		return &push.Error{Op: op, Kind: push.Unavailable, Err: err, Hint: push.Unanswered(err, "SLUICE_FELDERA_")}
	}
	if resp.StatusCode/100 != 2 {
		return failure(op, resp, text)
	}
	return push.Decode(op, resp.StatusCode, text, err, into, func(text []byte) string { return foreign(resp, text) })
}

// failure says what an answer means, by the codes of the manager and of the pipeline. Its words
// are not repeated, for they may quote rows: those of a pipeline that has died over one, say.
func failure(op string, resp *http.Response, text []byte) error {
	r := &refusal{}
	json.Unmarshal(text, r) // of what is no such error it has no code
	e := &push.Error{Op: op, Status: resp.StatusCode, Message: push.Clip(r.Code), Err: r}
	switch {
	case r.Code == "ParseErrors":
		r.rows = rowErrors(r.Details)
		e.Message = r.rows.String()
	case r.Code == "" && bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && !json.Valid(text):
		// Of 400 it is the pipeline's, which quotes rows.
		e.Message, r.foreign = "an answer that broke off", resp.StatusCode != http.StatusBadRequest
		r.quotes = !r.foreign && len(text) == maxAnswer
	case r.Code == "": // a proxy's, or the framework's
		e.Message, r.foreign = "an answer that is not Feldera's ("+foreign(resp, text)+")", true
	}
	switch s := resp.StatusCode; {
	case s == http.StatusUnauthorized:
		e.Kind, e.Hint = push.Unauthorized, "the manager refuses the key, which is wrong, expired or missing: renew SLUICE_FELDERA_API_KEY"
	case s == http.StatusForbidden:
		e.Kind, e.Hint = push.Unauthorized, "give the key of SLUICE_FELDERA_API_KEY the role write"
	case r.Code == "UnknownPipelineName":
		e.Kind, e.Hint = push.Unavailable, "no such pipeline: make it, or check SLUICE_FELDERA_PIPELINE; it is asked for again until it is there"
	case r.Code == "UnknownInputStream":
		e.Kind, e.Hint = push.Rejected, "the pipeline's program has no such table"
	case r.Code == "PipelineRestarted", r.Code == "UnknownEndpointInCompletionToken", r.Code == "IncarnationUuidMismatch":
		e.Kind = push.Lost
	case s == http.StatusRequestEntityTooLarge:
		e.Kind, e.Hint = push.Rejected, "raise the limit of the proxy before Feldera for the size of a request"
	case r.Code == "EnterpriseFeature":
		e.Kind, e.Hint = push.Rejected, "this edition of Feldera has no checkpoints: set SLUICE_FELDERA_CHECKPOINT=never"
	case s >= 500, s == http.StatusRequestTimeout, s == http.StatusConflict, s == http.StatusGone, s == http.StatusTooManyRequests, s < 400,
		s == http.StatusNotFound && r.Code == "":
		e.Kind = push.Unavailable
		if s == http.StatusNotFound {
			e.Hint = "no Feldera at that address: check SLUICE_FELDERA_URL"
		}
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
			e.RetryAfter = time.Duration(min(n, 3600)) * time.Second
		}
	default:
		e.Kind = push.Rejected
	}
	return e
}

func (r *refusal) Error() string { return r.Code }

// foreign is what is told of an answer that is not the API's.
func foreign(resp *http.Response, text []byte) string {
	return fmt.Sprintf("%.80s, %d bytes", cmp.Or(resp.Header.Get("Content-Type"), "of no type"), len(text))
}

// refusalOf returns what the API said, an empty one if it said nothing.
func refusalOf(err error) *refusal {
	r := &refusal{}
	errors.As(err, &r)
	return r
}

// codeOf returns the API's code of an error, "" if it gave none.
func codeOf(err error) string { return refusalOf(err).Code }

// statusOf returns that of the answer behind an error, 0 if there was none.
func statusOf(err error) int {
	var e *push.Error
	if errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// landed reports whether a request to the ingress that failed may be in the pipeline all
// the same, or get there yet: a manager that has waited for the pipeline in vain says 503,
// and the pipeline may read the request when it is resumed. What is not the API's answer, or says
// that there is no such pipeline or that the key is wrong, a gateway may say of a request that it
// has let through; but not that it is too large, or one too many.
func landed(err error) bool {
	var e *push.Error
	if !errors.As(err, &e) {
		return true
	}
	r := refusalOf(err)
	switch {
	case e.Status == http.StatusRequestEntityTooLarge, e.Status == http.StatusTooManyRequests:
		return false
	case e.Kind != push.Unavailable && e.Status != http.StatusUnauthorized && !r.foreign:
		return false
	}
	switch r.Code {
	case "PipelineInteractionNotDeployed", "ApiConnectionLimit":
		return false
	case "PipelineInteractionUnreachable": // it got no further than the manager
		return !strings.Contains(r.Message, "Failed to connect to host")
	}
	return true
}
