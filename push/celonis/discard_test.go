package celonis_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/script"
)

func TestDiscard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{Delay: time.Hour}, nil)
		table, chunks := batch(t, map[int64]string{1: "a"})
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: table, Chunks: chunks})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sink.Execute(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a job that is gone is no error
			if err := r.sink.Discard(t.Context(), ticket); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.sink.Status(t.Context(), ticket); push.KindOf(err) != push.Lost {
			t.Errorf("the job is still there: %v", err)
		}
		r.want(map[int64]string{})
		r.done()
	})
}

// TestDoneBeforeItIsCancelled: a job past its deadline is DONE when its cancellation
// arrives. It has delivered, so it is not deleted and made again.
func TestDoneBeforeItIsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		r = newRig(t, emulator.Options{Delay: 3 * time.Hour, OnRequest: func(req *http.Request) {
			if strings.HasSuffix(req.URL.Path, "/cancel") {
				r.emu.SetDelay(0)
			}
		}}, nil)
		r.pusher.Deadline, r.pusher.Overdue = time.Hour, push.OverdueCancel
		if err := r.deliver(map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		if n := r.emu.Counts().Submitted; n != 1 {
			t.Errorf("%d jobs submitted for one batch", n)
		}
		r.want(map[int64]string{1: "a"})
		r.done()
	})
}

// TestDoneBeforeItIsLookedAt: the same, where it is DONE before anybody asks to cancel it.
func TestDoneBeforeItIsLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r *rig
		began, asked := time.Now(), 0
		r = newRig(t, emulator.Options{Delay: 3 * time.Hour, OnRequest: func(req *http.Request) {
			if req.Method == http.MethodGet && time.Since(began) > time.Hour+time.Minute {
				if asked++; asked == 2 { // after the one that finds it overdue
					r.emu.SetDelay(0)
				}
			}
		}}, nil)
		r.pusher.Deadline, r.pusher.Overdue = time.Hour+time.Minute, push.OverdueCancel
		if err := r.deliver(map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		if n := r.emu.Counts().Submitted; n != 1 || asked < 2 {
			t.Errorf("%d jobs submitted for one batch, asked %d times", n, asked)
		}
		r.want(map[int64]string{1: "a"})
		r.done()
	})
}

// TestDiscardDone: a job that has delivered is deleted by who knows that it has.
func TestDiscardDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{}, nil)
		table, chunks := batch(t, map[int64]string{1: "a"})
		d := push.NewDelivery(table, chunks)
		if err := r.pusher.Run(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		known := d.Tickets()[0]
		unknown := known
		unknown.Done = false
		if err := r.sink.Discard(t.Context(), unknown); push.KindOf(err) != push.Unavailable || err == nil {
			t.Errorf("by who takes it for unfinished: %v", err)
		}
		if st, err := r.sink.Status(t.Context(), known); err != nil || st.State != push.Done {
			t.Errorf("then it is %v: %v", st.State, err)
		}
		if err := r.sink.Discard(t.Context(), known); err != nil {
			t.Error(err)
		}
		if _, err := r.sink.Status(t.Context(), known); push.KindOf(err) != push.Lost {
			t.Errorf("it is still there: %v", err)
		}
	})
}

// TestSettle: an execution of another process that is still on its way finds its job no more
// where one is prepared that must not come before it; no other job goes.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{}, nil)
		table, old := batch(t, map[int64]string{1: "old"})
		_, current := batch(t, map[int64]string{1: "new"})
		prepare := func(j *push.Job) push.Ticket {
			ticket, err := r.sink.Prepare(t.Context(), j)
			if err != nil {
				t.Fatal(err)
			}
			return ticket
		}
		upper, other := *table, *table
		upper.Name, other.Name = "PEOPLE", "others"
		prepare(&push.Job{Table: &upper, Chunks: old})
		neighbour := prepare(&push.Job{Table: &other, Chunks: old})
		late := prepare(&push.Job{Table: table, Chunks: old})
		r.emu.Inject("execute", script.Ambiguous[emulator.Fault](script.Later, script.Reset), 0, 1)
		if _, err := r.sink.Execute(t.Context(), late); push.KindOf(err) != push.Unavailable {
			t.Fatal(err)
		}
		ticket := prepare(&push.Job{Table: table, Chunks: current, Settle: true})
		if _, err := r.sink.Execute(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.want(map[int64]string{1: "new"})
		if st, err := r.sink.Status(t.Context(), neighbour); err != nil || st.State != push.New {
			t.Errorf("another table's: %v %v", st.State, err)
		}
		if n := r.emu.Counts().Submitted; n != 1 {
			t.Errorf("%d jobs submitted", n)
		}
		r.done()
	})
}

// TestSettleOrNothing: where it cannot be told what is there, nothing is prepared.
func TestSettleOrNothing(t *testing.T) {
	for _, op := range []string{"list", "delete"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, nil)
			table, chunks := batch(t, map[int64]string{1: "old"})
			if _, err := r.sink.Prepare(t.Context(), &push.Job{Table: table, Chunks: chunks}); err != nil {
				t.Fatal(err)
			}
			r.emu.Inject(op, emulator.Answer500, 0, 1)
			if _, err := r.sink.Prepare(t.Context(), &push.Job{Table: table, Chunks: chunks, Settle: true}); push.KindOf(err) != push.Unavailable {
				t.Errorf("%s: %v", op, err)
			}
		})
	}
}
