package connector

import (
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// revoking is a revocation that waits for running jobs.
type revoking struct {
	kafka.Revoked
	deadline  time.Time
	committed bool // the final commit was sent
}

// revoke gives partitions up. Open batches with rows of them are dropped: the new
// owner reads these rows again, and so do we what else was in those batches.
// Running jobs are waited for, within a bound.
func (c *Connector) revoke(e kafka.Revoked) {
	gone := map[kafka.Partition]bool{}
	for _, p := range e.Partitions {
		gone[p] = true
		if part := c.parts[p]; part != nil {
			c.dequeue(part)
		}
	}
	seek := map[kafka.Partition]int64{}
	for _, l := range c.lanes {
		if w := l.waiting; w != nil && !w.sent && c.touches(w.holder, gone) {
			// Nobody knows its job, and the new owner sends these rows: never after it.
			c.drop(w, gone, seek)
		}
	}
	dropped := map[string]bool{} // tables: after a batch, the later ones go too
	for _, b := range c.batcher.Batches() {
		if dropped[b.Table.Name] || c.touches(Holder(b.ID), gone) {
			dropped[b.Table.Name] = true
			c.dropBatch(b, gone, seek)
		}
	}
	c.rewind(seek)
	if e.Lost {
		c.joined = false
		c.log.Warn("partitions lost: this member was taken for dead, or is cut off; their new owner takes over what was submitted, and reads the rest again", "partitions", len(e.Partitions))
		c.giveUp(gone, true)
		c.release(e)
		return
	}
	for _, p := range e.Partitions {
		if part := c.parts[p]; part != nil {
			part.stopped, part.leaving = true, true
		}
	}
	c.revoking = &revoking{Revoked: e, deadline: c.now.Add(c.opt.DrainTimeout)}
}

// touches reports whether a holder holds offsets of any of the partitions.
func (c *Connector) touches(h Holder, parts map[kafka.Partition]bool) bool {
	for p := range parts {
		if _, ok := c.ledger.First(p, h); ok {
			return true
		}
	}
	return false
}

// forget releases what a batch held. Its rows of partitions that stay are read
// again, from the earliest of them on.
func (c *Connector) forget(table string, h Holder, gone map[kafka.Partition]bool, seek map[kafka.Partition]int64) {
	for p, part := range c.parts {
		first, ok := c.ledger.First(p, h)
		if !ok {
			continue
		}
		if gone[p] {
			// Nobody delivers these rows here: the last commit must not pass them (I1).
			c.ledger.Rewind(p, first)
			continue
		}
		part.taken[table] = min(part.taken[table], first)
		if at, ok := seek[p]; !ok || first < at {
			seek[p] = first
		}
	}
	c.ledger.Done(h, Dropped)
}

// dropBatch ends a batch that is not sealed. Its rows are read again.
func (c *Connector) dropBatch(b *batcher.Batch, gone map[kafka.Partition]bool, seek map[kafka.Partition]int64) {
	c.batcher.Seal(b)
	c.totals.Read -= int64(b.Read)
	c.forget(b.Table.Name, Holder(b.ID), gone, seek)
}

// drop ends work whose job nobody else knows. Its rows are read again, and those of the
// table's later batches, for they land in order.
func (c *Connector) drop(w *work, gone map[kafka.Partition]bool, seek map[kafka.Partition]int64) {
	for _, b := range slices.Clone(c.batcher.Of(w.lane.table)) {
		c.dropBatch(b, gone, seek)
	}
	c.forget(w.lane.table, w.holder, gone, seek)
	c.quit(w)
}

// forgetJob has a target without jobs forget that of work: it may be found beside an offset that
// comes back here, and what is under way may keep others waiting.
func (c *Connector) forgetJob(w *work) {
	if d := w.shown.Load(); d != nil && c.opt.Memory != nil {
		c.opt.Memory.Forget(d.Progress().JobID)
	}
}

// quit has nothing more to do with work. While it has a worker it keeps its lane.
func (c *Connector) quit(w *work) {
	c.forgetJob(w)
	w.abandoned = true
	traceRevoked(w)
	w.cancel()
	c.totals.Read -= int64(w.read)
	if w.lane.waiting == w {
		w.lane.waiting = nil
	}
	if w.lane.running != w {
		c.abandon(w)
	}
}

// rewind has partitions read again: what is fetched until then is dropped.
func (c *Connector) rewind(seek map[kafka.Partition]int64) {
	for p, at := range seek {
		if c.ledger.Next(p) <= at {
			continue // not read that far yet: what lies before is other tables', and to come
		}
		old := c.parts[p]
		old.forgetSchema()
		c.dequeue(old)
		fresh := c.newPartition(p)
		fresh.stopped, fresh.leaving, fresh.known, fresh.said, fresh.moved = old.stopped, old.leaving, old.known, old.said, c.now
		fresh.plain, fresh.settled = old.plain, old.settled
		fresh.unbalanced, fresh.successor, fresh.start, fresh.end = old.unbalanced, old.successor, old.start, old.end
		fresh.topicID, fresh.siblings, fresh.taken, fresh.entries = old.topicID, old.siblings, old.taken, old.entries
		fresh.source, fresh.verdicts, fresh.proof, fresh.saidUnread = old.source, old.verdicts, old.proof, old.saidUnread
		fresh.rereading = true
		c.parts[p] = fresh
		if fresh.orphan = old.orphan; fresh.orphan {
			c.locate([]*partition{fresh}, nil)
		}
		c.ledger.Rewind(p, at)
		if have, ok := c.seeks[p]; !ok || at < have {
			c.seeks[p] = at
		}
	}
	c.hurry()
}

// hurry ends a poll under way that the client cannot be moved before.
func (c *Connector) hurry() {
	if len(c.seeks) > 0 && c.asked {
		c.consumer.Interrupt()
	}
}

// seek moves the client to where partitions are read again, once no poll is under way
// that could return records from before.
func (c *Connector) seek() {
	if c.hurry(); len(c.seeks) == 0 || c.asked {
		return
	}
	var resume []kafka.Partition // those that waited for a schema were paused
	for _, p := range c.consumer.Seek(c.seeks) {
		c.parts[p].rereading = false
		if !c.parts[p].stopped {
			resume = append(resume, p)
		}
		delete(c.seeks, p)
	}
	c.consumer.Resume(resume)
}

// giveUp parts work from partitions that go. A job that is noted beside its offsets
// goes with them: the new owner finds it there and brings it to its end, as we do if
// other partitions of it stay. What is not noted nobody may submit any more.
func (c *Connector) giveUp(gone map[kafka.Partition]bool, lost bool) {
	seek := map[kafka.Partition]int64{}
	part := func(w *work) {
		if !c.touches(w.holder, gone) {
			return
		}
		// A target that may forget has no jobs: until the token of its rows is noted, nobody
		// else can bring them to their end, and they are read again.
		noted := w.bound && (c.opt.Memory == nil || w.token)
		for p := range w.ends {
			// Where there is no metadata nobody finds the job there.
			noted = noted && !(gone[p] && c.parts[p].plain)
		}
		if !noted || lost {
			c.drop(w, gone, seek)
			return
		}
		w.given = true
		c.refuse(w)
		for p := range gone {
			delete(w.ends, p)
		}
		if len(w.ends) == 0 { // it is the new owner's to bring to its end, and to count
			c.ledger.Done(w.holder, Dropped)
			c.quit(w)
		}
	}
	for _, l := range c.lanes {
		for _, w := range append([]*work{l.running, l.waiting}, l.adopted...) {
			if w != nil && !w.abandoned {
				part(w)
			}
		}
		l.adopted = slices.DeleteFunc(l.adopted, func(w *work) bool { return w.abandoned })
	}
	c.rewind(seek)
}

// settleRevoke finishes a revocation once no running job touches the partitions,
// or its time is up: what is committable of them is committed, then they go.
func (c *Connector) settleRevoke() {
	r := c.revoking
	if r == nil {
		return
	}
	overdue := !c.now.Before(r.deadline)
	gone := map[kafka.Partition]bool{}
	doubt := false
	for _, p := range r.Partitions {
		gone[p] = true
		_, in := c.commits.doubt[p]
		doubt = doubt || in
	}
	for _, b := range c.binds { // a job of which it is not known whether all of its partitions name it
		doubt = doubt || c.touches(b.work.holder, gone) && !c.certain(b)
	}
	if !overdue {
		for _, l := range c.lanes {
			if w := l.running; w != nil && !w.abandoned && c.touches(w.holder, gone) {
				return
			}
		}
	}
	switch {
	case c.commits.busy: // it may carry a job of theirs
	case doubt && !c.commits.fenced:
		// Whether the new owner finds a job there must be known: what it does not know
		// must not be submitted here, and what it knows must not be dropped. Where the
		// brokers do not answer, nobody is given the partitions either.
		c.commits.urgent = true
	case !r.committed && !overdue:
		r.committed = true
		c.startCommit()
	default:
		if overdue {
			c.log.Info("partitions are given up while a job with their rows runs; their new owner takes it over", "waited", c.opt.DrainTimeout)
		}
		c.giveUp(gone, doubt)
		c.release(r.Revoked)
		c.revoking = nil
	}
}

// disown forgets partitions. From here on nothing of them is committed (I2).
func (c *Connector) disown(parts []kafka.Partition) {
	for _, p := range parts {
		if part := c.parts[p]; part != nil {
			part.forgetSchema()
		}
		c.ledger.Revoke(p)
		delete(c.parts, p)
		delete(c.seeks, p)
		delete(c.commits.acked, p)
		delete(c.commits.doubt, p)
	}
	c.unhold()
}

// release ends a revocation: others may have its partitions.
func (c *Connector) release(e kafka.Revoked) {
	c.disown(e.Partitions)
	if e.Lost && c.revoking != nil {
		close(c.revoking.Done)
		c.revoking = nil
	}
	c.log.Info("partitions given up", "given", len(e.Partitions), "left", len(c.parts))
	close(e.Done)
}
