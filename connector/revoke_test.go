package connector

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
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
	// Rows that are read again at once would be sealed with those that are not to overtake them.
	var held atomic.Bool
	held.Store(true)
	w.cluster.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		w.cluster.SleepControl(func() {
			for held.Load() {
				time.Sleep(10 * time.Millisecond)
			}
		})
		return nil, nil, false
	})
	c2, _ := w.run(opt.fresh(w, "more.public.a")) // the other topic's partitions are not for it
	w.eventually("partitions have gone", func() bool { return c1.Status().Partitions == 2 && c2.Status().Partitions == 2 })
	close(back)
	time.Sleep(500 * time.Millisecond) // for a job that there must not be
	held.Store(false)
	w.eventually("all arrives", func() bool { return w.equal() && w.lag("shop.public.a")+w.lag("more.public.a") == 0 })
	w.check()
}

// TestRevokeWaitsForItsCommits: partitions are given up, time is up or not, only when it is
// known what the group has of them: not while a commit is under way, nor while one is in doubt,
// unless the group has thrown this member out.
func TestRevokeWaitsForItsCommits(t *testing.T) {
	for _, c := range []struct {
		name                       string
		busy, doubt, other, fenced bool // other: of another partition of a job that waits to be noted
		given                      bool
	}{
		{"nothing", false, false, false, false, true},
		{"a commit under way", true, false, false, false, false},
		{"a commit in doubt", false, true, false, false, false},
		{"a commit in doubt, of no member", false, true, false, true, true},
		{"a commit of another partition of the job in doubt", false, false, true, false, false},
		{"a commit of another partition of the job in doubt, of no member", false, false, true, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			conn := w.idle(w.options("shop.public.a"))
			conn.now = time.Now()
			id := kafka.Partition{Topic: "shop.public.a"}
			batch := w.batch(conn, "public_a", 1)
			w.hold(conn, id, batch, 5)
			conn.commits.busy, conn.commits.fenced = c.busy, c.fenced
			if c.other {
				stays := kafka.Partition{Topic: "shop.public.a", ID: 1}
				w.hold(conn, stays, batch, 5)
				conn.binds = append(conn.binds, &bind{work: batch, job: "job", part: 1, parts: 1, admitted: true, reply: make(chan error, 1)})
				conn.commits.doubt[stays] = content{}
			}
			if c.doubt {
				conn.commits.doubt[id] = content{}
			}
			done := make(chan struct{})
			conn.revoking = &revoking{Revoked: kafka.Revoked{Partitions: []kafka.Partition{id}, Done: done}, deadline: conn.now}
			conn.settleRevoke()
			given := false
			select {
			case <-done:
				given = true
			default:
				close(done) // for the world to end
			}
			if given != c.given {
				t.Errorf("the partition was given up: %v", given)
			}
		})
	}
}

// TestNothingStartsInARevocation: a batch that is due while partitions are being given up
// waits: its job would have to be waited for, or parted from at once.
func TestNothingStartsInARevocation(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	c.now = time.Now()
	batch := w.batch(c, "public_a", 1)
	batch.lane.running, batch.lane.adopted = nil, []*work{batch}
	batch.delivery = push.NewDelivery(nil)
	c.revoking = &revoking{Revoked: kafka.Revoked{Done: make(chan struct{})}, deadline: c.now.Add(time.Minute)}
	if c.schedule(); batch.lane.running != nil {
		t.Error("a job was started during a revocation")
	}
	c.revoking = nil
	if c.schedule(); batch.lane.running == nil {
		t.Error("nor was it after that")
	}
}
