package connector

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// Hold is something that has stopped for good and waits for a person: what, where,
// why, and what to do.
type Hold struct {
	Table     string    `json:"table,omitempty"`
	Topic     string    `json:"topic,omitempty"`
	Partition *int32    `json:"partition,omitempty"`
	Offset    *int64    `json:"offset,omitempty"`
	Reason    string    `json:"reason"`
	Remedy    string    `json:"remedy"`
	Since     time.Time `json:"since"`
}

// Where says in words what is on hold, and the record that it stopped at.
func (h Hold) Where() string {
	s := "topic " + h.Topic
	if h.Table != "" {
		s = "table " + h.Table
	}
	if h.Partition != nil {
		s += fmt.Sprintf(", at %s/%d", h.Topic, *h.Partition)
	}
	if h.Offset != nil {
		s += fmt.Sprintf(" offset %d", *h.Offset)
	}
	return s
}

func (c *Connector) note(h Hold) {
	h.Since = c.now
	c.holds = append(c.holds, h)
	c.log.Error("on hold", "what", h.Where(), "reason", h.Reason, "remedy", h.Remedy)
}

// pause stops a partition. Other partitions go on.
func (c *Connector) pause(p *partition) {
	if !p.stopped {
		p.stopped = true
		p.forgetSchema()
		c.dequeue(p)
		c.consumer.Pause(p.Partition)
	}
}

// holdTopic stops all partitions of a topic: its records fail before they tell their
// table, or are gone.
func (c *Connector) holdTopic(h Hold) {
	for _, p := range c.parts {
		if p.Topic == h.Topic {
			c.pause(p)
		}
	}
	if !c.topicHeld(h.Topic) {
		c.note(h)
	}
}

func (c *Connector) topicHeld(topic string) bool {
	return slices.ContainsFunc(c.holds, func(h Hold) bool { return h.Table == "" && h.Topic == topic })
}

// position returns the offset at which a partition stands, nil if nothing was seen.
func (c *Connector) position(p kafka.Partition) *int64 {
	if at, ok := c.ledger.Committable(p); ok {
		return &at
	}
	return nil
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
			l.oldest = older(l.oldest, b.Oldest)
			c.batcher.Seal(b)
			c.totals.Read -= int64(b.Read)
			c.ledger.Move(Holder(b.ID), l.holder)
		}
	}
	for _, p := range c.parts {
		if _, feeds := p.taken[table]; feeds {
			c.pause(p)
		}
	}
	if l.oldest == 0 {
		l.oldest = c.now.UnixMilli()
	}
	c.note(h)
	return l.holder
}

// holdRecord stops at a record that cannot be applied and may not be
// dead-lettered: its offset was not passed, so it is read again after a restart.
func (c *Connector) holdRecord(p *partition, b badRecord) {
	h := Hold{Table: b.err.Table, Topic: p.Topic, Partition: new(p.ID), Offset: new(b.rec.Offset), Reason: b.err.Error()}
	switch {
	case b.err.OfTable:
		h.Remedy = b.err.Remedy
	case c.opt.DeadLetterTopic == "":
		h.Remedy = "set SLUICE_DEADLETTER_TOPIC to put such records aside, or mend the source and move the group's offset past this one; then restart"
	default:
		h.Remedy = "more bad records than SLUICE_DEADLETTER_LIMIT allows in a minute: look at the first of them in " +
			c.opt.DeadLetterTopic + ", mend the cause or raise the limit, then restart"
	}
	c.pause(p)
	if h.Table == "" {
		c.holdTopic(h)
		return
	}
	c.ledger.Hold(p.Partition, b.rec.Offset, c.holdTable(h.Table, h))
}

// holdCutOff holds tables of which nothing more can be sent, for what has to go before is in a
// partition on hold, or cannot be noted beside the offset of one that is no more. What other
// partitions brought them meanwhile would fill memory (I5), and nobody would see what they
// wait for.
func (c *Connector) holdCutOff() {
	for _, p := range c.parts {
		if !p.stopped || p.leaving {
			continue
		}
		for table := range p.entries {
			if c.lane(table).held == "" && c.wants(p, table) {
				c.holdBehind(p, table, "a job did not deliver its rows, and they cannot be read again from a partition on hold")
			}
		}
	}
	for _, b := range c.binds {
		for id := range b.work.ends {
			if p, l := c.parts[id], b.work.lane; p != nil && p.orphan && b.token == "" && !b.work.abandoned {
				c.ledger.Move(b.work.holder, c.holdTable(l.table, Hold{Table: l.table, Topic: p.Topic, Partition: new(p.ID),
					Reason: "the topic was deleted when rows of it were about to be sent", Remedy: anew(p.Topic)}))
				l.oldest = older(l.oldest, b.work.oldest)
				c.quit(b.work)
			}
		}
	}
}

// holdNoted holds the tables of the jobs that are noted beside a partition's offset, where its
// topic is on hold and it cannot be placed: whether they still run is not known, and no other
// job of theirs may (I3).
func (c *Connector) holdNoted(p *partition, at kafka.Location) {
	m, _ := intent.Parse(at.Committed[p.ID].Metadata)
	for table, e := range m.Tables {
		if e.Job != "" {
			c.holdBehind(p, table, fmt.Sprintf("its job %s is noted beside the offset of a partition on hold", e.Job))
		}
	}
}

// holdBehind holds a table that cannot go on before a partition does.
func (c *Connector) holdBehind(p *partition, table, reason string) {
	h := c.holdTable(table, Hold{Table: table, Topic: p.Topic, Partition: new(p.ID), Reason: reason, Remedy: fmt.Sprintf("see to what holds topic %s; then restart", p.Topic)})
	c.ledger.Hold(p.Partition, max(0, c.ledger.Next(p.Partition)), h) // it stays held while the partition is here
}

// unavailable is the hold of a table whose batch has rows with values that nobody knows.
func unavailable(table string, lack *batcher.Lack) Hold {
	if lack.Untyped {
		return Hold{Table: table,
			Reason: fmt.Sprintf("column %s: NULL in %d rows that are to keep other columns as the target has them, and no value has told the type that a file needs to say so", lack.Column, lack.Rows),
			Remedy: fmt.Sprintf("give the column its type under tables.%s.types in the tables file, then restart", table)}
	}
	h := Hold{Table: table,
		Reason: fmt.Sprintf("column %s: the source did not log this unchanged large value (Debezium's unavailable-value placeholder) in %d rows, and no earlier change in the batch tells it", lack.Column, lack.Rows),
		Remedy: fmt.Sprintf("ALTER TABLE … REPLICA IDENTITY FULL, or Debezium's ReselectColumns, makes such values come whole from then on; then update these rows at the source and restart, "+
			"for a later change in the batch mends them. Or say what is to become of such values with tables.%s.unavailable: \"null\" or unchanged in the tables file", table)}
	if lack.New {
		h.Reason += "; the key of at least one of them changed, so that the target has nothing to keep there"
	}
	return h
}

// unhold forgets the holds of partitions that were given up: their new owner meets
// the cause itself. A table or topic stays held while a partition of it stays here.
func (c *Connector) unhold() {
	c.holds = slices.DeleteFunc(c.holds, func(h Hold) bool {
		if h.Table == "" {
			for p := range c.parts {
				if p.Topic == h.Topic {
					return false
				}
			}
			return true
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
		l := c.lane(h.Table)
		l.held, l.oldest = "", 0
		return true
	})
}
