package schema

import "reflect"

// Nested is what the JSON of a String holds, as its source declares it: an array or a map of
// Elem, or a struct of Fields; none of them is JSON of any form. Within it dates and times
// are texts in ISO 8601, decimals numbers, and bytes texts. It is never changed.
type Nested struct {
	Elem   *Type
	Map    bool // an object, whose names are any
	Fields []Column
}

// widen returns what holds all JSON of a and b, nil if that is any text. It is a itself if
// nothing changes.
func (a *Nested) widen(b *Nested) *Nested {
	if a == nil || b == nil {
		return nil
	}
	if a == b || reflect.DeepEqual(a, b) {
		return a
	}
	var w *Nested
	switch {
	case a.Elem != nil && b.Elem != nil && a.Map == b.Map:
		if t, ok := Widen(*a.Elem, *b.Elem); ok {
			w = &Nested{Elem: &t, Map: a.Map}
		}
	case a.Fields != nil && b.Fields != nil:
		w = a.union(b)
	}
	if w == nil {
		w = &Nested{}
	}
	if reflect.DeepEqual(a, w) {
		return a
	}
	return w
}

// union returns a struct that has the fields of both, nil if one of them has two types.
func (a *Nested) union(b *Nested) *Nested {
	all := Table{Columns: append([]Column(nil), a.Fields...)}
	for _, f := range b.Fields {
		at := all.Index(f.Name)
		if at < 0 {
			all.Columns = append(all.Columns, f)
			continue
		}
		t, ok := Widen(all.Columns[at].Type, f.Type)
		if !ok {
			return nil
		}
		all.Columns[at].Type = t
	}
	return &Nested{Fields: all.Columns}
}
