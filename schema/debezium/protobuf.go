package debezium

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// Protobuf as Confluent's ProtobufConverter writes it. A column that may be NULL must have
// presence, by optional.for.nullables or wrapper.for.nullables: without, the bytes of NULL
// and of the zero value are the same, and the zero value is what is read; a list or map
// has none in any case. The converter drops Debezium's names of types other than structs,
// so a io.debezium.time.Date is the number that it is made of; under
// time.precision.mode=connect there are Connect's own, which it keeps.

// protoPlan is the part of a plan that is for Protobuf. That of a schema is nothing but
// its file; those of its messages are made when a record has one.
type protoPlan struct {
	file     *protobuf.File
	messages map[*protobuf.Message]*plan

	message       *protobuf.Message
	envelope      bool
	roles         []role // of the fields of an envelope or flattened row
	before, after *plan  // of its images
	source        *protobuf.Message
	sources       []role // of the fields of its source block
	places        []int  // of the same in positionMembers
}

var errProtobuf = errors.New("bytes that do not fit their Protobuf schema")

// openProtobuf finds the message that a frame names behind its id.
func (d *Decoder) openProtobuf(p *plan, f framed, isKey bool) (payload, error) {
	if f.id.Space != frame.SchemaID && f.id.Space != frame.GUID {
		return payload{}, &fault{fmt.Sprintf("schema %v is Protobuf, which is read in Confluent's framing only", f.id),
			"have Confluent's ProtobufConverter write it, at the registry's /apis/ccompat/v7, which SLUICE_SCHEMA_REGISTRY_URL must be as well, with SLUICE_SCHEMA_REGISTRY_FRAMING=confluent; and load the table anew"}
	}
	var m *protobuf.Message
	if f.header != nil {
		m = p.proto.file.Messages[0] // where nothing follows the id
		if len(f.header) > 0 {
			m, _ = p.proto.file.Message(f.header)
		}
	} else {
		m, f.data = p.proto.file.Message(f.data)
	}
	if m == nil {
		return payload{}, fmt.Errorf("its frame names no message of schema %v", f.id)
	}
	own := p.proto.messages[m]
	if own == nil {
		own = d.opt.compileProtobuf(m, isKey)
		p.proto.messages[m] = own
	}
	return payload{plan: own, data: f.data}, nil
}

// compileProtobuf makes the plan of a key, or of an envelope and its row images.
func (o *Options) compileProtobuf(m *protobuf.Message, isKey bool) *plan {
	p := &plan{name: m.Name, proto: &protoPlan{message: m}, byName: map[string]int{}}
	if isKey {
		o.addProtobufFields(p)
		return p
	}
	x := p.proto
	var seen [roles]bool
	for i := range m.Fields {
		f := &m.Fields[i]
		role := roleOther
		switch {
		case f.Repeated:
		case f.Message != nil && (f.Name == "before" || f.Name == "after"):
			image := &plan{name: f.Message.Name, proto: &protoPlan{message: f.Message}, byName: map[string]int{}}
			o.addProtobufFields(image)
			if f.Name == "before" {
				role, x.before = roleBefore, image
			} else {
				role, x.after = roleAfter, image
			}
		case f.Message != nil && f.Name == "source":
			role, x.source = roleSource, f.Message
		case f.Kind == protoreflect.StringKind && f.Name == "op":
			role = roleOp
		}
		seen[role] = true
		x.roles = append(x.roles, role)
	}
	if x.envelope = seen[roleOp] && seen[roleSource] && !strings.HasSuffix(m.Name, rowSuffix); !x.envelope {
		x.roles = nil
		o.addProtobufFields(p)
		o.flatten(p)
		return p
	}
	for i := range x.source.Fields {
		f := &x.source.Fields[i]
		x.sources = append(x.sources, sourceRole([]byte(f.Name)))
		x.places = append(x.places, positionMembers[f.Name])
	}
	return p
}

func (o *Options) addProtobufFields(p *plan) {
	m := p.proto.message
	var u unfolding
	for i := range m.Fields {
		p.add(m.Fields[i].Name, o.protobufCodec(&m.Fields[i], &u))
	}
}

// protobufTypes are the Connect types of scalars, wrapped ones among them.
var protobufTypes = map[protoreflect.Kind]string{
	protoreflect.BoolKind: "boolean", protoreflect.StringKind: "string", protoreflect.BytesKind: "bytes", protoreflect.EnumKind: "string",
	protoreflect.FloatKind: "float", protoreflect.DoubleKind: "double",
	protoreflect.Int32Kind: "int32", protoreflect.Sint32Kind: "int32", protoreflect.Sfixed32Kind: "int32",
	protoreflect.Uint32Kind: "int64", protoreflect.Fixed32Kind: "int64", protoreflect.Int64Kind: "int64", protoreflect.Sint64Kind: "int64",
	protoreflect.Sfixed64Kind: "int64", protoreflect.Uint64Kind: "int64", protoreflect.Fixed64Kind: "int64",
}

// protobufNames are the messages that stand for Connect's logical types.
var protobufNames = map[string]string{
	"confluent.type.Decimal":    decimalName,
	"google.type.Date":          "org.apache.kafka.connect.data.Date",
	"google.type.TimeOfDay":     "org.apache.kafka.connect.data.Time",
	"google.protobuf.Timestamp": "org.apache.kafka.connect.data.Timestamp",
}

// protobufCodec returns how a field is read, by the Connect schema that it was made of.
func (o *Options) protobufCodec(f *protobuf.Field, u *unfolding) codec {
	s := protobufSchema(f, nil, u)
	c := o.codecOf(&s)
	if c.wire != wireRefused && !c.wire.readsProtobuf(f) {
		return codec{wire: wireRefused, name: c.name + " written as " + f.Wrapped().Kind.String()}
	}
	return c
}

