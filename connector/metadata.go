package connector

import (
	"fmt"
	"maps"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// metadata is what belongs beside a partition's offset, with the binds that were let in.
func (c *Connector) metadata(p *partition) intent.Metadata {
	m := intent.Metadata{Topic: p.topicID, Partitions: p.siblings, Target: c.targetState, Tables: maps.Clone(p.entries)}
	for _, b := range c.binds {
		if end, ok := b.work.ends[p.Partition]; ok && b.admitted {
			m.Tables[b.work.lane.table] = b.entry(m.Tables[b.work.lane.table], end)
		}
	}
	return m
}

// beside returns what stands beside a partition's offset, and its form.
func (c *Connector) beside(p *partition, at int64) (intent.Metadata, string) {
	switch {
	case !p.plain:
		m := c.metadata(p).At(at)
		return m, m.String()
	case c.opt.Memory != nil: // without it the offset would look like one that a person has set
		m := intent.Metadata{Target: c.targetState}
		return m, m.String()
	}
	return intent.Metadata{}, ""
}

// raise has a partition's next commit say that those of its topic have offsets whose commits were
// acknowledged here since it was located, if there is room for that.
func (c *Connector) raise(p *partition) {
	was := p.siblings
	p.countSiblings(func(id int32) bool { _, ok := c.commits.acked[kafka.Partition{Topic: p.Topic, ID: id}]; return ok })
	if p.siblings == was {
		return
	}
	at, _ := c.ledger.Committable(p.Partition)
	if _, text := c.beside(p, max(at, c.commits.acked[p.Partition].at)); len(text) > c.opt.MetadataLimit {
		p.siblings = was
	}
}

// countSiblings raises siblings over the partitions that have offsets. This one has, or is about to.
func (p *partition) countSiblings(has func(id int32) bool) {
	for p.siblings == p.ID || has(p.siblings) {
		p.siblings++
	}
}

// plain gives up entries beside a partition's offset, for there is no room for them: it is
// at-least-once from now on.
func (c *Connector) plain(p *partition, why string) {
	if p.plain {
		return
	}
	p.plain = true
	for table, e := range p.entries { // the job of which is named here no more
		for _, other := range c.parts {
			if o := other.entries[table]; other != p && o.Job == e.Job && o.Of > 0 {
				o.Of = several(o.Of - 1)
				other.entries[table] = o
				c.commits.urgent = true
			}
		}
	}
	for _, b := range c.binds {
		c.count(b)
	}
	c.metrics.plain(p.Topic)
	c.log.Warn("offsets are committed without Sluice's metadata: after a crash, a batch of this partition may be sent a second time and show older values for a while",
		"partition", p.String(), "reason", why, "remedy", "raise offset.metadata.max.bytes of the brokers and SLUICE_KAFKA_OFFSET_METADATA_MAX_BYTES")
}

// tooLarge takes it that the brokers do not take what stands beside an offset. Where that was
// but the state of a target that can forget, nothing of the topic is committed any more: what
// it forgets then would never be read again.
func (c *Connector) tooLarge(p *partition, n content, err error) {
	if !p.plain {
		c.plain(p, err.Error())
		return
	}
	p.known = false
	c.holdTopic(Hold{Topic: p.Topic, Partition: new(p.ID),
		Reason: fmt.Sprintf("the brokers do not take the %d bytes beside its offset that say in which state of the target its rows are: %v", len(n.text), err),
		Remedy: "raise offset.metadata.max.bytes of the brokers (4096 is Kafka's default), then restart"})
}
