package registry

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/sluice-cdc/sluice/schema/frame"
)

// handler answers requests without a network.
type handler struct{ http.Handler }

func (h handler) RoundTrip(req *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec.Result(), nil
}

func open(t *testing.T, opt Options, h http.Handler) *Registry {
	t.Helper()
	if opt.URLs == nil {
		opt.URLs = []string{"http://registry:8081"}
	}
	opt.Logger = slog.New(slog.DiscardHandler)
	opt.Transport = handler{h}
	if opt.Doubt == 0 {
		opt.Doubt = time.Millisecond
	}
	r, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fetched asks for an id and returns what is known then.
func fetched(t *testing.T, r *Registry, id frame.ID) (*frame.Schema, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if typ, err := r.Schema(id); typ != nil || err != nil {
		t.Fatalf("schema %v was known before it was asked for: %v %v", id, typ, err)
	}
	if err := r.Fetch(ctx, id); err != nil {
		t.Fatalf("schema %v: %v; %s", id, err, r.Trouble())
	}
	return r.Schema(id)
}

// number is an id of Confluent's.
func number(n uint64) frame.ID { return frame.Number(frame.SchemaID, n, 32) }

const (
	money = `{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"long"}]}`
	line  = `{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"price","type":"shop.Money"}]}`
	order = `{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"line","type":"shop.Line"},{"name":"tip","type":"shop.Money"}]}`
)

func TestSchemas(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
	fake.SeedSchema("line", 1, 2, sr.Schema{Schema: line, References: []sr.SchemaReference{{Name: "shop.Money", Subject: "money", Version: 1}}})
	fake.SeedSchema("order", 1, 3, sr.Schema{Schema: order, References: []sr.SchemaReference{
		{Name: "shop.Money", Subject: "money", Version: 1}, {Name: "shop.Line", Subject: "line", Version: 1}}})
	fake.SeedSchema("empty", 1, 4, sr.Schema{Schema: `syntax = "proto3";`, Type: sr.TypeProtobuf})
	fake.SeedSchema("cents.proto", 1, 8, sr.Schema{Schema: `syntax = "proto3"; package shop; message Cents { int64 n = 1; }`, Type: sr.TypeProtobuf})
	fake.SeedSchema("proto", 1, 9, sr.Schema{Schema: `syntax = "proto3"; package shop; import "shop/cents.proto"; import "confluent/meta.proto"; message Row { .shop.Cents price = 1; }`, Type: sr.TypeProtobuf,
		References: []sr.SchemaReference{{Name: "shop/cents.proto", Subject: "cents.proto", Version: 1}}})
	fake.SeedSchema("broken", 1, 5, sr.Schema{Schema: `{"type":"record"}`})
	fake.SeedSchema("cents", 1, 7, sr.Schema{Schema: `{"type":"integer","connect.type":"int16"}`, Type: sr.TypeJSON})
	fake.SeedSchema("row", 1, 6, sr.Schema{Schema: `{"type":"object","title":"Row","properties":{"a":{"$ref":"cents.json"}}}`, Type: sr.TypeJSON, References: []sr.SchemaReference{{Name: "cents.json", Subject: "cents", Version: 1}}})
	r := open(t, Options{}, fake.Handler())
	if s, err := fetched(t, r, number(6)); err != nil || string(s.Connect) != `{"type":"struct","optional":false,"name":"Row","fields":[{"type":"int16","optional":false,"field":"a"}]}` {
		t.Errorf("JSON: %s, %v", s.Connect, err)
	}
	if s, err := fetched(t, r, number(9)); err != nil || s.Protobuf.Messages[0].Fields[0].Message.Name != "shop.Cents" {
		t.Errorf("Protobuf: %v", err)
	}
	for id, name := range map[uint64]string{1: "shop.Money", 2: "shop.Line", 3: "shop.Order"} {
		if typ, err := fetched(t, r, number(id)); err != nil || typ.Avro.Name != name {
			t.Errorf("schema %d: %v, %v", id, typ, err)
		}
	}
	for id, want := range map[uint64]string{4: "no message in it", 5: "avro schema", 77: "schema 77 is not in the registry at http://registry:8081"} {
		if _, err := fetched(t, r, number(id)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("schema %d: %v, want %q", id, err, want)
		}
	}
}

// TestAway: a registry that is away for ten minutes is asked again and again, not too
// often, and in the end the schema is there. What is known stays known.
func TestAway(t *testing.T) {
	for name, away := range map[string]func(http.ResponseWriter){
		"503":                  func(w http.ResponseWriter) { http.Error(w, "starting", http.StatusServiceUnavailable) },
		"another server's 404": func(w http.ResponseWriter) { http.Error(w, "<html>no such page</html>", http.StatusNotFound) },
		"credentials not there": func(w http.ResponseWriter) {
			http.Error(w, `{"error_code":401,"message":"no"}`, http.StatusUnauthorized)
		},
		"half an answer": func(w http.ResponseWriter) { fmt.Fprint(w, `{"schema":"{`) },
	} {
		synctest.Test(t, func(t *testing.T) {
			fake := srfake.NewRegistry()
			fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
			fake.SeedSchema("money", 2, 2, sr.Schema{Schema: money})
			start, asked, down := time.Now(), 0, false
			r := open(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				asked++
				if down && time.Since(start) < 10*time.Minute {
					away(w)
					return
				}
				fake.Handler().ServeHTTP(w, req)
			}))
			if err := r.Fetch(t.Context(), number(2)); err != nil {
				t.Fatal(err)
			}
			down, asked = true, 0
			done := make(chan error, 1)
			go func() { done <- r.Fetch(t.Context(), number(1)) }()
			time.Sleep(5 * time.Minute)
			if r.Trouble() == "" || !strings.Contains(r.Trouble(), "SLUICE_SCHEMA_REGISTRY_") && name != "503" {
				t.Errorf("%s: the trouble is %q", name, r.Trouble())
			}
			if typ, err := r.Schema(number(2)); typ == nil || err != nil {
				t.Errorf("%s: a known schema is forgotten: %v", name, err)
			}
			if typ, err := r.Schema(number(1)); typ != nil || err != nil {
				t.Errorf("%s: unknown because the registry is away: %v", name, err)
			}
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if typ, err := r.Schema(number(1)); typ == nil || err != nil || r.Trouble() != "" {
				t.Errorf("%s: %v, %v; trouble %q", name, typ, err, r.Trouble())
			}
			if asked > 100 {
				t.Errorf("%s: asked %d times in ten minutes", name, asked)
			}
		})
	}
}

