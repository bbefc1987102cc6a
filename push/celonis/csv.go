package celonis

import (
	"slices"

	"github.com/sluice-cdc/sluice/schema"
)

// csvDocument is the API's CSVParsingOptions, which says how to read a job's files. Only
// the names of its members are documented; what they mean is inferred from these.
type csvDocument struct {
	CharSet           string              `json:"charSet"`
	SeparatorSequence string              `json:"separatorSequence"`
	QuoteSequence     string              `json:"quoteSequence"`
	EscapeSequence    string              `json:"escapeSequence"` // in front of a quote
	LineEnding        string              `json:"lineEnding"`
	DecimalSeparator  string              `json:"decimalSeparator"`
	ThousandSeparator string              `json:"thousandSeparator"`
	DateFormat        string              `json:"dateFormat"`
	ColumnOptions     []csvColumnDocument `json:"additionalColumnOptions,omitempty"`
}

type csvColumnDocument struct {
	ColumnName string `json:"columnName"`
	DateFormat string `json:"dateFormat"`
}

// csvOptions declares the dialect of package schema for the files of a job. Every member
// is sent, so that none falls back to a default that is not known: numbers have no
// thousand separator, but the default for it could be what they have for a point. The
// file's dateFormat is that of a DATETIME; each column of dates or times has its own.
func (s *Sink) csvOptions(t *schema.Table, without []string) *csvDocument {
	quote := string(schema.CSVQuote)
	d := &csvDocument{
		CharSet: "UTF-8", SeparatorSequence: string(schema.CSVSeparator), LineEnding: string(schema.CSVLineEnding),
		QuoteSequence: quote, EscapeSequence: quote, DecimalSeparator: ".", ThousandSeparator: ",",
	}
	_, d.DateFormat = schema.CSVTime(schema.DateTime, s.opt.Micros)
	for _, c := range t.Columns {
		_, pattern := schema.CSVTime(c.Type.Kind, s.opt.Micros)
		if pattern != "" && !slices.Contains(without, c.Name) {
			d.ColumnOptions = append(d.ColumnOptions, csvColumnDocument{c.Name, pattern})
		}
	}
	return d
}
