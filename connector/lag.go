package connector

import (
	"context"

	"github.com/sluice-cdc/sluice/connector/kafka"
)

// ends is what the brokers say of the high watermarks of our partitions.
type ends struct {
	at  map[kafka.Partition]int64
	err error
}

// measure asks for the high watermarks, as often as the client asks for the topics.
// Fetches tell them too, but not of a partition that is paused or that nothing comes from.
func (c *Connector) measure() {
	if c.measuring || c.now.Sub(c.measured) < c.opt.Kafka.MetadataAge || len(c.parts) == 0 || c.draining {
		return
	}
	c.measuring, c.measured = true, c.now
	seen := map[string]bool{}
	var topics []string
	for p := range c.parts {
		if !seen[p.Topic] {
			seen[p.Topic] = true
			topics = append(topics, p.Topic)
		}
	}
	c.worker(func() any {
		ctx, cancel := context.WithTimeout(c.hard, commitTimeout)
		defer cancel()
		at, err := c.consumer.Ends(ctx, topics)
		return ends{at, err}
	})
}

// onEnds notes high watermarks. They never go back in the life of a topic. Where no broker
// answers, fetches say nothing: the client tries again in silence.
func (c *Connector) onEnds(r ends) {
	c.measuring = false
	if r.err != nil && c.hard.Err() == nil {
		if c.brokers.fail(c.now, r.err.Error()) {
			c.log.Warn("high watermarks cannot be read, and the lag is as of the last fetches; trying again", "error", r.err)
		}
	}
	for id, at := range r.at {
		if p := c.parts[id]; p != nil {
			p.end = max(p.end, at)
		}
	}
}

// lags returns how many records of the partitions are behind the committed offsets, in
// all and by the tables that they feed. Where none is known yet, the topic's name may
// tell.
func (c *Connector) lags() (all int64, tables map[string]int64) {
	tables = map[string]int64{}
	for id, p := range c.parts {
		if !p.known {
			continue
		}
		from := p.start
		if have, ok := c.commits.acked[id]; ok {
			from = have.at
		}
		lag := max(0, p.end-from)
		all += lag
		for table := range p.taken {
			tables[table] += lag
		}
		if len(p.taken) == 0 && lag > 0 && c.opt.Kafka.TableOf != nil {
			if table := c.opt.Kafka.TableOf(p.Topic); table != "" && !(c.opt.Decoder.Exclude != nil && c.opt.Decoder.Exclude(table)) {
				tables[table] += lag
			}
		}
	}
	return all, tables
}
