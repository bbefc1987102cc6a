package celonis_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// wiretap keeps what goes over the wire.
type wiretap struct {
	next  http.RoundTripper
	calls []string // method, path and query
	jobs  []map[string]any
	times []time.Time // of executions
}

func (w *wiretap) RoundTrip(req *http.Request) (*http.Response, error) {
	w.calls = append(w.calls, req.Method+" "+req.URL.RequestURI())
	if req.Method == http.MethodPost && strings.HasPrefix(req.Header.Get("Content-Type"), "application/json") {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		var job map[string]any
		if err := json.Unmarshal(body, &job); err != nil {
			return nil, err
		}
		w.jobs = append(w.jobs, job)
	} else if req.Method == http.MethodPost && !strings.Contains(req.URL.Path, "/chunks/") {
		w.times = append(w.times, time.Now())
	}
	return w.next.RoundTrip(req)
}

// tapped is a rig whose calls are kept.
func tapped(t *testing.T, eo emulator.Options, change func(*celonis.Options)) (*rig, *wiretap) {
	r := newRig(t, eo, change)
	w := &wiretap{next: r.transport}
	opt := r.opt
	sink, err := celonis.New(opt, w)
	if err != nil {
		t.Fatal(err)
	}
	r.sink, r.pusher.Sink = sink, sink
	return r, w
}

// TestJobDocument holds what is sent of a table against the API's description:
// types, lengths, decimals and keys.
func TestJobDocument(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, wire := tapped(t, emulator.Options{}, nil)
		table := &schema.Table{Name: "t", Columns: []schema.Column{
			{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true},
			{Name: "name", Type: schema.Type{Kind: schema.String, Length: 40}},
			{Name: "text", Type: schema.Type{Kind: schema.String}},
			{Name: "price", Type: schema.Type{Kind: schema.Float, Scale: 2}},
			{Name: "exact", Type: schema.Type{Kind: schema.String, Precision: 10, Scale: 4}},
			{Name: "seen", Type: schema.Type{Kind: schema.DateTime}},
			{Name: "empty"},
		}}
		if _, err := r.sink.Prepare(t.Context(), &push.Job{Table: table}); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(wire.jobs[0]["tableSchema"])
		if err != nil {
			t.Fatal(err)
		}
		want := `{"columns":[` +
			`{"columnName":"id","columnType":"INTEGER","pkField":true},` +
			`{"columnName":"name","columnType":"STRING","fieldLength":40,"pkField":false},` +
			`{"columnName":"text","columnType":"STRING","fieldLength":16250,"pkField":false},` +
			`{"columnName":"price","columnType":"FLOAT","decimals":2,"pkField":false},` +
			`{"columnName":"exact","columnType":"FLOAT","decimals":4,"pkField":false},` +
			`{"columnName":"seen","columnType":"DATETIME","pkField":false}],"tableName":"t"}`
		if string(text) != want {
			t.Errorf("got  %s\nwant %s", text, want)
		}
		r.done()
	})
}

// TestOrderColumn: the column orders duplicates of every table but of those that
// name another.
func TestOrderColumn(t *testing.T) {
	for own, want := range map[string]string{"": "?duplicateRemovalColumn=change_no", "id": "?duplicateRemovalColumn=id"} {
		synctest.Test(t, func(t *testing.T) {
			r, wire := tapped(t, emulator.Options{}, func(o *celonis.Options) {
				o.OrderColumn = "change_no"
				o.Table = func(string) celonis.TableOptions { return celonis.TableOptions{DuplicateRemovalColumn: own} }
			})
			if err := r.deliver(map[int64]string{1: "a"}); err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(wire.calls, func(c string) bool { return strings.HasSuffix(c, want) }) {
				t.Errorf("no execution with %s in %q", want, wire.calls)
			}
			r.done()
		})
	}
}

// TestSpacing: submissions keep the distance that is set.
func TestSpacing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, wire := tapped(t, emulator.Options{}, func(o *celonis.Options) { o.Spacing = 30 * time.Second })
		for i := range int64(4) {
			if err := r.deliver(map[int64]string{i: "a"}); err != nil {
				t.Fatal(err)
			}
		}
		for i := range wire.times[1:] {
			if d := wire.times[i+1].Sub(wire.times[i]); d < 30*time.Second {
				t.Errorf("submission %d came %v after the one before", i+1, d)
			}
		}
	})
}

