// Package debezium turns Debezium's change events into rows of typed columns.
//
// Decoder is the way in. It reads JSON with and without schema, and what is under the
// schemas of a registry; what Debezium sends is described in its documentation,
// "Data change events" of each connector, in Kafka Connect's JsonConverter, and in
// AvroData of the Avro converters.
package debezium

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// Record is a Kafka record, as far as decoding needs it. The bytes are read
// during Decode only.
type Record struct {
	Partition  int32
	Offset     int64
	Millis     int64  // the record's timestamp, in ms since the epoch
	Key, Value []byte // nil: null
	Headers    []Header
}

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}

// header returns the value of the last header of a name, nil if there is none.
func (r *Record) header(name string) []byte {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if r.Headers[i].Key == name {
			return r.Headers[i].Value
		}
	}
	return nil
}

// Lost counts values that are not whole any more, so that none goes silently.
type Lost struct {
	Strings int64 // longer than their column: cut, or passed for the target to cut
	Values  int64 // left out under BinaryDrop
	Digits  int64 // decimals that a double does not hold, times finer than TimeUnit
	Nulled  int64 // out of range: NULL under RangeNull, or as NaN has no nearest number
	Clamped int64 // out of range: the nearest under RangeClamp
	Unknown int64 // columns whose type is not known and that are read as its base type
	Unzoned int64 // instants without an offset, taken for UTC
}

// Sub returns what was lost since an earlier count.
func (l Lost) Sub(before Lost) Lost {
	return Lost{l.Strings - before.Strings, l.Values - before.Values, l.Digits - before.Digits,
		l.Nulled - before.Nulled, l.Clamped - before.Clamped, l.Unknown - before.Unknown, l.Unzoned - before.Unzoned}
}

// Decoder decodes the records of one partition, in order. It appends each row to
// the columns of its table's current run; Take hands the runs over. A Decoder
// serves one goroutine at a time; the decoders of several partitions share
// nothing and run at once.
type Decoder struct {
	// Lost counts what the options allow to be lost.
	Lost Lost

	opt    Options
	topic  string
	part   int32             // of the record at hand
	shapes map[string]*shape // by target table
	order  []*shape          // as first seen
	done   []*schema.Rows    // runs that were cut

	stage Reason // what is wrong with the record at hand, if anything is
	op    byte   // of the change at hand, and where it comes from
	from  origin
	bare  bool // of the row image only the key is to be read

	at       []byte // the position of the last change of a table that is ordered by it
	ordering ordering

	// The source table of the last row, which most often is that of the next.
	last       *shape
	lastOrigin [3][]byte
	lastRow    rowTable
	deleted    []byte // the key of the last record if it was a delete, else empty
	undo       undo
	absent     schema.State // of values that the record at hand does not bring
	left       []Left
	overlong   bool // the row at hand has a string for which a column must grow

	keyPlans, valuePlans wrappers
	framed               [2]framedPlans // of values, of keys
	name, text, raw      []byte         // scratch
	protoValues          []protobuf.Value
	documents            []byte        // those of the record at hand, unescaped
	collections          bool          // there were documents: the topic is MongoDB's
	relaxed              []byte        // a value of a document in plain JSON
	data                 []byte        // of the CloudEvent at hand
	twin                 schema.Values // a row's own value of its bare key
	twinCol              schema.Column

	mac         hash.Hash     // of Options.HashKey
	plain       schema.Values // the value that is being hashed, its column and how it is read
	plainColumn schema.Column
	plainCodec  codec
	json        []byte        // scratch: what nested values become
	leaf        schema.Values // scratch: one value within them
	made        made          // scratch: the parts of a struct that is one value
	unavailable *placeholders // of Options.Placeholder
}

