package feldera

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// Sink pushes to one pipeline. It is a push.Sink and may be used concurrently.
type Sink struct {
	c    *client
	opt  Options
	pipe atomic.Pointer[pipeline] // as last read; nil: not yet
	warn sync.Once

	mu       sync.Mutex
	accepted string           // the state that may be written to
	jobs     map[string]*job  // by ticket
	lanes    map[string]*lane // by table
	forms    map[written]batcher.JSONForm
	lives    lives
	ours     map[partition]bool // see Assigned; nil: all, for nobody has told them
	points   checkpoints
}

// job is what stands for a job: the requests that carry it. Its calls come one after the
// other.
type job struct {
	lane    *lane
	program string // the pipeline's that its rows were checked against
	bodies  []body // those that are to be posted
	first   string // the token of the first one that was taken
	token   string // that of the last one
	begun   bool   // a request was taken, or may have been
	append  bool   // its rows must not be there twice
	torn    bool   // it cannot be sent on, or again, but that rows of it may be there twice

	adopted bool // another process has posted it

	// Of what may have killed the pipeline, under the sink's lock.
	rows   int
	source []push.Span
	flight bool // rows of it were posted, or may have been, and are not known to be complete
	life   int  // the one that they were posted to

	// Of checkpoints, under its lock.
	ready bool  // to be in the next one
	point int64 // that which is waited for; none: none is
}

// body is one request.
type body struct {
	data    []byte          // an array, or nothing
	records []schema.Record // where the rows of it came from, nil if that is not known
	fits    bool            // no row of it is too large alone
}

// New returns the sink for opt. transport is nil but in tests.
func New(opt Options, transport http.RoundTripper) (*Sink, error) {
	s := &Sink{opt: opt, jobs: map[string]*job{}, lanes: map[string]*lane{}, forms: map[written]batcher.JSONForm{}}
	s.points = checkpoints{turn: make(chan struct{}, 1), asked: none, done: none}
	var err error
	s.c, err = newClient(&s.opt, transport)
	return s, err
}

// Prepare compares the table with the pipeline's and sees to it that nothing of an earlier
// job, also of another process, can land after what the job sends.
func (s *Sink) Prepare(ctx context.Context, j *push.Job) (push.Ticket, error) {
	p, err := s.writable(ctx)
	if err != nil {
		return push.Ticket{}, err
	}
	deletes := len(j.Chunks) > 0 && !slices.ContainsFunc(j.Chunks, func(c schema.Chunk) bool { return c.Op != schema.Delete })
	r, err := s.check(p, j.Table, deletes)
	if err != nil {
		return push.Ticket{}, err
	}
	if err := s.current(p, j.Table); err != nil {
		return push.Ticket{}, err
	}
	l, err := s.lane(p, r, j.Table.Name)
	if err != nil {
		return push.Ticket{}, err
	}
	if err := s.quarantined(l); err != nil {
		return push.Ticket{}, err
	}
	if asked := weak.Make(j); j.Settle && l.asked != asked {
		l.asked = asked
		l.unsettle()
	}
	if err := s.settle(ctx, p, l); err != nil {
		return push.Ticket{}, err
	}
	made := &job{lane: l, program: p.program, point: none, append: s.opt.Append != nil && s.opt.Append(j.Table.Name), source: j.Source}
	for _, c := range j.Chunks {
		made.bodies = append(made.bodies, body{data: c.Data, records: c.Records}.cut(l.most)...)
		made.rows += c.Rows
	}
	if len(made.bodies) == 0 {
		made.bodies = []body{{}} // for its token
	}
	if made.append && len(made.bodies) > 1 {
		made.lead(len(made.bodies[0].data))
	}
	t := push.Ticket{ID: uuid.NewString(), Table: j.Table.Name, DeletesOnly: deletes}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(l.ticket) // nobody comes back to one that was given up with its partitions
	l.ticket, s.jobs[t.ID] = t.ID, made
	return t, nil
}

// job returns the job of a ticket. Of one that another process has posted all that is left
// is the wait for its token.
func (s *Sink) job(t push.Ticket) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j := s.jobs[t.ID]; j != nil {
		return j, nil
	}
	if p := s.pipe.Load(); p != nil {
		if r := p.table(t.Table); r != nil && s.lanes[r.canonical()] != nil {
			s.lanes[r.canonical()].foreign.Store(true)
		}
	}
	if t.Token == "" {
		return nil, &push.Error{Op: "find job", Kind: push.Lost, Message: "the process that made it has ended before all of it was posted"}
	}
	j := &job{lane: &lane{table: t.Table}, first: t.Token, token: t.Token, begun: true, adopted: true, point: none}
	s.jobs[t.ID] = j
	return j, nil
}

// Execute posts what is left of the job, one request after the other. The token is that of
// the last one, if all went to one life of the pipeline: then it stands for all.
func (s *Sink) Execute(ctx context.Context, t push.Ticket) (token string, err error) {
	j, err := s.job(t)
	if err != nil {
		return "", err
	}
	if err := s.execute(ctx, t, j); err != nil {
		j.torn = j.torn || j.begun && push.KindOf(err) == push.Rejected
		return "", err
	}
	if j.first != j.token {
		if _, err := s.complete(ctx, j.first); err != nil {
			return "", nil // posted it is; Status tells what became of it
		}
	}
	return j.token, nil
}

