package protobuf

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

const text = `syntax = "proto3";
package p;
import "confluent/meta.proto";
import "other.proto";
message First { int32 a = 1; }
message M {
  int64 id = 1 [(confluent.field_meta) = {doc: "d", params: [{key: "scale", value: "2"}, {key: "connect.type", value: "int8"}]}];
  optional string name = 2;
  oneof one { string left = 3; int32 right = 4; }
  repeated int32 list = 5;
  map<string, int32> pairs = 6;
  q.Other other = 7;
  M self = 8;
  double d = 100;
  fixed32 x = 9;
  enum E { A = 0; B = 3; }
  E e = 10;
  message In { message Deep { bool b = 1; } }
}
`

var references = map[string]string{"other.proto": `syntax = "proto3"; package q; message Other { bytes raw = 1; }`}

func parse(t testing.TB) *File {
	f, err := Parse(text, references)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestParse(t *testing.T) {
	m := parse(t).Messages[1]
	want := []struct {
		name     string
		kind     protoreflect.Kind
		presence bool
		repeated bool
	}{
		{"id", protoreflect.Int64Kind, false, false}, {"name", protoreflect.StringKind, true, false}, {"left", protoreflect.StringKind, true, false},
		{"right", protoreflect.Int32Kind, true, false}, {"list", protoreflect.Int32Kind, false, true}, {"pairs", protoreflect.MessageKind, false, true},
		{"other", protoreflect.MessageKind, true, false}, {"self", protoreflect.MessageKind, true, false}, {"d", protoreflect.DoubleKind, false, false},
		{"x", protoreflect.Fixed32Kind, false, false}, {"e", protoreflect.EnumKind, false, false},
	}
	if m.Name != "p.M" || len(m.Fields) != len(want) {
		t.Fatalf("%s of %d fields", m.Name, len(m.Fields))
	}
	for i, w := range want {
		if f := m.Fields[i]; f.Name != w.name || f.Kind != w.kind || f.Presence != w.presence || f.Repeated != w.repeated {
			t.Errorf("%+v, want %+v", f, w)
		}
	}
	if p := m.Fields[0].Params; p["scale"] != "2" || p["connect.type"] != "int8" || len(p) != 2 || m.Fields[1].Params != nil {
		t.Errorf("parameters %v and %v", p, m.Fields[1].Params)
	}
	if m.Fields[7].Message != m || m.Fields[6].Message.Name != "q.Other" || m.Fields[10].Symbols[3] != "B" {
		t.Error("types of fields")
	}
	for _, tc := range []struct{ text, want string }{
		{`message {`, "protobuf schema: the schema:1:9"}, {`syntax = "proto3";`, "no message in it"}, {`syntax = "proto3"; import "gone.proto"; message M {}`, "gone.proto"},
		{`syntax = "proto3"; message M { Gone g = 1; }`, "Gone"},
	} {
		if _, err := Parse(tc.text, nil); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.text, err, tc.want)
		}
	}
}

