package batcher

import (
	"bytes"
	"fmt"
	"math"
	"reflect"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/zstd"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"github.com/sluice-cdc/sluice/schema"
)

// Timestamps says how DATETIME columns are written.
type Timestamps uint8

const (
	Millis Timestamps = iota // INT64 TIMESTAMP(MILLIS, UTC)
	Micros                   // INT64 TIMESTAMP(MICROS, UTC)
	Int96                    // the form of old Impala and Spark, and of the vendor's Python client
)

// Encoder writes batches as Parquet files (https://parquet.apache.org/docs).
// Every column is OPTIONAL, so NULL and empty or zero stay apart, and stands in
// table order. An Encoder is a set of choices; it may be used concurrently.
type Encoder struct {
	Compression    string // snappy, zstd or none
	Timestamps     Timestamps
	FullDeletes    bool // deletes carry all columns, the others NULL, instead of the key only
	MaxChunkBytes  int  // of a file
	RowGroupRows   int
	PageBytes      int
	CreatedBy      string // version of the program, for the file's footer
	WithDictionary bool   // for strings that repeat
	PageVersion    int    // of data pages, 1 or 2; 0 is 1
}

// Encode returns the batch's rows as files below MaxChunkBytes: upserts with all
// columns, deletes with those of the key. Rows whose values are not all known stand in
// files of their own, which leave the columns out that the target is to keep. The same
// batch gives the same files; it must be sealed.
func (e *Encoder) Encode(b *Batch) ([]schema.Chunk, error) {
	return b.files(e.FullDeletes, false, e.write)
}

const blockRows = 1024 // handed to the library at once; pages are cut between blocks

// write appends the files of one kind.
func (e *Encoder) write(chunks []schema.Chunk, r *fileRows) ([]schema.Chunk, error) {
	file := e.schema(r.Batch, r.columns)
	block := make([]int, 0, blockRows)
	text := 0 // bytes of strings in the block
	var w *chunkWriter
	var err error
	finish := func() {
		if w != nil && err == nil {
			if err = w.w.Close(); err == nil {
				chunks = append(chunks, r.chunk(w.rows, w.out.Bytes()))
			}
		}
		w = nil
	}
	write := func() {
		if len(block) == 0 || err != nil {
			return
		}
		if w == nil {
			w = e.open(file, r.Batch, r.columns)
		}
		err = w.write(block)
		block, text = block[:0], 0
		if err == nil && w.full() {
			finish()
		}
	}
	r.each(func(row int) bool {
		for _, i := range r.columns {
			if v := r.Values(i); v.Kind == schema.String {
				text += len(v.Bytes(row))
			}
		}
		// Blocks of large rows are smaller, so that a chunk cannot overshoot its size.
		if block = append(block, row); len(block) == blockRows || text >= e.MaxChunkBytes/16 {
			write()
		}
		return err == nil
	})
	write()
	if r.replace && len(chunks) == 0 && w == nil {
		w = e.open(file, r.Batch, r.columns) // a table of which nothing is left
	}
	finish()
	return chunks, err
}

// schema makes the file's schema. parquet.Group would order columns by name, so
// the root node keeps its own order.
func (e *Encoder) schema(b *Batch, cols []int) *parquet.Schema {
	root := &message{}
	for _, i := range cols {
		c := &b.Table.Columns[i]
		root.fields = append(root.fields, &leaf{parquet.Optional(e.node(b, i)), c.Name})
	}
	return parquet.NewSchema("row", root)
}

func (e *Encoder) node(b *Batch, col int) parquet.Node {
	switch b.Table.Columns[col].Type.Kind {
	case schema.Integer:
		return parquet.Leaf(bare{parquet.Int64Type})
	case schema.Float:
		return parquet.Leaf(parquet.DoubleType)
	case schema.Boolean:
		return parquet.Leaf(parquet.BooleanType)
	case schema.Date:
		return parquet.Date()
	case schema.Time:
		return parquet.TimeAdjusted(parquet.Millisecond, true)
	case schema.DateTime:
		switch e.Timestamps {
		case Micros:
			return parquet.Timestamp(parquet.Microsecond)
		case Int96:
			return parquet.Leaf(parquet.Int96Type)
		}
		return parquet.Timestamp(parquet.Millisecond)
	}
	if t := b.Table.Columns[col].Type; t.Precision > 0 {
		return parquet.Decimal(t.Scale, t.Precision, parquet.FixedLenByteArrayType(decimalBytes(t.Precision)))
	}
	if e.WithDictionary && repeats(&b.rows.Values[col]) {
		return parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	}
	return parquet.Encoded(parquet.String(), &parquet.Plain)
}

// repeats samples a string column: a dictionary pays where few values recur.
func repeats(v *schema.Values) bool {
	const sample = 256
	seen := make(map[string]struct{}, sample)
	n := v.Len()
	step := max(1, n/sample)
	taken := 0
	for i := 0; i < n; i += step {
		if v.States[i] != schema.Null {
			seen[string(v.Bytes(i))] = struct{}{}
			taken++
		}
	}
	return taken >= 16 && len(seen) <= taken/4
}

// chunkWriter writes one file.
type chunkWriter struct {
	e        *Encoder
	b        *Batch
	cols     []int
	out      bytes.Buffer
	w        *parquet.GenericWriter[any]
	leaves   []*parquet.ColumnWriter
	values   []parquet.Value
	unscaled []byte // scratch for the digits of decimals
	rows     int
}

