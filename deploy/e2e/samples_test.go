//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
)

// sample is a column of one SQL type, with values to put into it and the database's own
// word for what the target must hold then. These tables know nothing of the decoder: they
// say in SQL what a user would expect to find.
type sample struct {
	as     string // the column's name; "" is made of decl
	decl   string
	odd    bool   // of values for which the target's type has no room
	values string // SQL literals, separated by " | "; rows beyond them begin anew
	text   string // an expression for the text in the target, %s being the column; "" is the column itself, "-" is not compared
	// Other expressions where a form has another text.
	json, avro, flat string

	// Of a table for Feldera: its type in the pipeline's program, and what the tables file
	// says of it where plain JSON does not tell.
	sql, types string
}

const sampleRows = 4 // and one of NULLs

var samples = map[string][]sample{"postgres": postgresSamples, "mariadb": mariadbSamples}

func (s sample) name() string {
	if s.as != "" {
		return s.as
	}
	text, _, _ := strings.Cut(s.decl, " default")
	text = strings.TrimSuffix(strings.NewReplacer("[]", "_array", "character set ", "", " not null", "_required").Replace(text), " null")
	text = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case strings.ContainsRune(" (,-_", r):
			return '_'
		}
		return -1
	}, text)
	if s.odd {
		text += "_odd"
	}
	return "c_" + text
}

func (s sample) isFloat() bool {
	kind, _, _ := strings.Cut(s.decl, "(")
	return kind == "real" || kind == "float" || strings.HasPrefix(kind, "double") && !strings.HasSuffix(s.decl, "[]")
}

// form is a way of writing events.
type form struct {
	name, format string
	settings     map[string]map[string]string // of the connector, by database; "" for both
}

// forms are those in which every type is sent; between them they differ in the settings
// that decide which types of Debezium's a column gets.
var forms = []form{
	{"jsonschema", "jsonschema", map[string]map[string]string{"mariadb": unsigned}},
	{"json", "json", map[string]map[string]string{
		"":         {"time.precision.mode": "isostring"},
		"postgres": {"interval.handling.mode": "string"}}},
	{"avro", "avro", map[string]map[string]string{
		"":         {"time.precision.mode": "connect"},
		"postgres": {"interval.handling.mode": "string", "hstore.handling.mode": "map"},
		"mariadb":  {"bigint.unsigned.handling.mode": "precise"}}},
	{"flattened", "jsonschema", map[string]map[string]string{
		"": {"time.precision.mode": "microseconds", "decimal.handling.mode": "string", "binary.handling.mode": "hex", "transforms": "unwrap",
			"transforms.unwrap.type":                           "io.debezium.transforms.ExtractNewRecordState",
			"transforms.unwrap.delete.tombstone.handling.mode": "rewrite",
			"transforms.unwrap.replace.null.with.default":      "false",
			"transforms.unwrap.add.fields":                     "op,db,schema,table,source.ts_ms"},
		"mariadb": unsigned}},
}

// unsigned has the schema tell the columns whose numbers from 2^63 on are sent as
// negative ones.
var unsigned = map[string]string{"column.propagate.source.type": `.*bigint_unsigned`}

// members are the settings of a connector, as members of JSON.
func (f form) members(db string) string {
	schema := map[string]string{"postgres": "public", "mariadb": "shop"}[db]
	all := map[string]string{"skipped.operations": "none", "signal.data.collection": schema + ".debezium_signal", "topic.creation.default.partitions": "1"}
	maps.Copy(all, f.settings[""])
	maps.Copy(all, f.settings[db])
	text, _ := json.Marshal(all)
	return string(text[1 : len(text)-1])
}

// table returns how a table of samples, the first of which are its key, reads in the form.
func (f form) table(name string, keys int, columns []sample) table {
	tb := table{name: name, keys: keys}
	for _, s := range columns {
		text := cmp.Or(map[string]string{"json": s.json, "avro": s.avro, "flattened": s.flat}[f.name], s.text)
		if text == "-" {
			continue
		}
		if strings.Contains(text, "%") {
			text = fmt.Sprintf(text, s.name())
		}
		tb.columns = append(tb.columns, column{name: s.name(), postgres: text, mariadb: text, float: s.isFloat()})
	}
	return tb
}

// createTable is a statement that makes a table of samples, the first of which are its key.
func createTable(name string, keys int, columns []sample) string {
	var decls, names []string
	for _, s := range columns {
		decls, names = append(decls, s.name()+" "+s.decl), append(names, s.name())
	}
	return fmt.Sprintf("create table %s(\n%s,\nprimary key(%s));\n", name, strings.Join(decls, ",\n"), strings.Join(names[:keys], ","))
}

// insertRows is a statement that adds the rows of all samples; the first column is an id,
// which counts from first.
func insertRows(name string, first int, columns []sample) string {
	var names, rows []string
	for _, s := range columns {
		names = append(names, s.name())
	}
	for i := range sampleRows + 1 {
		cells := []string{fmt.Sprint(first + i)}
		for _, s := range columns[1:] {
			all := strings.Split(s.values, " | ")
			cell := all[i%len(all)]
			if i == sampleRows && !strings.Contains(s.decl, "not null") {
				cell = "null"
			}
			cells = append(cells, cell)
		}
		rows = append(rows, "("+strings.Join(cells, ",")+")")
	}
	return fmt.Sprintf("insert into %s(%s) values\n%s;\n", name, strings.Join(names, ","), strings.Join(rows, ",\n"))
}
