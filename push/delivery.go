package push

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// Step is where a delivery stands.
type Step string

const (
	Preparing Step = "preparing"
	Binding   Step = "binding" // noting the job where its rows come from, before it is executed
	Executing Step = "executing"
	Noting    Step = "noting"   // the token of what was executed, for another process to ask with
	Settling  Step = "settling" // finding out what became of an execution
	Polling   Step = "polling"
	Delivered Step = "delivered"
)

// Delivery is a batch on its way. Its jobs run one after the other; only the last
// one's DONE delivers the batch. One goroutine runs it; Progress may be called by
// any.
type Delivery struct {
	Jobs []*Job
	// Confirm is asked before each execution; nil: never. The job may be submitted until
	// the time that it returns, and not at all if it fails, which is tried again like a
	// target that is away.
	Confirm func(context.Context) (until time.Time, err error)
	// Bind notes a prepared job durably, before its first execution; nil: nobody does.
	// From then on the job may be executed by others as well, so that nothing takes its
	// place before it has ended or is gone for good. An error of kind Lost ends Run. Bind is
	// called once more when the job was executed and has a token, which may be left unnoted.
	// After ErrUnsettled the job is made again, with Settle.
	Bind func(ctx context.Context, t Ticket, part, parts int) error

	// Ended is told of each job that came to an end, and how long it took from its
	// accepted execution, 0 if it had none; nil: nobody is. An adopted job takes from when
	// it was seen to be executed.
	Ended func(ctx context.Context, table string, outcome Outcome, took time.Duration)

	// Once says that rows must not reach the target twice, for there is no key that makes
	// two of them one. What may have delivered some of them ends Run with an error of kind
	// Rejected, instead of a further job.
	Once bool

	// Half says of an adopted job that who made it has not executed it, as it was noted in part
	// only. If it is New it is removed, and Run ends with an error of kind Lost.
	Half bool

	// Waited is how long the batch has waited for submissions, for its trace.
	Waited time.Duration

	part     int
	adopted  bool // the job is another process's; there are no chunks to make it again from
	partial  bool // and its DONE does not deliver the batch
	ticket   Ticket
	step     Step
	granted  bool // a submission was granted for the next execution
	attempts int
	// How often the job at hand was prepared and executed, and how often any of the batch's
	// was executed.
	prepared, executions, submitted int
	executed                        time.Time
	old                             []Ticket // jobs that are over, to be discarded after the commit
	progress                        atomic.Pointer[Progress]
}

// ErrUnsettled is what Bind answers where jobs of the table may be under way that nobody knows.
var ErrUnsettled = &Error{Op: "commit intent", Message: "jobs that an earlier owner may have left behind are ended first; then it is made again"}

// Outcome is how a job ended.
type Outcome string

const (
	JobDone     Outcome = "done"
	JobFailed   Outcome = "error"
	JobCanceled Outcome = "canceled" // at the target, or here as overdue
	JobLost     Outcome = "lost"     // the target has it no more
	JobRefused  Outcome = "refused"  // and was not executed
)

// ended tells of the end of the job at hand.
func (d *Delivery) ended(ctx context.Context, outcome Outcome) {
	took := time.Duration(0)
	if !d.executed.IsZero() {
		took = time.Since(d.executed)
	}
	d.executed = time.Time{}
	if d.Ended != nil {
		d.Ended(ctx, d.Jobs[d.part].Table.Name, outcome, took)
	}
}

// Progress is what a delivery is doing, for people.
type Progress struct {
	Step  Step
	JobID string
	Err   error     // the last failure since the last success, nil if none
	Since time.Time // of the step or, with Err, of the failure
	Retry time.Time // when it is tried again
}

// NewDelivery makes the delivery of chunks, whose first submission is granted.
func NewDelivery(t *schema.Table, parts ...[]schema.Chunk) *Delivery {
	d := &Delivery{step: Preparing, granted: true}
	for _, chunks := range parts {
		d.Jobs = append(d.Jobs, &Job{Table: t, Chunks: chunks})
	}
	return d
}

// Adopt makes the delivery of a job that another process has bound; last says that its
// DONE delivers the batch that it carries.
func Adopt(t Ticket, last bool) *Delivery {
	d := &Delivery{Jobs: []*Job{{Table: &schema.Table{Name: t.Table}}}, ticket: t, adopted: true, partial: !last}
	d.to(Settling)
	return d
}

// Progress returns what the delivery is doing now.
func (d *Delivery) Progress() Progress {
	if p := d.progress.Load(); p != nil {
		return *p
	}
	return Progress{Step: Preparing}
}

// Tickets returns the jobs made for the delivery that are DONE, for Discard.
// Call it after Run.
func (d *Delivery) Tickets() []Ticket { return d.old }

func (d *Delivery) to(s Step) {
	d.step = s
	d.progress.Store(&Progress{Step: s, JobID: d.ticket.ID, Since: time.Now()})
}

// again starts a job over, from its chunks, for it has ended without effect, or with half
// of it, or is gone for good. It returns the reason, which is Lost if there are no
// chunks.
func (d *Delivery) again(reason error) error {
	if d.adopted {
		return as(Lost, reason)
	}
	d.ticket = Ticket{}
	d.to(Preparing)
	return reason
}
