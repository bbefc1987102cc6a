// Package registry knows the schemas under which records were written, by the ids in
// their frames. It asks a schema registry once for each: Confluent's, or one with its API
// (https://docs.confluent.io/platform/current/schema-registry/develop/api.html), or
// Apicurio's own (https://www.apicur.io/registry/docs/), as the id is one of theirs.
package registry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/schema/frame"
)

// Options say where the registry is and who asks.
type Options struct {
	URLs     []string
	Username string
	Password func() (string, error) // asked for at each request, as is Token
	Token    func() (string, error) // nil: basic authentication, if there is a user
	TLS      *tls.Config
	Logger   *slog.Logger
	// Transport is nil but in tests.
	Transport http.RoundTripper
	// MaxBackoff is the longest pause between two tries; 0 is 15 seconds.
	MaxBackoff time.Duration
	// Doubt is how long a registry is asked again that says it does not have an id,
	// for one that follows another may be behind the record; 0 is 5 seconds.
	Doubt time.Duration
}

// Registry is safe for concurrent use.
type Registry struct {
	opt     Options
	servers []*server

	mu      sync.Mutex
	known   map[frame.ID]answer
	asking  map[frame.ID]*question
	trouble map[frame.ID]string // why the registry does not answer about an id
}

// answer is what the registry said of an id. A schema never changes; that an id is
// unknown is believed for a while only.
type answer struct {
	schema *frame.Schema
	err    error
	until  time.Time
}

// question is an id that the registry is being asked about, once for all who wait.
type question struct {
	waiting int
	cancel  func()
	done    chan struct{}
}

const (
	requestTimeout = 10 * time.Second
	unknownFor     = 30 * time.Second
	maxSchema      = 16 << 20
)

// New returns a registry that has not been asked for anything yet.
func New(opt Options) (*Registry, error) {
	if opt.MaxBackoff == 0 {
		opt.MaxBackoff = 15 * time.Second
	}
	if opt.Doubt == 0 {
		opt.Doubt = 5 * time.Second
	}
	if opt.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = opt.TLS
		opt.Transport = t
	}
	r := &Registry{opt: opt, known: map[frame.ID]answer{}, asking: map[frame.ID]*question{}, trouble: map[frame.ID]string{}}
	client := &http.Client{Timeout: requestTimeout, Transport: authorized{opt.Transport, &r.opt}, CheckRedirect: sameServer}
	for _, url := range opt.URLs {
		s := &server{url: strings.TrimRight(url, "/"), http: client}
		var err error
		if s.cl, err = sr.NewClient(sr.URLs(url), sr.HTTPClient(client), sr.UserAgent("sluice")); err != nil {
			return nil, err
		}
		r.servers = append(r.servers, s)
	}
	return r, nil
}

// authorized adds the credentials, which may have changed since the last request.
type authorized struct {
	next http.RoundTripper
	opt  *Options
}

func (a authorized) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	switch {
	case a.opt.Token != nil:
		token, err := a.opt.Token()
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	case a.opt.Username != "":
		password, err := a.opt.Password()
		if err != nil {
			return nil, err
		}
		req.SetBasicAuth(a.opt.Username, password)
	}
	return a.next.RoundTrip(req)
}

// sameServer keeps the credentials from going wherever a registry redirects to.
func sameServer(req *http.Request, via []*http.Request) error {
	if from := via[0].URL; req.URL.Host != from.Host || req.URL.Scheme != from.Scheme {
		return fmt.Errorf("it redirects to another server, %s://%s, which is not followed", req.URL.Scheme, req.URL.Host)
	}
	if len(via) > 5 {
		return errors.New("it redirects without end")
	}
	return nil
}

// Schema returns what is known of an id, and nothing if Fetch must ask first. The
// error says that the registry does not have it, or that it is of no use.
func (r *Registry) Schema(id frame.ID) (*frame.Schema, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.fresh(id)
	return a.schema, a.err
}

func (r *Registry) fresh(id frame.ID) answer {
	a := r.known[id]
	if a.err != nil && time.Now().After(a.until) {
		return answer{}
	}
	return a
}