// TestUnknownForAWhile: an id that the registry did not have is asked for again.
func TestUnknownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := srfake.NewRegistry()
		r := open(t, Options{}, fake.Handler())
		if _, err := fetched(t, r, number(1)); err == nil {
			t.Fatal("an empty registry has a schema")
		}
		fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
		time.Sleep(time.Minute)
		if typ, err := fetched(t, r, number(1)); err != nil || typ == nil {
			t.Errorf("%v, %v", typ, err)
		}
	})
}

func TestCredentials(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
	fake.SeedSchema("money", 2, 2, sr.Schema{Schema: money})
	var want string
	guarded := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Header.Get("Authorization") != want {
			http.Error(w, `{"error_code":401,"message":"no"}`, http.StatusUnauthorized)
			return
		}
		fake.Handler().ServeHTTP(w, req)
	})
	secret := "first"
	give := func() (string, error) { return secret, nil }
	basic := open(t, Options{Username: "me", Password: give}, guarded)
	want = "Basic bWU6Zmlyc3Q="
	if _, err := fetched(t, basic, number(1)); err != nil {
		t.Error(err)
	}
	secret, want = "second", "Basic bWU6c2Vjb25k" // rotated
	if _, err := fetched(t, basic, number(2)); err != nil {
		t.Error(err)
	}
	want = "Bearer second"
	if _, err := fetched(t, open(t, Options{Token: give}, guarded), number(1)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	wrong := open(t, Options{Username: "me", Password: give}, guarded)
	done := make(chan error, 1)
	go func() { done <- wrong.Fetch(ctx, number(1)) }()
	for wrong.Trouble() == "" {
		time.Sleep(time.Millisecond)
	}
	if text := wrong.Trouble(); !strings.Contains(text, "SLUICE_SCHEMA_REGISTRY_USERNAME") || strings.Contains(text, "second") {
		t.Errorf("refused: trouble %q", text)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || wrong.Trouble() != "" {
		t.Errorf("nobody waits any longer: %v, trouble %q", err, wrong.Trouble())
	}
}

// TestRedirect: credentials do not go where a registry redirects to.
func TestRedirect(t *testing.T) {
	told := false
	r := open(t, Options{Token: func() (string, error) { return "secret", nil }}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if told = told || req.URL.Host != "registry:8081"; told {
			return
		}
		http.Redirect(w, req, "http://elsewhere:8081/"+req.URL.Path, http.StatusFound)
	}))
	if _, err := r.ask(t.Context(), number(1)); err == nil || !strings.Contains(err.Error(), "another server") || told {
		t.Errorf("%v; the other server was asked: %v", err, told)
	}
}

