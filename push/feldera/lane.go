package feldera

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"weak"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-cdc/sluice/push"
)

// lane is a table's ingress. One job of it is under way at a time (I3).
type lane struct {
	table   string // as it is named here
	name    string // as the program knows it
	path    string
	ticket  string   // the last job's
	settled string   // the state of the pipeline in which nothing is under way that could land later
	barrier string   // the token that is to say so
	last    string   // the token of the last request, also of a job that was given up
	most    int      // rows of a request, since one has taken too long; 0: as the files are
	quick   int      // requests in a row that were taken since
	suspect *suspect // under the sink's lock; nil: it is none

	// foreign says that another process may have posted to it since. It is told of any table of
	// the source that is this one, beside what this one's jobs do.
	foreign atomic.Bool

	// asked is the job whose Settle was heeded last: once, for each time gives up the barrier.
	// Weak, for a job has the rows of its batch.
	asked weak.Pointer[push.Job]
}

// lane returns that of a table. It is refused to a second table of the source that the program
// has as the same one, for the jobs of two come in no order, and their rows would be one where
// they have the same key.
func (s *Sink) lane(p *pipeline, r *relation, table string) (*lane, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := r.canonical()
	l := s.lanes[name]
	switch {
	case l != nil && l.table == table:
		return l, nil
	case l != nil && p.table(l.table) == r: // and not of an earlier program
		return nil, &push.Error{Op: "check table", Kind: push.Rejected, Message: fmt.Sprintf("table %s: it and table %s are both table %s of the pipeline", table, l.table, name),
			Hint: "declare both there, the names in quotes, or give one of them another name by SLUICE_TARGET_TABLE or tables.<table>.from in the tables file; if they are meant to be one, name both in from, with merge: true"}
	}
	l = &lane{table: table, name: name, path: s.c.pipeline + "/ingress/" + url.PathEscape(segment(name)) + "?format=json&update_format=insert_delete&array=true"}
	s.lanes[name] = l
	return l, nil
}

// settle waits until nothing that was posted to a table can land any more, also by another
// process: the pipeline has had time to read what waited for it, and an empty body gets a
// token, which covers all that its queue has of the table. Where there are several, they are
// seen to be empty.
func (s *Sink) settle(ctx context.Context, p *pipeline, l *lane) (err error) {
	if l.foreign.Swap(false) {
		l.unsettle()
	}
	if l.settled == p.state {
		return nil
	}
	ctx, span := s.c.requests.Step(ctx, "settle", attribute.String("sluice.table", l.table))
	defer func() { push.End(span, err) }()
	if l.barrier == "" {
		if err := s.calm(ctx, l); err != nil {
			return err
		}
		if l.barrier, err = s.post(ctx, "post barrier", l, nil); err != nil {
			return err
		}
	}
	done, err := s.complete(ctx, l.barrier)
	switch {
	case err != nil && push.KindOf(err) == push.Lost: // with its queue
		l.unsettle()
		return &push.Error{Op: "wait for earlier requests", Kind: push.Unavailable, Err: err}
	case err != nil:
		return err
	case !done:
		return earlier("they are not complete yet")
	}
	if !p.ordered {
		if err := s.drained(ctx, l); err != nil {
			return err
		}
	}
	l.settled, l.barrier = p.state, ""
	return nil
}

// unsettle says that something may land yet that no barrier so far covers.
func (l *lane) unsettle() { l.settled, l.barrier = "", "" }

// post makes one request to the ingress and returns the token of its answer.
func (s *Sink) post(ctx context.Context, op string, l *lane, body []byte) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	if body == nil {
		body = []byte{}
	}
	err := s.c.call(ctx, op, http.MethodPost, l.path, "/pipelines/{pipeline}/ingress/{table}", body, &answer)
	if err == nil && answer.Token == "" {
		err = &push.Error{Op: op, Kind: push.Unavailable, Message: "the answer has no completion token"}
	}
	return answer.Token, err
}

// complete asks whether all that a token stands for has been processed.
func (s *Sink) complete(ctx context.Context, token string) (bool, error) {
	var answer struct {
		Status string `json:"status"`
	}
	if err := s.c.call(ctx, "read completion", http.MethodGet, s.c.pipeline+"/completion_status?token="+url.QueryEscape(token), "/pipelines/{pipeline}/completion_status", nil, &answer); err != nil {
		return false, err
	}
	switch answer.Status { // whatever the code: 200 and 202 both say in progress
	case "complete":
		return true, nil
	case "inprogress":
		return false, nil
	}
	return false, &push.Error{Op: "read completion", Kind: push.Unavailable, Message: fmt.Sprintf("unknown status %.80q", answer.Status)}
}
