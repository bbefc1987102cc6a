package emulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/parquet-go/parquet-go"
)

// caller talks to an emulator by hand, as a client that knows nothing of Sluice.
type caller struct {
	t *testing.T
	e *Emulator
}

func (c caller) do(method, path, contentType string, body []byte) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "/data-ingestion/api/v1/data-push/pool/jobs/"+path, bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer k")
	req.Header.Set("Content-Type", contentType)
	rec := httptest.NewRecorder()
	c.e.ServeHTTP(rec, req)
	return rec
}

// want makes a call and checks its status and words.
func (c caller) want(status int, words, method, path string) {
	c.t.Helper()
	if rec := c.do(method, path, "application/json", nil); rec.Code != status || !strings.Contains(rec.Body.String(), words) {
		c.t.Errorf("%s %s: %d %s, want %d %s", method, path, rec.Code, rec.Body, status, words)
	}
}

func (c caller) create(target string) (id string) {
	c.t.Helper()
	rec := c.do("POST", "", "application/json", fmt.Appendf(nil, `{"type":"DELTA","targetName":%q,"dataPoolId":"pool","keys":["id"],"tableSchema":{"tableName":%q,"columns":[`+
		`{"columnName":"id","columnType":"INTEGER","pkField":true},{"columnName":"s","columnType":"STRING","fieldLength":3}]}}`, target, target))
	var job struct{ ID, Status string }
	if err := json.Unmarshal(rec.Body.Bytes(), &job); err != nil || job.Status != "NEW" {
		c.t.Fatalf("create: %d %s", rec.Code, rec.Body)
	}
	return job.ID
}

func (c caller) upload(id, kind, field string, data []byte) *httptest.ResponseRecorder {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile(field, "x")
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return c.do("POST", id+"/chunks/"+kind, w.FormDataContentType(), body.Bytes())
}

type person struct {
	ID int64   `parquet:"id,optional"`
	S  *string `parquet:"s,optional"`
}
type key struct {
	ID int64 `parquet:"id,optional"`
}

func written[T any](t *testing.T, rows ...T) []byte {
	var b bytes.Buffer
	if err := parquet.Write(&b, rows); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func text(s string) *string { return &s }

// TestLifeCycle: what each call answers at each station of a job.
func TestLifeCycle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := caller{t, New(Options{Delay: 10 * time.Second})}
		c.want(404, "not found", "GET", "nowhere")
		c.want(404, "not found", "POST", "nowhere")
		c.want(404, "not found", "DELETE", "nowhere")
		id := c.create("people")
		c.want(200, id, "GET", "")
		c.want(200, `"NEW"`, "GET", id)
		if rec := c.upload(id, "upserted", "file", written(t, person{1, text("abcdef")}, person{2, nil})); rec.Code != 200 {
			t.Fatal(rec.Code, rec.Body)
		}
		c.want(200, `"type":"UPSERT"`, "GET", id+"/chunks")
		other := c.create("people")
		c.want(204, "", "POST", id+"/") // the older alias
		c.want(400, "already closed", "POST", id)
		c.want(409, "", "POST", other)
		if rec := c.upload(id, "upserted", "file", nil); rec.Code != 400 || !strings.Contains(rec.Body.String(), "already locked") {
			t.Errorf("an upload after the execution: %d %s", rec.Code, rec.Body)
		}
		c.want(200, `"QUEUED"`, "GET", id)
		time.Sleep(6 * time.Second)
		c.want(200, `"RUNNING"`, "GET", id)
		if c.e.Snapshot("people") != nil {
			t.Error("rows show before the job is DONE")
		}
		time.Sleep(5 * time.Second)
		c.want(200, `"DONE"`, "GET", id)
		c.want(400, "already closed", "POST", id+"/cancel")
		if rows := c.e.Snapshot("people").Rows; len(rows) != 2 || rows["int64:1|"][1] != "abc" || rows["int64:2|"][1] != nil {
			t.Errorf("rows %v, want the string cut at its declared length", rows)
		}
		c.want(204, "", "DELETE", id)
		c.want(404, "", "GET", id)
		c.want(204, "", "POST", other)
		c.want(200, "", "POST", other+"/cancel")
		c.want(200, `"CANCELED"`, "GET", other)
	})
}

// TestUploads: a chunk is validated when it comes.
func TestUploads(t *testing.T) {
	c := caller{t, New(Options{MaxChunk: 10_000})}
	id := c.create("people")
	type numbers struct {
		ID int64   `parquet:"id"`
		S  float64 `parquet:"s"`
	}
	type nokey struct {
		S string `parquet:"s"`
	}
	type list struct {
		ID int64   `parquet:"id"`
		S  []int64 `parquet:"s,list"`
	}
	for _, tc := range []struct {
		name, kind, field string
		data              []byte
		want              string // "" is taken
	}{
		{"rows", "upserted", "file", written(t, person{1, nil}), ""},
		{"the older field", "upserted", "chunk", written(t, person{2, nil}), ""},
		{"keys to delete", "deleted", "file", written(t, key{3}), ""},
		{"another field", "upserted", "data", written(t, person{1, nil}), "no field named file or chunk"},
		{"not Parquet", "upserted", "file", []byte("id,s\n1,x\n"), "Internal error while validating the Parquet"},
		{"cut", "upserted", "file", written(t, person{1, nil})[:100], "Internal error while validating the Parquet"},
		{"no key", "upserted", "file", written(t, nokey{"x"}), "key column"},
		{"another type", "upserted", "file", written(t, numbers{1, 2}), "holds FLOAT where tableSchema declares STRING"},
		{"a column short", "upserted", "file", written(t, key{1}), "1 columns where tableSchema declares 2"},
		{"nested", "upserted", "file", written(t, list{1, []int64{2}}), "nested"},
		{"too large", "upserted", "file", make([]byte, 20_000), "at most 10000"},
	} {
		rec := c.upload(id, tc.kind, tc.field, tc.data)
		if (rec.Code == 200) != (tc.want == "") || !strings.Contains(rec.Body.String(), tc.want) {
			t.Errorf("%s: %d %s, want %q", tc.name, rec.Code, rec.Body, tc.want)
		}
	}
}

