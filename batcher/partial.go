package batcher

import (
	"slices"

	"github.com/sluice-cdc/sluice/schema"
)

// Unavailable says what becomes of values that the source did not send, where no change
// in the batch tells them either.
type Unavailable uint8

const (
	UnavailableHold Unavailable = iota // the table is held
	UnavailableNull                    // they become NULL
	// UnavailableKeep has the row sent without its unknown columns, apart from the others,
	// so that the target keeps what it has there. A row that is new under its key has
	// nothing there: its table is held.
	UnavailableKeep
)

// Lack is why a batch cannot be sealed: rows without a value in a column.
type Lack struct {
	Column string
	Rows   int
	New    bool // at least one of them is new under its key
	// Untyped says that the rows are NULL there, and are to keep another column: nothing
	// has told the type that a file needs to say NULL.
	Untyped bool
}

// Lacks returns the first column of a batch in which values are not known that its
// table's policy has no answer for, nil if there is none.
func (b *Batcher) Lacks(batch *Batch) *Lack {
	policy := b.tables[batch.Table.Name].policy.Unavailable
	apart := batch.apart(policy)
	for c := range batch.rows.Values {
		lack := Lack{Column: batch.Table.Columns[c].Name}
		batch.lacks(c, policy, apart, func(s schema.State) {
			lack.Rows++
			lack.New = lack.New || s == schema.Missing
			lack.Untyped = lack.Untyped || s == schema.Null
		})
		if lack.Rows > 0 {
			return &lack
		}
	}
	return nil
}

// lacks calls f with the state of each value in a column that a policy has no answer for.
// apart is what the method of that name says.
func (b *Batch) lacks(column int, policy Unavailable, apart map[int][]int, f func(schema.State)) {
	b.unknown(column, func(_ int, s schema.State) {
		if policy == UnavailableHold || policy == UnavailableKeep && s == schema.Missing {
			f(s)
		}
	})
	if c := b.Table.Columns[column]; c.Type.Kind != schema.Unknown || c.Rest {
		return
	}
	for row := range apart {
		if s := b.rows.Values[column].States[row]; s == schema.Null {
			f(s) // its file leaves the column out, which is to keep what is there
		}
	}
}

// apart returns, by row, the columns that the target is to keep as they are.
func (b *Batch) apart(policy Unavailable) map[int][]int {
	if policy != UnavailableKeep || !b.partial {
		return nil
	}
	without := map[int][]int{}
	for c := range b.rows.Values {
		b.unknown(c, func(row int, s schema.State) {
			if s == schema.Unavailable {
				without[row] = append(without[row], c)
			}
		})
	}
	return without
}

// unknown calls f with the live rows that have no known value in a column. It may be one of
// no kind, of which a process that starts anew has seen no value: a file leaves it out, and
// the target would take what it lacks for NULL (I6).
func (b *Batch) unknown(column int, f func(row int, s schema.State)) {
	if !b.partial {
		return
	}
	for row, s := range b.rows.Values[column].States {
		if !s.Known() && !b.dead[row] && b.rows.Ops[row] == schema.Upsert {
			f(row, s)
		}
	}
}

// settle does with the values that are not known what the policy says. In a table that was
// emptied there is nothing left to delete.
func (b *Batch) settle(policy Unavailable) {
	if b.Truncates > 0 {
		b.Each(schema.Delete, func(row int) bool {
			b.dead[row] = true
			return true
		})
		b.Replaced += b.live[schema.Delete]
		b.live[schema.Delete] = 0
	}
	without := b.apart(policy)
	for c := range b.rows.Values {
		b.lacks(c, policy, without, func(schema.State) { b.lacking++ })
		if policy == UnavailableNull {
			b.unknown(c, func(row int, _ schema.State) {
				b.rows.Values[c].States[row] = schema.Null
				b.Nulled++
			})
		}
	}
	if len(without) == 0 {
		return
	}
	b.parts = [][]int{nil}
	b.part = make([]int32, b.rows.Len())
	for row := range b.part {
		columns := without[row]
		if columns == nil {
			continue
		}
		b.Kept += len(columns)
		at := slices.IndexFunc(b.parts, func(have []int) bool { return slices.Equal(have, columns) })
		if at < 0 {
			at = len(b.parts)
			b.parts = append(b.parts, columns)
		}
		b.part[row] = int32(at)
	}
}

// Parts returns, for each set of columns that rows of a sealed batch lack and the target
// is to keep, the columns' positions. The first is of the rows that are whole.
func (b *Batch) Parts() [][]int {
	if b.parts == nil {
		return [][]int{nil}
	}
	return b.parts
}

// EachOf is Each for the rows of one part.
func (b *Batch) EachOf(op schema.Op, part int, f func(row int) bool) {
	b.Each(op, func(row int) bool {
		return b.part != nil && b.part[row] != int32(part) || f(row)
	})
}

// move names a change of a row's key.
type move struct {
	from, to string
	change   uint64
}

// filler makes rows whose unknown values are filled from earlier rows of the batch.
type filler struct {
	b       *Batch
	batches []*Batch // of the table, not sealed yet; b is the last
	src     *schema.Rows
	columns []int // of the batch's columns in src, -1 where it has none
	out     *schema.Rows
	last    map[string]int // row of a key in out
	one     [1]int32
}

