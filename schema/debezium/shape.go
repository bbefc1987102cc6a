package debezium

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
)

// shape is what a decoder knows of one table: its columns so far, which of them
// are the key, and the run of rows being filled.
type shape struct {
	table     string
	id        Identity
	cols      []schema.Column // under their names at the target
	sources   []string        // their names at the source, parallel to cols
	at, taken map[string]int  // positions in cols by source's name and by target's: a search would take its time with their square
	rules     []Rule          // parallel to cols
	keys      []int           // positions of the key columns, in key order
	// metadata are the columns that the source does not have.
	metadata []metadata
	complete bool // metadata has them all
	given    bool // it has the columns of Options.Columns
	// declared are the codecs of key columns that the rows' schema tells, for keys
	// that come without one.
	declared map[int]codec
	fromRow  bool // the record's key is not asked: the row's is configured, or there is none
	mode     Mode
	excluded bool // its records are dropped, and nothing else is known of it
	// byPosition says that its rows have positions.
	byPosition bool
	run        *schema.Rows
	version    int // grows when cols or run change
	// The members of plain JSON rows, of those without an envelope and of documents, in
	// the order first seen.
	plain, flat, docs plan
}

// planOf returns the plan of a row image, which for plain JSON is the table's own.
func (sh *shape) planOf(p *plan) *plan {
	switch p {
	case nil:
		return &sh.plain
	case flatJSON:
		return &sh.flat
	case document:
		return &sh.docs
	}
	return p
}

// openPlan returns a plan that gets its fields as they come.
func openPlan(like plan) plan {
	like.open, like.byName = true, map[string]int{}
	return like
}

var runs = sync.Pool{New: func() any { return new(schema.Rows) }}

// Recycle takes back rows that nobody uses any longer, so that decoding needs no
// new memory. It may be called from any goroutine.
func Recycle(rows *schema.Rows) { runs.Put(rows) }

func (d *Decoder) newShape(table string, keys []string, fromRow bool) (*shape, error) {
	sh := &shape{table: table, mode: d.opt.mode(table), declared: map[int]codec{}, fromRow: fromRow, at: map[string]int{}, taken: map[string]int{}, plain: openPlan(plan{}), flat: openPlan(*flatJSON), docs: openPlan(*document)}
	sh.byPosition = d.opt.ByPosition != nil && d.opt.ByPosition(table)
	for _, k := range keys {
		if err := d.checkKey(table, k); err != nil {
			return nil, err
		}
		col, err := d.add(sh, k, schema.Column{Key: sh.replaces()})
		if err != nil {
			return nil, err
		}
		sh.keys = append(sh.keys, col)
	}
	return sh, nil
}

// current returns the run to append to.
func (sh *shape) current() *schema.Rows {
	if sh.run == nil {
		sh.run = runs.Get().(*schema.Rows)
		sh.run.Reset(sh.table, sh.cols)
	}
	return sh.run
}

// index returns the position of a source column, or -1.
func (sh *shape) index(source string) int {
	if i, ok := sh.at[source]; ok {
		return i
	}
	return -1
}

// replaces reports whether rows take the place of those of their key, and are not each
// known by where its record stands.
func (sh *shape) replaces() bool { return sh.mode == ModeUpsert || sh.mode == ModeSoftDelete }

func (sh *shape) isKey(col int) bool { return slices.Contains(sh.keys, col) }

// add gives the table a column for one of the source's, under the name that it has
// at the target. Rows of the run so far are NULL there.
func (d *Decoder) add(sh *shape, source string, c schema.Column) (int, error) {
	if !utf8.ValidString(source) {
		return -1, errName([]byte(source))
	}
	rule := Rule{}
	if c.Name == "" {
		c.Name = source
		if rule = d.rule(sh, source); rule.Action >= Hash {
			c.Type = rule.typ()
		}
		if d.opt.Column != nil {
			c.Name = d.opt.Column(sh.table, source)
		}
	}
	if len(sh.cols) == maxColumns {
		return -1, errColumns
	}
	if at, ok := sh.taken[c.Name]; ok {
		return -1, &fault{fmt.Sprintf("columns %q and %q are both named %q at the target", sh.sources[at], source, c.Name),
			fmt.Sprintf("give one of them another name under tables.%s.columns in the tables file and restart", sh.table)}
	}
	if c.Type.Kind == schema.Unknown {
		c.Type = d.givenType(sh, source, c.Key)
	}
	sh.at[source], sh.taken[c.Name] = len(sh.cols), len(sh.cols)
	sh.cols = append(sh.cols, c)
	sh.sources = append(sh.sources, source)
	sh.rules = append(sh.rules, rule)
	if sh.run != nil {
		sh.run.AddColumn(c)
	}
	sh.version++
	return len(sh.cols) - 1, nil
}

