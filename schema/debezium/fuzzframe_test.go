package debezium

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

var apicurioMixed = frame.Framing{Apicurio: true, Short: frame.ContentID, Long: frame.GlobalID}

// frameForms are all forms in which the id of a schema comes: in front of the bytes, or in
// a header, of which the name for a value and a key.
var frameForms = []struct {
	framing frame.Framing
	headers [2]string
	id      func(n byte) []byte
}{
	{frame.Confluent, [2]string{}, shortBytes},
	{frame.Confluent, [2]string{}, guidBytes},
	{frame.Confluent, [2]string{"__value_schema_id", "__key_schema_id"}, shortBytes},
	{frame.Confluent, [2]string{"__value_schema_id", "__key_schema_id"}, guidBytes},
	{frame.Framing{Apicurio: true, Long: frame.GlobalID}, [2]string{}, longBytes},
	{frame.Framing{Apicurio: true, Short: frame.ContentID}, [2]string{}, shortBytes},
	{apicurioMixed, [2]string{}, shortBytes},
	{apicurioMixed, [2]string{}, longBytes},
	{apicurioMixed, [2]string{"apicurio.value.contentId", "apicurio.key.contentId"}, int64Bytes},
	{apicurioMixed, [2]string{"apicurio.value.globalId", "apicurio.key.globalId"}, int64Bytes},
	{apicurioMixed, [2]string{"apicurio.value.contentHash", "apicurio.key.contentHash"}, hashText},
	{apicurioMixed, [2]string{"apicurio.value.artifactId", "apicurio.key.artifactId"}, hashText},
}

func shortBytes(n byte) []byte { return []byte{0, 0, 0, 0, n} }

func longBytes(n byte) []byte { return append([]byte{0}, int64Bytes(n)...) }

// FuzzFrame puts any bytes where an id is expected, in every form, of a key or a value: a
// record is read or refused, in memory in proportion to it. Where they are the id of a
// schema, what becomes of the record is what becomes of the same bytes behind a Confluent
// id, be it rows or a refusal; JSON of Avro is as the bytes that it stands for.
func FuzzFrame(f *testing.F) {
	rig := newFramedRig(f)
	f.Fuzz(func(t *testing.T, form uint8, isKey, asJSON bool, id, body []byte) {
		of := frameForms[int(form)%len(frameForms)]
		asJSON = asJSON && of.framing.Apicurio
		rec, place := Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"s":"x","raw":"AP8="}`))}, 0
		if isKey {
			place = 1
		}
		put := func(data []byte, headers ...Header) Record {
			r := rec
			if r.Headers = headers; isKey {
				r.Key = data
			} else {
				r.Value = data
			}
			return r
		}
		var headers []Header
		data := body
		if name := of.headers[place]; name != "" {
			headers = append(headers, Header{name, id})
		} else {
			data = append(bytes.Clone(id), body...)
		}
		if asJSON {
			headers = append(headers, Header{[2]string{"apicurio.value.encoding", "apicurio.key.encoding"}[place], []byte("JSON")})
		}
		var got string
		schematest.Within(t, 1<<16, 512, len(id)+len(body), func() { got = fate(t, rig.opt, of.framing, put(data, headers...)) })
		known := len(body) == 0 // which is a tombstone, under whatever schema
		for n := byte(1); n <= 2 && len(body) > 0; n++ {
			hash := len(id) == len(hashText(n)) // in hexadecimal
			if !bytes.Equal(id, of.id(n)) && !(hash && bytes.EqualFold(id, of.id(n))) || of.headers[0] == "apicurio.value.artifactId" {
				continue
			}
			known = true
			plain := body
			if asJSON {
				schema, err := rig.opt.Schema(frame.ID{Space: frame.SchemaID, Number: uint64(n)})
				if err != nil {
					t.Fatal(err)
				}
				if plain, err = avro.AppendJSON(nil, schema.Avro, body); err != nil {
					continue
				}
			}
			if want := fate(t, rig.opt, frame.Confluent, put(append(shortBytes(n), plain...))); got != want {
				t.Fatalf("got\n%s\nbehind a Confluent id\n%s", got, want)
			}
		}
		if of.framing.Apicurio && of.headers[0] != "" && strings.HasPrefix(got, Row.String()+", <nil>") && !known {
			t.Fatalf("a row under %q, which is no id", id)
		}
	})
}

// fate says in words what becomes of a record under a framing.
func fate(t *testing.T, opt Options, framing frame.Framing, rec Record) string {
	opt.Framing = framing
	d := NewDecoder("p.public.t", opt)
	class, err := d.Decode(rec)
	all := d.Take(nil)
	rows := 0
	for _, r := range all {
		rows += r.Len()
	}
	if (err == nil && class == Row) != (rows == 1) {
		t.Fatalf("%v, %v and %d rows", class, err, rows)
	}
	var need *NeedSchema
	if err != nil && !errors.As(err, &need) {
		refused(t, d, err)
	}
	return fmt.Sprintf("%v, %v\n%s", class, err, text(all))
}
