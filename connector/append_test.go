package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// appendWorld is a table whose rows have no key, the same row several times.
func appendWorld(t *testing.T, eo emulator.Options) (*world, Options, func(n int)) {
	w := newWorld(t, eo, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Decoder.Mode = func(string) debezium.Mode { return debezium.ModeAppend }
	opt.DrainTimeout = 500 * time.Millisecond
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: 500 * time.Millisecond}
	}
	return w, opt, func(n int) {
		for i := range n {
			_, value := change("shop.public.a", "c", 1, "x")
			w.produce("shop.public.a", int32(i%2), "", value)
		}
	}
}

func (w *world) rows(table string) int {
	t := w.emu.Snapshot(table)
	if t == nil {
		return 0
	}
	return len(t.Rows)
}

// TestAppend: rows without a key arrive once each, also where the process died between
// DONE and the commit, or while its job ran.
func TestAppend(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprint(delay), func(t *testing.T) {
			w, opt, add := appendWorld(t, emulator.Options{Delay: delay})
			add(10)
			mend := w.cutCommits()
			_, stop := w.run(opt)
			w.eventually("a job", func() bool { return w.emu.Counts().Submitted > 0 && (delay > 0 || w.at("DONE") >= 0) })
			stop()
			mend()
			if lag := w.lag("shop.public.a"); lag == 0 {
				t.Fatal("the commit went through")
			}
			add(5)
			_, stop = w.run(opt)
			w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
			stop()
			if n := w.rows("public_a"); n != 15 {
				t.Errorf("%d rows are there, want 15", n)
			}
		})
	}
}

// TestAppendHolds: a job that fails may have added half of its rows. They are not sent
// again, not by the next process either, until somebody has looked and has set the offsets.
func TestAppendHolds(t *testing.T) {
	t.Parallel()
	w, opt, add := appendWorld(t, emulator.Options{})
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: time.Hour} } // one batch
	add(10)
	w.emu.Inject("execute", emulator.JobError, 0, 1)
	for range 2 {
		c, stop := w.run(opt)
		w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
		w.eventually("its rows count as not read", func() bool { return c.Status().Totals.Read == 0 }) // I7: somebody reads them again
		h := c.Status().Holds[0]
		for _, says := range []string{"is not known", "shop.public.a/0 from 0 to 5, shop.public.a/1 from 0 to 5", "--reset-offsets"} {
			if !strings.Contains(h.Reason+h.Remedy, says) {
				t.Errorf("the hold does not say %q: %+v", says, h)
			}
		}
		stop()
		if n := w.emu.Counts().Submitted; n != 1 || w.lag("shop.public.a") != 10 {
			t.Fatalf("%d jobs submitted, lag %d", n, w.lag("shop.public.a"))
		}
	}
	// As the remedy says: the rows are taken out of the table, and the offsets set to where the batch begins.
	there := w.rows("public_a")
	w.commitAs("shop.public.a", 0, 0, "")
	w.commitAs("shop.public.a", 1, 0, "")
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if n := w.rows("public_a") - there; n != 10 {
		t.Errorf("%d rows were added, want 10", n)
	}
	at, err := kadm.NewClient(w.client).FetchOffsets(t.Context(), "sluice")
	if err != nil {
		t.Fatal(err)
	}
	at.Each(func(o kadm.OffsetResponse) {
		if o.At != 5 {
			t.Errorf("%s/%d is committed at %d", o.Topic, o.Partition, o.At)
		}
	})
}
