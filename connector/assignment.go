package connector

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// partition is what the loop knows of a partition while it is ours. A partition
// that is given up and comes back is another one: results of the old are told by
// the pointer and dropped.
type partition struct {
	kafka.Partition
	decoder *debezium.Decoder
	queue   []*kgo.Record // waiting for the decoder
	busy    bool          // the decoder is at work
	waiting bool          // for a schema, which is being fetched
	// cancelFetch ends that fetch, nil if there is none.
	cancelFetch func()
	stopped     bool            // on hold, or leaving: nothing more is taken
	leaving     bool            // it is to be given up
	known       bool            // where it stands has been read
	start       int64           // its earliest record, when that was read
	end         int64           // the high watermark, as far as it is known
	rereading   bool            // what is fetched is from before a seek
	probing     bool            // its leader is asked whether anything follows
	moved       time.Time       // when its records last came
	plain       bool            // the brokers take no entries beside its offset
	settled     map[string]bool // then: the tables of which an earlier owner's jobs are known to be over
	proof       kafka.Proof     // what explains its holes without asking: that the topic is compacted, or cannot be known not to be
	saidUnread  bool            // the latter was told
	unbalanced  bool            // its records are not all accounted for: nothing more of it is committed
	topicID     string
	unknown     time.Time     // since when the brokers refuse its offsets for not knowing its topic
	orphan      bool          // its topic was deleted, and no other one has its name yet
	successor   string        // the id of the topic that was made anew under its name
	siblings    int32         // see intent.Metadata.Partitions
	said        debezium.Lost // the losses of which the log has told
	// taken is, per table, the offset up to which its rows are in live batches or
	// DONE: when the partition is read again, they are not added twice.
	taken map[string]int64
	// entries is, per table, how far its rows have arrived and the last job that was
	// bound for them, until the committed offset has passed both.
	entries map[string]intent.Entry
	// verdicts are on bad records, by offset, until the committed offset has passed them.
	// Decoders read them: they are never changed in place.
	verdicts []verdict
	source   uint32 // names it in batches
}

func (c *Connector) newPartition(p kafka.Partition) *partition {
	c.sources++
	return &partition{Partition: p, source: c.sources, decoder: debezium.NewDecoder(p.Topic, c.opt.Decoder), settled: map[string]bool{}, taken: map[string]int64{}, entries: map[string]intent.Entry{}}
}

func (c *Connector) assign(e kafka.Assigned) {
	c.joined = true
	var parts []*partition
	for _, p := range e.Partitions {
		part := c.newPartition(p)
		part.stopped = c.topicHeld(p.Topic)
		c.parts[p] = part
		c.ledger.Assign(p)
		c.metrics.assigned(p.Topic)
		parts = append(parts, part)
	}
	c.tellAssigned()
	c.locateAll(parts)
	c.brokers.well()
	if len(e.Partitions) > 0 || len(c.parts) == 0 {
		c.log.Info("partitions assigned", "new", len(e.Partitions), "all", len(c.parts), "balancer", e.Balancer)
	}
	close(e.Done)
}

// fetched queues records for their partitions' decoders.
func (c *Connector) fetched(e kafka.Fetched) {
	for id, err := range e.Errors {
		p := c.parts[id]
		var bomb *kgo.ErrDecompressTooLarge
		switch {
		case id.Topic == "": // the client as a whole
			if c.brokers.fail(c.now, err.Error()) {
				c.log.Warn("kafka: trying again", "error", err)
			}
		case id.ID < 0: // the topic as a whole
			if !c.topicHeld(id.Topic) && c.brokers.fail(c.now, fmt.Sprintf("topic %s: %v", id.Topic, err)) {
				c.log.Warn("kafka: trying again", "topic", id.Topic, "error", err)
			}
		case p == nil, p.stopped, p.rereading: // given away, or on hold
		case kafka.Gone(err):
			c.holdTopic(Hold{Topic: p.Topic, Partition: new(p.ID), Offset: c.position(p.Partition),
				Reason: "records were deleted before Sluice read them: " + err.Error(),
				Remedy: gone(p.Topic)})
		case errors.Is(err, kerr.UnknownTopicID):
			c.holdTopic(Hold{Topic: p.Topic, Partition: new(p.ID), Offset: c.position(p.Partition),
				Reason: "the topic was deleted while Sluice read it; a topic that was made anew under its name is another one: " + err.Error(),
				Remedy: anew(p.Topic)})
			c.awaitSuccessor(p.Topic)
		case errors.As(err, &bomb): // the client does not fetch the partition any more
			c.holdTopic(Hold{Topic: p.Topic, Partition: new(p.ID), Offset: new(bomb.Offset),
				Reason: "a batch of records that decompresses to more than 1 GiB: " + err.Error(),
				Remedy: fmt.Sprintf("mend the source, and move the group's offset of this partition to %d, behind the batch; then restart", bomb.NextOffset)})
		default:
			if c.brokers.fail(c.now, fmt.Sprintf("%v: %v", id, err)) {
				c.log.Warn("fetch failed; trying again", "partition", id.String(), "error", err)
			}
		}
	}
	for id, end := range e.Ends {
		if p := c.parts[id]; p != nil && !p.rereading {
			p.end = max(p.end, end)
		}
	}
	for id, recs := range e.Records {
		p := c.parts[id]
		if p == nil || p.stopped || p.rereading || c.draining {
			continue
		}
		p.moved = c.now
		c.enqueue(p, recs)
		c.decode(p)
	}
}
