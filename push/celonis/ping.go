package celonis

import (
	"context"
	"errors"
	"net/http"

	"github.com/sluice-cdc/sluice/push"
)

// Ping lists the jobs of the pool, which shows that address, credentials and pool are
// right and changes nothing. It returns how many there are. seen is told of every answer
// of the API, refusals too; its body is not to be read. The error is a *push.Error, whose
// hint names the setting.
func (s *Sink) Ping(ctx context.Context, seen func(*http.Response)) (jobs int, err error) {
	// A client of its own: neither the breaker nor the telemetry of deliveries is to know.
	opt := s.opt
	opt.Budget, opt.Tracer, opt.Meter, opt.Propagator = nil, nil, nil, nil
	c, err := newClient(&opt, push.Watched{RoundTripper: s.c.http.Transport, Seen: seen})
	if err != nil {
		return 0, err
	}
	var listed []jobDocument
	err = c.call(ctx, "list jobs", http.MethodGet, "", nil, &listed)
	if e := (*push.Error)(nil); errors.As(err, &e) && e.Status == http.StatusNotFound {
		e.Hint = "no such pool, or no Data Push API at that address: check SLUICE_CELONIS_POOL_ID and SLUICE_CELONIS_URL"
	}
	return len(listed), err
}
