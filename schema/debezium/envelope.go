package debezium

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Class says what a record is. A Row changes a table; the others change none and are
// recognised so that they can be skipped on purpose and counted.
type Class uint8

const (
	Row Class = iota
	Tombstone
	Heartbeat
	Transaction
	SchemaChange
	Signal
	Message
	Notification
	Excluded // of a table that is left out
	Ignored  // a TRUNCATE, under TruncateIgnore
	Gone     // an update of a document that was deleted since, see Options.SkipGone
	classes
)

var classNames = [classes]string{"row", "tombstone", "heartbeat", "transaction", "schema_change", "signal", "message", "notification", "excluded", "ignored_truncate", "gone"}

func (c Class) String() string { return classNames[c] }

// Classes is the number of classes, for tables indexed by Class.
const Classes = int(classes)

// envelope holds the members of a record's value that matter, as text.
type envelope struct {
	before, after, source, op, message []byte
	tsMillis                           []byte
	// The other members tell the side topics from an envelope.
	status, id, eventCount, ddl, tableChanges, kind, data, aggregate, additional, timestamp []byte
	// A CloudEvent has these, and its data.
	specversion, cloudOp []byte
	members              int
}

// parseEnvelope notes where the members of a value are; it decodes none. One twice is
// refused, for readers differ in which they take.
func (d *Decoder) parseEnvelope(text []byte) (e envelope, err error) {
	s := scanner{b: text}
	more, err := s.open()
	for more && err == nil {
		var name, val []byte
		if name, err = s.name(&d.name); err != nil {
			break
		}
		to := e.member(name)
		if val, err = s.skip(); err != nil {
			break
		}
		e.members++
		if to != nil {
			if *to != nil {
				return e, fmt.Errorf("member %.80q twice", name)
			}
			*to = val
		}
		more, err = s.next()
	}
	if err == nil {
		err = s.end()
	}
	return e, err
}

func (e *envelope) member(name []byte) *[]byte {
	switch string(name) {
	case "before":
		return &e.before
	case "after":
		return &e.after
	case "source":
		return &e.source
	case "op":
		return &e.op
	case "message":
		return &e.message
	case "ts_ms":
		return &e.tsMillis
	case "status":
		return &e.status
	case "id":
		return &e.id
	case "event_count":
		return &e.eventCount
	case "ddl":
		return &e.ddl
	case "tableChanges":
		return &e.tableChanges
	case "type":
		return &e.kind
	case "data":
		return &e.data
	case "aggregate_type":
		return &e.aggregate
	case "additional_data":
		return &e.additional
	case "timestamp":
		return &e.timestamp
	case "specversion":
		return &e.specversion
	case "iodebeziumop":
		return &e.cloudOp
	}
	return nil
}

// isEnvelope tells a change envelope from a row that happens to have a column
// called op: the source must be an object, and a row image or message be there. Where
// rows are to come without an envelope, the source must name its connector as well.
func (e *envelope) isEnvelope(schemaName string, events Events) bool {
	if e.op == nil || len(e.source) == 0 || e.source[0] != '{' || strings.HasSuffix(schemaName, rowSuffix) {
		return false
	}
	if events == EventsFlattened && !bytes.Contains(e.source, []byte(`"connector"`)) {
		return false
	}
	return e.before != nil || e.after != nil || e.message != nil || string(e.op) == `"t"`
}

// side recognises the records of Debezium's side topics, by schema name where
// there is one and else by their members and key, closely: a row whose envelope a
// transform took off may look alike, and must not pass for one.
func (e *envelope) side(schemaName string, from payload) (Class, bool) {
	key := from.data
	switch {
	case strings.HasSuffix(schemaName, ".Heartbeat"):
		return Heartbeat, true
	case strings.HasSuffix(schemaName, ".TransactionMetadataValue"):
		return Transaction, true
	case strings.HasSuffix(schemaName, ".SchemaChangeValue"):
		return SchemaChange, true
	case strings.HasSuffix(schemaName, ".Notification"):
		return Notification, true
	case strings.HasSuffix(schemaName, ".Envelope"), strings.HasSuffix(schemaName, rowSuffix):
		return 0, false
	case e.members == 1 && e.tsMillis != nil && (bytes.Contains(key, []byte(`"serverName"`)) || from.plan != nil && strings.HasSuffix(from.plan.name, ".ServerNameKey")):
		return Heartbeat, true
	case e.id != nil && e.eventCount != nil && (string(e.status) == `"BEGIN"` || string(e.status) == `"END"`):
		return Transaction, true
	case e.ddl != nil && (e.tableChanges != nil || e.source != nil), e.tableChanges != nil && e.source != nil:
		return SchemaChange, true
	case e.aggregate != nil && e.kind != nil && e.id != nil && (e.additional != nil || e.timestamp != nil) && e.members <= 5:
		return Notification, true
	case e.kind != nil && e.members == 2 && len(e.data) > 0 && e.data[0] == '{' && (len(key) == 0 || key[0] != '{'):
		return Signal, true
	}
	return 0, false
}

