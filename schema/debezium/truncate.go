package debezium

import (
	"errors"
	"fmt"

	"github.com/sluice-cdc/sluice/schema"
)

// Truncate says what becomes of a TRUNCATE. Debezium sends one only if the connector's
// skipped.operations leaves t out, without a key, so that the partition it lands in is
// arbitrary and nothing but a position orders it against the table's other events.
type Truncate uint8

const (
	TruncateHold    Truncate = iota // the table is held
	TruncateIgnore                  // it is skipped: the target keeps the rows
	TruncateReplace                 // the target table is emptied, which needs a topic of one partition
)

// truncate appends the emptying of a table as a run of its own, for whoever adds runs to
// batches to see whether it may.
func (d *Decoder) truncate(rec *Record, e *change) (Class, error) {
	if len(e.from.table) == 0 {
		return Row, errors.New("source does not name a table")
	}
	id, err := e.from.identity(d.topic)
	if err != nil {
		return Row, err
	}
	table := d.opt.Table(id)
	policy := TruncateHold
	if d.opt.Truncate != nil {
		policy = d.opt.Truncate(table)
	}
	switch {
	case d.excluded(table):
		return Excluded, nil
	case policy == TruncateIgnore:
		return Ignored, nil
	case policy == TruncateHold:
		return Row, &BadRecord{Table: table, Err: &fault{"a TRUNCATE, which has no key and no order against the table's other events",
			fmt.Sprintf("empty the target table by hand, move the group's offset past this record and restart; or say what is to become of it with tables.%s.truncate: ignore or replace in the tables file; the connector leaves truncates out with skipped.operations=t", table)}}
	}
	sh := d.shapes[table]
	if sh != nil {
		d.cut(sh)
	} else if d.opt.Claim != nil {
		if err := d.opt.Claim(table, id); err != nil {
			return Row, &BadRecord{Table: table, Err: err}
		}
	}
	run := runs.Get().(*schema.Rows)
	run.Reset(table, nil)
	run.Ops, run.Offsets, run.KeyEnds = append(run.Ops, schema.Truncate), append(run.Offsets, rec.Offset), append(run.KeyEnds, 0)
	run.Oldest = max(e.from.millis, 0)
	if d.opt.Traces {
		d.link(run, sh, rec, e)
	}
	d.done = append(d.done, run)
	return Row, nil
}
