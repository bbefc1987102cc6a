package debezium

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/sluice-cdc/sluice/schema/avro"
)

// Events says which records are changes, besides Debezium's envelopes.
type Events uint8

const (
	// EventsAuto takes rows that a transform took out of their envelope where they show
	// it: by their schema's name, which ends in .Value, or by the __op or __deleted that
	// the transform adds. Other JSON might be anything, and is refused.
	EventsAuto Events = iota
	EventsEnvelope
	// EventsFlattened takes any record for a row that is no envelope and none of
	// Debezium's side records.
	EventsFlattened
)

// rowSuffix ends the name of a row's schema, as Debezium has it; an envelope's ends in
// .Envelope.
const rowSuffix = ".Value"

// flatJSON stands for plain JSON with metadata among the columns.
var flatJSON = &plan{open: true, member: wireInferred, flat: true}

// deletedField is what ExtractNewRecordState adds under delete.tombstone.handling.mode
// rewrite, whatever the prefix of the other fields is.
const deletedField = "__deleted"

// envelopeFields are the members that add.fields can name, of the envelope and of every
// connector's source block (Debezium documentation, "Data change events").
var envelopeFields = func() map[string]bool {
	all := map[string]bool{}
	for _, name := range strings.Fields(`op ts_ms ts_us ts_ns transaction version connector name snapshot db sequence schema table
		txId lsn xmin origin origin_lsn server_id gtid file pos row thread query change_lsn commit_lsn begin_lsn event_serial_no
		scn commit_scn lcr_position rs_id ssn redo_thread user_name redo_sql row_id start_scn start_ts_ms commit_ts_ms txSeq
		collection ord lsid txnNumber wallTime rs h tord stxnid order keyspace shard vgtid cluster resolved_ts ts_hlc`) {
		all[name] = true
	}
	return all
}()

// metadata reports whether a column of a flattened row was added by the transform, and
// what it says. Only names that the transform is known to make are: a table may have
// columns that begin with __ itself.
func (o *Options) metadata(name []byte) (r role, added bool) {
	if string(name) == deletedField {
		return roleDeleted, true
	}
	prefix := o.FlattenedPrefix
	if len(name) <= len(prefix) || string(name[:len(prefix)]) != prefix {
		return roleOther, false
	}
	name = name[len(prefix):]
	if string(name) == "op" {
		return roleOp, true
	}
	if of, ok := bytes.CutPrefix(name, []byte("source_")); ok {
		return sourceRole(of), true
	}
	if bytes.HasPrefix(name, []byte("transaction_")) || bytes.HasPrefix(name, []byte("updateDescription_")) {
		return roleOther, true
	}
	if !envelopeFields[string(name)] {
		return roleOther, false
	}
	if r = sourceRole(name); r == roleMillis {
		r = roleProcessed // the envelope's own
	}
	return r, true
}

// leavesOut reports whether a member of plain JSON is left out of the row.
func (d *Decoder) leavesOut(p *plan, name []byte) bool {
	if !p.flat || d.opt.KeepMetadata {
		return false
	}
	_, added := d.opt.metadata(name)
	return added
}

// flatten marks the plan of a flattened row, and the columns in it that are not its own.
func (o *Options) flatten(p *plan) {
	p.flat = true
	for i := range p.fields {
		f := &p.fields[i]
		r, added := o.metadata([]byte(f.name))
		if p.avro != nil {
			p.avro.members = append(p.avro.members, avroMember{avroField: f.avro, role: r})
		}
		if p.proto != nil {
			p.proto.roles = append(p.proto.roles, r)
		}
		if added && !o.KeepMetadata {
			f.codec = codec{wire: wireMetadata}
		}
	}
}

// addedFields is what the transform's fields say.
type addedFields struct {
	from    origin
	op      []byte
	deleted bool
	marked  bool // there is an op, or whether the row is deleted
}

// change makes the change of a flattened row. Without an op, one that was inserted,
// changed or read by a snapshot looks alike, and does the same.
func (a *addedFields) change(row payload) (ev change, err error) {
	ev = change{from: a.from, flat: true, op: 'c'}
	if row.plan != flatJSON {
		ev.rows = row.plan
	}
	switch {
	case a.deleted:
		ev.op = 'd'
	case len(a.op) == 1:
		ev.op = a.op[0] | 0x20
	case len(a.op) > 0:
		return ev, fmt.Errorf("unknown op %.20q", a.op)
	default:
		ev.untold = true
	}
	if ev.op == 'd' {
		ev.before = row // of which the key alone is real
	} else {
		ev.after = row
	}
	return ev, nil
}

// isFlattened reports whether a record that is no envelope may be taken for a row.
func (d *Decoder) isFlattened(schemaName string, marked bool) bool {
	switch d.opt.Events {
	case EventsEnvelope:
		return false
	case EventsFlattened:
		return true
	}
	return marked || strings.HasSuffix(schemaName, rowSuffix)
}

