package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/schema/avro"
)

// server is one address of the registry.
type server struct {
	url      string
	http     *http.Client
	cl       *sr.Client
	apicurio bool
}

// schema asks for a schema by its id. Any error but a *finalError is worth another try.
func (s *server) schema(ctx context.Context, id uint64) (*avro.Type, error) {
	var found sr.Schema
	var err error
	if s.apicurio {
		found, err = s.globalID(ctx, id)
	} else {
		found, err = s.cl.SchemaByID(ctx, int(id))
	}
	switch {
	case err != nil:
		return nil, s.judge(err, fmt.Sprintf("schema %d", id))
	case found.Schema == "":
		return nil, fmt.Errorf("an answer without a schema at %s", s.url)
	case found.Type != sr.TypeAvro:
		return nil, &finalError{text: fmt.Sprintf("schema %d is %v; of a registry's schemas only Avro is supported", id, found.Type)}
	}
	var references []string
	if err := s.collect(ctx, found.References, map[string]bool{}, &references); err != nil {
		return nil, err
	}
	t, err := avro.Parse(found.Schema, references...)
	if err != nil {
		return nil, &finalError{text: fmt.Sprintf("schema %d: %v", id, err)}
	}
	return t, nil
}

// judge tells a registry that does not have something from a server that is no
// registry: a wrong address must not make every record a bad one. Confluent's API has
// codes for it (https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors),
// Apicurio's own a name.
func (s *server) judge(err error, what string) error {
	var status *sr.ResponseError
	if !errors.As(err, &status) || status.StatusCode != http.StatusNotFound {
		return err
	}
	unknown := status.ErrorCode/100 == http.StatusNotFound // 40401, 40402, 40403
	message := status.Message
	if s.apicurio {
		var problem struct{ Name, Title, Detail string }
		json.Unmarshal(status.Raw, &problem)
		unknown = strings.HasSuffix(problem.Name, "NotFoundException")
		if message == "" {
			message = problem.Title
		}
	}
	if !unknown {
		return err
	}
	return &finalError{text: fmt.Sprintf("%s is not in the registry at %s: %.200s", what, s.url, message), unknown: true}
}

// collect appends the schemas that references name, each behind those that it uses. Of
// one name the first is taken: it is the one that the outer schema means.
func (s *server) collect(ctx context.Context, references []sr.SchemaReference, seen map[string]bool, to *[]string) error {
	for _, ref := range references {
		if seen[ref.Name] {
			continue
		}
		seen[ref.Name] = true
		var found sr.Schema
		var err error
		if s.apicurio {
			found, err = s.artifact(ctx, ref) // whose path stands as the subject
		} else {
			var one sr.SubjectSchema
			one, err = s.cl.SchemaByVersion(sr.WithParams(ctx, sr.ShowDeleted), ref.Subject, ref.Version)
			found = one.Schema
		}
		if err != nil {
			return s.judge(err, fmt.Sprintf("%s, version %d of %s, to which a schema refers,", ref.Name, ref.Version, ref.Subject))
		}
		if err := s.collect(ctx, found.References, seen, to); err != nil {
			return err
		}
		*to = append(*to, found.Schema)
	}
	return nil
}

// get reads from Apicurio's own API.
func (s *server) get(ctx context.Context, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxSchema))
	if err == nil && resp.StatusCode != http.StatusOK {
		e := &sr.ResponseError{Method: http.MethodGet, URL: req.URL.String(), StatusCode: resp.StatusCode, Raw: body}
		json.Unmarshal(body, e) // what is no registry's error stays as it came
		err = e
	}
	return body, err
}

// reference is how Apicurio names another artifact.
type reference struct{ GroupID, ArtifactID, Version, Name string }

func (s *server) globalID(ctx context.Context, id uint64) (sr.Schema, error) {
	path := fmt.Sprintf("/ids/globalIds/%d", id)
	text, err := s.get(ctx, path)
	if err != nil {
		return sr.Schema{}, err
	}
	return s.withReferences(ctx, text, path+"/references")
}

func (s *server) artifact(ctx context.Context, ref sr.SchemaReference) (sr.Schema, error) {
	content := ref.Subject
	if strings.Contains(s.url, "/v3") {
		content += "/content"
	}
	text, err := s.get(ctx, content)
	if err != nil {
		return sr.Schema{}, err
	}
	return s.withReferences(ctx, text, ref.Subject+"/references")
}

func (s *server) withReferences(ctx context.Context, text []byte, path string) (sr.Schema, error) {
	found := sr.Schema{Schema: string(text)}
	list, err := s.get(ctx, path)
	if err != nil {
		return found, err
	}
	var refs []reference
	if err := json.Unmarshal(list, &refs); err != nil {
		return found, fmt.Errorf("references at %s: %w", path, err)
	}
	for _, ref := range refs {
		group := ref.GroupID
		if group == "" {
			group = "default"
		}
		found.References = append(found.References, sr.SchemaReference{Name: ref.Name, Subject: fmt.Sprintf("/groups/%s/artifacts/%s/versions/%s", group, ref.ArtifactID, ref.Version)})
	}
	return found, nil
}