// TestEitherOrder: with a key in both kinds of chunks — which a client must not send —
// sometimes the row is there in the end and sometimes not.
func TestEitherOrder(t *testing.T) {
	outcomes := map[bool]int{}
	for seed := range uint64(40) {
		e := New(Options{Seed: seed})
		c := caller{t, e}
		for _, ids := range [][2]int64{{1, 2}, {3, 1}} {
			id := c.create("people")
			c.upload(id, "upserted", "file", written(t, person{ids[0], nil}))
			c.upload(id, "deleted", "file", written(t, key{ids[1]}))
			c.want(204, "", "POST", id)
		}
		if rows := e.Snapshot("people").Rows; len(rows) != 1 || rows["int64:3|"] == nil {
			t.Fatalf("disjoint keys came out as %v", rows)
		}
		for _, allowed := range []bool{false, true} {
			id := c.create("people")
			e.jobs[id].doc.AllowDuplicate = &allowed
			c.upload(id, "upserted", "file", written(t, person{9, nil}))
			c.upload(id, "deleted", "file", written(t, key{9}))
			c.do("POST", id, "", nil)
			if !allowed {
				c.want(200, "duplicate key", "GET", id)
			}
		}
		outcomes[e.Snapshot("people").Rows["int64:9|"] != nil]++
	}
	if len(outcomes) != 2 {
		t.Errorf("always the same order: %v", outcomes)
	}
}

// TestLimits: the windows of the hour and of the second, and who may call at all.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{JobsPerHour: 2, RequestsPerSecond: 5, Keys: []string{"Bearer k"}})
		c := caller{t, e}
		submit := func() *httptest.ResponseRecorder {
			time.Sleep(time.Second)
			return c.do("POST", c.create("people"), "", nil)
		}
		for range 2 {
			if rec := submit(); rec.Code != 204 {
				t.Fatal(rec.Code)
			}
		}
		rec := submit()
		if rec.Code != 429 || rec.Header().Get("X-Ratelimit-Reset") == "" || !strings.Contains(rec.Body.String(), "try again at") {
			t.Errorf("the third in an hour: %d %s", rec.Code, rec.Body)
		}
		time.Sleep(time.Until(time.Now().UTC().Truncate(time.Hour).Add(time.Hour)))
		if rec := submit(); rec.Code != 204 {
			t.Errorf("in the next hour: %d", rec.Code)
		}
		time.Sleep(time.Second)
		limited := 0
		for range 8 {
			if c.do("GET", "", "", nil).Code == 429 {
				limited++
			}
		}
		if limited != 3 {
			t.Errorf("%d of 8 requests in a second were refused, want 3", limited)
		}
		req := httptest.NewRequest(http.MethodGet, "/integration/api/v1/data-push/pool/jobs/", nil)
		req.Header.Set("Authorization", "Bearer other")
		out := httptest.NewRecorder()
		if e.ServeHTTP(out, req); out.Code != 401 {
			t.Errorf("another key: %d", out.Code)
		}
	})
}

// TestWiden: a column takes files of a wider type from then on, not of a narrower one.
func TestWiden(t *testing.T) {
	e := New(Options{})
	load := func(typ string, v any) error {
		j := &job{doc: document{Type: "DELTA", TargetName: "t", Keys: []string{"id"}, UpsertStrategy: "UPSERT_WITH_NULLIFICATION"}}
		serial := int64(len(e.tables["t"].rows()))
		j.chunks = []*chunk{{doc: chunkDocument{Type: "UPSERT"}, file: &file{rows: 1, columns: []fileColumn{{"id", "INTEGER", []any{serial}}, {"v", typ, []any{v}}}}}}
		return e.apply(j, false)
	}
	for _, step := range []struct {
		typ  string
		v    any
		fine bool
	}{{"INTEGER", int64(5), true}, {"FLOAT", 5.25, true}, {"INTEGER", int64(6), false}, {"STRING", "x", true}, {"FLOAT", 1.5, false}, {"DATE", "2020-01-01", false}} {
		if err := load(step.typ, step.v); (err == nil) != step.fine {
			t.Errorf("%s: %v", step.typ, err)
		}
	}
	rows := e.tables["t"].Rows
	if got := fmt.Sprint([]any{rows["int64:0|"][1], rows["int64:1|"][1], rows["int64:2|"][1]}); got != "[5 5.25 x]" {
		t.Errorf("rows %v", got)
	}
}

func (t *Table) rows() map[string][]any {
	if t == nil {
		return nil
	}
	return t.Rows
}
