package connector

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// schemaFetched says that the registry has answered about a schema that a partition
// waits for.
type schemaFetched struct{ part *partition }

// awaitSchema stops a partition at a record whose schema is not known yet, and asks
// the registry until it answers. What waits here no longer counts as waiting for a
// decoder: other partitions go on.
func (c *Connector) awaitSchema(p *partition, id frame.ID, rest []*kgo.Record) {
	later := p.queue
	c.dequeue(p)
	p.waiting = true
	c.enqueue(p, rest)
	c.enqueue(p, later)
	c.consumer.Pause(p.Partition)
	ctx, cancel := context.WithCancel(c.hard)
	p.cancelFetch = cancel
	c.worker(func() any {
		c.opt.Registry.Fetch(ctx, id) // without end, until it is answered or nobody waits
		return schemaFetched{p}
	})
}

// forgetSchema ends the wait for a schema, for the partition is given up, read again
// or stopped.
func (p *partition) forgetSchema() {
	if p.cancelFetch != nil {
		p.cancelFetch()
		p.cancelFetch = nil
	}
}

func (c *Connector) onSchemaFetched(r schemaFetched) {
	p := r.part
	if c.parts[p.Partition] != p || p.stopped {
		return
	}
	p.forgetSchema()
	recs := p.queue
	c.dequeue(p)
	p.waiting = false
	c.enqueue(p, recs)
	c.consumer.Resume([]kafka.Partition{p.Partition})
	c.decode(p)
}
