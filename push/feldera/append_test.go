package feldera_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// TestAppended: rows without a key are not sent a second time, whatever became of a request.
func TestAppended(t *testing.T) {
	for _, f := range append(script.All[pipeline.Fault](true), pipeline.After503, pipeline.Late) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
			r.emu.Start("shop")
			r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
			r.emu.Inject("ingress", f, 1, 1) // after the barrier
			d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: "a"}, nil))
			d.Once = true
			err := r.pusher().Run(t.Context(), d)
			for push.KindOf(err) == push.Unauthorized {
				err = r.pusher().Run(t.Context(), d)
			}
			if push.KindOf(err) != push.Rejected {
				t.Errorf("%s: %v", f, err)
			}
			time.Sleep(time.Minute)
			if n := len(r.emu.Rows("shop", "t")); n > 1 {
				t.Errorf("%s: %d rows", f, n)
			}
		})
	}
}

// TestAppendedInParts: what surely was not taken of a batch whose rows have no key is sent
// when it can be.
func TestAppendedInParts(t *testing.T) {
	for fault, skip := range map[pipeline.Fault]int{pipeline.Answer429: 2, pipeline.Pausing: 1} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
			r.emu.Start("shop")
			r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
			r.emu.Inject("ingress", fault, skip, 1) // after the barrier and the first request, or with that
			time.AfterFunc(time.Hour, func() { r.emu.Resume("shop") })
			d := push.NewDelivery(pushtest.ConformTable("t"), append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{2: "b"}, nil)...))
			d.Once = true
			if err := r.pusher().Run(t.Context(), d); err != nil {
				t.Errorf("%s: %v", fault, err)
			}
			if n := len(r.emu.Rows("shop", "t")); n != 2 || r.emu.Counts().Faults != 1 {
				t.Errorf("%s: %d rows", fault, n)
			}
		})
	}
}

// TestAppendedAndRefused: of a batch whose rows have no key, and of which some are there, nothing
// is sent again because others are refused.
func TestAppendedAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
		r.emu.Start("shop")
		r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
		d := push.NewDelivery(pushtest.ConformTable("t"), append(chunks(map[int64]string{1: "a"}, nil),
			schema.Chunk{Op: schema.Upsert, Rows: 1, Data: []byte(`[{"insert":{"id":"x"}}]`), Records: []schema.Record{{}}}))
		d.Once = true
		var refused *push.Refused
		if err := r.pusher().Run(t.Context(), d); push.KindOf(err) != push.Rejected || errors.As(err, &refused) {
			t.Errorf("it ends with %v", err)
		}
		if n := len(r.emu.Rows("shop", "t")); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}

// TestAppendedToAnotherProgram: a batch whose rows have no key is made again for another
// program of the pipeline as long as nothing of it was posted, and held if something may have
// been.
func TestAppendedToAnotherProgram(t *testing.T) {
	for posted, want := range []int{1, 0} { // requests; the first one's rows go with the pipeline
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Enterprise: true}, nil)
			r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
			r.emu.Start("shop")
			other := sync.OnceFunc(func() {
				r.emu.Stop("shop", true)
				r.put(t, "CREATE TABLE t (id BIGINT, v VARCHAR); CREATE TABLE u (id BIGINT);")
				r.emu.Start("shop")
			})
			r.restart(t, func(o *feldera.Options) { o.Append = func(string) bool { return true } })
			d := push.NewDelivery(pushtest.ConformTable("t"), one)
			d.Once = true
			d.Bind = func(context.Context, push.Ticket, int, int) error { // prepared, and not executed
				if posted == 0 {
					other()
				}
				return nil
			}
			if posted == 1 {
				d.Jobs[0].Chunks = append(d.Jobs[0].Chunks, one...)
				r.emu.Inject("ingress", pipeline.Answer429, 2, 1) // after the barrier and the first request
				time.AfterFunc(2500*time.Millisecond, other)      // while that is waited for
			}
			p := r.pusher()
			p.Attempts = 1
			err := p.Run(t.Context(), d)
			if held := push.KindOf(err) == push.Rejected && strings.Contains(fmt.Sprint(err), "another program") && strings.Contains(fmt.Sprint(err), "is not known"); held != (posted > 0) || !held && err != nil {
				t.Errorf("%d requests were posted, and it ends with %v", posted, err)
			}
			if n := len(r.emu.Rows("shop", "t")); n != want {
				t.Errorf("%d requests were posted: %d rows", posted, n)
			}
		})
	}
}