// TestOneQuestion: those who wait for one id ask once, and the last to leave ends it.
func TestOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake, asked := srfake.NewRegistry(), 0
		fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
		r := open(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			asked++
			time.Sleep(time.Second)
			fake.Handler().ServeHTTP(w, req)
		}))
		for range 50 {
			go r.Fetch(t.Context(), number(1))
		}
		time.Sleep(5 * time.Second)
		if typ, _ := r.Schema(number(1)); typ == nil || asked != 1 {
			t.Errorf("%v after %d requests", typ, asked)
		}
	})
}

// TestDoubt: a registry that is behind the record does not make it a bad one.
func TestDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := srfake.NewRegistry()
		r := open(t, Options{Doubt: 5 * time.Second}, fake.Handler())
		time.AfterFunc(3*time.Second, func() { fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money}) })
		if err := r.Fetch(t.Context(), number(1)); err != nil {
			t.Fatal(err)
		}
		if typ, err := r.Schema(number(1)); typ == nil || err != nil {
			t.Errorf("%v, %v", typ, err)
		}
		for id := range uint64(100) {
			r.Fetch(t.Context(), number(1000+id))
			time.Sleep(time.Minute)
		}
		if len(r.known) > 3 {
			t.Errorf("%d answers are kept", len(r.known))
		}
	})
}

// TestAnswers: what is final and what is worth another try.
func TestAnswers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		apicurio bool
		status   int
		body     string
		want     string // of a final error; "" is another try
	}{
		{"Confluent's code", false, 404, `{"error_code":40403,"message":"Schema 1 not found"}`, "schema 1 is not in the registry"},
		{"Confluent's wrong path", false, 404, `{"error_code":404,"message":"HTTP 404 Not Found"}`, ""},
		{"Apicurio 2", true, 404, `{"message":"No artifact","error_code":404,"name":"ArtifactNotFoundException"}`, "No artifact"},
		{"Apicurio 3", true, 404, `{"title":"No content with id '1' was found.","status":404,"name":"ContentNotFoundException"}`, "No content with id"},
		{"Apicurio's wrong path", true, 404, `{"title":"Not found","status":404}`, ""},
		{"maintenance", false, 200, `{"status":"maintenance"}`, ""},
		{"no object", false, 200, `[]`, ""},
		{"bad gateway", true, 502, `<html>`, ""},
		{"bad request", false, 400, `{"error_code":400,"message":"no"}`, ""},
	} {
		id := number(1)
		if tc.apicurio {
			id = frame.Number(frame.GlobalID, 1, 64)
		}
		r := open(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tc.status)
			fmt.Fprint(w, tc.body)
		}))
		_, err := r.ask(t.Context(), id)
		var final *finalError
		if err == nil || errors.As(err, &final) != (tc.want != "") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestMissingReference: a schema that refers to one which is not there is of no use.