func (s *Sink) execute(ctx context.Context, t push.Ticket, j *job) error {
	for len(j.bodies) > 0 {
		if _, err := s.job(t); err != nil {
			return err
		}
		p, err := s.writable(ctx) // before each: it may have been paused since (I8)
		if err != nil {
			return err
		}
		if p.program != j.program {
			return errProgram
		}
		if err := s.turn(j); err != nil {
			return err
		}
		if l := j.lane; l.last != "" && !p.ordered {
			done, err := s.complete(ctx, l.last)
			if push.KindOf(err) == push.Lost && l.last != j.token {
				done, err = true, nil // it went with the pipeline that had it
			}
			if err != nil || !done {
				return cmp.Or[error](err, &push.Error{Op: "post rows", Kind: push.Unavailable, Message: "the request before is not complete, and this version of Feldera does not keep their order", RetryAfter: time.Second})
			}
		}
		within, span := s.c.requests.Step(ctx, "upload", attribute.String("sluice.table", t.Table), attribute.String("sluice.job.id", t.ID), attribute.Int("sluice.bytes", len(j.bodies[0].data)))
		token, err := s.post(within, "post rows", j.lane, j.bodies[0].data)
		if push.End(span, err); err != nil {
			switch {
			case landed(err):
				j.begun, j.torn = true, true
				j.lane.unsettle()
				if slow(err) && ctx.Err() == nil { // and not because our own time was up
					j.shorten()
				}
			case large(err) && j.fit(), quotes(err) && !j.append && j.halve() > 0:
				continue
			case !j.begun:
				s.release(j)
			}
			return j.bodies[0].refused(err)
		}
		j.lane.last = token
		if j.token, j.bodies, j.begun = token, j.bodies[1:], true; j.first == "" {
			j.first = token
		}
		j.lane.took()
	}
	return nil
}

var errProgram = &push.Error{Op: "post rows", Kind: push.Restarted, Message: "the pipeline was started anew with another program than the one that the rows were checked against"}

// Status says Done when all requests of the job are complete, and so is, if it is asked
// for, a checkpoint that was made afterwards. It is Restarted where the pipeline was started
// anew since the first of them: what it had not saved by then is to be sent again with the
// rest.
func (s *Sink) Status(ctx context.Context, t push.Ticket) (push.Status, error) {
	j, err := s.job(t)
	if err != nil {
		return push.Status{}, err
	}
	st, err := s.status(ctx, j)
	if codeOf(err) == "PipelineRestarted" {
		err = s.restarted(ctx, j, err)
	}
	kind := push.KindOf(err)
	gone := kind == push.Lost || kind == push.Restarted
	if gone { // and whoever sent it may not come back to give it up
		s.release(j)
	}
	if j.adopted && (st.State == push.Done || gone) {
		s.Forget(t.ID) // nobody else does
	}
	return st, err
}

func (s *Sink) status(ctx context.Context, j *job) (push.Status, error) {
	if len(j.bodies) > 0 && j.torn && j.append {
		s.release(j)
		return push.Status{State: push.Failed, Logs: []string{"a request of it failed, and which of its rows are there is not known"}}, nil
	}
	if len(j.bodies) > 0 { // a request has failed: what became of it must be over before it is repeated
		p, err := s.writable(ctx)
		if err != nil {
			return push.Status{}, err
		}
		switch {
		case p.program != j.program && j.begun:
			return push.Status{}, errProgram
		case p.program != j.program:
			return push.Status{State: push.New}, nil // and Execute refuses it
		}
		if err := s.settle(ctx, p, j.lane); err != nil {
			return push.Status{}, err
		}
		if j.first != "" {
			if _, err := s.complete(ctx, j.first); err != nil {
				return push.Status{}, err
			}
			s.renew(j)
		}
		return push.Status{State: push.New}, nil
	}
	if done, err := s.processed(ctx, j); err != nil || !done {
		return push.Status{State: push.Running}, err
	}
	if !s.opt.Checkpoint {
		return push.Status{State: push.Done}, nil
	}
	st, err := s.checkpoint(ctx, j)
	if err != nil || st.State != push.Done {
		return st, err
	}
	// The tokens are of the pipeline that the rows went to: it made the checkpoint as well.
	if done, err := s.processed(ctx, j); err != nil || !done {
		return push.Status{State: push.Running}, err
	}
	return st, nil
}

// processed reports whether all requests of a job are complete, in one life of the pipeline.
func (s *Sink) processed(ctx context.Context, j *job) (bool, error) {
	done, err := s.complete(ctx, j.token)
	if err == nil && done && j.first != j.token {
		done, err = s.complete(ctx, j.first)
	}
	if err == nil && done {
		s.passed(j)
	}
	return done, err
}

// Discard forgets the job. What it has posted stays posted.
func (s *Sink) Discard(_ context.Context, t push.Ticket) error {
	s.Forget(t.ID)
	return nil
}

// Forget forgets a job: its status is that it is gone, and nothing more of it is posted.
func (s *Sink) Forget(job string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(job)
}

// drop lets go of a job, under the lock.
func (s *Sink) drop(id string) {
	if j := s.jobs[id]; j != nil && j == s.lives.alone {
		s.lives.alone = nil
	}
	delete(s.jobs, id)
}

// writable returns the pipeline if it runs and still has what was delivered to it.
func (s *Sink) writable(ctx context.Context) (*pipeline, error) {
	p, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.accepted != p.state {
		return nil, &push.Error{Op: "read pipeline", Kind: push.Unavailable, Message: "the pipeline was started anew, and what was delivered before is not in it", Hint: "under SLUICE_FELDERA_ON_STATE_LOSS=rewind all topics are read again; else set that and restart"}
	}
	return p, nil
}

// State names what the pipeline remembers: under another name, nothing that was delivered
// before is there.
func (s *Sink) State(ctx context.Context) (string, error) {
	p, err := s.open(ctx)
	if err != nil {
		return "", err
	}
	return p.state, nil
}

// Accept lets batches be sent to a pipeline of that state.
func (s *Sink) Accept(state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.accepted = state
}
