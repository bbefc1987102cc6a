package feldera

import (
	"fmt"
	"maps"
	"time"

	"github.com/sluice-cdc/sluice/push"
)

// Rows that the pipeline has taken may kill it when it computes with them: ELEMENT of an
// array of two in a view stops it for good. Nothing tells whose rows those were, and a batch that
// is not complete is sent again to the next life of the pipeline, which it kills as well. So
// all that was under way when the pipeline died is suspect, and a suspect is sent with
// nothing else under way until it has passed; what kills the pipeline then is known.

// suspect is a table with a batch that was under way when the pipeline died.
type suspect struct {
	ends map[partition]int64 // it is none any more when all before them has passed
	held *push.Error         // what it did; nil: once only
}

type partition struct {
	topic string
	id    int32
}

// over ends a life of the pipeline with its deployment, under the lock.
func (s *Sink) over(died bool) {
	for _, j := range s.jobs {
		if j.flight {
			s.fell(j, died)
		}
	}
	s.lives.alone = nil
	s.lives.n++
}

// fell says that what was under way of a job went with a life of the pipeline, under the lock.
// It is suspect if that died; a suspect, which went alone, is known to have killed it.
func (s *Sink) fell(j *job, died bool) {
	alone := s.lives.alone == j
	if s.rest(j); !died {
		return
	}
	x := j.lane.suspect
	switch {
	case x == nil:
		x = &suspect{ends: map[partition]int64{}}
		j.lane.suspect = x
	case alone:
		x.held = &push.Error{Op: "post rows", Kind: push.Rejected, Hint: "the pipeline's log has its own words; change its program, or these rows at the source",
			Message: fmt.Sprintf("table %s has killed the pipeline, which failed%s for the second time while a batch of the table was under way, and this time nothing else was; that batch has %s", j.lane.table, s.lives.with(), j.describe())}
	}
	for _, from := range j.source {
		at := partition{from.Topic, from.Partition}
		x.ends[at] = max(x.ends[at], from.End)
	}
}

// Assigned says which partitions of each topic this process has from now on. Of others nothing
// passes here any more, and what was under way of them keeps no table suspect.
func (s *Sink) Assigned(partitions map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ours = map[partition]bool{}
	for topic, ids := range partitions {
		for _, id := range ids {
			s.ours[partition{topic, id}] = true
		}
	}
}

// acquit lets go of what a table is suspect of that cannot pass here, and of a suspect for which
// nothing is left, under the lock.
func (s *Sink) acquit(l *lane) {
	x := l.suspect
	if x == nil || x.held != nil {
		return
	}
	maps.DeleteFunc(x.ends, func(at partition, _ int64) bool { return s.ours != nil && !s.ours[at] })
	if len(x.ends) == 0 {
		l.suspect = nil
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
	switch {
	case s.jobs[j.lane.ticket] != j:
		return &push.Error{Op: "find job", Kind: push.Lost, Message: "it was given up"}
	case j.flight && j.first == "" && j.life != s.lives.n: // no token tells whether it went with that one
		s.fell(j, s.lives.now != "")
	}
	s.acquit(j.lane)
	x := j.lane.suspect
	switch {
	case j.first != "" && j.life != s.lives.n: // nothing of it goes to another life than its first rows
		return &push.Error{Op: "post rows", Kind: push.Unavailable, Message: "the pipeline was started anew after the first of them"}
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
	j.flight, j.life = true, s.lives.n
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
	s.acquit(j.lane)
}
