package feldera

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sluice-cdc/sluice/push"
)

// parseErrors is what the pipeline says of rows that it does not take: at most the last
// 1000 of a request's (crates/adapters/src/transport/http/input.rs).
type parseErrors struct {
	Errors []rowError `json:"errors"`
	N      int        `json:"num_errors"`
}

type rowError struct {
	Words string `json:"description"`
	Field string `json:"field"`
	Text  string `json:"invalid_text"` // the row as it was sent, of an event that is none the event
}

func rowErrors(details []byte) *parseErrors {
	e := &parseErrors{}
	if json.Unmarshal(details, e) != nil {
		return &parseErrors{}
	}
	return e
}

// String says how many rows of a request the pipeline does not take, for which columns, and
// what is wrong with the first.
func (e *parseErrors) String() string {
	var columns []string
	seen := map[string]bool{}
	for _, r := range e.Errors {
		if r.Field != "" && !seen[r.Field] && len(columns) < 10 {
			seen[r.Field] = true
			columns = append(columns, r.Field)
		}
	}
	text := "rows that the pipeline does not take"
	if e.N > 0 {
		text = fmt.Sprintf("%d %s", e.N, text)
	}
	if len(columns) > 0 {
		text += ", for their columns " + strings.Join(columns, ", ")
	}
	if len(e.Errors) > 0 {
		if words := e.Errors[0].words(); words != "" {
			text += "; the first: " + words
		}
	}
	return text
}

// quotes reports whether the pipeline refuses rows, and quotes so much of them that which are
// not known.
func quotes(err error) bool { return refusalOf(err).quotes }

// refused adds to the error of a request which of its rows the pipeline does not take. It
// quotes them as they were sent. What it says of the request as a whole names none.
func (b body) refused(err error) error {
	var e *push.Error
	var r *refusal
	if !errors.As(err, &e) || !errors.As(err, &r) || r.rows == nil && !r.quotes && !large(err) {
		return err
	}
	said := map[string]*rowError{}
	if r.rows != nil {
		for i := range r.rows.Errors {
			said[r.rows.Errors[i].Text] = &r.rows.Errors[i]
		}
	}
	refused := &push.Refused{}
	events := split(b.data)
	for i, event := range events {
		// {"insert":{…}}, and what is quoted is the inner object.
		told := said[string(event[bytes.IndexByte(event, ':')+1:len(event)-1])]
		if r.rows == nil && len(events) == 1 {
			told = &rowError{} // it can be no other
		}
		if told != nil && i < len(b.records) && b.records[i].Offset >= 0 {
			row := push.RefusedRow{Record: b.records[i], Column: told.Field, Words: told.words()}
			if large(err) {
				row.Words = "it alone is too large for a request"
			}
			refused.Rows = append(refused.Rows, row)
		}
	}
	if len(refused.Rows) > 0 {
		e.Err = refused
	}
	return err
}

// words is what the pipeline says of a row without what it quotes of it: texts in quotes,
// numbers, and words that are in the row's values.
func (e *rowError) words() string {
	var values map[string]any
	if json.Unmarshal([]byte(e.Text), &values) != nil {
		return "" // it is no row, and there is no telling what of it is quoted
	}
	var all strings.Builder
	for _, v := range values {
		fmt.Fprintln(&all, v)
	}
	known := map[string]bool{}
	for _, w := range strings.FieldsFunc(all.String(), func(r rune) bool { return !push.Letter(r) }) {
		known[w] = true
	}
	return push.Clip(push.Words(e.Words, func(word string, quoted bool) bool {
		return !quoted && !known[word] && !push.Numbered(word)
	}))
}
