package debezium

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

// typedColumns are a column of every type that JSON with schema has. read turns what
// encoding/json reads, a json.Number, string or bool, into the text of the cell; ok is
// false for what the type does not have.
var typedColumns = []struct {
	name, typ, semantic, parameters string
	read                            func(v any) (cell string, ok bool)
}{
	{"i8", "int8", "", "", integerOf(8)},
	{"i16", "int16", "", "", integerOf(16)},
	{"i32", "int32", "", "", integerOf(32)},
	{"i64", "int64", "", "", integerOf(64)},
	{"f32", "float", "", "", floatOf},
	{"f64", "double", "", "", floatOf},
	{"b", "boolean", "", "", boolOf},
	{"s", "string", "", "", textOf},
	{"uuid", "string", "io.debezium.data.Uuid", "", textOf},
	{"raw", "bytes", "", "", func(v any) (string, bool) {
		raw, ok := base64Of(v)
		return strconv.Quote(base64.StdEncoding.EncodeToString(raw)), ok
	}},
	{"dec", "bytes", decimalName, `"scale":"2"`, decimalOf(2)},
	{"dneg", "bytes", decimalName, `"scale":"-2"`, decimalOf(-2)},
	{"dint", "bytes", decimalName, `"scale":"0","connect.decimal.precision":"18"`, func(v any) (string, bool) {
		quoted, ok := decimalOf(0)(v)
		return strings.Trim(quoted, `"`), ok
	}},
	{"day", "int32", "io.debezium.time.Date", "", instantOf(schema.Date, 24*time.Hour)},
	{"cday", "int32", "org.apache.kafka.connect.data.Date", "", instantOf(schema.Date, 24*time.Hour)},
	{"tms", "int32", "io.debezium.time.Time", "", instantOf(schema.Time, time.Millisecond)},
	{"tus", "int64", "io.debezium.time.MicroTime", "", instantOf(schema.Time, time.Microsecond)},
	{"ms", "int64", "io.debezium.time.Timestamp", "", instantOf(schema.DateTime, time.Millisecond)},
	{"us", "int64", "io.debezium.time.MicroTimestamp", "", instantOf(schema.DateTime, time.Microsecond)},
	{"ns", "int64", "io.debezium.time.NanoTimestamp", "", instantOf(schema.DateTime, time.Nanosecond)},
	{"zoned", "string", "io.debezium.time.ZonedTimestamp", "", zonedOf},
	{"ints", `{"type":"array","items":{"type":"int32","optional":true}}`, "", "", nestedOf(listOf(integerOf(32)))},
	{"texts", `{"type":"array","items":{"type":"array","items":{"type":"string"}}}`, "", "", nestedOf(listOf(listOf(textOf)))},
	{"map", `{"type":"map","keys":{"type":"string"},"values":{"type":"boolean"}}`, "", "", nestedOf(func(v any) (string, bool) {
		m, ok := v.(map[string]any)
		parts := map[string]json.RawMessage{}
		for name, v := range m {
			text, fits := orNull(boolOf)(v)
			parts[name], ok = json.RawMessage(text), ok && fits
		}
		all, _ := json.Marshal(parts)
		return string(all), ok
	})},
	{"struct", `{"type":"struct","fields":[{"type":"int8","field":"n"},{"type":"string","field":"s"}]}`, "", "", nestedOf(func(v any) (string, bool) {
		m, ok := v.(map[string]any)
		n, nOK := orNull(integerOf(8))(m["n"])
		s, sOK := orNull(textOf)(m["s"])
		for name := range m {
			ok = ok && (name == "n" || name == "s")
		}
		return `{"n":` + n + `,"s":` + s + `}`, ok && nOK && sOK
	})},
}

// nestedOf makes the cell of a nested value of the JSON that it is.
func nestedOf(read func(any) (string, bool)) func(any) (string, bool) {
	return func(v any) (string, bool) {
		text, ok := read(v)
		return strconv.Quote(canonical(text)), ok
	}
}

func listOf(elem func(any) (string, bool)) func(any) (string, bool) {
	return func(v any) (string, bool) {
		list, ok := v.([]any)
		texts := make([]string, len(list))
		for i := range list {
			var fits bool
			texts[i], fits = orNull(elem)(list[i])
			ok = ok && fits
		}
		return "[" + strings.Join(texts, ",") + "]", ok
	}
}

// orNull reads a part of a nested value as JSON.
func orNull(read func(any) (string, bool)) func(any) (string, bool) {
	return func(v any) (string, bool) {
		if v == nil {
			return "null", true
		}
		if s, ok := v.(string); ok {
			if _, text := read("x"); text { // a type of text
				b, _ := json.Marshal(s)
				return string(b), ok
			}
		}
		return read(v)
	}
}