// NewDecoder returns a decoder for a partition of topic.
func NewDecoder(topic string, opt Options) *Decoder {
	opt.TimeUnit = max(opt.TimeUnit, 1)
	opt.ClockUnit = cmp.Or(opt.ClockUnit, 1000)
	if opt.Framing == (frame.Framing{}) {
		opt.Framing = frame.Confluent
	}
	if opt.FlattenedPrefix == "" {
		opt.FlattenedPrefix = "__"
	}
	if opt.Placeholder == "" {
		opt.Placeholder = "__debezium_unavailable_value"
	}
	opt.TraceColumn = cmp.Or(opt.TraceColumn, "tracingspancontext")
	unavailable := placeholdersOf(opt.Placeholder)
	unavailable.object = opt.ObjectText
	return &Decoder{opt: opt, topic: topic, shapes: map[string]*shape{}, unavailable: unavailable}
}

// Take appends the runs decoded since the last call to dst, those of one table
// in order. They belong to the caller, who may Recycle them.
func (d *Decoder) Take(dst []*schema.Rows) []*schema.Rows {
	dst = append(dst, d.done...)
	d.done = d.done[:0]
	for _, sh := range d.order {
		if sh.run != nil && sh.run.Len() > 0 {
			dst = append(dst, sh.run)
			sh.run = nil
		}
	}
	return dst
}

// NeedSchema is the error of a record whose writer's schema is not known yet. The
// record has left no trace; decode it again once Options.Schema knows the id.
type NeedSchema struct{ ID frame.ID }

func (e *NeedSchema) Error() string { return fmt.Sprintf("schema %v is not known yet", e.ID) }

// Decode appends the change in a record to the run of its table, or says which
// class of record it is that changes no table. An error is a *NeedSchema or a
// *BadRecord.
func (d *Decoder) Decode(rec Record) (Class, error) {
	d.part = rec.Partition
	class, sh, err := d.decode(rec)
	if err == nil {
		return class, nil
	}
	var need *NeedSchema
	var bad *BadRecord
	waits := errors.As(err, &need)
	if !waits && !errors.As(err, &bad) {
		bad = &BadRecord{Err: err}
	}
	table := ""
	switch {
	case bad != nil && bad.Table != "":
		table = bad.Table
	case sh != nil:
		table = sh.table
	default:
		table = d.tableByName()
	}
	switch {
	case table != "" && d.excluded(table):
		return Excluded, nil
	case waits:
		return class, need
	}
	bad.Table, bad.Reason = table, d.reason(bad.Err)
	var f *fault
	if errors.As(bad.Err, &f) {
		bad.OfTable, bad.Remedy = true, f.remedy
	}
	return class, bad
}

func (d *Decoder) excluded(table string) bool { return d.opt.Exclude != nil && d.opt.Exclude(table) }

func (d *Decoder) decode(rec Record) (Class, *shape, error) {
	d.stage = Unreadable
	key, err := d.open(&rec, rec.Key, true)
	if err != nil {
		return Row, nil, fmt.Errorf("key: %w", err)
	}
	value, err := d.open(&rec, rec.Value, false)
	if err != nil {
		return Row, nil, err
	}
	d.stage = NoEvent
	if value.data == nil {
		return d.tombstone(rec, key)
	}
	d.deleted, d.absent = d.deleted[:0], schema.Missing
	e, err := d.change(key, value)
	if err != nil || e.class != Row {
		return e.class, nil, err
	}
	if isSignalTable(e.from.table) {
		return Signal, nil, nil
	}
	if e.from.cassandra {
		return Row, nil, errCassandra
	}
	d.stage = TableMisfit
	if e.op == 't' {
		class, err := d.truncate(&rec, &e)
		return class, nil, err
	}
	if e.from.documents {
		d.collections, key.document = true, true
	}
	sh, err := (*shape)(nil), error(nil)
	if e.flat {
		sh, err = d.shapeOfRow(e.from, key, value)
	} else {
		sh, err = d.shapeOf(e.from, key)
	}
	if err != nil {
		return Row, nil, err
	}
	if sh.excluded {
		return Excluded, sh, nil
	}
	if e.op == 'u' && e.from.documents && e.after.data == nil {
		if d.opt.SkipGone {
			return Gone, sh, nil
		}
		return Row, sh, documentGone(sh.table)
	}
	if sh.mode == ModeAppend && (e.op == 'u' || e.op == 'd') {
		return Row, sh, notAppended(sh.table, e.op)
	}
	if e.untold && rec.header(oldKeyHeader) != nil {
		e.untold = false // it is the second record of a changed key, which is a c
	}
	d.op, d.from = e.op, e.from
	if e.untold {
		d.op = 0
	}
	if sh.byPosition {
		if err := d.place(sh); err != nil {
			return Row, sh, err
		}
	}
	d.stage = ValueMisfit
	switch e.op {
	case 'r', 'c', 'u':
		err = d.upsert(sh, rec.Offset, key, &e)
	case 'd':
		err = d.delete(sh, rec.Offset, key, &e)
		d.deleted = append(d.deleted, rec.Key...)
	default:
		d.stage = NoEvent
		err = fmt.Errorf("unknown op %q", string(e.op))
	}
	if err == nil && (e.op == 'c' || e.op == 'd') {
		d.moved(sh, &rec, &e)
	}
	if err == nil && e.from.millis > 0 {
		if run := sh.run; run.Oldest == 0 || e.from.millis < run.Oldest {
			run.Oldest = e.from.millis
		}
	}
	if err == nil && d.opt.Traces {
		d.link(sh.run, sh, &rec, &e)
	}
	return Row, sh, err
}

