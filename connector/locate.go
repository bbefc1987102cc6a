package connector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema"
)

// located says where assigned partitions stand, or why that is not known yet.
type located struct {
	parts []*partition
	at    map[kafka.Partition]kafka.Location
	known []*schema.Rows // the columns of rows that have been delivered
	was   string         // the target's state as it was known when they were asked for
	state string         // and as it is, asked for after the offsets were read
	err   error          // of all of them
	wait  *backoff.ExponentialBackOff
}

// locateAll locates partitions, apart those of topics on hold, which may be deleted: the others
// that feed their tables do not wait for them.
func (c *Connector) locateAll(parts []*partition) {
	byHold := map[bool][]*partition{}
	for _, p := range parts {
		byHold[p.stopped] = append(byHold[p.stopped], p)
	}
	for _, some := range byHold {
		c.locate(some, nil)
	}
}

// locate finds out where partitions stand before they are read.
func (c *Connector) locate(parts []*partition, wait *backoff.ExponentialBackOff) {
	if len(parts) == 0 {
		return
	}
	var pause time.Duration
	if wait == nil {
		wait = &backoff.ExponentialBackOff{InitialInterval: 100 * time.Millisecond, MaxInterval: 5 * time.Second, RandomizationFactor: 0.3, Multiplier: 2}
		wait.Reset()
	} else {
		pause = wait.NextBackOff()
	}
	var ids []kafka.Partition
	for _, p := range parts {
		ids = append(ids, p.Partition)
	}
	was := c.targetState
	c.worker(func() any {
		timer := time.NewTimer(pause)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.hard.Done():
			return located{parts: parts, err: c.hard.Err(), wait: wait}
		}
		ctx, cancel := context.WithTimeout(c.hard, commitTimeout)
		defer cancel()
		at, err := c.consumer.Locate(ctx, ids)
		state := ""
		if err == nil && c.opt.Memory != nil {
			state, err = c.opt.Memory.State(ctx)
		}
		return located{parts, at, c.recallAll(parts, at), was, state, err, wait}
	})
}

// onLocated begins to read partitions where the group's offsets say, with what the
// metadata beside them says of each table: rows before its mark have arrived, and a job
// that is named is brought to its end first.
func (c *Connector) onLocated(r located) {
	var mine, again []*partition
	why := map[string]int{} // how many are not located
	for _, p := range r.parts {
		err := cmp.Or(r.err, r.at[p.Partition].Err)
		switch {
		case c.parts[p.Partition] != p:
		case err != nil:
			again = append(again, p)
			why[err.Error()]++
		default:
			mine = append(mine, p)
		}
	}
	if len(again) == 0 && r.err == nil {
		c.brokers.well()
	}
	for _, err := range slices.Sorted(maps.Keys(why)) {
		if c.brokers.fail(c.now, err) {
			c.log.Warn("where partitions stand cannot be read yet; trying again", "partitions", why[err], "error", err)
		}
	}
	if len(mine) > 0 {
		c.measured = time.Time{}
	}
	if c.opt.Memory != nil && len(mine) > 0 {
		if r.was != c.targetState { // the answer is from before what was noticed since
			c.recycle(r.known)
			c.locate(append(mine, again...), nil)
			return
		}
		if c.inState(r.state) { // they are located anew
			c.recycle(r.known)
			return
		}
	}
	for _, rows := range r.known {
		c.batcher.Learn(rows)
	}
	c.recycle(r.known)
	type job struct{ table, id string }
	jobs := map[job][]*partition{}
	var resume []kafka.Partition
	stopped := map[*partition]bool{} // before: those that one of them stops are placed in any order
	for _, p := range mine {
		stopped[p] = p.stopped
	}
	for _, p := range mine {
		if stopped[p] {
			if at := r.at[p.Partition]; c.isAnother(p.Topic, at.TopicID) {
				c.keep(p, at)
			} else if p.orphan { // this broker, or the client, has not heard of it yet
				again = append(again, p)
			} else if !p.leaving {
				c.holdNoted(p, at)
			}
			continue
		}
		if !c.place(p, r.at[p.Partition]) {
			c.holdNoted(p, r.at[p.Partition])
			continue
		}
		resume = append(resume, p.Partition)
		for table, e := range p.entries {
			if e.Job != "" {
				jobs[job{table, e.Job}] = append(jobs[job{table, e.Job}], p)
			}
		}
	}
	c.locate(again, r.wait)
	for j, parts := range jobs {
		e := parts[0].entries[j.table]
		noted := len(parts)
		if noted < e.Of { // others may have the rest
			noted = notedBeside(r.at[parts[0].Partition].Group, j.table, j.id)
		}
		c.adopt(j.table, e, parts, noted)
	}
	c.hurry()
	c.consumer.Resume(slices.DeleteFunc(resume, func(p kafka.Partition) bool { return c.parts[p].stopped || c.parts[p].rereading })) // those are resumed where they are read from
}