// canonical writes JSON as encoding/json does.
func canonical(text string) string {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return err.Error()
	}
	b, _ := json.Marshal(v)
	return string(b)
}

func boolOf(v any) (string, bool) { b, ok := v.(bool); return strconv.FormatBool(b), ok }

// written returns the text of an integer as a number or, as some producers write them,
// in a string.
func written(v any) string {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case string:
		return v
	}
	return ""
}

func integerOf(bits int) func(any) (string, bool) {
	return func(v any) (string, bool) {
		n, err := strconv.ParseInt(written(v), 10, bits)
		return strconv.FormatInt(n, 10), err == nil
	}
}

func floatOf(v any) (string, bool) {
	var number json.Number
	if json.Unmarshal([]byte(written(v)), &number) != nil {
		return "", false
	}
	f, err := number.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64), err == nil
}

func textOf(v any) (string, bool) { s, ok := v.(string); return strconv.Quote(s), ok }

func base64Of(v any) ([]byte, bool) {
	s, ok := v.(string)
	raw, err := base64.StdEncoding.DecodeString(s)
	return raw, ok && err == nil
}

func decimalOf(scale int) func(any) (string, bool) {
	return func(v any) (string, bool) {
		value := new(big.Rat)
		unit := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(scale, -scale))), nil))
		if scale < 0 {
			unit.Inv(unit)
		}
		if number, ok := v.(json.Number); ok {
			if _, ok := value.SetString(number.String()); !ok {
				return "", false
			}
		} else {
			raw, ok := base64Of(v)
			if !ok {
				return "", false
			}
			n := new(big.Int).SetBytes(raw)
			if len(raw) > 0 && raw[0] >= 0x80 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
			}
			value.Quo(new(big.Rat).SetInt(n), unit)
		}
		return strconv.Quote(value.FloatString(max(scale, 0))), new(big.Rat).Mul(value, unit).IsInt()
	}
}

func instantOf(kind schema.Kind, unit time.Duration) func(any) (string, bool) {
	return func(v any) (string, bool) {
		n, err := strconv.ParseInt(written(v), 10, 64)
		if err != nil {
			return "", false
		}
		var at time.Time
		switch unit {
		case 24 * time.Hour:
			if n < -1_000_000 || n > 10_000_000 {
				return "", false
			}
			at = time.Unix(n*86400, 0)
		case time.Millisecond:
			at = time.UnixMilli(n)
		case time.Microsecond:
			at = time.UnixMicro(n)
		default:
			at = time.Unix(0, n).Truncate(time.Microsecond)
		}
		at = at.UTC()
		if kind == schema.Time {
			return at.Format("15:04:05.999999"), at.Format(time.DateOnly) == "1970-01-01"
		}
		if kind == schema.Date {
			return at.Format(time.DateOnly), inYears(at)
		}
		return at.Format("2006-01-02T15:04:05.999999"), inYears(at)
	}
}

func inYears(t time.Time) bool { return t.Year() >= 1400 && t.Year() <= 9999 }

// zonedOf reads what ISO 8601 allows of a date-time: a space or T, no seconds, no offset
// or one of hours only or with seconds, and a year with a sign and leading zeros.
func zonedOf(v any) (string, bool) {
	s, ok := v.(string)
	if s = strings.TrimPrefix(s, "+"); !ok {
		return "", false
	}
	for year := strings.IndexByte(s, '-'); year > 4 && s[0] == '0'; year-- {
		s = s[1:]
	}
	for _, between := range []string{"T", " "} {
		for _, clock := range []string{"15:04:05", "15:04"} {
			for _, zone := range []string{"Z07:00", "Z07", "Z07:00:00", ""} {
				at, err := time.Parse("2006-01-02"+between+clock+zone, s)
				if err == nil {
					at = at.UTC().Truncate(time.Microsecond)
					return at.Format("2006-01-02T15:04:05.999999"), inYears(at)
				}
			}
		}
	}
	return "", false
}