// payload is a record's key or value without its wrapping: what it is under, nil
// for plain JSON, and its bytes, nil for null.
type payload struct {
	plan     *plan
	data     []byte
	document bool // it is the key of a document
}

// schemaName returns the name of the schema, "" if there is none.
func (p payload) schemaName() string {
	if p.plan == nil {
		return ""
	}
	return p.plan.name
}

// open takes the wrapping off a key or value: the frame of a registry, or the JSON
// object that carries its schema.
func (d *Decoder) open(rec *Record, raw []byte, isKey bool) (payload, error) {
	if len(raw) == 0 {
		return payload{}, nil
	}
	if isKey {
		if key, ok := d.openBare(raw); ok {
			return key, nil
		}
	}
	if d.opt.Format != JSON {
		f, err := d.frameOf(rec, raw, isKey)
		if err != nil {
			return payload{}, err
		}
		if f.id.Space != 0 {
			return d.openFramed(f, isKey)
		}
	}
	known := &d.valuePlans
	if isKey {
		known = &d.keyPlans
	}
	p, text, err := d.unwrap(raw, known, isKey)
	text = bytes.TrimSpace(text)
	if err != nil || isNull(text) {
		return payload{}, err
	}
	if isKey && p == nil && len(text) > 0 && text[0] != '{' {
		p = plainKey
	}
	return payload{plan: p, data: text}, nil
}

// change is what a record's value says.
type change struct {
	class         Class
	op            byte // of a Row: r, c, u, d or t
	from          origin
	rows          *plan   // of the row images, nil for plain JSON
	before, after payload // data nil: not there
	flat          bool    // it came without an envelope
	untold        bool    // whether it is op c or u
}

func (d *Decoder) change(key, value payload) (change, error) {
	d.documents = d.documents[:0]
	switch p := value.plan; {
	case p != nil && p.avro != nil:
		return d.avroChange(value)
	case p != nil && p.proto != nil:
		return d.protobufChange(value)
	}
	return d.jsonChange(key, value)
}

var errCassandra = &fault{"an event of Debezium's Cassandra connector: its rows have the columns that changed alone",
	"leave the topic out of SLUICE_KAFKA_TOPICS, or the table by exclude: true in the tables file; then restart"}

// shapeOf returns the shape of the table that a row event is of.
func (d *Decoder) shapeOf(o origin, key payload) (*shape, error) {
	if d.last != nil && bytes.Equal(o.table, d.lastOrigin[2]) && bytes.Equal(o.schema, d.lastOrigin[1]) && bytes.Equal(o.db, d.lastOrigin[0]) {
		return d.last, nil
	}
	if len(o.table) == 0 {
		return nil, errors.New("source does not name a table")
	}
	id, err := o.identity(d.topic)
	if err != nil {
		return nil, err
	}
	sh, err := d.learn(id, key)
	if err == nil {
		d.last = sh
		d.lastOrigin = [3][]byte{bytes.Clone(o.db), bytes.Clone(o.schema), bytes.Clone(o.table)}
	}
	return sh, err
}
