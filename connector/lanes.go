package connector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
)

// lane is the ordered sequence of a table's jobs: one runs at a time (I3).
type lane struct {
	table   string
	running *work
	waiting *work // stopped by a refusal of our credentials, to go on
	waits   budgetWait
	adopted []*work // jobs that earlier owners have bound, to be brought to their end first
	replays int64   // bytes of the rows that are read again until nothing is lacking; 0: none are
	held    string  // why nothing runs any more; "" is not held
	oldest  int64   // the oldest change that a held lane has dropped, or when it was held
	holder  Holder  // keeps the offsets of a held table
	done    laneTotals
	changes []ColumnChange
	trouble trouble
}

// laneTotals is what a lane has delivered.
type laneTotals struct {
	Batches, Upserts, Deletes, Compacted int64
	Last                                 time.Time
	Took                                 time.Duration
}

// work is a sealed batch on its way.
type work struct {
	lane     *lane
	holder   Holder         // of its offsets
	batch    *batcher.Batch // nil if the job is adopted
	adopted  bool
	bound    bool // a job of it was noted beside all its offsets
	sent     bool // or may have been
	token    bool // what its execution answered was noted as well
	given    bool // partitions of it were given away with its job, which they name
	reason   string
	size     int64                         // the rows, in memory
	delivery *push.Delivery                // of the worker while one runs
	shown    atomic.Pointer[push.Delivery] // the same, for the status
	bytes    int64                         // held: the rows, then the files and where their rows came from
	files    int64                         // bytes of the files alone
	sealed   time.Time
	waited   time.Duration   // for a submission
	ctx      context.Context // with the batch's trace
	span     trace.Span
	cancel   func() // ends the worker
	// abandoned work has lost its partitions: whatever becomes of it, its rows are
	// somebody else's to send.
	abandoned bool
	lost      error // why its rows are to be read again, once there is memory for them
	oldest    int64
	ends      map[kafka.Partition]int64 // the offsets behind its rows
	source    []push.Span               // what it was sealed from
	read      int
	taken     int // the same, as the partitions counted them
	upserts   int
	deletes   int
	truncates int
	compacted int // replaced by a later change of their key
}

type encoded struct {
	work  *work
	bytes int64
}

type delivered struct {
	work *work
	err  error
}

// blocked says that the target refuses our credentials, so every job would fail.
type blocked struct {
	err   error
	until time.Time
}

const askAgain = time.Minute // whether the credentials are accepted by now

func (c *Connector) lane(table string) *lane {
	l := c.lanes[table]
	if l == nil {
		l = &lane{table: table}
		c.lanes[table] = l
		c.metrics.met(table)
	}
	return l
}

func (c *Connector) running() (n int) {
	for _, l := range c.lanes {
		if l.running != nil {
			n++
		}
	}
	return n
}

// schedule starts what may run: batches that are due, whose lane is idle, for
// which the budget has a submission. The most overdue goes first.
func (c *Connector) schedule() {
	if c.revoking != nil || c.now.Before(c.blocked.until) {
		return
	}
	if c.draining && !c.now.Before(c.deadline) {
		return
	}
	for _, l := range c.lanes {
		switch {
		case l.waiting != nil:
			w := l.waiting
			l.waiting, l.running = nil, w
			c.deliver(w)
		case l.running == nil && l.held == "" && len(l.adopted) > 0:
			w := l.adopted[0]
			if w.lost != nil && !c.room(w.size) || w.lost == nil && c.opt.Exclusive && c.running() > 0 {
				continue
			}
			l.adopted = l.adopted[1:]
			if w.lost != nil {
				c.replay(w)
				continue
			}
			l.running, w.sealed = w, c.now
			c.deliver(w)
		}
	}
	short := c.memory() >= c.opt.MemoryLimit*3/4
	idle := func(table string) bool {
		l := c.lane(table)
		return l.running == nil && l.held == "" && len(l.adopted) == 0 && !(c.opt.Exclusive && c.running() > 0) && !c.covering(table)
	}
	spent := false
	for _, b := range c.batcher.Due(c.now, short, idle) {
		l := c.lane(b.Table.Name)
		if !idle(l.table) {
			continue
		}
		if spent {
			l.await(b, c.now)
			continue
		}
		if lack := c.batcher.Lacks(b); lack != nil {
			c.holdTable(l.table, unavailable(l.table, lack))
			continue
		}
		if spent = !c.opt.Pusher.Budget.Grant(c.now); spent {
			l.await(b, c.now)
			continue
		}
		c.start(l, b)
	}
}

