package feldera

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/push"
)

// A request that its sender has given up may lie in the pipeline yet, and be read without
// anybody's hearing of it: of one that is paused, or in whose queue for the table so many
// records wait that it reads no more. What it has read is counted (GET …/stats), and what of
// that is not processed; what lies before it is not.

// grace is how soon a pipeline that runs and has room has read the requests that waited for it.
const grace = 2 * time.Second

// statistics is what the pipeline counts.
type statistics struct {
	Inputs []struct {
		Name   string `json:"endpoint_name"`
		Config struct {
			Stream string `json:"stream"`
		} `json:"config"`
		Metrics struct {
			Received int64 `json:"total_records"`
			Buffered int64 `json:"buffered_records"`
		} `json:"metrics"`
	} `json:"inputs"`
}

// read returns how many records of a table the pipeline has read from its ingress, in any
// queue: before 0.275 there is one for each worker of the server. It is an error of kind
// Unavailable while some of them are not processed.
func (s *Sink) read(ctx context.Context, l *lane) (records int64, queues int, err error) {
	var d statistics
	if err := s.c.call(ctx, "read statistics", http.MethodGet, s.c.pipeline+"/stats", "/pipelines/{pipeline}/stats", nil, &d); err != nil {
		return 0, 0, err
	}
	buffered := int64(0)
	for _, in := range d.Inputs {
		if strings.Contains(in.Name, "api-ingress") && (in.Config.Stream == l.name || in.Config.Stream == segment(l.name)) {
			queues++
			records += in.Metrics.Received
			buffered += in.Metrics.Buffered
		}
	}
	if buffered > 0 {
		return 0, 0, earlier("they are not processed yet")
	}
	return records, queues, nil
}

// calm sees the pipeline run and have nothing of the table to process, and do so again after grace,
// having read nothing more of it.
func (s *Sink) calm(ctx context.Context, l *lane) error {
	before, _, err := s.read(ctx, l)
	if err != nil {
		return err
	}
	if err := push.Sleep(ctx, grace); err != nil {
		return err
	}
	if _, err := s.writable(ctx); err != nil { // it may be paused by now
		return err
	}
	after, _, err := s.read(ctx, l)
	if err == nil && after != before {
		err = earlier("some were read just now")
	}
	return err
}

// drained says that nothing waits in any queue of a table, after an empty body that lies in
// one of them.
func (s *Sink) drained(ctx context.Context, l *lane) error {
	_, queues, err := s.read(ctx, l)
	if err == nil && queues == 0 {
		err = earlier("the pipeline's statistics do not name the queue that the last one lies in")
	}
	return err
}

func earlier(why string) error {
	return &push.Error{Op: "wait for earlier requests", Kind: push.Unavailable, Message: why, RetryAfter: time.Second}
}
