package config

import "fmt"

// checkIntervals refuses a longest wait that is shorter than the first. By default it is at
// least as long.
func (c *Config) checkIntervals(problem func(string, ...any)) {
	if most, first := c.Celonis.PollMaxInterval, c.Celonis.PollInterval; c.set[Prefix+"CELONIS_POLL_MAX_INTERVAL"] && most < first {
		problem("SLUICE_CELONIS_POLL_MAX_INTERVAL=%v: want at least SLUICE_CELONIS_POLL_INTERVAL=%v", most, first)
	}
}

// tooLarge returns what asks for batches that memory has no room for. A default asks for
// nothing: with less memory, batches are smaller.
func (c *Config) tooLarge() (all []Warning) {
	check := func(name string, size Bytes) {
		if size > c.MemoryLimit {
			all = append(all, Warning{fmt.Sprintf("%s=%v is more than SLUICE_MEMORY_LIMIT=%v, at which no more is fetched: no batch gets so large", name, size, c.MemoryLimit), "lower it, or raise the limit"})
		}
	}
	if name := Prefix + "BATCH_MAX_BYTES"; c.set[name] {
		check(name, c.Batch.MaxBytes)
	}
	for _, name := range keysOf(c.Tables.Tables) {
		check("tables."+name+".maxBytes", c.Tables.Tables[name].MaxBytes)
	}
	return all
}
