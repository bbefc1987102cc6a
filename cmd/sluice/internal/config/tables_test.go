package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

func loadTables(t *testing.T, text string, env ...string) (*Config, error) {
	m := withTables(t, text)
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		m[name] = value
	}
	return load(m)
}

// TestTableChoice: which tables are left out, by the file, by what to include and by
// what to exclude, each by the whole name.
func TestTableChoice(t *testing.T) {
	c, err := loadTables(t, "tables: {public_log: {exclude: true}}", "SLUICE_TABLES_INCLUDE=public_.*|archive_a", "SLUICE_TABLES_EXCLUDE=.*_tmp{1,2}")
	if err != nil {
		t.Fatal(err)
	}
	for table, out := range map[string]bool{"public_a": false, "archive_a": false, "archive_ab": true, "a_public_b": true, "public_log": true,
		"public_tmp": true, "public_tmpp": true, "public_tmp2": false, "Public_a": true} {
		if c.Excluded(table) != out {
			t.Errorf("%s: left out %v, want %v", table, !out, out)
		}
	}
	if c, err = loadTables(t, ""); err != nil || c.Excluded("any") {
		t.Errorf("without patterns: %v", err)
	}
}

// TestTableRename: source tables become the target whose pattern matches the name that
// they would have; shards become one.
func TestTableRename(t *testing.T) {
	c, err := loadTables(t, "tables:\n  orders: {from: 'shop_order_v[0-9]'}\n  customers: {from: 'shop_customers(_[0-9]+)?', merge: true}\n  both: {from: 'shop_order_v9'}")
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{"order_v2": "orders", "order_v22": "shop_order_v22", "customers_1": "customers", "customers": "customers", "order_v9": "both,orders"} {
		for _, id := range []debezium.Identity{{Database: "shop", Table: table}, {Schema: "shop", Table: table}} {
			if got := strings.Join(c.TableNames(id), ","); got != want || !slices.Contains(c.TableNames(id), c.TableName(id)) {
				t.Errorf("%v becomes %s, want %s", id, got, want)
			}
		}
	}
	if !c.Merges("customers") || c.Merges("orders") {
		t.Error("merge")
	}
}

// TestTableWords: a word may stand in quotes, in which alone null is one.
func TestTableWords(t *testing.T) {
	for _, quote := range []string{"", "'", `"`} {
		text := "tables: {a: {unavailable: 'null', typeChange: %sstring%s, truncate: %signore%s}, b: {mode: %shistory%s}, c: {order: %sposition%s, types: {x: %sFLOAT%s}}}"
		c, err := loadTables(t, strings.ReplaceAll(text, "%s", quote))
		if err != nil {
			t.Errorf("in %s: %v", quote, err)
			continue
		}
		a := c.Tables.Tables["a"]
		if a.Unavailable != "null" || !c.Loose("a") || debezium.Truncate(a.Truncate) != debezium.TruncateIgnore ||
			c.ModeOf("b") != debezium.ModeHistory || !c.ByPosition("c") || c.ColumnType("c", "x") != schema.Float {
			t.Errorf("in %s: %+v", quote, c.Tables.Tables)
		}
	}
}