func TestMissingReference(t *testing.T) {
	r := open(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/schemas/ids/") {
			fmt.Fprintf(w, `{"schema":%q,"references":[{"name":"shop.Money","subject":"money","version":1}]}`, line)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"error_code":40401,"message":"Subject 'money' not found."}`)
	}))
	if _, err := fetched(t, r, number(2)); err == nil || !strings.Contains(err.Error(), "shop.Money, version 1 of money") {
		t.Error(err)
	}
}

// TestReferencesMeet: one name reached in two versions is that of the outer schema.
func TestReferencesMeet(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
	fake.SeedSchema("money", 2, 2, sr.Schema{Schema: strings.Replace(money, `"cents"`, `"pence"`, 1)})
	fake.SeedSchema("line", 1, 3, sr.Schema{Schema: line, References: []sr.SchemaReference{{Name: "shop.Money", Subject: "money", Version: 1}}})
	fake.SeedSchema("order", 1, 4, sr.Schema{Schema: order, References: []sr.SchemaReference{
		{Name: "shop.Money", Subject: "money", Version: 2}, {Name: "shop.Line", Subject: "line", Version: 1}}})
	typ, err := fetched(t, open(t, Options{}, fake.Handler()), number(4))
	if err != nil || typ.Avro.Fields[1].Type.Fields[0].Name != "pence" {
		t.Errorf("%v, %v", typ, err)
	}
}

// TestFailover: the next address is asked where one is down, whatever way.
func TestFailover(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
	r, err := New(Options{URLs: []string{"http://down:1", "http://up:1"}, Logger: slog.New(slog.DiscardHandler), Transport: handler{http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Host == "down:1" {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		fake.Handler().ServeHTTP(w, req)
	})}})
	if err != nil {
		t.Fatal(err)
	}
	if typ, err := fetched(t, r, number(1)); err != nil || typ == nil {
		t.Errorf("%v, %v", typ, err)
	}
}

// TestApicurio: each of its ids, and references, by Apicurio's own API.
func TestApicurio(t *testing.T) {
	hash := frame.Hash([]byte(strings.Repeat("0a", 32)))
	references := `[{"groupId":null,"artifactId":"money","version":"1","name":"shop.Money"},{"groupId":"g","artifactId":"line","version":"7","name":"shop.Line"}]`
	for _, version := range []struct{ url, content string }{{"http://r/apis/registry/v2", ""}, {"http://r/apis/registry/v3", "/content"}} {
		at := strings.TrimPrefix(version.url, "http://r")
		answers := map[string]string{
			at + "/groups/default/artifacts/money/versions/1" + version.content: money, at + "/groups/default/artifacts/money/versions/1/references": `[]`,
			at + "/groups/g/artifacts/line/versions/7" + version.content: line, at + "/groups/g/artifacts/line/versions/7/references": `[{"artifactId":"money","version":"1","name":"shop.Money"}]`,
		}
		for _, path := range []string{"/ids/globalIds/4294967298", "/ids/contentIds/7", "/ids/contentHashes/" + strings.Repeat("0a", 32)} {
			answers[at+path], answers[at+path+"/references"] = order, references
		}
		r := open(t, Options{URLs: []string{version.url}}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if text, ok := answers[req.URL.Path]; ok {
				fmt.Fprint(w, text)
				return
			}
			http.Error(w, `{"message":"No artifact with ID found","error_code":404,"name":"ArtifactNotFoundException"}`, http.StatusNotFound)
		}))
		for _, id := range []frame.ID{frame.Number(frame.GlobalID, 4294967298, 64), frame.Number(frame.ContentID, 7, 32), hash} {
			if typ, err := fetched(t, r, id); err != nil || typ.Avro.Name != "shop.Order" {
				t.Errorf("%v: %v, %v", id, typ, err)
			}
		}
		for want, id := range map[string]frame.ID{"globalId 5": frame.Number(frame.GlobalID, 5, 64), "contentId 5": frame.Number(frame.ContentID, 5, 64), strings.Repeat("1b", 32): frame.Hash([]byte(strings.Repeat("1b", 32)))} {
			if _, err := fetched(t, r, id); err == nil || !strings.Contains(err.Error(), "schema "+want+" is not in the registry") {
				t.Errorf("an unknown id: %v", err)
			}
		}
	}
}

// TestApicurioFormats: what a schema is of is as the registry says, or as it looks.
func TestApicurioFormats(t *testing.T) {
	for _, tc := range []struct{ said, body, want string }{
		{"AVRO", money, "avro"}, {"", money, "avro"}, {"", `"string"`, "avro"}, {"", `["null","string"]`, "avro"},
		{"JSON", `{"type":"string"}`, `{"type":"string","optional":false}`},
		{"", `{"type":"object","properties":{}}`, `{"type":"struct","optional":false}`},
		{"", `{"$schema":"http://json-schema.org/draft-07/schema#","type":"string"}`, `{"type":"string","optional":false}`},
		{"KCONNECT", `{"type":"string"}`, `{"type":"string"}`}, {"", `{"type":"struct","fields":[]}`, `{"type":"struct","fields":[]}`},
		{"PROTOBUF", `message M {}`, "protobuf"}, {"", `syntax = "proto3"; message M {}`, "protobuf"},
		{"XSD", `<xml/>`, "it is XSD"},
	} {
		r := open(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if tc.said != "" && req.URL.Query().Get("returnArtifactType") == "true" {
				w.Header().Set("X-Registry-ArtifactType", tc.said)
			}
			if strings.HasSuffix(req.URL.Path, "/references") {
				fmt.Fprint(w, `[]`)
				return
			}
			fmt.Fprint(w, tc.body)
		}))
		s, err := fetched(t, r, frame.Number(frame.ContentID, 1, 32))
		got := ""
		switch {
		case err != nil:
			got = err.Error()
		case s.Avro != nil:
			got = "avro"
		case s.Protobuf != nil:
			got = "protobuf"
		default:
			got = string(s.Connect)
		}
		if got != tc.want && (err == nil || !strings.Contains(got, tc.want)) {
			t.Errorf("%s %s: %s, want %s", tc.said, tc.body, got, tc.want)
		}
	}
}

// TestGUID: a GUID means the same as the id, references and all.
func TestGUID(t *testing.T) {
	fake := srfake.NewRegistry()
	fake.SeedSchema("money", 1, 1, sr.Schema{Schema: money})
	fake.SeedSchema("line", 1, 2, sr.Schema{Schema: line, References: []sr.SchemaReference{{Name: "shop.Money", Subject: "money", Version: 1}}})
	seeded, _ := fake.GetSchema("line", 1)
	raw, err := hex.DecodeString(strings.ReplaceAll(seeded.GUID, "-", ""))
	if err != nil {
		t.Fatal(err)
	}
	id, rest := frame.Confluent.Prefix(append([]byte{1}, raw...))
	if len(rest) > 0 || id.String() != seeded.GUID {
		t.Fatalf("read as %v, want %s", id, seeded.GUID)
	}
	r := open(t, Options{}, fake.Handler())
	if typ, err := fetched(t, r, id); err != nil || typ.Avro.Name != "shop.Line" {
		t.Errorf("%v, %v", typ, err)
	}
	id.Hash[0]++
	if _, err := fetched(t, r, id); err == nil || !strings.Contains(err.Error(), "schema "+id.String()+" is not in the registry") {
		t.Errorf("an unknown GUID: %v", err)
	}
}
