// Package batcher folds rows into batches: per table, the last change of each
// key. It says which batches are due; its caller says which are sealed, and
// encodes them with an Encoder or a CSVEncoder.
//
// A Batcher is pure: no goroutine, no clock, no I/O. Time is passed in, and one
// goroutine uses it at a time.
package batcher

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// maxBatchBytes ends a batch that nobody has sealed. It keeps the 32-bit offsets
// within a column from overflowing; the memory limit acts long before.
const maxBatchBytes = 1 << 30

// Batcher holds the batches that are not yet sealed.
type Batcher struct {
	policy func(table string) Policy
	tables map[string]*table
	nextID uint64
	drain  bool
	bytes  int64 // held by all batches
}

// table is a table's batches: closed ones in order, then the one being filled.
type table struct {
	schema *schema.Table
	policy Policy
	queue  []*Batch
	open   bool // the last in queue takes rows
	cover  bool // no batch may show what a later one replaces
}

// New returns an empty batcher. policy is asked once for each table.
func New(policy func(table string) Policy) *Batcher {
	return &Batcher{policy: policy, tables: map[string]*table{}}
}

// Add folds rows from the given one on into their table's open batch, which it
// returns. Where the rows change the table's columns, the batch so far is closed
// first and a new one opened. The error is a *schema.ConflictError: these rows
// cannot join their table and none was added. Nothing of rows is kept.
func (b *Batcher) Add(now time.Time, rows *schema.Rows, from int) (*Batch, error) {
	t := b.table(rows.Table)
	if rows.Ops[from] == schema.Truncate {
		return b.truncate(t, now, rows), nil
	}
	last, err := b.fit(t, rows)
	if err != nil {
		return nil, err
	}
	if last != nil && !last.idle() && last.Size()+rows.Size() > maxBatchBytes {
		last.Reason = Bytes
		last = nil
	}
	if last == nil {
		last = b.openBatch(t, now)
	}
	b.bytes -= last.Size()
	if t.cover {
		for _, earlier := range t.queue[:len(t.queue)-1] {
			for i := from; i < rows.Len(); i++ {
				earlier.supersede(rows.Key(i))
			}
		}
	}
	if rows.Partial || len(rows.Moves) > 0 || len(last.came) > 0 {
		filled, extra := last.fill(rows, from, t.queue)
		last.add(filled, 0)
		last.Read, last.Replaced = last.Read-extra, last.Replaced-extra
	} else {
		last.add(rows, from)
	}
	last.Traces.Merge(&rows.Traces)
	b.bytes += last.Size()
	return last, nil
}

// Learn gives a table the columns of rows that have been delivered before, so that its
// files have them; the rows themselves need not be there. Columns that conflict with it
// teach nothing: the rows that come will tell.
func (b *Batcher) Learn(rows *schema.Rows) {
	if len(rows.Columns) > 0 { // a TRUNCATE has none
		b.fit(b.table(rows.Table), rows)
	}
}

// fit makes the table one that can hold the rows. It returns the open batch if that takes
// them, after closing it where they change columns that its files would show.
func (b *Batcher) fit(t *table, rows *schema.Rows) (*Batch, error) {
	merged, grown, err := t.schema.Merge(rows)
	if err != nil {
		return nil, err
	}
	t.schema = merged
	last := t.last()
	switch {
	case last == nil:
	case grown && last.Upserts() > 0: // a batch of deletes has no columns but the key: it can grow as it is
		last.Reason, t.open = Schema, false
		return nil, nil
	case last.Table != merged:
		b.bytes -= last.Size()
		last.retype(merged)
		b.bytes += last.Size()
	}
	return last, nil
}

// table returns what is known of a table.
func (b *Batcher) table(name string) *table {
	t := b.tables[name]
	if t == nil {
		t = &table{policy: b.policy(name)}
		t.schema = &schema.Table{Name: name, Loose: t.policy.Loose}
		b.tables[name] = t
	}
	return t
}

// truncate empties a table in its open batch.
func (b *Batcher) truncate(t *table, now time.Time, rows *schema.Rows) *Batch {
	last := t.last()
	if last == nil {
		last = b.openBatch(t, now)
	}
	b.bytes -= last.Size()
	last.truncate()
	if rows.Oldest > 0 && (last.Oldest == 0 || rows.Oldest < last.Oldest) {
		last.Oldest = rows.Oldest
	}
	last.Traces.Merge(&rows.Traces)
	b.bytes += last.Size()
	if t.cover {
		for _, earlier := range t.queue[:len(t.queue)-1] {
			for row := range earlier.dead {
				earlier.supersede(earlier.rows.Key(row))
			}
		}
	}
	return last
}

