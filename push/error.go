package push

import (
	"errors"
	"fmt"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// Kind says what to do about a failure.
type Kind uint8

const (
	Unavailable  Kind = iota // no answer or 5xx: try again without end
	Throttled                // over a rate limit: wait as told, the job stays
	Conflict                 // another job on the same target is running: execute again later
	Unauthorized             // the credentials are refused: every job would be
	Lost                     // the job is not there any more: make it again
	Rejected                 // the target refuses or failed the job
	Restarted                // the target was started anew, and what was made for it before is void
)

var kindNames = [...]string{"unavailable", "throttled", "conflict", "unauthorized", "lost", "rejected", "restarted"}

func (k Kind) String() string { return kindNames[k] }

// Error is a failed call to a target.
type Error struct {
	Op         string // what was tried: "create job", "upload chunk", …
	Kind       Kind
	Status     int           // of the HTTP answer, 0 if there was none
	RetryAfter time.Duration // as the target asks, 0 if it does not
	Message    string        // the target's own words, shortened
	Hint       string        // what the operator can do
	Err        error         // the cause, where there was no answer
}

func (e *Error) Error() string {
	s := e.Op + ": "
	switch {
	case e.Status != 0 && e.Message != "":
		s += fmt.Sprintf("%d %s", e.Status, e.Message)
	case e.Status != 0:
		s += fmt.Sprintf("%d", e.Status)
	case e.Err != nil:
		s += e.Err.Error()
	default:
		s += e.Message
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Refused is the cause of an error of kind Rejected where the target says which rows of a
// job it does not take: sent again, it would be refused again. Nothing is there of what was
// sent together with such a row; other rows of the job may be.
type Refused struct {
	Rows []RefusedRow // in the job's order; there may be more that the target does not tell
}

// RefusedRow is a row that the target does not take.
type RefusedRow struct {
	Record schema.Record
	Column string // "" if it is none in particular
	Words  string // the target's own, without the row's values
}

func (r *Refused) Error() string { return fmt.Sprintf("%d rows are refused", len(r.Rows)) }

// KindOf returns the kind of an error of a Sink; what is no *Error is taken as
// Unavailable, which is the class that loses nothing.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Unavailable
}
