package debezium

import (
	"slices"

	"github.com/sluice-cdc/sluice/schema"
)

// leave notes the columns that a row of plain JSON does not have though earlier ones did:
// they were dropped at the source. Nothing tells a process of them that starts now, but
// for the tables file.
func (d *Decoder) leave(sh *shape, run *schema.Rows, p *plan) {
	for i := range p.fields {
		f := &p.fields[i]
		if f.left || f.col < 0 || run.Values[f.col].Len() > run.Len() {
			continue
		}
		f.left = true
		p.live--
		d.leaveColumn(sh, f.col)
	}
}

// leaveSchema notes the columns that a table had before the schema at hand and that the
// schema does not have. A later row under an earlier schema is a writer's that is behind.
func (d *Decoder) leaveSchema(sh *shape, p *plan) {
	if d.opt.Merge != nil && d.opt.Merge(sh.table) {
		return // each of its sources has columns of its own
	}
	for col, source := range sh.sources {
		own := sh.cols[col].Rest || slices.ContainsFunc(sh.metadata, func(m metadata) bool { return m.col == col })
		if _, has := p.byName[source]; !has && !own {
			d.leaveColumn(sh, col)
		}
	}
}

func (d *Decoder) leaveColumn(sh *shape, col int) {
	if source := sh.sources[col]; !sh.isKey(col) && d.givenType(sh, source, false).Kind == schema.Unknown {
		d.left = append(d.left, Left{sh.table, source})
	}
}

// Left is a column that has left the rows of its table.
type Left struct{ Table, Column string }

// TakeLeft returns the columns that have left their rows since the last call.
func (d *Decoder) TakeLeft() []Left {
	left := d.left
	d.left = nil
	return left
}
