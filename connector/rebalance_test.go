package connector

import (
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestStopDuringRebalance stops a member while it is asked for a partition whose
// job will not end: it must stop all the same.
func TestStopDuringRebalance(t *testing.T) {
	w := newWorld(t, emulator.Options{Delay: time.Hour}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.DrainTimeout = 2 * time.Second
	_, stop := w.run(opt)
	w.insert("shop.public.a", 0, 10)
	w.eventually("a job runs", func() bool { return w.emu.Counts().Submitted > 0 })
	other := w.options("shop.public.a")
	other.DrainTimeout = time.Second
	w.run(other)
	go func() {
		time.Sleep(500 * time.Millisecond)
		stop()
	}()
	time.Sleep(200 * time.Millisecond)
	stop()
}

// TestHeldPartitionComesBack: a partition on hold that went to another member and
// came back is read again and held again, not forgotten.
func TestHeldPartitionComesBack(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	c, _ := w.run(opt)
	w.produce("shop.public.a", 0, `{"id":1}`, `nonsense`)
	w.produce("shop.public.a", 1, `{"id":1}`, `nonsense`)
	w.eventually("both held", func() bool { return len(c.Status().Holds) == 2 })
	c2, stop2 := w.run(w.options("shop.public.a"))
	w.eventually("one goes and is held there", func() bool { return len(c2.Status().Holds) == 1 && len(c.Status().Holds) == 1 })
	stop2()
	w.eventually("it comes back and is held again", func() bool { return len(c.Status().Holds) == 2 })
}