// TestMessage: which message is meant, as Confluent's document draws it.
func TestMessage(t *testing.T) {
	f := parse(t)
	for _, tc := range []struct {
		data string
		want string // "" if there is none
	}{
		{"\x00rest", "p.First"}, {"\x02\x00rest", "p.First"}, {"\x02\x02rest", "p.M"}, {"\x04\x02\x02rest", "p.M.In"}, {"\x06\x02\x02\x00rest", "p.M.In.Deep"},
		{"\x02\x04rest", ""}, {"\x02\x01rest", ""}, {"\x01rest", ""}, {"", ""}, {"\x04\x02", ""}, {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01rest", ""},
	} {
		m, rest := f.Message([]byte(tc.data))
		switch {
		case m == nil && tc.want != "" || m != nil && m.Name != tc.want:
			t.Errorf("%x: %v, want %q", tc.data, m, tc.want)
		case m != nil && string(rest) != "rest":
			t.Errorf("%x: %q is left", tc.data, rest)
		}
	}
}

func TestSplit(t *testing.T) {
	m := parse(t).Messages[1]
	field := func(n protowire.Number, typ protowire.Type, value ...byte) []byte {
		return append(protowire.AppendTag(nil, n, typ), value...)
	}
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	left, right := field(3, protowire.BytesType, 1, 'l'), field(4, protowire.VarintType, 9)
	values := make([]Value, len(m.Fields))
	for _, tc := range []struct {
		name string
		data []byte
		at   int // the field that is looked at, -1 for bytes that are refused
		want Value
	}{
		{"the last of two", join(field(1, protowire.VarintType, 5), field(1, protowire.VarintType, 6)), 0, Value{Set: true, Number: 6}},
		{"any order", join(field(9, protowire.Fixed32Type, 1, 0, 0, 0), field(1, protowire.VarintType, 5)), 9, Value{Set: true, Number: 1}},
		{"one of two goes", join(left, right), 2, Value{}},
		{"one of two stays", join(left, right), 3, Value{Set: true, Number: 9}},
		{"an unknown field", join(field(50, protowire.BytesType, 2, 0, 0), field(1, protowire.VarintType, 5)), 0, Value{Set: true, Number: 5}},
		{"a packed list", field(5, protowire.BytesType, 1, 0), 4, Value{Set: true}},
		{"a list that is not packed", join(field(5, protowire.VarintType, 1), field(5, protowire.VarintType, 2)), 4, Value{Set: true}},
		{"nothing left of the one before", nil, 0, Value{}},
		{"a group", field(50, protowire.StartGroupType), -1, Value{}},
		{"a field of number zero", []byte{0, 1}, -1, Value{}},
		{"another wire type", field(1, protowire.Fixed32Type, 1, 0, 0, 0), -1, Value{}},
		{"a message in two parts", join(field(8, protowire.BytesType, 0), field(8, protowire.BytesType, 0)), -1, Value{}},
		{"too long", field(2, protowire.BytesType, 5, 'x'), -1, Value{}},
		{"a length beyond memory", field(2, protowire.BytesType, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), -1, Value{}},
	} {
		ok := m.Split(tc.data, values)
		switch {
		case ok != (tc.at >= 0):
			t.Errorf("%s: read: %v", tc.name, ok)
		case ok && (values[tc.at].Set != tc.want.Set || values[tc.at].Number != tc.want.Number):
			t.Errorf("%s: %+v, want %+v", tc.name, values[tc.at], tc.want)
		}
		if n := testing.AllocsPerRun(10, func() { m.Split(tc.data, values) }); n > 0 {
			t.Errorf("%s: %v allocations", tc.name, n)
		}
	}
}

// TestItems: the items of a list come in their order, packed or not.
func TestItems(t *testing.T) {
	m := parse(t).Messages[1]
	list := &m.Fields[4]
	packed := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), []byte{1, 0x80, 1})
	loose := protowire.AppendVarint(protowire.AppendTag(nil, 5, protowire.VarintType), 3)
	other := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 9)
	values := make([]Value, len(m.Fields))
	for _, tc := range []struct {
		data []byte
		want string
	}{
		{bytes.Join([][]byte{packed, other, loose, packed}, nil), "[1 128 3 1 128] true"},
		{other, "[] true"},
		{protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), []byte{0x80}), "[] false"},
		{append(protowire.AppendTag(nil, 5, protowire.Fixed32Type), 1, 0, 0, 0), "[] false"},
	} {
		if !m.Split(tc.data, values) {
			t.Fatalf("%x is no message", tc.data)
		}
		items := []uint64{}
		fit, err := list.Items(values[4].Bytes, func(v *Value) error {
			items = append(items, v.Number)
			return nil
		})
		if got := fmt.Sprint(items, fit); err != nil || got != tc.want {
			t.Errorf("%x: %s, %v; want %s", tc.data, got, err, tc.want)
		}
	}
}

