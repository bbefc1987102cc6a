package connector

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/parquet-go/parquet-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestRecall: a process that starts anew has the table's columns in its first file, with
// the kinds that they have at the target, though the first rows come from before a change
// of the table.
func TestRecall(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var files []string
	w := newWorld(t, emulator.Options{OnChunk: func(_, kind string, data []byte) {
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Error(err)
			return
		}
		var columns []string
		for _, c := range f.Schema().Fields() {
			columns = append(columns, c.Name()+" "+c.Type().String())
		}
		slices.Sort(columns)
		mu.Lock()
		defer mu.Unlock()
		files = append(files, kind+" "+strings.Join(columns, ", "))
	}}, "shop.public.a")
	put := func(id int64, rest string) {
		w.produce("shop.public.a", int32(id%2), fmt.Sprintf(`{"id":%d}`, id),
			fmt.Sprintf(`{"before":null,"after":{"id":%d,%s},"source":{"db":"shop","schema":"public","table":"a"},"op":"c"}`, id, rest))
	}
	run := func() {
		_, stop := w.run(w.options("shop.public.a"))
		w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
		stop()
	}
	put(1, `"n":5`)
	put(2, `"n":5,"v":"x"`)
	put(2, `"n":5.5,"v":"x"`)
	run()
	w.produce("shop.public.a", 0, "", "") // a record that tells nothing
	put(1, `"n":6`)                       // as it was before the others
	run()
	mu.Lock()
	defer mu.Unlock()
	if want := "UPSERT id INT64, n DOUBLE, v STRING"; files[len(files)-1] != want {
		t.Errorf("the files are\n%s\nwant the last to be %s", strings.Join(files, "\n"), want)
	}
}

// TestRecallOfHeaders: the id of a schema may stand in a header, of what was delivered
// before too.
func TestRecallOfHeaders(t *testing.T) {
	a, opt := newAvroWorld(t, "shop.public.a")
	a.insertAvro(2, 1, "x")
	c := a.idle(opt)
	key, err := a.key.BinaryFromNative(nil, map[string]any{"id": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	value, err := a.value.BinaryFromNative(nil, map[string]any{"before": nil, "op": "c",
		"after":  goavro.Union("shop.public.a.Value", map[string]any{"id": int64(1), "v": "x"}),
		"source": map[string]any{"ts_ms": int64(1), "db": "shop", "schema": "public", "table": "a"}})
	if err != nil {
		t.Fatal(err)
	}
	rec := &kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: "__key_schema_id", Value: []byte(framed(1, nil))}, {Key: "__value_schema_id", Value: []byte(framed(2, nil))}}}
	runs := c.recall(t.Context(), c.newPartition(kafka.Partition{Topic: "shop.public.a"}), []*kgo.Record{rec})
	if len(runs) != 1 || len(runs[0].Columns) != 2 {
		t.Errorf("it recalls %+v", runs)
	}
}
