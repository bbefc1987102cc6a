package batcher

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// JSONEncoder writes batches as files of one JSON array each, whose elements are
// {"insert":{…}} with all columns and {"delete":{…}} with those of the key: Feldera's
// insert_delete (https://docs.feldera.com/formats/json/). A column that an insert leaves out gets
// its DEFAULT there, so that NULL is written also where no other value has told a type. It is a
// set of choices; it may be used concurrently.
type JSONEncoder struct {
	MaxChunkRows  int // of a file; 0: no limit
	MaxChunkBytes int // of a file; a file has at least one row
	// Form says how a column stands in the files, and the name of the type that the target
	// has for it; nil: JSONPlain everywhere. It is not asked of a column of kind Unknown, for
	// NULL has one form only.
	Form func(table string, c *schema.Column) (form JSONForm, target string)
}

// JSONForm is what the target's type makes of a column's values, where their own kind
// does not say it.
type JSONForm uint8

const (
	// JSONPlain is numbers, booleans and texts as they are; dates and times in ISO 8601, to
	// the microsecond, with a blank before the time and without a zone.
	JSONPlain JSONForm = iota
	// JSONText is a text, of whatever the value is.
	JSONText
	// JSONInline is the JSON that a text holds. A text that is none is an error.
	JSONInline
	// JSONZoned is a DATETIME with the zone of UTC.
	JSONZoned
	// JSONBase64 and JSONHex are the bytes that a text holds in that form, as an array of
	// numbers.
	JSONBase64
	JSONHex
	// JSONDouble and JSONReal are numbers for a float of 64 or 32 bits, which has all their
	// digits. One that it would round is an error.
	JSONDouble
	JSONReal
)

// Encode is Encoder.Encode for JSON. The cause of its error is an *Unfit where rows have
// values that JSON has no form for under their column's type.
func (e *JSONEncoder) Encode(b *Batch) ([]schema.Chunk, error) {
	return b.files(false, true, e.write)
}

// jsonColumn is a column and how its values are written.
type jsonColumn struct {
	*schema.Values
	name   string
	lead   string // what stands before a value: its name and a colon, in the first with a brace
	form   JSONForm
	target string // the name of the target's type, "" if it is not known
	raw    []byte // the bytes of the last text, for the next one to use their room
}

var (
	errJSONReplace = errors.New("the target has no means to replace a table's rows, so that a TRUNCATE cannot be sent")
	errJSONWithout = errors.New("the target has no means to keep single columns of a row as they are")

	// Of values.
	errNotJSON   = errors.New("a text that is not JSON")
	errNotBytes  = errors.New("a text that is not of bytes (look at SLUICE_BINARY)")
	errNotExact  = errors.New("a number that would be rounded")
	errNotNumber = errors.New("a FLOAT that is not a number (look at SLUICE_OUT_OF_RANGE)")
)

func (e *JSONEncoder) write(chunks []schema.Chunk, r *fileRows) ([]schema.Chunk, error) {
	switch {
	case r.replace:
		return nil, errJSONReplace
	case len(r.without) > 0:
		return nil, errJSONWithout
	case len(r.columns) == 0:
		return nil, errors.New("it has no columns")
	}
	columns := make([]jsonColumn, len(r.columns))
	for i, at := range r.columns {
		c := &r.Table.Columns[at]
		columns[i] = jsonColumn{Values: r.Values(at), name: c.Name}
		if e.Form != nil && c.Type.Kind != schema.Unknown {
			columns[i].form, columns[i].target = e.Form(r.Table.Name, c)
		}
		lead := []byte{','}
		if i == 0 {
			lead = []byte(`{"insert":{`)
			if r.op == schema.Delete {
				lead = []byte(`{"delete":{`)
			}
		}
		columns[i].lead = string(append(appendJSONString(lead, []byte(c.Name)), ':'))
	}
	out := []byte{'['}
	var unfit Unfit
	rows := 0
	var records []schema.Record
	file := func(data []byte) {
		c := r.chunk(rows, data)
		c.Records = records
		chunks, records = append(chunks, c), nil
	}
	r.each(func(row int) bool {
		start := len(out)
		for i := range columns {
			c := &columns[i]
			out = append(out, c.lead...)
			var err error
			if out, err = c.append(out, row); err != nil {
				out = out[:start]
				unfit.Rows = append(unfit.Rows, UnfitRow{r.Record(row), c.name, fmt.Sprintf("%v cannot be sent as %s", err, cmp.Or(c.target, "JSON"))})
				return len(unfit.Rows) < maxUnfit
			}
		}
		out = append(out, "}},"...)
		if rows > 0 && (len(out) > e.MaxChunkBytes || rows == e.MaxChunkRows) {
			next := append([]byte{'['}, out[start:]...)
			out[start-1] = ']'
			file(out[:start:start])
			out, rows = next, 0
		}
		rows++
		records = append(records, r.Record(row))
		return true
	})
	if len(unfit.Rows) > 0 {
		return nil, &unfit
	}
	if rows > 0 {
		out[len(out)-1] = ']'
		file(out)
	}
	return chunks, nil
}

