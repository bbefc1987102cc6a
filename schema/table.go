package schema

import (
	"fmt"
	"slices"
)

// Table is what is known of a target table: its columns in the order in which
// they appeared. A Table is never changed; Merge makes a new one.
type Table struct {
	Name    string
	Columns []Column
	// Version grows by one with every change of Columns that readers of the
	// target can see.
	Version int
	// Loose has a column whose type changes to one that does not include the old one
	// become a STRING, which holds the values of both; else that is a conflict. Columns of
	// the key keep their types.
	Loose bool
}

// Keys returns the names of the key columns in table order.
func (t *Table) Keys() []string {
	var keys []string
	for _, c := range t.Columns {
		if c.Key {
			keys = append(keys, c.Name)
		}
	}
	return keys
}

// Typed reports whether some column has a kind, so that a file can be made of the table.
func (t *Table) Typed() bool {
	return slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Type.Kind != Unknown })
}

// Index returns the position of the named column, or -1.
func (t *Table) Index(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// ConflictError says that rows cannot join their table: the key changed, or a
// column's type changed to one that does not include the old one.
type ConflictError struct {
	Table, Column string
	Reason        string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("table %s, column %s: %s", e.Table, e.Column, e.Reason)
}

// Merge returns the table that can hold what t holds and rows as well: the union
// of the columns, each with the wider of two types; INTEGER and BOOLEAN share their 0 and
// 1 in a column of whichever it is. It returns t itself if nothing changes. grown tells
// whether batches under t must be sealed first: where a column was added or changed its
// kind. (A column that only had NULLs gets its kind without that: no file under t has
// shown it.)
//
// The error is a *ConflictError; then the rows must not reach the target.
func (t *Table) Merge(rows *Rows) (merged *Table, grown bool, err error) {
	cols, changed := t.Columns, false
	own := func() {
		if !changed {
			cols, changed = append([]Column(nil), t.Columns...), true
		}
	}
	for i := range rows.Columns {
		c := &rows.Columns[i]
		at := t.Index(c.Name)
		if at < 0 {
			if c.Key && len(t.Columns) > 0 {
				return nil, false, &ConflictError{t.Name, c.Name, "it became part of the key; a table's key cannot change while it is loaded"}
			}
			own()
			cols = append(cols, *c)
			grown = grown || c.Type.Kind != Unknown
			continue
		}
		have := t.Columns[at]
		if have.Key != c.Key {
			return nil, false, &ConflictError{t.Name, c.Name, "it joined or left the key; a table's key cannot change while it is loaded"}
		}
		wide, ok := Widen(have.Type, c.Type)
		if ok && wide.Kind == Float && c.Type.Kind == Integer && !exactFloats(&rows.Values[i]) {
			wide.Kind, ok = String, wide.Inferred
		}
		if !ok && !have.Key && sharesFlags(have.Type.Kind, &rows.Values[i]) {
			wide, ok = have.Type, true
		}
		if !ok && t.Loose && !have.Key {
			wide, ok = Type{Kind: String, Longest: max(have.Type.Length, have.Type.Longest, c.Type.Length, c.Type.Longest)}, true
		}
		if !ok || (have.Key && have.Type.Kind != wide.Kind && have.Type.Kind != Unknown) {
			return nil, false, &ConflictError{t.Name, c.Name,
				fmt.Sprintf("its type changed from %v to %v, which does not include the old one%s", have.Type.Kind, c.Type.Kind, flipped(have.Type.Kind, c.Type.Kind))}
		}
		if wide != have.Type {
			own()
			cols[at].Type = wide
			grown = grown || (have.Type.Kind != wide.Kind && have.Type.Kind != Unknown)
		}
	}
	for i := range t.Columns {
		if t.Columns[i].Key && !hasKey(rows.Columns, t.Columns[i].Name) {
			return nil, false, &ConflictError{t.Name, t.Columns[i].Name, "it left the key; a table's key cannot change while it is loaded"}
		}
	}
	if !changed {
		return t, false, nil
	}
	merged = &Table{Name: t.Name, Columns: cols, Version: t.Version, Loose: t.Loose}
	if grown {
		merged.Version++
	}
	return merged, grown, nil
}

// sharesFlags reports whether a column of INTEGER or BOOLEAN holds values of the other: those
// that are 0 and 1. Debezium writes MySQL's BOOLEAN as both, by where it has a table's
// definition from; the target has the column as it was first, and that stays.
func sharesFlags(kind Kind, v *Values) bool {
	switch {
	case kind == Integer:
		return v.Kind == Boolean
	case kind != Boolean || v.Kind != Integer:
		return false
	}
	for i, s := range v.States {
		if s == Present && v.Nums[i]>>1 != 0 {
			return false
		}
	}
	return true
}

// flipped says what makes such a column one where it cannot be shared.
func flipped(a, b Kind) string {
	if min(a, b) != Integer || max(a, b) != Boolean {
		return ""
	}
	return "; where it is MySQL's BOOLEAN, which comes as both, the connector's TinyIntOneToBooleanConverter makes it one"
}

func hasKey(cols []Column, name string) bool {
	for i := range cols {
		if cols[i].Name == name {
			return cols[i].Key
		}
	}
	return false
}

// Widen returns the narrowest type that holds every value of a and b, and
// whether there is one. INTEGER widens to FLOAT, as when a database column does;
// types that were both inferred from plain JSON also widen to STRING.
func Widen(a, b Type) (Type, bool) {
	w := Type{Kind: a.Kind, Length: max(a.Length, b.Length), Longest: max(a.Longest, b.Longest), Scale: max(a.Scale, b.Scale), Inferred: a.Inferred && b.Inferred}
	switch {
	case a.Kind == b.Kind:
		if a.Kind == String && (a.Length == 0 || b.Length == 0) {
			w.Longest, w.Length = max(w.Longest, w.Length), 0 // unknown, hence not bounded by the other
		}
		w.Bytes, w.Nested = a.Bytes && b.Bytes, a.Nested.widen(b.Nested)
		switch {
		case a.Precision > 0 && b.Precision > 0:
			w.Precision = max(a.Precision-a.Scale, b.Precision-b.Scale) + w.Scale
		case a.Kind == String:
			w.Scale = 0 // one of them is any text
		}
		return w, true
	case a.Kind == Unknown:
		return b, true
	case b.Kind == Unknown:
		return a, true
	case a.Kind == Integer && b.Kind == Float, a.Kind == Float && b.Kind == Integer:
		w.Kind = Float
		return w, true
	case w.Inferred:
		return Type{Kind: String, Longest: w.Longest, Inferred: true}, true
	}
	return Type{}, false
}

// ExactFloat reports whether a double holds n with all its digits.
func ExactFloat(n int64) bool { return n >= -1<<53 && n <= 1<<53 }

func exactFloats(v *Values) bool {
	for i, s := range v.States {
		if s == Present && !ExactFloat(v.Nums[i]) {
			return false
		}
	}
	return true
}
