package feldera

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/sluice-cdc/sluice/push"
)

// lives is what is known of the deployments of the pipeline. The sink's lock guards it.
type lives struct {
	now     string // the deployment that runs, as it was last read; "": it is not told
	before  string // an answer that was under way may still tell of the one before
	failure string // the code that it was seen to have failed with
	down    bool   // it was seen to be over
	known   bool   // how the one before has ended
	n       int    // of lives that are over, each process of a deployment being one
	alone   *job   // a suspect's, beside which nothing is posted
}

func (l *lives) with() string {
	if l.failure == "" {
		return ""
	}
	return " with " + l.failure
}

// ended notes that a deployment is over, and what it has failed with, "" if somebody has
// stopped it.
func (s *Sink) ended(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives.down, s.lives.failure = true, cmp.Or(push.Clip(code), s.lives.failure)
}

// alive takes notice of the deployment that runs, before anything is posted to it. Where it
// has no name it is another one if the pipeline was seen down.
func (s *Sink) alive(ctx context.Context, deployment string) error {
	s.mu.Lock()
	was := s.lives
	s.mu.Unlock()
	same := deployment == was.now || deployment == was.before
	if deployment == "" {
		same = was.now != "" || !was.down
	}
	if same {
		return nil
	}
	died, told := was.failure != "", true
	if was.now != "" {
		died, told = s.crashed(ctx, was)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives.now != was.now || deployment == "" && !s.lives.down { // another table has seen it too
		return nil
	}
	s.over(died)
	s.lives.now, s.lives.before, s.lives.failure, s.lives.down, s.lives.known = deployment, was.now, "", false, told
	return nil
}

// crashed reports whether the deployment before this one ended by a failure, and not
// because somebody stopped it. A pipeline that runs again does not say so any more, but its
// monitor events do (https://docs.feldera.com/tutorials/rest_api/pipeline-monitoring/). Where
// there are none, what was seen of it counts, and told is false if that was nothing.
func (s *Sink) crashed(ctx context.Context, was lives) (died, told bool) {
	if p := s.pipe.Load(); p == nil || !p.events {
		return was.failure != "", was.down
	}
	var events []struct { // the latest first
		Desired string `json:"deployment_resources_desired_status"`
		Failed  bool   `json:"deployment_has_error"`
	}
	if s.c.call(ctx, "read events", http.MethodGet, s.c.pipeline+"/events?selector=status", "/pipelines/{pipeline}/events", nil, &events) != nil {
		return was.failure != "", was.down
	}
	stopped := false
	for _, e := range events {
		switch {
		case e.Desired != "Stopped" && stopped: // it ran until then
			return false, true
		case e.Desired != "Stopped": // it runs now
		case e.Failed:
			return true, true
		default:
			stopped = true
		}
	}
	return false, true
}

// restarted is told of a job whose token is void, and gives the error another kind: what has
// killed the pipeline is found among the suspects, and who stops it has nobody to blame. Only
// where nothing tells which of the two it was, it stays the job's. If the deployment is still
// the same, the pipeline died within it: whoever stops it makes a new one. (Of one without a
// name nothing tells that.) What else is under way may be in the new process, and stays so
// until its own token tells.
func (s *Sink) restarted(ctx context.Context, j *job, void error) error {
	if _, err := s.open(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	told := s.lives.known
	if j.flight {
		told = s.lives.now != ""
		if j.life == s.lives.n {
			s.lives.n++
		}
		s.fell(j, told)
	}
	if !told {
		return void
	}
	var e *push.Error
	if errors.As(void, &e) {
		e.Kind = push.Restarted
	}
	return void
}

// renew says that the token of a job's first rows is valid: they went to the life that runs,
// though they may have been there before anybody noticed that it had begun.
func (s *Sink) renew(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.life = s.lives.n
}
