package push

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Pusher brings jobs to DONE: prepare, execute, poll, and after each failure the
// step that its kind asks for. It is a set of choices and may be used
// concurrently for different deliveries.
type Pusher struct {
	Sink   Sink
	Budget *Budget
	Tracer trace.Tracer

	PollInterval    time.Duration // first wait for a status; it grows by half each time
	MaxPollInterval time.Duration
	Deadline        time.Duration // of a job from its execution; 0: none
	Overdue         Overdue
	FreeConflicts   bool // a 409 costs no submission
	Attempts        int  // of a job that the target rejects or fails
	MinBackoff      time.Duration
	MaxBackoff      time.Duration
}

// Overdue says what becomes of a job past its deadline.
type Overdue uint8

const (
	OverdueWait   Overdue = iota // it is waited for
	OverdueCancel                // it is cancelled and repeated, as an attempt
	OverdueHold                  // Run returns an error of kind Rejected; the job goes on at the target
)

// Run brings the delivery to its end; nil means that every job is DONE. Failures
// that pass by themselves are waited out. An error of kind Unauthorized or
// Rejected is for the caller to decide: Run goes on where it stopped when called
// again, though not with a job of which rows are Refused. One of kind Lost says that the job
// has ended or is gone, and that the rows must be read again to be sent. Otherwise the error
// is ctx's.
func (p *Pusher) Run(ctx context.Context, d *Delivery) error {
	wait := &backoff.ExponentialBackOff{
		InitialInterval: p.MinBackoff, MaxInterval: p.MaxBackoff,
		RandomizationFactor: 0.3, Multiplier: 2,
	}
	wait.Reset()
	for d.part < len(d.Jobs) {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := d.part
		err := p.step(ctx, d)
		if err == nil {
			// Only what brings the batch nearer ends a run of failures: finding a job
			// not submitted after a failed execution does not.
			if d.part > part || d.step == Polling {
				wait.Reset()
			}
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		pause := wait.NextBackOff()
		kind := KindOf(err)
		var e *Error
		if errors.As(err, &e) && e.RetryAfter > 0 {
			pause = e.RetryAfter
		}
		switch kind {
		case Unauthorized, Lost:
			p.report(d, err, 0)
			return err
		case Throttled:
			p.Budget.Refused(time.Now(), pause)
		case Rejected:
			var refused *Refused
			if d.attempts++; d.attempts >= p.Attempts || errors.As(err, &refused) {
				p.report(d, err, 0)
				d.attempts = 0
				return err
			}
		}
		p.report(d, err, pause)
		if err := p.pause(ctx, d, kind, pause); err != nil {
			return err
		}
	}
	d.to(Delivered)
	return nil
}

// pause waits before the next try. Where the target has refused to take more, that is a
// wait for the budget.
func (p *Pusher) pause(ctx context.Context, d *Delivery, kind Kind, pause time.Duration) (err error) {
	if kind == Throttled {
		_, span := p.Tracer.Start(ctx, WaitSpan)
		defer func(start time.Time) {
			d.Waited += time.Since(start)
			d.tell(ctx)
			End(span, err)
		}(time.Now())
	}
	return Sleep(ctx, pause)
}

func (p *Pusher) report(d *Delivery, err error, pause time.Duration) {
	now := time.Now()
	d.progress.Store(&Progress{Step: d.step, JobID: d.ticket.ID, Err: err, Since: now, Retry: now.Add(pause)})
}

// step does the next thing and leaves the delivery at the step that follows, also
// when it returns an error.
func (p *Pusher) step(ctx context.Context, d *Delivery) (err error) {
	job := d.Jobs[d.part]
	switch d.step {
	case Preparing:
		d.ticket, err = p.Sink.Prepare(context.WithValue(ctx, repeat{}, d.prepared), job)
		d.prepared++
		if err != nil {
			switch KindOf(err) {
			case Lost:
				// A job can vanish between two uploads, a pool cannot: not for ever.
				err = as(Rejected, err)
			case Restarted: // the files are not for what it is now
				err = as(Lost, err)
			}
			if KindOf(err) == Rejected {
				d.ended(ctx, JobRefused)
			}
			return err
		}
		d.tell(ctx)
		d.to(Binding)
		return nil

	case Binding:
		if d.Bind != nil {
			ctx, span := p.span(ctx, "commit intent", d)
			err = d.Bind(ctx, d.ticket, d.part+1, len(d.Jobs))
			if End(span, err); errors.Is(err, ErrUnsettled) {
				job.Settle = true
				return d.again(err)
			} else if err != nil {
				return err
			}
		}
		d.to(Executing)
		return nil

	case Executing:
		if !d.granted {
			took, err := p.Budget.Await(ctx, p.Tracer)
			if d.Waited += took; err != nil {
				return err
			}
		}
		if d.Confirm != nil {
			until, err := d.Confirm(ctx)
			if err != nil {
				d.granted = true // nothing was submitted
				return &Error{Op: "execute job", Kind: Unavailable, Err: err, Message: "not submitted: " + err.Error()}
			}
			var cancel func()
			ctx, cancel = context.WithDeadline(ctx, until)
			defer cancel()
		}
		d.granted = false
		d.submitted++
		d.tell(ctx)
		within, span := p.span(ctx, "execute", d)
		token, err := p.Sink.Execute(context.WithValue(within, repeat{}, d.executions), d.ticket)
		d.executions++
		End(span, err)
		if err == nil {
			d.executed = time.Now()
			if d.ticket.Token = token; token != "" && d.Bind != nil {
				d.to(Noting)
				return nil
			}
			d.to(Polling)
			return nil
		}
		// But for a conflict, and a target that takes no more, it may have been submitted all
		// the same: by this call, whoever answered in the target's stead, or by an earlier one
		// whose answer was lost, so that this one was refused as a repeat.
		switch KindOf(err) {
		case Conflict:
			d.granted = p.FreeConflicts
		case Rejected, Restarted:
			d.step = Settling
			return p.settle(ctx, d, err)
		case Unauthorized:
			d.step = Settling
		case Unavailable, Lost:
			d.step = Settling
			// A 404 is as good as no answer: Status tells whether the job is gone.
			err = as(Unavailable, err)
		}
		return err

	case Noting:
		// Where it cannot be noted, the job is one that only this process can ask for.
		ctx, span := p.span(ctx, "commit token", d)
		err = d.Bind(ctx, d.ticket, d.part+1, len(d.Jobs))
		if End(span, err); ctx.Err() != nil {
			return err
		}
		d.to(Polling)
		return nil

	case Settling:
		return p.settle(ctx, d, nil)

	case Polling:
		return p.poll(ctx, d)
	}
	return fmt.Errorf("delivery at step %q", d.step)
}

// settle finds out whether a job was submitted. refusal is the answer of an
// execution that was refused; it stands if the job turns out not to be submitted.
func (p *Pusher) settle(ctx context.Context, d *Delivery, refusal error) error {
	s, err := p.Sink.Status(ctx, d.ticket)
	switch {
	case gone(err):
		return p.lost(ctx, d, err)
	case err != nil:
		return err
	case s.State != New:
		d.executed = time.Now()
		d.to(Polling)
		return nil
	case d.Half:
		refusal = &Error{Op: "job " + d.ticket.ID, Message: "it was noted beside a part of its offsets only, and is not executed"}
		fallthrough
	case refusal != nil:
		// Whoever else knows the job may still execute it. It goes before another one of
		// its table is made.
		if err := p.remove(ctx, d.ticket); err != nil {
			return err
		}
		d.ended(ctx, JobRefused)
		return d.again(refusal)
	}
	d.to(Executing)
	return nil
}

// remove discards a job and sees to it that it is gone: an answer that somebody between
// here and the target gave would leave it to be executed by others.
func (p *Pusher) remove(ctx context.Context, t Ticket) error {
	if err := p.Sink.Discard(ctx, t); err != nil {
		return err
	}
	switch _, err := p.Sink.Status(ctx, t); {
	case err == nil:
		return &Error{Op: "delete job " + t.ID, Kind: Unavailable, Message: "it is there after it was deleted"}
	case KindOf(err) != Lost:
		return err
	}
	return nil
}

// gone reports whether an error says that there is no such job any more.
func gone(err error) bool {
	return err != nil && (KindOf(err) == Lost || KindOf(err) == Restarted)
}

// lost starts a job over that is gone. One that vanished counts as an attempt, rejected, for
// one that vanishes each time would otherwise eat the hour's submissions. A restart of the
// target is not the batch's fault, and costs none.
func (p *Pusher) lost(ctx context.Context, d *Delivery, err error) error {
	d.ended(ctx, JobLost)
	kind := Rejected
	if KindOf(err) == Restarted {
		kind = Unavailable
	}
	return p.over(d, as(kind, err))
}

// over starts a job over that has ended otherwise than DONE, or is gone for good, after it
// may have been executed: half of it may be at the target.
func (p *Pusher) over(d *Delivery, reason *Error) error {
	if !d.Once {
		return d.again(reason)
	}
	d.attempts = p.Attempts
	e := *reason
	e.Kind, e.Hint = Rejected, "which of its rows are in the table is not known, and rows without a key would be there twice if they were sent again"
	return &e
}

// newGrace is how long after an accepted execution a job may still show NEW.
const newGrace = 30 * time.Second

// poll waits for the job to end, asking less and less often.
func (p *Pusher) poll(ctx context.Context, d *Delivery) (err error) {
	batch := ctx
	ctx, span := p.span(ctx, "poll", d)
	asked := 0
	defer func() {
		span.SetAttributes(attribute.Int("sluice.job.polls", asked))
		End(span, err)
	}()
	for pause := p.PollInterval; ; pause = min(pause*3/2, p.MaxPollInterval) {
		if asked++; asked == maxPollSpans+1 {
			ctx = unrecorded(ctx)
		}
		s, err := p.Sink.Status(ctx, d.ticket)
		if err != nil {
			if gone(err) {
				return p.lost(batch, d, err)
			}
			return err
		}
		switch s.State {
		case Done:
			d.ended(batch, JobDone)
			if d.partial {
				return d.again(&Error{Op: "job " + d.ticket.ID, Message: "it is DONE, and carries only a part of its batch"})
			}
			p.done(batch, d)
			d.ticket.Done = true
			d.old = append(d.old, d.ticket)
			d.part++
			d.attempts, d.prepared, d.executions = 0, 0, 0
			d.ticket = Ticket{}
			d.to(Preparing)
			return nil
		case Failed, Canceled:
			d.ended(batch, map[State]Outcome{Failed: JobFailed, Canceled: JobCanceled}[s.State])
			return p.over(d, &Error{Op: "job " + d.ticket.ID, Kind: Rejected, Message: fmt.Sprintf("ended in %v: %s", s.State, logs(s.Logs, d.Jobs[d.part].Table))})
		case New:
			// The status may lag behind the execution; only after a while is it taken
			// as never submitted.
			if time.Since(d.executed) > newGrace {
				d.to(Settling)
				return &Error{Op: "job " + d.ticket.ID, Kind: Unavailable, Message: "still NEW after its execution was accepted"}
			}
		}
		overdue := p.Deadline > 0 && time.Since(d.executed) > p.Deadline
		if overdue && p.Overdue == OverdueHold {
			d.attempts = p.Attempts // it is not to be repeated beside the one that runs
			return &Error{Op: "job " + d.ticket.ID, Kind: Rejected, Message: fmt.Sprintf("still %v after %v", s.State, p.Deadline),
				Hint: "it may still end: look at it in the platform, or raise SLUICE_CELONIS_JOB_DEADLINE"}
		}
		if overdue && p.Overdue == OverdueCancel {
			if err := p.remove(ctx, d.ticket); err != nil {
				return err
			}
			d.ended(batch, JobCanceled)
			return p.over(d, &Error{Op: "job " + d.ticket.ID, Kind: Rejected, Message: fmt.Sprintf("cancelled: still %v after %v", s.State, p.Deadline)})
		}
		if err := Sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// as gives an error another kind: what leaves open what happened is unavailable, say.
func as(kind Kind, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		c := *e
		c.Kind = kind
		return &c
	}
	return &Error{Op: "push", Kind: kind, Err: err}
}

// Sleep waits for d or until ctx ends, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
