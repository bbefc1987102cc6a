// Package registry knows the schemas under which Avro records were written, by the
// ids in their frames. It asks a schema registry once for each: Confluent's, or one
// with its API (https://docs.confluent.io/platform/current/schema-registry/develop/api.html),
// or Apicurio's own (https://www.apicur.io/registry/docs/).
package registry

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/schema/avro"
)

// Options say where the registry is and who asks.
type Options struct {
	URLs []string
	// Apicurio says that ids are Apicurio's global ids, and URLs its own API.
	Apicurio bool
	Username string
	Password func() (string, error) // asked for at each request, as is Token
	Token    func() (string, error) // nil: basic authentication, if there is a user
	TLS      *tls.Config
	Logger   *slog.Logger
	// Transport is nil but in tests.
	Transport http.RoundTripper
	// MaxBackoff is the longest pause between two tries; 0 is 15 seconds.
	MaxBackoff time.Duration
}

// Registry is safe for concurrent use.
type Registry struct {
	opt     Options
	http    *http.Client
	cl      *sr.Client
	trouble atomic.Pointer[string]

	mu    sync.Mutex
	known map[uint64]answer
}

// answer is what the registry said of an id. A schema never changes; that an id is
// unknown is believed for a while only.
type answer struct {
	schema *avro.Type
	err    error
	until  time.Time
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
	if opt.Transport == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.TLSClientConfig = opt.TLS
		opt.Transport = t
	}
	r := &Registry{opt: opt, known: map[uint64]answer{}}
	r.http = &http.Client{Timeout: requestTimeout, Transport: authorized{opt.Transport, &r.opt}}
	var err error
	r.cl, err = sr.NewClient(sr.URLs(opt.URLs...), sr.HTTPClient(r.http), sr.UserAgent("sluice"))
	return r, err
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

// Schema returns what is known of an id, and nothing if Fetch must ask first. The
// error says that the registry does not have it, or that it is of no use.
func (r *Registry) Schema(id uint64) (*avro.Type, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.known[id]
	if !ok || (a.err != nil && time.Now().After(a.until)) {
		return nil, nil
	}
	return a.schema, a.err
}

// Fetch asks the registry until it has answered, whether it has the id or not, so
// that Schema knows it. The error is ctx's.
func (r *Registry) Fetch(ctx context.Context, id uint64) error {
	wait := &backoff.ExponentialBackOff{InitialInterval: 200 * time.Millisecond, MaxInterval: r.opt.MaxBackoff, RandomizationFactor: 0.3, Multiplier: 2}
	wait.Reset()
	for {
		if t, err := r.Schema(id); t != nil || err != nil { // another partition asked
			return nil
		}
		t, err := r.ask(ctx, id)
		var final *finalError
		if err == nil || errors.As(err, &final) {
			r.mu.Lock()
			r.known[id] = answer{t, err, time.Now().Add(unknownFor)}
			r.mu.Unlock()
			if r.trouble.Swap(nil) != nil {
				r.opt.Logger.Info("the schema registry answers again")
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		text := explain(err)
		if r.trouble.Swap(&text) == nil {
			r.opt.Logger.Warn("the schema registry does not answer; records of schemas that are not known yet wait for it, and nothing is lost", "error", text, "schema", id)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait.NextBackOff()):
		}
	}
}

// Trouble says why the registry does not answer, "" if it does.
func (r *Registry) Trouble() string {
	if t := r.trouble.Load(); t != nil {
		return *t
	}
	return ""
}

// finalError is an answer that asking again would not change.
type finalError struct{ text string }

func (e *finalError) Error() string { return e.text }

func explain(err error) string {
	var status *sr.ResponseError
	if errors.As(err, &status) {
		switch status.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			return fmt.Sprintf("%d %v (SLUICE_SCHEMA_REGISTRY_USERNAME and _PASSWORD, or _TOKEN)", status.StatusCode, err)
		case http.StatusNotFound:
			return fmt.Sprintf("404 at %s, not in a registry's words (SLUICE_SCHEMA_REGISTRY_URL, _FRAMING): %.200s", status.URL, err)
		}
		return fmt.Sprintf("%d %.200s", status.StatusCode, err.Error())
	}
	return fmt.Sprintf("%v (SLUICE_SCHEMA_REGISTRY_URL)", err)
}

