package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Table is a target table. Rows are identified by the keys of the job that wrote
// them; a table that is only ever appended to has none.
type Table struct {
	Name    string
	Columns []Column
	Keys    []string
	Rows    map[string][]any // by key text; parallel to Columns
	serial  int              // names rows without a key
	onRow   func(table, key string, row []any)
}

func (t *Table) set(key string, row []any) {
	if row == nil {
		delete(t.Rows, key)
	} else {
		t.Rows[key] = row
	}
	if t.onRow != nil {
		t.onRow(t.Name, key, row)
	}
}

// Column is a column of a Table.
type Column struct {
	Name   string
	Type   string
	Length int // of a STRING, in characters: longer values are cut without a word
}

const defaultVarchar = 80

// words is an error in the platform's own words.
type words string

func (w words) Error() string { return string(w) }

// apply does what a job says to its table. Whether deletes or upserts come first
// is decided by a throw: a client must not depend on it. half stops in the middle,
// as a job does that ends in ERROR.
func (e *Emulator) apply(j *job, half bool) error {
	var up, del []*file
	for _, c := range j.chunks {
		if c.doc.Type == "DELETE" {
			del = append(del, c.file)
		} else {
			up = append(up, c.file)
		}
	}
	t := e.tables[j.doc.TargetName]
	if t == nil || j.doc.Type == "REPLACE" {
		t = &Table{Name: j.doc.TargetName, Rows: map[string][]any{}, onRow: e.opt.OnRow}
	}
	t.Keys = j.doc.Keys
	allowed := j.doc.AllowDuplicate != nil && *j.doc.AllowDuplicate
	if err := checkDuplicates(up, del, j.doc.Keys); err != nil && !allowed {
		return err
	}
	for _, f := range up {
		if err := t.grow(f, &j.doc, &e.opt); err != nil {
			return err
		}
	}
	e.tables[t.Name] = t
	steps := []func(){
		func() {
			for _, f := range del {
				t.delete(f, j.doc.Keys, half)
			}
		},
		func() {
			for _, f := range up {
				t.upsert(f, &j.doc, half)
			}
		},
	}
	if e.dice.IntN(2) == 0 {
		slices.Reverse(steps)
	}
	for i, step := range steps {
		if !half || i == 0 {
			step()
		}
	}
	return nil
}

// checkDuplicates refuses a job that has a key twice, in one set or in both.
func checkDuplicates(up, del []*file, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	seen := map[string]bool{}
	for _, f := range append(slices.Clone(up), del...) {
		at := f.indexes(keys)
		for r := range f.rows {
			k := keyText(f, at, r)
			if seen[k] {
				return fmt.Errorf("duplicate key %s in the job", k)
			}
			seen[k] = true
		}
	}
	return nil
}

func (f *file) indexes(names []string) []int {
	at := make([]int, len(names))
	for i, n := range names {
		at[i] = f.index(n)
	}
	return at
}

func keyText(f *file, at []int, row int) string {
	var b strings.Builder
	for _, i := range at {
		v := f.columns[i].values[row]
		fmt.Fprintf(&b, "%T:%v|", v, v)
	}
	return b.String()
}

// grow gives the table the columns of an upsert file, under the job's strategy.
func (t *Table) grow(f *file, d *document, opt *Options) error {
	fresh := len(t.Columns) == 0
	declared := map[string]int{}
	if d.TableSchema != nil {
		for _, c := range d.TableSchema.Columns {
			declared[strings.ToLower(c.ColumnName)] = c.FieldLength
		}
	}
	for _, c := range f.columns {
		at := t.index(c.name)
		if at >= 0 {
			kept := opt.KeepLengths && t.Columns[at].Type == "STRING"
			if err := t.widen(at, c.typ); err != nil {
				return fmt.Errorf("column %s of %s is %s, the file has %s", c.name, t.Name, t.Columns[at].Type, c.typ)
			}
			if c.typ == "STRING" && !kept {
				t.Columns[at].Length = max(t.Columns[at].Length, declared[strings.ToLower(c.name)])
			}
			continue
		}
		if !fresh && d.UpsertStrategy == "UPSERT_WITH_UNCHANGED_METADATA" {
			return words(fmt.Sprintf("Columns: (%s) have changed. Table won't be delta loaded. Please perform a full load instead.", c.name))
		}
		col := Column{Name: c.name, Type: c.typ}
		if c.typ == "STRING" {
			col.Length = defaultVarchar
			if d.FallbackVarcharLength > 0 {
				col.Length = d.FallbackVarcharLength
			}
			if n := declared[strings.ToLower(c.name)]; n > 0 {
				col.Length = n
			}
		}
		t.Columns = append(t.Columns, col)
		for k, row := range t.Rows {
			t.Rows[k] = append(row, nil)
		}
	}
	if !fresh && opt.WholeFiles && d.UpsertStrategy == "UPSERT_WITH_UNCHANGED_METADATA" && len(f.columns) != len(t.Columns) {
		return words("Columns have changed. Table won't be delta loaded. Please perform a full load instead.")
	}
	return nil
}

// widen gives a column the type of a file's, if that holds all that the column has
// held so far. A file of a narrower type is refused: what the platform does with it
// is not known.
func (t *Table) widen(at int, typ string) error {
	have := t.Columns[at].Type
	switch {
	case have == typ:
		return nil
	case have == "INTEGER" && typ == "FLOAT":
		t.convert(at, func(v any) any { return float64(v.(int64)) })
	case typ == "STRING" && (have == "INTEGER" || have == "FLOAT" || have == "BOOLEAN"):
		t.convert(at, func(v any) any {
			text, _ := json.Marshal(v)
			return string(text)
		})
		t.Columns[at].Length = defaultVarchar
	default:
		return errors.New("not a wider type")
	}
	t.Columns[at].Type = typ
	return nil
}

func (t *Table) convert(at int, f func(any) any) {
	for _, row := range t.Rows {
		if row[at] != nil {
			row[at] = f(row[at])
		}
	}
}

func (t *Table) index(name string) int {
	return slices.IndexFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
}

func (t *Table) delete(f *file, keys []string, half bool) {
	at := f.indexes(keys)
	for r := range f.rows {
		if half && r%2 == 1 {
			continue
		}
		t.set(keyText(f, at, r), nil)
	}
}

func (t *Table) upsert(f *file, d *document, half bool) {
	keys := d.Keys
	at := f.indexes(keys)
	to := make([]int, len(f.columns))
	for i, c := range f.columns {
		to[i] = t.index(c.name)
	}
	for r := range f.rows {
		if half && r%2 == 1 {
			continue
		}
		k := keyText(f, at, r)
		row := make([]any, len(t.Columns)) // columns that the file lacks become NULL,
		if d.UpsertStrategy == "UPSERT_WITH_UNCHANGED_METADATA" {
			copy(row, t.Rows[k]) // or keep what they have
		}
		for i, c := range f.columns {
			v := c.values[r]
			if s, isText := v.(string); isText && c.typ == "STRING" {
				if chars := []rune(s); len(chars) > t.Columns[to[i]].Length {
					v = string(chars[:t.Columns[to[i]].Length])
				}
			}
			row[to[i]] = v
		}
		if len(keys) == 0 {
			t.serial++
			k = fmt.Sprint(t.serial)
		}
		t.set(k, row)
	}
}
