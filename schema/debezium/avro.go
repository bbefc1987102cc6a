package debezium

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/sluice-cdc/sluice/schema/avro"
)

// avroPlan is the part of a plan that is for Avro: of an envelope, where its
// members are; of a key or row image nothing more than that it is Avro.
type avroPlan struct {
	root    avroField // a key or envelope may be nullable as a whole
	form    avroForm
	members []avroMember
	source  []avroMember
}

// avroField says how a field's bytes are read. Most fields of a database are
// nullable: a union of null, at either place, and one type.
type avroField struct {
	all   *avro.Type // what Skip is to skip
	value *avro.Type // without null
	null  int        // the branch that is null, -1 if there is none
}

func avroFieldOf(t *avro.Type) avroField {
	f := avroField{all: t, value: t, null: -1}
	if t.Kind == avro.Union && len(t.Union) == 2 {
		for i, branch := range t.Union {
			if branch.Kind == avro.Null {
				f.null, f.value = i, t.Union[1-i]
			}
		}
	}
	return f
}

// present reads the branch of a nullable field.
func (f *avroField) present(r *avro.Reader) bool {
	return f.null < 0 || r.Index(2) != f.null
}

// avroForm is what the record of a value is, as its fields tell.
type avroForm uint8

const (
	formRow avroForm = iota
	formEnvelope
	formCloudEvent
	formImages // before and after: the data of a CloudEvent
)

// avroMember is a field of an envelope or of its source block.
type avroMember struct {
	avroField
	role role
	plan *plan // of a row image
	part int   // in positionMembers, of a source block
}

// compileAvro makes the plan of a key, or of an envelope and its row images.
func (o *Options) compileAvro(t *avro.Type, isKey bool) *plan {
	root := avroFieldOf(t)
	t = root.value
	p := &plan{name: t.Connect.Name, avro: &avroPlan{root: root}, byName: map[string]int{}}
	if p.name == "" {
		p.name = t.Name
	}
	if t.Kind != avro.Record {
		if isKey {
			p.bare = bareAvro
			p.add("", o.avroCodec(t, new(unfolding)))
			p.fields[0].avro = avroFieldOf(t)
		}
		return p
	}
	p.avro.form = formOf(t, p.name)
	if isKey || p.avro.form == formRow {
		o.addAvroFields(p, t)
		if !isKey {
			o.flatten(p)
		}
		return p
	}
	images := map[*avro.Type]*plan{}
	for _, f := range t.Fields {
		m := avroMember{avroField: avroFieldOf(f.Type)}
		kind := m.value.Kind
		switch {
		case kind == avro.Record && (f.Name == "before" || f.Name == "after"):
			if m.role = roleBefore; f.Name == "after" {
				m.role = roleAfter
			}
			if m.plan = images[m.value]; m.plan == nil {
				m.plan = &plan{name: m.value.Name, avro: &avroPlan{}, byName: map[string]int{}}
				o.addAvroFields(m.plan, m.value)
				images[m.value] = m.plan
			}
		case kind == avro.Record && f.Name == "source":
			m.role = roleSource
			p.avro.source = sourceMembers(m.value)
		case kind == avro.String && f.Name == "op":
			m.role = roleOp
		case p.avro.form == formCloudEvent && kind != avro.Record:
			m.role = cloudRole([]byte(f.Name))
		case kind == avro.String && (f.Name == "before" || f.Name == "after"):
			if m.role = roleBefore; f.Name == "after" {
				m.role = roleAfter
			}
			m.plan = document
		}
		p.avro.members = append(p.avro.members, m)
	}
	return p
}

// formOf tells the form of a value of Avro by its fields.
func formOf(t *avro.Type, name string) avroForm {
	kinds := map[string]avro.Kind{}
	for _, f := range t.Fields {
		kinds[f.Name] = avroFieldOf(f.Type).value.Kind
	}
	switch {
	case strings.HasSuffix(name, rowSuffix):
		return formRow
	case kinds["op"] == avro.String && kinds["source"] == avro.Record:
		return formEnvelope
	case kinds["specversion"] == avro.String && kinds["iodebeziumop"] == avro.String:
		return formCloudEvent
	case kinds["before"] == avro.Record && kinds["after"] == avro.Record, kinds["before"] == avro.String && kinds["after"] == avro.String && len(t.Fields) == 2:
		return formImages
	}
	return formRow
}

