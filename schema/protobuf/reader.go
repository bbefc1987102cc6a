package protobuf

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Value is a field's value as it stands in a message: a number, or bytes that are not
// copied. The zero Value is that of a field which is not there.
type Value struct {
	Set    bool
	Number uint64 // of the kinds that have one: a varint as it is, or the bits of a fixed
	Bytes  []byte // of strings, bytes and messages; of a list or map, the message that it is in, for Items
}

// The wire types.
const (
	varint  = 0
	fixed64 = 1
	counted = 2
	fixed32 = 5
)

// wires are the wire types of the kinds.
var wires = [...]uint8{
	protoreflect.BoolKind: varint, protoreflect.EnumKind: varint, protoreflect.Int32Kind: varint, protoreflect.Sint32Kind: varint, protoreflect.Uint32Kind: varint,
	protoreflect.Int64Kind: varint, protoreflect.Sint64Kind: varint, protoreflect.Uint64Kind: varint,
	protoreflect.Sfixed32Kind: fixed32, protoreflect.Fixed32Kind: fixed32, protoreflect.FloatKind: fixed32,
	protoreflect.Sfixed64Kind: fixed64, protoreflect.Fixed64Kind: fixed64, protoreflect.DoubleKind: fixed64,
	protoreflect.StringKind: counted, protoreflect.BytesKind: counted, protoreflect.MessageKind: counted, protoreflect.GroupKind: counted,
}

// Split finds the values of a message's fields, which are to be as many as it has, and
// reports whether the bytes are a message. Of a field that is there twice the last counts;
// fields that the schema does not know are passed over. Two parts of one message, which a
// reader would have to merge, and groups are refused: no serializer of Connect writes them.
func (m *Message) Split(data []byte, values []Value) bool {
	clear(values)
	whole, next := data, 0
	for len(data) > 0 {
		number, wire, n := tagOf(data)
		if n <= 0 {
			return false
		}
		v := Value{Set: true}
		data = data[n:]
		if n = v.read(data, wire); n <= 0 {
			return false
		}
		data = data[n:]
		at := next // fields mostly come as they are declared
		if at >= len(m.Fields) || m.Fields[at].Number != number {
			known := false
			if at, known = m.places[number]; !known {
				continue
			}
		}
		next = at + 1
		f := &m.Fields[at]
		switch {
		case f.Repeated:
			v = Value{Set: true, Bytes: whole}
		case wire != wires[f.Kind], f.Message != nil && values[at].Set:
			return false
		case f.oneof != 0:
			for i := range m.Fields {
				if m.Fields[i].oneof == f.oneof {
					values[i] = Value{}
				}
			}
		}
		values[at] = v
	}
	return true
}

// Items calls each with the items of a list, or the entries of a map, in the message that
// Split found it in, until it returns an error. It reports whether the bytes fit the field;
// numbers may be packed.
func (f *Field) Items(message []byte, each func(*Value) error) (fit bool, err error) {
	own := wires[f.Kind]
	for data := message; len(data) > 0; {
		number, wire, n := tagOf(data)
		if n <= 0 {
			return false, nil
		}
		v := Value{Set: true}
		data = data[n:]
		if n = v.read(data, wire); n <= 0 {
			return false, nil
		}
		data = data[n:]
		switch {
		case number != f.Number:
		case wire == own:
			err = each(&v)
		case wire != counted:
			return false, nil
		default:
			for packed := v.Bytes; len(packed) > 0 && err == nil; packed = packed[n:] {
				item := Value{Set: true}
				if n = item.read(packed, own); n <= 0 {
					return false, nil
				}
				err = each(&item)
			}
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// tagOf reads the number and wire type of a field and how many bytes that took, 0 or less
// if there is none.
func tagOf(data []byte) (number int32, wire uint8, n int) {
	tag, n := binary.Uvarint(data)
	if tag>>3 == 0 || tag>>3 > math.MaxInt32 {
		return 0, 0, 0
	}
	return int32(tag >> 3), uint8(tag & 7), n
}

// read reads a value and returns how many bytes it took, 0 or less if there is none.
func (v *Value) read(data []byte, wire uint8) (n int) {
	switch wire {
	case varint:
		v.Number, n = binary.Uvarint(data)
	case fixed64:
		if n = 8; len(data) < n {
			return 0
		}
		v.Number = binary.LittleEndian.Uint64(data)
	case fixed32:
		if n = 4; len(data) < n {
			return 0
		}
		v.Number = uint64(binary.LittleEndian.Uint32(data))
	case counted:
		size, head := binary.Uvarint(data)
		if head <= 0 || size > uint64(len(data)-head) {
			return 0
		}
		n = head + int(size)
		v.Bytes = data[head:n:n]
	}
	return n
}

// Int returns the number of an integer, enum or bool of a kind. It reports false if that
// is beyond 63 bits, as an unsigned one can be.
func (v *Value) Int(k protoreflect.Kind) (int64, bool) {
	switch k {
	case protoreflect.Int32Kind, protoreflect.EnumKind, protoreflect.Sfixed32Kind:
		return int64(int32(v.Number)), true
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return int64(uint32(v.Number)), true
	case protoreflect.Sint32Kind:
		n := uint32(v.Number)
		return int64(int32(n>>1) ^ -int32(n&1)), true
	case protoreflect.Sint64Kind:
		return int64(v.Number>>1) ^ -int64(v.Number&1), true
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return int64(v.Number), v.Number <= math.MaxInt64
	case protoreflect.BoolKind:
		if v.Number != 0 {
			return 1, true
		}
		return 0, true
	}
	return int64(v.Number), true
}

// Float returns the number of a float, Double that of a double.
func (v *Value) Float() float32  { return math.Float32frombits(uint32(v.Number)) }
func (v *Value) Double() float64 { return math.Float64frombits(v.Number) }

// Message reads which of the schema's messages is meant, as Confluent's serializers say it
// behind the schema's id (Confluent, "Wire format"): how many indexes there are and each of
// them, from the outermost message inwards, in zigzag varints; none is the first message.
// It returns the bytes after them, and nil if there is no such message.
func (f *File) Message(data []byte) (*Message, []byte) {
	count, n := binary.Varint(data)
	if n <= 0 || count < 0 {
		return nil, nil
	}
	data = data[n:]
	if count == 0 {
		return f.Messages[0], data
	}
	var m *Message
	for among := f.Messages; count > 0; count-- {
		i, n := binary.Varint(data)
		if n <= 0 || i < 0 || i >= int64(len(among)) {
			return nil, nil
		}
		data = data[n:]
		m, among = among[i], among[i].Messages
	}
	return m, data
}
