package pipeline

import (
	"fmt"
	"regexp"
	"strings"
)

// relation is a table of a program, as GET /v0/pipelines/{name} describes it.
type relation struct {
	Name          string   `json:"name"`
	CaseSensitive bool     `json:"case_sensitive"`
	Fields        []field  `json:"fields"`
	PrimaryKey    []string `json:"primary_key"`
	Materialized  bool     `json:"materialized"`
}

type field struct {
	Name          string     `json:"name"`
	CaseSensitive bool       `json:"case_sensitive"`
	Type          columnType `json:"columntype"`
	Default       *string    `json:"default"`
}

var createTable = regexp.MustCompile(`(?is)CREATE\s+TABLE\s+("[^"]+"|\w+)\s*\((.*?)\)\s*(?:WITH\s*\(.*?\)\s*)?;`)

// parse reads the CREATE TABLE statements of a program. Views and everything else of it
// have no effect here.
func parse(program string) (tables []relation, err error) {
	for _, m := range createTable.FindAllStringSubmatch(program, -1) {
		r := relation{Materialized: true}
		r.Name, r.CaseSensitive = identifier(m[1])
		for _, part := range columns(m[2]) {
			if err := r.add(part); err != nil {
				return nil, fmt.Errorf("table %s: %w", r.Name, err)
			}
		}
		for _, k := range r.PrimaryKey {
			f := r.field(k)
			if f == nil {
				return nil, fmt.Errorf("table %s: PRIMARY KEY of a column %s that it does not have", r.Name, k)
			}
			f.Type.Nullable = false
		}
		tables = append(tables, r)
	}
	return tables, nil
}

// identifier folds what is not in quotes to lower case.
func identifier(s string) (name string, caseSensitive bool) {
	if len(s) > 1 && s[0] == '"' {
		return s[1 : len(s)-1], true
	}
	return strings.ToLower(s), false
}

// columns cuts at the commas that stand in no brackets.
func columns(s string) (parts []string) {
	depth, start := 0, 0
	for i, r := range s {
		switch r {
		case '(', '<':
			depth++
		case ')', '>':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, s[start:])
}

var (
	tableKey = regexp.MustCompile(`(?is)^\s*PRIMARY\s+KEY\s*\((.*)\)\s*$`)
	column   = regexp.MustCompile(`(?is)^\s*("[^"]+"|\w+)\s+(.*?)\s*$`)
	defaults = regexp.MustCompile(`(?is)\bDEFAULT\s+('(?:[^']|'')*'|\S+)`)
)

func (r *relation) add(part string) error {
	if m := tableKey.FindStringSubmatch(part); m != nil {
		for _, k := range strings.Split(m[1], ",") {
			name, _ := identifier(strings.TrimSpace(k))
			r.PrimaryKey = append(r.PrimaryKey, name)
		}
		return nil
	}
	f, key, err := parseField(part)
	if err != nil {
		return err
	}
	if key {
		r.PrimaryKey = append(r.PrimaryKey, f.Name)
	}
	r.Fields = append(r.Fields, f)
	return nil
}

// parseField reads a column, and whether it says of itself that it is the key.
func parseField(part string) (f field, key bool, err error) {
	m := column.FindStringSubmatch(part)
	if m == nil {
		return f, false, fmt.Errorf("%q is not a column", part)
	}
	f.Name, f.CaseSensitive = identifier(m[1])
	var rest string
	if f.Type, rest, err = parseType(m[2]); err != nil {
		return f, false, fmt.Errorf("column %s: %w", f.Name, err)
	}
	if d := defaults.FindStringSubmatch(rest); d != nil {
		f.Default = &d[1]
	}
	rest = strings.ToUpper(rest)
	key = strings.Contains(rest, "PRIMARY KEY")
	f.Type.Nullable = !key && !strings.Contains(rest, "NOT NULL")
	return f, key, nil
}

// field finds a column by the name that a row gives it: one in quotes by its exact
// spelling, another in any case.
func (r *relation) field(name string) *field {
	for i := range r.Fields {
		if f := &r.Fields[i]; f.Name == name || !f.CaseSensitive && strings.EqualFold(f.Name, name) {
			return f
		}
	}
	return nil
}
