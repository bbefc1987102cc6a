package debezium

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
)

// upsert appends the row that a create, update or snapshot read left behind.
func (d *Decoder) upsert(sh *shape, offset int64, key payload, e *change) error {
	if e.after.data == nil {
		return fmt.Errorf("op %c without an after image", e.op)
	}
	if (e.op == 'u' || e.untold) && sh.replaces() {
		d.absent = schema.Unavailable
	}
	moved := false
	if !d.byKey(sh, key) && sh.replaces() && e.before.data != nil {
		var err error
		if moved, err = d.keyMoved(sh, offset, e); err != nil {
			return err
		}
	}
	err := d.row(sh, schema.Upsert, offset, key, e.after)
	if err == nil && moved {
		d.pair(sh.run, offset)
	}
	return err
}

// delete appends the removal of the row that the key names. Where the key is
// configured instead, it is read from the before image.
func (d *Decoder) delete(sh *shape, offset int64, key payload, e *change) error {
	switch {
	case sh.mode.keeps():
		return d.keep(sh, offset, key, e)
	case d.byKey(sh, key):
		return d.row(sh, schema.Delete, offset, key, payload{plan: e.rows})
	case e.before.data == nil:
		return noBefore
	}
	return d.row(sh, schema.Delete, offset, payload{}, e.before)
}

var noBefore = &fault{"a delete without a before image, which the configured keys are read from",
	"ALTER TABLE … REPLICA IDENTITY FULL makes the database send it from then on; delete the row at the target, move the group's offset past this record and restart"}

// keyMoved appends the removal of the old key if an update changed a configured key, and
// reports whether it did: without a record key Debezium does not split such an update in two.
func (d *Decoder) keyMoved(sh *shape, offset int64, e *change) (moved bool, err error) {
	if err := d.row(sh, schema.Delete, offset, payload{}, e.before); err != nil {
		return false, err
	}
	run := sh.run
	n := run.Len() - 1
	old := bytes.Clone(run.Key(n))
	run.Truncate(n)
	if err := d.row(sh, schema.Upsert, offset, payload{}, e.after); err != nil {
		return false, err
	}
	moved = !bytes.Equal(old, sh.run.Key(sh.run.Len()-1))
	sh.run.Truncate(sh.run.Len() - 1)
	if !moved {
		return false, nil
	}
	err = d.delete(sh, offset, payload{}, e)
	d.absent = schema.Missing // the row is new under its key
	return true, err
}

// row appends one row, or leaves the run and the types of its columns as they
// were. A value that widens its column's inferred type ends the run and the row is
// read again: at most twice a column, for types widen in two steps.
func (d *Decoder) row(sh *shape, op schema.Op, offset int64, key, image payload) error {
	if image.data != nil {
		image.plan = sh.planOf(image.plan)
		if image.plan.open && len(image.data) > maxColumns*len(`"":0,`) {
			s := scanner{b: image.data}
			if n, err := s.members(&d.name); err != nil || n > maxColumns {
				return cmp.Or(err, errColumns) // before one of them is a column
			}
		}
	} else if image.plan != nil && image.plan.open {
		image.plan = nil // that of no table
	}
	if sh.plain.shape == nil {
		// The table's columns stand in the order of its rows, so note their names
		// before the key adds its own.
		if err := d.arrange(sh, image); err != nil {
			return err
		}
	}
	if !sh.given && image.plan != nil {
		if err := d.addGiven(sh, image.plan); err != nil {
			return err
		}
		sh.given = true
	}
	if !sh.complete {
		if err := d.addMetadata(sh); err != nil {
			return &BadRecord{Table: sh.table, Err: err}
		}
		sh.complete = true
		for _, k := range sh.keys { // for keys of plain JSON
			if c, ok := d.given(sh, sh.sources[k], true); ok {
				sh.declared[k] = c
			}
		}
	}
	d.undo = d.undo[:0]
	for {
		d.overlong = false
		if image.plan != nil {
			if err := d.bind(image.plan, sh); err != nil {
				return &BadRecord{Table: sh.table, Err: err}
			}
		}
		run := sh.current()
		n := run.Len()
		if sh.byPosition {
			run.Partial = false
		}
		col, err := d.fill(sh, run, op, offset, key, image)
		if err == nil && sh.byPosition {
			if err = allKnown(sh, run); err == nil {
				run.Positions = append(run.Positions, d.at...)
				run.PositionEnds = append(run.PositionEnds, uint32(len(run.Positions)))
			}
		}
		if err == nil {
			run.Ops = append(run.Ops, op)
			run.Offsets = append(run.Offsets, offset)
			run.KeyEnds = append(run.KeyEnds, uint32(len(run.Keys)))
			if d.overlong {
				d.grow(sh, run)
			}
			return nil
		}
		run.Truncate(n)
		var w widening
		if errors.As(err, &w) && !sh.isKey(col) {
			if n == 0 {
				d.undo.forget(run) // cut recycles it
			}
			d.undo = append(d.undo, retyped{nil, col, sh.cols[col].Type})
			sh.cols[col].Type = schema.Type{Kind: w.to, Inferred: true}
			d.cut(sh)
			continue
		}
		bad := &BadRecord{Table: sh.table, Err: err}
		if col >= 0 {
			bad.Column = sh.cols[col].Name
			switch {
			case w.to != schema.Unknown:
				bad.Err = &fault{fmt.Sprintf("the type of a key column changed from %v to %v", sh.cols[col].Type.Kind, w.to),
					fmt.Sprintf("give it under tables.%s.types in the tables file and restart", sh.table)}
			case image.plan == nil || image.plan.open:
				d.blameTypes(sh, col, bad)
			}
		}
		d.undo.do(d, sh)
		return bad
	}
}