// readsProtobuf reports whether values of a field can be read in a wire form.
func (w wire) readsProtobuf(f *protobuf.Field) bool {
	if !f.Repeated {
		f = f.Wrapped()
	}
	switch {
	case f.Repeated:
		return w == wireArray || w == wireMap
	case f.Message != nil && protobufNames[f.Message.Name] != "":
		return w == wireDecimal || w == wireDays || w == wireMilliTime || w == wireMillis
	case f.Message != nil:
		return w == wireStruct || w == wireParts
	}
	switch protobufTypes[f.Kind] {
	case "boolean":
		return w == wireBool
	case "float", "double":
		return w == wireFloat
	case "bytes":
		return w == wireBytes || w == wireBits || w == wireDecimal || w == wireDropped
	case "string":
		return w == wireString || f.Kind == protoreflect.StringKind && (w == wireInstant || w == wireISODate || w == wireISOTime || w == wireISOLocal)
	}
	switch w {
	case wireInt, wireUnsigned, wireDays, wireMilliTime, wireMicroTime, wireNanoTime, wireMillis, wireMicros, wireNanos:
		return true
	}
	return false
}

// protobufChange reads a value: where the images are, and what it says of them.
func (d *Decoder) protobufChange(value payload) (ev change, err error) {
	x := value.plan.proto
	values := d.fields(x.message)
	if !x.message.Split(value.data, values) {
		return ev, errProtobuf
	}
	if !x.envelope {
		var none envelope
		if class, ok := none.side(value.plan.name, payload{}); ok {
			return change{class: class}, nil
		}
		return d.flattenedProtobuf(value, values)
	}
	if x.after == nil {
		return ev, &fault{"an event whose rows are no messages, such as a document of MongoDB, in Protobuf",
			"have the connector write it as Avro or JSON, and load the table anew"}
	}
	var op, source []byte
	for i := range values {
		v := &values[i]
		if !v.Set {
			continue
		}
		switch x.roles[i] {
		case roleBefore:
			ev.before = payload{plan: x.before, data: v.Bytes}
		case roleAfter:
			ev.after = payload{plan: x.after, data: v.Bytes}
		case roleSource:
			source = v.Bytes
		case roleOp:
			op = v.Bytes
		}
	}
	ev.rows = x.after
	if len(op) != 1 {
		return ev, fmt.Errorf("unknown op %.20q", op)
	}
	if ev.op = op[0] | 0x20; ev.op == 'm' {
		return change{class: Message}, nil
	}
	values = d.fields(x.source)
	if !x.source.Split(source, values) {
		return ev, errProtobuf
	}
	for i := range values {
		ev.from.setProtobuf(x.sources[i], &x.source.Fields[i], &values[i])
	}
	ev.from.block, ev.from.proto = source, x
	return ev, nil
}

// flattenedProtobuf reads a value that is the row itself.
func (d *Decoder) flattenedProtobuf(value payload, values []protobuf.Value) (change, error) {
	var a addedFields
	for i := range values {
		f, v := scalar(&value.plan.proto.message.Fields[i], &values[i])
		switch r := value.plan.proto.roles[i]; {
		case r == roleDeleted && (f.Kind == protoreflect.StringKind || f.Kind == protoreflect.BoolKind):
			a.marked = true
			a.deleted = string(v.Bytes) == "true" || f.Kind == protoreflect.BoolKind && v.Number != 0
		case r == roleOp && f.Kind == protoreflect.StringKind && v.Set:
			a.op, a.marked = v.Bytes, true
		default:
			a.from.setProtobuf(r, f, &v)
		}
	}
	if !d.isFlattened(value.plan.name, a.marked) {
		return change{}, errNoEvent
	}
	return a.change(value)
}

// scalar returns what is inside of a wrapper that is there.
func scalar(f *protobuf.Field, v *protobuf.Value) (*protobuf.Field, protobuf.Value) {
	inner := f.Wrapped()
	if inner == f || !v.Set || f.Repeated {
		return f, *v
	}
	var room [1]protobuf.Value
	f.Message.Split(v.Bytes, room[:])
	room[0].Set = true
	return inner, room[0]
}

// setProtobuf notes a member.
func (o *origin) setProtobuf(r role, f *protobuf.Field, v *protobuf.Value) {
	if r == roleOther || !v.Set {
		return
	}
	inner, x := scalar(f, v)
	switch {
	case inner.Repeated:
	case inner.Kind == protoreflect.StringKind:
		o.set(r, x.Bytes)
	case inner.Kind == protoreflect.Int64Kind && (r == roleMillis || r == roleProcessed && o.millis == 0):
		o.millis = int64(x.Number)
	}
}

func (d *Decoder) protobufPosition(parts *[32]positionPart) {
	x := d.from.proto
	values := d.fields(x.source)
	x.source.Split(d.from.block, values)
	for i, at := range x.places {
		f, v := scalar(&x.source.Fields[i], &values[i])
		if at == 0 || !v.Set || f.Repeated {
			continue
		}
		switch protobufTypes[f.Kind] {
		case "string":
			parts[at] = positionPart{text: v.Bytes, is: 't'}
		case "int32", "int64":
			n, _ := v.Int(f.Kind)
			parts[at] = positionPart{number: n, is: 'n'}
		}
	}
}

// fields returns room for the fields of a message, valid until the next call.
func (d *Decoder) fields(m *protobuf.Message) []protobuf.Value {
	if len(m.Fields) > cap(d.protoValues) {
		d.protoValues = make([]protobuf.Value, len(m.Fields))
	}
	return d.protoValues[:len(m.Fields)]
}
