package connector

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestLaterBatchGoesToo: partitions go while a job with rows of them cannot be prepared,
// and the table's next batch, which is full, has rows of the others only. It must not
// overtake the rows of these that are read again, nor wait for ever to be noted up to an
// offset before its own first row.
func TestLaterBatchGoesToo(t *testing.T) {
	t.Parallel()
	back := make(chan struct{})
	w := newWorld(t, emulator.Options{OnRequest: func(r *http.Request) { // the API is away
		select {
		case <-back:
		case <-r.Context().Done():
		}
	}}, "shop.public.a", "more.public.a")
	opt := w.options("shop.public.a", "more.public.a")
	opt.DrainTimeout = 500 * time.Millisecond
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: 2 * time.Second}
	}
	w.insert("shop.public.a", 0, 8)
	for id := int64(100); id < 102; id++ {
		key, value := change("shop.public.a", "c", id, "more")
		w.produce("more.public.a", int32(id%2), key, value)
		w.model["public_a"][id] = "more"
	}
	c1, _ := w.run(opt)
	w.eventually("a batch of all partitions", func() bool { s := c1.Status(); return len(s.Tables) == 1 && s.Tables[0].Step != "" })
	for id := range int64(10) {
		w.put("shop.public.a", "u", id, "later")
	}
	w.eventually("the next batch is full", func() bool { return c1.Status().Tables[0].Rows == 10 })
	c2, _ := w.run(opt.fresh(w, "more.public.a")) // the other topic's partitions are not for it
	w.eventually("partitions have gone", func() bool { return c1.Status().Partitions == 2 && c2.Status().Partitions == 2 })
	close(back)
	w.eventually("all arrives", func() bool { return w.equal() && w.lag("shop.public.a")+w.lag("more.public.a") == 0 })
	w.check()
}
