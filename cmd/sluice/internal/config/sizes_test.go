package config

import (
	"maps"
	"strings"
	"testing"
)

// TestSizesThatDiffer: of a batch that memory has no room for is warned where somebody asked for
// it; where only the other one was set, and the default gives way, nothing is said.
func TestSizesThatDiffer(t *testing.T) {
	for _, tc := range []struct {
		set  map[string]string
		text string // of the tables file
		want string
	}{
		{set: map[string]string{"SLUICE_BATCH_MAX_BYTES": "2GiB"}, want: "SLUICE_BATCH_MAX_BYTES=2GiB is more than SLUICE_MEMORY_LIMIT=1GiB, at which no more is fetched: no batch gets so large; lower it, or raise the limit"},
		{set: map[string]string{"SLUICE_BATCH_MAX_BYTES": "64MiB", "SLUICE_MEMORY_LIMIT": "32MiB"}, want: "SLUICE_BATCH_MAX_BYTES=64MiB is more than SLUICE_MEMORY_LIMIT=32MiB"},
		{text: "tables: {a: {maxBytes: 3GiB}, b: {maxBytes: 1GiB}}", want: "tables.a.maxBytes=3GiB is more than SLUICE_MEMORY_LIMIT=1GiB"},
		{set: map[string]string{"SLUICE_BATCH_MAX_BYTES": "1GiB"}},
		{set: map[string]string{"SLUICE_MEMORY_LIMIT": "1MiB"}},
		{set: map[string]string{"SLUICE_CELONIS_POLL_INTERVAL": "1m"}},
		{},
	} {
		m := withTables(t, tc.text)
		maps.Copy(m, tc.set)
		c, err := load(m)
		if err != nil {
			t.Errorf("%v: %v", tc.set, err)
			continue
		}
		got := c.Warnings()
		if tc.want == "" && len(got) > 0 || tc.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0].String(), tc.want)) {
			t.Errorf("%v %s: %q, want %q", tc.set, tc.text, got, tc.want)
		}
	}
}
