package schema

// CSV chunks follow RFC 4180 but for the line end, which is a lone line feed: a header
// line, then a line a row. A STRING is always in quotes, a quote in it doubled, and
// nothing else is escaped, so that separators, line ends, backslashes, blanks at either
// end and texts like \N are what they are. NULL is nothing at all between two
// separators, the empty text a pair of quotes.
//
// The Data Push API documents the names of its csvParsingOptions and no more: none says
// how NULL is written, and what a reader makes of the two is inferred. This form is the
// only one within those options that keeps them apart, and a reader that takes both for
// NULL, or for the empty text, has no other form that would tell it more.
const (
	CSVSeparator  = ','
	CSVQuote      = '"'
	CSVLineEnding = '\n'
)

// CSVTime returns how CSV chunks write a DATE, TIME or DATETIME, to the millisecond or
// the microsecond: as package time has it, and as a pattern of Java's
// (https://docs.oracle.com/javase/8/docs/api/java/time/format/DateTimeFormatter.html),
// which the API's dateFormat is inferred to be. Both are "" for other kinds.
func CSVTime(k Kind, micros bool) (layout, pattern string) {
	const date, clock = "2006-01-02", "15:04:05.000"
	const dateJava, clockJava = "yyyy-MM-dd", "HH:mm:ss.SSS"
	switch k {
	case Date:
		return date, dateJava
	case Time:
		layout, pattern = clock, clockJava
	case DateTime:
		layout, pattern = date+" "+clock, dateJava+" "+clockJava
	default:
		return "", ""
	}
	if micros {
		layout, pattern = layout+"000", pattern+"SSS"
	}
	return layout, pattern
}
