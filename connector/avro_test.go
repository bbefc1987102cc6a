package connector

import (
	"encoding/binary"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/registry"
	"github.com/sluice-cdc/sluice/push/emulator"
)

const (
	avroKey      = `{"type":"record","name":"Key","namespace":"shop.public.a","fields":[{"name":"id","type":"long"}]}`
	avroEnvelope = `{"type":"record","name":"Envelope","namespace":"shop.public.a","fields":[
		{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},{"name":"v","type":"string"}]}]},
		{"name":"after","type":["null","Value"]},
		{"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"ts_ms","type":"long"},{"name":"db","type":"string"},{"name":"schema","type":"string"},{"name":"table","type":"string"}]}},
		{"name":"op","type":"string"}]}`
)

// avroWorld is a world with a registry whose state the test decides.
type avroWorld struct {
	*world
	fake *srfake.Registry
	down atomic.Bool
	// unversioned registries do not say which versions a subject has.
	unversioned atomic.Bool
	key, value  *goavro.Codec
}

func newAvroWorld(t *testing.T, topics ...string) (*avroWorld, Options) {
	t.Helper()
	a := &avroWorld{world: newWorld(t, emulator.Options{}, topics...), fake: srfake.NewRegistry()}
	a.fake.SeedSchema("k", 1, 1, sr.Schema{Schema: avroKey})
	a.fake.SeedSchema("v", 1, 2, sr.Schema{Schema: avroEnvelope})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.down.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if a.unversioned.Load() && strings.HasSuffix(r.URL.Path, "/versions") {
			http.NotFound(w, r)
			return
		}
		a.fake.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var err error
	if a.key, err = goavro.NewCodec(avroKey); err == nil {
		a.value, err = goavro.NewCodec(avroEnvelope)
	}
	if err != nil {
		t.Fatal(err)
	}
	opt := a.options(topics...)
	opt.Registry, err = registry.New(registry.Options{URLs: []string{server.URL}, Logger: slog.New(slog.DiscardHandler), MaxBackoff: 200 * time.Millisecond, Doubt: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return a, opt
}

func framed(id uint32, body []byte) string {
	return string(append(binary.BigEndian.AppendUint32([]byte{0}, id), body...))
}

// insertAvro puts a row under the schema of an id.
func (a *avroWorld) insertAvro(schemaID uint32, id int64, v string) {
	a.t.Helper()
	key, err := a.key.BinaryFromNative(nil, map[string]any{"id": id})
	if err != nil {
		a.t.Fatal(err)
	}
	value, err := a.value.BinaryFromNative(nil, map[string]any{"before": nil, "op": "c",
		"after":  goavro.Union("shop.public.a.Value", map[string]any{"id": id, "v": v}),
		"source": map[string]any{"ts_ms": int64(1), "db": "shop", "schema": "public", "table": "a"}})
	if err != nil {
		a.t.Fatal(err)
	}
	a.produce("shop.public.a", int32(id%2), framed(1, key), framed(schemaID, value))
	if a.model["public_a"] == nil {
		a.model["public_a"] = map[int64]string{}
	}
	a.model["public_a"][id] = v
}

// TestRegistryAway: while the registry is away, records of schemas that are not known
// yet wait, all others go on, and nothing is lost.
func TestRegistryAway(t *testing.T) {
	t.Parallel()
	a, opt := newAvroWorld(t, "shop.public.a", "shop.public.b")
	a.down.Store(true)
	c, stop := a.run(opt)
	for id := range int64(20) {
		a.insertAvro(2, id, "x")
	}
	a.put("shop.public.b", "c", 1, "plain JSON")
	a.eventually("the other table", func() bool { t := a.emu.Snapshot("public_b"); return t != nil && len(t.Rows) == 1 })
	a.eventually("the status says why", func() bool { return strings.Contains(c.Status().SchemaRegistry, "503") })
	if lag := a.lag("shop.public.a"); lag != 20 || a.emu.Snapshot("public_a") != nil {
		t.Errorf("lag %d while the registry is away", lag)
	}
	a.down.Store(false)
	a.eventually("all rows", a.equal)
	a.eventually("lag zero", func() bool { return a.lag("shop.public.a") == 0 && c.Status().SchemaRegistry == "ok" })

	a.down.Store(true) // known schemas need no registry
	for id := int64(20); id < 40; id++ {
		a.insertAvro(2, id, "y")
	}
	a.eventually("rows of a known schema", a.equal)
	if s := c.Status(); len(s.Holds) > 0 {
		t.Errorf("on hold: %+v", s.Holds)
	}
	stop()
	a.check()
}

// TestStopWhileRegistryIsAway: what waits for a schema does not keep the program from
// stopping, and is read again.
func TestStopWhileRegistryIsAway(t *testing.T) {
	a, opt := newAvroWorld(t, "shop.public.a")
	a.down.Store(true)
	opt.DrainTimeout = time.Hour // far longer than stop has patience for
	c, stop := a.run(opt)
	a.insertAvro(2, 1, "x")
	a.eventually("it waits", func() bool { return c.Status().SchemaRegistry != "ok" })
	stop()
	a.down.Store(false)
	again := a.options("shop.public.a")
	again.Registry = opt.Registry
	a.run(again)
	a.eventually("after a restart", a.equal)
}

// TestUnknownSchemaHolds: an id that the registry says it does not have is a bad
// record; the message says so.
func TestUnknownSchemaHolds(t *testing.T) {
	a, opt := newAvroWorld(t, "shop.public.a")
	c, _ := a.run(opt)
	a.insertAvro(2, 1, "x")
	a.eventually("the row before it", a.equal)
	a.insertAvro(77, 3, "y")
	a.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	if h := c.Status().Holds[0]; h.Table != "public_a" || h.Offset == nil || *h.Offset != 1 || !strings.Contains(h.Reason, "schema 77 is not in the registry") {
		t.Errorf("the hold says %+v", h)
	}
}

// TestRebalanceWhileRegistryIsAway: a partition that waits for a schema while another
// goes to a second member, and is read again for that, goes on once the registry is back.
func TestRebalanceWhileRegistryIsAway(t *testing.T) {
	t.Parallel()
	a, opt := newAvroWorld(t, "shop.public.a")
	a.fake.SeedSchema("v", 2, 3, sr.Schema{Schema: strings.Replace(avroEnvelope, `"name":"op"`, `"doc":"newer","name":"op"`, 1)})
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: time.Hour}
	}
	for id := range int64(4) {
		a.insertAvro(2, id, "in the open batch")
	}
	c1, _ := a.run(opt)
	a.eventually("an open batch", func() bool { s := c1.Status(); return len(s.Tables) == 1 && s.Tables[0].Rows == 4 })
	a.down.Store(true)
	for id := int64(4); id < 6; id++ {
		a.insertAvro(3, id, "of a schema that is not known")
	}
	a.eventually("both partitions wait", func() bool { return c1.Status().Memory.Waiting > 0 && c1.Status().SchemaRegistry != "ok" })
	second := a.options("shop.public.a")
	second.Registry = opt.Registry
	c2, _ := a.run(second)
	a.eventually("one goes", func() bool { return c2.Status().Partitions == 1 && c1.Status().Partitions == 1 })
	a.down.Store(false)
	a.eventually("the first member reads on", func() bool { s := c1.Status(); return len(s.Tables) == 1 && s.Tables[0].Rows == 3 })
	a.eventually("its own rows in the second", func() bool { t := a.emu.Snapshot("public_a"); return t != nil && len(t.Rows) == 3 })
}

