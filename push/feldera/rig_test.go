package feldera_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

const program = `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR);
CREATE TABLE u (id BIGINT NOT NULL, v VARCHAR, PRIMARY KEY (id));`

// rig is a sink on an emulator.
type rig struct {
	emu  *pipeline.Emulator
	sink *feldera.Sink
	key  string
}

func newRig(t *testing.T, eo pipeline.Options, change func(*feldera.Options)) *rig {
	t.Helper()
	eo.Key = "apikey:secret"
	r := &rig{emu: pipeline.New(eo), key: eo.Key}
	if err := r.emu.Create("shop", program); err != nil {
		t.Fatal(err)
	}
	r.emu.Start("shop")
	r.restart(t, change)
	return r
}

// restart makes a sink anew, as another process does.
func (r *rig) restart(t *testing.T, change func(*feldera.Options)) {
	t.Helper()
	r.open(t, r.emu, change)
}

// open makes the sink of what answers its requests. None of them may have force, by which a
// pipeline that is paused, or has no room, takes rows all the same (I8).
func (r *rig) open(t *testing.T, handler http.Handler, change func(*feldera.Options)) {
	t.Helper()
	opt := feldera.Options{URL: "http://feldera:8080", Pipeline: "shop", RequestTimeout: time.Minute, Key: func() (string, error) { return r.key, nil }}
	if change != nil {
		change(&opt)
	}
	watched := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Query().Has("force") {
			t.Errorf("%s %s", req.Method, req.URL)
		}
		handler.ServeHTTP(w, req)
	})
	var err error
	if r.sink, err = feldera.New(opt, &pushtest.Transport{Handler: watched}); err != nil {
		t.Fatal(err)
	}
	if state, err := r.sink.State(t.Context()); err == nil {
		r.sink.Accept(state)
	}
}

// put gives the pipeline, which is stopped, another program.
func (r *rig) put(t *testing.T, program string) {
	t.Helper()
	w := httptest.NewRecorder()
	body, _ := json.Marshal(map[string]any{"name": "shop", "program_code": program})
	req := httptest.NewRequest("PUT", "/v0/pipelines/shop", bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+r.key)
	if r.emu.ServeHTTP(w, req); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// fill posts so many requests that fill a queue with deletes of rows that are not there, as a
// zombie might.
func (r *rig) fill(requests int) {
	for range requests {
		req := httptest.NewRequest("POST", "/v0/pipelines/shop/ingress/t?format=json&update_format=insert_delete&array=true", strings.NewReader(
			`[{"delete":{"id":-1}},{"delete":{"id":-2}},{"delete":{"id":-3}},{"delete":{"id":-4}},{"delete":{"id":-5}}]`))
		req.Header.Set("Authorization", "Bearer "+r.key)
		r.emu.ServeHTTP(httptest.NewRecorder(), req)
	}
}

// status is the pipeline's, as the manager tells it.
func (r *rig) status() string {
	w := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/v0/pipelines/shop?selector=status", nil)
	req.Header.Set("Authorization", "Bearer "+r.key)
	r.emu.ServeHTTP(w, req)
	var d struct {
		Status string `json:"deployment_status"`
	}
	json.Unmarshal(w.Body.Bytes(), &d)
	return d.Status
}

func chunks(rows map[int64]string, deleted []int64) (out []schema.Chunk) {
	array := func(op schema.Op, events []any) {
		if len(events) > 0 {
			b, _ := json.Marshal(events)
			out = append(out, schema.Chunk{Op: op, Rows: len(events), Data: b})
		}
	}
	var upserts, deletes []any
	for id, v := range rows {
		upserts = append(upserts, map[string]any{"insert": map[string]any{"id": id, "v": v}})
	}
	for _, id := range deleted {
		deletes = append(deletes, map[string]any{"delete": map[string]any{"id": id}})
	}
	array(schema.Upsert, upserts)
	array(schema.Delete, deletes)
	return out
}

func (r *rig) rows(table string) map[int64]string {
	rows := map[int64]string{}
	for _, row := range r.emu.Rows("shop", table) {
		rows[row[0].(int64)] = row[1].(string)
	}
	return rows
}

func (r *rig) pusher() *push.Pusher {
	return &push.Pusher{Sink: r.sink, Budget: push.NewBudget(250, 25), Tracer: noop.NewTracerProvider().Tracer(""),
		PollInterval: time.Second, MaxPollInterval: 5 * time.Second, Attempts: 3, MinBackoff: time.Second, MaxBackoff: time.Minute}
}

func (r *rig) deliver(t *testing.T, rows map[int64]string) error {
	t.Helper()
	return r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), chunks(rows, nil)))
}
