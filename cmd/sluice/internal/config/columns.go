package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// minHashKey is the least length of SLUICE_HASH_KEY in bytes. Values of few kinds, as
// numbers of persons, are found by trying all of them where the key can be guessed.
const minHashKey = 16

// ColumnRules is what a table has of its source's columns, and besides.
type ColumnRules struct {
	IncludeColumns []string           `yaml:"includeColumns"`  // source columns to have, besides the key; none: all
	ExcludeColumns []string           `yaml:"excludeColumns"`  // source columns to leave out
	HashColumns    []string           `yaml:"hashColumns"`     // source columns to hash under SLUICE_HASH_KEY
	MaskColumns    map[string]*string `yaml:"maskColumns"`     // what stands for the values of source columns, null: NULL
	Metadata       Metadata           `yaml:"metadataColumns"` // as SLUICE_METADATA_COLUMNS
}

// ColumnRule returns what is done with a table's source column.
func (c *Config) ColumnRule(table, source string) debezium.Rule {
	t, ok := c.Tables.Tables[table]
	if !ok {
		return debezium.Rule{}
	}
	text, masked := t.MaskColumns[source]
	switch {
	case masked:
		return debezium.Rule{Action: debezium.Mask, Text: text}
	case slices.Contains(t.HashColumns, source):
		return debezium.Rule{Action: debezium.Hash}
	case slices.Contains(t.ExcludeColumns, source):
		return debezium.Rule{Action: debezium.Exclude}
	case len(t.IncludeColumns) > 0 && !slices.Contains(t.IncludeColumns, source):
		return debezium.Rule{Action: debezium.Unlisted}
	}
	return debezium.Rule{}
}

// checkColumns refuses settings of columns that contradict each other, or of which one
// would do nothing.
func (t *Table) checkColumns(name string) error {
	const (
		types, columns, include, exclude, hash, mask = "types", "columns", "includeColumns", "excludeColumns", "hashColumns", "maskColumns"
	)
	lists := map[string]func(string) bool{
		types:   has(t.Types),
		columns: has(t.Columns),
		include: func(col string) bool { return slices.Contains(t.IncludeColumns, col) },
		exclude: func(col string) bool { return slices.Contains(t.ExcludeColumns, col) },
		hash:    func(col string) bool { return slices.Contains(t.HashColumns, col) },
		mask:    has(t.MaskColumns),
	}
	check := func(cols []string, list string, not ...string) error {
		slices.Sort(cols)
		for _, col := range cols {
			for _, other := range not {
				if lists[other](col) {
					return fmt.Errorf("tables.%[1]s: column %[2]s is under %[3]s and %[4]s; take it out of one", name, col, list, other)
				}
			}
		}
		return nil
	}
	for _, err := range []error{
		check(slices.Clone(t.ExcludeColumns), exclude, include, hash, mask, columns, types),
		check(slices.Clone(t.HashColumns), hash, mask, types),
		check(keysOf(t.MaskColumns), mask, types),
	} {
		if err != nil {
			return err
		}
	}
	for _, col := range t.Keys {
		for _, list := range []string{exclude, mask} {
			if lists[list](col) {
				return fmt.Errorf("tables.%[1]s: column %[2]s is under keys and %[3]s; rows would no longer be told apart: take it out there, or put it under hashColumns", name, col, list)
			}
		}
	}
	if len(t.IncludeColumns) > 0 {
		for _, col := range slices.Concat(t.HashColumns, keysOf(t.MaskColumns)) {
			if !lists[include](col) && !slices.Contains(t.Keys, col) {
				return fmt.Errorf("tables.%[1]s: column %[2]s is hashed or masked and not under includeColumns; add it there", name, col)
			}
		}
	}
	return nil
}

func has[V any](m map[string]V) func(string) bool {
	return func(k string) bool { _, ok := m[k]; return ok }
}

func keysOf[V any](m map[string]V) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// checkHashKey looks at the secret of hashed columns, which must be there if a table
// has any, and be of use if it is there.
func (c *Config) checkHashKey(problem func(string, ...any)) {
	var hashed []string
	for name, t := range c.Tables.Tables {
		if len(t.HashColumns) > 0 {
			hashed = append(hashed, name)
		}
	}
	slices.Sort(hashed)
	key, err := c.HashKey.Value()
	switch {
	case c.HashKey.IsZero() && len(hashed) > 0:
		problem("SLUICE_HASH_KEY: not set; tables.%s.hashColumns needs it", hashed[0])
	case !c.HashKey.IsZero() && err == nil && len(key) < minHashKey:
		problem("SLUICE_HASH_KEY: want at least %d bytes, or the hashed values could be found by trying", minHashKey)
	}
}

// Metadata is a list of columns that tables have besides those of their sources.
type Metadata []debezium.MetadataColumn

