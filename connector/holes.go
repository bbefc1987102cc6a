package connector

import (
	"context"
	"time"

	"github.com/sluice-cdc/sluice/connector/kafka"
)

// checked is what the brokers say of holes in a partition.
type checked struct {
	id     kafka.Partition
	topic  string // its id
	holder Holder
	holes  []kafka.Hole
	lost   int64 // records that are in them
	proof  kafka.Proof
	err    error
}

// doubt holds what lies behind holes until the brokers have said what they are (I7).
// Transaction markers come as records, so what is left are records that were aborted or
// compacted away, or lost on their way here.
func (c *Connector) doubt(p *partition, holes []kafka.Hole) {
	c.nextHolder++
	n := int64(0)
	for _, h := range holes {
		n += h.To - h.From
	}
	c.ledger.Hold(p.Partition, holes[0].From, c.nextHolder)
	c.ledger.Doubt(p.Partition, c.nextHolder, n)
	c.check(checked{id: p.Partition, topic: p.topicID, holder: c.nextHolder, holes: holes}, 0)
}

func (c *Connector) check(r checked, pause time.Duration) {
	c.checking++
	c.worker(func() any {
		ctx, cancel := context.WithTimeout(c.hard, pause+commitTimeout)
		defer cancel()
		select {
		case <-time.After(pause):
			r.lost, r.proof, r.err = c.consumer.Missing(ctx, r.id, r.topic, r.holes)
		case <-ctx.Done():
			r.err = ctx.Err()
		}
		return r
	})
}

// onChecked lets pass what is explained. A record that is there and did not come leaves a
// residual, and its hole held.
func (c *Connector) onChecked(r checked) {
	c.checking--
	p := c.parts[r.id]
	if _, held := c.ledger.First(r.id, r.holder); !held || p == nil {
		return // given up meanwhile
	}
	if r.err != nil {
		if c.hard.Err() == nil && !p.stopped {
			if c.brokers.fail(c.now, r.err.Error()) {
				c.log.Warn("offsets without a record cannot be looked at, and what is behind them is not committed; trying again", "partition", r.id.String(), "error", r.err)
			}
			c.check(r, time.Second)
		}
		return
	}
	if r.proof != kafka.Asked {
		p.proof = r.proof // it would say the same of the next
	}
	c.explained(p, c.ledger.Explain(r.id, r.holder, r.lost), r.proof)
	if r.lost > 0 {
		c.audit()
		return
	}
	c.commits.urgent = true
}

// explained counts offsets that gave no record for a reason.
func (c *Connector) explained(p *partition, n int64, proof kafka.Proof) {
	if n == 0 {
		return
	}
	c.totals.Gaps += n
	if proof != kafka.Unread {
		c.metrics.gaps(p.Topic, n)
		return
	}
	c.metrics.unverified(p.Topic, n)
	if !p.saidUnread {
		p.saidUnread = true
		c.log.Warn("offsets without a record are taken for compacted, for the topic's cleanup.policy cannot be read; sluice.offsets.unverified counts them",
			"partition", p.String(), "remedy", "let SLUICE_KAFKA's user describe the topic's configuration (DescribeConfigs)")
	}
}
