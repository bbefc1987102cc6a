package batcher

import (
	"fmt"
	"slices"

	"github.com/sluice-cdc/sluice/schema"
)

// fileRows is what files of one kind hold: the rows of one kind of change and one part
// (see Batch.Parts), under some of the table's columns.
type fileRows struct {
	*Batch
	op      schema.Op
	part    int
	columns []int    // positions in the table
	without []string // columns left out, for the target to keep what it has there
	replace bool     // the table is to hold these rows only: there is a file even if there are none
}

// each calls f with every row until f returns false.
func (r *fileRows) each(f func(row int) bool) { r.EachOf(r.op, r.part, f) }

// chunk is a finished file.
func (r *fileRows) chunk(rows int, data []byte) schema.Chunk {
	return schema.Chunk{Op: r.op, Rows: rows, Data: data, Without: r.without, Replace: r.replace}
}

// files has write append the files of each kind: upserts with all columns, deletes with
// those of the key, or under fullDeletes with all. Columns of which only NULL is known have no
// type for a file that needs one; nulls has them in upserts. Rows whose values are not all known
// stand in files of their own. The batch must be sealed.
func (b *Batch) files(fullDeletes, nulls bool, write func([]schema.Chunk, *fileRows) ([]schema.Chunk, error)) (chunks []schema.Chunk, err error) {
	if b.lacking > 0 { // I6
		return nil, fmt.Errorf("encode table %s: %d values are not known", b.Table.Name, b.lacking)
	}
	var all []*fileRows
	for part := range b.Parts() {
		all = append(all, &fileRows{Batch: b, op: schema.Upsert, part: part, replace: b.Truncates > 0})
	}
	for _, r := range append(all, &fileRows{Batch: b, op: schema.Delete}) {
		if b.live[r.op] == 0 && !r.replace {
			continue
		}
		left := b.Parts()[r.part]
		for _, i := range left {
			r.without = append(r.without, b.Table.Columns[i].Name)
		}
		upserts := r.op == schema.Upsert
		for i, c := range b.Table.Columns {
			if (c.Type.Kind != schema.Unknown || nulls && upserts) && (upserts || c.Key || fullDeletes) && !slices.Contains(left, i) {
				r.columns = append(r.columns, i)
			}
		}
		if chunks, err = write(chunks, r); err != nil {
			return nil, fmt.Errorf("encode %ss of table %s: %w", r.op, b.Table.Name, err)
		}
	}
	return chunks, nil
}