// TestHeldTableWaitsForNothing: what a held table's partition would wait for keeps no
// memory.
func TestHeldTableWaitsForNothing(t *testing.T) {
	a, opt := newAvroWorld(t, "shop.public.a")
	a.fake.SeedSchema("v", 2, 3, sr.Schema{Schema: strings.Replace(avroEnvelope, `"name":"v","type":"string"`, `"name":"v","type":{"type":"int","connect.name":"io.debezium.time.Date"}`, 1)})
	c, _ := a.run(opt)
	a.insertAvro(2, 2, "x")
	a.eventually("the first row", a.equal)
	key, _ := a.key.BinaryFromNative(nil, map[string]any{"id": int64(4)})
	value, _ := a.value.BinaryFromNative(nil, map[string]any{"before": nil, "op": "c",
		"after":  goavro.Union("shop.public.a.Value", map[string]any{"id": int64(4), "v": ""}), // one byte: the date 0
		"source": map[string]any{"ts_ms": int64(1), "db": "shop", "schema": "public", "table": "a"}})
	a.down.Store(true)
	a.produce("shop.public.a", 0, framed(1, key), framed(3, value))
	a.produce("shop.public.a", 0, framed(1, key), framed(9, make([]byte, 100_000)))
	a.eventually("it waits", func() bool { return c.Status().Memory.Waiting > 0 })
	a.down.Store(false)
	a.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	a.eventually("nothing waits", func() bool { return c.Status().Memory.Waiting == 0 })
}
