package celonis_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

func key(s string) celonis.Auth {
	return celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return s, nil }}
}

// rig is a sink on an emulator, every call held against the API's description.
type rig struct {
	t         *testing.T
	emu       *emulator.Emulator
	transport *pushtest.Transport
	opt       celonis.Options
	sink      *celonis.Sink
	pusher    *push.Pusher
}

func newRig(t *testing.T, eo emulator.Options, change func(*celonis.Options)) *rig {
	t.Helper()
	if eo.Keys == nil && eo.ClientID == "" {
		eo.Keys = []string{"Bearer secret"}
	}
	r := &rig{t: t, emu: emulator.New(eo)}
	r.transport = &pushtest.Transport{Handler: r.emu}
	if err := r.transport.Describe(emulator.OpenAPI); err != nil {
		t.Fatal(err)
	}
	budget := push.NewBudget(250, 25)
	opt := celonis.Options{
		URL: "https://team.eu-1.celonis.cloud", PoolID: "pool", Auth: key("secret"),
		MultipartField: "file", MultipartFilename: "chunk.parquet", TableSchema: true,
		UpsertStrategy: "UPSERT_WITH_NULLIFICATION", FallbackLength: 16250,
		RequestsPerSecond: 10, RequestTimeout: time.Minute, Budget: budget,
	}
	if change != nil {
		change(&opt)
	}
	r.opt = opt
	var err error
	if r.sink, err = celonis.New(opt, r.transport); err != nil {
		t.Fatal(err)
	}
	r.pusher = &push.Pusher{Sink: r.sink, Budget: budget, Tracer: noop.NewTracerProvider().Tracer(""),
		PollInterval: time.Second, MaxPollInterval: 30 * time.Second, Attempts: 3,
		MinBackoff: time.Second, MaxBackoff: time.Minute}
	return r
}

func (r *rig) done() {
	r.t.Helper()
	for _, v := range r.transport.Violations() {
		r.t.Error("contract: " + v)
	}
	if r.transport.Checked == 0 {
		r.t.Error("no call was checked against the API's description")
	}
}

// batch encodes rows id → name, an empty name being a delete.
func batch(t *testing.T, rows map[int64]string) (*schema.Table, []schema.Chunk) {
	t.Helper()
	r := new(schema.Rows)
	r.Reset("people", []schema.Column{
		{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true},
		{Name: "name", Type: schema.Type{Kind: schema.String, Length: 10}}})
	for id := range int64(100) {
		name, ok := rows[id]
		if !ok {
			continue
		}
		op := schema.Upsert
		r.Values[0].AppendNum(id)
		if name == "" {
			op = schema.Delete
			r.Values[1].AppendNull()
		} else {
			r.Values[1].AppendString([]byte(name))
		}
		r.Ops, r.Offsets = append(r.Ops, op), append(r.Offsets, id)
		r.Keys = schema.AppendKey(r.Keys, &r.Values[0], r.Len()-1)
		r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
	}
	b, err := batcher.New(func(string) batcher.Policy { return batcher.Policy{} }).Add(time.Time{}, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := (&batcher.Encoder{MaxChunkBytes: 1 << 20, PageBytes: 1 << 16}).Encode(b)
	if err != nil {
		t.Fatal(err)
	}
	return b.Table, chunks
}

func (r *rig) deliver(rows map[int64]string) error {
	table, chunks := batch(r.t, rows)
	return r.pusher.Run(r.t.Context(), push.NewDelivery(table, chunks))
}

func (r *rig) people() map[int64]string {
	got := map[int64]string{}
	t := r.emu.Snapshot("people")
	if t == nil {
		return got
	}
	for _, row := range t.Rows {
		got[row[0].(int64)], _ = row[1].(string)
	}
	return got
}

func (r *rig) want(want map[int64]string) {
	r.t.Helper()
	got := r.people()
	if len(got) != len(want) {
		r.t.Fatalf("target %v, want %v", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			r.t.Fatalf("target %v, want %v", got, want)
		}
	}
}

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

// TestGone: a job is believed to be gone only if listing jobs works, does not show it,
// and a DELETE does not find it.
func TestGone(t *testing.T) {
	for _, tc := range []struct {
		name string
		list emulator.Fault
		del  emulator.Fault
		kind push.Kind
	}{
		{"gone", "", "", push.Lost},
		{"no list", emulator.AnswerHTML, "", push.Unavailable},
		{"a gateway's 404 for the list", emulator.Gateway404, "", push.Unavailable},
		{"the API's 404 for the list", emulator.Answer404, "", push.Unavailable},
		{"no answer to DELETE", "", emulator.LostBefore, push.Unavailable},
		{"a gateway's 404 to DELETE", "", emulator.Gateway404, push.Unavailable},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, nil)
			if tc.list != "" {
				r.emu.Inject("list", tc.list, 0, 1)
			}
			if tc.del != "" {
				r.emu.Inject("delete", tc.del, 0, 1)
			}
			_, err := r.pusher.Sink.Status(t.Context(), push.Ticket{ID: "00000000-0000-0000-0000-000000000000"})
			if err == nil || push.KindOf(err) != tc.kind {
				t.Errorf("%s: %v", tc.name, err)
			}
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

func clientOf(h http.Handler) *http.Client {
	return &http.Client{Transport: &pushtest.Transport{Handler: h}}
}
