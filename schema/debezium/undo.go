package debezium

import (
	"github.com/sluice-cdc/sluice/schema"
)

// undo is what a row changed in the inferred types of its columns.
type undo []retyped

type retyped struct {
	run *schema.Rows // in which the column got its kind, nil if none is left
	col int
	was schema.Type
}

func (u undo) forget(run *schema.Rows) {
	for i := range u {
		if u[i].run == run {
			u[i].run = nil
		}
	}
}

// do takes the changes back, the last one first. No row has been appended since
// the first of them.
func (u undo) do(d *Decoder, sh *shape) {
	cut := false
	for i := len(u) - 1; i >= 0; i-- {
		r := &u[i]
		cut = cut || r.run == nil || r.run != sh.run
		sh.cols[r.col].Type = r.was
		if r.run != nil { // which has no value there
			r.run.Columns[r.col].Type = r.was
			r.run.Values[r.col].Become(r.was.Kind)
		}
	}
	if cut { // the run has a column under a wider type
		d.cut(sh)
	}
}
