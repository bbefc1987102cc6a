package connector

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// TestTraceBounds: a batch has no more links and names no more offsets than it may, and
// says so.
func TestTraceBounds(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt, recorder := w.traced(w.options("shop.public.a"))
	for i := range schema.MaxTraces + 7 {
		_, value := change("shop.public.a", "c", int64(i), "row-data")
		w.putFrom(0, int64(i), value, "traceparent", from(i+1))
	}
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: schema.MaxTraces + 7, MaxBytes: 1 << 20, MaxAge: time.Hour}
	}
	_, stop := w.run(opt)
	w.eventually("commit", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	roots := named(recorder, "process shop.public.a")
	if len(roots) != 1 || len(roots[0].Links()) != schema.MaxTraces || attributes(roots[0])["sluice.links.left"] != "7" || roots[0].DroppedLinks() > 0 {
		t.Errorf("%d batches, %d links", len(roots), len(roots[0].Links()))
	}
}

// TestTracePlaces: a link tells the first record that was made in its context, its partition where
// the batch has several.
func TestTracePlaces(t *testing.T) {
	for _, tc := range []struct {
		second int32
		want   []string
	}{
		{0, []string{"1 [{messaging.kafka.offset 0}]", "2 [{messaging.kafka.offset 3}]"}},
		{1, []string{"1 [{messaging.kafka.offset 0} {messaging.destination.partition.id 0}]", "2 [{messaging.kafka.offset 1} {messaging.destination.partition.id 1}]"}},
	} {
		w := newWorld(t, emulator.Options{}, "shop.public.a")
		opt, recorder := w.traced(w.options("shop.public.a"))
		opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 4, MaxBytes: 1 << 20, MaxAge: time.Hour} }
		for i, headers := range [][]string{{"traceparent", from(1)}, {"traceparent", from(1)}, nil, {"traceparent", from(2)}} {
			part := int32(0)
			if i >= 2 {
				part = tc.second
			}
			_, value := change("shop.public.a", "c", int64(i), "row-data")
			w.putFrom(part, int64(i), value, headers...)
		}
		_, stop := w.run(opt)
		w.eventually("commit", func() bool { return w.lag("shop.public.a") == 0 })
		stop()
		var got []string
		for _, root := range named(recorder, "process shop.public.a") {
			for _, l := range root.Links() {
				var at []string
				for _, a := range l.Attributes {
					at = append(at, fmt.Sprintf("{%s %s}", a.Key, a.Value.String()))
				}
				got = append(got, fmt.Sprint(strings.TrimLeft(l.SpanContext.TraceID().String(), "0"), " ", at))
			}
		}
		if slices.Sort(got); !slices.Equal(got, tc.want) {
			t.Errorf("links %q, want %q", got, tc.want)
		}
	}
}