// FuzzReader holds the reader against protowire's: both find the same last value of each
// field and the same items of the list, where neither refuses the bytes. It allocates
// nothing but a Value for each item.
func FuzzReader(f *testing.F) {
	m := parse(f).Messages[1]
	f.Fuzz(func(t *testing.T, data []byte) {
		values, items := make([]Value, len(m.Fields)), make([]uint64, 0, len(data))
		var ok, fit bool
		each := func(v *Value) error {
			items = append(items, v.Number)
			return nil
		}
		schematest.Within(t, 0, 0, len(data), func() { ok = m.Split(data, values) })
		schematest.Within(t, 0, 48, len(data), func() {
			items = items[:0]
			fit, _ = m.Fields[4].Items(values[4].Bytes, each)
		})
		want, listed := make([]Value, len(m.Fields)), []uint64{}
		for rest := data; len(rest) > 0; {
			number, typ, n := protowire.ConsumeField(rest)
			if n < 0 {
				if ok {
					t.Fatalf("%x is read, and protowire says %v", data, protowire.ParseError(n))
				}
				return
			}
			_, _, tag := protowire.ConsumeTag(rest)
			body := rest[tag:n]
			if number == 5 {
				listed = append(listed, itemsOf(typ, body)...)
			}
			rest = rest[n:]
			for i := range m.Fields {
				f := &m.Fields[i]
				switch {
				case f.Number != int32(number):
				case f.Repeated:
					want[i] = Value{Set: true, Bytes: data}
				default:
					v := Value{Set: true}
					switch typ {
					case protowire.VarintType:
						v.Number, _ = protowire.ConsumeVarint(body)
					case protowire.Fixed32Type:
						x, _ := protowire.ConsumeFixed32(body)
						v.Number = uint64(x)
					case protowire.Fixed64Type:
						v.Number, _ = protowire.ConsumeFixed64(body)
					case protowire.BytesType:
						v.Bytes, _ = protowire.ConsumeBytes(body)
					}
					if f.Name == "left" || f.Name == "right" {
						want[2], want[3] = Value{}, Value{}
					}
					want[i] = v
				}
			}
		}
		if !ok {
			return
		}
		if fit && !slices.Equal(items, listed) {
			t.Errorf("%x, a list of %v, protowire has %v", data, items, listed)
		}
		for i := range want {
			if got := values[i]; got.Set != want[i].Set || got.Number != want[i].Number || !bytes.Equal(got.Bytes, want[i].Bytes) {
				t.Errorf("%x, field %s: %+v, protowire has %+v", data, m.Fields[i].Name, got, want[i])
			}
		}
	})
}

// itemsOf are the varints of a field of a list, which may be packed.
func itemsOf(typ protowire.Type, body []byte) (items []uint64) {
	if typ == protowire.BytesType {
		body, _ = protowire.ConsumeBytes(body)
	}
	for len(body) > 0 {
		v, n := protowire.ConsumeVarint(body)
		if n < 0 {
			break
		}
		items, body = append(items, v), body[n:]
	}
	return items
}

// FuzzMessage holds the reader of the indexes in a frame against protowire's: both come to
// the same message and leave the same bytes, or there is none. It allocates nothing.
func FuzzMessage(f *testing.F) {
	file := parse(f)
	names := map[string]string{"[]": "p.First", "[0]": "p.First", "[1]": "p.M", "[1 0]": "p.M.PairsEntry", "[1 1]": "p.M.In", "[1 1 0]": "p.M.In.Deep"}
	f.Fuzz(func(t *testing.T, data []byte) {
		var m *Message
		var rest []byte
		schematest.Within(t, 0, 0, len(data), func() { m, rest = file.Message(data) })
		left, whole := data, true
		number := func() int64 {
			u, n := protowire.ConsumeVarint(left)
			if whole = whole && n > 0; whole {
				left = left[n:]
			}
			return protowire.DecodeZigZag(u)
		}
		path := []int64{}
		n := number()
		for whole = whole && n >= 0; whole && n > 0 && len(path) < 4; n-- {
			path = append(path, number())
		}
		got, want := "", ""
		if m != nil {
			got = m.Name
		}
		if whole {
			want = names[fmt.Sprint(path)]
		}
		if got != want || m != nil && !bytes.Equal(rest, left) {
			t.Errorf("%x is of message %q with %x, protowire has %v, %q with %x", data, got, rest, path, want, left)
		}
	})
}
