package connector

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
)

// bind is a worker's wish to have its job noted beside the offsets of its rows, before
// it executes it, and its token after that. From when that may have been accepted, whoever
// has the partitions brings this job to its end before any other of its table (I3, I8).
type bind struct {
	work        *work
	job, token  string
	part, parts int
	of          int // see intent.Entry.Of
	since       time.Time
	settled     bool       // no job that nobody knows can land after it
	admitted    bool       // it is in what is committed from now on
	reply       chan error // of one
}

// entry is the bind's share of a partition's metadata, on top of what is there.
func (b *bind) entry(old intent.Entry, end int64) intent.Entry {
	return intent.Entry{Mark: old.Mark, Job: b.job, Token: b.token, Part: b.part, Parts: b.parts, Of: b.of, End: end, Bytes: b.work.size}
}

// count finds out beside how many offsets a bind's job is noted: of those that take metadata.
func (c *Connector) count(b *bind) {
	n := 0
	for p := range b.work.ends {
		if part := c.parts[p]; part != nil && !part.plain {
			n++
		}
	}
	b.of = several(n)
}

// several is an entry's Of where so many partitions have the job.
func several(n int) int {
	if n == 1 {
		return 0
	}
	return n
}

// binder returns what a delivery calls before it executes a job.
func (c *Connector) binder(w *work) func(context.Context, push.Ticket, int, int) error {
	return func(ctx context.Context, t push.Ticket, part, parts int) error {
		b := &bind{work: w, job: t.ID, token: t.Token, part: part, parts: parts, settled: w.delivery.Jobs[part-1].Settle, since: time.Now(), reply: make(chan error, 1)}
		c.results <- b
		select {
		case err := <-b.reply:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *Connector) onBind(b *bind) {
	switch {
	case b.work.abandoned: // its worker is being cancelled
	case b.work.given:
		b.reply <- errGiven
	default:
		c.count(b)
		c.binds = append(c.binds, b)
		c.commits.urgent = true
	}
}

// errGiven ends a batch of which partitions were given away with a job that did not
// deliver it: their new owner sends their rows, so no further job of it may.
var errGiven = &push.Error{Op: "commit intent", Kind: push.Lost, Message: "partitions of the batch were given away with its job, which has not delivered it"}

// refuse answers the bind of a batch whose partitions are given away: what is noted
// beside their offsets is an earlier job of it.
func (c *Connector) refuse(w *work) {
	c.binds = slices.DeleteFunc(c.binds, func(b *bind) bool {
		if b.work == w {
			b.reply <- errGiven
		}
		return b.work == w
	})
}

// admit lets binds into what is committed next, as far as the metadata has room. Not
// while a commit is under way, which may yet leave some of their partitions in doubt.
func (c *Connector) admit() {
	live := c.binds[:0]
	for _, b := range c.binds {
		if b.work.abandoned || b.work.ctx.Err() != nil && !b.work.sent {
			continue
		}
		live = append(live, b)
		switch {
		case b.admitted || c.commits.busy || !c.certain(b):
		case c.fits(b):
			b.admitted, c.commits.urgent = true, true
		case b.token != "": // its entry stands without it
			b.reply <- nil
			live = live[:len(live)-1]
		}
	}
	clear(c.binds[len(live):])
	c.binds = live
}

// certain reports whether what is committed of a bind's partitions is known. Only then can
// its entries go out in one commit, which the group takes as a whole but for what it refuses
// of a topic (an ACL lacks): then they say that they are not all (intent.Entry.Of).
func (c *Connector) certain(b *bind) bool {
	for p := range b.work.ends {
		if _, doubt := c.commits.doubt[p]; doubt {
			return false
		}
	}
	return true
}

// slot is what is kept free in a partition's metadata for the table that holds its
// commit back: without room for that one nothing would ever leave the metadata.
func (c *Connector) slot() int {
	name := 0
	for table := range c.lanes {
		name = max(name, len(table))
	}
	return 176 + name // an entry's numbers and a UUID
}

// stuck is how long a bind waits for room while nothing else goes on.
const stuck = 30 * time.Second

// fits reports whether a bind's entries have room in the metadata of all its partitions.
// Where there is none the lane waits: other tables' marks leave as the commit advances.
func (c *Connector) fits(b *bind) bool {
	limit, first := c.opt.MetadataLimit, false
	for p := range b.work.ends {
		at, _ := c.ledger.Committable(p)
		if held, ok := c.ledger.First(p, b.work.holder); ok && held <= at {
			first = true
		}
	}
	if !first {
		limit -= c.slot()
	}
	for p, end := range b.work.ends {
		part := c.parts[p]
		if part == nil || part.plain {
			continue
		}
		at, _ := c.ledger.Committable(p)
		m := c.metadata(part)
		m.Tables[b.work.lane.table] = b.entry(m.Tables[b.work.lane.table], end)
		if len(m.At(at).String()) <= limit {
			continue
		}
		if b.token != "" {
			return false
		}
		alone := intent.Metadata{Topic: m.Topic, Partitions: m.Partitions, Target: m.Target, Tables: map[string]intent.Entry{b.work.lane.table: m.Tables[b.work.lane.table]}}
		if len(alone.String()) > c.opt.MetadataLimit || c.now.Sub(b.since) > stuck && c.running() == len(c.binds) {
			c.plain(part, fmt.Sprintf("an entry does not fit into %d bytes", c.opt.MetadataLimit))
			continue
		}
		return false
	}
	return true
}

// bound answers binds whose entries every partition of the batch has been acknowledged.
func (c *Connector) bound() {
	left := c.binds[:0]
	for _, b := range c.binds {
		if !c.acknowledged(b) {
			left = append(left, b)
			continue
		}
		if c.unsettled(b) {
			b.reply <- push.ErrUnsettled
			continue
		}
		for p, end := range b.work.ends {
			part := c.parts[p]
			if b.settled {
				part.settled[b.work.lane.table] = true
			}
			part.entries[b.work.lane.table] = b.entry(part.entries[b.work.lane.table], end)
		}
		b.work.bound, b.work.token = true, b.token != ""
		b.reply <- nil
	}
	clear(c.binds[len(left):])
	c.binds = left
}

// unsettled reports whether a bind's job could be overtaken by one that an earlier owner of
// its partitions has executed, and whose intent the brokers did not take. Rows that must not be
// there twice do without: another member that has some of the table's partitions could not
// tell a job of its own that is deleted from one that may have added its rows.
func (c *Connector) unsettled(b *bind) bool {
	executed := b.token != ""
	if b.settled || executed || c.once(b.work.lane.table) {
		return false
	}
	for p := range b.work.ends {
		if part := c.parts[p]; part.plain && !part.settled[b.work.lane.table] {
			return true
		}
	}
	return false
}

func (c *Connector) acknowledged(b *bind) bool {
	if !b.admitted || b.work.abandoned {
		return false
	}
	for p := range b.work.ends {
		if part := c.parts[p]; part == nil {
			return false
		} else if e := c.commits.acked[p].meta.Tables[b.work.lane.table]; !part.plain && (e.Job != b.job || e.Token != b.token || e.Part != b.part || e.Of != b.of) {
			return false
		}
	}
	return true
}

// adopt takes over a job that another process has bound: the lane brings it to its end
// before any other, its range is held, and its rows are not added again. One that is noted
// beside fewer offsets than it was to be was not executed, and is not: whoever has the other
// partitions knows nothing of it.
func (c *Connector) adopt(table string, e intent.Entry, parts []*partition, noted int) {
	l := c.lane(table)
	c.nextHolder++
	w := &work{lane: l, holder: c.nextHolder, adopted: true, bound: true, sent: true, token: e.Token != "", reason: "adopted", size: e.Bytes, ends: map[kafka.Partition]int64{}}
	for _, p := range parts {
		own := p.entries[table]
		at, _ := c.ledger.Committable(p.Partition)
		c.ledger.Hold(p.Partition, max(at, own.Mark), w.holder)
		p.taken[table] = own.End
		w.ends[p.Partition] = own.End
	}
	// What is beside an offset has no room for the trace of who made the job; its span has
	// the same job id.
	c.trace(w, c.now, attribute.String("sluice.job.id", e.Job))
	w.delivery = push.Adopt(push.Ticket{ID: e.Job, Token: e.Token, Table: table}, e.Last())
	w.delivery.Half = noted < e.Of
	w.delivery.Confirm, w.delivery.Once, w.delivery.Ended = c.confirm, c.once(table), c.metrics.ended
	c.metrics.intents("adopted")
	w.shown.Store(w.delivery)
	l.adopted = append(l.adopted, w)
	c.log.Info("a job that an earlier owner has left behind is taken over", "table", table, "job", e.Job, "partitions", len(parts))
}

// replay has the range of a job read again that ended otherwise than DONE and has no
// batch here to make it again from, or none that the target takes. What was filled since
// goes too, for it comes after.
func (c *Connector) replay(w *work) {
	c.log.WarnContext(w.ctx, "a job did not deliver its rows; they are read and sent again", "table", w.lane.table, "reason", w.lost)
	w.lane.replays = max(w.size, 1)
	c.metrics.intents("replayed")
	seek := map[kafka.Partition]int64{}
	for _, b := range slices.Clone(c.batcher.Of(w.lane.table)) {
		c.dropBatch(b, nil, seek)
	}
	c.totals.Read -= int64(w.read)
	c.forget(w.lane.table, w.holder, nil, seek)
	c.rewind(seek)
}

// room reports whether a range may be read again whose rows take so many bytes. None of
// them can be sent before all are there, so where the ranges of several tables do not fit
// into memory together, they take turns (I5).
func (c *Connector) room(size int64) bool {
	others := int64(0)
	for _, l := range c.lanes {
		if l.replays > 0 && !c.covering(l.table) {
			l.replays = 0
		}
		others += l.replays
	}
	return others == 0 || others+size <= c.opt.MemoryLimit/2
}

// covering reports whether a table's next batch still lacks rows up to where an intent
// ends. Whatever became of that job, a reader may have seen any of its rows, so the
// batch that takes its place must have them all: else the table would step back (I8).
func (c *Connector) covering(table string) bool {
	if l := c.lanes[table]; l != nil && l.held != "" { // there is no next batch
		return false
	}
	for _, p := range c.parts {
		if c.lacks(p, table) {
			return true
		}
	}
	return false
}

// lacks reports whether a partition has not been read up to where a table's intent ends.
func (c *Connector) lacks(p *partition, table string) bool {
	e, ok := p.entries[table]
	return ok && c.ledger.Next(p.Partition) < e.End
}

// wants reports whether a partition has to be read up to where a table's intent ends for the
// table to go on. Until the job itself has ended the entry says where that is to be looked for,
// wherever the partition ends.
func (c *Connector) wants(p *partition, table string) bool {
	if !c.lacks(p, table) {
		return false
	}
	l := c.lane(table)
	return l.running == nil && l.waiting == nil && !slices.ContainsFunc(l.adopted, func(w *work) bool { return w.lost == nil })
}

// probed says what a partition's leader has answered about the end of an intent's range.
type probed struct {
	part *partition
	none bool // nothing more can be read of it between these
	from int64
	upTo int64
	err  error
}

const probeEvery = time.Second

// probe asks, where a partition gives no more records though an intent ends further
// on, whether there are any: transaction markers and what the log's compaction takes
// away leave no trace in what is fetched.
func (c *Connector) probe() {
	for id, p := range c.parts {
		upTo := int64(0)
		for table, e := range p.entries {
			if c.wants(p, table) {
				upTo = max(upTo, e.End)
			}
		}
		if upTo == 0 || p.busy || p.waiting || p.stopped || p.rereading || p.probing || len(p.queue) > 0 || !c.asked || c.now.Sub(p.moved) < probeEvery {
			continue
		}
		p.probing, p.moved = true, c.now
		next := c.ledger.Next(id)
		c.worker(func() any {
			ctx, cancel := context.WithTimeout(c.hard, commitTimeout)
			defer cancel()
			none, err := c.consumer.Exhausted(ctx, id, next, upTo)
			return probed{p, none, next, upTo, err}
		})
	}
}

func (c *Connector) onProbed(r probed) {
	p := r.part
	p.probing = false
	if c.parts[p.Partition] != p || r.err != nil || !r.none || c.ledger.Next(p.Partition) != r.from {
		return // asked again if it is still the same
	}
	for t, e := range p.entries {
		if e.End <= r.upTo && c.wants(p, t) {
			e.End = r.from
			p.entries[t] = e
		}
	}
}