// Cover says, until it is called again, whether the rows added to a table come from a
// range that its readers may have seen in part: then a batch that a change of columns
// has closed loses what later rows replace, so that no reader sees the older again
// (I8). Its batches must not be sealed meanwhile.
func (b *Batcher) Cover(name string, on bool) {
	b.table(name).cover = on
}

// last returns the open batch of a table, nil if there is none.
func (t *table) last() *Batch {
	if !t.open {
		return nil
	}
	return t.queue[len(t.queue)-1]
}

func (b *Batcher) openBatch(t *table, now time.Time) *Batch {
	b.nextID++
	batch := &Batch{ID: b.nextID, Table: t.schema, Opened: now}
	batch.rows.Reset(t.schema.Name, t.schema.Columns)
	b.bytes += batch.Size()
	t.queue = append(t.queue, batch)
	t.open = true
	return batch
}

// Drain makes every batch due, now and later.
func (b *Batcher) Drain() { b.drain = true }

// Due returns the batches that may be sealed now, the first of each table only,
// for its batches land in order (I3). The one furthest past its deadline comes
// first. If memory is short and nothing that is due belongs to an idle table, the
// largest batch of an idle one is due as well; idle is not asked otherwise.
func (b *Batcher) Due(now time.Time, memoryShort bool, idle func(table string) bool) []*Batch {
	var due []*Batch
	var largest *Batch
	starts := false // a batch that can be sealed now
	for _, t := range b.tables {
		if len(t.queue) == 0 {
			continue
		}
		head := t.queue[0]
		if head.Reason == None || t.isOpen(head) {
			head.Reason = t.policy.due(head, now)
			if head.Reason == None && b.drain && !head.idle() && (head.Len() > 0 || head.Table.Typed()) {
				head.Reason = Drain
			}
		}
		if head.Reason != None {
			due = append(due, head)
			starts = starts || memoryShort && idle(head.Table.Name)
		} else if memoryShort && head.Len() > 0 && (largest == nil || head.Size() > largest.Size()) && idle(head.Table.Name) {
			largest = head
		}
	}
	if memoryShort && !starts && largest != nil {
		largest.Reason = Memory
		due = append(due, largest)
	}
	slices.SortFunc(due, func(x, y *Batch) int {
		return cmp.Or(b.deadline(x).Compare(b.deadline(y)), cmp.Compare(x.Table.Name, y.Table.Name))
	})
	return due
}

func (t *table) isOpen(batch *Batch) bool { return t.open && t.queue[len(t.queue)-1] == batch }

// deadline is when a batch's oldest row reaches its table's age limit.
func (b *Batcher) deadline(batch *Batch) time.Time {
	return batch.Opened.Add(b.tables[batch.Table.Name].policy.MaxAge)
}

// Seal takes a batch out of the batcher. Its later rows go to another one. What is not
// known of its rows is settled, as their table's policy says.
func (b *Batcher) Seal(batch *Batch) {
	t := b.tables[batch.Table.Name]
	if t.isOpen(batch) {
		t.open = false
	}
	t.queue = slices.DeleteFunc(t.queue, func(x *Batch) bool { return x == batch })
	b.bytes -= batch.Size()
	batch.settle(t.policy.Unavailable)
}

// Batches returns the batches not sealed, those of one table in order.
func (b *Batcher) Batches() []*Batch {
	var all []*Batch
	for _, t := range b.tables {
		all = append(all, t.queue...)
	}
	return all
}

// Schema returns what is known of a table, nil if that is nothing.
func (b *Batcher) Schema(table string) *schema.Table {
	if t := b.tables[table]; t != nil && len(t.schema.Columns) > 0 {
		return t.schema
	}
	return nil
}

// Of returns a table's batches that are not sealed, in order.
func (b *Batcher) Of(table string) []*Batch {
	if t := b.tables[table]; t != nil {
		return t.queue
	}
	return nil
}

// Bytes is the memory held by batches that are not sealed.
func (b *Batcher) Bytes() int64 { return b.bytes }