// TestCountCreate: where creations count, each job costs two of the hour's submissions.
func TestCountCreate(t *testing.T) {
	for count, want := range map[bool]int{false: 0, true: 3} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, func(o *celonis.Options) { o.CountCreate = count })
			for i := range int64(3) {
				if err := r.deliver(map[int64]string{i: "a"}); err != nil {
					t.Fatal(err)
				}
			}
			// The rig's deliveries are granted by hand, so only creations show here.
			if left, _ := r.pusher.Budget.Left(time.Now()); 250-left != want {
				t.Errorf("%d submissions spent, want %d", 250-left, want)
			}
		})
	}
}

// TestOverdue: a job that takes too long is waited for, cancelled and repeated, or
// its table held.
func TestOverdue(t *testing.T) {
	for _, overdue := range []push.Overdue{push.OverdueWait, push.OverdueCancel, push.OverdueHold} {
		synctest.Test(t, func(t *testing.T) {
			r, wire := tapped(t, emulator.Options{Delay: 3 * time.Hour}, nil)
			r.pusher.Deadline, r.pusher.Overdue = time.Hour, overdue
			err := r.deliver(map[int64]string{1: "a"})
			cancelled := 0
			for _, c := range wire.calls {
				if strings.HasSuffix(c, "/cancel") {
					cancelled++
				}
			}
			switch {
			case overdue == push.OverdueWait && (err != nil || cancelled != 0):
				t.Errorf("waiting on: %v, %d cancelled", err, cancelled)
			case overdue == push.OverdueWait:
				r.want(map[int64]string{1: "a"})
			case overdue == push.OverdueHold && (err == nil || !strings.Contains(err.Error(), "SLUICE_CELONIS_JOB_DEADLINE") || cancelled != 0 || r.emu.Counts().Submitted != 1):
				t.Errorf("holding: %v, %d cancelled, %d submitted", err, cancelled, r.emu.Counts().Submitted)
			case overdue == push.OverdueHold:
			case push.KindOf(err) != push.Rejected || err == nil || !strings.Contains(err.Error(), "cancelled: still"):
				t.Errorf("got %v", err)
			case cancelled != 3:
				t.Errorf("%d jobs cancelled, want one each attempt", cancelled)
			}
			r.done()
		})
	}
}

// TestNames: what the platform would mangle holds the table and says what to do.
func TestNames(t *testing.T) {
	for _, tc := range []struct {
		names  []string
		change func(*celonis.Options)
		want   string // in the error; "" for none
	}{
		{[]string{"Id", "id"}, nil, "tables.t.columns"},
		{[]string{"Id", "id"}, func(o *celonis.Options) { o.KeepCase = true }, ""},
		{[]string{"_CELONIS_CHANGE_DATE"}, nil, "a prefix that the platform keeps for itself"},
		{[]string{"_Celonis_x"}, func(o *celonis.Options) { o.KeepCase = true }, "a prefix that the platform keeps for itself"},
		{[]string{strings.Repeat("x", 129)}, nil, "longer than 128 bytes"},
		{[]string{strings.Repeat("é", 64)}, nil, ""},
		{[]string{strings.Repeat("é", 64)}, func(o *celonis.Options) { o.MaxNameLength = 127 }, "longer than 127 bytes"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, tc.change)
			table := &schema.Table{Name: "t"}
			for _, n := range tc.names {
				table.Columns = append(table.Columns, schema.Column{Name: n, Type: schema.Type{Kind: schema.Integer}})
			}
			_, err := r.sink.Prepare(t.Context(), &push.Job{Table: table})
			var e *push.Error
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%v: %v", tc.names, err)
			case tc.want == "":
			case !errors.As(err, &e) || e.Kind != push.Rejected || !strings.Contains(err.Error(), tc.want):
				t.Errorf("%v: got %v, want %q", tc.names, err, tc.want)
			}
		})
	}
}
