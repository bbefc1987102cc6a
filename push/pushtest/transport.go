// Package pushtest is what tests of sinks share: a transport without a network
// that holds every call against the API's description.
package pushtest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Transport hands requests to an http.Handler without a network, so that a test
// can run in virtual time. It may be used concurrently.
type Transport struct {
	Handler http.Handler
	Contract
}

// Contract checks requests and responses against an OpenAPI description. Its
// violations are collected; the zero value checks nothing.
type Contract struct {
	router     routers.Router
	mu         sync.Mutex
	violations []string
	Checked    int
}

// Describe sets the description, which is YAML or JSON.
func (c *Contract) Describe(description []byte) error {
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return err
	}
	if err := doc.Validate(context.Background()); err != nil {
		return err
	}
	openapi3filter.RegisterBodyDecoder("text/html", openapi3filter.PlainBodyDecoder)
	c.router, err = legacy.NewRouter(doc)
	return err
}

// Violations returns where calls departed from the description.
func (c *Contract) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.violations
}

func (c *Contract) violate(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
}

// Watch returns a handler that holds what next serves against the description, for
// tests over a network. Calls that are not of the API itself pass.
func (c *Contract) Watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.Contains(req.URL.Path, "/data-push/") {
			next.ServeHTTP(w, req)
			return
		}
		sent, err := io.ReadAll(req.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client is gone, and its request incomplete
		}
		req.Body = io.NopCloser(bytes.NewReader(sent))
		rec := httptest.NewRecorder()
		answered := false
		defer func() { c.check(req, sent, rec, answered) }()
		next.ServeHTTP(rec, req)
		answered = true
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	})
}

// RoundTrip serves the request. A handler that aborts is a broken connection; what it has
// written of an answer by then arrives.
func (t *Transport) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	var sent []byte
	if req.Body != nil {
		if sent, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.Body = io.NopCloser(bytes.NewReader(sent))
	rec := httptest.NewRecorder()
	func() {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler {
				err = io.ErrUnexpectedEOF
			} else if p != nil {
				panic(p)
			}
		}()
		t.Handler.ServeHTTP(rec, in)
	}()
	t.check(req, sent, rec, err == nil)
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	if err != nil && rec.Body.Len() == 0 {
		return nil, err
	}
	resp = rec.Result()
	resp.Request = req
	if err != nil {
		resp.Body = io.NopCloser(io.MultiReader(resp.Body, broken{err}))
	}
	return resp, nil
}

// broken is where an answer breaks off.
type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

func (c *Contract) check(req *http.Request, sent []byte, rec *httptest.ResponseRecorder, answered bool) {
	if c.router == nil {
		return
	}
	copied := req.Clone(context.Background())
	copied.URL.Scheme, copied.URL.Host = "", ""
	copied.Body = io.NopCloser(bytes.NewReader(sent))
	copied.ContentLength = int64(len(sent))
	route, params, err := c.router.FindRoute(copied)
	if err != nil {
		c.violate("%s %s: %v", req.Method, req.URL.Path, err)
		return
	}
	c.mu.Lock()
	c.Checked++
	c.mu.Unlock()
	in := &openapi3filter.RequestValidationInput{
		Request: copied, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: func(_ context.Context, a *openapi3filter.AuthenticationInput) error {
			if a.RequestValidationInput.Request.Header.Get("Authorization") == "" {
				return fmt.Errorf("no Authorization header")
			}
			return nil
		}},
	}
	if err := openapi3filter.ValidateRequest(context.Background(), in); err != nil {
		c.violate("request %s %s: %v", req.Method, req.URL.Path, err)
	}
	if !answered {
		return
	}
	out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: rec.Code, Header: rec.Header(),
		Options: &openapi3filter.Options{IncludeResponseStatus: true}}
	if rec.Body.Len() > 0 {
		out.SetBodyBytes(rec.Body.Bytes())
	} else {
		out.Options.ExcludeResponseBody = true
	}
	if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
		c.violate("response %d to %s %s: %v", rec.Code, req.Method, req.URL.Path, err)
	}
}
