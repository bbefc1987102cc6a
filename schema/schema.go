// Package schema says what a change is and what a table looks like.
//
// A change is one row written or deleted; changes of one table travel together
// as Rows, column by column, so that no value is boxed on its way from a Kafka
// record to a Parquet page. The packages below this one turn wire formats into
// Rows; package batcher folds Rows into batches.
//
// Nothing here is safe for concurrent use unless it says so: every value is
// owned by one goroutine at a time and handed over.
package schema

import (
	"cmp"
	"fmt"
)

// Kind is the neutral type of a column. The kinds are those that the targets
// know; every source type maps to one of them (see package debezium).
type Kind uint8

const (
	// Unknown is the kind of a column of which only NULL has been seen, which
	// happens only where types are inferred. Such a column is not sent.
	Unknown  Kind = iota
	Integer       // 64-bit signed
	Float         // IEEE 754 double; Values.Nums holds its bits
	Boolean       // 0 or 1
	String        // UTF-8
	Date          // days since 1970-01-01
	Time          // microseconds since midnight, 0 ≤ t < 24 h
	DateTime      // microseconds since 1970-01-01T00:00:00, UTC or wall clock
)

var kindNames = [...]string{"UNKNOWN", "INTEGER", "FLOAT", "BOOLEAN", "STRING", "DATE", "TIME", "DATETIME"}

// String returns the name that the Data Push API has for the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Type is the type of a column.
type Type struct {
	Kind Kind
	// Length is the declared length of a String in characters, 0 if none is known.
	Length int
	// Longest is what a String must be declared with at least, whatever Length says or
	// what stands in for it: a longer value has been seen, or a length was known once.
	Longest int
	// Precision and Scale are the declared digits of a decimal, and how many of them
	// stand behind the point. A Float that was a decimal has a Scale only; a String
	// with a Precision is the text of a decimal that fits it.
	Precision, Scale int
	// Bytes marks a String whose texts are all of bytes, in the form that the decoder was
	// told to give them.
	Bytes bool
	// Nested tells a String that holds JSON which its source declares; nil: any text.
	Nested *Nested
	// Inferred marks a type that was read off values instead of a schema. It may
	// widen when a later value does not fit; it never narrows.
	Inferred bool
}

// Declared is the length that a column of a String is declared with. fallback is that of one
// whose source tells none.
func (t *Type) Declared(fallback int) int { return max(cmp.Or(t.Length, fallback), t.Longest) }

// Column is a column of a table.
type Column struct {
	Name string
	Type Type
	Key  bool
	// Stamp marks a DateTime column that holds when a batch was sealed, in its written rows.
	Stamp bool
	// Rest marks a column of no kind, which is not at the target: its states are those of a
	// row's values in all columns that were not known yet when the row was read.
	Rest bool
}

// Op is what a change does to its row.
type Op uint8

const (
	Upsert   Op = iota // insert the row or replace it whole
	Delete             // remove the row; only its key columns are set
	Truncate           // remove all rows; it stands alone in its Rows and has no columns
)

var opNames = [...]string{"upsert", "delete", "truncate"}

func (o Op) String() string { return opNames[o] }
