package celonis_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
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
	forms []string    // field and file name of each upload
	times []time.Time // of executions
	drop  bool        // leave the last chunk out of lists
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
	} else if req.Method == http.MethodPost {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
		w.forms = append(w.forms, regexp.MustCompile(`name="[^"]*"; filename="[^"]*"`).FindString(string(body)))
	}
	resp, err := w.next.RoundTrip(req)
	if err == nil && w.drop && req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/chunks") {
		var list []json.RawMessage
		if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
			return nil, err
		}
		text, _ := json.Marshal(list[:len(list)-1])
		resp.Body, resp.ContentLength, w.drop = io.NopCloser(bytes.NewReader(text)), int64(len(text)), false
	}
	return resp, err
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
			{Name: "grown", Type: schema.Type{Kind: schema.String, Length: 40, Longest: 41}},
			{Name: "far", Type: schema.Type{Kind: schema.String, Longest: 65000}},
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
			`{"columnName":"grown","columnType":"STRING","fieldLength":41,"pkField":false},` +
			`{"columnName":"far","columnType":"STRING","fieldLength":65000,"pkField":false},` +
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

// TestCounted: where creations count, each job costs two of the hour's submissions;
// where every call does, also its upload, its list and its polls.
func TestCounted(t *testing.T) {
	for count, want := range map[celonis.Counted]int{celonis.CountExecute: 0, celonis.CountCreate: 3, celonis.CountAll: 12} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, emulator.Options{}, func(o *celonis.Options) { o.Counted = count })
			for i := range int64(3) {
				if err := r.deliver(map[int64]string{i: "a"}); err != nil {
					t.Fatal(err)
				}
			}
			// The rig's deliveries are granted by hand, so executions do not show here.
			if left, _ := r.pusher.Budget.Left(time.Now()); 250-left != want {
				t.Errorf("%s: %d submissions spent, want %d", count, 250-left, want)
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
		{[]string{""}, nil, "tables.t.columns"},
		{[]string{"caf\xe9"}, nil, "no name that the target takes"},
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

// TestTableNames: nor does the platform take every name of a table.
func TestTableNames(t *testing.T) {
	for name, want := range map[string]string{"_CELONIS_TMP_x": "tables.<table>.from", "": "tables.<table>.from", strings.Repeat("x", 129): "SLUICE_CELONIS_NAME_MAX_LENGTH"} {
		synctest.Test(t, func(t *testing.T) {
			_, err := newRig(t, emulator.Options{}, nil).sink.Prepare(t.Context(), &push.Job{Table: &schema.Table{Name: name}})
			if push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: got %v, want %q", name, err, want)
			}
		})
	}
}

// TestSentAsConfigured: what is configured is what goes over the wire.
func TestSentAsConfigured(t *testing.T) {
	no := false
	for _, tc := range []struct {
		name   string
		change func(*celonis.Options)
		want   []string // in the first job, the calls or the forms
	}{
		{"defaults", nil, []string{`"dataPoolId":"pool"`, `"type":"DELTA"`, `"fileType":"PARQUET"`, `"targetName":"people"`, `"keys":["id"]`,
			`"upsertStrategy":"UPSERT_WITH_NULLIFICATION"`, `"fallbackVarcharLength":16250`, `name="file"; filename="chunk.parquet"`, "POST /data-ingestion/api/v1/data-push/pool/jobs/"}},
		{"connection", func(o *celonis.Options) { o.ConnectionID = "c1" }, []string{`"connectionId":"c1"`}},
		{"table", func(o *celonis.Options) {
			o.Table = func(string) celonis.TableOptions {
				return celonis.TableOptions{AllowDuplicate: &no, TargetSchema: "s", ForeignKeys: "f", MirrorTargetNames: []string{"m1", "m2"}, PostExecutionQuery: "SELECT 1"}
			}
		}, []string{`"allowDuplicate":false`, `"targetSchema":"s"`, `"foreignKeys":"f"`, `"mirrorTargetNames":["m1","m2"]`, `"postExecutionQuery":"SELECT 1"`}},
		{"validate", func(o *celonis.Options) { o.Validate = true }, []string{"/jobs/?validate=true"}},
		{"older flavour", func(o *celonis.Options) {
			o.URL += "/integration/"
			o.MultipartField, o.MultipartFilename, o.ExecuteSlash = "chunk", "x.parquet", true
		}, []string{`name="chunk"; filename="x.parquet"`, "POST /integration/api/v1/data-push/pool/jobs/ID/ ", "/chunks/upserted", "/chunks/deleted"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, wire := tapped(t, emulator.Options{}, tc.change)
			if err := r.deliver(map[int64]string{1: "a", 2: ""}); err != nil {
				t.Fatal(tc.name, err)
			}
			job, err := json.Marshal(wire.jobs[0])
			if err != nil {
				t.Fatal(err)
			}
			sent := string(job) + " " + strings.Join(wire.forms, " ") + " " + regexp.MustCompile(`[0-9a-f]{8}-[-0-9a-f]+`).ReplaceAllString(strings.Join(wire.calls, " "), "ID") + " "
			for _, want := range tc.want {
				if !strings.Contains(sent, want) {
					t.Errorf("%s: no %s in what was sent:\n%s", tc.name, want, sent)
				}
			}
			for _, unset := range []string{"connectionId", "allowDuplicate", "targetSchema", "foreignKeys", "mirrorTargetNames", "postExecutionQuery", "validate=", "duplicateRemovalColumn", "csvParsingOptions"} {
				if tc.change == nil && strings.Contains(sent, unset) {
					t.Errorf("%s is sent although it is not set", unset)
				}
			}
			r.done()
		})
	}
}

