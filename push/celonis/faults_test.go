package celonis_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// TestEveryFault delivers two batches while each call in turn goes wrong in each way: whether
// it happens, or happens later, by what is heard of it. The table must come out right and
// nothing may fail for good.
func TestEveryFault(t *testing.T) {
	type tc struct {
		op    string
		fault emulator.Fault
	}
	var cases []tc
	for op, effect := range map[string]bool{"create": true, "upload": true, "execute": true, "cancel": true, "delete": true, "chunks": false, "get": false, "list": false} {
		for _, f := range script.All[emulator.Fault](effect) {
			cases = append(cases, tc{op, f})
		}
	}
	cases = append(cases, tc{"execute", emulator.JobError}, tc{"execute", emulator.JobCancel},
		tc{"execute", emulator.Vanish}, tc{"get", emulator.Vanish}, tc{"upload", emulator.Vanish},
		tc{"execute", emulator.Slow}, tc{"get", emulator.Slow})
	for _, c := range cases {
		t.Run(c.op+"/"+string(c.fault), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r *rig
				made := 0
				r = newRig(t, emulator.Options{Delay: 5 * time.Second, OnRequest: func(req *http.Request) {
					if req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/jobs/") {
						if made++; made > 2 { // what was overdue is gone
							r.emu.SetDelay(5 * time.Second)
						}
					}
				}}, nil)
				if err := r.deliver(map[int64]string{1: "a", 2: "b", 3: "c"}); err != nil {
					t.Fatal(err)
				}
				want, calls := 2, 1 // calls that go wrong
				switch c.op {
				case "cancel", "delete": // as for a job that is overdue, which is sent again
					r.emu.SetDelay(24 * time.Hour)
					r.pusher.Deadline, r.pusher.Overdue = time.Hour, push.OverdueCancel
					want = 3
				case "list": // asked for when a job is not found
					r.emu.Inject("get", emulator.Answer404, 0, 1)
					calls++
				}
				r.emu.Inject(c.op, c.fault, 0, 1)
				if err := r.deliver(map[int64]string{1: "A", 2: "", 4: "d"}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute) // for what comes late
				r.want(map[int64]string{1: "A", 3: "c", 4: "d"})
				// Else only a job that failed or vanished is sent a second time.
				if c.fault == emulator.JobError || c.fault == emulator.JobCancel || c.fault == emulator.Vanish && c.op == "get" {
					want = 3
				} else if n := r.emu.Counts().Faults; c.fault != emulator.Vanish && n != calls {
					t.Errorf("%d calls went wrong, want %d", n, calls)
				}
				if n := r.emu.Counts().Submitted; n != want {
					t.Errorf("%d jobs submitted, want %d", n, want)
				}
				r.done()
			})
		})
	}
}

// TestEveryFaultAppend: the same for a table without a key, where a second effect shows:
// each row is there once. What may have delivered half of them is not sent again, be it a job
// that was cancelled for it is overdue.
func TestEveryFaultAppend(t *testing.T) {
	open := map[emulator.Fault]bool{emulator.JobError: true, emulator.JobCancel: true, emulator.Vanish: true}
	faults := append(script.All[emulator.Fault](true), emulator.JobError, emulator.JobCancel, emulator.Vanish, emulator.Slow)
	for _, op := range []string{"create", "upload", "chunks", "execute", "get", "list", "cancel", "delete"} {
		for _, fault := range faults {
			if open[fault] && op != "execute" && (op != "get" || fault != emulator.Vanish) {
				continue
			}
			t.Run(op+"/"+string(fault), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, emulator.Options{Delay: 5 * time.Second}, nil)
					send := func(rows map[int64]string) error {
						table, chunks := batch(t, rows)
						table.Columns = slices.Clone(table.Columns)
						table.Columns[0].Key = false
						d := push.NewDelivery(table, chunks)
						d.Once = true
						return r.pusher.Run(t.Context(), d)
					}
					if err := send(map[int64]string{1: "a", 2: "b", 3: "c"}); err != nil {
						t.Fatal(err)
					}
					half, calls := open[fault], 1 // calls that go wrong
					switch op {
					case "cancel", "delete":
						r.emu.SetDelay(24 * time.Hour)
						r.pusher.Deadline, r.pusher.Overdue = time.Hour, push.OverdueCancel
						half = true
					case "list": // asked for when a job is not found
						r.emu.Inject("get", emulator.Answer404, 0, 1)
						calls++
					}
					r.emu.Inject(op, fault, 0, 1)
					err := send(map[int64]string{1: "a", 4: "d"})
					time.Sleep(time.Minute) // for what comes late
					want := 2
					if op == "execute" && fault == emulator.Vanish {
						want = 1
					}
					if n := r.emu.Counts().Faults; !open[fault] && n != calls {
						t.Errorf("%d calls went wrong, want %d", n, calls)
					}
					if n := r.emu.Counts().Submitted; n != want {
						t.Errorf("%d jobs submitted, want %d", n, want)
					}
					r.done()
					rows := map[int64]int{}
					for _, row := range r.emu.Snapshot("people").Rows {
						rows[row[0].(int64)]++
					}
					if half {
						if push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), "is not known") {
							t.Errorf("got %v", err)
						}
						if rows[1] > 2 || rows[4] > 1 {
							t.Errorf("rows are there more than once: %v", rows)
						}
						return
					}
					if err != nil {
						t.Errorf("got %v", err)
					}
					if want := "map[1:2 2:1 3:1 4:1]"; fmt.Sprint(rows) != want {
						t.Errorf("rows are there so often: %v, want %s", rows, want)
					}
				})
			})
		}
	}
}