// notedBeside counts the offsets of the group beside which a job is noted.
func notedBeside(group map[kafka.Partition]kafka.Offset, table, job string) (n int) {
	for _, o := range group {
		if m, err := intent.Parse(o.Metadata); err == nil && m.Tables[table].Job == job {
			n++
		}
	}
	return n
}

// place sets a partition to where it stands. It reports false if that is a place from
// which nothing may be read.
func (c *Connector) place(p *partition, at kafka.Location) bool {
	hold := func(reason, remedy string) bool {
		c.holdTopic(Hold{Topic: p.Topic, Partition: new(p.ID), Reason: reason, Remedy: remedy})
		return false
	}
	committed, has := at.Committed[p.ID]
	meta, err := intent.Parse(committed.Metadata)
	switch {
	case err != nil:
		return hold(err.Error(), "give Sluice a group of its own (SLUICE_KAFKA_GROUP), or run the version that wrote this; if it may be overwritten, reset the group's offsets to where they are")
	case meta.Topic != "" && at.TopicID != "" && meta.Topic != at.TopicID:
		return hold("the topic was deleted and made anew since Sluice last read it: records may be lost, and the group's offsets are the old one's", anew(p.Topic))
	case c.isAnother(p.Topic, at.TopicID):
		c.keep(p, at)
		return hold("the topic was deleted and made anew while Sluice ran: records may be lost", anew(p.Topic))
	case has && committed.At < at.Start:
		return hold(fmt.Sprintf("records were deleted before Sluice read them: the group's offset is %d, the first record there is %d", committed.At, at.Start), gone(p.Topic))
	}
	acked := content{at: committed.At, meta: meta, text: committed.Metadata}
	if lost, remedy := c.loss(committed, meta); has && lost != "" {
		if !c.opt.Rewind {
			return hold(lost, remedy)
		}
		c.log.Warn("a partition is read again from its earliest record, for the target does not have what the group's offset says", "partition", p.String(), "reason", lost, "committed", committed.At, "from", at.Start)
		meta, committed.At = intent.Metadata{Topic: meta.Topic, Partitions: meta.Partitions}, at.Start
		p.rereading, c.commits.urgent = true, true
	}
	p.topicID, p.siblings = at.TopicID, meta.Partitions
	p.countSiblings(func(id int32) bool { _, ok := at.Committed[id]; return ok })
	if has {
		c.read[p.Topic] = at.TopicID
		if c.ledger.Advance(p.Partition, committed.At); acked.at == committed.At {
			c.commits.acked[p.Partition] = acked
		}
	} else {
		for _, o := range at.Committed {
			if m, err := intent.Parse(o.Metadata); err == nil && m.Topic == at.TopicID && m.Partitions > p.ID {
				return hold("the group's offset of this partition is gone, though it had one: it has expired (offsets.retention.minutes) or was deleted, and which records were delivered is not known any more", anew(p.Topic))
			}
		}
		if at.NewGroup && c.opt.HoldNewGroup {
			return hold("the group has no offsets at all: they have expired while nobody ran (offsets.retention.minutes), or it is a new group; which records were delivered is not known",
				"if the group is new, set SLUICE_KAFKA_AUTO_OFFSET_RESET=earliest until its first commits; else stop all replicas, empty the target tables and load them anew (a Debezium incremental snapshot), and start again with that")
		}
		if c.opt.HoldNewGroup && len(at.Committed) == 0 && !at.Empty {
			return hold("the group has no offsets of this topic, though it has of others: the topic is new to it, or was deleted and made anew, for Kafka deletes a topic's offsets with it, or they have expired; which records were delivered is not known",
				fmt.Sprintf("unless the topic is new, empty the target table; stop all replicas and have its offsets set to the earliest (kafka-consumer-groups.sh --group %s --topic %s --reset-offsets --to-earliest --execute); then start again", c.opt.Kafka.Group, p.Topic))
		}
		if c.log.Info("a partition without a committed offset is read from its earliest record", "partition", p.String(), "offset", at.Start); at.Start > 0 {
			c.log.Warn("its first records were deleted, and no offset says whether they were delivered before: the offset may have expired (offsets.retention.minutes)", "partition", p.String(),
				"remedy", "where the target lacks rows, or has some that the source has not, empty the table and load it anew (a Debezium incremental snapshot); SLUICE_KAFKA_AUTO_OFFSET_RESET=none holds such topics instead")
		}
		c.ledger.Advance(p.Partition, at.Start)
	}
	if p.known, p.start = true, at.Start; p.rereading {
		c.seeks[p.Partition] = c.ledger.Next(p.Partition)
	}
	for table, e := range meta.Tables {
		p.entries[table] = e
		if e.Mark > 0 {
			p.taken[table] = e.Mark
		}
	}
	return true
}

