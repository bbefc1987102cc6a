package config

import (
	"strings"
	"testing"
)

// TestTableFaults: of a value that is not taken, the table and the field are told, the value
// without what stands around it, and what is wanted; of all at once.
func TestTableFaults(t *testing.T) {
	const duration = "want a duration such as 30s, 5m or 1h"
	for field, wants := range map[string][2]string{
		"truncate: no":                         {"truncate", `"no": want hold, ignore or replace`},
		"mode: histroy":                        {"mode", `"histroy": want upsert, history or soft-delete`},
		"mode: 'histroy' # all of it":          {"mode", `"histroy": want upsert, history or soft-delete`},
		"mode: [history]":                      {"mode", `"[history]": want upsert, history or soft-delete`},
		"order: time":                          {"order", `"time": want offset or position`},
		"order: &o time":                       {"order", `"time": want offset or position`},
		"unavailable: none":                    {"unavailable", `"none": want hold, "null" or unchanged`},
		"typeChange: text":                     {"typeChange", `"text": want hold or string`},
		"types: {x: FLOAT, y: TEXT}":           {"types.y", `"TEXT": want INTEGER, FLOAT, BOOLEAN, STRING, decimal(precision,scale), `},
		"from: '('":                            {"from", `"(": want a regular expression for the whole name, such as public_(orders|items): missing closing )`},
		"maxAge: ten":                          {"maxAge", `"ten": ` + duration},
		"maxAge: 10":                           {"maxAge", `"10": ` + duration},
		"freshnessTarget: 5 m":                 {"freshnessTarget", `"5 m": ` + duration},
		"maxBytes: much":                       {"maxBytes", `"much": want a size such as 64MiB`},
		"maxBytes: [1]":                        {"maxBytes", `"[1]": want a size such as 64MiB`},
		"maxRows: many":                        {"maxRows", `"many": want a whole number`},
		"maxRows: 9999999999999999999999":      {"maxRows", `"9999999999999999999999": want a whole number`},
		"merge: perhaps":                       {"merge", `"perhaps": want true or false`},
		"allowDuplicate: perhaps":              {"allowDuplicate", `"perhaps": want true or false`},
		"keys: id":                             {"keys", `"id": want a list such as [a, b]`},
		"columns: [x]":                         {"columns", `"[x]": want names with a value each, such as {a: b}`},
		"columns: {x: [y]}":                    {"columns.x", `"[y]": want text`},
		"maskColumns: {x: {y: z}}":             {"maskColumns.x", `"{y: z}": want text`},
		"metadataColumns: {op: [x]}":           {"metadataColumns", `"{op: [x]}": want names with a value each, such as {a: b}`},
		"metadataColumns: {ops: x}":            {"metadataColumns", `ops=x: want one of op, deleted`},
		"mode: x\n    order: y\n    maxAge: z": {"order", `"y": want offset or position`},
	} {
		_, err := loadTables(t, "tables:\n  b: {mode: history}\n  a:\n    "+field+"\n  c: {maxAge: long}\n")
		if err == nil {
			t.Errorf("%s: taken", field)
			continue
		}
		for _, want := range []string{"tables.a." + wants[0] + ": " + wants[1], `tables.c.maxAge: "long": ` + duration} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %s", field, err, want)
			}
		}
	}
}
