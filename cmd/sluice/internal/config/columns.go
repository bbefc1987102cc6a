package config

import (
	"fmt"
	"slices"

	"github.com/sluice-cdc/sluice/schema/debezium"
)

// minHashKey is the least length of SLUICE_HASH_KEY in bytes. Values of few kinds, as
// numbers of persons, are found by trying all of them where the key can be guessed.
const minHashKey = 16

// ColumnRules is what a table has of its source's columns.
type ColumnRules struct {
	IncludeColumns []string           `yaml:"includeColumns"` // source columns to have, besides the key; none: all
	ExcludeColumns []string           `yaml:"excludeColumns"` // source columns to leave out
	HashColumns    []string           `yaml:"hashColumns"`    // source columns to hash under SLUICE_HASH_KEY
	MaskColumns    map[string]*string `yaml:"maskColumns"`    // what stands for the values of source columns, null: NULL
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
