package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"
)

// unread returns what is set and does nothing. Secrets are left out: those of both targets may
// well come from one place.
func (c *Config) unread() (all []Warning) {
	warn := func(name, under string) {
		all = append(all, Warning{name + " is set and does nothing under " + under, "leave it out"})
	}
	sink := Prefix + "SINK=" + c.Sink
	for _, l := range c.leaves() {
		_, secret := l.value.Interface().(Secret)
		switch {
		case !c.set[l.name] || secret:
		case c.foreign(l.sink):
			warn(l.name, sink)
		case c.Celonis.FileType == "csv" && strings.HasPrefix(l.name, Prefix+"PARQUET_"):
			warn(l.name, Prefix+"CELONIS_FILE_TYPE=csv")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Tables.Tables)) {
		own := reflect.ValueOf(c.Tables.Tables[name])
		for _, f := range reflect.VisibleFields(own.Type()) {
			if c.foreign(f.Tag.Get("sink")) && !own.FieldByIndex(f.Index).IsZero() {
				warn("tables."+name+"."+f.Tag.Get("yaml"), sink)
			}
		}
	}
	return all
}

// foreign reports whether what has that tag is for another target.
func (c *Config) foreign(sink string) bool { return sink != "" && sink != anySink && sink != c.Sink }

// anySink is the tag of what goes by the name of one target and is for each.
const anySink = "any"
