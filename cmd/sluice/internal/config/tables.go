package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// Tables is the tables file: settings by target table.
type Tables struct {
	Tables map[string]Table `yaml:"tables"`

	renames []string // the tables with a From, sorted
}

// Table is the settings of one table. What is not set is as for all.
type Table struct {
	From     Pattern           `yaml:"from"`     // what SLUICE_TARGET_TABLE names so becomes this table
	Topic    string            `yaml:"topic"`    // the topic of records that do not name their table
	Keys     []string          `yaml:"keys"`     // key columns, read from the rows instead of the records' keys; of a key that is one value without a name, its column
	Append   bool              `yaml:"append"`   // rows without a key, which are only ever added
	Mode     Mode              `yaml:"mode"`     // what changes become at the target
	Columns  map[string]string `yaml:"columns"`  // target names of source columns
	Types    map[string]Type   `yaml:"types"`    // of columns of plain JSON
	Exclude  bool              `yaml:"exclude"`  // read and dropped
	Merge    bool              `yaml:"merge"`    // several source tables become this one, each with keys of its own
	Truncate Truncate          `yaml:"truncate"` // what becomes of a TRUNCATE
	Order    Order             `yaml:"order"`    // what orders the changes of a key
	// FullBefore says that the source logs whole rows before deletes.
	FullBefore bool `yaml:"fullBefore"`

	ColumnRules `yaml:",inline"`

	TypeChange TypeChange `yaml:"typeChange"` // as SLUICE_TYPE_CHANGE
	// Unavailable is as SLUICE_UNAVAILABLE.
	Unavailable Unavailable   `yaml:"unavailable"`
	MaxRows     int           `yaml:"maxRows"`  // as SLUICE_BATCH_MAX_ROWS
	MaxBytes    Bytes         `yaml:"maxBytes"` // as SLUICE_BATCH_MAX_BYTES
	MaxAge      time.Duration `yaml:"maxAge"`   // as SLUICE_BATCH_MAX_AGE
	// FreshnessTarget is as SLUICE_FRESHNESS_TARGET.
	FreshnessTarget time.Duration `yaml:"freshnessTarget"`

	AllowDuplicate         *bool    `yaml:"allowDuplicate" sink:"celonis"`
	DuplicateRemovalColumn string   `yaml:"duplicateRemovalColumn" sink:"celonis"`
	TargetSchema           string   `yaml:"targetSchema" sink:"celonis"`
	ForeignKeys            string   `yaml:"foreignKeys" sink:"celonis"`
	MirrorTargetNames      []string `yaml:"mirrorTargetNames" sink:"celonis"`
	PostExecutionQuery     string   `yaml:"postExecutionQuery" sink:"celonis"`
}

// readTables reads the file strictly: a key that is not known is an error with its
// line, for a setting that silently does nothing is worse.
func readTables(path string) (t Tables, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return t, err
	}
	err = yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&t)
	if err != nil && !errors.Is(err, io.EOF) {
		if faults := tableFaults(text); faults != nil {
			return t, faults
		}
		return t, errors.New(strings.TrimSpace(yaml.FormatError(err, false, true)))
	}
	var plain struct {
		Tables map[string]map[string]any `yaml:"tables"`
	}
	if err := yaml.Unmarshal(text, &plain); err != nil {
		return t, err
	}
	for name, one := range t.Tables {
		if value, set := plain.Tables[name]["unavailable"]; set && value == nil { // the type is not asked
			return t, fmt.Errorf(`tables.%s.unavailable: want hold, "null" or unchanged; without quotes null is no value`, name)
		}
		if one.MaxRows < 0 || one.MaxAge < 0 || one.FreshnessTarget < 0 {
			return t, fmt.Errorf("tables.%s: maxRows, maxAge and freshnessTarget must not be negative", name)
		}
		if one.Append && len(one.Keys) > 0 {
			return t, fmt.Errorf("tables.%[1]s: append is for a table without a key, and keys names one; leave out tables.%[1]s.append or tables.%[1]s.keys", name)
		}
		if one.Truncate == Truncate(debezium.TruncateReplace) && one.Merge {
			return t, fmt.Errorf("tables.%s: truncate: replace would empty what other source tables merge into it; leave out one of truncate and merge", name)
		}
		for source, target := range one.Columns {
			if target == "" {
				return t, fmt.Errorf("tables.%s.columns.%s: want the column's name at the target", name, source)
			}
		}
		if err := one.checkColumns(name); err != nil {
			return t, err
		}
		if !one.From.IsZero() {
			t.renames = append(t.renames, name)
		}
	}
	slices.Sort(t.renames)
	for name := range t.Tables {
		for _, target := range t.renames {
			if target != name && t.Tables[target].From.Match(name) {
				return t, fmt.Errorf("tables.%[1]s: its records become %[2]s by tables.%[2]s.from, so what is set here would do nothing; move it to tables.%[2]s or narrow the pattern", name, target)
			}
		}
	}
	return t, nil
}

// word is a scalar of YAML, without quotes if it stands in any.
func word(text []byte) string { return strings.Trim(strings.TrimSpace(string(text)), `"'`) }

// Unavailable is what becomes of values that the source did not send: hold, null or
// unchanged. "" is not set.
type Unavailable string

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (u *Unavailable) UnmarshalYAML(text []byte) error {
	switch v := Unavailable(word(text)); v {
	case "hold", "null", "unchanged":
		*u = v
		return nil
	}
	return &wanted{word(text), `hold, "null" or unchanged`}
}

