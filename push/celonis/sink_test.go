package celonis_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// TestGone: a job is believed to be gone only if listing jobs works and does not show it,
// it is not found again, and a DELETE does not find it.
func TestGone(t *testing.T) {
	for _, tc := range []struct {
		name, op string
		fault    emulator.Fault
		skip     int
		kind     push.Kind
	}{
		{"gone", "", "", 0, push.Lost},
		{"no list", "list", emulator.AnswerHTML, 0, push.Unavailable},
		{"a gateway's 404 for the list", "list", emulator.Gateway404, 0, push.Unavailable},
		{"the API's 404 for the list", "list", emulator.Answer404, 0, push.Unavailable},
		{"no answer when it is read again", "get", emulator.LostBefore, 1, push.Unavailable},
		{"a gateway's 404 when it is read again", "get", emulator.Gateway404, 1, push.Unavailable},
		{"no answer to DELETE", "delete", emulator.LostBefore, 0, push.Unavailable},
		{"a gateway's 404 to DELETE", "delete", emulator.Gateway404, 0, push.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, nil)
			if tc.op != "" {
				r.emu.Inject(tc.op, tc.fault, tc.skip, 1)
			}
			_, err := r.pusher.Sink.Status(t.Context(), push.Ticket{ID: "00000000-0000-0000-0000-000000000000"})
			if err == nil || push.KindOf(err) != tc.kind {
				t.Errorf("%s: %v", tc.name, err)
			}
		})
	}
}

// TestHidden: a job is not found though it is there, where only jobs that run are listed. It is
// neither deleted nor sent again: not one that is DONE, which another read finds, nor one that
// runs, which no read may find.
func TestHidden(t *testing.T) {
	for name, tc := range map[string]struct {
		delay time.Duration
		times int // that it is not found
	}{
		"done":    {0, 1},
		"running": {5 * time.Second, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			var states []string
			r := newRig(t, emulator.Options{Delay: tc.delay, ListRunning: true, OnEvent: func(e emulator.Event) { states = append(states, e.State) }}, nil)
			r.emu.Inject("get", emulator.Answer404, 0, tc.times)
			if err := r.deliver(map[int64]string{1: "a"}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if s := r.emu.Counts(); s.Submitted != 1 || s.Faults != tc.times {
				t.Errorf("%s: %d jobs submitted and not found %d times, want 1 and %d", name, s.Submitted, s.Faults, tc.times)
			}
			if want := []string{"NEW", "QUEUED", "RUNNING", "DONE"}; !slices.Equal(states, want) {
				t.Errorf("%s: jobs were %v, want %v", name, states, want)
			}
			r.done()
		})
	}
}

// TestUploadLost: an upload whose answer is lost poisons its job; the chunk must
// not be applied twice, nor the job executed.
func TestUploadLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{}, nil)
		r.emu.Inject("upload", emulator.LostAfter, 0, 1)
		if err := r.deliver(map[int64]string{1: "a", 2: ""}); err != nil {
			t.Fatal(err)
		}
		if s := r.emu.Counts(); s.Jobs != 2 || s.Submitted != 1 {
			t.Errorf("%d jobs made, %d submitted; want 2 and 1", s.Jobs, s.Submitted)
		}
	})
}

// TestUploadLandsLate: an upload is refused, in words that may be a gateway's, and lands when
// its job's chunks have been compared and its execution is being waited for. Its rows must
// not be in the table twice.
func TestUploadLandsLate(t *testing.T) {
	for _, reply := range script.Replies {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, nil)
			r.emu.Inject("upload", script.Ambiguous[emulator.Fault](script.Later, reply), 0, 1)
			r.emu.Inject("execute", script.Ambiguous[emulator.Fault](script.Never, script.Silence), 0, 1)
			table, chunks := batch(t, map[int64]string{1: "a"})
			table.Columns = slices.Clone(table.Columns)
			table.Columns[0].Key = false
			d := push.NewDelivery(table, chunks)
			d.Once = true
			if err := r.pusher.Run(t.Context(), d); err != nil {
				t.Errorf("%s: %v", reply, err)
			}
			time.Sleep(time.Minute)
			if n := len(r.emu.Snapshot("people").Rows); n != 1 {
				t.Errorf("%s: the row is there %d times", reply, n)
			}
			r.done()
		})
	}
}

// TestExecuteLost: the answer of an execution is lost after it took effect; the
// job must not be submitted again.
func TestExecuteLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{Delay: time.Minute}, nil)
		r.emu.Inject("execute", emulator.LostAfter, 0, 1)
		if err := r.deliver(map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		if s := r.emu.Counts(); s.Jobs != 1 || s.Submitted != 1 {
			t.Errorf("%d jobs made, %d submitted; want 1 and 1", s.Jobs, s.Submitted)
		}
	})
}

func TestRejectedForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{}, nil)
		r.emu.Inject("execute", emulator.JobError, 0, 100)
		err := r.deliver(map[int64]string{1: "a"})
		if push.KindOf(err) != push.Rejected || err == nil || !strings.Contains(err.Error(), "connection to the database was lost") {
			t.Errorf("got %v, want the platform's own words", err)
		}
		if s := r.emu.Counts(); s.Submitted != 3 {
			t.Errorf("tried %d times, want 3", s.Submitted)
		}
	})
}

func TestUnauthorized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{}, func(o *celonis.Options) { o.Auth = key("hunter2") })
		err := r.deliver(map[int64]string{1: "a"})
		if err == nil || push.KindOf(err) != push.Unauthorized || !strings.Contains(err.Error(), "SLUICE_CELONIS_API_KEY") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("got %v", err)
		}
	})
}

func TestOAuth(t *testing.T) {
	for _, post := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			emu := emulator.Options{ClientID: "me", Secret: "s3cret"}
			var auth *celonis.OAuth
			r := newRig(t, emu, func(o *celonis.Options) {
				auth = &celonis.OAuth{TokenURL: "https://team.eu-1.celonis.cloud/oauth2/token", ClientID: "me",
					Secret: func() (string, error) { return "s3cret", nil }, Scopes: []string{"integration.data-pools:data_push"}, Post: post}
				o.Auth = auth
			})
			auth.Client = clientOf(r.emu)
			if err := r.deliver(map[int64]string{1: "a"}); err != nil {
				t.Fatal(err)
			}
			r.emu.ExpireTokens() // one refresh, and on it goes
			if err := r.deliver(map[int64]string{1: "b"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Minute) // renewed before it runs out
			if err := r.deliver(map[int64]string{1: "c"}); err != nil {
				t.Fatal(err)
			}
			r.want(map[int64]string{1: "c"})
		})
	}
}

// TestQuota: with the local limiter no 429 is of our making, and one of someone
// else's making is waited out.
func TestQuota(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{JobsPerHour: 2, RequestsPerSecond: 10}, nil)
		start := time.Now()
		for i := range int64(3) {
			if err := r.deliver(map[int64]string{i: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		if next := start.Truncate(time.Hour).Add(time.Hour); time.Now().Before(next) {
			t.Error("the third job did not wait for the next hour")
		}
		if s := r.emu.Counts(); s.Throttled != 1 {
			t.Errorf("%d answers 429, want the one", s.Throttled)
		}
		r.done()
	})
}

func TestConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, emulator.Options{Delay: time.Minute}, nil)
		table, chunks := batch(t, map[int64]string{1: "other"})
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: table, Chunks: chunks})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.sink.Execute(t.Context(), ticket); err != nil {
			t.Fatal(err)
		}
		if err := r.deliver(map[int64]string{1: "mine"}); err != nil {
			t.Fatal(err)
		}
		r.want(map[int64]string{1: "mine"})
		if s := r.emu.Counts(); s.Conflicts == 0 || s.Jobs != 2 {
			t.Errorf("%d conflicts, %d jobs; want the same job to be executed again", s.Conflicts, s.Jobs)
		}
		r.done()
	})
}

// TestFlavours delivers under every form of the API that the documents name.
func TestFlavours(t *testing.T) {
	for name, change := range map[string]func(*celonis.Options){
		"current with api":    func(o *celonis.Options) { o.URL += "/data-ingestion/api" },
		"current without api": func(o *celonis.Options) { o.URL += "/data-ingestion/" },
		"older": func(o *celonis.Options) {
			o.URL += "/integration"
			o.MultipartField, o.ExecuteSlash = "chunk", true
		},
		"validate":       func(o *celonis.Options) { o.Validate = true },
		"without schema": func(o *celonis.Options) { o.TableSchema = false },
		"no strategy":    func(o *celonis.Options) { o.UpsertStrategy = "" },
		"connection":     func(o *celonis.Options) { o.ConnectionID = "c" },
		"create counted": func(o *celonis.Options) { o.Counted = celonis.CountCreate },
		"all counted":    func(o *celonis.Options) { o.Counted = celonis.CountAll },
		"with spacing":   func(o *celonis.Options) { o.Spacing = 30 * time.Second },
		"table's settings": func(o *celonis.Options) {
			yes := true
			o.Table = func(string) celonis.TableOptions {
				return celonis.TableOptions{AllowDuplicate: &yes, DuplicateRemovalColumn: "id", TargetSchema: "s",
					ForeignKeys: "f", MirrorTargetNames: []string{"m"}, PostExecutionQuery: "SELECT 1"}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, emulator.Options{Delay: time.Second}, change)
				if err := r.deliver(map[int64]string{1: "a", 2: ""}); err != nil {
					t.Fatal(err)
				}
				r.want(map[int64]string{1: "a"})
				r.done()
			})
		})
	}
}
