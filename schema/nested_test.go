package schema

import (
	"reflect"
	"testing"
)

// TestWidenNested: what two texts of JSON can both hold; a type that includes the other is
// itself, so that a table which has it does not change.
func TestWidenNested(t *testing.T) {
	text, whole := Type{Kind: String}, Type{Kind: Integer}
	decimal := func(precision, scale int) Type { return Type{Kind: String, Precision: precision, Scale: scale} }
	array := func(of Type) *Nested { return &Nested{Elem: &of} }
	row := func(cols ...Column) *Nested { return &Nested{Fields: cols} }
	anything := &Nested{}
	for _, tc := range []struct{ a, b, want *Nested }{
		{nil, array(whole), nil},
		{array(whole), nil, nil},
		{array(whole), array(whole), array(whole)},
		{array(decimal(10, 2)), array(decimal(8, 4)), array(decimal(12, 4))},
		{array(Type{Kind: String, Bytes: true}), array(text), array(text)},
		{array(Type{Kind: String, Nested: array(whole)}), array(Type{Kind: String, Nested: array(text)}), array(Type{Kind: String, Nested: anything})},
		{array(whole), array(text), anything},
		{array(whole), &Nested{Elem: &whole, Map: true}, anything},
		{array(whole), row(Column{Name: "a", Type: whole}), anything},
		{array(whole), anything, anything},
		{row(Column{Name: "a", Type: whole}), row(Column{Name: "b", Type: text}), row(Column{Name: "a", Type: whole}, Column{Name: "b", Type: text})},
		{row(Column{Name: "a", Type: whole}, Column{Name: "b", Type: text}), row(Column{Name: "b", Type: text}), row(Column{Name: "a", Type: whole}, Column{Name: "b", Type: text})},
		{row(Column{Name: "a", Type: whole}), row(Column{Name: "a", Type: text}), anything},
	} {
		a := Type{Kind: String, Nested: tc.a}
		got, ok := Widen(a, Type{Kind: String, Nested: tc.b})
		if !ok || !reflect.DeepEqual(got.Nested, tc.want) {
			t.Errorf("%+v and %+v: %+v, want %+v", tc.a, tc.b, got.Nested, tc.want)
		}
		if again, _ := Widen(got, Type{Kind: String, Nested: tc.b}); again != got {
			t.Errorf("%+v and %+v: it is another type each time", tc.a, tc.b)
		}
	}
	if got, _ := Widen(Type{Kind: String, Bytes: true}, text); got.Bytes {
		t.Error("any text is taken for that of bytes")
	}
	if got, _ := Widen(Type{Kind: String, Bytes: true}, Type{}); !got.Bytes {
		t.Error("a NULL makes any text of bytes")
	}
}
