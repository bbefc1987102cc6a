package debezium

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

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
	if len(text) == 0 || len(e.from.block) == 0 || sh.fromRow || sh.byPosition || sh.mode != ModeUpsert || e.op != 'd' && !run.Partial {
		return
	}
	if key := d.keyOf(sh, text); key != nil {
		// Both records carry the same source block, as no records of other changes do.
		h := fnv.New64a()
		h.Write(e.from.block)
		run.Moves = append(run.Moves, schema.Move{Row: run.Len() - 1, Other: key, Change: h.Sum64()})
	}
}

// pair notes, where the row just appended lacks values, that it is what became of the one
// before it, whose key was deleted by the same record.
func (d *Decoder) pair(run *schema.Rows, offset int64) {
	n := run.Len() - 1
	lacks := func(v schema.Values) bool { return !v.States[n].Known() }
	if n == 0 || run.Ops[n-1] != schema.Delete || !slices.ContainsFunc(run.Values, lacks) {
		return
	}
	change := uint64(d.part)<<48 ^ uint64(offset) // no two records of a topic have the same
	run.Moves = append(run.Moves, schema.Move{Row: n - 1, Other: bytes.Clone(run.Key(n)), Change: change},
		schema.Move{Row: n, Other: bytes.Clone(run.Key(n - 1)), Change: change})
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
	key, err := d.open(&Record{}, text, true)
	if err != nil || key.data == nil {
		return nil
	}
	if _, err := d.fill(sh, run, schema.Delete, 0, key, payload{}); err != nil {
		return nil
	}
	return bytes.Clone(run.Keys[at:])
}

// placeholders are the forms in which one placeholder comes (Debezium:
// PostgresValueConverter, UnchangedToastedPlaceholder).
type placeholders struct {
	object bool     // text that isObject is one too
	raw    []byte   // of bytes
	text   [][]byte // of text: itself, its bytes as binary.handling.mode has them, and an hstore as JSON
	nested [][]byte // of arrays and maps, as the JSON that they become
}

// plainText and keyText read text of which nothing is declared.
var (
	plainText = codec{wire: wireString, kind: schema.String, name: "string"}
	keyText   = plainText.asKey()
)

// placeholdersOf returns the forms of a connector's unavailable.value.placeholder, nil
// of none. Bytes can be given as hex:….
func placeholdersOf(setting string) *placeholders {
	if setting == "" {
		return nil
	}
	raw := []byte(setting)
	if digits, ok := strings.CutPrefix(setting, "hex:"); ok {
		if b, err := hex.DecodeString(digits); err == nil {
			raw = b
		}
	}
	p := &placeholders{raw: raw}
	text := string([]rune(string(raw))) // as Java reads what is not UTF-8
	quoted := string(appendJSONText(nil, []byte(text)))
	base64Text := base64.StdEncoding.EncodeToString(raw)
	pair := "{" + quoted + ":" + quoted + "}"
	for _, form := range []string{text, base64Text, base64.URLEncoding.EncodeToString(raw), hex.EncodeToString(raw), pair} {
		p.text = append(p.text, []byte(form))
	}
	var numbers, dates []string // arrays of numbers have one for each byte, as Java reads bytes
	for _, b := range raw {
		numbers = append(numbers, strconv.Itoa(int(int8(b))))
		dates = append(dates, string(appendDays([]byte{'"'}, int64(int8(b))))+`"`)
	}
	id := md5.Sum(raw) // java.util.UUID.nameUUIDFromBytes: version 3
	id[6], id[8] = id[6]&0x0f|0x30, id[8]&0x3f|0x80
	for _, form := range []string{
		"[" + quoted + "]", pair,
		`["` + base64Text + `"]`,
		`["` + hex.EncodeToString(raw) + `"]`,
		"[" + strings.Join(numbers, ",") + "]",
		"[" + strings.Join(dates, ",") + "]",
		fmt.Sprintf(`["%x-%x-%x-%x-%x"]`, id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
	} {
		p.nested = append(p.nested, []byte(form))
	}
	return p
}

// isUnavailable reports whether a value under codec c is the placeholder: text as it
// came, bytes as they are, or an array, map or struct as the JSON that it becomes. What the
// column's schema tells goes before the connector's setting.
func (d *Decoder) isUnavailable(c *codec, value []byte) bool {
	p := d.unavailable
	if c.absent != nil {
		p = c.absent
	}
	forms := p.text
	switch {
	case c.isNested() || c.wire == wireInferred:
		forms = p.nested
	case c.wire == wireBytes || c.wire == wireBits || c.wire == wireDecimal:
		return bytes.Equal(value, p.raw)
	}
	for _, form := range forms {
		if len(form) == len(value) && bytes.Equal(form, value) {
			return true
		}
	}
	return p.object && isObject(value)
}

// isObject reports whether a text is what Java prints of an Object, with its hash of 32
// bits: some versions of Debezium let the one by which they know an unchanged value out.
func isObject(text []byte) bool {
	digits, ok := bytes.CutPrefix(text, []byte("java.lang.Object@"))
	return ok && len(digits) > 0 && len(digits) <= 8 && len(bytes.Trim(digits, "0123456789abcdef")) == 0
}
