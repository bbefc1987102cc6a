package feldera_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// TestLongRequests: what the pipeline does not read in time is sent in halves, and what
// follows as well, until ten have been taken.
func TestLongRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Inject("ingress", pipeline.Unreachable, 1, 1)
		rows := map[int64]string{}
		for i := range int64(7) {
			rows[i] = `"},]{[\` + fmt.Sprint(i)
		}
		if err := r.deliver(t, rows); err != nil {
			t.Fatal(err)
		}
		if got := r.rows("t"); fmt.Sprint(got) != fmt.Sprint(rows) {
			t.Errorf("it has %v", got)
		}
		posts := r.emu.Counts().Posts
		if posts != 4 { // two barriers, and two halves
			t.Errorf("%d requests", posts)
		}
		for _, want := range []int{2, 2, 2, 2, 1, 1} {
			if err := r.deliver(t, rows); err != nil {
				t.Fatal(err)
			}
			n := r.emu.Counts().Posts
			if n-posts != want {
				t.Errorf("%d requests for seven rows, want %d", n-posts, want)
			}
			posts = n
		}
	})
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
