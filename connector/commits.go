package connector

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
)

// commits is the state of committing: one request at a time.
type commits struct {
	committed map[kafka.Partition]int64 // acknowledged by the broker
	busy      bool
	urgent    bool // a batch was delivered
	last      time.Time
	refused   time.Time // when the broker last refused one
	settle    []settle
}

// settle is a delivered batch whose offsets are not committed yet.
type settle struct {
	work *work
	need map[kafka.Partition]int64 // committed at least up to here
}

type committed struct {
	offsets map[kafka.Partition]int64
	errs    map[kafka.Partition]error
	started time.Time
}

const (
	commitEvery   = 5 * time.Second // where only skipped records moved the offset
	commitTimeout = 15 * time.Second
	refusedPause  = 250 * time.Millisecond
)

// news returns the offsets that may be committed and are not. They never go back
// (I2).
func (m *commits) news(c *Connector) map[kafka.Partition]int64 {
	news := map[kafka.Partition]int64{}
	for p := range c.parts {
		at, ok := c.ledger.Committable(p)
		if have, was := m.committed[p]; ok && (!was || at > have) {
			news[p] = at
		}
	}
	return news
}

func (m *commits) due(c *Connector) bool { return len(m.news(c)) > 0 }

// commit starts a commit when a batch was delivered or some time has passed.
func (c *Connector) commit() {
	if c.now.Sub(c.commits.refused) < refusedPause {
		return
	}
	if c.revoking == nil && (c.commits.urgent || c.draining || c.now.Sub(c.commits.last) >= commitEvery) {
		c.startCommit()
	}
}

func (c *Connector) startCommit() {
	if c.commits.busy {
		return
	}
	c.commits.last, c.commits.urgent = c.now, false
	offsets := c.commits.news(c)
	if len(offsets) == 0 {
		return
	}
	c.commits.busy = true
	started := c.now
	c.worker(func() any {
		// Not the hard stop's context: a commit of what is DONE may always finish. While
		// it is under way no heartbeat is sent at a rejoin, so it must end well before
		// the session does.
		ctx, cancel := context.WithTimeout(context.Background(), min(commitTimeout, c.opt.Kafka.SessionTimeout/2))
		defer cancel()
		return committed{offsets, c.consumer.Commit(ctx, offsets), started}
	})
}

// onCommitted books what the broker acknowledged, partition by partition.
func (c *Connector) onCommitted(r committed) {
	c.commits.busy = false
	var failed error
	for p, at := range r.offsets {
		if err := r.errs[p]; err != nil {
			failed = err
			c.metrics.commits(p.Topic, "refused")
			continue
		}
		c.metrics.commits(p.Topic, "ok")
		if c.parts[p] != nil {
			c.commits.committed[p] = at
		}
	}
	if failed != nil {
		c.commits.refused, c.commits.urgent = c.now, true
		c.log.Warn("a commit was refused; it is tried again, and what it covers is read again if the partition moves on", "error", failed)
	}
	c.commits.settle = slices.DeleteFunc(c.commits.settle, func(s settle) bool {
		given := false // away before the commit: the new owner may have to look at the job
		for p, at := range s.need {
			if c.parts[p] == nil {
				given = true
			} else if c.commits.committed[p] < at {
				return false
			}
		}
		if !given {
			_, span := c.opt.Tracer.Start(s.work.ctx, "commit", trace.WithTimestamp(r.started))
			span.End()
			if c.opt.DeleteJobs {
				c.discard(s.work.delivery.Tickets())
			}
		}
		s.work.span.End()
		return true
	})
}

// discarded says that a discard is over.
type discarded struct{}

// discard deletes jobs that are DONE and committed. It is a courtesy: what fails
// stays listed at the target until it expires.
func (c *Connector) discard(tickets []push.Ticket) {
	c.discarding++
	c.worker(func() any {
		ctx, cancel := context.WithTimeout(c.hard, time.Minute)
		defer cancel()
		for _, t := range tickets {
			if err := c.opt.Pusher.Sink.Discard(ctx, t); err != nil && ctx.Err() == nil {
				c.log.Debug("a finished job could not be deleted", "job", t.ID, "error", err)
			}
		}
		return discarded{}
	})
}
