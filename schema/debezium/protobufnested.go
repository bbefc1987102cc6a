package debezium

import (
	"errors"
	"math"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// Of a struct's name the converter keeps what stands behind the last point, as the name of
// a message. structNames are Debezium's by that.
var structNames = func() map[string]string {
	all := map[string]string{}
	for _, m := range mappings {
		if m.base == "struct" && m.name != "" {
			all[lastName(m.name)] = m.name
		}
	}
	return all
}()

// otherMembers are those of Debezium's structs that are no part of the one value.
var otherMembers = []string{"precision", "zoneId", "extensions"}

func lastName(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// protobufSchema returns the Connect schema that a field was made of. in are the messages
// that it is in: one that has itself has no end.
func protobufSchema(f *protobuf.Field, in []*protobuf.Message, u *unfolding) connectSchema {
	if instead, ok := enter(u, f.Message, in); !ok {
		return instead
	}
	part := func(f protobuf.Field) *connectSchema {
		s := protobufSchema(&f, in, u)
		s.Field, s.proto = f.Name, &f
		if c, known := semanticCodecs[s.Name]; known && !c.wire.readsProtobuf(&f) {
			s = connectSchema{Type: s.Name + " written as " + f.Wrapped().Kind.String()}
		}
		return &s
	}
	if f.Repeated {
		if m := f.Message; m != nil && len(m.Fields) == 2 && m.Fields[0].Name == "key" && m.Fields[1].Name == "value" {
			in = append(in[:len(in):len(in)], m)
			return connectSchema{Type: "map", Keys: part(m.Fields[0]), Values: part(m.Fields[1])}
		}
		item := *f
		item.Repeated = false
		return connectSchema{Type: "array", Items: part(item)}
	}
	inner := f.Wrapped()
	if inner.Message == nil {
		s := connectSchema{Type: protobufTypes[inner.Kind], Name: f.Params["connect.name"], Parameters: f.Params}
		if t := f.Params["connect.type"]; s.Type == "int32" && (t == "int8" || t == "int16") {
			s.Type = t
		}
		return s
	}
	s := connectSchema{Type: "struct", Name: protobufNames[inner.Message.Name], Parameters: f.Params}
	switch {
	case s.Name == decimalName && f.Params["scale"] != "":
		s.Parameters = map[string]string{"scale": f.Params["scale"], "connect.decimal.precision": f.Params["precision"]}
	case s.Name == "":
		s.Name = structNames[lastName(inner.Message.Name)]
		in = append(in[:len(in):len(in)], inner.Message)
		for _, m := range inner.Message.Fields {
			s.Fields = append(s.Fields, *part(m))
			if partsOf[s.Name] != partsNone && partNames[m.Name] == partNone && !slices.Contains(otherMembers, m.Name) {
				s.Name = "" // another struct of that name
			}
		}
	}
	return s
}

// nestProtobuf appends the canonical form of a field's value.
func (d *Decoder) nestProtobuf(dst []byte, x *protobuf.Value, c *codec, f *protobuf.Field) (_ []byte, err error) {
	if !x.Set && f.Presence {
		return append(dst, "null"...), nil
	}
	fit := true
	switch c.wire {
	case wireStruct:
		values := make([]protobuf.Value, len(f.Message.Fields))
		if !f.Message.Split(x.Bytes, values) {
			return dst, errProtobuf
		}
		dst = append(dst, '{')
		for i := range c.of.members {
			m := &c.of.members[i]
			if dst, err = d.nestProtobuf(appendName(dst, i, m.name), &values[i], &m.codec, m.proto); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	case wireArray:
		dst = append(dst, '[')
		from := len(dst)
		fit, err = f.Items(x.Bytes, func(item *protobuf.Value) error {
			if len(dst) > from {
				dst = append(dst, ',')
			}
			dst, err = d.nestProtobuf(dst, item, &c.of.elem.codec, c.of.elem.proto)
			return err
		})
		if !fit {
			err = errProtobuf
		}
		return append(dst, ']'), err
	case wireMap:
		var all entries
		fit, err = f.Items(x.Bytes, func(entry *protobuf.Value) error {
			var pair [2]protobuf.Value
			if !f.Message.Split(entry.Bytes, pair[:]) {
				return errProtobuf
			}
			if !pair[0].Set && c.of.key.proto.Presence {
				return errors.New("an entry of a map without a key")
			}
			text, err := d.nestProtobuf(all.text, &pair[0], &c.of.key.codec, c.of.key.proto)
			if err != nil {
				return err
			}
			all.key(text)
			all.text, err = d.nestProtobuf(all.text, &pair[1], &c.of.elem.codec, c.of.elem.proto)
			all.value()
			return err
		})
		if !fit {
			err = errProtobuf
		}
		if err != nil {
			return dst, err
		}
		return all.appendTo(dst, c)
	}
	d.leaf.Reset(c.kind)
	if err := d.appendProtobufPresent(x, &d.leaf, c, f); err != nil {
		return dst, err
	}
	return appendLeaf(dst, &d.leaf, c), nil
}

// appendProtobufNested reads a list, a map or a message into a column.
func (d *Decoder) appendProtobufNested(x *protobuf.Value, v *schema.Values, c *codec, f *protobuf.Field) (err error) {
	if c.wire == wireParts {
		if err = d.readProtobufParts(x.Bytes, c, f.Message); err != nil {
			return err
		}
		return d.appendMade(v, c)
	}
	there := *x
	there.Set = true // which is known
	if d.json, err = d.nestProtobuf(d.json[:0], &there, c, f); err != nil {
		return err
	}
	return d.appendJSON(v, c)
}

// readProtobufParts reads the members of a message.
func (d *Decoder) readProtobufParts(data []byte, c *codec, of *protobuf.Message) (err error) {
	m := &d.made
	*m = made{vector: m.vector[:0]}
	var room [16]protobuf.Value
	values := room[:]
	if len(of.Fields) > len(room) {
		values = make([]protobuf.Value, len(of.Fields))
	}
	if values = values[:len(of.Fields)]; !of.Split(data, values) {
		return errProtobuf
	}
	for i := range c.of.members {
		p, f := c.of.members[i].part, &of.Fields[i]
		if p == partVector {
			if m.vector, err = d.nestProtobuf(m.vector, &values[i], &c.of.members[i].codec, f); err != nil {
				return err
			}
			continue
		}
		inner, x := scalar(f, &values[i])
		n, isInt := x.Int(inner.Kind)
		isInt = isInt && strings.HasPrefix(protobufTypes[inner.Kind], "int")
		switch {
		case p == partNone || !x.Set && f.Presence:
		case inner.Repeated:
			return errors.New("a member " + f.Name + " of another type")
		case p == partSpecial && inner.Kind == protoreflect.StringKind:
			if len(x.Bytes) > 0 {
				m.special(x.Bytes)
			}
		case p == partRaw && inner.Kind == protoreflect.BytesKind:
			m.raw, m.hasRaw = x.Bytes, true
		case (p == partX || p == partY) && inner.Kind == protoreflect.DoubleKind:
			m.set(p, int64(math.Float64bits(x.Double())))
		case p > partNone && p < partX && isInt:
			m.set(p, n)
		default:
			return errors.New("a member " + f.Name + " of another type")
		}
	}
	return nil
}