// append appends the value of a row.
func (c *jsonColumn) append(dst []byte, row int) ([]byte, error) {
	if c.States[row] != schema.Present {
		return append(dst, "null"...), nil
	}
	if c.form == JSONText && c.Kind != schema.String {
		plain := jsonColumn{Values: c.Values}
		start := len(dst)
		dst, err := plain.append(append(dst, '"'), row)
		if err == nil && dst[start+1] != '"' {
			return append(dst, '"'), nil
		}
		return append(dst[:start], dst[start+1:]...), err // it was a text already
	}
	switch c.Kind {
	case schema.String:
		return c.appendText(dst, c.Bytes(row))
	case schema.Float:
		f := c.Float(row)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return dst, errNotNumber
		}
		if c.form == JSONReal && !isReal(f) {
			return dst, errNotExact
		}
		return strconv.AppendFloat(dst, f, 'g', -1, 64), nil
	case schema.Boolean:
		return strconv.AppendBool(dst, c.Nums[row] != 0), nil
	case schema.Date:
		year, month, day := time.Unix(c.Nums[row]*86400, 0).UTC().Date()
		return append(appendDate(append(dst, '"'), year, int(month), day), '"'), nil
	case schema.Time:
		return append(appendClock(append(dst, '"'), c.Nums[row]), '"'), nil
	case schema.DateTime:
		days := floorDiv(c.Nums[row], 86400e6)
		micros := c.Nums[row] - days*86400e6
		year, month, day := time.Unix(days*86400, 0).UTC().Date()
		dst = append(appendDate(append(dst, '"'), year, int(month), day), ' ')
		if c.form == JSONZoned {
			dst[len(dst)-1] = 'T'
			return append(appendClock(dst, micros), `Z"`...), nil
		}
		return append(appendClock(dst, micros), '"'), nil
	}
	n := c.Nums[row]
	if c.form == JSONDouble || c.form == JSONReal {
		f := float64(n)
		if f == 1<<63 || int64(f) != n || c.form == JSONReal && float64(float32(f)) != f { // 2⁶³ is no int64
			return dst, errNotExact
		}
	}
	return strconv.AppendInt(dst, n, 10), nil
}

// isReal reports whether a float of 32 bits has a number: as it is, or as the shortest text of
// one, which is what a source's float of that size comes as (schema/debezium).
func isReal(f float64) bool {
	short := float32(f)
	if float64(short) == f {
		return true
	}
	var text [32]byte
	back, err := strconv.ParseFloat(string(strconv.AppendFloat(text[:0], float64(short), 'g', -1, 32)), 64)
	return err == nil && back == f
}

func (c *jsonColumn) appendText(dst, text []byte) (_ []byte, err error) {
	switch c.form {
	case JSONInline:
		if !json.Valid(text) {
			return dst, errNotJSON
		}
		return append(dst, text...), nil
	case JSONBase64:
		c.raw, err = base64.StdEncoding.AppendDecode(c.raw[:0], text)
	case JSONHex:
		c.raw, err = hex.AppendDecode(c.raw[:0], text)
	default:
		return appendJSONString(dst, text), nil
	}
	if err != nil {
		return dst, errNotBytes
	}
	dst = append(dst, '[')
	for i, b := range c.raw {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(b), 10)
	}
	return append(dst, ']'), nil
}

// appendDate appends YYYY-MM-DD. A year that has not four digits is written whole, for
// the target to refuse.
func appendDate(dst []byte, year, month, day int) []byte {
	if year < 1000 || year > 9999 {
		return fmt.Appendf(dst, "%04d-%02d-%02d", year, month, day)
	}
	dst = strconv.AppendInt(dst, int64(year), 10)
	return append(dst, '-', digit(month/10), digit(month), '-', digit(day/10), digit(day))
}

// appendClock appends HH:MM:SS, and a fraction if there is one, of microseconds since
// midnight.
func appendClock(dst []byte, micros int64) []byte {
	s, f := int(micros/1e6), int(micros%1e6)
	h, m := s/3600, s/60%60
	dst = append(dst, digit(h/10), digit(h), ':', digit(m/10), digit(m), ':', digit(s%60/10), digit(s%60))
	if f == 0 {
		return dst
	}
	return append(dst, '.', digit(f/1e5), digit(f/1e4), digit(f/1000), digit(f/100), digit(f/10), digit(f))
}

func digit(n int) byte { return '0' + byte(n%10) }

// appendJSONString appends UTF-8 text in quotes, escaped as RFC 8259 asks and no further.
func appendJSONString(dst, text []byte) []byte {
	const hexDigits = "0123456789abcdef"
	dst = append(dst, '"')
	from := 0
	for i, b := range text {
		if b >= ' ' && b != '"' && b != '\\' {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
	}
	return append(append(dst, text[from:]...), '"')
}