func sourceMembers(t *avro.Type) (members []avroMember) {
	for _, f := range t.Fields {
		m := avroMember{avroField: avroFieldOf(f.Type), part: positionMembers[f.Name]}
		m.role = sourceRole([]byte(f.Name))
		if kind := m.value.Kind; kind != avro.String && (m.role != roleMillis || kind != avro.Long) {
			m.role = roleOther
		}
		members = append(members, m)
	}
	return members
}

func (o *Options) addAvroFields(p *plan, t *avro.Type) {
	var u unfolding
	for _, f := range t.Fields {
		af := avroFieldOf(f.Type)
		at := p.add(f.Name, o.avroCodec(af.value, &u))
		p.fields[at].avro = af
	}
}

// logicalNames are the Connect schemas that Avro's own logical types stand for,
// where a writer has not noted them. On another type than theirs they mean nothing, as
// the specification says.
var logicalNames = map[string]struct {
	name string
	of   []avro.Kind
}{
	"decimal":                {decimalName, []avro.Kind{avro.Bytes, avro.Fixed}},
	"date":                   {"org.apache.kafka.connect.data.Date", []avro.Kind{avro.Int}},
	"time-millis":            {"org.apache.kafka.connect.data.Time", []avro.Kind{avro.Int}},
	"time-micros":            {"io.debezium.time.MicroTime", []avro.Kind{avro.Long}},
	"timestamp-millis":       {"org.apache.kafka.connect.data.Timestamp", []avro.Kind{avro.Long}},
	"timestamp-micros":       {"io.debezium.time.MicroTimestamp", []avro.Kind{avro.Long}},
	"timestamp-nanos":        {"io.debezium.time.NanoTimestamp", []avro.Kind{avro.Long}},
	"local-timestamp-millis": {"org.apache.kafka.connect.data.Timestamp", []avro.Kind{avro.Long}},
	"local-timestamp-micros": {"io.debezium.time.MicroTimestamp", []avro.Kind{avro.Long}},
	"local-timestamp-nanos":  {"io.debezium.time.NanoTimestamp", []avro.Kind{avro.Long}},
	"uuid":                   {"io.debezium.data.Uuid", []avro.Kind{avro.String}},
}

var connectTypes = map[avro.Kind]string{avro.Boolean: "boolean", avro.Int: "int32", avro.Long: "int64", avro.Float: "float", avro.Double: "double",
	avro.String: "string", avro.Enum: "string", avro.Bytes: "bytes", avro.Fixed: "bytes", avro.Record: "struct", avro.Array: "array", avro.Map: "map"}

// avroCodec returns how a field is read, by the Connect schema that it was made of.
func (o *Options) avroCodec(t *avro.Type, u *unfolding) codec {
	f := connectSchemaOf(t, nil, u)
	c := o.codecOf(&f)
	if c.name == "" {
		c.name = t.Kind.String()
	}
	if c.wire != wireRefused && !c.wire.readsFrom(t.Kind) {
		return codec{wire: wireRefused, name: strings.TrimSpace(c.name + " written as " + t.Kind.String())}
	}
	return c
}

// connectSchemaOf returns the Connect schema that a type was made of (Confluent's
// AvroData, which Apicurio's converter has too). in are the types that it is inside of.
func connectSchemaOf(t *avro.Type, in []*avro.Type, u *unfolding) connectSchema {
	if instead, ok := enter(u, t, in); !ok {
		return instead
	}
	f := connectSchema{Type: connectTypes[t.Kind], Name: t.Connect.Name, Parameters: t.Connect.Parameters}
	if _, ok := plainCodecs[t.Connect.Type]; ok {
		f.Type = t.Connect.Type
	}
	if l := logicalNames[t.Logical]; f.Name == "" && slices.Contains(l.of, t.Kind) {
		f.Name = l.name
	}
	if t.Kind == avro.Fixed && t.Logical == "duration" {
		f.Name, f.Type = "", "duration"
	}
	if f.Name == decimalName && f.Parameters["scale"] == "" && t.HasScale {
		parameters := map[string]string{"scale": strconv.Itoa(t.Scale), "connect.decimal.precision": strconv.Itoa(t.Precision)}
		maps.Copy(parameters, f.Parameters)
		f.Parameters = parameters
	}
	in = append(in, t)
	part := func(name string, t *avro.Type) *connectSchema {
		af := avroFieldOf(t)
		sub := connectSchemaOf(af.value, in, u)
		sub.Field, sub.avro = name, af
		return &sub
	}
	switch t.Kind {
	case avro.Record:
		for _, m := range t.Fields {
			f.Fields = append(f.Fields, *part(m.Name, m.Type))
		}
	case avro.Map:
		f.Keys, f.Values = &connectSchema{Type: "string"}, part("value", t.Items)
	case avro.Array:
		// A map whose keys are not plain text is an array of such records.
		if e := t.Items; e.Kind == avro.Record && (e.Connect.Internal == "MapEntry" || e.Name == "io.confluent.connect.avro.MapEntry") &&
			len(e.Fields) == 2 && e.Fields[0].Name == "key" && e.Fields[1].Name == "value" {
			f.Type, f.entries = "map", true
			f.Keys, f.Values = part("key", e.Fields[0].Type), part("value", e.Fields[1].Type)
			break
		}
		f.Items = part("", t.Items)
	}
	return f
}

