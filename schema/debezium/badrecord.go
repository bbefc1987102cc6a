package debezium

import (
	"errors"
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
	Reason  Reason // the class of what is wrong
	Remedy  string // what to do, "" if that depends on the record
	Err     error
}

// Reason is the class of a bad record, by how far it came.
type Reason uint8

const (
	Unreadable  Reason = iota // its bytes are not what they should be, or their schema is not
	NoEvent                   // it is no change event
	TableMisfit               // it does not fit its table: no key, another source, an order that is not there
	ValueMisfit               // its row does not fit the table's columns
	Refused                   // its row is one that the target does not take
	reasons
)

var reasonNames = [reasons]string{"unreadable", "event", "table", "value", "refused"}

func (r Reason) String() string { return reasonNames[r] }

// Reasons returns all there are.
func Reasons() []Reason { return []Reason{Unreadable, NoEvent, TableMisfit, ValueMisfit, Refused} }

// reason is the class of an error: bytes that are not what they say count as unreadable,
// however far in they are met.
func (d *Decoder) reason(err error) Reason {
	for _, broken := range []error{errSyntax, errDepth, errAvro, errProtobuf} {
		if errors.Is(err, broken) {
			return Unreadable
		}
	}
	return d.stage
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
