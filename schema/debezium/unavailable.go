package debezium

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"hash/fnv"

	"github.com/sluice-cdc/sluice/schema"
)

// errUnavailable is what reading a value returns that is the placeholder, and the error
// of a key with such a value: nothing names its row.
var errUnavailable error = &fault{"the source did not log this value of the key (Debezium's unavailable-value placeholder)",
	"ALTER TABLE … REPLICA IDENTITY FULL makes it come from then on; delete the row at the target, move the group's offset past this record and restart"}

// absence appends the state of a value that the source did not send, where err says that.
func (d *Decoder) absence(err error, run *schema.Rows, v *schema.Values) error {
	if err != errUnavailable {
		return err
	}
	v.AppendAbsent(d.absent)
	run.Partial = true
	return nil
}

// Headers of the two records that a change of a row's key makes (Debezium documentation,
// "Primary key updates" of each connector).
const (
	newKeyHeader = "__debezium.newkey"
	oldKeyHeader = "__debezium.oldkey"
)

// moved notes where the row just appended went to or came from, if a header tells. What
// the header's converter wrote may not be readable; then nothing is noted, for the two
// rows are right each by itself, but for values that only the other one has.
func (d *Decoder) moved(sh *shape, rec *Record, e *change) {
	name := oldKeyHeader
	if e.op == 'd' {
		name = newKeyHeader
	}
	text := rec.header(name)
	run := sh.run
	if len(text) == 0 || len(e.from.block) == 0 || sh.fromRow || e.op != 'd' && !run.Partial {
		return
	}
	if key := d.keyOf(sh, text); key != nil {
		// Both records carry the same source block, as no records of other changes do.
		h := fnv.New64a()
		h.Write(e.from.block)
		run.Moves = append(run.Moves, schema.Move{Row: run.Len() - 1, Other: key, Change: h.Sum64()})
	}
}

// keyOf returns the canonical form of another key of a table, nil if it cannot be read.
func (d *Decoder) keyOf(sh *shape, text []byte) []byte {
	run := sh.run
	n, at := run.Len(), len(run.Keys)
	defer run.Truncate(n)
	for _, k := range sh.keys {
		if run.Values[k].Kind == schema.Unknown {
			return nil
		}
	}
	key, err := d.open(text, true)
	if err != nil || key.data == nil {
		return nil
	}
	if _, err := d.fill(sh, run, schema.Delete, 0, key, payload{}); err != nil {
		return nil
	}
	return bytes.Clone(run.Keys[at:])
}

// placeholders returns the forms in which an unavailable value comes as text
// (PostgresValueConverter and UnchangedToastedPlaceholder of Debezium): itself, its
// bytes as binary.handling.mode has them, and around it what arrays and hstore have.
func placeholders(text string) (all [][]byte) {
	for _, form := range []string{text, base64.StdEncoding.EncodeToString([]byte(text)), base64.URLEncoding.EncodeToString([]byte(text)),
		hex.EncodeToString([]byte(text)), `["` + text + `"]`, `{"` + text + `":"` + text + `"}`} {
		all = append(all, []byte(form))
	}
	return all
}

func (d *Decoder) isUnavailable(text []byte) bool {
	for _, form := range d.unavailable {
		if len(form) == len(text) && bytes.Equal(form, text) {
			return true
		}
	}
	return false
}
