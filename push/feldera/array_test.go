package feldera_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// TestLongRequests: what the pipeline does not read in time is sent in halves, and what
// follows as well, until ten have been taken. A proxy between may be the one who says so.
func TestLongRequests(t *testing.T) {
	for _, proxy := range []int{0, http.StatusGatewayTimeout, http.StatusRequestTimeout} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			if proxy == 0 {
				r.emu.Inject("ingress", pipeline.Unreachable, 1, 1)
			} else {
				r.behind(t, func(request int, _ int64) int { return map[bool]int{request == 2: proxy}[true] }, nil)
			}
			rows := map[int64]string{}
			for i := range int64(7) {
				rows[i] = `"},]{[\` + fmt.Sprint(i)
			}
			if err := r.deliver(t, rows); err != nil {
				t.Fatal(err)
			}
			if got := r.rows("t"); fmt.Sprint(got) != fmt.Sprint(rows) {
				t.Errorf("%d: it has %v", proxy, got)
			}
			posts := r.emu.Counts().Posts
			if posts != 4 { // two barriers, and two halves
				t.Errorf("%d: %d requests", proxy, posts)
			}
			for _, want := range []int{2, 2, 2, 2, 1, 1} {
				if err := r.deliver(t, rows); err != nil {
					t.Fatal(err)
				}
				n := r.emu.Counts().Posts
				if n-posts != want {
					t.Errorf("%d: %d requests for seven rows, want %d", proxy, n-posts, want)
				}
				posts = n
			}
		})
	}
}

// behind opens the sink behind a proxy, which answers in the pipeline's stead where status is
// not 0 for a request to the ingress, by its number and its bytes.
func (r *rig) behind(t *testing.T, status func(request int, bytes int64) int, change func(*feldera.Options)) {
	t.Helper()
	request := 0
	r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Path, "/ingress/") {
			request++
			if s := status(request, req.ContentLength); s != 0 {
				w.WriteHeader(s)
				fmt.Fprintf(w, "<html><h1>%s</h1></html>", http.StatusText(s))
				return
			}
		}
		r.emu.ServeHTTP(w, req)
	}), change)
}

// TestLargeRequests: what a proxy takes for too large is sent in parts at once, as nothing of
// it is there, of rows that are only ever added as well; a row that is so alone is refused.
func TestLargeRequests(t *testing.T) {
	limit := func(_ int, bytes int64) int { return map[bool]int{bytes > 100: http.StatusRequestEntityTooLarge}[true] }
	for _, appends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			if appends {
				r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
				r.emu.Start("shop")
			}
			r.behind(t, limit, func(o *feldera.Options) { o.Append = func(string) bool { return appends } })
			d := push.NewDelivery(pushtest.ConformTable("t"), chunks(map[int64]string{1: "a", 2: "b", 3: "c", 4: "d", 5: "e"}, nil))
			d.Once = appends
			if err := r.pusher().Run(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			if n := len(r.emu.Rows("shop", "t")); n != 5 || r.emu.Counts().Posts != 4 { // a barrier, the largest row, and the others in halves
				t.Errorf("append %v: %d rows in %d requests", appends, n, r.emu.Counts().Posts)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.behind(t, limit, nil)
		wide := fmt.Sprintf(`[{"insert":{"id":1,"v":"a"}},{"insert":{"id":2,"v":"%s"}},{"insert":{"id":3,"v":"c"}}]`, strings.Repeat("b", 100))
		err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), []schema.Chunk{chunkOf(3, wide)}))
		var refused *push.Refused
		if !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Record.Offset != 11 || refused.Rows[0].Words != "it alone is too large for a request" {
			t.Errorf("it ends with %v %+v", err, refused)
		}
		if err == nil || !strings.Contains(err.Error(), "413") || !strings.Contains(err.Error(), "the limit of the proxy") {
			t.Errorf("it says %v", err)
		}
	})
}

// TestTooLargeAlone: a row that is too large alone is found before any other is there, in
// whichever file and place it is, and says nothing of how long the requests that follow may be.
func TestTooLargeAlone(t *testing.T) {
	limit := func(_ int, bytes int64) int {
		return map[bool]int{bytes > 2000: http.StatusRequestEntityTooLarge}[true]
	}
	files := func(large, wide int) (out []schema.Chunk) { // of three rows each, the first file's of so many bytes
		for file := range 3 {
			var events []string
			for i := 3 * file; i < 3*file+3; i++ {
				events = append(events, fmt.Sprintf(`{"insert":{"id":%d,"v":"%s"}}`, i, strings.Repeat("b", max(map[bool]int{i == large: 2000}[true], map[bool]int{i < 3: wide}[true]))))
			}
			c := chunkOf(3, "["+strings.Join(events, ",")+"]")
			for i := range c.Records {
				c.Records[i].Offset = int64(3*file + i)
			}
			out = append(out, c)
		}
		return out
	}
	for _, appends := range []bool{false, true} {
		for i := range 18 {
			large, wide := i/2, i%2*900 // so that the first file is larger than any row
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, pipeline.Options{}, nil)
				if appends {
					r.emu.Create("shop", "CREATE TABLE t (id BIGINT, v VARCHAR);")
					r.emu.Start("shop")
				}
				r.behind(t, limit, func(o *feldera.Options) { o.Append = func(string) bool { return appends } })
				d := push.NewDelivery(pushtest.ConformTable("t"), files(large, wide))
				d.Once = appends
				err := r.pusher().Run(t.Context(), d)
				var refused *push.Refused
				if !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Record.Offset != int64(large) {
					t.Errorf("append %v, row %d, %d: it ends with %v %+v", appends, large, wide, err, refused)
				}
				if n := len(r.emu.Rows("shop", "t")); appends && n > 0 {
					t.Errorf("row %d, %d: %d rows are there", large, wide, n)
				}
				posts := r.emu.Counts().Posts
				d = push.NewDelivery(pushtest.ConformTable("t"), files(-1, 0))
				if err := r.pusher().Run(t.Context(), d); err != nil || r.emu.Counts().Posts-posts != 4 { // and a barrier
					t.Errorf("append %v, row %d, %d: three files that follow are sent in %d requests: %v", appends, large, wide, r.emu.Counts().Posts-posts, err)
				}
			})
		}
	}
}

// TestOwnDeadline: that we had no more time for a request says nothing of its length.
func TestOwnDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		wait := time.Duration(0)
		r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/ingress/") {
				time.Sleep(wait)
			}
			r.emu.ServeHTTP(w, req)
		}), nil)
		rows := map[int64]string{1: "a", 2: "b", 3: "c"}
		if err := r.deliver(t, rows); err != nil {
			t.Fatal(err)
		}
		ticket, err := r.sink.Prepare(t.Context(), &push.Job{Table: pushtest.ConformTable("t"), Chunks: chunks(rows, nil)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		wait = 10 * time.Second
		if _, err := r.sink.Execute(ctx, ticket); err == nil {
			t.Fatal("it had the time")
		}
		wait = 0
		time.Sleep(time.Minute)
		posts := r.emu.Counts().Posts
		if err := r.deliver(t, rows); err != nil {
			t.Fatal(err)
		}
		if n := r.emu.Counts().Posts - posts; n != 2 { // a barrier, and the rows
			t.Errorf("%d requests", n)
		}
	})
}
