package emulator

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// csvOptions is the API's CSVParsingOptions. Its defaults are not documented; the ones
// here are of RFC 4180.
type csvOptions struct {
	CharSet                 string             `json:"charSet,omitempty"`
	SeparatorSequence       string             `json:"separatorSequence,omitempty"`
	QuoteSequence           string             `json:"quoteSequence,omitempty"`
	EscapeSequence          string             `json:"escapeSequence,omitempty"`
	LineEnding              string             `json:"lineEnding,omitempty"`
	DecimalSeparator        string             `json:"decimalSeparator,omitempty"`
	ThousandSeparator       string             `json:"thousandSeparator,omitempty"`
	DateFormat              string             `json:"dateFormat,omitempty"`
	AdditionalColumnOptions []csvColumnOptions `json:"additionalColumnOptions,omitempty"`
}

type csvColumnOptions struct {
	ColumnName         string `json:"columnName,omitempty"`
	DateFormat         string `json:"dateFormat,omitempty"`
	DecimalSeparator   string `json:"decimalSeparator,omitempty"`
	ThousandsSeparator string `json:"thousandsSeparator,omitempty"`
}

// readCSV reads and validates a CSV file by the options that its job declares. Columns
// have the types that the job's tableSchema declares, else STRING.
func (d *document) readCSV(data []byte) (*file, error) {
	o := &d.CSVParsingOptions
	if !strings.EqualFold(cmp.Or(o.CharSet, "UTF-8"), "UTF-8") {
		return nil, fmt.Errorf("charSet %q: this emulator reads UTF-8 only", o.CharSet)
	}
	quote := cmp.Or(o.QuoteSequence, `"`)
	in := csvReader{rest: data, line: 1,
		separator: cmp.Or(o.SeparatorSequence, ","), quote: quote, escape: cmp.Or(o.EscapeSequence, quote), ending: cmp.Or(o.LineEnding, "\n")}
	head, err := in.row()
	if err != nil || len(head) == 0 {
		return nil, errors.Join(errors.New("no header line"), err)
	}
	f := &file{}
	forms := make([]csvForm, len(head))
	for i, h := range head {
		if f.index(h.text) >= 0 {
			return nil, fmt.Errorf("column %q is there twice", h.text)
		}
		f.columns = append(f.columns, fileColumn{name: h.text, typ: d.columnType(h.text)})
		forms[i] = o.form(h.text)
	}
	for {
		line := in.line
		row, err := in.row()
		if err != nil {
			return nil, err
		}
		if row == nil {
			return f, nil
		}
		if len(row) != len(head) {
			return nil, fmt.Errorf("line %d: %d values under %d columns", line, len(row), len(head))
		}
		f.rows++
		for i := range row {
			c := &f.columns[i]
			v, err := forms[i].value(c.typ, row[i])
			if err != nil {
				return nil, fmt.Errorf("line %d, column %q: %w", line, c.name, err)
			}
			c.values = append(c.values, v)
		}
	}
}

func (d *document) columnType(name string) string {
	if d.TableSchema != nil {
		for _, c := range d.TableSchema.Columns {
			if strings.EqualFold(c.ColumnName, name) {
				return c.ColumnType
			}
		}
	}
	return "STRING"
}

// csvReader cuts a file into values. A lone line ending is no row.
type csvReader struct {
	rest                             []byte
	line                             int // of the next row
	separator, quote, escape, ending string
}

type csvValue struct {
	text   string
	quoted bool
}

// row returns the next row, nil at the end.
func (r *csvReader) row() (row []csvValue, err error) {
	for r.take(r.ending) {
		r.line++
	}
	if len(r.rest) == 0 {
		return nil, nil
	}
	start := r.line
	for {
		v, err := r.value()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", start, err)
		}
		row = append(row, v)
		switch {
		case r.take(r.separator):
		case r.take(r.ending), len(r.rest) == 0:
			r.line++
			return row, nil
		default:
			return nil, fmt.Errorf("line %d: text behind a closing quote", start)
		}
	}
}

// take passes a sequence if it comes next.
func (r *csvReader) take(sequence string) (taken bool) {
	r.rest, taken = bytes.CutPrefix(r.rest, []byte(sequence))
	return taken
}

func (r *csvReader) value() (v csvValue, err error) {
	var b []byte
	next := func() {
		b, r.rest = append(b, r.rest[0]), r.rest[1:]
	}
	if !r.take(r.quote) {
		for len(r.rest) > 0 && !bytes.HasPrefix(r.rest, []byte(r.separator)) && !bytes.HasPrefix(r.rest, []byte(r.ending)) {
			if bytes.HasPrefix(r.rest, []byte(r.quote)) {
				return v, errors.New("a quote in a value without quotes")
			}
			next()
		}
		return csvValue{string(b), false}, nil
	}
	for {
		switch {
		case len(r.rest) == 0:
			return v, errors.New("a quote that is not closed")
		case r.take(r.escape + r.quote):
			b = append(b, r.quote...)
		case r.escape != r.quote && r.take(r.escape+r.escape):
			b = append(b, r.escape...)
		case r.take(r.quote):
			return csvValue{string(b), true}, nil
		default:
			if bytes.HasPrefix(r.rest, []byte(r.ending)) {
				r.line++
			}
			next()
		}
	}
}

// csvForm is how the values of a column are written.
type csvForm struct{ decimal, thousand, date string }

func (o *csvOptions) form(column string) csvForm {
	f := csvForm{cmp.Or(o.DecimalSeparator, "."), o.ThousandSeparator, o.DateFormat}
	for _, c := range o.AdditionalColumnOptions {
		if strings.EqualFold(c.ColumnName, column) {
			f = csvForm{cmp.Or(c.DecimalSeparator, f.decimal), cmp.Or(c.ThousandsSeparator, f.thousand), cmp.Or(c.DateFormat, f.date)}
		}
	}
	return f
}

// value returns a value as the table keeps it: without quotes, nothing is NULL.
func (f csvForm) value(typ string, v csvValue) (any, error) {
	if !v.quoted && v.text == "" {
		return nil, nil
	}
	number := v.text
	if f.thousand != "" {
		number = strings.ReplaceAll(number, f.thousand, "")
	}
	switch typ {
	case "STRING":
		if !utf8.ValidString(v.text) {
			return nil, errors.New("a STRING that is not UTF-8")
		}
		return v.text, nil
	case "INTEGER":
		return strconv.ParseInt(number, 10, 64)
	case "FLOAT":
		return strconv.ParseFloat(strings.Replace(number, f.decimal, ".", 1), 64)
	case "BOOLEAN":
		if v.text != "true" && v.text != "false" {
			return nil, fmt.Errorf("%.40q is neither true nor false", v.text)
		}
		return v.text == "true", nil
	}
	layout := javaTime.Replace(f.date)
	t, err := time.Parse(layout, v.text)
	if err != nil || t.Format(layout) != v.text {
		return nil, fmt.Errorf("%.40q is not a %s of the form %q", v.text, typ, f.date)
	}
	switch typ {
	case "DATE":
		return t.Format("2006-01-02"), nil
	case "TIME":
		return strings.TrimSuffix(t.Format("15:04:05.000000"), "000"), nil
	}
	return t.Format(dateTimeForm), nil
}

// javaTime turns patterns of Java's DateTimeFormatter into layouts of package time.
var javaTime = strings.NewReplacer("yyyy", "2006", "MM", "01", "dd", "02", "HH", "15", "mm", "04", "ss", "05",
	"SSSSSS", "000000", "SSS", "000", "'T'", "T")
