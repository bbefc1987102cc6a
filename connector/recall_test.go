package connector

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/parquet-go/parquet-go"

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
