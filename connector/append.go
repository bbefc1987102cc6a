package connector

import (
	"fmt"
	"slices"
	"strings"
)

// once reports whether a table's rows must not reach the target twice.
func (c *Connector) once(table string) bool {
	return c.opt.Decoder.Appends(table)
}

// unsure is the remedy where nobody can tell which rows of a batch are in a table that
// has no key. The intent beside the offsets stays until these are set anew.
func (c *Connector) unsure(w *work) string {
	var ranges []string
	for p, end := range w.ends {
		first, _ := c.ledger.First(p, w.holder)
		ranges = append(ranges, fmt.Sprintf("%v from %d to %d", p, first, end))
	}
	slices.Sort(ranges)
	return fmt.Sprintf("stop all replicas; look in the table for the rows of the batch (offsets %s): if they are all there, set the group's offsets to where it ends, "+
		"if not, delete those that are there and set them to where it begins (kafka-consumer-groups.sh --reset-offsets --to-offset); then start again", strings.Join(ranges, ", "))
}
