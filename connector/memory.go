package connector

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// Memory is a target that may forget what was delivered to it. The name of its state
// stands beside each committed offset: what is before the offset is in that state.
type Memory interface {
	// State names what the target remembers now: under another name, nothing that was
	// delivered before is there.
	State(context.Context) (string, error)
	// Accept lets jobs be sent to the target in that state, and in no other.
	Accept(state string)
	// Forget lets go of a job of this process, which nobody is to bring to its end.
	Forget(job string)
	// Assigned names the partitions of each topic that this process has from now on.
	Assigned(partitions map[string][]int32)
}

// remembered is what the target said of its state.
type remembered struct {
	was   string // what was known when it was asked
	state string
	err   error
}

const rememberEvery = 5 * time.Second

// remember asks the target now and then whether it has forgotten: a table that is idle
// would not learn of it.
func (c *Connector) remember() {
	if c.opt.Memory == nil || c.remembering || c.draining || c.revoking != nil || c.now.Sub(c.lastAsked) < rememberEvery {
		return
	}
	c.remembering, c.lastAsked = true, c.now
	was := c.targetState
	c.worker(func() any {
		ctx, cancel := context.WithTimeout(c.hard, commitTimeout)
		defer cancel()
		state, err := c.opt.Memory.State(ctx)
		return remembered{was, state, err}
	})
}

func (c *Connector) onRemembered(r remembered) {
	c.remembering = false
	if c.amnesia = ""; r.err != nil {
		c.amnesia = r.err.Error()
	} else if c.revoking == nil && r.was == c.targetState { // or the answer is from before what was noticed since
		c.inState(r.state)
	}
}

// inState takes notice of the target's state. If it is another one than before, this
// process lets go of all its partitions and takes them as another process would that has
// been given them: it reports true, for what was known of them is void.
func (c *Connector) inState(state string) bool {
	was := c.targetState
	if state == was {
		return false
	}
	c.targetState = state
	if was == "" {
		c.opt.Memory.Accept(state)
		return false
	}
	c.log.Error("the target was started anew and has lost what was delivered to it", "state", state, "before", was)
	gone := map[kafka.Partition]bool{}
	for p, part := range c.parts {
		gone[p] = true
		c.dequeue(part)
	}
	for _, b := range c.batcher.Batches() {
		c.dropBatch(b, gone, nil)
	}
	c.giveUp(gone, true)
	c.opt.Memory.Accept(state) // not before: workers of jobs that are to be forgotten run beside this
	c.disown(slices.Collect(maps.Keys(gone)))
	var parts []*partition
	for p := range gone {
		part := c.newPartition(p)
		part.stopped = c.topicHeld(p.Topic)
		part.rereading = true // what a poll under way returns is from where it stood
		c.parts[p] = part
		c.ledger.Assign(p)
		c.consumer.Pause(p)
		parts = append(parts, part)
	}
	c.locateAll(parts)
	return true
}

// tellAssigned tells the target which partitions are here. It is told at an assignment, which
// each rebalance ends with, and not when some are given up: most may come back with that.
func (c *Connector) tellAssigned() {
	if c.opt.Memory == nil {
		return
	}
	parts := map[string][]int32{}
	for p := range c.parts {
		parts[p.Topic] = append(parts[p.Topic], p.ID)
	}
	c.opt.Memory.Assigned(parts)
}

// loss says why what is before a committed offset is not in the target, and the remedy; ""
// if it is there. Who puts an offset without metadata there answers for it.
func (c *Connector) loss(committed kafka.Offset, meta intent.Metadata) (reason, remedy string) {
	if committed.At == 0 && len(meta.Tables) == 0 {
		return "", "" // nothing is before it, nor on its way
	}
	ours := strings.HasPrefix(committed.Metadata, "{") // a client library's default is a member's id
	switch memory := c.opt.Memory != nil; {
	case memory && meta.Target != "" && meta.Target != c.targetState:
		return "the target was started anew and has lost what was delivered to it", lostAll
	case memory && meta.Target == "" && ours:
		return "the group's offsets say what another target has, and not this one", ownGroup + "; or " + lostAll
	case !memory && meta.Target != "":
		return "the group's offsets say what another target has, and not this one", ownGroup
	}
	return "", ""
}

const ownGroup = "give Sluice a group of its own for each target (SLUICE_KAFKA_GROUP), which reads all topics from their earliest records"

// lostAll is the remedy where the target has forgotten and nothing says what to do.
const lostAll = "SLUICE_FELDERA_ON_STATE_LOSS=rewind and a restart have all topics read again from their earliest records; rows that the topics do not have any more need a Debezium snapshot"