// readsFrom reports whether values of an Avro type can be read in a wire form.
func (w wire) readsFrom(k avro.Kind) bool {
	switch w {
	case wireBool:
		return k == avro.Boolean
	case wireFloat:
		return k == avro.Float || k == avro.Double
	case wireString:
		return k == avro.String || k == avro.Enum
	case wireInstant, wireISODate, wireISOTime, wireISOLocal:
		return k == avro.String
	case wireBytes, wireBits, wireDecimal, wireDropped:
		return k == avro.Bytes || k == avro.Fixed
	case wireArray:
		return k == avro.Array
	case wireMap:
		return k == avro.Map || k == avro.Array
	case wireStruct, wireParts:
		return k == avro.Record
	}
	return k == avro.Int || k == avro.Long
}

var errAvro = errors.New("bytes that do not fit their Avro schema")

// avroChange reads a value of Avro: where the images are, and what it says of them.
func (d *Decoder) avroChange(value payload) (ev change, err error) {
	a := value.plan.avro
	if a.form == formRow || a.form == formImages {
		var none envelope
		if class, ok := none.side(value.plan.name, payload{}); ok {
			return change{class: class}, nil
		}
		return d.flattenedAvro(value)
	}
	r := avro.Reader{Data: value.data}
	var op, data []byte
	for i := range a.members {
		switch m := &a.members[i]; m.role {
		case roleBefore, roleAfter:
			ev.readImage(&r, m)
		case roleSource:
			if m.present(&r) {
				at := r.At
				ev.from = readSource(&r, a.source)
				ev.from.block, ev.from.members = r.Data[at:r.At], a.source
			}
		case roleOp:
			if m.present(&r) {
				op = r.Bytes()
			}
		case roleData:
			if m.present(&r) {
				data = r.Bytes()
			}
		default:
			ev.from.read(&r, m)
		}
		if r.Failed {
			return ev, errAvro
		}
	}
	switch {
	case r.Left() > 0:
		return ev, errAvro
	case len(op) != 1:
		return ev, fmt.Errorf("unknown op %.20q", op)
	}
	if ev.op = op[0] | 0x20; ev.op == 'm' {
		return change{class: Message}, nil
	}
	if a.form == formCloudEvent {
		return d.avroData(ev, data)
	}
	return ev, nil
}

// readImage reads a row image.
func (ev *change) readImage(r *avro.Reader, m *avroMember) {
	ev.rows = m.plan
	if !m.present(r) {
		return
	}
	image := payload{plan: m.plan, data: r.Skip(m.value)}
	if m.plan == document && !r.Failed {
		text := avro.Reader{Data: image.data}
		image.data = text.Bytes()
	}
	if m.role == roleBefore {
		ev.before = image
	} else {
		ev.after = image
	}
}

func readSource(r *avro.Reader, members []avroMember) (o origin) {
	for i := range members {
		o.read(r, &members[i])
	}
	return o
}

// read notes what a member says, and passes over one that says nothing.
func (o *origin) read(r *avro.Reader, m *avroMember) {
	switch {
	case m.role == roleOther:
		r.Skip(m.all)
	case !m.present(r):
	case m.value.Kind == avro.Long:
		if at := r.Long(); m.role == roleMillis || o.millis == 0 {
			o.millis = at
		}
	default:
		o.set(m.role, r.Bytes())
	}
}
