package celonis_test

import (
	"net/http"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

func key(s string) celonis.Auth {
	return celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return s, nil }}
}

// rig is a sink on an emulator, every call held against the API's description.
type rig struct {
	t         *testing.T
	emu       *emulator.Emulator
	transport *pushtest.Transport
	opt       celonis.Options
	sink      *celonis.Sink
	pusher    *push.Pusher
}

func newRig(t *testing.T, eo emulator.Options, change func(*celonis.Options)) *rig {
	t.Helper()
	if eo.Keys == nil && eo.ClientID == "" {
		eo.Keys = []string{"Bearer secret"}
	}
	r := &rig{t: t, emu: emulator.New(eo)}
	r.transport = &pushtest.Transport{Handler: r.emu}
	if err := r.transport.Describe(emulator.OpenAPI); err != nil {
		t.Fatal(err)
	}
	budget := push.NewBudget(250, 25)
	opt := celonis.Options{
		URL: "https://team.eu-1.celonis.cloud", PoolID: "pool", Auth: key("secret"),
		MultipartField: "file", MultipartFilename: "chunk.parquet", TableSchema: true,
		UpsertStrategy: "UPSERT_WITH_NULLIFICATION", FallbackLength: 16250,
		RequestsPerSecond: 10, RequestTimeout: time.Minute, Budget: budget,
	}
	if change != nil {
		change(&opt)
	}
	r.opt = opt
	var err error
	if r.sink, err = celonis.New(opt, r.transport); err != nil {
		t.Fatal(err)
	}
	r.pusher = &push.Pusher{Sink: r.sink, Budget: budget, Tracer: noop.NewTracerProvider().Tracer(""),
		PollInterval: time.Second, MaxPollInterval: 30 * time.Second, Attempts: 3,
		MinBackoff: time.Second, MaxBackoff: time.Minute}
	return r
}

func (r *rig) done() {
	r.t.Helper()
	for _, v := range r.transport.Violations() {
		r.t.Error("contract: " + v)
	}
	if r.transport.Checked == 0 {
		r.t.Error("no call was checked against the API's description")
	}
}

// batch encodes rows id → name, an empty name being a delete.
func batch(t *testing.T, rows map[int64]string) (*schema.Table, []schema.Chunk) {
	t.Helper()
	r := new(schema.Rows)
	r.Reset("people", []schema.Column{
		{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true},
		{Name: "name", Type: schema.Type{Kind: schema.String, Length: 10}}})
	for id := range int64(100) {
		name, ok := rows[id]
		if !ok {
			continue
		}
		op := schema.Upsert
		r.Values[0].AppendNum(id)
		if name == "" {
			op = schema.Delete
			r.Values[1].AppendNull()
		} else {
			r.Values[1].AppendString([]byte(name))
		}
		r.Ops, r.Offsets = append(r.Ops, op), append(r.Offsets, id)
		r.Keys = schema.AppendKey(r.Keys, &r.Values[0], r.Len()-1)
		r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
	}
	b, err := batcher.New(func(string) batcher.Policy { return batcher.Policy{} }).Add(time.Time{}, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := (&batcher.Encoder{MaxChunkBytes: 1 << 20, PageBytes: 1 << 16}).Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Table, chunks
}

func (r *rig) deliver(rows map[int64]string) error {
	table, chunks := batch(r.t, rows)
	return r.pusher.Run(r.t.Context(), push.NewDelivery(table, chunks))
}

func (r *rig) people() map[int64]string {
	got := map[int64]string{}
	t := r.emu.Snapshot("people")
	if t == nil {
		return got
	}
	for _, row := range t.Rows {
		got[row[0].(int64)], _ = row[1].(string)
	}
	return got
}

func (r *rig) want(want map[int64]string) {
	r.t.Helper()
	got := r.people()
	if len(got) != len(want) {
		r.t.Fatalf("target %v, want %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			r.t.Fatalf("target %v, want %v", got, want)
		}
	}
}

func clientOf(h http.Handler) *http.Client {
	return &http.Client{Transport: &pushtest.Transport{Handler: h}}
}
