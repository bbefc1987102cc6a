package feldera

import (
	"context"
	"net/http"
)

// Ping reads the pipeline, which shows that address, credentials, name and version are right
// and changes nothing. It returns how many tables there are. seen is told of every answer,
// refusals too; its body is not to be read. The error is a *push.Error, whose hint names the
// setting.
func (s *Sink) Ping(ctx context.Context, seen func(*http.Response)) (tables int, err error) {
	opt := s.opt
	opt.Tracer, opt.Meter, opt.Propagator = nil, nil, nil
	asker, err := New(opt, watched{s.c.http.Transport, seen})
	if err != nil {
		return 0, err
	}
	p, err := asker.open(ctx)
	if err != nil {
		return 0, err
	}
	return len(p.tables), nil
}

type watched struct {
	next http.RoundTripper
	seen func(*http.Response)
}

func (w watched) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	if err == nil {
		w.seen(resp)
	}
	return resp, err
}