// fill returns the rows from the given one on under the batch's columns, with the values
// that their source did not send taken from the row's earlier state: from the table's
// batches, of which this is the last, or from the row that its key was before. That needs
// both records of the change, which come in any order when they are of two partitions.
// extra counts rows that take the place of ones that were counted before.
func (b *Batch) fill(rows *schema.Rows, from int, batches []*Batch) (filled *schema.Rows, extra int) {
	f := filler{b: b, batches: batches, src: rows, out: &schema.Rows{}, last: map[string]int{}}
	f.out.Reset(rows.Table, b.Table.Columns)
	f.out.Oldest, f.out.Partial, f.out.Source = rows.Oldest, rows.Partial, rows.Source
	for i, c := range b.Table.Columns {
		f.columns = append(f.columns, columnOf(rows, c.Name, i))
	}
	moves := rows.Moves
	for i := from; i < rows.Len(); i++ {
		for len(moves) > 0 && moves[0].Row < i {
			moves = moves[1:]
		}
		moved := len(moves) > 0 && moves[0].Row == i
		key := string(rows.Key(i))
		before, at, emptied := f.find(rows.Key(i))
		exists := before != nil && before.Ops[at] == schema.Upsert
		if rows.Ops[i] == schema.Delete {
			f.add(i, nil, 0, false)
			delete(b.came, key)
			if moved && exists {
				extra += f.leave(move{key, string(moves[0].Other), moves[0].Change}, before, at)
			}
			continue
		}
		if !exists {
			delete(b.came, key)
			if moved {
				m := move{string(moves[0].Other), key, moves[0].Change}
				if left := b.left[m]; left != nil {
					f.add(i, left, 0, false)
					continue
				}
				if b.came == nil {
					b.came = map[string]move{}
				}
				b.came[key] = m
			}
			f.add(i, nil, 0, before != nil || emptied)
			continue
		}
		f.add(i, before, at, false)
	}
	return f.out, extra
}

// find returns the last row of a key, nil if there is none in memory. emptied says that
// none was since the table was emptied, so that there is none at the target either.
func (f *filler) find(key []byte) (rows *schema.Rows, at int, emptied bool) {
	if at, ok := f.last[string(key)]; ok {
		return f.out, at, false
	}
	for _, b := range slices.Backward(f.batches) {
		if at := b.index.find(key, &b.rows); at >= 0 {
			return &b.rows, int(at), false
		}
		if b.Truncates > 0 {
			return nil, 0, true
		}
	}
	return nil, 0, false
}

// add appends row i of the source, its unknown values from row at of before where that is
// not nil. deleted says that the row was deleted earlier, so that the target has nothing of
// it to keep.
func (f *filler) add(i int, before *schema.Rows, at int, deleted bool) {
	f.end(f.src.Ops[i], f.src.Offsets[i], f.src.Key(i))
	for c := range f.out.Values {
		dst := &f.out.Values[c]
		src, s := (*schema.Values)(nil), schema.Null
		if at := f.columns[c]; at >= 0 {
			src = &f.src.Values[at]
			s = src.States[i]
		} else {
			s = f.src.Rest(i)
		}
		switch {
		case s == schema.Null:
			dst.AppendNull()
		case s.Known():
			f.one[0] = int32(i)
			dst.AppendRows(src, f.one[:])
		case before != nil && c < len(before.Values): // a later table's columns begin with an earlier one's
			if before.Values[c].States[at].Known() {
				f.b.Filled++
			}
			f.one[0] = int32(at)
			dst.AppendRows(&before.Values[c], f.one[:])
		case deleted:
			dst.AppendAbsent(schema.Missing)
		default:
			dst.AppendAbsent(s)
		}
	}
}

// end appends what a row is besides its values.
func (f *filler) end(op schema.Op, offset int64, key []byte) {
	out := f.out
	f.last[string(key)] = out.Len()
	out.Ops = append(out.Ops, op)
	out.Offsets = append(out.Offsets, offset)
	out.Keys = append(out.Keys, key...)
	out.KeyEnds = append(out.KeyEnds, uint32(len(out.Keys)))
}

// leave hands the values of a row whose key changes to the row under the new key, now or
// when that comes. It returns how many rows it added.
func (f *filler) leave(m move, before *schema.Rows, at int) int {
	b := f.b
	if b.came[m.to] != m {
		left := &schema.Rows{}
		left.Reset(f.out.Table, before.Columns)
		f.one[0] = int32(at)
		for c := range left.Values {
			left.Values[c].AppendRows(&before.Values[c], f.one[:])
		}
		if b.left == nil {
			b.left = map[move]*schema.Rows{}
		}
		b.left[m] = left
		b.leftBytes += left.Size()
		return 0
	}
	delete(b.came, m.to)
	row, to, _ := f.find([]byte(m.to))
	f.end(schema.Upsert, -1, []byte(m.to)) // its record may be another partition's than these rows'
	for c := range f.out.Values {
		from, i := row, to
		if c < len(row.Values) && c < len(before.Values) && row.Values[c].States[to] == schema.Missing {
			from, i = before, at
			b.Filled++
		}
		if c >= len(from.Values) {
			f.out.Values[c].AppendNull()
			continue
		}
		f.one[0] = int32(i)
		f.out.Values[c].AppendRows(&from.Values[c], f.one[:])
	}
	return 1
}