// arrange puts the columns of a new table in the order of its first row image.
func (d *Decoder) arrange(sh *shape, image payload) error {
	var names []string
	if p := image.plan; p != nil && !p.open {
		for i := range p.fields {
			if f := &p.fields[i]; (f.codec.wire != wireDropped && f.codec.wire != wireMetadata || sh.index(f.name) >= 0) && !d.leaves(sh, f.name) {
				names = append(names, f.name)
			}
		}
	} else if p != nil {
		s := scanner{b: image.data}
		more, err := s.open()
		for more && err == nil {
			var name []byte
			if name, err = s.name(&d.name); err != nil {
				break
			}
			if !d.leavesOut(p, name) && !d.leaves(sh, string(name)) {
				if !utf8.Valid(name) {
					return errName(name)
				}
				names = append(names, string(name))
			}
			if _, err = s.skip(); err == nil {
				more, err = s.next()
			}
		}
		if err != nil {
			return err
		}
	}
	sh.plain.shape, sh.plain.version = sh, -1
	if len(names) == 0 || len(sh.cols) > len(sh.keys) {
		return nil
	}
	keys := sh.sources // the key columns are all that there is so far
	sh.cols, sh.sources, sh.rules = nil, nil, nil
	clear(sh.at)
	clear(sh.taken)
	for _, name := range append(names, keys...) {
		if sh.index(name) >= 0 {
			continue
		}
		k := slices.Index(keys, name)
		col, err := d.add(sh, name, schema.Column{Key: k >= 0 && sh.replaces()})
		if err != nil {
			return err
		}
		if k >= 0 {
			sh.keys[k] = col
		}
	}
	return nil
}

// addGiven gives a table the columns that the tables file names and its rows may lack. It
// waits for what tells how rows are written, which a delete's key does not: of a column that
// a schema has, the type is the schema's, and what is left out of one stays out.
func (d *Decoder) addGiven(sh *shape, p *plan) error {
	if d.opt.Columns == nil {
		return nil
	}
	for _, name := range d.opt.Columns(sh.table) {
		if _, has := p.byName[name]; has || sh.index(name) >= 0 || d.leaves(sh, name) {
			continue
		}
		if _, err := d.add(sh, name, schema.Column{}); err != nil {
			return err
		}
	}
	return nil
}

// fill appends the values of a row, and its canonical key, to the run. col is
// the column at fault if there is an error, -1 if none is.
func (d *Decoder) fill(sh *shape, run *schema.Rows, op schema.Op, offset int64, key, image payload) (col int, err error) {
	n := run.Len()
	if d.byKey(sh, key) {
		if col, err = d.fillKey(sh, run, key); err != nil {
			return col, err
		}
	}
	if image.data != nil {
		of := op
		if d.bare {
			of = schema.Delete
		}
		if col, err = d.fillImage(sh, run, of, image); err != nil {
			return col, err
		}
	}
	for _, k := range sh.keys {
		v := &run.Values[k]
		switch {
		case v.Len() == n || v.States[n] == schema.Null:
			return k, errors.New("a key column without a value")
		case v.States[n] != schema.Present:
			return k, errUnavailable
		}
		run.Keys = schema.AppendKey(run.Keys, v, n)
	}
	if !sh.replaces() { // its place is what makes the row one of its own
		run.Keys = append(run.Keys, d.topic...)
		run.Keys = binary.BigEndian.AppendUint32(run.Keys, uint32(d.part))
		run.Keys = binary.BigEndian.AppendUint64(run.Keys, uint64(offset))
	}
	if len(sh.metadata) > 0 && op == schema.Upsert {
		if col, err := d.fillMetadata(sh, run, offset); err != nil {
			return col, err
		}
	}
	absent := schema.Null
	if d.bare && sh.mode == ModeSoftDelete {
		absent, run.Partial = schema.Unavailable, true
	}
	for i := range run.Values {
		if run.Values[i].Len() == n {
			run.Values[i].AppendAbsent(absent)
		}
	}
	return -1, nil
}

