package debezium

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

// refused checks the error of a record that is not decoded: it names the table if it is
// told, it is short, and no row is left behind.
func refused(t *testing.T, d *Decoder, err error) *BadRecord {
	t.Helper()
	var bad *BadRecord
	if !errors.As(err, &bad) {
		t.Fatalf("%T: %v", err, err)
	}
	if left := d.Take(nil); len(left) > 0 {
		t.Fatalf("%v, and yet there are rows\n%s", err, text(left))
	}
	if reason := bad.Err.Error(); reason == "" || !utf8.ValidString(err.Error()) {
		t.Fatalf("the error says %q", err)
	}
	return bad
}

// FuzzRecord decodes any bytes as key and value, under any settings and framing and after a
// good record: it neither panics, nor takes memory out of proportion, nor leaves half rows; and
// where it refuses, it spoils nothing for the good record.
func FuzzRecord(f *testing.F) {
	rig := newAvroRig(f, keySchema, imagesSchema)
	envelope, err := avro.Parse(avroEnvelope(`{"name":"id","type":"long"},{"name":"a","type":["null","string"]}`))
	if err != nil {
		f.Fatal(err)
	}
	rig.types[3] = envelope
	key, value := withSchema(typed("string", "", ""), `"v":"x"`)
	id := `{"id":1}`
	for _, seed := range []struct{ key, value string }{
		{id, event("c", "null", `{"id":1,"a":"x"}`)}, {id, `{"id":1,"__op":"u","__deleted":true,"__source_ts_ms":"5"}`}, {id, flatSchema(`{"id":1,"name":"a"}`)},
		{id, cloud("r", `{"after":{"id":1}}`)}, {id, cloud("r", `"AAAAAAEAAgICAg=="`)}, {mongoKey(`{"$oid":"a"}`), mongo("u", "null", `{"_id":{"$oid":"a"},"at":{"$date":1},"n":[{"$numberLong":"1"}]}`)},
		{mongoKey(`"a"`), ""}, {`5`, event("d", "null", "null")}, {"\x00\x00\x00\x00\x00\x00\x00\x05", `{"id":5}`}, {`{"schema":{"type":"int32"},"payload":5}`, `{"id":5}`},
		{id, "\x00\x00\x00\x00\x02\x00\x02\x02\x02\x02"}, {key, value}, {id, event("u", `{"id":1,"a":"x"}`, `{"id":1,"a":"y"}`)}, {id, event("d", `{"id":1,"a":"x"}`, `null`)},
	} {
		for setting := range byte(12) {
			f.Add([]byte(seed.key), []byte(seed.value), setting)
		}
	}
	good := Record{Key: []byte(id), Value: []byte(event("c", "null", `{"id":1,"a":"x"}`))}
	f.Fuzz(func(t *testing.T, key, value []byte, setting byte) {
		opt := rig.options()
		opt.Schema = func(id frame.ID) (*frame.Schema, error) {
			if t := rig.types[id.Number]; t != nil {
				return &frame.Schema{Avro: t}, nil
			}
			if id.Number == 7 { // it is on its way
				return nil, nil
			}
			return nil, errors.New("the registry does not know it")
		}
		opt.Events, opt.BareKeys, opt.KeepMetadata = Events(setting%3), BareKeys(setting/3%4), setting&64 > 0
		if setting&32 > 0 {
			opt.Framing = apicurioMixed
		}
		if setting >= 128 {
			opt.Keys = func(string) []string { return []string{"id"} }
		}
		var d *Decoder
		var spoilt, err error
		schematest.Within(t, 1<<16, 512, len(key)+len(value), func() {
			d = NewDecoder("p.public.t", opt)
			_, spoilt = d.Decode(good)
			d.Take(nil)
			_, err = d.Decode(Record{Offset: 1, Key: key, Value: value})
		})
		var need *NeedSchema
		switch {
		case errors.As(err, &need):
		case err != nil:
			refused(t, d, err)
			if _, err := d.Decode(good); err != nil && spoilt == nil {
				t.Fatalf("the record after it: %v", err)
			}
		default:
			for _, rows := range d.Take(nil) {
				for c := range rows.Columns {
					if rows.Values[c].Len() != rows.Len() {
						t.Fatalf("%d values of %d", rows.Values[c].Len(), rows.Len())
					}
				}
			}
		}
	})
}

// members reads an object by encoding/json. more says that something stands behind it:
// put into an event, it closed the member that it is the value of and went on with
// others.
func members(text []byte) (all map[string]json.RawMessage, twice, more bool, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	var whole json.RawMessage
	if err := dec.Decode(&whole); err != nil {
		return nil, false, false, err
	}
	more = len(bytes.Trim(text[dec.InputOffset():], " \t\r\n")) > 0
	dec = json.NewDecoder(bytes.NewReader(whole))
	if open, _ := dec.Token(); open != json.Delim('{') {
		return nil, false, more, errors.New("no object")
	}
	all = map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, false, more, err
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil && err != io.EOF {
			return nil, false, more, err
		}
		_, have := all[name.(string)]
		twice = twice || have
		all[name.(string)] = raw
	}
	return all, twice, more, nil
}

// justified reports whether a refusal of text that encoding/json reads has its reason in
// it. These are all that there are, and deliberate: a name twice is read by encoding/json
// as its last value, half a surrogate pair and broken UTF-8 as U+FFFD, and nesting is
// followed to ten thousand levels.
func justified(text []byte, twice bool, reason string) bool {
	switch {
	case strings.Contains(reason, "twice in the row"):
		return twice
	case strings.Contains(reason, "surrogate"):
		return bytes.Contains(bytes.ToLower(text), []byte(`\ud`))
	case strings.Contains(reason, "not valid UTF-8"):
		return !utf8.Valid(text)
	case strings.Contains(reason, "512 levels"):
		return bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > maxDepth
	}
	return false
}

