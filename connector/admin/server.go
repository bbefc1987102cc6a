// Package admin serves what an operator asks a running Sluice: liveness,
// readiness, status and metrics.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-cdc/sluice/connector"
)

// Source is what the pages show. A *connector.Connector is one.
type Source struct {
	Status func() *connector.Status
	Alive  func(time.Time) bool
}

// Handler serves /livez, /readyz, /status and, if metrics is not nil, /metrics.
//
// /livez fails only if the loop is stuck: a restart mends nothing else. /readyz
// is 200 while this is a member of the group and until the stop begins; holds and a
// target that is away show in its body and never fail it, so that they do not block
// the rollout that brings the cure.
func Handler(s Source, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		if !s.Alive(time.Now()) {
			http.Error(w, "the loop has not turned for a minute", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		st := s.Status()
		if st.State != connector.Running {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "%s, %d partitions\nkafka: %s\ntarget: %s\n", st.State, st.Partitions, st.Kafka, st.Target)
		if st.SchemaRegistry != "" {
			fmt.Fprintf(w, "schema registry: %s\n", st.SchemaRegistry)
		}
		for _, h := range st.Holds {
			fmt.Fprintf(w, "on hold: %s: %s\n  to do: %s\n", h.Where(), h.Reason, h.Remedy)
		}
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		e.Encode(s.Status())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "sluice\n\n/status   what every table is doing, as JSON\n/readyz   member of the group, and what is on hold\n/livez    the loop turns\n/metrics  for Prometheus\n")
	})
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	return mux
}