// fillImage appends the columns of a row image; of a deleted row only the key.
func (d *Decoder) fillImage(sh *shape, run *schema.Rows, op schema.Op, image payload) (col int, err error) {
	p := image.plan
	switch {
	case p.avro != nil:
		return d.fillAvroImage(sh, run, op, image)
	case p.proto != nil:
		return d.fillProtobufImage(sh, run, op, image)
	}
	n := run.Len()
	keyed := sh.keyed(run)
	s := scanner{b: image.data}
	more, err := s.open()
	if err != nil {
		return -1, err
	}
	members := 0
	for hint := 0; more; hint++ {
		name, err := s.name(&d.name)
		if err != nil {
			return -1, err
		}
		at := p.find(name, hint)
		if at < 0 {
			if at, err = d.newMember(sh, p, name); err != nil {
				return -1, err
			}
		}
		f := &p.fields[at]
		hint = at
		if f.col >= 0 {
			members++
		}
		switch {
		case f.col < 0 || (op == schema.Delete && !sh.isKey(f.col)):
			val, err := s.skip()
			if err != nil {
				return -1, err
			}
			if f.codec.wire == wireDropped && f.col == -1 && op == schema.Upsert && !isNull(val) {
				d.Lost.Values++
			}
		case keyed && sh.isKey(f.col):
			c := f.codec.asKey()
			if err := d.sameKey(sh, run, f.col, d.readTwin(&s, sh, run, f.col, &c)); err != nil {
				return f.col, err
			}
		default:
			v := &run.Values[f.col]
			c := &f.codec
			if v.Len() != n {
				return f.col, errors.New("twice in the row")
			}
			if sh.fromRow && sh.isKey(f.col) {
				key := c.asKey()
				c = &key
			}
			if err := d.appendColumn(&s, sh, run, f.col, c); err != nil {
				return f.col, err
			}
		}
		if more, err = s.next(); err != nil {
			return -1, err
		}
	}
	if p.open && p.member == wireInferred && op == schema.Upsert && members < p.live {
		d.leave(sh, run, p)
	}
	return -1, s.end()
}

// appendColumn reads the value at the cursor into a column, whose type it may be the
// first to tell.
func (d *Decoder) appendColumn(s *scanner, sh *shape, run *schema.Rows, col int, c *codec) error {
	v := &run.Values[col]
	if r := sh.rules[col]; r.Action >= Hash {
		return d.absence(d.appendRuled(s, v, r, c), run, v)
	}
	untyped := v.Kind == schema.Unknown
	err := d.absence(d.appendValue(s, v, &run.Columns[col], c), run, v)
	d.typed(sh, run, col, untyped)
	return err
}

// typed notes the type of a column that a value was the first to tell.
func (d *Decoder) typed(sh *shape, run *schema.Rows, col int, untyped bool) {
	if untyped && run.Values[col].Kind != schema.Unknown {
		d.undo = append(d.undo, retyped{run, col, sh.cols[col].Type})
		sh.cols[col].Type = run.Columns[col].Type
	}
}

// newMember makes room for a member of plain JSON that was not there before.
func (d *Decoder) newMember(sh *shape, p *plan, name []byte) (int, error) {
	if !p.open {
		return 0, fmt.Errorf("column %.80q is not in the record's schema", name)
	}
	if d.leavesOut(p, name) {
		at := p.add(string(name), codec{wire: wireMetadata})
		p.fields[at].col = -1
		return at, nil
	}
	col := sh.index(string(name))
	if d.leaves(sh, string(name)) {
		col = leftOut
	} else if col < 0 {
		var err error
		if col, err = d.add(sh, string(name), schema.Column{}); err != nil {
			return 0, err
		}
	}
	if sh.isKey(col) && !sh.fromRow {
		col = -1
	}
	c, err := d.giveMember(sh, p, string(name), col)
	if err != nil {
		return 0, err
	}
	at := p.add(string(name), c)
	if p.fields[at].col = col; col >= 0 {
		p.live++
	}
	p.shape, p.version = sh, sh.version
	return at, nil
}
