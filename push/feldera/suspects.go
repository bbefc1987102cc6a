package feldera

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/sluice-cdc/sluice/push"
)

// Rows that the pipeline has taken may kill it when it computes with them: ELEMENT of an
// array of two in a view stops it for good. Nothing tells whose rows those were, and a batch that
// is not complete is sent again to the next life of the pipeline, which it kills as well. So
// all that was under way when the pipeline died is suspect, and a suspect is sent with
// nothing else under way until it has passed; what kills the pipeline then is known.

// lives is what is known of the deployments of the pipeline. The sink's lock guards it.
type lives struct {
	now     string // the deployment that runs, as it was last read
	before  string // an answer that was under way may still tell of the one before
	failure string // the code that it was seen to have failed with
	down    bool   // it was seen to be over
	known   bool   // how the one before has ended
	alone   *job   // a suspect's, beside which nothing is posted
}

func (l *lives) with() string {
	if l.failure == "" {
		return ""
	}
	return " with " + l.failure
}

// suspect is a table with a batch that was under way when the pipeline died.
type suspect struct {
	ends map[partition]int64 // it is none any more when all before them has passed
	held *push.Error         // what it did; nil: once only
}

type partition struct {
	topic string
	id    int32
}

// ended notes that a deployment is over, and what it has failed with, "" if somebody has
// stopped it.
func (s *Sink) ended(code string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives.down, s.lives.failure = true, cmp.Or(push.Clip(code), s.lives.failure)
}

// alive takes notice of the deployment that runs, before anything is posted to it.
func (s *Sink) alive(ctx context.Context, deployment string) error {
	s.mu.Lock()
	was := s.lives
	s.mu.Unlock()
	if deployment == "" || deployment == was.now || deployment == was.before {
		return nil
	}
	died, told := false, true
	if was.now != "" {
		died, told = s.crashed(ctx, was)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lives.now != was.now { // another table has seen it too
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
// the same, the pipeline died within it: whoever stops it makes a new one.
func (s *Sink) restarted(ctx context.Context, j *job, void error) error {
	if _, err := s.open(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if j.flight {
		s.over(true)
	} else if !s.lives.known {
		return void
	}
	var e *push.Error
	if errors.As(void, &e) {
		e.Kind = push.Restarted
	}
	return void
}

// over ends a life of the pipeline, under the lock. What was under way is suspect if it
// died; a suspect that was so alone is known to have killed it.
func (s *Sink) over(died bool) {
	var under []*job
	for _, j := range s.jobs {
		if j.flight {
			under = append(under, j)
			j.flight = false
		}
	}
	s.lives.alone = nil
	if !died {
		return
	}
	for _, j := range under {
		x := j.lane.suspect
		switch {
		case x == nil:
			x = &suspect{ends: map[partition]int64{}}
			j.lane.suspect = x
		case len(under) == 1:
			x.held = &push.Error{Op: "post rows", Kind: push.Rejected, Hint: "the pipeline's log has its own words; change its program, or these rows at the source",
				Message: fmt.Sprintf("table %s has killed the pipeline, which failed%s for the second time while a batch of the table was under way, and this time nothing else was; that batch has %s", j.lane.table, s.lives.with(), j.describe())}
		}
		for _, from := range j.source {
			at := partition{from.Topic, from.Partition}
			x.ends[at] = max(x.ends[at], from.End)
		}
	}
}

// describe says which rows a job has.
func (j *job) describe() string {
	text := fmt.Sprintf("%d rows", j.rows)
	const most = 5
	for i, from := range j.source {
		if i == most {
			return text + fmt.Sprintf(" and %d more partitions", len(j.source)-most)
		}
		text += map[bool]string{true: ", of ", false: ", "}[i == 0] + from.String()
	}
	return text
}

// quarantined is an error if a table has killed the pipeline twice. It stays so until Sluice
// is started anew.
func (s *Sink) quarantined(l *lane) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := l.suspect; x != nil && x.held != nil {
		return x.held
	}
	return nil
}

// turn lets a job be posted: a suspect's with nothing else under way, and then nothing
// beside it. What has begun comes to its end.
func (s *Sink) turn(j *job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := j.lane.suspect
	switch {
	case s.jobs[j.lane.ticket] != j:
		return &push.Error{Op: "find job", Kind: push.Lost, Message: "it was given up"}
	case j.flight:
		return nil
	case x != nil && x.held != nil:
		return x.held
	case s.lives.alone != nil && s.lives.alone != j:
		return wait("table %s was under way when the pipeline died; its batch is sent alone, and this one after it", s.lives.alone.lane.table)
	case x != nil:
		s.lives.alone = j
		for _, other := range s.jobs {
			if other.flight {
				return wait("it was under way when the pipeline died, and is sent when nothing else is; table %s still is", other.lane.table)
			}
		}
	}
	j.flight = true
	return nil
}

func wait(format, table string) error {
	return &push.Error{Op: "post rows", Kind: push.Unavailable, Message: fmt.Sprintf(format, table), RetryAfter: time.Second}
}

// release says that nothing of a job is under way.
func (s *Sink) release(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest(j)
}

func (s *Sink) rest(j *job) {
	if j.flight = false; s.lives.alone == j {
		s.lives.alone = nil
	}
}

// passed says that all of a job is complete, and so did not kill the pipeline.
func (s *Sink) passed(j *job) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rest(j)
	x := j.lane.suspect
	if x == nil || x.held != nil {
		return
	}
	for _, from := range j.source {
		if at := (partition{from.Topic, from.Partition}); x.ends[at] <= from.End {
			delete(x.ends, at)
		}
	}
	if len(x.ends) == 0 {
		j.lane.suspect = nil
	}
}
