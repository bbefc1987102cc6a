//go:build e2e

package e2e

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var record = flag.Bool("record", false, "TestRecord and TestEveryType write into schema/debezium/testdata")

// event is a record as Debezium wrote it. JSON stands as text, Avro as base64. JSON with
// schema, which is {"schema":…,"payload":…}, stands as the number of the schema, which many
// share, and the payload.
type event struct {
	Topic       string      `json:"topic"`
	Partition   int32       `json:"partition"`
	Offset      int64       `json:"offset"`
	Headers     [][2]string `json:"headers,omitempty"`
	KeySchema   uint32      `json:"keySchema,omitempty"`
	Key         *string     `json:"key,omitempty"`
	ValueSchema uint32      `json:"valueSchema,omitempty"`
	Value       *string     `json:"value,omitempty"`
	KeyAvro     []byte      `json:"keyAvro,omitempty"`
	ValueAvro   []byte      `json:"valueAvro,omitempty"`
}

// answer is what the database held in the end: a table's columns, and its rows as
// texts, null for NULL, in the order of their keys.
type answer struct {
	Table   string      `json:"table"`
	Keys    int         `json:"keys"`
	Columns []string    `json:"columns"`
	Rows    [][]*string `json:"rows"`
}

// TestRecord keeps the events of a small workload in every format. Those of every type
// are kept by TestEveryType.
func TestRecord(t *testing.T) {
	for _, db := range databases {
		for _, format := range formats {
			create(t, db)
			sql(t, db, workload(db, 700, 12))
			p := newPipeline(t, db, format, "recorded_"+db+"_"+format)
			p.connect()
			p.start()
			p.settle(time.Minute, customers, items)
			sql(t, db, workload(db, 701, 20))
			p.settle(time.Minute, customers, items)
			p.stop()

			p.keep(recordings(t), db+"-"+format, []table{customers, items})
		}
	}
}

// recordings is the folder that events are kept in.
func recordings(t *testing.T) string {
	if !*record {
		return t.TempDir()
	}
	return filepath.Join("..", "..", "schema", "debezium", "testdata")
}

// keep writes the events of a pipeline's topics as they are, their schemas, and what the
// database answers now; the tests of schema/debezium must be able to replay them.
func (p *pipeline) keep(dir, name string, tables []table) {
	t := p.t
	t.Helper()
	base := filepath.Join(dir, name)
	events := p.events()
	var schemas []writerSchema
	switch p.format {
	case "avro":
		schemas = p.schemas(events)
	case "jsonschema":
		for i := range events {
			e := &events[i]
			e.KeySchema, e.Key = takeSchema(&schemas, e.Key)
			e.ValueSchema, e.Value = takeSchema(&schemas, e.Value)
		}
	}
	writeLines(t, base+".jsonl", events)
	if schemas != nil {
		writeLines(t, base+".schemas.jsonl", schemas)
	}
	var answers []answer
	for _, tb := range tables {
		answers = append(answers, p.answer(tb))
	}
	writeLines(t, base+".tables.jsonl", answers)
	t.Logf("%s: %d records", name, len(events))
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "test", "../../schema/debezium", "-run", "TestRecorded/^"+name+"$", "-count=1", "-recorded", dir, "-update").CombinedOutput(); err != nil {
		t.Errorf("replay: %v\n%s", err, out)
	}
}

func writeLines[T any](t *testing.T, path string, all []T) {
	t.Helper()
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, one := range all {
		if err := e.Encode(one); err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() > 1<<20 {
		t.Fatalf("%s would have %d bytes; record less", path, b.Len())
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// events reads everything that the pipeline's topics hold, each partition in order.
func (p *pipeline) events() (all []event) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeRegex(), kgo.ConsumeTopics("^"+p.prefix+`\..*`), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		p.t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var mine []string
	for _, name := range topics.Names() {
		if strings.HasPrefix(name, p.prefix+".") {
			mine = append(mine, name)
		}
	}
	ends, err := adm.ListEndOffsets(ctx, mine...)
	if err != nil {
		p.t.Fatal(err)
	}
	want := 0
	ends.Each(func(o kadm.ListedOffset) { want += int(o.Offset) })
	text := func(b []byte) (*string, []byte) {
		switch {
		case b == nil:
			return nil, nil
		case p.format == "avro":
			return nil, b
		}
		s := string(b)
		return &s, nil
	}
	for len(all) < want {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			p.t.Fatalf("%d of %d records: %v", len(all), want, err)
		}
		for r := range fetches.RecordsAll() {
			e := event{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
			for _, h := range r.Headers {
				e.Headers = append(e.Headers, [2]string{h.Key, string(h.Value)})
			}
			e.Key, e.KeyAvro = text(r.Key)
			e.Value, e.ValueAvro = text(r.Value)
			all = append(all, e)
		}
	}
	slices.SortFunc(all, func(a, b event) int {
		return strings.Compare(fmt.Sprintf("%s %03d %09d", a.Topic, a.Partition, a.Offset), fmt.Sprintf("%s %03d %09d", b.Topic, b.Partition, b.Offset))
	})
	return all
}

// writerSchema is a schema of the registry, or one that came with JSON.
type writerSchema struct {
	ID     uint32 `json:"id"`
	Schema string `json:"schema"`
}

// takeSchema takes the schema out of JSON that has one, where the text can be put together
// again from it as it was.
func takeSchema(all *[]writerSchema, text *string) (uint32, *string) {
	var whole struct{ Schema, Payload json.RawMessage }
	if text == nil || json.Unmarshal([]byte(*text), &whole) != nil || fmt.Sprintf(`{"schema":%s,"payload":%s}`, whole.Schema, whole.Payload) != *text {
		return 0, text
	}
	id := 1 + slices.IndexFunc(*all, func(s writerSchema) bool { return s.Schema == string(whole.Schema) })
	if id == 0 {
		id = len(*all) + 1
		*all = append(*all, writerSchema{uint32(id), string(whole.Schema)})
	}
	payload := string(whole.Payload)
	return uint32(id), &payload
}

// schemas fetches the schemas that the frames name, with plain HTTP.
func (p *pipeline) schemas(events []event) (all []writerSchema) {
	p.t.Helper()
	ids := map[uint32]bool{}
	for _, e := range events {
		for _, b := range [][]byte{e.KeyAvro, e.ValueAvro} {
			if len(b) >= 5 {
				ids[binary.BigEndian.Uint32(b[1:])] = true
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(ids)) {
		resp, err := http.Get(fmt.Sprintf("%s/schemas/ids/%d", registry, id))
		if err != nil {
			p.t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		var found struct {
			Schema     string
			References []any
		}
		if err != nil || resp.StatusCode != 200 || json.Unmarshal(body, &found) != nil || len(found.References) > 0 {
			p.t.Fatalf("schema %d: %v %s %s", id, err, resp.Status, body)
		}
		all = append(all, writerSchema{id, found.Schema})
	}
	return all
}

func (p *pipeline) answer(tb table) answer {
	a := answer{Table: tb.name, Keys: tb.keys}
	for _, c := range tb.columns {
		a.Columns = append(a.Columns, c.name)
	}
	rows := p.ask(tb)
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		var cells []*string
		for _, cell := range rows[key] {
			if cell == null {
				cells = append(cells, nil)
			} else {
				cells = append(cells, &cell)
			}
		}
		a.Rows = append(a.Rows, cells)
	}
	return a
}
