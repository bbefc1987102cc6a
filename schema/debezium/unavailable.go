package debezium

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
)

var errUnavailable = &fault{"the source did not log this unchanged large value (Debezium's unavailable-value placeholder)",
	"ALTER TABLE … REPLICA IDENTITY FULL or Debezium's ReselectColumns makes such values come whole from then on; " +
		"to mend this row, update the column at the source, move the group's offset past this record and restart"}

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