// start seals a batch and sets a worker to deliver it.
func (c *Connector) start(l *lane, b *batcher.Batch) {
	started, waited := time.Now(), l.waited(b, c.now)
	c.batcher.Seal(b)
	b.Stamp(c.now)
	w := &work{lane: l, holder: Holder(b.ID), batch: b, reason: b.Reason.String(), size: b.Size(), bytes: b.Size(), sealed: c.now, oldest: b.Oldest, ends: map[kafka.Partition]int64{},
		read: b.Read, taken: c.ledger.Rows(Holder(b.ID)), upserts: b.Upserts(), deletes: b.Deletes(), truncates: b.Truncates, compacted: b.Replaced}
	for p, part := range c.parts {
		if first, ok := c.ledger.First(p, w.holder); ok {
			w.ends[p] = part.taken[l.table]
			w.source = append(w.source, push.Span{Topic: p.Topic, Partition: p.ID, First: first, End: w.ends[p]})
		}
	}
	slices.SortFunc(w.source, func(a, b push.Span) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	c.inflight += w.bytes
	l.running = w
	w.waited = waited
	c.trace(w, b.Opened, attribute.Float64("sluice.budget.wait", waited.Seconds()))
	if waited > 0 {
		c.past(w, push.WaitSpan, c.now.Add(-waited), c.now)
	}
	c.past(w, "seal", started, time.Now())
	c.metrics.sealed(b.Reason.String())
	c.metrics.unavailable(l.table, b)
	c.metrics.waited(w.ctx, waited)
	if b.Nulled > 0 {
		c.log.WarnContext(w.ctx, "values that the source did not send are NULL from now on, as the table's setting unavailable says", "table", l.table, "values", b.Nulled)
	}
	c.deliver(w)
}

// deliver encodes the batch, if that is not done, and pushes it to the end.
func (c *Connector) deliver(w *work) {
	c.worker(func() any {
		if w.delivery == nil {
			bytes, err := c.encode(w)
			if err != nil {
				return delivered{w, &push.Error{Op: "encode", Kind: push.Rejected, Err: err}}
			}
			c.results <- encoded{w, bytes}
		}
		return delivered{w, c.opt.Pusher.Run(w.ctx, w.delivery)}
	})
}

func (c *Connector) encode(w *work) (bytes int64, err error) {
	c.cpu <- struct{}{}
	defer func() { <-c.cpu }()
	_, span := c.opt.Tracer.Start(w.ctx, "encode")
	defer func() { push.End(span, err) }()
	chunks, err := c.opt.Encode(w.batch)
	if err != nil {
		return 0, err
	}
	if err := w.balance(chunks); err != nil {
		c.metrics.unbalanced()
		return 0, err
	}
	for i := range chunks {
		w.files += int64(len(chunks[i].Data))
		bytes += chunks[i].Size()
	}
	span.SetAttributes(attribute.Int("sluice.chunks", len(chunks)))
	w.span.SetAttributes(attribute.Int64("sluice.bytes", w.files))
	w.delivery = push.NewDelivery(w.batch.Table, c.opt.Split(chunks)...)
	w.delivery.Waited = w.waited
	for _, j := range w.delivery.Jobs {
		j.Source = w.source
	}
	w.delivery.Confirm, w.delivery.Bind, w.delivery.Once, w.delivery.Ended = c.confirm, c.binder(w), c.once(w.lane.table), c.metrics.ended
	w.shown.Store(w.delivery)
	return bytes, nil
}

// confirm asks, before each execution, whether we are still in the group (I2, I8).
func (c *Connector) confirm(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opt.Kafka.SessionTimeout)
	defer cancel()
	until, err := c.consumer.Confirm(ctx)
	if err != nil {
		if kafka.NotOwner(err) {
			c.metrics.fenced()
		}
		err = fmt.Errorf("the group does not confirm this member: %w", err)
	}
	return until, err
}

