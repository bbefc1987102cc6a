package connector

import (
	"fmt"
	"time"

	"github.com/sluice-cdc/sluice/schema"
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
		l.changes = append(l.changes, ColumnChange{c.now, col.Name, text})
		l.changes = l.changes[max(0, len(l.changes)-keptChanges):]
		c.log.Info("a column changed", "table", l.table, "column", col.Name, "change", text)
	}
}
