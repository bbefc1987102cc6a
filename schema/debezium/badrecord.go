package debezium

import (
	"fmt"
)

// BadRecord is the error of a record that cannot be applied. The record has left
// no row in any run and no inferred type; columns that its schema declares may stay.
type BadRecord struct {
	Table  string // "" if neither the record nor its topic tells
	Column string // "" if no single column is at fault
	// OfTable says that it is not this record alone that cannot be applied: what
	// follows fails as well, and putting single records aside would lose the table
	// bit by bit.
	OfTable bool
	Remedy  string // what to do, "" if that depends on the record
	Err     error
}

// fault is an error that a table has, not one of its records.
type fault struct{ text, remedy string }

func (f *fault) Error() string { return f.text }

func (e *BadRecord) Error() string {
	switch {
	case e.Table == "":
		return e.Err.Error()
	case e.Column == "":
		return fmt.Sprintf("table %s: %v", e.Table, e.Err)
	}
	return fmt.Sprintf("table %s, column %s: %v", e.Table, e.Column, e.Err)
}

func (e *BadRecord) Unwrap() error { return e.Err }