// ask makes one try for a schema with all that it refers to.
func (r *Registry) ask(ctx context.Context, id uint64) (*avro.Type, error) {
	var s sr.Schema
	var err error
	if r.opt.Apicurio {
		s, err = r.globalID(ctx, id)
	} else {
		s, err = r.cl.SchemaByID(ctx, int(id))
	}
	var status *sr.ResponseError
	if errors.As(err, &status) && status.StatusCode == http.StatusNotFound && saysUnknown(status) {
		return nil, &finalError{fmt.Sprintf("schema %d is not in the registry at %s: %s", id, strings.Join(r.opt.URLs, ","), status.Message)}
	}
	if err != nil {
		return nil, err
	}
	if s.Type != sr.TypeAvro {
		return nil, &finalError{fmt.Sprintf("schema %d is %v; of a registry's schemas only Avro is supported", id, s.Type)}
	}
	var references []string
	if err := r.collect(ctx, s.References, map[sr.SchemaReference]bool{}, &references); err != nil {
		return nil, err
	}
	t, err := avro.Parse(s.Schema, references...)
	if err != nil {
		return nil, &finalError{fmt.Sprintf("schema %d: %v", id, err)}
	}
	return t, nil
}

// saysUnknown tells a registry that does not have a schema from a server that is no
// registry: a wrong address must not make every record a bad one.
func saysUnknown(e *sr.ResponseError) bool {
	return e.ErrorCode == sr.ErrSchemaNotFound.Code || e.ErrorCode == sr.ErrSubjectNotFound.Code || e.ErrorCode == sr.ErrVersionNotFound.Code || e.ErrorCode == http.StatusNotFound
}

// collect appends the schemas that references name, each behind those that it uses.
func (r *Registry) collect(ctx context.Context, references []sr.SchemaReference, seen map[sr.SchemaReference]bool, to *[]string) error {
	for _, ref := range references {
		if at := (sr.SchemaReference{Subject: ref.Subject, Version: ref.Version}); seen[at] {
			continue
		} else {
			seen[at] = true
		}
		var s sr.Schema
		if r.opt.Apicurio {
			// Name, subject and version stand for artifact, group and version.
			var err error
			if s, err = r.artifact(ctx, ref); err != nil {
				return err
			}
		} else {
			one, err := r.cl.SchemaByVersion(ctx, ref.Subject, ref.Version)
			if err != nil {
				return err
			}
			s = one.Schema
		}
		if err := r.collect(ctx, s.References, seen, to); err != nil {
			return err
		}
		*to = append(*to, s.Schema)
	}
	return nil
}

// get reads from Apicurio's own API, the first address that answers.
func (r *Registry) get(ctx context.Context, path string) (body []byte, err error) {
	for _, base := range r.opt.URLs {
		var req *http.Request
		if req, err = http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(base, "/")+path, nil); err != nil {
			return nil, err
		}
		var resp *http.Response
		if resp, err = r.http.Do(req); err != nil {
			continue
		}
		body, err = io.ReadAll(io.LimitReader(resp.Body, maxSchema))
		resp.Body.Close()
		if err == nil && resp.StatusCode != http.StatusOK {
			e := &sr.ResponseError{Method: http.MethodGet, URL: req.URL.String(), StatusCode: resp.StatusCode, Raw: body}
			json.Unmarshal(body, e) // what is no registry's error stays as it came
			err = e
		}
		if err == nil {
			return body, nil
		}
	}
	return nil, err
}

// reference is how Apicurio names another artifact.
type reference struct{ GroupID, ArtifactID, Version, Name string }

func (r *Registry) globalID(ctx context.Context, id uint64) (sr.Schema, error) {
	path := fmt.Sprintf("/ids/globalIds/%d", id)
	text, err := r.get(ctx, path)
	if err != nil {
		return sr.Schema{}, err
	}
	return r.withReferences(ctx, text, path+"/references")
}

func (r *Registry) artifact(ctx context.Context, ref sr.SchemaReference) (sr.Schema, error) {
	path := ref.Subject
	content := path
	if strings.Contains(r.opt.URLs[0], "/v3") {
		content += "/content"
	}
	text, err := r.get(ctx, content)
	if err != nil {
		return sr.Schema{}, err
	}
	return r.withReferences(ctx, text, path+"/references")
}

func (r *Registry) withReferences(ctx context.Context, text []byte, path string) (sr.Schema, error) {
	s := sr.Schema{Schema: string(text)}
	list, err := r.get(ctx, path)
	if err != nil {
		return s, err
	}
	var refs []reference
	if err := json.Unmarshal(list, &refs); err != nil {
		return s, fmt.Errorf("references at %s: %w", path, err)
	}
	for _, ref := range refs {
		group := ref.GroupID
		if group == "" {
			group = "default"
		}
		s.References = append(s.References, sr.SchemaReference{Name: ref.Name, Subject: fmt.Sprintf("/groups/%s/artifacts/%s/versions/%s", group, ref.ArtifactID, ref.Version)})
	}
	return s, nil
}
