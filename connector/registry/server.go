package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/jsonschema"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// server is one address of the registry.
type server struct {
	url  string
	http *http.Client
	cl   *sr.Client
}

// document is a schema as the registry has it.
type document struct {
	name       string // under which another uses it
	body       string
	format     string // AVRO, JSON, …, as registries spell it
	references []reference
}

// reference is how a schema names another: by the name under which it uses it, and where
// that is.
type reference struct {
	name    string
	subject string // or the path of an Apicurio artifact's version
	version int
}

// schema asks for a schema by its id. Any error but a *finalError is worth another try.
func (s *server) schema(ctx context.Context, id frame.ID) (*frame.Schema, error) {
	found, err := s.byID(ctx, id)
	switch {
	case err != nil:
		return nil, s.judge(err, isApicurio(id), fmt.Sprintf("schema %v", id))
	case found.body == "":
		return nil, fmt.Errorf("an answer without a schema at %s", s.url)
	}
	var used []document
	if err := s.collect(ctx, found.references, isApicurio(id), map[string]bool{}, &used); err != nil {
		return nil, err
	}
	parsed, err := parse(found, used)
	if err != nil {
		return nil, &finalError{text: fmt.Sprintf("schema %v: %v", id, err)}
	}
	return parsed, nil
}

// parse reads a schema with those that it uses, each of which stands after those that it
// uses itself.
func parse(d document, used []document) (s *frame.Schema, err error) {
	s = &frame.Schema{}
	switch d.format {
	case "AVRO":
		var references []string
		for _, u := range used {
			references = append(references, u.body)
		}
		s.Avro, err = avro.Parse(d.body, references...)
	case "JSON":
		s.Connect, err = jsonschema.Connect(d.body, byName(used))
	case "PROTOBUF":
		s.Protobuf, err = protobuf.Parse(d.body, byName(used))
	case "KCONNECT": // Apicurio's ExtJsonConverter
		s.Connect = []byte(d.body)
	default:
		err = fmt.Errorf("it is %s; of a registry's schemas Avro, JSON and Protobuf are supported", d.format)
	}
	return s, err
}

func byName(used []document) map[string]string {
	m := map[string]string{}
	for _, u := range used {
		m[u.name] = u.body
	}
	return m
}

// isApicurio tells the ids that Apicurio's own API has.
func isApicurio(id frame.ID) bool { return id.Space != frame.SchemaID && id.Space != frame.GUID }

func (s *server) byID(ctx context.Context, id frame.ID) (document, error) {
	switch id.Space {
	case frame.SchemaID:
		found, err := s.cl.SchemaByID(ctx, int(id.Number))
		return confluent(found), err
	case frame.GUID:
		found, err := s.cl.SchemaByGUID(ctx, id.String())
		return confluent(found.Schema), err
	case frame.ContentHash:
		return s.artifact(ctx, "/ids/contentHashes/"+id.String(), "")
	case frame.ContentID:
		return s.artifact(ctx, fmt.Sprintf("/ids/contentIds/%d", id.Number), "")
	}
	return s.artifact(ctx, fmt.Sprintf("/ids/globalIds/%d", id.Number), "")
}

func confluent(s sr.Schema) document {
	t := document{body: s.Schema, format: s.Type.String()}
	for _, r := range s.References {
		t.references = append(t.references, reference{r.Name, r.Subject, r.Version})
	}
	return t
}

// judge tells a registry that does not have something from a server that is no
// registry: a wrong address must not make every record a bad one. Confluent's API has
// codes for it (https://docs.confluent.io/platform/current/schema-registry/develop/api.html#errors),
// Apicurio's own a name.
func (s *server) judge(err error, apicurio bool, what string) error {
	var status *sr.ResponseError
	if !errors.As(err, &status) || status.StatusCode != http.StatusNotFound {
		return err
	}
	unknown := status.ErrorCode/100 == http.StatusNotFound // 40401, 40402, 40403
	message := status.Message
	if apicurio {
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
func (s *server) collect(ctx context.Context, references []reference, apicurio bool, seen map[string]bool, to *[]document) error {
	for _, ref := range references {
		if seen[ref.name] {
			continue
		}
		seen[ref.name] = true
		var found document
		var err error
		if apicurio {
			content := ""
			if strings.Contains(s.url, "/v3") {
				content = "/content"
			}
			found, err = s.artifact(ctx, ref.subject, content)
		} else {
			var one sr.SubjectSchema
			one, err = s.cl.SchemaByVersion(sr.WithParams(ctx, sr.ShowDeleted), ref.subject, ref.version)
			found = confluent(one.Schema)
		}
		if err != nil {
			return s.judge(err, apicurio, fmt.Sprintf("%s, version %d of %s, to which a schema refers,", ref.name, ref.version, ref.subject))
		}
		if err := s.collect(ctx, found.references, apicurio, seen, to); err != nil {
			return err
		}
		found.name = ref.name
		*to = append(*to, found)
	}
	return nil
}

// get reads from Apicurio's own API, which may say of what format a schema is.
func (s *server) get(ctx context.Context, path string) (body []byte, format string, err error) {
	resp, body, err := s.read(ctx, path)
	if err != nil {
		return nil, "", err
	}
	return body, resp.Header.Get("X-Registry-ArtifactType"), nil
}

// read returns the answer too where it is a refusal.
func (s *server) read(ctx context.Context, path string) (resp *http.Response, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err = s.http.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxSchema))
	if err == nil && resp.StatusCode != http.StatusOK {
		e := &sr.ResponseError{Method: http.MethodGet, URL: req.URL.String(), StatusCode: resp.StatusCode, Raw: body}
		json.Unmarshal(body, e) // what is no registry's error stays as it came
		err = e
	}
	return resp, body, err
}

// guessed tells the format of a schema whose registry does not, as Apicurio's version 2.
func guessed(body []byte) string {
	var connect struct{ Type string }
	switch json.Unmarshal(body, &connect); {
	case connect.Type == "struct":
		return "KCONNECT"
	case jsonschema.Is(body):
		return "JSON"
	case bytes.Contains(body, []byte("message ")) && !json.Valid(body):
		return "PROTOBUF"
	}
	return "AVRO"
}

// artifact reads a schema at a path of Apicurio's own API, and what it refers to.
func (s *server) artifact(ctx context.Context, path, content string) (document, error) {
	body, format, err := s.get(ctx, path+content+"?returnArtifactType=true")
	if err != nil {
		return document{}, err
	}
	t := document{body: string(body), format: format}
	if format == "" {
		t.format = guessed(body)
	}
	list, _, err := s.get(ctx, path+"/references")
	if err != nil {
		return t, err
	}
	var refs []struct{ GroupID, ArtifactID, Version, Name string }
	if err := json.Unmarshal(list, &refs); err != nil {
		return t, fmt.Errorf("references at %s: %w", path, err)
	}
	for _, ref := range refs {
		group := ref.GroupID
		if group == "" {
			group = "default"
		}
		t.references = append(t.references, reference{name: ref.Name, subject: fmt.Sprintf("/groups/%s/artifacts/%s/versions/%s", group, ref.ArtifactID, ref.Version)})
	}
	return t, nil
}
