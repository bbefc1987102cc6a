package schema

// Rows is a run of changes of one table, decoded from one partition in offset
// order, all under one set of columns. It is the unit that moves between
// goroutines; the per-row slices all have the length of Ops.
type Rows struct {
	Table   string // target table
	Source  uint32 // stands for the partition; whoever adds the run to a batch says for which
	Columns []Column
	Values  []Values // parallel to Columns
	Ops     []Op
	Offsets []int64 // Kafka offsets, ascending; equal where one record made two changes

	// Keys holds each row's canonical key (see AppendKey) up to its KeyEnds entry.
	Keys    []byte
	KeyEnds []uint32

	// Positions holds each row's position (see Before) up to its PositionEnds entry, in
	// tables that are ordered by it. In others both are empty.
	Positions    []byte
	PositionEnds []uint32

	// Partial says that some value may be Unavailable or Missing.
	Partial bool
	// Moves are the rows whose key changed, ascending. One change makes two rows, which
	// need not be in one run or partition.
	Moves []Move

	// Oldest is the earliest source commit time of the run in milliseconds since
	// the epoch, 0 if no record told it.
	Oldest int64
	// Traces are what the run's changes were made in, as far as their records tell.
	Traces Traces
}

// Move says where a deleted row went to, or where a written one came from.
type Move struct {
	Row    int
	Other  []byte // the canonical key there
	Change uint64 // the same in both rows of one change, and in those of no other
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.Ops) }

// Key returns the canonical key of row i.
func (r *Rows) Key(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = r.KeyEnds[i-1]
	}
	return r.Keys[start:r.KeyEnds[i]]
}

// Size is the memory held, in bytes.
func (r *Rows) Size() int64 {
	n := int64(cap(r.Ops)) + 8*int64(cap(r.Offsets)) + int64(cap(r.Keys)) + 4*int64(cap(r.KeyEnds)) +
		int64(cap(r.Positions)) + 4*int64(cap(r.PositionEnds))
	for i := range r.Values {
		n += r.Values[i].Size()
	}
	return n
}

// Truncate keeps the first n rows.
func (r *Rows) Truncate(n int) {
	for i := range r.Values {
		r.Values[i].Truncate(n)
	}
	r.Ops, r.Offsets, r.KeyEnds = r.Ops[:n], r.Offsets[:n], r.KeyEnds[:n]
	end := uint32(0)
	if n > 0 {
		end = r.KeyEnds[n-1]
	}
	r.Keys = r.Keys[:end]
	if n < len(r.PositionEnds) {
		end = 0
		if n > 0 {
			end = r.PositionEnds[n-1]
		}
		r.Positions, r.PositionEnds = r.Positions[:end], r.PositionEnds[:n]
	}
	for len(r.Moves) > 0 && r.Moves[len(r.Moves)-1].Row >= n {
		r.Moves = r.Moves[:len(r.Moves)-1]
	}
}

// Reset empties r for a new run of the given columns, which it keeps a copy of.
func (r *Rows) Reset(table string, cols []Column) {
	r.Table, r.Oldest = table, 0
	r.Traces.Reset()
	r.Partial, r.Moves = false, r.Moves[:0]
	r.Columns = append(r.Columns[:0], cols...)
	for len(r.Values) < len(cols) {
		r.Values = append(r.Values, Values{})
	}
	r.Values = r.Values[:len(cols)]
	for i := range r.Values {
		r.Values[i].Reset(cols[i].Type.Kind)
	}
	r.Ops, r.Offsets, r.Keys, r.KeyEnds = r.Ops[:0], r.Offsets[:0], r.Keys[:0], r.KeyEnds[:0]
	r.Positions, r.PositionEnds = r.Positions[:0], r.PositionEnds[:0]
}

// Pick makes r a run of some rows of src. It is not for runs with Moves.
func (r *Rows) Pick(src *Rows, rows []int32) {
	r.Reset(src.Table, src.Columns)
	r.Oldest, r.Partial = src.Oldest, src.Partial
	r.Traces.Merge(&src.Traces)
	for _, i := range rows {
		r.Ops = append(r.Ops, src.Ops[i])
		r.Offsets = append(r.Offsets, src.Offsets[i])
		r.Keys = append(r.Keys, src.Key(int(i))...)
		r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
	}
	for c := range r.Values {
		r.Values[c].AppendRows(&src.Values[c], rows)
	}
}

// Rest returns the state that row i has in a column which r does not have.
func (r *Rows) Rest(i int) State {
	for c := range r.Columns {
		if r.Columns[c].Rest {
			return r.Values[c].States[i]
		}
	}
	return Null
}

// AddColumn adds a column, without a value in the rows so far.
func (r *Rows) AddColumn(c Column) {
	var v Values
	for i := range r.Ops {
		v.AppendAbsent(r.Rest(i))
	}
	r.Columns = append(r.Columns, c)
	v.Become(c.Type.Kind)
	r.Values = append(r.Values, v)
}

// AppendKey appends the canonical form of row i of a key column: one byte for
// the kind, then the value, with its length where that varies. So two keys are
// equal exactly if all their columns are, in type and value: ("1b","2") differs
// from ("1","b2") and 1 from "1".
func AppendKey(dst []byte, v *Values, i int) []byte {
	dst = append(dst, byte(v.Kind))
	if v.Kind == String {
		b := v.Bytes(i)
		n := uint32(len(b))
		dst = append(dst, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		return append(dst, b...)
	}
	n := uint64(v.Nums[i])
	if v.Kind == Float && v.Float(i) == 0 {
		n = 0 // -0.0 and 0.0 are one key
	}
	return append(dst, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
