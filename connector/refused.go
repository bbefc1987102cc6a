package connector

import (
	"cmp"
	"errors"
	"slices"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// verdict is what is known of a record before it is read again: that it is as bad as one
// that cannot be decoded, for the target refuses its row, or that it was put aside.
type verdict struct {
	offset int64
	bad    *debezium.BadRecord // nil: it was put aside
}

func (v verdict) compare(offset int64) int { return cmp.Compare(v.offset, offset) }

// noteRefused notes the records whose rows the target has refused, or would for they have no
// form there, and reports whether there are any: their batch is then to be read again, and
// will be without them. An earlier change of a key takes the place of one that is put aside.
// Where rows must not be sent twice, nothing of the batch is there yet (push.Delivery.Once).
func (c *Connector) noteRefused(w *work, err error) bool {
	noted, rows := 0, refusedRows(err)
	for _, p := range c.parts {
		for _, row := range rows {
			if row.Record.Offset < 0 || row.Record.Source != p.source || noted > c.opt.DeadLetterLimit { // one more than may be put aside holds the table
				continue
			}
			words := "the target refuses its row"
			if row.Words != "" {
				words += ": " + row.Words
			}
			p.judge(row.Record.Offset, &debezium.BadRecord{Table: w.lane.table, Column: row.Column, Reason: debezium.Refused, Err: errors.New(words)})
			noted++
		}
	}
	return noted > 0
}

func refusedRows(err error) (rows []push.RefusedRow) {
	var refused *push.Refused
	if errors.As(err, &refused) {
		return refused.Rows
	}
	var unfit *batcher.Unfit
	if errors.As(err, &unfit) {
		for _, row := range unfit.Rows {
			rows = append(rows, push.RefusedRow{Record: row.Record, Column: row.Column, Words: row.Reason})
		}
	}
	return rows
}

// judge notes a verdict. A decoder may be reading the ones before.
func (p *partition) judge(offset int64, bad *debezium.BadRecord) {
	at, is := slices.BinarySearchFunc(p.verdicts, offset, verdict.compare)
	if p.verdicts = slices.Clone(p.verdicts); is {
		p.verdicts[at].bad = bad
		return
	}
	p.verdicts = slices.Insert(p.verdicts, at, verdict{offset, bad})
}

// judged returns the verdict on the record at an offset, false if there is none.
func judged(all []verdict, offset int64) (*debezium.BadRecord, bool) {
	at, is := slices.BinarySearchFunc(all, offset, verdict.compare)
	if !is {
		return nil, false
	}
	return all[at].bad, true
}

// passed forgets verdicts on what is before an offset that is committed: it is not read again.
func (p *partition) passed(offset int64) {
	at, _ := slices.BinarySearchFunc(p.verdicts, offset, verdict.compare)
	p.verdicts = p.verdicts[at:]
}