// EnvDecode implements envconfig.Decoder.
func (m *Metadata) EnvDecode(v string) error {
	if v == "" {
		return nil
	}
	for pair := range strings.SplitSeq(v, ",") {
		what, name, _ := strings.Cut(pair, "=")
		if err := m.add(strings.TrimSpace(what), strings.TrimSpace(name)); err != nil {
			return err
		}
	}
	return nil
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler: a map, as the columns' order
// does not matter.
func (m *Metadata) UnmarshalYAML(read func(any) error) error {
	names := map[string]string{}
	if err := read(&names); err != nil {
		return err
	}
	*m = Metadata{} // also where it is empty, which is none and not those of all tables
	for _, what := range keysOf(names) {
		if err := m.add(what, names[what]); err != nil {
			return err
		}
	}
	slices.SortFunc(*m, func(a, b debezium.MetadataColumn) int { return cmp.Compare(a.What, b.What) })
	return nil
}

func (m *Metadata) add(what, name string) error {
	at := slices.Index(debezium.MetadataNames[:], what)
	if at < 0 || name == "" {
		return fmt.Errorf("%s=%s: want one of %s with the name of its column", what, name, strings.Join(debezium.MetadataNames[:], ", "))
	}
	*m = append(*m, debezium.MetadataColumn{What: debezium.Metadata(at), Name: name})
	return nil
}

// MetadataOf returns the columns that a target table has besides those of its source.
func (c *Config) MetadataOf(table string) (all []debezium.MetadataColumn) {
	all = c.Metadata
	if own := c.Tables.Tables[table].Metadata; own != nil {
		all = own
	}
	for _, m := range modeColumns[c.ModeOf(table)] {
		if !slices.ContainsFunc(all, func(have debezium.MetadataColumn) bool { return have.What == m.What }) {
			all = append(slices.Clone(all), m)
		}
	}
	if name := c.Celonis.OrderColumn; name != "" {
		order := debezium.MetadataColumn{What: debezium.KafkaOffset, Name: name}
		if !slices.Contains(all, order) {
			all = append(slices.Clone(all), order)
		}
	}
	return all
}

// FoldsTables reports whether names of tables that differ in case only are one to the target.
// Which are to Feldera its program says, where a name in quotes is exact; the sink looks there.
func (c *Config) FoldsTables() bool { return c.Sink != "feldera" && c.Celonis.NameCase == "fold" }

// foldsColumns reports whether names of columns that differ in case only are one to the target.
func (c *Config) foldsColumns() bool { return c.Sink == "feldera" || c.Celonis.NameCase == "fold" }

// checkNames refuses names of columns and tables that the target would not take, as far
// as the settings tell them. Names that come from the source are looked at when they do.
func (c *Config) checkNames(problem func(string, ...any)) {
	fold := func(name string, folds bool) string {
		if folds {
			return strings.ToLower(name)
		}
		return name
	}
	check := func(where string, all []debezium.MetadataColumn, columns map[string]string) {
		seen := map[string]string{}
		one := func(what, name string) {
			if celonis.Reserved(name) {
				problem("%s: %s=%s: want a name without the prefix _CELONIS_, which the platform keeps for itself", where, what, name)
			}
			folded := fold(name, c.foldsColumns())
			if other, twice := seen[folded]; twice {
				problem("%s: %s and %s are both named %s at the target; give one of them another name", where, other, what, name)
			}
			seen[folded] = what
		}
		for _, m := range all {
			one(debezium.MetadataNames[m.What], m.Name)
		}
		for _, source := range keysOf(columns) {
			one(source, columns[source])
		}
	}
	check("SLUICE_METADATA_COLUMNS, SLUICE_CELONIS_ORDER_COLUMN", c.MetadataOf(""), nil)
	seen := map[string]string{}
	for _, name := range keysOf(c.Tables.Tables) {
		folded := fold(name, c.FoldsTables())
		if other, twice := seen[folded]; twice {
			problem("tables.%s, tables.%s: one name to the target, which ignores case; leave one out", other, name)
		}
		seen[folded] = name
		c.checkMode(name, problem)
		if celonis.Reserved(name) {
			problem("tables.%s: want a name without the prefix _CELONIS_, which the platform keeps for itself", name)
		}
		if t := c.Tables.Tables[name]; t.Metadata != nil || len(t.Columns) > 0 || t.Mode != 0 {
			check("tables."+name, c.MetadataOf(name), t.Columns)
		}
	}
}

// LengthLimit is the most that a column can be declared with: the platform's limit is in
// bytes, and a character of UTF-8 takes up to four of them.
func (c *Config) LengthLimit() int {
	if c.Celonis.LengthUnit == "bytes" {
		return celonis.MaxLength
	}
	return max(celonis.MaxLength/utf8.UTFMax, c.Celonis.FallbackVarcharLength)
}
