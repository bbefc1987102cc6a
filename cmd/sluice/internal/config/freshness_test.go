package config

import (
	"strings"
	"testing"
	"time"
)

// TestWarnings: a target that batches pass by their settings is said, for all tables and
// for single ones, and nothing else is.
func TestWarnings(t *testing.T) {
	c := &Config{FreshnessTarget: 5 * time.Minute}
	c.Batch.MaxAge = time.Minute
	c.Tables.Tables = map[string]Table{
		"fine":  {MaxAge: 4 * time.Minute},
		"both":  {MaxAge: time.Hour, FreshnessTarget: 2 * time.Hour},
		"slow":  {MaxAge: 10 * time.Minute},
		"sharp": {FreshnessTarget: 30 * time.Second},
	}
	got := c.Warnings()
	if len(got) != 2 || !strings.HasPrefix(got[0].Seen, "tables.sharp.freshnessTarget is 30s") || !strings.HasPrefix(got[1].Seen, "tables.slow.freshnessTarget is 5m0s") {
		t.Errorf("%q", got)
	}
	c.Tables.Tables, c.Batch.MaxAge = nil, 10*time.Minute
	if got := c.Warnings(); len(got) != 1 || !strings.Contains(got[0].Seen, "SLUICE_FRESHNESS_TARGET=5m0s") || !strings.Contains(got[0].Seen, "SLUICE_BATCH_MAX_AGE=10m0s") ||
		!strings.HasSuffix(got[0].String(), "; raise the target or send sooner") {
		t.Errorf("%q", got)
	}
	if _, err := load(withTables(t, "tables:\n  t:\n    freshnessTarget: -1s\n")); err == nil || !strings.Contains(err.Error(), "tables.t: maxRows, maxAge and freshnessTarget must not be negative") {
		t.Errorf("a negative target: %v", err)
	}
	if of := c.FreshnessTargetOf("x"); of != 5*time.Minute {
		t.Errorf("target %v", of)
	}
}
