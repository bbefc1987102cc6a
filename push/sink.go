// Package push takes a batch's files to a target as jobs and brings each job to
// its end. A Sink knows one target's API; Pusher is what all targets share:
// the order of the steps, retries, and what each failure means; Budget rations
// submissions.
package push

import (
	"context"
	"fmt"

	"github.com/sluice-cdc/sluice/schema"
)

// Job is one unit that the target applies as a whole: upserts and deletes of one
// table with disjoint keys (I4).
type Job struct {
	Table  *schema.Table
	Chunks []schema.Chunk
	Source []Span // where its rows come from, for people and for a sink that knows a batch again
	// Settle says that an earlier process may have left a job of the table that nobody
	// knows, and whose execution may still be on its way: Prepare sees to it that it does
	// not land after this one, as far as the target lets it (connector/DESIGN.md). It may be
	// set between two calls of Prepare, and stays.
	Settle bool
}

// Span is a part of a partition: the offsets from First up to, and without, End.
type Span struct {
	Topic      string
	Partition  int32
	First, End int64
}

func (s Span) String() string {
	return fmt.Sprintf("%s/%d offsets %d to %d", s.Topic, s.Partition, s.First, s.End-1)
}

// Ticket names a job at the target.
type Ticket struct {
	ID    string
	Table string // the target table
	// DeletesOnly says that the job only removes rows.
	DeletesOnly bool
	// Token is what Execute gave, "" before: with it any process may ask for a job that its
	// ID alone says nothing of.
	Token string
	// Done says that the job is known to have delivered.
	Done bool
}

// State is where a job stands.
type State uint8

const (
	New      State = iota // prepared, not executed
	Queued                // executed, waiting
	Running               // being applied
	Done                  // applied: readers of the target see it
	Failed                // not applied, or only in part
	Canceled              // stopped from outside
)

var stateNames = [...]string{"NEW", "QUEUED", "RUNNING", "DONE", "ERROR", "CANCELED"}

func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// Final reports whether the state will not change any more.
func (s State) Final() bool { return s >= Done }

// Status is a job's state and what the target says about it.
type Status struct {
	State State
	Logs  []string
}

// Sink is a target's API. Its methods make one attempt each, do not retry, and
// return errors that are *Error. They may be called concurrently for different
// jobs; the calls for one job come one after the other.
type Sink interface {
	// Prepare creates the job, uploads all chunks and verifies that they are
	// there. Nothing is applied yet. If it fails, the job is never executed.
	Prepare(ctx context.Context, job *Job) (Ticket, error)
	// Execute submits a prepared job. It returns the Token of its ticket, "" where every
	// process finds the job by its ID. An error of kind Unavailable leaves open whether it
	// was submitted; Status tells. After one of kind Rejected or Restarted a job that is New
	// will not be taken any more, and is to be made again.
	Execute(ctx context.Context, t Ticket) (token string, err error)
	// Status returns where the job stands.
	Status(ctx context.Context, t Ticket) (Status, error)
	// Discard removes a job, which is cancelled first if it is not final. A job
	// that is gone is no error; one that cannot be cancelled any more, or not yet, is of
	// kind Unavailable and stays, as one does that has delivered unknown to the ticket.
	Discard(ctx context.Context, t Ticket) error
}
