package connector

import (
	"time"

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
	dropped := map[string]bool{} // tables: after a batch, the later ones go too, for they land in order
	for _, l := range c.lanes {
		if w := l.waiting; w != nil && c.touches(Holder(w.batch.ID), gone) {
			// Not executed yet, and the new owner sends these rows: never after it.
			l.waiting = nil
			dropped[l.table] = true
			c.abandon(w)
			c.totals.Read -= int64(w.read)
			c.forget(l.table, Holder(w.batch.ID), gone, seek)
		}
	}
	for _, b := range c.batcher.Batches() {
		if dropped[b.Table.Name] || c.touches(Holder(b.ID), gone) {
			dropped[b.Table.Name] = true
			c.batcher.Seal(b)
			c.totals.Read -= int64(b.Read)
			c.forget(b.Table.Name, Holder(b.ID), gone, seek)
		}
	}
	c.rewind(seek)
	if e.Lost {
		c.log.Warn("partitions lost: this member was taken for dead; what was not committed is read again by its new owner", "partitions", len(e.Partitions))
		c.cutOff(gone)
		c.release(e)
		return
	}
	for _, p := range e.Partitions {
		if part := c.parts[p]; part != nil {
			part.stopped = true
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
	c.ledger.Done(h)
}

// rewind has partitions read again. It is only called while the group waits for
// us, so no poll is under way.
func (c *Connector) rewind(seek map[kafka.Partition]int64) {
	var waited []kafka.Partition // for a schema, which is asked for again
	for p, at := range seek {
		old := c.parts[p]
		if old.waiting && !old.stopped {
			waited = append(waited, p)
		}
		old.forgetSchema()
		c.dequeue(old)
		fresh := c.newPartition(p)
		fresh.taken, fresh.stopped = old.taken, old.stopped
		c.parts[p] = fresh
		c.ledger.Rewind(p, at)
	}
	if len(seek) > 0 {
		c.consumer.Seek(seek)
	}
	c.consumer.Resume(waited)
}

// cutOff stops running work with rows of partitions that go although it has not
// ended: what it has not submitted by now it must not submit after the new owner.
// The lane stays taken until the worker has returned.
func (c *Connector) cutOff(gone map[kafka.Partition]bool) {
	seek := map[kafka.Partition]int64{}
	for _, l := range c.lanes {
		if w := l.running; w != nil && c.touches(Holder(w.batch.ID), gone) {
			w.abandoned = true
			w.cancel()
			c.totals.Read -= int64(w.read)
			c.forget(l.table, Holder(w.batch.ID), gone, seek)
		}
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
	for _, p := range r.Partitions {
		gone[p] = true
	}
	if !overdue {
		for _, l := range c.lanes {
			if l.running != nil && c.touches(Holder(l.running.batch.ID), gone) {
				return
			}
		}
	}
	switch {
	case c.commits.busy && !overdue:
	case !r.committed && !overdue:
		r.committed = true
		c.startCommit()
	default:
		if overdue {
			c.log.Warn("gave partitions up while a job with their rows was running; their new owner sends these rows again", "waited", c.opt.DrainTimeout)
			c.cutOff(gone)
		}
		c.release(r.Revoked)
		c.revoking = nil
	}
}

// release forgets partitions. From here on nothing of them is committed (I2).
func (c *Connector) release(e kafka.Revoked) {
	for _, p := range e.Partitions {
		if part := c.parts[p]; part != nil {
			part.forgetSchema()
		}
		c.ledger.Revoke(p)
		delete(c.parts, p)
		delete(c.commits.committed, p)
	}
	c.unhold()
	if e.Lost && c.revoking != nil {
		close(c.revoking.Done)
		c.revoking = nil
	}
	c.log.Info("partitions given up", "given", len(e.Partitions), "left", len(c.parts))
	close(e.Done)
}
