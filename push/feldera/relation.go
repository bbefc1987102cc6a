package feldera

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// relation is a table of the pipeline's program.
type relation struct {
	Name          string   `json:"name"`
	CaseSensitive bool     `json:"case_sensitive"`
	PrimaryKey    []string `json:"primary_key"`
	Fields        []field  `json:"fields"`
}

type field struct {
	Name          string     `json:"name"`
	CaseSensitive bool       `json:"case_sensitive"`
	Default       *string    `json:"default"`
	Type          columnType `json:"columntype"`
}

// canonical is the name as the program knows it: SQL folds what is not in quotes to lower
// case (https://docs.feldera.com/sql/identifiers/).
func canonical(name string, caseSensitive bool) string {
	if caseSensitive {
		return name
	}
	return strings.ToLower(name)
}

func (r *relation) canonical() string { return canonical(r.Name, r.CaseSensitive) }

// segment is the one spelling of a table in paths: each spelling has a queue of its own.
func segment(canonical string) string {
	if canonical == strings.ToLower(canonical) {
		return canonical
	}
	return `"` + canonical + `"`
}

// table finds a table by the name that it has here: as it is, or else without its case.
func (p *pipeline) table(name string) *relation {
	if r := p.tables[name]; r != nil {
		return r
	}
	return p.tables[strings.ToLower(name)]
}

func (r *relation) field(name string) *field {
	for i := range r.Fields {
		if f := &r.Fields[i]; canonical(name, f.CaseSensitive) == canonical(f.Name, f.CaseSensitive) {
			return f
		}
	}
	return nil
}

// keyed reports whether a column of that name is in the primary key.
func (r *relation) keyed(name string) bool {
	f := r.field(name)
	return f != nil && slices.ContainsFunc(r.PrimaryKey, func(k string) bool { return r.field(k) == f })
}

// twins are two names of which the pipeline would take one for the other: of columns, or else of
// fields that these would go to; "" if there are none. It finds a field by its name in lower
// case, and versions differ in what they make of one in quotes
// (crates/feldera-types/src/serde_with_context/deserialize.rs). Of two values for one field the
// later one stands, in silence.
func twins(columns []schema.Column, fields []field) (one, other string, here bool) {
	sent, found := map[string]string{}, map[string]string{}
	for i := range columns {
		name, folded := columns[i].Name, canonical(columns[i].Name, false)
		if before, twice := sent[folded]; twice {
			return before, name, true
		}
		sent[folded] = name
	}
	for i := range fields {
		name, folded := fields[i].Name, canonical(fields[i].Name, false)
		if _, any := sent[folded]; !any {
			continue
		}
		if before, twice := found[folded]; twice {
			return before, name, false
		}
		found[folded] = name
	}
	return "", "", false
}