// flattened reads a value of JSON that is the row itself.
func (d *Decoder) flattened(value payload) (change, error) {
	a := addedFields{from: origin{json: true}}
	s := scanner{b: value.data}
	more, err := s.open()
	for more && err == nil {
		var name, val []byte
		if name, err = s.name(&d.name); err != nil {
			break
		}
		r, _ := d.opt.metadata(name)
		if val, err = s.skip(); err != nil {
			break
		}
		switch {
		case r == roleDeleted:
			a.deleted, a.marked = string(val) == "true" || string(val) == `"true"`, true
		case r == roleOp && !isNull(val):
			a.op, a.marked = bytes.Trim(val, `"`), true
		default:
			a.from.setJSON(r, val)
		}
		more, err = s.next()
	}
	if err != nil {
		return change{}, err
	}
	if !d.isFlattened(value.schemaName(), a.marked) {
		return change{}, errNoEvent
	}
	if value.plan == nil {
		value.plan = flatJSON
	}
	return a.change(value)
}

// flattenedAvro reads a value of Avro that is the row itself.
func (d *Decoder) flattenedAvro(value payload) (change, error) {
	var a addedFields
	r := avro.Reader{Data: value.data}
	for i := range value.plan.avro.members {
		m := &value.plan.avro.members[i]
		text := m.value.Kind == avro.String
		switch {
		case m.role == roleDeleted && (text || m.value.Kind == avro.Boolean):
			a.marked = true
			if m.present(&r) {
				a.deleted = text && string(r.Bytes()) == "true" || !text && r.Boolean()
			}
		case m.role == roleOp && text:
			if m.present(&r) {
				a.op, a.marked = r.Bytes(), true
			}
		case text || (m.role == roleMillis || m.role == roleProcessed) && m.value.Kind == avro.Long:
			a.from.read(&r, m)
		default:
			r.Skip(m.all)
		}
	}
	if !d.isFlattened(value.plan.name, a.marked) {
		return change{}, errNoEvent
	}
	if r.Failed || r.Left() > 0 {
		return change{}, errAvro
	}
	return a.change(value)
}

// shapeOfRow returns the shape of the table that a flattened row is of. What the
// transform's fields leave open, the names of the schemas and of the topic tell.
func (d *Decoder) shapeOfRow(o origin, key, value payload) (*shape, error) {
	if f := &d.lastRow; f.sh != nil && f.key == key.plan && f.value == value.plan && string(f.origin[0]) == string(o.db) &&
		string(f.origin[1]) == string(o.schema) && string(f.origin[2]) == string(o.table) {
		return f.sh, nil
	}
	sh, err := d.findRow(o, key, value)
	if err == nil {
		d.lastRow = rowTable{key.plan, value.plan, [3][]byte{bytes.Clone(o.db), bytes.Clone(o.schema), bytes.Clone(o.table)}, sh}
	}
	return sh, err
}

// rowTable is the table of the last flattened row, and what told it.
type rowTable struct {
	key, value *plan
	origin     [3][]byte
	sh         *shape
}

func (d *Decoder) findRow(o origin, key, value payload) (*shape, error) {
	if len(o.table) == 0 && d.opt.TopicTable != nil {
		if table := d.opt.TopicTable(d.topic); table != "" {
			return d.learnAs(table, key)
		}
	}
	name := d.topic
	if n := value.schemaName(); strings.HasSuffix(n, rowSuffix) {
		name = strings.TrimSuffix(n, rowSuffix)
	} else if n := key.schemaName(); strings.HasSuffix(n, ".Key") {
		name = strings.TrimSuffix(n, ".Key")
	}
	told, err := o.identity(d.topic)
	if err != nil {
		return nil, err
	}
	id, known := fromName(d.topic, name)
	if told.Table != "" {
		if !known || id.Table != told.Table {
			id = Identity{Topic: d.topic, Table: told.Table}
		}
		if told.Schema != "" {
			id.Schema = told.Schema
		}
		known = true
	}
	if told.Database != "" {
		id.Database = told.Database
		if id.Schema == id.Database && len(o.schema) == 0 {
			id.Schema = "" // it was the database that stood in the schema's place
		}
	}
	if !known || id.Database == "" && (d.opt.dependsOnDatabase(id) || id.Schema == "" && d.opt.dependsOnSchema(id)) {
		return nil, &fault{"a row without its envelope does not say which table it is of, and neither does its topic " + d.topic,
			"have the transform add what is missing (add.fields=table,schema,db), or name the topic under tables.<table>.topic in the tables file; then restart"}
	}
	return d.learn(id, key)
}

// dependsOnSchema is dependsOnDatabase for the schema.
func (o *Options) dependsOnSchema(id Identity) bool {
	other := id
	other.Schema = "?"
	return o.Table(id) != o.Table(other)
}
