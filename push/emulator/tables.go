package emulator

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
)

// Snapshot returns a copy of a table as it is now, nil if it does not exist. Its
// rows are not to be changed.
func (e *Emulator) Snapshot(name string) *Table {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance(time.Now())
	t := e.tables[name]
	if t == nil {
		return nil
	}
	c := *t
	c.Columns = slices.Clone(t.Columns)
	c.Rows = maps.Clone(t.Rows)
	return &c
}

// Counts returns what clients did so far.
func (e *Emulator) Counts() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Stats
}

func (e *Emulator) serveTables(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	e.advance(time.Now())
	names := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(e.tables)) {
		names = append(names, map[string]any{"name": name, "rows": len(e.tables[name].Rows)})
	}
	e.mu.Unlock()
	write(w, ok(names))
}

func (e *Emulator) serveJobs(w http.ResponseWriter, _ *http.Request) {
	e.mu.Lock()
	e.advance(time.Now())
	docs := []document{}
	for _, j := range e.order {
		docs = append(docs, j.doc)
	}
	e.mu.Unlock()
	write(w, ok(docs))
}

// serveTable answers with a table as JSON, or as CSV with ?format=csv.
func (e *Emulator) serveTable(w http.ResponseWriter, r *http.Request) {
	t := e.Snapshot(r.PathValue("name"))
	if t == nil {
		write(w, answer{status: http.StatusNotFound, body: "no table " + r.PathValue("name")})
		return
	}
	keys := slices.Sorted(maps.Keys(t.Rows))
	if r.FormValue("format") == "csv" {
		w.Header().Set("Content-Type", "text/csv")
		out := csv.NewWriter(w)
		var head []string
		for _, c := range t.Columns {
			head = append(head, c.Name)
		}
		out.Write(head)
		for _, k := range keys {
			rec := make([]string, len(t.Columns))
			for i, v := range t.Rows[k] {
				if v != nil {
					rec[i] = fmt.Sprint(v)
				}
			}
			out.Write(rec)
		}
		out.Flush()
		return
	}
	rows := []json.RawMessage{}
	for _, k := range keys {
		rows = append(rows, rowJSON(t, k))
	}
	write(w, ok(map[string]any{"name": t.Name, "keys": t.Keys, "columns": t.Columns, "rows": rows}))
}

// rowJSON writes a row as an object in column order.
func rowJSON(t *Table, key string) json.RawMessage {
	b := []byte{'{'}
	for i, c := range t.Columns {
		if i > 0 {
			b = append(b, ',')
		}
		name, _ := json.Marshal(c.Name)
		value, err := json.Marshal(t.Rows[key][i])
		if err != nil { // NaN and the infinities have no JSON form
			value, _ = json.Marshal(fmt.Sprint(t.Rows[key][i]))
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}')
}