// UnavailableOf returns what a table's setting, or the one for all, says.
func (c *Config) UnavailableOf(table string) batcher.Unavailable {
	u := c.Tables.Tables[table].Unavailable
	if u == "" {
		u = Unavailable(c.Unavailable)
	}
	return map[Unavailable]batcher.Unavailable{"null": batcher.UnavailableNull, "unchanged": batcher.UnavailableKeep}[u]
}

// TypeChange is what becomes of a column whose type changes: hold or string. "" is not
// set.
type TypeChange string

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (c *TypeChange) UnmarshalYAML(text []byte) error {
	switch v := TypeChange(word(text)); v {
	case "hold", "string":
		*c = v
		return nil
	}
	return &wanted{word(text), "hold or string"}
}

// Loose reports whether a table's columns may become STRING.
func (c *Config) Loose(table string) bool {
	if own := c.Tables.Tables[table].TypeChange; own != "" {
		return own == "string"
	}
	return c.TypeChange == "string"
}

// Order is what orders the changes of a key: offset or position. "" is offset.
type Order string

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (o *Order) UnmarshalYAML(text []byte) error {
	switch v := Order(word(text)); v {
	case "offset", "position":
		*o = v
		return nil
	}
	return &wanted{word(text), "offset or position"}
}

// PositionBytes is what the positions of keys may take: nothing where no table goes by them.
func (c *Config) PositionBytes() int64 {
	for name := range c.Tables.Tables {
		if c.ByPosition(name) {
			return int64(c.PositionMemory)
		}
	}
	return 0
}

// ByPosition reports whether a table's changes are ordered by their positions at the source.
func (c *Config) ByPosition(table string) bool { return c.Tables.Tables[table].Order == "position" }

// Truncate is what becomes of a TRUNCATE: hold, ignore or replace.
type Truncate debezium.Truncate

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (t *Truncate) UnmarshalYAML(text []byte) error {
	policy, ok := map[string]debezium.Truncate{"hold": debezium.TruncateHold, "ignore": debezium.TruncateIgnore, "replace": debezium.TruncateReplace}[word(text)]
	if !ok {
		return &wanted{word(text), "hold, ignore or replace"}
	}
	*t = Truncate(policy)
	return nil
}

// Type is a type that a column of plain JSON can be given: a kind, or how it is written.
type Type struct {
	kind schema.Kind
	wire *debezium.WireType
}

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (t *Type) UnmarshalYAML(text []byte) (err error) {
	name := word(text)
	for _, kind := range []schema.Kind{schema.Integer, schema.Float, schema.Boolean, schema.String} {
		if name == kind.String() {
			t.kind = kind
			return nil
		}
	}
	if t.wire, err = debezium.ParseWireType(name); err != nil {
		return &wanted{name, "INTEGER, FLOAT, BOOLEAN, STRING, decimal(precision,scale), " + strings.Join(debezium.WireTypes(), ", ")}
	}
	return nil
}

// ColumnType returns the kind that a column of plain JSON is given, Unknown if none is.
func (c *Config) ColumnType(table, source string) schema.Kind {
	return c.Tables.Tables[table].Types[source].kind
}

// TypedColumns returns the source columns of a table that are given a type, sorted.
func (c *Config) TypedColumns(table string) []string {
	return slices.Sorted(maps.Keys(c.Tables.Tables[table].Types))
}

// ColumnWire returns how a column of plain JSON is written, nil if that is not given.
func (c *Config) ColumnWire(table, source string) *debezium.WireType {
	return c.Tables.Tables[table].Types[source].wire
}

// ColumnName returns the target's name of a table's source column.
func (c *Config) ColumnName(table, source string) string {
	if name, ok := c.Tables.Tables[table].Columns[source]; ok {
		return name
	}
	return c.Celonis.NameReplace.Apply(source)
}

// TableName returns the target table of a source table.
func (c *Config) TableName(id debezium.Identity) string { return c.TableNames(id)[0] }

// TableNames returns the target table of a source table; several are a mistake in the
// tables file, where a table's records can become only one other.
func (c *Config) TableNames(id debezium.Identity) (names []string) {
	schema := id.Schema
	if schema == "" {
		schema = id.Database
	}
	name := strings.NewReplacer("{database}", id.Database, "{schema}", schema, "{table}", id.Table, "{topic}", id.Topic).Replace(c.TargetTable)
	name = c.Celonis.NameReplace.Apply(name)
	for _, target := range c.Tables.renames {
		if c.Tables.Tables[target].From.Match(name) {
			names = append(names, target)
		}
	}
	if len(names) == 0 {
		return []string{name}
	}
	return names
}

// Excluded reports whether a target table is left out.
func (c *Config) Excluded(table string) bool {
	in := c.TablesFilter.Include
	return c.Tables.Tables[table].Exclude || !in.IsZero() && !in.Match(table) || c.TablesFilter.Exclude.Match(table)
}

// Merges reports whether a target table is meant to have several sources.
func (c *Config) Merges(table string) bool {
	// A template without {table} makes one table of a topic, whatever it carries.
	return c.Tables.Tables[table].Merge || !strings.Contains(c.TargetTable, "{table}")
}