// check compares a table with the pipeline's: what is sent must be taken whole, and a row
// that is sent again must take its own place. Of deletes only the key is sent.
func (s *Sink) check(p *pipeline, t *schema.Table, deletes bool) (*relation, error) {
	r := p.table(t.Name)
	refuse := func(hint, format string, args ...any) (*relation, error) {
		return nil, &push.Error{Op: "check table", Kind: push.Rejected, Message: fmt.Sprintf("table %s: ", t.Name) + fmt.Sprintf(format, args...), Hint: hint}
	}
	if r == nil {
		return refuse("add it to the pipeline's program, or give it another name by SLUICE_TARGET_TABLE or tables.<table>.from in the tables file", "pipeline %s has no such table", s.opt.Pipeline)
	}
	switch one, other, here := twins(t.Columns, r.Fields); {
	case here:
		return refuse("give one of them another name under tables."+t.Name+".columns in the tables file, or leave it out with tables."+t.Name+".excludeColumns", "columns %q and %q are one to the pipeline, which ignores case", one, other)
	case one != "":
		return refuse("give one of them another name in the pipeline's program", "columns %q and %q of the pipeline are one to it when it reads a row, for it ignores case", one, other)
	}
	if s.opt.Append != nil && s.opt.Append(t.Name) {
		if len(r.PrimaryKey) > 0 && (s.opt.Position == nil || !r.keyed(s.opt.Position(t.Name))) {
			return refuse("leave PRIMARY KEY out of the pipeline's program, or add the column of kafka_position to it, which no two rows share: tables."+t.Name+".metadataColumns in the tables file",
				"its rows are only ever added, and those with the same PRIMARY KEY (%s) would replace each other in the pipeline", strings.Join(r.PrimaryKey, ", "))
		}
	} else {
		var keys, want []string
		for _, k := range t.Keys() {
			if f := r.field(k); f != nil {
				k = f.Name
			}
			keys = append(keys, k)
		}
		for _, k := range r.PrimaryKey {
			if f := r.field(k); f != nil {
				k = f.Name
			}
			want = append(want, k)
		}
		if len(keys)+len(want) == 0 {
			return refuse("a row that is sent again would stand there twice: declare PRIMARY KEY in the pipeline's program and set tables."+t.Name+".keys in the tables file; or set tables."+t.Name+".append: true there, if its rows are only ever added",
				"it has no key, neither here nor in the pipeline")
		}
		slices.Sort(keys)
		slices.Sort(want)
		if !slices.Equal(keys, want) {
			return refuse("a row that is sent again would stand there twice, and deletes would miss: declare PRIMARY KEY in the pipeline's program, or set tables."+t.Name+".keys in the tables file",
				"its key is (%s), and PRIMARY KEY in the pipeline is (%s)", strings.Join(keys, ", "), strings.Join(want, ", "))
		}
	}
	for i := range t.Columns {
		c := &t.Columns[i]
		if c.Type.Kind == schema.Unknown {
			continue
		}
		f := r.field(c.Name)
		if f == nil {
			return refuse("add it to the pipeline's program, or leave it out with tables."+t.Name+".excludeColumns in the tables file", "column %s is not in the pipeline, which would drop its values in silence", c.Name)
		}
		if _, ok := s.form(&f.Type, c.Type); !ok {
			return refuse(misfit(t.Name, &f.Type), "column %s is %s here and %s in the pipeline", c.Name, kindOf(c.Type), &f.Type)
		}
	}
	for i := range r.Fields {
		f := &r.Fields[i]
		if deletes || f.Type.Nullable || f.Default != nil {
			continue
		}
		// Where the rows so far have it, and have NULL there, they are refused one by one.
		if !slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return r.field(c.Name) == f }) {
			return refuse("the source has to send it; or let it be nullable, or have a DEFAULT, in the pipeline's program", "column %s of the pipeline is NOT NULL, and no row has it", f.Name)
		}
	}
	return r, nil
}

// Form says how a column's values are written for the pipeline's type of it, and that type.
// It is called for each batch that is encoded, and Prepare holds the batch to what it has
// said last.
func (s *Sink) Form(table string, c *schema.Column) (batcher.JSONForm, string) {
	form, target := s.formOf(s.pipe.Load(), table, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forms[written{table, c.Name}] = form
	return form, target
}

// written is a column of which rows were encoded.
type written struct{ table, column string }

func (s *Sink) formOf(p *pipeline, table string, c *schema.Column) (batcher.JSONForm, string) {
	if p != nil {
		if r := p.table(table); r != nil {
			if f := r.field(c.Name); f != nil {
				form, _ := s.form(&f.Type, c.Type)
				return form, f.Type.String()
			}
		}
	}
	return batcher.JSONPlain, ""
}

// current is an error if the rows of a table were encoded for another program, whose column
// had another type: the pipeline may take them all the same, as other values.
func (s *Sink) current(p *pipeline, t *schema.Table) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range t.Columns {
		c := &t.Columns[i]
		now, _ := s.formOf(p, t.Name, c)
		if form, ok := s.forms[written{t.Name, c.Name}]; ok && form != now {
			// The batch is given up, and the next one may not have the column.
			maps.DeleteFunc(s.forms, func(at written, _ batcher.JSONForm) bool { return at.table == t.Name })
			return &push.Error{Op: "check table", Kind: push.Restarted, Message: fmt.Sprintf("column %s of table %s has another type in the pipeline's program than when the rows were encoded; they are made again", c.Name, t.Name)}
		}
	}
	return nil
}
