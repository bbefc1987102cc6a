package connector

import (
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// decoded is what became of a run of a partition's records.
type decoded struct {
	part     *partition
	bytes    int64
	runs     []*schema.Rows
	bad      []badRecord
	classes  [debezium.Classes]int64
	repeated int64        // records that were put aside before
	read     int64        // records that were taken
	markers  int64        // offsets that are of transactions' markers
	gaps     int64        // offsets before and between them that give none, and are known to
	holes    []kafka.Hole // of which it is not known
	lost     debezium.Lost
	left     []debezium.Left
	need     *debezium.NeedSchema // of the first of rest, which were not decoded
	rest     []*kgo.Record
	next     int64 // the offset after the last record that was taken, or of the one that was not
	stopped  bool  // by the last of bad, which was not taken
}

type badRecord struct {
	rec *kgo.Record
	err *debezium.BadRecord
}

// recordOf is a record as the decoder takes it, its headers appended to a slice that is
// used again.
func recordOf(r *kgo.Record, headers []debezium.Header) debezium.Record {
	for _, h := range r.Headers {
		headers = append(headers, debezium.Header{Key: h.Key, Value: h.Value})
	}
	return debezium.Record{Partition: r.Partition, Offset: r.Offset, Millis: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value, Headers: headers}
}

// decode sets a partition's decoder to work on what is queued. One decoder a
// partition works at a time; those of different partitions work at once.
func (c *Connector) decode(p *partition) {
	if p.busy || p.waiting || len(p.queue) == 0 {
		return
	}
	recs := p.queue
	p.queue, p.busy = nil, true
	at, verdicts, proof := c.ledger.Next(p.Partition), p.verdicts, p.proof
	c.worker(func() any {
		c.cpu <- struct{}{}
		defer func() { <-c.cpu }()
		d := decoded{part: p, bytes: kafka.Size(recs)}
		lost := p.decoder.Lost
		var headers []debezium.Header
		reach := func(r *kgo.Record) {
			switch {
			case r.Offset <= at:
				return
			case proof == kafka.Asked:
				d.holes = append(d.holes, kafka.Hole{From: at, To: r.Offset})
			default:
				d.gaps += r.Offset - at
			}
			at, d.next = r.Offset, r.Offset
		}
		pass := func(r *kgo.Record) {
			reach(r)
			at, d.next = r.Offset+1, r.Offset+1
		}
		for i, r := range recs {
			if r.Attrs.IsControl() {
				d.markers++
				pass(r)
				continue
			}
			rec := recordOf(r, headers[:0])
			headers = rec.Headers
			var class debezium.Class
			var err error
			again := false
			switch bad, known := judged(verdicts, r.Offset); {
			case !known:
				class, err = p.decoder.Decode(rec)
			case bad != nil:
				err = bad
			default:
				again = true
			}
			if errors.As(err, &d.need) {
				d.rest = recs[i:]
				break
			}
			if again {
				d.repeated++
			} else if err != nil {
				bad := badRecord{rec: r}
				errors.As(err, &bad.err)
				d.bad = append(d.bad, bad)
				if bad.err.OfTable || !c.deadLetters.Allow() {
					reach(r)
					d.stopped = true
					break
				}
			} else {
				d.classes[class]++
			}
			d.read++
			pass(r)
		}
		d.lost = p.decoder.Lost.Sub(lost)
		d.runs, d.left = p.decoder.Take(nil), p.decoder.TakeLeft()
		return d
	})
}

// onDecoded adds decoded rows to their batches. What is held is noted before the
// partition advances, so that no offset is committable in between (I1).
func (c *Connector) onDecoded(d decoded) {
	c.queued -= d.bytes
	p := d.part
	p.busy = false
	if c.parts[p.Partition] != p {
		c.recycle(d.runs)
		return // given up meanwhile
	}
	if p.stopped {
		c.recycle(d.runs)
		return
	}
	for class, n := range d.classes {
		if n > 0 {
			c.metrics.records(debezium.Class(class).String(), n)
		}
		switch debezium.Class(class) {
		case debezium.Row: // counted when its rows join a batch
		case debezium.Excluded:
			c.totals.Read += n
			c.totals.Filtered += n
			c.ledger.Count(p.Partition, Filtered, n)
		default:
			c.totals.Read += n
			c.totals.Skipped += n
			c.ledger.Count(p.Partition, Skipped, n)
		}
	}
	c.ledger.Count(p.Partition, Repeated, d.repeated)
	c.sayLost(p, d.lost)
	for _, column := range d.left {
		c.left(column)
	}
	bad := d.bad
	if d.stopped {
		bad = bad[:len(bad)-1]
	}
	c.totals.Read += int64(len(bad))
	for _, b := range bad {
		c.deadLetter(p, b)
	}
	for _, rows := range d.runs {
		c.add(p, rows)
	}
	c.recycle(d.runs)
	if d.next > 0 {
		if len(d.holes) > 0 {
			c.doubt(p, d.holes)
		}
		c.ledger.Read(p.Partition, d.next, d.read, d.markers+d.gaps)
		c.read[p.Topic] = p.topicID
	}
	c.explained(p, d.markers, kafka.Asked)
	c.explained(p, d.gaps, p.proof)
	if d.stopped {
		c.holdRecord(p, d.bad[len(d.bad)-1])
		return
	}
	if d.need != nil && !p.stopped {
		c.awaitSchema(p, d.need.ID, d.rest)
	}
	c.decode(p)
}

// enqueue appends records for the decoder.
func (c *Connector) enqueue(p *partition, recs []*kgo.Record) {
	p.queue = append(p.queue, recs...)
	if p.waiting {
		c.parked += kafka.Size(recs)
	} else {
		c.queued += kafka.Size(recs)
	}
}

// dequeue drops what waits for the decoder.
func (c *Connector) dequeue(p *partition) {
	if p.waiting {
		c.parked -= kafka.Size(p.queue)
	} else {
		c.queued -= kafka.Size(p.queue)
	}
	p.queue = nil
}

// sayLost counts what settings allow to be lost, and logs each kind once a
// partition (I6).
func (c *Connector) sayLost(p *partition, lost debezium.Lost) {
	for _, kind := range []struct {
		n       int64
		said    *int64
		counter metric.Int64Counter
		text    string
	}{
		{lost.Strings, &p.said.Strings, c.metrics.truncated, "strings longer than their column are cut, here or by the target, as SLUICE_STRING_OVERFLOW says; sluice.strings.truncated counts them"},
		{lost.Values, &p.said.Values, c.metrics.dropped, "columns of bytes are left out, as SLUICE_BINARY says; sluice.values.dropped counts their values"},
		{lost.Digits, &p.said.Digits, c.metrics.rounded, "digits are cut that the files do not hold, as SLUICE_DECIMAL and SLUICE_TIMESTAMP say; sluice.values.rounded counts the values"},
		{lost.Nulled, &p.said.Nulled, c.metrics.nulled, "dates, times or floats that the target cannot hold become NULL, as SLUICE_OUT_OF_RANGE says; sluice.values.nulled counts them"},
		{lost.Clamped, &p.said.Clamped, c.metrics.clamped, "dates, times or floats that the target cannot hold become the nearest that it can, as SLUICE_OUT_OF_RANGE says; sluice.values.clamped counts them"},
		{lost.Unknown, &p.said.Unknown, c.metrics.unknown, "columns of a type that is not known are read as its base type; sluice.columns.unknown counts them, sluice types lists what is known"},
		{lost.Unzoned, &p.said.Unzoned, c.metrics.unzoned, "timestamps with a time zone come without an offset and are taken for UTC; sluice.values.unzoned counts them"},
	} {
		if kind.n == 0 {
			continue
		}
		c.metrics.lost(kind.counter, p.Topic, kind.n)
		if *kind.said == 0 {
			c.log.Warn(kind.text, "topic", p.Topic, "partition", p.ID)
		}
		*kind.said += kind.n
	}
}

func (c *Connector) recycle(runs []*schema.Rows) {
	for _, r := range runs {
		debezium.Recycle(r)
	}
}

// sole reports whether a partition is all that feeds a table.
func (c *Connector) sole(p *partition, table string) bool {
	for _, other := range c.parts {
		if _, feeds := other.taken[table]; feeds && other != p {
			return false
		}
	}
	return c.consumer.Single(p.Topic)
}

// add puts a run into its table's open batch and notes what that holds.
func (c *Connector) add(p *partition, rows *schema.Rows) {
	from, _ := slices.BinarySearch(rows.Offsets, p.taken[rows.Table])
	c.ledger.Count(p.Partition, Repeated, int64(records(rows.Offsets[:from])))
	if from == rows.Len() {
		return
	}
	first := rows.Offsets[from]
	hold := func(h Holder) {
		c.ledger.Hold(p.Partition, first, h)
		c.ledger.Took(p.Partition, h, records(rows.Offsets[from:]), rows.Len()-from)
	}
	l := c.lane(rows.Table)
	if l.held != "" {
		hold(l.holder)
		c.pause(p)
		return
	}
	if rows.Ops[from] == schema.Truncate && !c.sole(p, rows.Table) {
		hold(c.holdTable(rows.Table, Hold{
			Table: rows.Table, Topic: p.Topic, Partition: new(p.ID), Offset: new(first),
			Reason: "a TRUNCATE of a table that has more than one partition: the others may have brought rows of after it, and may still bring some of before",
			Remedy: fmt.Sprintf("empty the target table by hand, move the group's offset past this record and restart; let the topic have one partition, or set tables.%s.truncate: ignore in the tables file", rows.Table),
		}))
		c.pause(p)
		return
	}
	next := rows.Offsets[rows.Len()-1] + 1
	if c.byPosition(rows.Table) {
		all := rows.Offsets[from:]
		rows, from = c.guard.Admit(rows, from, &c.fresh)
		c.stale(p, rows.Table, len(all)-(rows.Len()-from), records(all)-records(rows.Offsets[from:]))
		if from == rows.Len() {
			p.taken[rows.Table] = next
			return
		}
		first = rows.Offsets[from]
	}
	// A key's rows all come from one partition, or only those that are not older are left.
	c.batcher.Cover(rows.Table, c.lacks(p, rows.Table))
	before := c.batcher.Schema(rows.Table)
	rows.Source = p.source
	batch, err := c.batcher.Add(c.now, rows, from)
	if err != nil {
		var conflict *schema.ConflictError
		errors.As(err, &conflict)
		hold(c.holdTable(rows.Table, Hold{
			Table: rows.Table, Topic: p.Topic, Partition: new(p.ID), Offset: new(first), Reason: err.Error(),
			Remedy: fmt.Sprintf("undo the change at the source; or let a column whose type changes become STRING with tables.%s.typeChange: string in the tables file; or drop the target table and load it anew under its new columns; then restart", rows.Table),
		}))
		c.pause(p)
		return
	}
	c.evolved(l, before, batch.Table)
	c.totals.Read += int64(rows.Len() - from)
	hold(Holder(batch.ID))
	p.taken[rows.Table] = next
}

func (c *Connector) byPosition(table string) bool {
	return c.opt.Decoder.ByPosition != nil && c.opt.Decoder.ByPosition(table)
}

// stale counts what is older than a change of its key that came before, from another
// partition. It is skipped on purpose: that change is delivered, or held by its partition.
func (c *Connector) stale(p *partition, table string, rows, records int) {
	c.totals.Read += int64(rows)
	c.totals.Stale += int64(rows)
	c.ledger.Count(p.Partition, Stale, int64(records))
	c.metrics.stale(table, int64(rows), c.guard.Forgotten)
	if c.guard.Forgotten > 0 && c.forgotten == 0 {
		c.log.Warn("positions of the keys that changed longest ago are forgotten, as SLUICE_POSITION_MEMORY says; an older change of one of them that comes now would be taken for a new one")
	}
	c.forgotten += c.guard.Forgotten
	c.guard.Forgotten = 0
}
