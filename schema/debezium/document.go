package debezium

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// MongoDB's documents come as text: MongoDB Extended JSON, of version 1 or 2, relaxed
// or canonical (https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/).
// Their members become columns as those of plain JSON do, once each value is the plain
// JSON that it stands for.

// document stands for a row image that is a document.
var document = &plan{open: true, member: wireDocument}

// documentID is the column of a document's key, whose record calls it id.
const documentID = "_id"

// documentGone is the error of an update whose document does not come along. It is
// neither a delete nor an empty row.
func documentGone(table string) error {
	return &BadRecord{Table: table, Err: fmt.Errorf("an update without the document it made"),
		Remedy: "set the connector's capture.mode to change_streams_update_full; if it is that, the document was deleted before the connector looked it up, " +
			"and its delete follows: SLUICE_MONGODB_GONE=skip passes over such updates"}
}

// notDocuments is the error of a document in a table whose key a tombstone told before.
func notDocuments(table string) error {
	return &fault{"key: it is a document's, and a tombstone before it, whose id is a number, was taken for a row's",
		fmt.Sprintf("give %s its type under tables.%s.types in the tables file and restart", documentID, table)}
}

// isDocumentKey tells the key of a document, {"id":"<extended JSON>"}, from a row's by
// what is in it, for tombstones: they have no source block. A number as an id is not
// told from a row's text; that the tables file gives _id a type tells it then.
func (d *Decoder) isDocumentKey(key payload) bool {
	var text []byte
	switch p := key.plan; {
	case key.data == nil || key.bare():
		return false
	case p != nil && p.avro != nil:
		if len(p.fields) != 1 || p.fields[0].name != "id" || p.fields[0].codec.wire != wireString {
			return false
		}
		r := avro.Reader{Data: key.data}
		if p.fields[0].avro.present(&r) {
			text = r.Bytes()
		}
	default:
		s := scanner{b: key.data}
		if more, err := s.open(); err != nil || !more {
			return false
		}
		name, err := s.name(&d.name)
		if err != nil || string(name) != "id" || s.peek() != '"' {
			return false
		}
		raw, _, err := s.str()
		if err != nil || s.peek() != '}' {
			return false
		}
		if text, err = unescape(d.text[:0], raw); err != nil {
			return false
		}
		d.text = text
	}
	return bytes.HasPrefix(text, []byte(`{"$`)) || bytes.HasPrefix(text, []byte(`"`))
}

// appendDocument reads a document's value into v.
func (d *Decoder) appendDocument(s *scanner, v *schema.Values, col *schema.Column, c *codec) error {
	if c.key {
		text, err := s.skip()
		if err != nil {
			return err
		}
		return d.appendID(v, col, text)
	}
	if s.peek() == '{' || s.peek() == '[' {
		text, err := s.skip()
		if err == nil {
			d.relaxed, err = appendPlain(d.relaxed[:0], text)
		}
		if err != nil {
			return err
		}
		s = &scanner{b: d.relaxed}
	}
	if c.plain != nil {
		return d.appendValue(s, v, col, c.plain)
	}
	return d.appendInferred(s, v, col, c)
}

// appendID reads the text of a document's id. All ids are STRING unless the tables file
// gives another type, for those of one collection may be of several; what MongoDB takes
// for one number has one text.
func (d *Decoder) appendID(v *schema.Values, col *schema.Column, text []byte) (err error) {
	if d.relaxed, err = appendPlain(d.relaxed[:0], text); err != nil {
		return err
	}
	lit := d.relaxed
	switch {
	case isNull(lit):
		v.AppendNull()
		return nil
	case lit[0] == '"':
		if lit, err = unescape(d.text[:0], lit[1:len(lit)-1]); err != nil {
			return err
		}
		d.text = lit
	case lit[0] != '{' && lit[0] != '[':
		if f, err := strconv.ParseFloat(string(lit), 64); err == nil && schema.ExactFloat(int64(f)) && f == float64(int64(f)) {
			lit = strconv.AppendInt(lit[:0], int64(f), 10)
		}
	}
	if n, ok := parseInt(lit); ok && v.Kind == schema.Integer {
		v.AppendNum(n)
		return nil
	}
	if v.Kind == schema.Unknown {
		v.Become(schema.String)
		col.Type = schema.Type{Kind: schema.String, Inferred: true}
	}
	if v.Kind != schema.String {
		return misfit{schema.String, v.Kind}
	}
	return d.appendText(v, lit, &keyText)
}

