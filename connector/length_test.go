package connector

import (
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// TestLongerColumn: where a column of text is declared longer than it was, the platform may
// lengthen the one that it has or cut at the old length. Nothing tells which, so the log says
// it once, and the status with the latest length.
func TestLongerColumn(t *testing.T) {
	t.Parallel()
	text := func(length string) string {
		if length != "" {
			length = `,"parameters":{"__debezium.source.column.type":"VARCHAR","__debezium.source.column.length":"` + length + `"}`
		}
		return `,{"type":"string","field":"v","optional":true` + length + `}`
	}
	value := func(n int) string { return fmt.Sprintf(`,"v":%q`, strings.Repeat("v", n)) }
	type row struct{ fields, row string }
	rows := []row{{text("20"), value(20)}, {text("40"), value(30)}, {text("20"), value(10)}, {text("60"), value(50)}}
	for _, tc := range []struct {
		name   string
		keep   bool // the target's columns keep their lengths
		max    int
		policy debezium.Overflow
		rows   []row
		want   string // lengths of the values at the target
		warned int64
		says   string
	}{
		{"lengthened there", false, 16250, 0, rows, "[20 30 10 50]", 1, "v: declared with 60 from now on, with 20 before"},
		{"kept there", true, 16250, 0, rows, "[20 20 10 20]", 1, "v: declared with 60 from now on, with 20 before"},
		{"no longer told", false, 16250, 0, []row{{text("20"), value(20)}, {text(""), value(30)}}, "[20 30]", 1, "v: declared with 16250 from now on, with 20 before"},
		{"told later", true, 50, 0, []row{{text(""), value(20)}, {text("20"), value(20)}}, "[20 20]", 0, ""},
		{"grown by values", true, 50, debezium.OverflowGrow, []row{{text("20"), value(20)}, {text("20"), value(30)}}, "[20 20]", 1, "v: declared with 30 from now on, with 20 before"},
		{"a target without lengths", false, 0, debezium.OverflowPass, rows, "[20 30 10 50]", 0, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{KeepLengths: tc.keep}, "shop.public.a")
			opt := w.options("shop.public.a")
			opt.Decoder.MaxLength, opt.Decoder.Overflow = tc.max, tc.policy
			var warned atomic.Int64
			opt.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
				if strings.Contains(string(line), "a column is longer than it was") {
					warned.Add(1)
				}
				return w.output().Write(line)
			}), nil))
			c, _ := w.run(opt)
			for id, r := range tc.rows {
				w.putTyped(int64(id), r.fields, r.row)
				w.eventually(fmt.Sprint("row ", id), func() bool { return w.lag("shop.public.a") == 0 })
			}
			lengths := make([]int, len(tc.rows))
			for _, r := range w.emu.Snapshot("public_a").Rows {
				lengths[r[0].(int64)] = len(r[1].(string))
			}
			if got := fmt.Sprint(lengths); got != tc.want {
				t.Errorf("the values have %s characters, want %s", got, tc.want)
			}
			var said []string
			w.eventually("the status of the last row", func() bool {
				tables := c.Status().Tables
				if len(tables) == 0 || tables[0].Upserts < int64(len(tc.rows)) {
					return false
				}
				said = nil
				for _, change := range tables[0].Changes {
					said = append(said, change.Column+": "+change.Change)
				}
				return true
			})
			if got := strings.Join(said, "\n"); !strings.HasPrefix(got, tc.says) || len(said) != min(1, len(tc.says)) {
				t.Errorf("the status says %q, want %q", got, tc.says)
			}
			if got := warned.Load(); got != tc.warned {
				t.Errorf("the log warns %d times, want %d", got, tc.warned)
			}
		})
	}
}
