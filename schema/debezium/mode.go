package debezium

import (
	"fmt"

	"github.com/sluice-cdc/sluice/schema"
)

// Mode says what the changes of a source row become at the target.
type Mode uint8

const (
	ModeUpsert Mode = iota // one row, as it is now
	// ModeAppend is for rows without a key, which are only ever added. A row is known by
	// where its record stands, so that one that is read twice is one row.
	ModeAppend
	// ModeHistory has every change a row of its own, known by where its record stands, with
	// the key of the source's table as plain columns. That of a delete has the key only, or
	// all columns where Options.WholeBefore says that they are there.
	ModeHistory
	// ModeSoftDelete keeps a row that is deleted, with a column of Deleted. Where the before
	// image is not known to be whole, the row's other columns are Unavailable.
	ModeSoftDelete
)

// Appends reports whether a target table's rows are only ever added, so that they must
// not reach it twice.
func (o *Options) Appends(table string) bool {
	m := o.mode(table)
	return m == ModeAppend || m == ModeHistory
}

func (o *Options) mode(table string) Mode {
	if o.Mode == nil {
		return ModeUpsert
	}
	return o.Mode(table)
}

// keeps reports whether a delete is a row that is written.
func (m Mode) keeps() bool { return m == ModeHistory || m == ModeSoftDelete }

// keep appends the row that a delete leaves. Most databases log nothing of a deleted row
// but its key, and Debezium invents values for the other columns that cannot be NULL;
// nothing on the wire tells such an image from a whole one.
func (d *Decoder) keep(sh *shape, offset int64, key payload, e *change) error {
	whole := d.opt.WholeBefore != nil && d.opt.WholeBefore(sh.table)
	image, byKey := payload{plan: e.rows}, d.byKey(sh, key)
	switch {
	case e.before.data != nil && (whole || !byKey):
		image = e.before
	case e.op == 0: // a tombstone: all that is left of a delete
		whole = false
	case whole:
		return &fault{"a delete without a before image, which tables." + sh.table + ".fullBefore says is always there",
			fmt.Sprintf("leave out tables.%s.fullBefore in the tables file, or have the database log whole rows (PostgreSQL: ALTER TABLE … REPLICA IDENTITY FULL), and move the group's offset past this record; then restart", sh.table)}
	case !byKey:
		return noBefore
	}
	if !whole && len(sh.keys) == 0 {
		return &fault{"a delete of a row without a key, of which nothing else is known to be true",
			fmt.Sprintf("set tables.%[1]s.fullBefore: true in the tables file if the database logs whole rows (PostgreSQL: REPLICA IDENTITY FULL), or name the table's key columns under tables.%[1]s.keys; then restart", sh.table)}
	}
	op := d.op
	d.op, d.bare = 'd', !whole
	if sh.mode == ModeSoftDelete {
		d.absent = schema.Unavailable
	}
	err := d.row(sh, schema.Upsert, offset, key, image)
	d.op, d.bare = op, false
	return err
}