// appendPlain appends the plain JSON that extended JSON stands for, without space.
// What plain JSON has no value for, such as a regular expression, stays as it is; a date
// is its instant's text, and bytes are base64.
func appendPlain(dst, text []byte) ([]byte, error) {
	if !json.Valid(text) {
		return dst, errSyntax
	}
	s := scanner{b: text}
	return s.appendPlain(dst)
}

func (s *scanner) appendPlain(dst []byte) ([]byte, error) {
	switch s.peek() {
	case '{':
		text, err := s.skip()
		if err != nil {
			return dst, err
		}
		if out, ok := appendExtended(dst, text); ok {
			return out, nil
		}
		inner := scanner{b: text}
		return inner.appendMembers(append(dst, '{'), '}')
	case '[':
		return s.appendMembers(append(dst, '['), ']')
	}
	text, err := s.skip()
	return append(dst, text...), err
}

// appendMembers appends what is in the object or array at the cursor, up to its end.
func (s *scanner) appendMembers(dst []byte, end byte) (_ []byte, err error) {
	s.i++
	for first := true; s.peek() != end; first = false {
		if !first {
			s.i++ // the comma
			dst = append(dst, ',')
		}
		if end == '}' {
			s.peek()
			from := s.i
			if _, _, err = s.str(); err != nil {
				return dst, err
			}
			dst = append(append(dst, s.b[from:s.i]...), ':')
			s.peek()
			s.i++ // the colon
		}
		if dst, err = s.appendPlain(dst); err != nil {
			return dst, err
		}
	}
	s.i++
	return append(dst, end), nil
}

// appendExtended appends the value that an object of extended JSON is a form of.
func appendExtended(dst, object []byte) (_ []byte, ok bool) {
	s := scanner{b: object}
	var buf []byte
	if more, err := s.open(); err != nil || !more || s.peek() != '"' {
		return dst, false
	}
	name, err := s.name(&buf)
	if err != nil || len(name) == 0 || name[0] != '$' {
		return dst, false
	}
	val, err := s.skip()
	if err != nil {
		return dst, false
	}
	alone := s.peek() == '}'
	text := bytes.Trim(val, `"`)
	isText := val[0] == '"'
	switch string(name) {
	case "$oid", "$uuid", "$symbol":
		return append(dst, val...), alone && isText
	case "$numberInt", "$numberLong", "$numberDouble", "$numberDecimal":
		switch {
		case !alone || len(text) == 0 || val[0] == '{' || val[0] == '[':
			return dst, false
		case validNumber(text):
			return append(dst, text...), true
		}
		return append(dst, val...), isText // NaN, Infinity
	case "$date":
		out, ok := appendDate(dst, val)
		return out, ok && alone
	case "$binary":
		if isText { // and its $type
			return append(dst, val...), true
		}
		var b struct{ Base64 *string }
		if val[0] != '{' || json.Unmarshal(val, &b) != nil || b.Base64 == nil {
			return dst, false
		}
		quoted, err := json.Marshal(*b.Base64)
		return append(dst, quoted...), alone && err == nil
	case "$undefined":
		return append(dst, "null"...), alone
	}
	return dst, false
}

// appendDate appends a date in any of its forms as one text, in UTC to the millisecond,
// which is what MongoDB keeps.
func appendDate(dst, val []byte) (_ []byte, ok bool) {
	if val[0] == '{' {
		inner, ok := appendExtended(nil, val)
		if !ok {
			return dst, false
		}
		val = inner
	}
	at := time.Time{}
	if ms, ok := parseInt(val); ok {
		at = time.UnixMilli(ms)
	} else if t, err := time.Parse(time.RFC3339Nano, string(bytes.Trim(val, `"`))); err == nil {
		at = t
	} else {
		return append(dst, val...), val[0] == '"'
	}
	dst = append(dst, '"')
	dst = at.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
	return append(dst, '"'), true
}
