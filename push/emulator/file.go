package emulator

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/format"
)

// file is a chunk's rows.
type file struct {
	columns []fileColumn
	rows    int
}

type fileColumn struct {
	name   string
	typ    string // the API's ColumnType
	values []any  // int64, float64, bool, string; nil is NULL. Dates and times are text.
}

func (f *file) index(name string) int {
	for i := range f.columns {
		if strings.EqualFold(f.columns[i].name, name) {
			return i
		}
	}
	return -1
}

// readParquet reads and validates a Parquet file, with the library's generic page readers.
func readParquet(data []byte) (f *file, err error) {
	defer func() {
		if p := recover(); p != nil { // the library panics on some corrupt files
			err = fmt.Errorf("corrupt file: %v", p)
		}
	}()
	if len(data) < 12 || int64(binary.LittleEndian.Uint32(data[len(data)-8:])) > int64(len(data)-12) {
		return nil, errors.New("not a Parquet file")
	}
	in, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return nil, err
	}
	f = &file{rows: int(in.NumRows())}
	meta := in.Metadata()
	for i, c := range in.Root().Columns() {
		if !c.Leaf() || c.Repeated() {
			return nil, fmt.Errorf("column %q is nested", c.Name())
		}
		typ, err := columnType(&meta.Schema[i+1])
		if err != nil {
			return nil, fmt.Errorf("column %q: %w", c.Name(), err)
		}
		f.columns = append(f.columns, fileColumn{name: c.Name(), typ: typ})
	}
	for _, group := range in.RowGroups() {
		for i, cc := range group.ColumnChunks() {
			c := &f.columns[i]
			before := len(c.values)
			if err := readColumn(cc, func(v parquet.Value) error {
				x, err := goValue(v, &meta.Schema[i+1])
				c.values = append(c.values, x)
				return err
			}); err != nil {
				return nil, fmt.Errorf("column %q: %w", c.name, err)
			}
			if int64(len(c.values)-before) != group.NumRows() {
				return nil, fmt.Errorf("column %q: %d values in a row group of %d rows", c.name, len(c.values)-before, group.NumRows())
			}
		}
	}
	for _, c := range f.columns {
		if len(c.values) != f.rows {
			return nil, fmt.Errorf("column %q: %d values for %d rows", c.name, len(c.values), f.rows)
		}
	}
	return f, nil
}

func readColumn(cc parquet.ColumnChunk, each func(parquet.Value) error) error {
	pages := cc.Pages()
	defer pages.Close()
	buf := make([]parquet.Value, max(1, min(1024, cc.NumValues())))
	for {
		p, err := pages.ReadPage()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		for r, more := p.Values(), true; more; {
			n, err := r.ReadValues(buf)
			for _, v := range buf[:n] {
				if err := each(v); err != nil {
					return err
				}
			}
			if err != nil && err != io.EOF {
				return err
			}
			more = n > 0 && err == nil
		}
		parquet.Release(p)
	}
}

// columnType returns the API's type for a leaf, by what its clients are known to
// send. The annotation is read from the footer, for the library invents one for
// bare integers.
func columnType(s *format.SchemaElement) (string, error) {
	switch l := s.LogicalType.Value.(type) {
	case *format.StringType:
		return "STRING", nil
	case *format.DateType:
		return "DATE", nil
	case *format.TimeType:
		return "TIME", nil
	case *format.TimestampType:
		return "DATETIME", nil
	case *format.DecimalType:
		return "", errors.New("DECIMAL is not supported")
	case nil, *format.IntType:
	default:
		return "", fmt.Errorf("%T is not supported", l)
	}
	switch s.Type.V {
	case format.Boolean:
		return "BOOLEAN", nil
	case format.Int32, format.Int64:
		return "INTEGER", nil
	case format.Int96:
		return "DATETIME", nil
	case format.Float, format.Double:
		return "FLOAT", nil
	}
	return "", errors.New("BYTE_ARRAY without STRING is not supported")
}

// goValue returns a value as the table keeps it.
func goValue(v parquet.Value, s *format.SchemaElement) (any, error) {
	if v.IsNull() {
		return nil, nil
	}
	switch l := s.LogicalType.Value.(type) {
	case *format.StringType:
		if !utf8.Valid(v.ByteArray()) {
			return nil, fmt.Errorf("a STRING that is not UTF-8: %s", base64.StdEncoding.EncodeToString(v.ByteArray()))
		}
		return string(v.ByteArray()), nil
	case *format.DateType:
		return time.Unix(int64(v.Int32())*86400, 0).UTC().Format("2006-01-02"), nil
	case *format.TimeType:
		return time.UnixMilli(int64(v.Int32())).UTC().Format("15:04:05.000"), nil
	case *format.TimestampType:
		t := time.UnixMilli(v.Int64())
		if _, micros := l.Unit.Value.(*format.MicroSeconds); micros {
			t = time.UnixMicro(v.Int64())
		}
		return t.UTC().Format(dateTimeForm), nil
	}
	switch v.Kind() {
	case parquet.Boolean:
		return v.Boolean(), nil
	case parquet.Int32:
		return int64(v.Int32()), nil
	case parquet.Int64:
		return v.Int64(), nil
	case parquet.Int96:
		i := v.Int96()
		days := int64(i[2]) - 2_440_588
		return time.Unix(days*86400, int64(uint64(i[1])<<32|uint64(i[0]))).UTC().Format(dateTimeForm), nil
	case parquet.Float:
		return float64(v.Float()), nil
	}
	return v.Double(), nil
}

const dateTimeForm = "2006-01-02T15:04:05.000000"
