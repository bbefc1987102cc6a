package batcher

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// CSVEncoder writes batches as CSV files, whose dialect package schema has. It is a set
// of choices; it may be used concurrently.
type CSVEncoder struct {
	Micros        bool // times to the microsecond, not the millisecond
	FullDeletes   bool // deletes carry all columns, the others NULL, instead of the key only
	MaxChunkBytes int  // of a file; a file has at least one row
}

// Encode is Encoder.Encode for CSV.
func (e *CSVEncoder) Encode(b *Batch) ([]schema.Chunk, error) {
	return b.files(e.FullDeletes, false, e.write)
}

// csvColumn is a column and how its values are written.
type csvColumn struct {
	*schema.Values
	layout string // of dates and times
	bare   bool   // the text of a number
}

var errBlankLine = errors.New("a row of a single column that is NULL, which in CSV is a blank line, and those are skipped; set SLUICE_CELONIS_FILE_TYPE=parquet")

func (e *CSVEncoder) write(chunks []schema.Chunk, r *fileRows) ([]schema.Chunk, error) {
	if len(r.columns) == 0 {
		return chunks, errBlankLine
	}
	columns := make([]csvColumn, len(r.columns))
	var header []byte
	for i, at := range r.columns {
		c := &r.Table.Columns[at]
		columns[i] = csvColumn{Values: r.Values(at), bare: c.Type.Precision > 0}
		columns[i].layout, _ = schema.CSVTime(c.Type.Kind, e.Micros)
		header = append(appendQuoted(header, []byte(c.Name)), schema.CSVSeparator)
	}
	header[len(header)-1] = schema.CSVLineEnding
	var out []byte
	var err error
	rows := 0
	r.each(func(row int) bool {
		if rows == 0 {
			out = append(out, header...)
		}
		start := len(out)
		for i := range columns {
			out = append(columns[i].append(out, row), schema.CSVSeparator)
		}
		if len(out) == start+1 {
			err = errBlankLine
			return false
		}
		out[len(out)-1] = schema.CSVLineEnding
		if rows > 0 && len(out) > e.MaxChunkBytes {
			chunks = append(chunks, r.chunk(rows, out[:start:start]))
			out = append(bytes.Clone(header), out[start:]...)
			rows = 0
		}
		rows++
		return true
	})
	if r.replace && len(chunks) == 0 && rows == 0 {
		out = header // a table of which nothing is left
	}
	if len(out) > 0 {
		chunks = append(chunks, r.chunk(rows, out))
	}
	return chunks, err
}

// append appends the value of a row, nothing for NULL. Numbers have no exponent, which
// not every reader of decimal fractions takes; NaN and the infinities have the names
// that Java's numbers have.
func (c *csvColumn) append(dst []byte, row int) []byte {
	if c.States[row] != schema.Present {
		return dst
	}
	switch c.Kind {
	case schema.String:
		if c.bare {
			return append(dst, c.Bytes(row)...)
		}
		return appendQuoted(dst, c.Bytes(row))
	case schema.Float:
		switch f := c.Float(row); {
		case math.IsInf(f, 1):
			return append(dst, "Infinity"...)
		case math.IsInf(f, -1):
			return append(dst, "-Infinity"...)
		default:
			return strconv.AppendFloat(dst, f, 'f', -1, 64)
		}
	case schema.Boolean:
		return strconv.AppendBool(dst, c.Nums[row] != 0)
	case schema.Date:
		return time.Unix(c.Nums[row]*86400, 0).UTC().AppendFormat(dst, c.layout)
	case schema.Time, schema.DateTime: // finer than the form has is cut by floor
		return time.UnixMicro(c.Nums[row]).UTC().AppendFormat(dst, c.layout)
	}
	return strconv.AppendInt(dst, c.Nums[row], 10)
}

// appendQuoted appends text in quotes, those in it doubled.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, schema.CSVQuote)
	for at := bytes.IndexByte(text, schema.CSVQuote); at >= 0; at = bytes.IndexByte(text, schema.CSVQuote) {
		dst = append(append(dst, text[:at+1]...), schema.CSVQuote)
		text = text[at+1:]
	}
	return append(append(dst, text...), schema.CSVQuote)
}
