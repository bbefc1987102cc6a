package connector

import "github.com/sluice-cdc/sluice/connector/kafka"

// Ledger knows which offsets are held by which unfinished work, and from it what
// may be committed. It keeps, per partition, the first offset that each holder
// holds and the next offset not yet seen; work ends as a whole, so the least of
// them is exact. Beside that it counts what became of every record (I7). It is pure,
// and one goroutine uses it.
type Ledger struct {
	parts map[kafka.Partition]*page
}

// page is the ledger of one partition.
type page struct {
	next int64 // the offset after the last record seen, -1 before the first
	held map[Holder]holding
	account
}

// holding is a holder's share of a partition.
type holding struct {
	first   int64 // offset held
	records int64
	rows    int   // that the records became: two where a configured key changed
	offsets int64 // that gave no record, and nobody has said yet why
}

// Holder names unfinished work: a batch, a record on its way to the dead-letter
// topic, a table on hold.
type Holder uint64

// NewLedger returns a ledger without partitions.
func NewLedger() *Ledger { return &Ledger{parts: map[kafka.Partition]*page{}} }

// Assign starts a partition of which nothing has been seen.
func (l *Ledger) Assign(p kafka.Partition) {
	l.parts[p] = &page{next: -1, held: map[Holder]holding{}}
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
	if have, ok := pg.held[h]; !ok {
		pg.held[h] = holding{first: offset}
	} else if offset < have.first {
		have.first = offset
		pg.held[h] = have
	}
}

// Took says that a holder, which holds the first of them, stands for so many more
// records of the partition, and for the rows that they became.
func (l *Ledger) Took(p kafka.Partition, h Holder, records, rows int) {
	pg := l.parts[p]
	if pg == nil {
		return
	}
	if have, ok := pg.held[h]; ok {
		have.records += int64(records)
		have.rows += rows
		pg.held[h] = have
	}
}

// Advance says that a partition stands at next, and that nothing before it is
// missing: each record is held, or needs no holding.
func (l *Ledger) Advance(p kafka.Partition, next int64) {
	if pg := l.parts[p]; pg != nil && next > pg.next {
		pg.next = next
	}
}

// Read is Advance for records that were read, with the offsets before and between
// them that are known to give none.
func (l *Ledger) Read(p kafka.Partition, next, records, gaps int64) {
	if pg := l.parts[p]; pg != nil {
		pg.passed += next - pg.next
		pg.read += records
		pg.gaps += gaps
	}
	l.Advance(p, next)
}

// Doubt says that so many offsets, which the holder holds, gave no record, and that it is
// asked why.
func (l *Ledger) Doubt(p kafka.Partition, h Holder, offsets int64) {
	if pg := l.parts[p]; pg != nil {
		have := pg.held[h]
		have.offsets = offsets
		pg.held[h] = have
	}
}

// Explain says that all offsets in doubt but so many have a reason, and returns how many
// have. The rest leave a residual, and the holder in place.
func (l *Ledger) Explain(p kafka.Partition, h Holder, lost int64) (n int64) {
	pg := l.parts[p]
	if pg == nil {
		return 0
	}
	have := pg.held[h]
	n = have.offsets - lost
	pg.gaps += n
	if have.offsets = 0; lost > 0 {
		pg.held[h] = have
	} else {
		delete(pg.held, h)
	}
	return n
}

// Count says what became of records that no holder stands for.
func (l *Ledger) Count(p kafka.Partition, o Outcome, n int64) {
	if pg := l.parts[p]; pg != nil {
		pg.counts[o] += n
	}
}

// Balance returns an error with the numbers if what was read of a partition is not
// what became of it (I7).
func (l *Ledger) Balance(p kafka.Partition) error {
	pg := l.parts[p]
	if pg == nil {
		return nil
	}
	inFlight, doubted := int64(0), int64(0)
	for _, have := range pg.held {
		inFlight += have.records
		doubted += have.offsets
	}
	return pg.balance(inFlight, doubted)
}

// Records returns how many records the holder stands for, of all partitions.
func (l *Ledger) Records(h Holder) (n int64) {
	for _, pg := range l.parts {
		n += pg.held[h].records
	}
	return n
}

// Rows returns how many rows the holder stands for, of all partitions.
func (l *Ledger) Rows(h Holder) (n int) {
	for _, pg := range l.parts {
		n += pg.held[h].rows
	}
	return n
}

// Rewind says that the partition will be read again from an offset on.
func (l *Ledger) Rewind(p kafka.Partition, next int64) {
	if pg := l.parts[p]; pg != nil && next < pg.next {
		pg.next = next
	}
}

// Done releases what the holder held, everywhere, and says what became of its records.
func (l *Ledger) Done(h Holder, o Outcome) {
	for _, pg := range l.parts {
		pg.counts[o] += pg.held[h].records
		delete(pg.held, h)
	}
}

// Move lets one holder hold what another held.
func (l *Ledger) Move(from, to Holder) {
	for p, pg := range l.parts {
		if have, ok := pg.held[from]; ok {
			delete(pg.held, from)
			l.Hold(p, have.first, to)
			l.Took(p, to, int(have.records), have.rows)
		}
	}
}

// First returns the first offset of a partition that the holder holds.
func (l *Ledger) First(p kafka.Partition, h Holder) (int64, bool) {
	if pg := l.parts[p]; pg != nil {
		have, ok := pg.held[h]
		return have.first, ok
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
	for _, have := range pg.held {
		offset = min(offset, have.first) // I1
	}
	return offset, true
}