// FuzzTyped holds rows under a schema against encoding/json, math/big and time: the same
// values, or a refusal that names the column which the type does not have.
func FuzzTyped(f *testing.F) {
	var fields []string
	for _, c := range typedColumns {
		if nested, ok := strings.CutSuffix(c.typ, "}"); ok {
			fields = append(fields, nested+`,"field":"`+c.name+`"}`)
			continue
		}
		fields = append(fields, strings.Replace(typed(c.typ, c.semantic, c.parameters), `"field":"v"`, `"field":"`+c.name+`"`, 1))
	}
	_, value := withSchema(strings.Join(fields, ","), "ROW")
	head, tail, _ := strings.Cut(value, `{"id":1,ROW}`)
	for _, row := range []string{
		`{"i8":-128,"i16":"32767","i32":null,"i64":9223372036854775807,"f32":1.5,"f64":"-1e300","b":true,"s":"\u00e9","uuid":""}`,
		`{"raw":"AAEC/w==","dec":"JxA=","dneg":1200,"dint":"A+g=","day":-1,"cday":0,"tms":86399999,"tus":1}`,
		`{"dec":-1.5e1,"ms":-1,"us":1700000000123456,"ns":-1,"zoned":"2016-11-04T11:51:30.123456+02:00"}`,
		`{"ints":[1,null,"-2"],"texts":[["a","\u00e9\u2028"],[]],"map":{"b":true,"a":null},"struct":{"s":"x","n":-128}}`,
		`{"struct":{"n":null},"map":{},"ints":[2147483648],"texts":[[1]]}`,
	} {
		f.Add([]byte(row))
	}
	opt := testOptions()
	opt.Mode, opt.Decimals = func(string) Mode { return ModeAppend }, DecimalsText
	f.Fuzz(func(t *testing.T, row []byte) {
		var d *Decoder
		var err error
		// A decimal of a few bytes, 1e9999, is text of ten thousand.
		schematest.Within(t, 1<<18, 512, len(head)+len(row)+len(tail), func() {
			d = NewDecoder("p.public.t", opt)
			_, err = d.Decode(Record{Value: []byte(head + string(row) + tail)})
		})
		all, twice, more, wrong := members(row)
		if more {
			return
		}
		if err == nil && wrong != nil {
			t.Fatalf("decoded, while encoding/json says %v", wrong)
		}
		var bad *BadRecord
		if err != nil {
			if bad = refused(t, d, err); wrong != nil || justified(row, twice, err.Error()) || strings.Contains(err.Error(), "is not in the record's schema") {
				return
			}
			if bad.Column == "" {
				t.Fatalf("%v: names no column", err)
			}
		}
		var rows *schema.Rows
		if err == nil {
			rows = d.Take(nil)[0]
		}
		for _, c := range typedColumns {
			raw, there := all[c.name]
			if !there || bad != nil && bad.Column != c.name {
				continue
			}
			var v any
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			if err := dec.Decode(&v); err != nil {
				t.Fatal(err)
			}
			if n, ok := v.(json.Number); ok && bad != nil && extreme(n.String()) {
				continue // which math/big would take hours for
			}
			want, ok := "NULL", true
			if v != nil {
				want, ok = c.read(v)
			}
			if bad != nil {
				if ok && !stricter(raw, bad.Err.Error()) {
					t.Fatalf("%v; want %s for %s", err, want, raw)
				}
				continue
			}
			at := slices.IndexFunc(rows.Columns, func(have schema.Column) bool { return have.Name == c.name })
			got := &rows.Values[at]
			if got.States[0] == schema.Missing {
				continue // a placeholder, see FuzzDecode
			}
			have := cell(got, 0)
			if c.typ[0] == '{' && v != nil {
				have = strconv.Quote(canonical(string(got.Bytes(0))))
			}
			if !ok || have != want {
				t.Fatalf("%s: %s for %s, want %s, %v", c.name, have, raw, want, ok)
			}
		}
	})
}

// extreme tells a number whose exponent is out of all proportion.
func extreme(number string) bool {
	_, power, _ := strings.Cut(strings.ToLower(number), "e")
	n, err := strconv.Atoi(power)
	return power != "" && (err != nil || n > maxScale || n < -maxScale)
}

// stricter reports whether a value that the reference reads is refused on purpose: an
// integer in a string with a plus or more digits than 64 bits have, a decimal of more
// bytes than any database has, a fraction finer than nanoseconds or with a comma, the
// nanoseconds that Debezium writes for infinity, and a map with a key twice.
func stricter(raw []byte, reason string) bool {
	switch {
	case strings.Contains(reason, "infinite"), strings.Contains(reason, "a key twice in a map"):
		return true
	case strings.Contains(reason, "int"), strings.Contains(reason, "io.debezium.time"), strings.Contains(reason, "connect.data.Date"):
		return raw[0] == '"'
	case strings.Contains(reason, "not a decimal"):
		return len(raw) > maxUnscaled
	case strings.Contains(reason, "declared precision"):
		return true // an INTEGER column takes 64 bits
	}
	return false
}
