package feldera_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// TestCheckpointFails: after one that failed another is asked for, and no batch is DONE
// before one has succeeded that was asked for after its rows were complete. A failure that
// the pipeline still tells of is not that of a later one.
func TestCheckpointFails(t *testing.T) {
	for _, f := range []pipeline.Fault{pipeline.Fails, pipeline.FailsLost} {
		for _, times := range []int{1, 4} {
			t.Run(fmt.Sprint(f, " ", times), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					asked := 0
					r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second, OnEvent: func(e pipeline.Event) {
						if e.What == "checkpoint" {
							asked++
						}
					}}, func(o *feldera.Options) { o.Checkpoint = true })
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					defer cancel()
					deliver := func(table string, id int64) error {
						return r.pusher().Run(ctx, push.NewDelivery(pushtest.ConformTable(table), chunks(map[int64]string{id: "a"}, nil)))
					}
					r.emu.Inject("checkpoint", f, 0, times)
					beside := make(chan error, 1)
					go func() { beside <- deliver("u", 1) }() // the batches of both tables wait for the same ones
					if err := deliver("t", 1); err != nil {
						t.Fatal(err)
					}
					if err := <-beside; err != nil {
						t.Fatal(err)
					}
					if want := times + 1; asked < want || asked > want+1 {
						t.Errorf("%d checkpoints were asked for, of which %d failed", asked, times)
					}
					before := asked
					if err := deliver("t", 2); err != nil || asked != before+1 {
						t.Errorf("the batch after it has asked for %d checkpoints: %v", asked-before, err)
					}
					r.emu.Crash("shop")
					r.emu.Start("shop")
					if has := fmt.Sprint(r.rows("t"), r.rows("u")); has != "map[1:a 2:a] map[1:a]" {
						t.Errorf("of what was DONE a crash has left %s", has)
					}
				})
			})
		}
	}
}

// TestCheckpointUnanswered: while one table's request for a checkpoint is not answered, another
// table that waits behind it can be stopped.
func TestCheckpointUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, func(o *feldera.Options) { o.Checkpoint = true })
		first, err := r.post(t, "t", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.post(t, "u", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // both are complete
		r.emu.Inject("checkpoint", script.Ambiguous[pipeline.Fault](script.AtOnce, script.Silence), 0, 1)
		beside := make(chan error, 1)
		go func() {
			_, err := r.sink.Status(t.Context(), first)
			beside <- err
		}()
		synctest.Wait() // it is asked
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := r.sink.Status(ctx, second); err == nil || time.Since(began) > time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if err := <-beside; err == nil {
			t.Error("a request without an answer is no error")
		}
	})
}

// TestCheckpointFailureIsTold: while checkpoints fail the batch waits, and says why.
func TestCheckpointFailureIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second}, func(o *feldera.Options) { o.Checkpoint = true })
		ticket, err := r.post(t, "t", 0, one)
		if err != nil {
			t.Fatal(err)
		}
		r.emu.Inject("checkpoint", pipeline.Fails, 0, 3)
		failures := 0
		for state := push.Running; state == push.Running; time.Sleep(time.Second) {
			s, err := r.sink.Status(t.Context(), ticket)
			switch {
			case err == nil:
				state = s.State
			case push.KindOf(err) != push.Unavailable || err.Error() != "make checkpoint: error writing the checkpoint: No space left on device (os error …) (it is made again; look at the pipeline's storage)":
				t.Fatal(err)
			default:
				failures++
			}
		}
		if failures != 3 {
			t.Errorf("of three failures it has told %d", failures)
		}
	})
}

// TestCheckpoint: with checkpoints, whatever is DONE outlives a crash.
func TestCheckpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second}, func(o *feldera.Options) { o.Checkpoint = true })
		for i, v := range []string{"a", "b", "c"} {
			if err := r.deliver(t, map[int64]string{int64(i): v}); err != nil {
				t.Fatal(err)
			}
			r.emu.Crash("shop")
			r.emu.Start("shop")
			if got := r.rows("t"); len(got) != i+1 {
				t.Fatalf("after crash %d it has %v", i, got)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, func(o *feldera.Options) { o.Checkpoint = true })
		if _, err := r.sink.State(t.Context()); err == nil || !strings.Contains(err.Error(), "SLUICE_FELDERA_CHECKPOINT") {
			t.Errorf("checkpoints of an edition without: %v", err)
		}
	})
}

// TestCheckpointOfALifeThatIsOver: that it is not to be had any more says nothing of what was
// posted since.
func TestCheckpointOfALifeThatIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		posted := 0
		r := newRig(t, pipeline.Options{Enterprise: true, Lag: time.Second, OnEvent: func(e pipeline.Event) { posted += e.Rows }},
			func(o *feldera.Options) { o.Checkpoint = true })
		r.emu.Inject("checkpoint_status", pipeline.Answer500, 0, 1000)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: "a"}, nil))
		if err := r.pusher().Run(ctx, d); err == nil {
			t.Fatal("it is DONE without a checkpoint")
		}
		r.emu.Heal()
		r.emu.Stop("shop", true)
		r.emu.Start("shop")
		posted = 0
		if err := r.deliver(t, map[int64]string{1: "b"}); err != nil || posted != 1 {
			t.Errorf("%v, %d rows were posted", err, posted)
		}
	})
}
