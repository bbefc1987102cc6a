package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// named is the table at the target as the named columns of its rows, sorted.
func (w *world) named(columns ...string) (rows []string) {
	t := w.emu.Snapshot("public_a")
	if t == nil {
		return nil
	}
	for _, row := range t.Rows {
		var cells []string
		for _, name := range columns {
			at := slices.IndexFunc(t.Columns, func(c emulator.Column) bool { return c.Name == name })
			if at < 0 {
				cells = append(cells, "none")
				continue
			}
			cells = append(cells, fmt.Sprint(row[at]))
		}
		rows = append(rows, strings.Join(cells, " "))
	}
	slices.Sort(rows)
	return rows
}

// TestSoftDelete: what is deleted at the source keeps its values at the target, in a
// later batch, by another process that has never seen them, and in one batch with them.
func TestSoftDelete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Decoder.Mode = func(string) debezium.Mode { return debezium.ModeSoftDelete }
	opt.Decoder.Metadata = func(string) []debezium.MetadataColumn {
		return []debezium.MetadataColumn{{What: debezium.Deleted, Name: "_deleted"}}
	}
	policy := opt.Policy("")
	policy.Unavailable = batcher.UnavailableKeep
	opt.Policy = func(string) batcher.Policy { return policy }
	settle := func(want ...string) {
		t.Helper()
		_, stop := w.run(opt)
		w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
		stop()
		if got := w.named("id", "v", "_deleted"); !slices.Equal(got, want) {
			t.Errorf("the table is %q, want %q", got, want)
		}
	}
	w.put("shop.public.a", "c", 1, "one")
	w.put("shop.public.a", "c", 2, "two")
	settle("1 one false", "2 two false")
	w.put("shop.public.a", "d", 1, "")
	settle("1 one true", "2 two false")
	w.put("shop.public.a", "u", 2, "zwei")
	w.put("shop.public.a", "d", 2, "")
	w.put("shop.public.a", "c", 1, "uno")
	settle("1 uno false", "2 zwei true")
}

// TestHistory: every change is a row at the target, once, with when it was delivered.
func TestHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Decoder.Mode = func(string) debezium.Mode { return debezium.ModeHistory }
	opt.Decoder.Metadata = func(string) []debezium.MetadataColumn {
		return []debezium.MetadataColumn{{What: debezium.Operation, Name: "_op"}, {What: debezium.KafkaPosition, Name: "_at"}, {What: debezium.DeliveredAt, Name: "_delivered_at"}}
	}
	w.put("shop.public.a", "c", 1, "one")
	w.put("shop.public.a", "u", 1, "uno")
	w.put("shop.public.a", "d", 1, "")
	w.put("shop.public.a", "c", 2, "two")
	before := time.Now().Truncate(time.Millisecond)
	mend := w.cutCommits()
	_, stop := w.run(opt)
	w.eventually("a job", func() bool { return w.at("DONE") >= 0 })
	stop()
	mend()
	_, stop = w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	want := []string{"1 <nil> d shop.public.a-1@2", "1 one c shop.public.a-1@0", "1 uno u shop.public.a-1@1", "2 two c shop.public.a-0@0"}
	if got := w.named("id", "v", "_op", "_at"); !slices.Equal(got, want) {
		t.Errorf("the table is %q, want %q", got, want)
	}
	for _, text := range w.named("_delivered_at") {
		if at, err := time.Parse("2006-01-02T15:04:05.999", text); err != nil || at.Before(before.UTC()) || at.After(time.Now().UTC()) {
			t.Errorf("delivered at %s, %v", text, err)
		}
	}
	if table := w.emu.Snapshot("public_a"); len(table.Keys) > 0 {
		t.Errorf("keys %v", table.Keys)
	}
}
