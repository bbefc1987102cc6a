package feldera_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// chunkOf is a file whose rows came from records 10, 11 and so on.
func chunkOf(rows int, data string) schema.Chunk {
	c := schema.Chunk{Rows: rows, Data: []byte(data)}
	for i := range rows {
		c.Records = append(c.Records, schema.Record{Offset: 10 + int64(i), Source: 7})
	}
	return c
}

// TestRefusedRows: rows that the pipeline does not take are told by their records and
// columns, never by their values, and nothing of their request lands.
func TestRefusedRows(t *testing.T) {
	for _, tc := range []struct {
		name, data string
		rows       int
		want       string // the records
		says       string
	}{
		{"two of three", `[{"insert":{"id":1,"v":"x"}},{"insert":{"id":2,"v":4711}},{"insert":{"id":3,"v":4712}}]`, 3, "[11 12]", "2 rows that the pipeline does not take, for their columns v; the first: "},
		{"one like a good one's value", `[{"insert":{"id":1,"v":"{\"id\":47,\"v\":47}"}},{"insert":{"id":47,"v":47}}]`, 2, "[11]", "1 rows"},
		{"a delete", `[{"delete":{"id":1}},{"delete":{"id":"47"}}]`, 2, "[11]", "columns id"},
		{"no event", `[{"insert":{"id":1,"v":"x"}},{"unknown":{"id":2,"v":"4711"}}]`, 2, "[]", "1 rows"},
		{"no array", `{"insert":{"id":1,"v":"4711"}}`, 1, "[]", "1 rows"},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{}, nil)
			err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), []schema.Chunk{chunkOf(tc.rows, tc.data)}))
			if err == nil || push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "47") {
				t.Errorf("%s: it ends with %v", tc.name, err)
			}
			got := []int64{}
			var refused *push.Refused
			if errors.As(err, &refused) {
				for _, row := range refused.Rows {
					if got = append(got, row.Record.Offset); row.Record.Source != 7 || row.Column == "" || row.Words == "" || strings.Contains(row.Words, "47") {
						t.Errorf("%s: it tells %+v", tc.name, row)
					}
				}
			}
			if fmt.Sprint(got) != tc.want {
				t.Errorf("%s: records %v are refused, want %s", tc.name, got, tc.want)
			}
			if len(r.rows("t")) > 0 {
				t.Errorf("%s: some of it landed", tc.name)
			}
		})
	}
}

// TestRefusedInHalves: rows are found where their request was sent in halves.
func TestRefusedInHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Inject("ingress", pipeline.Unreachable, 1, 1)
		data := `[{"insert":{"id":1,"v":"a"}},{"insert":{"id":2,"v":"b"}},{"insert":{"id":3,"v":4711}}]`
		err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), []schema.Chunk{chunkOf(3, data)}))
		var refused *push.Refused
		if !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Record.Offset != 12 {
			t.Errorf("it ends with %v %+v", err, refused)
		}
	})
}

// TestRefusedAreMany: an answer names the last thousand rows.
func TestRefusedAreMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		var events []string
		for i := range 1200 {
			events = append(events, fmt.Sprintf(`{"insert":{"id":%d,"v":0}}`, i))
		}
		err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), []schema.Chunk{chunkOf(1200, "["+strings.Join(events, ",")+"]")}))
		var refused *push.Refused
		if !errors.As(err, &refused) || len(refused.Rows) != 1000 || refused.Rows[0].Record.Offset != 210 || !strings.Contains(err.Error(), "1200 rows") {
			t.Errorf("it ends with %v", err)
		}
	})
}

// TestRefusedAreWide: rows whose answer is longer than what is read of one are found in
// smaller requests, at last in one of a single row. Those that follow are no smaller.
func TestRefusedAreWide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		wide := strings.Repeat("4", 4_300_000)
		data := fmt.Sprintf(`[{"insert":{"id":"x","v":"%s"}},{"insert":{"id":"y","v":"%[1]s"}}]`, wide)
		err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), []schema.Chunk{chunkOf(2, data)}))
		var refused *push.Refused
		if !errors.As(err, &refused) || len(refused.Rows) != 1 || refused.Rows[0].Record.Offset != 10 || strings.Contains(err.Error(), "44") {
			t.Errorf("it ends with %.2000v", err)
		}
		posts := r.emu.Counts().Posts
		if err := r.deliver(t, map[int64]string{1: "a", 2: "b"}); err != nil || r.emu.Counts().Posts-posts != 2 { // and a barrier
			t.Errorf("two rows that follow are sent in %d requests: %v", r.emu.Counts().Posts-posts, err)
		}
	})
}

// TestRefusedBehindOthers: a job whose later request is refused ends where nothing that
// follows can overtake the earlier one, also in versions that do not keep the order.
func TestRefusedBehindOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Version: "0.274.0", Lag: time.Minute}, nil)
		two := []schema.Chunk{chunkOf(1, `[{"insert":{"id":1,"v":"a"}}]`), chunkOf(1, `[{"insert":{"id":2,"v":4711}}]`)}
		err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), two))
		var refused *push.Refused
		if !errors.As(err, &refused) || len(refused.Rows) != 1 {
			t.Errorf("it ends with %v", err)
		}
		if r.rows("t")[1] != "a" {
			t.Error("it ends before the first request is complete")
		}
	})
}