var zstdFastest = &zstd.Codec{Level: zstd.SpeedFastest} // shared, for it pools its encoders

func (e *Encoder) codec() compress.Codec {
	switch e.Compression {
	case "zstd":
		return zstdFastest
	case "none":
		return &parquet.Uncompressed
	}
	return &parquet.Snappy
}

// open starts a file. Each has a writer of its own: after Reset, parquet-go
// v0.32.0 leaves the column paths in the footer empty (parquet-go issue 602).
func (e *Encoder) open(file *parquet.Schema, b *Batch, cols []int) *chunkWriter {
	w := &chunkWriter{e: e, b: b, cols: cols}
	opts := []parquet.WriterOption{file,
		parquet.Compression(e.codec()),
		parquet.DataPageVersion(max(e.PageVersion, 1)),
		parquet.DataPageStatistics(false),
		parquet.PageBufferSize(e.PageBytes),
		parquet.DictionaryMaxBytes(1 << 20), // then plain: the sample may mislead
		parquet.CreatedBy("sluice", e.CreatedBy, ""),
	}
	for _, i := range cols {
		if c := &b.Table.Columns[i]; c.Type.Kind == schema.String {
			// Bounds of long strings would be repeated whole in the footer.
			opts = append(opts, parquet.SkipPageBounds(c.Name))
		}
	}
	w.w = parquet.NewGenericWriter[any](&w.out, opts...)
	w.leaves = w.w.ColumnWriters()
	w.values = make([]parquet.Value, 0, blockRows)
	return w
}

// full reports whether another block might take the file past its size. The
// footer and the pages not yet compressed are allowed for.
func (w *chunkWriter) full() bool {
	return w.w.Size() >= int64(w.e.MaxChunkBytes)*7/8
}

// write appends a block of rows, column by column.
func (w *chunkWriter) write(block []int) error {
	for i, col := range w.cols {
		if t := w.b.Table.Columns[col].Type; t.Precision > 0 {
			var err error
			if w.values, w.unscaled, err = appendDecimals(w.values[:0], w.unscaled[:0], w.b.Values(col), block, t); err != nil {
				return fmt.Errorf("column %s: %w", w.b.Table.Columns[col].Name, err)
			}
		} else {
			w.values = w.e.appendValues(w.values[:0], w.b.Values(col), block)
		}
		if _, err := w.leaves[i].WriteRowValues(w.values); err != nil {
			return err
		}
	}
	if w.rows += len(block); w.e.RowGroupRows > 0 && w.rows%w.e.RowGroupRows < len(block) {
		return w.w.Flush()
	}
	return nil
}

// appendValues appends the given rows of a column as the library wants them: a
// present value has definition level 1, NULL is the zero Value at level 0.
func (e *Encoder) appendValues(dst []parquet.Value, v *schema.Values, rows []int) []parquet.Value {
	for _, r := range rows {
		if v.States[r] == schema.Null {
			dst = append(dst, parquet.Value{})
			continue
		}
		var x parquet.Value
		switch v.Kind {
		case schema.String:
			x = parquet.ByteArrayValue(v.Bytes(r))
		case schema.Float:
			x = parquet.DoubleValue(math.Float64frombits(uint64(v.Nums[r])))
		case schema.Boolean:
			x = parquet.BooleanValue(v.Nums[r] != 0)
		case schema.Date:
			x = parquet.Int32Value(int32(v.Nums[r]))
		case schema.Time:
			x = parquet.Int32Value(int32(v.Nums[r] / 1000))
		case schema.DateTime:
			x = e.timestamp(v.Nums[r])
		default:
			x = parquet.Int64Value(v.Nums[r])
		}
		dst = append(dst, x.Level(0, 1, 0))
	}
	return dst
}

// timestamp writes microseconds since the epoch; finer than the form has is cut
// by floor, so that the instant never moves forward.
func (e *Encoder) timestamp(us int64) parquet.Value {
	switch e.Timestamps {
	case Micros:
		return parquet.Int64Value(us)
	case Int96:
		const day, julianEpoch = 86_400_000_000, 2_440_588
		days := floorDiv(us, day)
		nanos := uint64(us-days*day) * 1000
		return parquet.Int96Value(deprecated.Int96{uint32(nanos), uint32(nanos >> 32), uint32(days + julianEpoch)})
	}
	return parquet.Int64Value(floorDiv(us, 1000))
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// message is a root node whose columns keep their order.
type message struct {
	parquet.Group
	fields []parquet.Field
}

func (m *message) Fields() []parquet.Field { return m.fields }

// leaf is a column of a message.
type leaf struct {
	parquet.Node
	name string
}

func (l *leaf) Name() string { return l.name }

// Value would read the column from a Go map; the column writers never ask.
func (l *leaf) Value(row reflect.Value) reflect.Value { return row.MapIndex(reflect.ValueOf(l.name)) }

// bare is a physical type without a logical one: old readers know INT64, not all
// know INT(64, true).
type bare struct{ parquet.Type }

func (bare) LogicalType() *format.LogicalType         { return nil }
func (bare) ConvertedType() *deprecated.ConvertedType { return nil }
