package debezium

import (
	"bytes"
	"strings"
)

// plan is what a schema says of the rows under it, compiled once: the fields of
// its row image in the order in which the converter writes them.
type plan struct {
	name   string     // the schema's name, "" for plain JSON
	avro   *avroPlan  // nil for others than Avro
	proto  *protoPlan // nil for others than Protobuf
	fields []field
	byName map[string]int
	open   bool     // of plain JSON: fields are added as they come,
	member wire     // to be read like this
	live   int      // fields with a column of their own that have not left the rows
	flat   bool     // of rows without an envelope, with metadata among the columns
	bare   bareForm // of a key that is one value without a name: fields has that alone

	// Where each field goes in the run being filled: bound to a shape at one of
	// its versions.
	shape   *shape
	version int
}

type field struct {
	name  string
	codec codec
	avro  avroField
	told  bool // that its type is not known
	left  bool // it has left the rows, which was noted
	col   int  // in the shape; -1: dropped, or a key column, filled from the record's key
}

const leftOut = -2 // the col of a field that a Rule leaves out

func (p *plan) add(name string, c codec) int {
	p.fields = append(p.fields, field{name: name, codec: c})
	p.byName[name] = len(p.fields) - 1
	return len(p.fields) - 1
}

// find returns the index of a field, where hint is the one expected next.
func (p *plan) find(name []byte, hint int) int {
	if hint < len(p.fields) && string(name) == p.fields[hint].name {
		return hint
	}
	if i, ok := p.byName[string(name)]; ok {
		return i
	}
	return -1
}

// wrappers remembers the plans of the schemas seen last in {"schema":S,"payload":P},
// by the bytes in front of the payload: comparing four kilobytes costs a fraction
// of reading them.
type wrappers []wrapper

type wrapper struct {
	prefix []byte
	plan   *plan
}

const keptWrappers = 8

func (w *wrappers) lookup(text []byte) *wrapper {
	for i := range *w {
		if bytes.HasPrefix(text, (*w)[i].prefix) {
			return &(*w)[i]
		}
	}
	return nil
}

func (w *wrappers) keep(prefix []byte, p *plan) {
	if len(*w) == keptWrappers {
		*w = (*w)[1:]
	}
	*w = append(*w, wrapper{bytes.Clone(prefix), p})
}

// unwrap returns the value inside {"schema":…,"payload":…} and the plan of its
// schema, nil if there is none. A value without that wrapper is its own payload.
func (d *Decoder) unwrap(text []byte, known *wrappers, isKey bool) (*plan, []byte, error) {
	if w := known.lookup(text); w != nil {
		s := scanner{b: text, i: len(w.prefix)}
		payload, err := s.skip()
		if err == nil && s.peek() == '}' {
			s.i++
			return w.plan, payload, s.end()
		}
	}
	s := scanner{b: text}
	if s.peek() != '{' {
		return nil, text, nil
	}
	var schemaText, payload []byte
	payloadAt, members := 0, 0
	more, err := s.open()
	for more && err == nil {
		var name []byte
		if name, err = s.name(&d.name); err != nil {
			return nil, nil, err
		}
		var to *[]byte
		switch string(name) {
		case "schema":
			to = &schemaText
		case "payload":
			to, payloadAt = &payload, s.i
		default:
			return nil, text, nil
		}
		if *to, err = s.skip(); err != nil {
			return nil, nil, err
		}
		members++
		more, err = s.next()
	}
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return nil, nil, err
	}
	if members != 2 || schemaText == nil || payload == nil {
		return nil, text, nil
	}
	if isNull(schemaText) || string(schemaText) == "{}" {
		return nil, payload, nil
	}
	root, err := parseConnectSchema(schemaText)
	if err != nil {
		return nil, nil, err
	}
	p := d.opt.compile(root, isKey)
	if schemaText[0] == '{' && bytes.HasSuffix(text[:payloadAt], []byte(`:`)) && bytes.Index(text, schemaText) < payloadAt {
		known.keep(text[:payloadAt], p)
	}
	return p, payload, nil
}

// compile makes the plan of a key schema, or of the row image in an envelope's; a
// value's schema without one is a row's itself.
func (o *Options) compile(root *connectSchema, isKey bool) *plan {
	p := &plan{name: root.Name, byName: map[string]int{}}
	row := root
	switch {
	case isKey && root.Type != "struct" && root.Type != "":
		p.bare = bareJSON
		p.add("", o.codecOf(root))
	case isKey || strings.HasSuffix(root.Name, rowSuffix):
	case root.field("after") != nil:
		row = root.field("after")
	case root.field("before") != nil:
		row = root.field("before")
	}
	if row != nil {
		for i := range row.Fields {
			p.add(row.Fields[i].Field, o.codecOf(&row.Fields[i]))
		}
	}
	if row == root && !isKey {
		o.flatten(p)
	}
	return p
}
