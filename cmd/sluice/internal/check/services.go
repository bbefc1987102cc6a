package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/push"
)

// services are the servers that speak HTTP, with what they said of the time.
type services struct {
	*Subject
	clocks []clock
}

// clock is the time of a server beside our own around its answer.
type clock struct {
	whose           string
	date            time.Time // whole seconds, cut
	asked, answered time.Time
}

// skew is how far the server's clock is ahead at least, negative where it is behind, 0 if
// both may agree: the answer was dated at some time between asked and answered.
func (c clock) skew() time.Duration {
	switch first, last := c.date, c.date.Add(time.Second); {
	case first.After(c.answered):
		return first.Sub(c.answered)
	case last.Before(c.asked):
		return last.Sub(c.asked)
	}
	return 0
}

// answered notes what an answer tells beside its body.
func (s *services) answered(f *Findings, whose, remedy string, asked time.Time, resp *http.Response) {
	now := s.Now()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		s.clocks = append(s.clocks, clock{whose, date, asked, now})
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		expiry(f, now, resp.TLS.PeerCertificates[0], whose, remedy)
	}
}

// registry: it answers, and takes the credentials.
func (s *services) registry(ctx context.Context, f *Findings) {
	if s.Registry == nil {
		f.Skip("SLUICE_SCHEMA_REGISTRY_URL is not set")
		return
	}
	asked := s.Now()
	answers := s.Registry.Ping(ctx, s.Config.Registry.Framing != "confluent")
	well := 0
	for _, a := range answers {
		if a.Trouble == "" {
			well++
		}
	}
	for _, a := range answers {
		if a.Response != nil {
			s.answered(f, a.URL, "renew the certificate of the schema registry", asked, a.Response)
		}
		switch {
		case a.Trouble == "":
			f.OK("%s answers", a.URL)
		case well > 0: // the others are asked in its place
			f.Warn(a.Remedy, "%s: %s", a.URL, a.Trouble)
		default:
			f.Problem(a.Remedy, "%s: %s", a.URL, a.Trouble)
		}
	}
}

// target: the API takes the credentials, and has what the settings name.
func (s *services) target(ctx context.Context, f *Findings) {
	asked := s.Now()
	first := true // a refused key is tried twice
	found, err := s.Target.Ping(ctx, func(resp *http.Response) {
		if first {
			s.answered(f, s.Target.URL, "renew the certificate of the target, or of what stands before it", asked, resp)
			first = false
		}
	}, func(text, remedy string) { f.Warn(remedy, "%s: %s", s.Target.What, text) })
	if err == nil {
		f.OK("%s takes the credentials; %s", s.Target.URL, found)
		return
	}
	seen, remedy := err.Error(), "check SLUICE_"+strings.ToUpper(s.Config.Sink)+"_URL"
	if e := (*push.Error)(nil); errors.As(err, &e) {
		if e.Hint != "" {
			remedy = e.Hint
		} else if e.Kind == push.Throttled {
			remedy = "try again later; another client uses up the requests of this team"
		}
		seen = strings.TrimSuffix(seen, " ("+e.Hint+")")
	}
	f.Problem(remedy, "%s, %s: %s", s.Target.URL, s.Target.What, seen)
}

// A clock that is off shifts the hour of the budget and the freshness that is shown; far
// off, tokens and certificates are refused.
const (
	skewWarning = 5 * time.Second
	skewProblem = time.Minute
)

// clock: ours against those of the servers.
func (s *services) clock(_ context.Context, f *Findings) {
	for _, c := range s.clocks {
		skew := c.skew()
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		text := fmt.Sprintf("this machine's clock is %v %s that of %s", skew.Abs().Round(time.Second), side, c.whose)
		const remedy = "set this machine's clock by NTP"
		switch {
		case skew.Abs() > skewProblem:
			f.Problem(remedy, "%s", text)
		case skew.Abs() > skewWarning:
			f.Warn(remedy, "%s", text)
		default:
			f.OK("within %v of %s", skewWarning, c.whose)
		}
	}
	if len(s.clocks) == 0 {
		f.Skip("no server told its time")
	}
}
