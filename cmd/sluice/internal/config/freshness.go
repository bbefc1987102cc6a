package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// FreshnessTargetOf returns what the freshness of a table should stay below.
func (c *Config) FreshnessTargetOf(table string) time.Duration {
	return cmp.Or(c.Tables.Tables[table].FreshnessTarget, c.FreshnessTarget)
}

// Warnings returns what is not wrong in the settings but hardly meant, a line each.
func (c *Config) Warnings() (all []string) {
	if c.FreshnessTarget <= c.Batch.MaxAge {
		all = append(all, fmt.Sprintf("SLUICE_FRESHNESS_TARGET=%v: every table is late before its batch is sent, which SLUICE_BATCH_MAX_AGE=%v allows to wait longer; raise the target or send sooner", c.FreshnessTarget, c.Batch.MaxAge))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tables.Tables)) {
		own := c.Tables.Tables[name]
		target, age := c.FreshnessTargetOf(name), cmp.Or(own.MaxAge, c.Batch.MaxAge)
		if (own.FreshnessTarget > 0 || own.MaxAge > 0) && target <= age {
			all = append(all, fmt.Sprintf("tables.%s.freshnessTarget is %v: the table is late before its batch is sent, which maxAge allows to wait %v; raise the target or send sooner", name, target, age))
		}
	}
	return all
}