// isAnother reports whether a topic is not the one that this process has read under its
// name.
func (c *Connector) isAnother(topic, id string) bool {
	was := c.read[topic]
	return was != "" && id != "" && was != id
}

// keep writes beside the offset of a partition whose topic was made anew which one was
// read under its name: Kafka deletes a topic's offsets with it, and the next process
// would take the topic for a new one.
func (c *Connector) keep(p *partition, at kafka.Location) {
	p.orphan = false
	p.known, p.topicID, p.successor = true, c.read[p.Topic], at.TopicID
	c.ledger.Advance(p.Partition, at.Start)
	c.sources++
	p.source = c.sources // and what is under way is the other topic's
	delete(c.commits.acked, p.Partition)
	delete(c.commits.doubt, p.Partition)
	c.commits.urgent = true
}

// awaitSuccessor commits nothing more of a topic that was deleted, and waits for another
// one under its name, beside whose offsets that can be kept in mind.
func (c *Connector) awaitSuccessor(topic string) {
	var parts []*partition
	for _, p := range c.parts {
		if p.Topic == topic {
			p.known, p.orphan = false, true
			delete(c.commits.doubt, p.Partition) // Kafka deletes a topic's offsets with it
			parts = append(parts, p)
		}
	}
	c.locate(parts, nil)
}

// unknownTopic takes a topic for deleted whose offsets are refused for it for as long as a
// session lasts: a client that has read it is told of that by nothing else. A broker that has
// not heard of it yet says the same, for moments.
func (c *Connector) unknownTopic(p *partition, err error) {
	if p.unknown.IsZero() {
		p.unknown = c.now
	}
	if c.now.Sub(p.unknown) < c.opt.Kafka.SessionTimeout || c.topicHeld(p.Topic) {
		return
	}
	c.holdTopic(Hold{Topic: p.Topic, Partition: new(p.ID), Offset: c.position(p.Partition),
		Reason: "the topic was deleted while Sluice read it: its offsets are refused: " + err.Error(),
		Remedy: "if it is to be gone, take it from SLUICE_KAFKA_TOPICS and restart; else " + anew(p.Topic)})
	c.awaitSuccessor(p.Topic)
}

// anew is the remedy where nobody knows what of a topic has arrived. Rows whose deletes
// were lost go only with the table.
func anew(topic string) string {
	return fmt.Sprintf("stop all replicas; empty the target table and load it anew (a Debezium incremental snapshot); delete the group's offsets of %s, so that it begins at the earliest record; then start again", topic)
}

// gone is the remedy where retention was faster than Sluice.
func gone(topic string) string {
	return fmt.Sprintf("raise the retention of %s; stop all replicas; empty the target table, for deletes may be lost too, and load it anew (a Debezium incremental snapshot); "+
		"move the group's offset to where that begins; then start again", topic)
}