// jsonChange reads a value of JSON.
func (d *Decoder) jsonChange(key, value payload) (ev change, err error) {
	e, err := d.parseEnvelope(value.data)
	if err != nil {
		return ev, err
	}
	name := value.schemaName()
	switch {
	case e.specversion != nil && e.cloudOp != nil:
		return d.cloudEvent(&e, value)
	case !e.isEnvelope(name, d.opt.Events):
		if class, ok := e.side(name, key); ok {
			return change{class: class}, nil
		}
		return d.flattened(value)
	}
	if ev.from, err = d.parseSource(e.source); err != nil {
		return ev, fmt.Errorf("source: %w", err)
	}
	return d.imagesOf(ev, &e, e.op, value.plan)
}

// imagesOf completes a change by its op, a JSON string, and the row images in e.
func (d *Decoder) imagesOf(ev change, e *envelope, op []byte, rows *plan) (change, error) {
	if len(op) != 3 || op[0] != '"' {
		return ev, fmt.Errorf("unknown op %.20q", bytes.Trim(op, `"`))
	}
	if ev.op = op[1] | 0x20; ev.op == 'm' {
		return change{class: Message}, nil
	}
	ev.rows = rows
	var err error
	if ev.before, err = d.image(rows, e.before); err == nil {
		ev.after, err = d.image(rows, e.after)
	}
	return ev, err
}

// image is a row image: an object, or a document in a string.
func (d *Decoder) image(rows *plan, text []byte) (payload, error) {
	switch {
	case len(text) == 0 || isNull(text):
		return payload{}, nil
	case text[0] == '"':
		from := len(d.documents)
		var err error
		d.documents, err = unescape(d.documents, text[1:len(text)-1])
		return payload{plan: document, data: d.documents[from:]}, err
	}
	return payload{plan: rows, data: text}, nil
}

var errNoEvent = errors.New("not a Debezium change event: it has no op and source; if a transform such as ExtractNewRecordState " +
	"takes the envelope off, have it add op (add.fields=op,table,source.ts_ms), or set SLUICE_EVENTS=flattened")

// origin is what a row event says of where it comes from.
type origin struct {
	db, schema, table []byte // in JSON with its escapes
	json              bool
	millis            int64
	block             []byte       // the whole, as it came
	members           []avroMember // of an Avro block
	proto             *protoPlan   // of the envelope of a Protobuf block
	documents         bool         // of MongoDB, whose tables are collections of documents
	cassandra         bool
	trace             []byte // a CloudEvent's traceparent
}

// identity unescapes the names that tell the table.
func (o *origin) identity(topic string) (id Identity, err error) {
	id.Topic = topic
	for _, name := range []struct {
		to  *string
		raw []byte
	}{{&id.Database, o.db}, {&id.Schema, o.schema}, {&id.Table, o.table}} {
		text := name.raw
		if o.json {
			if text, err = unescape(nil, text); err != nil {
				return id, fmt.Errorf("source: %w", err)
			}
		}
		if *name.to = string(text); !utf8.Valid(text) {
			return id, fmt.Errorf("source: the name %.80q is not valid UTF-8", text)
		}
	}
	return id, nil
}

// role is what a member says of a change.
type role uint8

const (
	roleOther role = iota
	roleBefore
	roleAfter
	roleSource
	roleOp
	roleDB
	roleSchema
	roleTable
	roleCollection
	roleMillis
	roleProcessed // when the connector saw it, for want of the commit time
	roleConnector
	roleDeleted
	roleData
	roleTrace
	roles
)

// sourceRole returns what a member of the source block says. Which of them a database
// fills differs: MySQL has no schema, Vitess calls it keyspace, MongoDB calls a table
// collection.
func sourceRole(name []byte) role {
	switch string(name) {
	case "db":
		return roleDB
	case "schema", "keyspace":
		return roleSchema
	case "table":
		return roleTable
	case "collection":
		return roleCollection
	case "ts_ms":
		return roleMillis
	case "connector":
		return roleConnector
	}
	return roleOther
}

// set notes what a member says.
func (o *origin) set(r role, text []byte) {
	switch r {
	case roleDB:
		o.db = text
	case roleSchema:
		o.schema = text
	case roleTable:
		o.table = text
	case roleCollection:
		o.table, o.documents = text, true
	case roleMillis:
		o.millis, _ = parseInt(text)
	case roleProcessed:
		if o.millis == 0 {
			o.millis, _ = parseInt(text)
		}
	case roleTrace:
		o.trace = text
	case roleConnector:
		o.cassandra = string(text) == "cassandra"
	}
}

// setJSON notes a member of JSON. Numbers come in strings as well.
func (o *origin) setJSON(r role, val []byte) {
	if val[0] == '"' {
		o.set(r, val[1:len(val)-1])
	} else if r == roleMillis || r == roleProcessed {
		o.set(r, val)
	}
}

// parseSource reads the members of the source block that identify a table, and the
// commit time.
func (d *Decoder) parseSource(text []byte) (o origin, err error) {
	o.json, o.block = true, text
	s := scanner{b: text}
	more, err := s.open()
	for more && err == nil {
		var name, val []byte
		if name, err = s.name(&d.name); err != nil {
			break
		}
		r := sourceRole(name)
		if val, err = s.skip(); err != nil {
			break
		}
		o.setJSON(r, val)
		more, err = s.next()
	}
	return o, err
}

// isSignalTable recognises the table in which Debezium's signals are written.
func isSignalTable(table []byte) bool { return bytes.HasSuffix(table, []byte("debezium_signal")) }
