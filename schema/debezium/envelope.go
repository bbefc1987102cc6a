package debezium

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
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
	classes
)

var classNames = [classes]string{"row", "tombstone", "heartbeat", "transaction", "schema_change", "signal", "message", "notification", "excluded", "ignored_truncate"}

func (c Class) String() string { return classNames[c] }

// Classes is the number of classes, for tables indexed by Class.
const Classes = int(classes)

// envelope holds the members of a record's value that matter, as text.
type envelope struct {
	before, after, source, op, message []byte
	tsMillis                           []byte
	// The other members tell the side topics from an envelope.
	status, id, eventCount, ddl, tableChanges, kind, data, aggregate []byte
	members                                                          int
}

// parseEnvelope notes where the members of a value are; it decodes none.
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
	}
	return nil
}

// isEnvelope tells a change envelope from a row that happens to have a column
// called op: the source must be an object, and a row image or message be there.
func (e *envelope) isEnvelope() bool {
	if e.op == nil || len(e.source) == 0 || e.source[0] != '{' {
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
	case strings.HasSuffix(schemaName, ".Envelope"):
		return 0, false
	case e.members == 1 && e.tsMillis != nil && (bytes.Contains(key, []byte(`"serverName"`)) || from.plan != nil && strings.HasSuffix(from.plan.name, ".ServerNameKey")):
		return Heartbeat, true
	case e.id != nil && e.eventCount != nil && (string(e.status) == `"BEGIN"` || string(e.status) == `"END"`):
		return Transaction, true
	case e.ddl != nil && (e.tableChanges != nil || e.source != nil), e.tableChanges != nil && e.source != nil:
		return SchemaChange, true
	case e.aggregate != nil && e.kind != nil:
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
	if !e.isEnvelope() {
		name := ""
		if value.plan != nil {
			name = value.plan.name
		}
		if class, ok := e.side(name, key); ok {
			return change{class: class}, nil
		}
		return ev, errNoEvent
	}
	if len(e.op) != 3 || e.op[0] != '"' {
		return ev, fmt.Errorf("unknown op %.20s", e.op)
	}
	if ev.op = e.op[1] | 0x20; ev.op == 'm' {
		return change{class: Message}, nil
	}
	if ev.from, err = d.parseSource(e.source); err != nil {
		return ev, fmt.Errorf("source: %w", err)
	}
	ev.rows = value.plan
	if len(e.before) > 0 && !isNull(e.before) {
		ev.before = payload{value.plan, e.before}
	}
	if len(e.after) > 0 && !isNull(e.after) {
		ev.after = payload{value.plan, e.after}
	}
	return ev, nil
}

var errNoEvent = errors.New("not a Debezium change event: it has no op and source; " +
	"if a transform such as ExtractNewRecordState unwraps the events, remove it")

// origin is what a row event says of where it comes from.
type origin struct {
	db, schema, table []byte // in JSON with its escapes
	json              bool
	millis            int64
	block             []byte       // the whole, as it came
	members           []avroMember // of an Avro block
}

// name returns the text of one of the names.
func (o *origin) name(raw []byte) string {
	if o.json {
		if text, err := unescape(nil, raw); err == nil {
			return string(text)
		}
	}
	return string(raw)
}

func (o *origin) identity(topic string) Identity {
	return Identity{Topic: topic, Database: o.name(o.db), Schema: o.name(o.schema), Table: o.name(o.table)}
}

// parseSource reads the members of the source block that identify a table, and
// the commit time. Which of them a database fills differs: MySQL has no schema,
// Vitess calls it keyspace, MongoDB calls a table collection.
func (d *Decoder) parseSource(text []byte) (o origin, err error) {
	o.json, o.block = true, text
	s := scanner{b: text}
	more, err := s.open()
	for more && err == nil {
		var name, val []byte
		if name, err = s.name(&d.name); err != nil {
			break
		}
		var to *[]byte
		var unused []byte
		switch string(name) {
		case "db":
			to = &o.db
		case "schema", "keyspace":
			to = &o.schema
		case "table", "collection":
			to = &o.table
		case "ts_ms":
			to = &unused
		}
		if val, err = s.skip(); err != nil {
			break
		}
		if to == &unused {
			o.millis, _ = parseInt(val)
		} else if to != nil && val[0] == '"' {
			*to = val[1 : len(val)-1]
		}
		more, err = s.next()
	}
	return o, err
}

// isSignalTable recognises the table in which Debezium's signals are written.
func isSignalTable(table []byte) bool { return bytes.HasSuffix(table, []byte("debezium_signal")) }
