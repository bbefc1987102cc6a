package connector

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestRetentionOvertakes: what retention takes from a topic before a connector that is behind
// has read it holds the topic, for its table would lack those rows, and deletes, for ever.
// Other topics go on.
func TestRetentionOvertakes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	c, _ := w.run(w.options("shop.public.a", "shop.public.b"))
	w.insert("shop.public.a", 0, 10)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })

	var cut, mended atomic.Bool
	w.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if mended.Load() {
			return nil, nil, false
		}
		cut.Store(true)
		return nil, errors.New("the broker is away"), true
	})
	w.insert("shop.public.b", 0, 1) // answers the fetch under way
	w.eventually("a fetch is refused", cut.Load)
	for id := int64(10); id < 20; id += 2 { // of partition 0, behind the 5 that were read
		w.put("shop.public.a", "c", id, fmt.Sprint("v", id))
	}
	if err := w.cluster.DeleteRecords("shop.public.a", 0, 8); err != nil {
		t.Fatal(err)
	}
	mended.Store(true)

	w.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
	h := c.Status().Holds[0]
	if h.Where() != "topic shop.public.a, at shop.public.a/0 offset 5" || !strings.Contains(h.Reason, "deleted before Sluice read them") ||
		!strings.Contains(h.Remedy, "raise the retention of shop.public.a") {
		t.Errorf("the hold says %+v", h)
	}
	w.put("shop.public.a", "c", 21, "v21") // the other partition's rows wait too
	w.insert("shop.public.b", 1, 5)
	w.eventually("the other topic", func() bool { t := w.emu.Snapshot("public_b"); return t != nil && len(t.Rows) == 6 })
	if n := len(w.emu.Snapshot("public_a").Rows); n != 10 {
		t.Errorf("%d rows: the table went on without those that are gone", n)
	}
	if n := len(c.Status().Holds); n != 1 {
		t.Errorf("%d holds", n)
	}
	w.check()
}