// maxColumns is more than any database has in a table.
const maxColumns = 10_000

var errColumns = fmt.Errorf("more than %d columns", maxColumns)

func errName(name []byte) error {
	return fmt.Errorf("the column name %.80q is not valid UTF-8", name)
}

// declare gives a column the type that a schema declares. It reports whether the
// run must be cut first, because its rows hold the column under another kind.
func (sh *shape) declare(col int, t schema.Type) (cut bool) {
	have := &sh.cols[col].Type
	if have.Kind == t.Kind {
		// Rows under the old length stay, so the wider one holds for all.
		declared := *have
		declared.Inferred = false
		*have, _ = schema.Widen(declared, t)
		if sh.run != nil {
			sh.run.Columns[col].Type = *have
		}
		return false
	}
	cut = have.Kind != schema.Unknown
	*have = t
	sh.version++
	if !cut && sh.run != nil {
		sh.run.Values[col].Become(t.Kind)
		sh.run.Columns[col].Type = t
	}
	return cut
}

// bind finds the columns for a plan's fields, adding and declaring them.
func (d *Decoder) bind(p *plan, sh *shape) (err error) {
	if p.shape == sh && p.version == sh.version {
		return nil
	}
	if p.shape != sh && !p.open {
		d.leaveSchema(sh, p)
	}
	cut := false
	for i := range p.fields {
		f := &p.fields[i]
		if f.codec.unknown && !f.told {
			d.Lost.Unknown++
			f.told = true
		}
		col := sh.index(f.name)
		c := f.codec
		rule := d.rule(sh, f.name)
		if col >= 0 && sh.isKey(col) || rule.Action >= Hash {
			c = c.asKey()
		}
		switch {
		case c.wire == wireMetadata:
			col = -1
		case rule.Action == Unlisted || rule.Action == Exclude:
			col = leftOut
		case c.wire == wireDropped && (col < 0 || !sh.isKey(col)):
			col = -1
		case col < 0:
			if col, err = d.add(sh, f.name, schema.Column{Type: c.typ()}); err != nil {
				return err
			}
		case sh.isKey(col) && !sh.fromRow:
			if !c.inferred() && c.wire != wireRefused { // keys without a schema tell their type themselves
				sh.declared[col] = c
			}
			col = -1
		case rule.Action >= Hash || f.codec.wire == wireRefused || f.codec.inferred():
		default:
			if sh.isKey(col) {
				sh.declared[col] = c
			}
			cut = sh.declare(col, c.typ()) || cut
		}
		f.col = col
	}
	if cut {
		d.cut(sh)
	}
	p.shape, p.version = sh, sh.version
	return nil
}

// cut ends the run, so that the next row starts one under the columns as they
// are now.
func (d *Decoder) cut(sh *shape) {
	if sh.run != nil && sh.run.Len() > 0 {
		d.done = append(d.done, sh.run)
	} else if sh.run != nil {
		Recycle(sh.run)
	}
	sh.run = nil
	sh.version++
}

// Identity names the table that a change is of, as its database does.
type Identity struct {
	Topic    string
	Database string
	Schema   string // "" where the database has no schemas
	Table    string
}

// sameTable reports whether two identities can be of one table. What is read off a
// name has no database, or has it in the place of the schema.
func (id Identity) sameTable(other Identity) bool {
	if id.Table != other.Table {
		return false
	}
	if id.Database != "" && other.Database != "" {
		return id.Database == other.Database && id.Schema == other.Schema
	}
	return id.Schema == other.Schema || id.Schema == "" && id.Database == other.Schema || other.Schema == "" && other.Database == id.Schema
}

