package config

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
)

// TestUnread: a setting that does nothing where it is set is warned of, and no other: none by
// its default, none that both targets go by, and no secret.
func TestUnread(t *testing.T) {
	feldera := map[string]string{"SLUICE_SINK": "feldera", "SLUICE_FELDERA_URL": "http://f:8080", "SLUICE_FELDERA_PIPELINE": "p"}
	csv := map[string]string{"SLUICE_CELONIS_FILE_TYPE": "csv"}
	const underFeldera, underCelonis = " is set and does nothing under SLUICE_SINK=feldera; leave it out", " is set and does nothing under SLUICE_SINK=celonis; leave it out"
	for _, tc := range []struct {
		base, set map[string]string
		text      string // of the tables file
		want      []string
	}{
		{base: feldera},
		{base: feldera, set: map[string]string{"SLUICE_STRING_OVERFLOW": "cut"}, want: []string{"SLUICE_STRING_OVERFLOW" + underFeldera}},
		{base: feldera, set: map[string]string{"SLUICE_STRING_OVERFLOW": ""}},
		{base: feldera, set: map[string]string{"SLUICE_BUDGET_RESERVE": "1", "SLUICE_CHUNK_BYTES": "64MiB", "SLUICE_PARQUET_DICTIONARY": "true", "SLUICE_CELONIS_URL": "https://t.c.celonis.cloud", "SLUICE_CELONIS_NAME_CASE": "keep"},
			want: []string{"SLUICE_CELONIS_URL" + underFeldera, "SLUICE_CELONIS_NAME_CASE" + underFeldera, "SLUICE_CHUNK_BYTES" + underFeldera, "SLUICE_PARQUET_DICTIONARY" + underFeldera, "SLUICE_BUDGET_RESERVE" + underFeldera}},
		{base: feldera, set: map[string]string{"SLUICE_CELONIS_NAME_REPLACE": ".=_", "SLUICE_CELONIS_ORDER_COLUMN": "n", "SLUICE_CELONIS_LENGTH_UNIT": "bytes", "SLUICE_CELONIS_API_KEY": "k"}},
		{base: feldera, text: "tables: {a: {allowDuplicate: false, maxBytes: 1MiB}, b: {foreignKeys: x}}",
			want: []string{"tables.a.allowDuplicate" + underFeldera, "tables.b.foreignKeys" + underFeldera}},
		{base: good()},
		{base: good(), text: "tables: {a: {allowDuplicate: false}}"},
		{base: good(), set: map[string]string{"SLUICE_FELDERA_REQUEST_ROWS": "10000", "SLUICE_FELDERA_API_KEY": "k"}, want: []string{"SLUICE_FELDERA_REQUEST_ROWS" + underCelonis}},
		{base: good(), set: map[string]string{"SLUICE_PARQUET_COMPRESSION": "zstd"}},
		{base: good(), set: csv},
		{base: csv, set: map[string]string{"SLUICE_PARQUET_COMPRESSION": "zstd"}, want: []string{"SLUICE_PARQUET_COMPRESSION is set and does nothing under SLUICE_CELONIS_FILE_TYPE=csv; leave it out"}},
	} {
		m := withTables(t, tc.text)
		if tc.base["SLUICE_SINK"] == "feldera" {
			maps.DeleteFunc(m, func(name, _ string) bool { return strings.HasPrefix(name, "SLUICE_CELONIS_") })
		}
		maps.Copy(m, tc.base)
		maps.Copy(m, tc.set)
		c, err := load(m)
		if err != nil {
			t.Errorf("%v: %v", tc.set, err)
			continue
		}
		var got []string
		for _, w := range c.Warnings() {
			got = append(got, w.String())
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%v %s: %q, want %q", tc.set, tc.text, got, tc.want)
		}
	}
}

// TestReferenceTarget: the reference says which settings only one target goes by, where their
// names do not, or say something else.
func TestReferenceTarget(t *testing.T) {
	var out bytes.Buffer
	if err := Reference(&out); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"SLUICE_STRING_OVERFLOW": "Celonis only: ", "SLUICE_CHUNK_BYTES": "Celonis only: ", "SLUICE_PARQUET_DICTIONARY": "Celonis only: ",
		"SLUICE_BUDGET_RESERVE": "Celonis only: ", "SLUICE_CELONIS_NAME_REPLACE": "any target: ", "SLUICE_CELONIS_URL": "", "SLUICE_FELDERA_URL": "", "SLUICE_BINARY": ""} {
		_, line, _ := strings.Cut(out.String(), "\n"+name+" ")
		line, _, _ = strings.Cut(line, "\n")
		if want != "" && !strings.Contains(line, "  "+want) || want == "" && (strings.Contains(line, " only: ") || strings.Contains(line, "any target")) {
			t.Errorf("%s: %s", name, line)
		}
	}
}
