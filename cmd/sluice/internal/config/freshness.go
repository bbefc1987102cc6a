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

// Warning is a setting that is not wrong but hardly meant, with what to do.
type Warning struct{ Seen, Remedy string }

func (w Warning) String() string { return w.Seen + "; " + w.Remedy }

// Warnings returns what is hardly meant in the settings.
func (c *Config) Warnings() (all []Warning) {
	const remedy = "raise the target or send sooner"
	if c.FreshnessTarget <= c.Batch.MaxAge {
		all = append(all, Warning{fmt.Sprintf("SLUICE_FRESHNESS_TARGET=%v: every table is late before its batch is sent, which SLUICE_BATCH_MAX_AGE=%v allows to wait longer", c.FreshnessTarget, c.Batch.MaxAge), remedy})
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tables.Tables)) {
		own := c.Tables.Tables[name]
		target, age := c.FreshnessTargetOf(name), cmp.Or(own.MaxAge, c.Batch.MaxAge)
		if (own.FreshnessTarget > 0 || own.MaxAge > 0) && target <= age {
			all = append(all, Warning{fmt.Sprintf("tables.%s.freshnessTarget is %v: the table is late before its batch is sent, which maxAge allows to wait %v", name, target, age), remedy})
		}
	}
	return slices.Concat(all, c.tooLarge(), c.unread())
}
