package connector

import "github.com/sluice-cdc/sluice/connector/kafka"

// Ledger knows which offsets are held by which unfinished work, and from it what
// may be committed. It keeps, per partition, the first offset that each holder
// holds and the next offset not yet seen; work ends as a whole, so the least of
// them is exact. It is pure, and one goroutine uses it.
type Ledger struct {
	parts map[kafka.Partition]*page
}

// page is the ledger of one partition.
type page struct {
	next int64            // the offset after the last record seen, -1 before the first
	held map[Holder]int64 // the first offset held
}

// Holder names unfinished work: a batch, a record on its way to the dead-letter
// topic, a table on hold.
type Holder uint64

// NewLedger returns a ledger without partitions.
func NewLedger() *Ledger { return &Ledger{parts: map[kafka.Partition]*page{}} }

// Assign starts a partition of which nothing has been seen.
func (l *Ledger) Assign(p kafka.Partition) {
	l.parts[p] = &page{next: -1, held: map[Holder]int64{}}
}

// Revoke forgets a partition: nothing of it will be committed any more (I2).
func (l *Ledger) Revoke(p kafka.Partition) { delete(l.parts, p) }

// Hold keeps the offset, and all after it, from being committed until the holder
// is done. A partition that is not assigned is ignored.
func (l *Ledger) Hold(p kafka.Partition, offset int64, h Holder) {
	pg := l.parts[p]
	if pg == nil {
		return
	}
	if first, ok := pg.held[h]; !ok || offset < first {
		pg.held[h] = offset
	}
}

// Advance says that all records before next were seen: each is held, or needs
// no holding because it was skipped on purpose.
func (l *Ledger) Advance(p kafka.Partition, next int64) {
	if pg := l.parts[p]; pg != nil && next > pg.next {
		pg.next = next
	}
}

// Rewind says that the partition will be read again from an offset on.
func (l *Ledger) Rewind(p kafka.Partition, next int64) {
	if pg := l.parts[p]; pg != nil && next < pg.next {
		pg.next = next
	}
}

// Done releases what the holder held, everywhere.
func (l *Ledger) Done(h Holder) {
	for _, pg := range l.parts {
		delete(pg.held, h)
	}
}

// First returns the first offset of a partition that the holder holds.
func (l *Ledger) First(p kafka.Partition, h Holder) (int64, bool) {
	if pg := l.parts[p]; pg != nil {
		first, ok := pg.held[h]
		return first, ok
	}
	return 0, false
}

// Next returns the offset after the last record seen, -1 before the first.
func (l *Ledger) Next(p kafka.Partition) int64 {
	if pg := l.parts[p]; pg != nil {
		return pg.next
	}
	return -1
}

// Committable returns the offset that may be committed: every record before it is
// DONE, durably dead-lettered, or deliberately skipped (I1). ok is false if
// nothing has been seen.
func (l *Ledger) Committable(p kafka.Partition) (offset int64, ok bool) {
	pg := l.parts[p]
	if pg == nil || pg.next < 0 {
		return 0, false
	}
	offset = pg.next
	for _, first := range pg.held {
		offset = min(offset, first) // I1
	}
	return offset, true
}
