package feldera

import (
	"context"
	"net/http"

	"github.com/sluice-cdc/sluice/push"
)

// Ping reads the pipeline, which shows that address, credentials, name and version are right
// and changes nothing. It returns how many tables there are. seen is told of every answer,
// refusals too; its body is not to be read. warn is as Options.Warn. The error is a
// *push.Error, whose hint names the setting.
func (s *Sink) Ping(ctx context.Context, seen func(*http.Response), warn func(text, remedy string)) (tables int, err error) {
	opt := s.opt
	opt.Warn = warn
	opt.Tracer, opt.Meter, opt.Propagator = nil, nil, nil
	asker, err := New(opt, push.Watched{RoundTripper: s.c.http.Transport, Seen: seen})
	if err != nil {
		return 0, err
	}
	p, err := asker.open(ctx)
	if err != nil {
		return 0, err
	}
	return len(p.tables), nil
}
