package debezium

import (
	"fmt"
	"slices"
)

// unfolding counts the types that the columns of a row are made of. A schema says a type once
// and names it wherever else it is: a hundred words can hold 2^40 types, or be without end.
type unfolding struct{ column, all int }

const (
	maxUnfolded  = 10_000  // types in a column
	maxUnfolding = 100_000 // in all columns: leaving one out helps the others, and many cost no more
	maxNesting   = 32      // types inside of each other
)

// enter counts a type that is within those of in, from the column's own on. If it is not to
// be followed, it returns what takes its place, which refuses the column.
func enter[T comparable](u *unfolding, t T, in []T) (instead connectSchema, ok bool) {
	if len(in) == 0 { // a column of a plain type is no more than the schema says
		u.column = 0
		return connectSchema{}, true
	}
	u.column, u.all = u.column+1, u.all+1
	switch {
	case len(in) > maxNesting || slices.Contains(in, t):
		return connectSchema{Type: "nested without end"}, false
	case u.column > maxUnfolded || u.all > maxUnfolding:
		return connectSchema{Type: fmt.Sprintf("more than %d types", maxUnfolded)}, false
	}
	return connectSchema{}, true
}