// learn makes the shape of a table met for the first time.
func (d *Decoder) learn(id Identity, key payload) (*shape, error) {
	table := d.opt.Table(id)
	sh := d.shapes[table]
	if d.opt.Claim != nil && id.Table != "" && (sh == nil || !sh.id.sameTable(id)) && !d.excluded(table) {
		if err := d.opt.Claim(table, id); err != nil {
			return nil, &BadRecord{Table: table, Err: err}
		}
	}
	if sh != nil {
		return sh, nil
	}
	if d.excluded(table) {
		sh := &shape{table: table, id: id, excluded: true}
		d.shapes[table] = sh
		return sh, nil
	}
	keys := []string(nil)
	if d.opt.Keys != nil {
		keys = d.opt.Keys(table)
	}
	mode := d.opt.mode(table)
	fromRow := len(keys) > 0 || mode == ModeAppend || mode == ModeHistory && key.data == nil
	if !fromRow {
		switch {
		case key.data == nil:
			return nil, &BadRecord{Table: table, Err: noKey(table)}
		case key.bare():
			return nil, &BadRecord{Table: table, Err: bareKey(table)}
		}
		var err error
		if keys, err = d.keyNames(key); err != nil {
			return nil, &BadRecord{Table: table, Err: fmt.Errorf("key: %w", err)}
		}
	}
	sh, err := d.newShape(table, keys, fromRow)
	if err != nil {
		return nil, &BadRecord{Table: table, Err: err}
	}
	sh.id = id
	d.shapes[table] = sh
	d.order = append(d.order, sh)
	return sh, nil
}

func noKey(table string) error {
	return &fault{"the record has no key and the table none configured",
		fmt.Sprintf("name the table's key columns under tables.%[1]s.keys in the tables file, or set tables.%[1]s.append: true if its rows are only ever added, or give the source table a primary key and load it anew; then restart", table)}
}

// notAppended is the error of a change to a row that nothing at the target names.
func notAppended(table string, op byte) error {
	return &fault{fmt.Sprintf("op %c, which changes a row, and the table's rows are only ever added (tables.%s.append)", op, table),
		fmt.Sprintf("name the table's key columns under tables.%s.keys in the tables file instead, and load it anew; or leave such changes out with the connector's skipped.operations=u,d and move the group's offset past this record; then restart", table)}
}

// newInKey is the error of a key that has a column which it had not before.
func newInKey(name string) error {
	return &fault{fmt.Sprintf("key: column %.80q is new in it; a table's key cannot change while it is loaded", name),
		"drop the target table and load it anew under its new key, with the group's offset moved to where that begins; then restart"}
}

// keyNames lists the columns of a key in order.
func (d *Decoder) keyNames(key payload) (names []string, err error) {
	if key.plan != nil && (key.plan.avro != nil || key.plan.proto != nil) {
		for i := range key.plan.fields {
			names = append(names, key.plan.fields[i].name)
		}
	} else {
		s := scanner{b: key.data}
		more, err := s.open()
		for more && err == nil {
			var name []byte
			if name, err = s.name(&d.name); err == nil {
				names = append(names, string(name))
				if _, err = s.skip(); err == nil {
					more, err = s.next()
				}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return nil, errors.New("no columns in it")
	}
	if key.document && len(names) == 1 && names[0] == "id" {
		names[0] = documentID
	}
	return names, nil
}

// fromName reads the identity of a table off a name, <prefix>.<schema>.<table>,
// as topics and key schemas have it. Where the database has no schemas, it is the
// database that stands there.
func fromName(topic, name string) (Identity, bool) {
	parts := strings.Split(name, ".")
	n := len(parts)
	if n < 3 || parts[n-2] == "" || parts[n-1] == "" {
		return Identity{}, false
	}
	return Identity{Topic: topic, Schema: parts[n-2], Table: parts[n-1]}, true
}
