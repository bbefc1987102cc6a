package connector

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// Hold is something that has stopped for good and waits for a person: what, where,
// why, and what to do.
type Hold struct {
	Table     string    `json:"table,omitempty"`
	Topic     string    `json:"topic,omitempty"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Reason    string    `json:"reason"`
	Remedy    string    `json:"remedy"`
	Since     time.Time `json:"since"`
}

func (c *Connector) note(h Hold) {
	h.Since = c.now
	c.holds = append(c.holds, h)
	c.metrics.held(1)
	c.log.Error("on hold", "table", h.Table, "topic", h.Topic, "partition", h.Partition, "offset", h.Offset,
		"reason", h.Reason, "remedy", h.Remedy)
}

// pause stops a partition. Other partitions go on.
func (c *Connector) pause(p *partition) {
	if !p.stopped {
		p.stopped = true
		c.dequeue(p)
		c.consumer.Pause(p.Partition)
	}
}

func (c *Connector) holdPartition(p *partition, h Hold) {
	if p.stopped {
		return
	}
	h.Topic, h.Partition = p.Topic, p.ID
	c.pause(p)
	c.note(h)
}

// holdTable stops a table's lane. Its open batches are dropped, for their memory
// is others' to use; their offsets stay held, so nothing is lost. The partitions
// that feed it stop.
func (c *Connector) holdTable(table string, h Hold) Holder {
	l := c.lane(table)
	if l.held != "" {
		return l.holder
	}
	c.nextHolder++
	l.held, l.holder = h.Reason, c.nextHolder
	for _, b := range c.batcher.Batches() {
		if b.Table.Name == table {
			c.batcher.Seal(b)
			c.transfer(Holder(b.ID), l.holder)
		}
	}
	for _, p := range c.parts {
		if _, feeds := p.taken[table]; feeds {
			c.pause(p)
		}
	}
	c.note(h)
	return l.holder
}

// holdRecord stops at a record that cannot be applied and may not be
// dead-lettered: its offset was not passed, so it is read again after a restart.
func (c *Connector) holdRecord(p *partition, b badRecord) {
	h := Hold{Topic: p.Topic, Partition: p.ID, Offset: b.rec.Offset, Reason: b.err.Error()}
	h.Remedy = "set SLUICE_DEADLETTER_TOPIC to put such records aside, or mend the source and move the group's offset past this one; then restart"
	if c.opt.DeadLetterTopic != "" {
		h.Remedy = "more bad records than SLUICE_DEADLETTER_LIMIT allows in a minute: look at the first of them in " +
			c.opt.DeadLetterTopic + ", mend the cause or raise the limit, then restart"
	}
	var bad *debezium.BadRecord
	if errors.As(b.err, &bad) && bad.Table != "" {
		h.Table = bad.Table
	}
	c.pause(p)
	if h.Table == "" {
		c.note(h)
		return
	}
	c.ledger.Advance(p.Partition, b.rec.Offset)
	c.ledger.Hold(p.Partition, b.rec.Offset, c.holdTable(h.Table, h))
}

// unhold forgets the holds of partitions that were given up: their new owner meets
// the cause itself. A table stays held while a partition that feeds it stays here.
func (c *Connector) unhold(gone []kafka.Partition) {
	before := len(c.holds)
	c.holds = slices.DeleteFunc(c.holds, func(h Hold) bool {
		if h.Table == "" {
			return slices.Contains(gone, kafka.Partition{Topic: h.Topic, ID: h.Partition})
		}
		for _, p := range c.parts {
			if _, feeds := p.taken[h.Table]; feeds {
				return false
			}
		}
		for p := range c.parts {
			if _, ok := c.ledger.First(p, c.lane(h.Table).holder); ok {
				return false
			}
		}
		c.lane(h.Table).held = ""
		return true
	})
	c.metrics.held(int64(len(c.holds) - before))
}
