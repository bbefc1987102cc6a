package config

import (
	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// Mode is what changes become at the target: upsert, history or soft-delete.
type Mode debezium.Mode

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (m *Mode) UnmarshalYAML(text []byte) error {
	mode, ok := map[string]debezium.Mode{"upsert": debezium.ModeUpsert, "history": debezium.ModeHistory, "soft-delete": debezium.ModeSoftDelete}[word(text)]
	if !ok {
		return &wanted{word(text), "upsert, history or soft-delete"}
	}
	*m = Mode(mode)
	return nil
}

// ModeOf returns what changes become in a target table.
func (c *Config) ModeOf(table string) debezium.Mode {
	t := c.Tables.Tables[table]
	if t.Append {
		return debezium.ModeAppend
	}
	return debezium.Mode(t.Mode)
}

// modeColumns are the columns without which a table's rows would not tell what they
// are, under the names that they have where no others are set.
var modeColumns = map[debezium.Mode][]debezium.MetadataColumn{
	debezium.ModeHistory: {{What: debezium.Operation, Name: "_op"}, {What: debezium.KafkaPosition, Name: "_kafka_position"},
		{What: debezium.KafkaOffset, Name: "_kafka_offset"}},
	debezium.ModeSoftDelete: {{What: debezium.Deleted, Name: "_deleted"}},
}

// checkMode refuses what a table's mode does not go with.
func (c *Config) checkMode(name string, problem func(string, ...any)) {
	t := c.Tables.Tables[name]
	mode := debezium.Mode(t.Mode)
	kept := mode == debezium.ModeHistory || mode == debezium.ModeSoftDelete
	switch {
	case c.ByPosition(name) && (kept || t.Append):
		problem("tables.%[1]s.order: position is for tables whose rows are replaced; leave out tables.%[1]s.order, or tables.%[1]s.append and mode", name)
	case kept && t.Append:
		problem("tables.%[1]s: append is a mode of its own; leave out tables.%[1]s.append or tables.%[1]s.mode", name)
	case kept && debezium.Truncate(t.Truncate) == debezium.TruncateReplace:
		problem("tables.%[1]s: truncate: replace empties the table, whose mode is to keep what was in it; set tables.%[1]s.truncate: hold or ignore", name)
	case t.FullBefore && !kept:
		problem("tables.%[1]s.fullBefore: does something only with tables.%[1]s.mode: history or soft-delete; leave it out", name)
	case mode == debezium.ModeSoftDelete && !t.FullBefore && c.UnavailableOf(name) == batcher.UnavailableHold:
		problem("tables.%[1]s.mode: soft-delete: a deleted row's columns besides the key are not known, and would hold the table; set tables.%[1]s.fullBefore: true if the database logs whole rows, "+
			"or tables.%[1]s.unavailable: unchanged to have the target keep them, or null", name)
	}
}