// Fetch asks the registry until it has answered, whether it has the id or not, so
// that Schema knows it. Those who ask for one id together share the asking, which ends
// when nobody waits any longer. The error is ctx's.
func (r *Registry) Fetch(ctx context.Context, id frame.ID) error {
	r.mu.Lock()
	if a := r.fresh(id); a.schema != nil || a.err != nil {
		r.mu.Unlock()
		return nil
	}
	q := r.asking[id]
	if q == nil {
		asking, cancel := context.WithCancel(context.WithoutCancel(ctx))
		q = &question{cancel: cancel, done: make(chan struct{})}
		r.asking[id] = q
		go func() {
			defer close(q.done)
			r.settle(asking, id)
		}()
	}
	q.waiting++
	r.mu.Unlock()
	var err error
	select {
	case <-q.done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.mu.Lock()
	q.waiting--
	last := q.waiting == 0
	if last && r.asking[id] == q {
		delete(r.asking, id)
		delete(r.trouble, id)
	}
	r.mu.Unlock()
	if last {
		q.cancel()
		<-q.done
	}
	return err
}

// settle asks until there is an answer, or ctx ends.
func (r *Registry) settle(ctx context.Context, id frame.ID) {
	wait := &backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, MaxInterval: r.opt.MaxBackoff, RandomizationFactor: 0.3, Multiplier: 2}
	wait.Reset()
	var doubted time.Time // since when it says that it does not have it
	for {
		t, err := r.ask(ctx, id)
		pause := wait.NextBackOff()
		var final *finalError
		switch {
		case err == nil:
			r.note(id, answer{schema: t})
			return
		case ctx.Err() != nil:
			return
		case errors.As(err, &final):
			if doubted.IsZero() {
				doubted = time.Now()
			}
			left := r.opt.Doubt - time.Since(doubted)
			if !final.unknown || left <= 0 {
				r.note(id, answer{err: err, until: time.Now().Add(unknownFor)})
				return
			}
			pause = min(pause, left)
		default:
			doubted = time.Time{}
			r.complain(id, explain(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// note keeps an answer, and forgets those that are not believed any more.
func (r *Registry) note(id frame.ID, a answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.known, func(_ frame.ID, a answer) bool { return a.err != nil && time.Now().After(a.until) })
	r.known[id] = a
	delete(r.asking, id)
	before := len(r.trouble)
	delete(r.trouble, id)
	if before > 0 && len(r.trouble) == 0 {
		r.opt.Logger.Info("the schema registry answers again")
	}
}

func (r *Registry) complain(id frame.ID, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.trouble) == 0 {
		r.opt.Logger.Warn("the schema registry does not answer; records of schemas that are not known yet wait for it, and nothing is lost", "error", text, "schema", id.String())
	}
	r.trouble[id] = text
}

// Trouble says why the registry does not answer, "" if it does.
func (r *Registry) Trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := ""
	for id, text := range r.trouble {
		if line := fmt.Sprintf("schema %v: %s", id, text); first == "" || line < first {
			first = line
		}
	}
	return first
}

// finalError is an answer that asking again would not change; if it is that something
// is unknown, then not for a while.
type finalError struct {
	text    string
	unknown bool
}

func (e *finalError) Error() string { return e.text }

func explain(err error) string { return fmt.Sprintf("%s (%s)", said(err), remedy(err)) }

// said is what went wrong, in the registry's words if it has any.
func said(err error) string {
	var status *sr.ResponseError
	if errors.As(err, &status) {
		if status.StatusCode == http.StatusNotFound {
			return fmt.Sprintf("404 at %s, not in a registry's words: %.200s", status.URL, err)
		}
		return fmt.Sprintf("%d %.200s", status.StatusCode, err)
	}
	return err.Error()
}

// remedy names the setting to look at after a request to the registry failed.
func remedy(err error) string {
	var status *sr.ResponseError
	var cert *tls.CertificateVerificationError
	var file *fs.PathError
	switch {
	case errors.As(err, &status):
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return "SLUICE_SCHEMA_REGISTRY_USERNAME and _PASSWORD, or _TOKEN"
		case http.StatusNotFound:
			return "SLUICE_SCHEMA_REGISTRY_URL, _FRAMING"
		}
	case errors.As(err, &cert):
		return "SLUICE_SCHEMA_REGISTRY_CA_FILE"
	case errors.As(err, &file):
		return "SLUICE_SCHEMA_REGISTRY_PASSWORD_FILE or _TOKEN_FILE"
	}
	return "SLUICE_SCHEMA_REGISTRY_URL"
}

// ask makes one try for a schema with all that it refers to, at one server after the
// other until one answers.
func (r *Registry) ask(ctx context.Context, id frame.ID) (t *frame.Schema, err error) {
	for _, s := range r.servers {
		t, err = s.schema(ctx, id)
		var final *finalError
		if err == nil || errors.As(err, &final) {
			return t, err
		}
	}
	return nil, err
}