// FuzzDecode holds rows of plain JSON against encoding/json: the same columns with the
// same values, whatever rows came before, or a refusal for a reason that is there.
func FuzzDecode(f *testing.F) {
	for _, row := range []string{`{"id":1,"a":"x\u00e9\ud83d\ude00","b":-0.5e3}`, `{"id":1,"a":[1, {"b":null}],"c":9223372036854775807}`,
		`{"id":1,"a":true,"b":null,"c":"","d":0}`, `{"a":{},"id":1}`} {
		f.Add([]byte(`{}`), []byte(row))
		f.Add([]byte(`{"a":1,"b":true,"c":1.5}`), []byte(row))
	}
	opt := testOptions()
	opt.Mode = func(string) Mode { return ModeAppend } // every column is the row's
	f.Fuzz(func(t *testing.T, first, row []byte) {
		var d *Decoder
		var err error
		schematest.Within(t, 1<<16, 512, len(first)+len(row), func() {
			d = NewDecoder("p.public.t", opt)
			if _, err = d.Decode(Record{Value: []byte(event("c", "null", string(first)))}); err != nil {
				return
			}
			d.Take(nil)
			_, err = d.Decode(Record{Offset: 1, Value: []byte(event("c", "null", string(row)))})
		})
		if _, _, more, _ := members(first); more {
			return
		}
		want, twice, more, wrong := members(row)
		switch {
		case more:
			return
		case err != nil:
			bad := refused(t, d, err)
			if wrong == nil && !justified(row, twice, bad.Error()) {
				if _, twice, _, wrong := members(first); wrong == nil && !justified(first, twice, bad.Error()) {
					t.Fatalf("refused: %v", err)
				}
			}
			return
		case wrong != nil:
			t.Fatalf("decoded, while encoding/json says %v", wrong)
		}
		rows := d.Take(nil)[0]
		for name := range want {
			if at := (&schema.Table{Columns: rows.Columns}).Index(name); at < 0 {
				t.Fatalf("column %q is missing", name)
			}
		}
		for i, c := range rows.Columns {
			v := &rows.Values[i]
			if raw, ok := want[c.Name]; !ok && v.States[0] != schema.Null || ok && !samePlain(v, raw) {
				t.Fatalf("%s: %s for %s", c.Name, cell(v, 0), raw)
			}
		}
	})
}

// samePlain reports whether the first value of a column is what encoding/json reads.
func samePlain(v *schema.Values, raw []byte) bool {
	switch v.States[0] {
	case schema.Null:
		return string(raw) == "null"
	case schema.Missing:
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(compact(nil, raw))
		}
		forms := placeholdersOf("__debezium_unavailable_value")
		return slices.ContainsFunc(append(forms.text, forms.nested...), func(form []byte) bool { return string(form) == s })
	}
	switch raw[0] {
	case '"':
		var s string
		return json.Unmarshal(raw, &s) == nil && v.Kind == schema.String && string(v.Bytes(0)) == s
	case '{', '[':
		var b bytes.Buffer
		return json.Compact(&b, raw) == nil && v.Kind == schema.String && bytes.Equal(v.Bytes(0), b.Bytes())
	case 't', 'f':
		return v.Kind == schema.String && string(v.Bytes(0)) == string(raw) || v.Kind == schema.Boolean && (v.Nums[0] == 1) == (raw[0] == 't')
	case 'n':
		return false
	}
	var number json.Number
	if json.Unmarshal(raw, &number) != nil {
		return false
	}
	f, _ := number.Float64()
	switch v.Kind {
	case schema.Integer:
		n, err := number.Int64()
		return err == nil && n == v.Nums[0]
	case schema.Float:
		return v.Float(0) == f && keepsDigits(number.String(), f)
	}
	kept := string(v.Bytes(0))
	again, err := strconv.ParseFloat(kept, 64)
	return kept == number.String() || err == nil && again == f && keepsDigits(number.String(), f)
}

// keepsDigits reports whether a double, written with as many digits as a number has, has
// that number's digits.
func keepsDigits(number string, f float64) bool {
	digits, exponent := significant(number)
	kept, at := significant(strconv.FormatFloat(f, 'e', max(len(digits)-1, 0), 64))
	return digits == kept && (exponent == at || digits == "")
}

// significant returns a number's digits between the first and the last that is not zero,
// and the power of ten that the first stands for.
func significant(number string) (digits string, exponent int) {
	mantissa, power, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(number, "-")), "e")
	exponent, _ = strconv.Atoi(power)
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent += len(whole) - 1 - (len(whole+fraction) - len(digits))
	return strings.TrimRight(digits, "0"), exponent
}

// TestHugeString: a string of 100 MB is refused where it stands, without a copy of it.
func TestHugeString(t *testing.T) {
	head, tail, _ := strings.Cut(event("c", "null", `{"id":1,"a":"TEXT"}`), "TEXT")
	value := append(make([]byte, 0, 100<<20+len(head)+len(tail)), head...)
	value = append(value, bytes.Repeat([]byte("x"), 100<<20)...)
	value = append(value, tail...)
	opt := testOptions()
	opt.MaxLength = 16250
	schematest.Within(t, 1<<16, 0, 0, func() {
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(head + tail)}); err != nil {
			t.Fatal(err)
		}
		d.Take(nil)
		_, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: value})
		if bad := refused(t, d, err); bad.Column != "a" || !strings.Contains(err.Error(), "104857600 characters where 16250") {
			t.Fatal(err)
		}
	})
}
