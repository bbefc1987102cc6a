package batcher

import (
	"slices"
	"sort"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// Batch is the changes of one table between two cuts, at most one for each key
// (I4). It is filled by its Batcher until it is sealed, and belongs to whoever
// sealed it from then on.
type Batch struct {
	ID     uint64
	Table  *schema.Table // how the rows are typed
	Opened time.Time     // when the first row came
	Oldest int64         // earliest source commit time in ms since the epoch, 0 unknown
	Reason Reason        // why it was sealed
	Read   int           // rows added: Upserts + Deletes + Replaced + Truncates (I7)
	// Replaced counts the rows that a later one of their key took the place of. It is
	// counted where that happens, not worked out from the others.
	Replaced int
	// Truncates is 1 if the table was emptied before all of the batch's rows, else 0.
	Truncates int
	Traces    schema.Traces // in which its changes were made
	// Values that the source did not send: Filled from earlier rows, made NULL, or left
	// for the target to keep. The last two are counted when the batch is sealed.
	Filled, Nulled, Kept int

	rows   schema.Rows
	dead   []bool // rows that a later one replaced
	live   [2]int // by Op
	index  index
	picked []int32 // scratch
	from   []span  // where the rows came from

	partial   bool                  // some value may not be known
	left      map[move]*schema.Rows // rows whose key changed, as they were before
	leftBytes int64                 //
	came      map[string]move       // by key, the rows that wait for what their old key's row leaves
	lacking   int                   // values that are not known and must be, in a sealed batch
	part      []int32               // see Parts; nil: all rows are whole
	parts     [][]int               //
}

// span is rows of one source, which follow those of the span before.
type span struct {
	end    int32 // the row behind the last
	source uint32
}

// Record names the record that a row came from. Rows are numbered as Each numbers them.
func (b *Batch) Record(row int) schema.Record {
	at := sort.Search(len(b.from), func(i int) bool { return int32(row) < b.from[i].end })
	return schema.Record{Offset: b.rows.Offsets[row], Source: b.from[at].source}
}

// Stamp writes when the batch was sealed into the columns that hold it, in milliseconds
// whole, which every form of file has. Encoded again, the batch makes the same files.
func (b *Batch) Stamp(sealed time.Time) {
	for c := range b.rows.Columns {
		if !b.rows.Columns[c].Stamp {
			continue
		}
		v := &b.rows.Values[c]
		for row, op := range b.rows.Ops {
			if op == schema.Upsert {
				v.States[row], v.Nums[row] = schema.Present, sealed.UnixMilli()*1000
			}
		}
	}
}

// Upserts and Deletes count the rows that the batch stands for.
func (b *Batch) Upserts() int { return b.live[schema.Upsert] }
func (b *Batch) Deletes() int { return b.live[schema.Delete] }

// Len is the number of live rows.
func (b *Batch) Len() int { return b.live[0] + b.live[1] }

// Husk returns the batch without its rows: what is left to know of it once they
// are encoded.
func (b *Batch) Husk() *Batch {
	return &Batch{ID: b.ID, Table: b.Table, Opened: b.Opened, Oldest: b.Oldest, Reason: b.Reason, Read: b.Read, Replaced: b.Replaced,
		Truncates: b.Truncates, Filled: b.Filled, Nulled: b.Nulled, Kept: b.Kept}
}

// idle reports whether there is nothing that the batch would do to its table.
func (b *Batch) idle() bool { return b.Len() == 0 && b.Truncates == 0 }

// Size is the memory held, in bytes.
func (b *Batch) Size() int64 {
	return b.rows.Size() + int64(cap(b.dead)) + b.index.size() + 4*int64(cap(b.picked)) + 8*int64(cap(b.from)) + b.leftBytes
}

// Each calls f with every live row of one kind of change until f returns false, in
// an order that is the same each time and means nothing: no two have one key.
func (b *Batch) Each(op schema.Op, f func(row int) bool) {
	for i, o := range b.rows.Ops {
		if o == op && !b.dead[i] && !f(i) {
			return
		}
	}
}

// Values returns a column of the batch's table, NULL where a delete's row has no
// value. Rows are numbered as Each numbers them.
func (b *Batch) Values(column int) *schema.Values { return &b.rows.Values[column] }

// retype gives the batch a table that holds the same values: with columns added,
// or another kind for columns that are all NULL.
func (b *Batch) retype(t *schema.Table) {
	for i, c := range t.Columns {
		if i == len(b.rows.Columns) {
			b.rows.AddColumn(c)
			continue
		}
		b.rows.Columns[i] = c
		if v := &b.rows.Values[i]; v.Kind != c.Type.Kind {
			v.Become(c.Type.Kind) // it has no value there
		}
	}
	b.Table = t
}

// add folds rows from the given one on into the batch: the last change of a key
// stays (I4). It copies what it keeps.
func (b *Batch) add(rows *schema.Rows, from int) {
	base := int32(b.rows.Len())
	picked := b.picked[:0]
	for i := from; i < rows.Len(); i++ {
		key := rows.Key(i)
		e := b.index.at(key, &b.rows)
		b.live[rows.Ops[i]]++
		if e.row >= base {
			// A key met earlier in this run keeps its place and takes the later
			// row, so only the survivors of a run are copied.
			b.Replaced++
			b.live[rows.Ops[picked[e.row-base]]]--
			picked[e.row-base] = int32(i)
			continue
		}
		if e.row >= 0 {
			b.dead[e.row] = true
			b.Replaced++
			b.live[b.rows.Ops[e.row]]--
		}
		e.row = base + int32(len(picked))
		picked = append(picked, int32(i))
		b.dead = append(b.dead, false)
		b.rows.Keys = append(b.rows.Keys, key...)
		b.rows.KeyEnds = append(b.rows.KeyEnds, uint32(len(b.rows.Keys)))
	}
	b.Read += rows.Len() - from
	for _, i := range picked {
		b.rows.Ops = append(b.rows.Ops, rows.Ops[i])
		b.rows.Offsets = append(b.rows.Offsets, rows.Offsets[i])
	}
	for i, c := range b.Table.Columns {
		dst := &b.rows.Values[i]
		if src := columnOf(rows, c.Name, i); src >= 0 {
			dst.AppendRows(&rows.Values[src], picked)
			continue
		}
		for range picked {
			dst.AppendNull()
		}
	}
	if n := len(b.from); n == 0 || b.from[n-1].source != rows.Source {
		b.from = append(b.from, span{source: rows.Source})
	}
	b.from[len(b.from)-1].end = int32(b.rows.Len())
	b.picked = picked[:0]
	b.partial = b.partial || rows.Partial
	if rows.Oldest > 0 && (b.Oldest == 0 || rows.Oldest < b.Oldest) {
		b.Oldest = rows.Oldest
	}
	if dead := b.rows.Len() - b.Len(); dead > 4096 && dead > b.Len() {
		b.sweep()
	}
}

// truncate empties the table: what the batch had of it is replaced by that.
func (b *Batch) truncate() {
	b.Read++
	b.Replaced += b.Len() + b.Truncates
	b.Truncates = 1
	b.live = [2]int{}
	b.dead = b.dead[:0]
	b.rows.Truncate(0)
	b.index, b.from = index{}, nil
	b.left, b.leftBytes, b.came = nil, 0, nil
	b.partial = false
}

// supersede takes a key's row out of a batch that takes no more, for a later batch has
// replaced it.
func (b *Batch) supersede(key []byte) {
	if row := b.index.find(key, &b.rows); row >= 0 && !b.dead[row] {
		b.dead[row] = true
		b.Replaced++
		b.live[b.rows.Ops[row]]--
	}
}

// columnOf finds a column of rows, where hint is the likely position.
func columnOf(rows *schema.Rows, name string, hint int) int {
	if hint < len(rows.Columns) && rows.Columns[hint].Name == name {
		return hint
	}
	for i := range rows.Columns {
		if rows.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// sweep drops the dead rows, so that a batch which waits long for its turn holds
// no more than twice what it stands for.
func (b *Batch) sweep() {
	old := b.rows
	keep := b.picked[:0]
	to := make([]int32, old.Len())
	for i := range old.Ops {
		if !b.dead[i] {
			to[i] = int32(len(keep))
			keep = append(keep, int32(i))
		}
	}
	b.rows = schema.Rows{}
	b.rows.Reset(old.Table, old.Columns)
	for _, i := range keep {
		b.rows.Ops = append(b.rows.Ops, old.Ops[i])
		b.rows.Offsets = append(b.rows.Offsets, old.Offsets[i])
		b.rows.Keys = append(b.rows.Keys, old.Key(int(i))...)
		b.rows.KeyEnds = append(b.rows.KeyEnds, uint32(len(b.rows.Keys)))
	}
	for c := range old.Values {
		b.rows.Values[c].AppendRows(&old.Values[c], keep)
	}
	b.dead = b.dead[:len(keep)]
	clear(b.dead)
	b.index.move(to)
	for i := range b.from {
		end, _ := slices.BinarySearch(keep, b.from[i].end)
		b.from[i].end = int32(end)
	}
	b.picked = keep[:0]
}
