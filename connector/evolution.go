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
}

// keptChanges is how many changes of a table the status remembers.
const keptChanges = 20

// evolved notes how a table's columns have changed.
func (c *Connector) evolved(l *lane, before, after *schema.Table) {
	if before == nil || before.Version == after.Version {
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
		c.changed(l, ColumnChange{c.now, col.Name, text})
		c.log.Info("a column changed", "table", l.table, "column", col.Name, "change", text)
	}
}

func (c *Connector) changed(l *lane, change ColumnChange) {
	c.metrics.changed(l.table)
	l.changes = append(l.changes, change)
	l.changes = l.changes[max(0, len(l.changes)-keptChanges):]
}

// left notes that a column is no longer in the rows, or in their schema. This process still has
// it in each file, as NULL; the next one will not know that it was there.
func (c *Connector) left(column debezium.Left) {
	l := c.lane(column.Table)
	text := fmt.Sprintf("left the rows and is NULL from now on; a restart forgets it, unless it stands under tables.%s.types in the tables file", column.Table)
	if l.held != "" || slices.ContainsFunc(l.changes, func(have ColumnChange) bool { return have.Column == column.Column && have.Change == text }) {
		return // another partition has told it
	}
	c.changed(l, ColumnChange{c.now, column.Column, text})
	c.log.Warn("a column left the rows", "table", column.Table, "column", column.Column, "change", text)
}
