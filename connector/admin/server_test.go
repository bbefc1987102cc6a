package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/connector"
)

// TestCodes: liveness fails for a stuck loop only; readiness is membership. Neither
// fails for a hold or a target that is away, which show in the body.
func TestCodes(t *testing.T) {
	status := func(s connector.State) *connector.Status {
		return &connector.Status{State: s, Partitions: 2, Kafka: "no broker answers", Target: "execute job: 401 Unauthorized",
			Holds: []connector.Hold{{Table: "public_orders", Topic: "shop.public.orders", Partition: new(int32(1)), Offset: new(int64(42)), Reason: "unknown op", Remedy: "skip it"}}}
	}
	for _, tc := range []struct {
		name        string
		state       connector.State
		alive       bool
		live, ready int
	}{
		{"joining", connector.Joining, true, 200, 503},
		{"running", connector.Running, true, 200, 200},
		{"draining", connector.Draining, true, 200, 503},
		{"stuck", connector.Running, false, 503, 200},
	} {
		h := Handler(Source{Status: func() *connector.Status { return status(tc.state) }, Alive: func(time.Time) bool { return tc.alive }}, nil)
		get := func(path string, want int) string {
			rec := httptest.NewRecorder()
			h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
			if rec.Code != want {
				t.Errorf("%s: %s answers %d, want %d", tc.name, path, rec.Code, want)
			}
			return rec.Body.String()
		}
		get("/livez", tc.live)
		body := get("/readyz", tc.ready)
		for _, want := range []string{string(tc.state), "401 Unauthorized", "kafka: no broker answers", "table public_orders, at shop.public.orders/1 offset 42: unknown op", "to do: skip it"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s: /readyz does not say %q:\n%s", tc.name, want, body)
			}
		}
		get("/metrics", 404)
	}
}