// TestListedChunksAreCompared: a job whose list lacks a chunk is not executed.
func TestListedChunksAreCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, wire := tapped(t, emulator.Options{}, nil)
		wire.drop = true
		if err := r.deliver(map[int64]string{1: "a", 2: ""}); err != nil {
			t.Fatal(err)
		}
		if s := r.emu.Counts(); s.Jobs != 2 || s.Submitted != 1 {
			t.Errorf("%d jobs made, %d submitted; want the first one left", s.Jobs, s.Submitted)
		}
		r.want(map[int64]string{1: "a"})
	})
}

// TestPollsLessAndLess: a long job is asked for with growing pauses.
func TestPollsLessAndLess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, wire := tapped(t, emulator.Options{Delay: 10 * time.Minute}, nil)
		if err := r.deliver(map[int64]string{1: "a"}); err != nil {
			t.Fatal(err)
		}
		polls := 0
		for _, c := range wire.calls {
			if strings.HasPrefix(c, "GET ") && !strings.HasSuffix(c, "/chunks") {
				polls++
			}
		}
		if polls > 30 || polls < 15 { // every second it would be 600, every 30 seconds 20
			t.Errorf("%d polls in ten minutes", polls)
		}
	})
}

// TestTokens: the client authenticates as it was registered, asks for its scope, and
// renews a token before it runs out.
func TestTokens(t *testing.T) {
	for _, post := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var asked []string
			r := newRig(t, emulator.Options{ClientID: "me", Secret: "s3cret"}, nil)
			endpoint := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				_, _, basic := req.BasicAuth()
				inForm := req.FormValue("client_secret") != ""
				asked = append(asked, fmt.Sprint(basic, " ", inForm, " ", req.FormValue("scope")))
				r.emu.ServeHTTP(w, req)
			})
			opt := r.opt
			opt.Auth = &celonis.OAuth{TokenURL: "https://team/oauth2/token", ClientID: "me", Secret: func() (string, error) { return "s3cret", nil },
				Scopes: []string{"a", "b"}, Post: post, Client: clientOf(endpoint)}
			refused := 0
			r.transport.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				rec := httptest.NewRecorder()
				r.emu.ServeHTTP(rec, req)
				if rec.Code == http.StatusUnauthorized {
					refused++
				}
				maps.Copy(w.Header(), rec.Header())
				w.WriteHeader(rec.Code)
				w.Write(rec.Body.Bytes())
			})
			sink, err := celonis.New(opt, r.transport)
			if err != nil {
				t.Fatal(err)
			}
			r.pusher.Sink = sink
			for range 3 {
				if err := r.deliver(map[int64]string{1: "a"}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(14*time.Minute + 30*time.Second) // of fifteen
			}
			want := fmt.Sprint(!post, " ", post, " a b")
			if len(asked) != 3 || asked[0] != want || refused > 0 {
				t.Errorf("asked %q, want 3 times %q; %d requests refused", asked, want, refused)
			}
		})
	}
}