// TestTablesRefused: what is wrong with a tables file is said at the start, with where.
func TestTablesRefused(t *testing.T) {
	for text, want := range map[string]string{
		"tables: {a: {from: '('}}":                                   "missing closing )",
		"tables: {shop_a: {maxRows: 3}, b: {from: 'shop_.*'}}":       "tables.shop_a: its records become b by tables.b.from",
		"tables: {a: {append: true, keys: [id]}}":                    "leave out tables.a.append or tables.a.keys",
		"tables: {a: {columns: {x: ''}}}":                            "tables.a.columns.x: want the column's name",
		"tables: {a: {excludeColumns: [x], columns: {x: y}}}":        "tables.a: column x is under excludeColumns and columns",
		"tables: {a: {hashColumns: [x], maskColumns: {x: null}}}":    "tables.a: column x is under hashColumns and maskColumns",
		"tables: {a: {maskColumns: {x: z}, types: {x: FLOAT}}}":      "tables.a: column x is under maskColumns and types",
		"tables: {a: {keys: [id], maskColumns: {id: '*'}}}":          "column id is under keys and maskColumns; rows would no longer be told apart",
		"tables: {a: {keys: [id], excludeColumns: [id]}}":            "column id is under keys and excludeColumns",
		"tables: {a: {includeColumns: [x], maskColumns: {y: null}}}": "column y is hashed or masked and not under includeColumns",
		"tables: {a: {metadataColumns: {ops: x}}}":                   "ops=x: want one of op, deleted",
		"tables: {a: {metadataColumns: {op: ''}}}":                   "op=: want one of op, deleted",
		"tables: {a: {metadataColumns: {op: _CELONIS_op}}}":          "tables.a: op=_CELONIS_op: want a name without the prefix",
		"tables: {a: {metadataColumns: {op: X}, columns: {c: x}}}":   "tables.a: op and c are both named x at the target",
		"tables: {a: {columns: {b: x, c: X}}}":                       "tables.a: b and c are both named X at the target",
		"tables: {a: {columns: {b: _celonis_b}}}":                    "tables.a: b=_celonis_b: want a name without the prefix",
		"tables: {_CELONIS_a: {}}":                                   "tables._CELONIS_a: want a name without the prefix",
		"tables: {a: {}, A: {}}":                                     "tables.A, tables.a: one name to the target",
		"tables: {a: {unavailable: null}}":                           `tables.a.unavailable: want hold, "null" or unchanged`,
		"tables: {a: {unavailable: }}":                               "without quotes null is no value",
		"tables: {a: {order: time}}":                                 "want offset or position",
		"tables: {a: {order: position, append: true}}":               "tables.a.order: position is for tables whose rows are replaced",
		"tables: {a: {order: position, mode: history}}":              "tables.a.order: position is for tables whose rows are replaced",
		"tables: {a: {mode: delete}}":                                "want upsert, history or soft-delete",
		"tables: {a: {mode: history, append: true}}":                 "leave out tables.a.append or tables.a.mode",
		"tables: {a: {mode: history, truncate: replace}}":            "set tables.a.truncate: hold or ignore",
		"tables: {a: {fullBefore: true}}":                            "tables.a.fullBefore: does something only with",
		"tables: {a: {mode: soft-delete}}":                           "set tables.a.fullBefore: true if the database logs whole rows",
		"tables: {a: {mode: history, columns: {c: _OP}}}":            "tables.a: op and c are both named _OP at the target",
		"tables: {b: {}, a: {hashColumns: [x]}}":                     "SLUICE_HASH_KEY: not set; tables.a.hashColumns needs it",
	} {
		if _, err := loadTables(t, text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestColumnRules: what the tables file has done with columns, and with what secret.
func TestColumnRules(t *testing.T) {
	text := "tables: {a: {includeColumns: [k, h, m, n], hashColumns: [h], maskColumns: {m: '*', n: null}}, b: {excludeColumns: [x]}}"
	c, err := loadTables(t, text, "SLUICE_HASH_KEY=0123456789abcdef")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[[2]string]debezium.Action{{"a", "k"}: debezium.Keep, {"a", "h"}: debezium.Hash, {"a", "m"}: debezium.Mask, {"a", "n"}: debezium.Mask,
		{"a", "x"}: debezium.Unlisted, {"b", "x"}: debezium.Exclude, {"b", "y"}: debezium.Keep, {"other", "x"}: debezium.Keep} {
		if got := c.ColumnRule(at[0], at[1]).Action; got != want {
			t.Errorf("%v: %v, want %v", at, got, want)
		}
	}
	if m, n := c.ColumnRule("a", "m"), c.ColumnRule("a", "n"); *m.Text != "*" || n.Text != nil {
		t.Error("masks")
	}
	_, err = loadTables(t, text, "SLUICE_HASH_KEY=hunter2")
	if err == nil || !strings.Contains(err.Error(), "SLUICE_HASH_KEY: want at least 16 bytes") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a short key: %v", err)
	}
}

// TestPositionBytes: positions take memory only where a table is ordered by them.
func TestPositionBytes(t *testing.T) {
	for text, want := range map[string]int64{"tables: {a: {maxRows: 1}}": 0, "tables: {a: {}, b: {order: position}}": 64 << 20} {
		c, err := loadTables(t, text)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.PositionBytes(); got != want {
			t.Errorf("%s: %d", text, got)
		}
	}
}

// TestMetadataColumns: those of all tables, of one, and the column that orders changes.
func TestMetadataColumns(t *testing.T) {
	c, err := loadTables(t, "tables: {a: {metadataColumns: {delivered_at: at, op: o}}, none: {metadataColumns: {}}, same: {maxRows: 1}, "+
		"h: {mode: history}, s: {mode: soft-delete, unavailable: unchanged, metadataColumns: {deleted: gone}}, s2: {mode: soft-delete, fullBefore: true}}",
		"SLUICE_METADATA_COLUMNS=op=_op,kafka_offset=_n", "SLUICE_CELONIS_ORDER_COLUMN=_n")
	if err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]string{"a": "[{0 o} {7 at} {6 _n}]", "none": "[{6 _n}]", "same": "[{0 _op} {6 _n}]", "other": "[{0 _op} {6 _n}]",
		"h": "[{0 _op} {6 _n} {4 _kafka_position}]", "s": "[{1 gone} {6 _n}]", "s2": "[{0 _op} {6 _n} {1 _deleted}]"} {
		if got := fmt.Sprint(c.MetadataOf(table)); got != want {
			t.Errorf("%s: %s, want %s", table, got, want)
		}
	}
	if _, err = loadTables(t, "tables: {a: {columns: {b: x, c: X}}}", "SLUICE_CELONIS_NAME_CASE=keep"); err != nil {
		t.Errorf("names that differ in case, where it is kept: %v", err)
	}
}
