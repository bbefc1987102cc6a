package connector

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// commits is the state of committing: one request at a time.
type commits struct {
	acked map[kafka.Partition]content // by the broker
	// doubt is what was sent and may have been accepted. The same goes out again until
	// that is known, and nothing else of these partitions.
	doubt   map[kafka.Partition]content
	busy    bool
	urgent  bool // a batch was delivered, or a job waits to be bound
	last    time.Time
	done    time.Time // when one last succeeded
	refused time.Time // when the broker last refused one
	fenced  bool      // the broker has refused one because we are not a member any more
	settle  []*work   // delivered, and not committed yet
}

// content is an offset with what stands beside it.
type content struct {
	at   int64
	meta intent.Metadata
	text string
	from uint32 // the source that the partition was when it was sent
}

type committed struct {
	contents map[kafka.Partition]content
	errs     map[kafka.Partition]error
	started  time.Time
}

const (
	commitEvery   = 5 * time.Second // where only skipped records moved the offset
	commitTimeout = 15 * time.Second
	refusedPause  = 250 * time.Millisecond
)

// news returns what may be committed and is not. Offsets never go back (I2).
func (c *Connector) news() map[kafka.Partition]content {
	news := map[kafka.Partition]content{}
	for id, p := range c.parts {
		if d, ok := c.commits.doubt[id]; ok {
			news[id] = d
			continue
		}
		at, ok := c.ledger.Committable(id)
		if !ok || !p.known || p.unbalanced || p.plain && p.successor != "" { // nothing would say that it is another topic's
			continue
		}
		have, was := c.commits.acked[id]
		n := content{at: max(at, have.at), from: p.source}
		n.meta, n.text = c.beside(p, n.at)
		if !was || n.at > have.at || n.text != have.text {
			news[id] = n
		}
	}
	return news
}

// commit starts a commit when a batch was delivered, a job waits to be bound, or some
// time has passed.
func (c *Connector) commit() {
	c.admit() // which may make it urgent
	c.bound() // what is there already, or needs no metadata
	if c.now.Sub(c.commits.refused) < refusedPause {
		return
	}
	if c.commits.urgent || c.revoking == nil && (c.draining || c.now.Sub(c.commits.last) >= commitEvery) {
		c.startCommit()
	}
}

func (c *Connector) startCommit() {
	if c.commits.busy {
		return
	}
	c.commits.last, c.commits.urgent = c.now, false
	c.audit()
	c.admit()
	contents := c.news()
	if len(contents) == 0 {
		return
	}
	c.commits.busy = true
	for _, b := range c.binds {
		b.work.sent = b.work.sent || b.admitted
	}
	offsets := map[kafka.Partition]kafka.Offset{}
	for p, n := range contents {
		offsets[p] = kafka.Offset{At: n.at, Metadata: n.text, TopicID: c.parts[p].successor}
	}
	started := c.now
	c.worker(func() any {
		// Not the hard stop's context: a commit of what is DONE may always finish. While
		// it is under way no heartbeat is sent at a rejoin, so it must end well before
		// the session does.
		ctx, cancel := context.WithTimeout(context.Background(), min(commitTimeout, c.opt.Kafka.SessionTimeout/2))
		defer cancel()
		return committed{contents, c.consumer.Commit(ctx, offsets), started}
	})
}

// onCommitted books what the broker acknowledged, partition by partition. What was sent for
// a partition that was given up since, and may be here again, says nothing of where that
// stands now: it may have come further under others.
func (c *Connector) onCommitted(r committed) {
	c.commits.busy = false
	var failed error
	for id, n := range r.contents {
		err := r.errs[id]
		p := c.parts[id]
		if p != nil && (p.source != n.from || p.orphan) {
			p = nil
		}
		var doubt *kafka.InDoubtError
		switch {
		case err == nil:
			c.metrics.commits(id.Topic, "ok")
			c.commits.done = c.now
			if p != nil {
				c.commits.acked[id] = n
				delete(c.commits.doubt, id)
				p.unknown = time.Time{}
				p.passed(n.at)
			}
			continue
		case p == nil:
		case errors.Is(err, kerr.OffsetMetadataTooLarge):
			c.tooLarge(p, n, err)
			delete(c.commits.doubt, id)
		case errors.As(err, &doubt):
			c.commits.doubt[id] = n
		case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
			c.unknownTopic(p, err)
		}
		failed = err
		c.metrics.commits(id.Topic, "refused")
		if kafka.NotOwner(err) {
			c.metrics.fenced()
		}
	}
	c.commits.fenced = kafka.Fenced(failed)
	if failed != nil {
		c.commits.refused, c.commits.urgent = c.now, true
		if c.brokers.news(c.now, "commit: "+failed.Error()) {
			c.log.Warn("a commit was refused; it is tried again, and what it covers is read again if the partition moves on", "error", failed)
		}
	}
	for _, p := range c.parts {
		c.raise(p)
	}
	c.bound()
	c.commits.settle = slices.DeleteFunc(c.commits.settle, func(w *work) bool {
		given := w.given || w.adopted // then other offsets may name the job, for their owner to ask after
		for p, end := range w.ends {
			if c.parts[p] == nil {
				given = true
			} else if a := c.commits.acked[p]; a.at < end && a.meta.Tables[w.lane.table].Mark < end {
				return false
			}
		}
		c.traceCommit(w, r.started)
		if c.opt.DeleteJobs && !given {
			c.discard(w)
		}
		return true
	})
}

// discarded says that a discard is over.
type discarded struct{}

// discard deletes a batch's jobs, which are DONE and committed. It is a courtesy: what fails
// stays listed at the target until it expires.
func (c *Connector) discard(w *work) {
	c.discarding++
	c.worker(func() any {
		ctx, cancel := context.WithTimeout(trace.ContextWithSpan(c.hard, w.span), time.Minute)
		defer cancel()
		for _, t := range w.delivery.Tickets() {
			if err := c.opt.Pusher.Sink.Discard(ctx, t); err != nil && ctx.Err() == nil {
				c.log.Debug("a finished job could not be deleted", "job", t.ID, "error", err)
			}
		}
		return discarded{}
	})
}
