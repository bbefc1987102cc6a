package connector

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// ColumnChange is a change of a table's columns that its readers can see.
type ColumnChange struct {
	At     time.Time `json:"at"`
	Column string    `json:"column"`
	Change string    `json:"change"`

	length int // with which a column that is longer now was declared before; 0: it is another change
}

// keptChanges is how many changes of a table the status remembers.
const keptChanges = 20

// evolved notes how a table's columns have changed.
func (c *Connector) evolved(l *lane, before, after *schema.Table) {
	if before == nil || before == after {
		return
	}
	c.lengthened(l, before, after)
	if before.Version == after.Version {
		return
	}
	for i, col := range after.Columns {
		text := ""
		switch {
		case i >= len(before.Columns):
			text = fmt.Sprintf("added as %v; it is NULL in the rows before", col.Type.Kind)
		case before.Columns[i].Type.Kind != col.Type.Kind && before.Columns[i].Type.Kind != schema.Unknown:
			text = fmt.Sprintf("%v became %v; what is not sent yet is converted, what was sent before is as the target converts it", before.Columns[i].Type.Kind, col.Type.Kind)
		default:
			continue
		}
		c.changed(l, ColumnChange{At: c.now, Column: col.Name, Change: text})
		c.log.Info("a column changed", "table", l.table, "column", col.Name, "change", text)
	}
}

// lengthened notes columns of text that are declared longer from now on. Whether a target
// lengthens a column that it has is not known; where it does not, it cuts what is longer, and no
// answer of it says so. A column that goes on growing stays one change, and one line of the log.
func (c *Connector) lengthened(l *lane, before, after *schema.Table) {
	fallback := c.opt.Decoder.MaxLength
	if fallback == 0 {
		return // there are no lengths at the target
	}
	for i, was := range before.Columns {
		is := after.Columns[i]
		from, to := was.Type.Declared(fallback), is.Type.Declared(fallback)
		if was.Type.Kind != schema.String || is.Type.Kind != schema.String || to <= from {
			continue
		}
		told := slices.IndexFunc(l.changes, func(have ColumnChange) bool { return have.Column == was.Name && have.length > 0 })
		if told >= 0 {
			from = l.changes[told].length
		}
		change := ColumnChange{c.now, was.Name, fmt.Sprintf("declared with %d from now on, with %d before; if the target keeps the length of a column that it has, it cuts longer values: "+
			"look there, and if it does, have the column lengthened, or drop the table and load it anew (a Debezium incremental snapshot)", to, from), from}
		if told >= 0 {
			l.changes[told] = change
			continue
		}
		c.changed(l, change)
		c.log.Warn("a column is longer than it was", "table", l.table, "column", was.Name, "change", change.Change)
	}
}

func (c *Connector) changed(l *lane, change ColumnChange) {
	c.metrics.changed(l.table)
	l.changes = append(l.changes, change)
	l.changes = l.changes[max(0, len(l.changes)-keptChanges):]
}

// left notes that a column is no longer in the rows, or in their schema. This process still has
// it in each file, as NULL; the next one may not know that it was there.
func (c *Connector) left(column debezium.Left) {
	l := c.lane(column.Table)
	text := fmt.Sprintf("left the rows and is NULL from now on; a restart forgets it, unless a schema registry tells it or it stands under tables.%s.types in the tables file", column.Table)
	if l.held != "" || slices.ContainsFunc(l.changes, func(have ColumnChange) bool { return have.Column == column.Column && have.Change == text }) {
		return // another partition has told it
	}
	c.changed(l, ColumnChange{At: c.now, Column: column.Column, Change: text})
	c.log.Warn("a column left the rows", "table", column.Table, "column", column.Column, "change", text)
}