// onDelivered ends a batch: DONE releases its offsets, anything else keeps them.
func (c *Connector) onDelivered(d delivered) {
	w, l := d.work, d.work.lane
	l.running = nil
	if w.abandoned {
		c.abandon(w)
		return
	}
	if d.err == nil {
		w.cancel()
		c.finish(w)
		return
	}
	switch kind := push.KindOf(d.err); {
	case c.hard.Err() != nil: // stopping
	case kind == push.Unauthorized:
		if c.blocked.err == nil {
			c.log.Error("the target refuses the credentials; all tables wait, and it is asked again every minute", "error", d.err)
		}
		c.blocked = blocked{d.err, c.now.Add(askAgain)}
		l.waiting = w
	case kind == push.Lost, c.noteRefused(w, d.err):
		push.Fail(w.span, d.err)
		c.metrics.processed(w, c.now, d.err)
		c.abandon(w)
		w.lost = d.err
		l.adopted = slices.Insert(l.adopted, 0, w)
	default:
		push.Fail(w.span, d.err)
		c.metrics.processed(w, c.now, d.err)
		c.forgetJob(w)
		c.abandon(w)
		c.totals.Read -= int64(w.read) // they are read again by whoever has them next
		l.oldest = older(l.oldest, w.oldest)
		remedy := "mend what the target's own words name, then restart; nothing was committed, so nothing is lost"
		switch {
		case w.delivery == nil && len(refusedRows(d.err)) == 0: // it did not get as far as the target
			remedy = defect
		case c.once(l.table) && w.sent:
			remedy = c.unsure(w)
		}
		h := c.holdTable(l.table, Hold{Table: l.table, Reason: d.err.Error(), Remedy: remedy})
		c.ledger.Move(w.holder, h)
	}
}

// abandon ends work that will not be booked as delivered.
func (c *Connector) abandon(w *work) {
	w.cancel()
	w.span.End()
	c.inflight -= w.bytes
	w.bytes = 0
}

// finish books a batch as DONE.
func (c *Connector) finish(w *work) {
	l := w.lane
	if c.blocked.err != nil {
		c.log.Info("the target accepts the credentials again")
		c.blocked = blocked{}
	}
	c.metrics.processed(w, c.now, nil)
	for p, end := range w.ends {
		c.parts[p].entries[l.table] = intent.Entry{Mark: end}
	}
	c.ledger.Done(w.holder, Delivered) // I1: not before DONE
	c.commits.settle = append(c.commits.settle, w)
	c.commits.urgent = true
	if w.adopted {
		c.log.InfoContext(w.ctx, "the job of an earlier owner is DONE; its rows are not sent again", "table", l.table)
		l.done.Last = c.now
		return
	}
	c.metrics.delivered(w, c.now)
	c.inflight -= w.bytes
	l.done.Batches++
	l.done.Upserts += int64(w.upserts)
	l.done.Deletes += int64(w.deletes)
	l.done.Compacted += int64(w.compacted)
	l.done.Last, l.done.Took = c.now, c.now.Sub(w.sealed)
	c.totals.Upserted += int64(w.upserts)
	c.totals.Deleted += int64(w.deletes)
	c.totals.Compacted += int64(w.compacted)
	c.totals.Truncated += int64(w.truncates)
	c.log.InfoContext(w.ctx, "batch delivered", "table", l.table, "reason", w.reason, "read", w.read,
		"upserts", w.upserts, "deletes", w.deletes, "took", c.now.Sub(w.sealed).Round(time.Millisecond))
}
