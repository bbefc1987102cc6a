package debezium

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

func withSchema(fields, row string) (key, value string) {
	key = `{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"}],"optional":false,"name":"p.public.t.Key"},"payload":{"id":1}}`
	all := `{"type":"int32","optional":false,"field":"id"},` + fields
	value = `{"schema":{"type":"struct","fields":[` +
		`{"type":"struct","fields":[` + all + `],"optional":true,"name":"p.public.t.Value","field":"before"},` +
		`{"type":"struct","fields":[` + all + `],"optional":true,"name":"p.public.t.Value","field":"after"},` +
		`{"type":"string","optional":false,"field":"op"}],"optional":false,"name":"p.public.t.Envelope","version":2},` +
		`"payload":` + event("c", "null", `{"id":1,`+row+`}`) + `}`
	return key, value
}

func typed(typ, name, params string) string {
	f := `{"type":"` + typ + `","optional":true,"field":"v"`
	if name != "" {
		f += `,"name":"` + name + `","version":1`
	}
	if params != "" {
		f += `,"parameters":{` + params + `}`
	}
	return f + `}`
}

// TestTypes holds each type of JSON with schema against what Debezium's
// documentation says that it means.
func TestTypes(t *testing.T) {
	const dec = decimalName
	for _, tc := range []struct{ field, value, want string }{
		{typed("int8", "", ""), "-128", "INTEGER -128"},
		{typed("int16", "", ""), "32767", "INTEGER 32767"},
		{typed("int32", "", ""), "-2147483648", "INTEGER -2147483648"},
		{typed("int64", "", ""), "9223372036854775807", "INTEGER 9223372036854775807"},
		{typed("int64", "", ""), `"42"`, "INTEGER 42"},
		{typed("int8", "", ""), "128", "bad: does not fit into 8 bits"},
		{typed("int64", "", ""), "9223372036854775808", "bad: not a valid int64"},
		{typed("int64", "", ""), "null", "INTEGER NULL"},
		{typed("float", "", ""), "3.14", "FLOAT 3.14"},
		{typed("double", "", ""), "-1.7976931348623157E308", "FLOAT -1.7976931348623157e+308"},
		{typed("double", "", ""), `"NaN"`, "bad: double: NaN or infinite"},
		{typed("double", "", ""), `"nan"`, "bad: not a valid double"},
		{typed("boolean", "", ""), "true", "BOOLEAN true"},
		{typed("boolean", "", ""), "1", "bad: a number that is not a valid boolean"},
		{typed("string", "", ""), `""`, `STRING ""`},
		{typed("string", "", ""), "1", "bad: a number that is not a valid string"},
		{typed("string", "", `"__debezium.source.column.length":"3"`), `"äöü"`, `STRING "äöü"`},
		{typed("string", "", `"__debezium.source.column.length":"3"`), `"äöüß"`, "bad: a string of 4 characters where 3 are declared"},
		{typed("bytes", "", ""), `"AAEC/w=="`, `STRING "AAEC/w=="`},
		{typed("bytes", "", ""), `"AAE"`, "bad: not a valid bytes"},
		{typed("bytes", dec, `"scale":"2","connect.decimal.precision":"12"`), `"JxA="`, "FLOAT 100"},
		{typed("bytes", dec, `"scale":"2"`), `"/w=="`, "FLOAT -0.01"},
		{typed("bytes", dec, `"scale":"2"`), `10.5`, "FLOAT 10.5"},
		{typed("bytes", dec, `"scale":"0","connect.decimal.precision":"18"`), `"A+g="`, "INTEGER 1000"},
		{typed("bytes", dec, `"scale":"0"`), `"A+g="`, `STRING "1000"`},
		{typed("bytes", dec, `"scale":"-2"`), `"AQ=="`, `STRING "100"`},
		{typed("bytes", dec, `"scale":"0"`), `"////////////////Ag=="`, `STRING "-254"`},
		{typed("bytes", dec, ""), `"AQ=="`, "bad: without a scale is not supported"},
		{typed("int32", "io.debezium.time.Date", ""), "-1", "DATE 1969-12-31"},
		{typed("int32", "io.debezium.time.Date", ""), "-208189", "bad: outside the years 1400 to 9999"},
		{typed("int32", "io.debezium.time.Date", ""), "-2147472693", "bad: infinite"},
		{typed("int32", "io.debezium.time.Time", ""), "86399999", "TIME 23:59:59.999"},
		{typed("int64", "io.debezium.time.MicroTime", ""), "86400000000", "bad: not a time of day"},
		{typed("int64", "io.debezium.time.MicroTime", ""), "1", "TIME 00:00:00.000001"},
		{typed("int64", "io.debezium.time.Timestamp", ""), "-1", "DATETIME 1969-12-31T23:59:59.999"},
		{typed("int64", "io.debezium.time.Timestamp", ""), "9223372036825200", "bad: infinite"},
		{typed("int64", "io.debezium.time.MicroTimestamp", ""), "1700000000123456", "DATETIME 2023-11-14T22:13:20.123456"},
		{typed("int64", "io.debezium.time.MicroTimestamp", ""), "9223372036825200000", "bad: infinite"},
		{typed("int64", "io.debezium.time.NanoTimestamp", ""), "-1", "DATETIME 1969-12-31T23:59:59.999999"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2016-11-04T11:51:30.123456+02:00"`, "DATETIME 2016-11-04T09:51:30.123456"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2016-11-04T11:51:30Z"`, "DATETIME 2016-11-04T11:51:30"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2023-02-29T00:00:00Z"`, "bad: not an ISO 8601 date-time"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2016-11-04T11:51:30+70:00"`, "bad: not an ISO 8601 date-time"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2016-11-04T11:51:30+02:60"`, "bad: not an ISO 8601 date-time"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"infinity"`, "bad: infinite"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"+21016-11-04T06:51:30.000000Z"`, "bad: outside the years"},
		{typed("string", "io.debezium.data.Uuid", ""), `"e58ed763-928c-4155-bee9-fdbaaadc15f3"`, `STRING "e58ed763-928c-4155-bee9-fdbaaadc15f3"`},
		{typed("string", "io.debezium.data.Json", ""), `"{\"a\": 1}"`, `STRING "{\"a\": 1}"`},
		{typed("string", "io.debezium.data.Enum", `"allowed":"a,b"`), `"a"`, `STRING "a"`},
		{typed("bytes", "io.debezium.data.Bits", `"length":"3"`), `"AQ=="`, `STRING "001"`},
		{typed("union", "", ""), `{}`, "bad: column v: its type union is not supported"},
		{typed("array", "", ""), `[]`, "bad: column v: its type array of a type that its schema leaves out is not supported"},
	} {
		t.Run(tc.field+tc.value, func(t *testing.T) {
			d := NewDecoder("p.public.t", testOptions())
			key, value := withSchema(tc.field, `"v":`+tc.value)
			for range 2 { // the second time by the remembered schema
				_, err := d.Decode(Record{Key: []byte(key), Value: []byte(value)})
				if why, bad := strings.CutPrefix(tc.want, "bad: "); bad {
					if err == nil || !strings.Contains(err.Error(), why) {
						t.Fatalf("got %v, want an error with %q", err, why)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				rows := d.Take(nil)[0]
				if got := fmt.Sprintf("%v %s", rows.Columns[1].Type.Kind, cell(&rows.Values[1], 0)); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
			}
		})
	}
}

func TestDecimalAsString(t *testing.T) {
	opt := testOptions()
	opt.Decimals = DecimalsText
	for value, want := range map[string]string{`"JxA="`: "100.00", `"/w=="`: "-0.01", `1E+2`: "100.00", `0.5`: "0.50", `-0`: "0.00", `"AA=="`: "0.00"} {
		key, val := withSchema(typed("bytes", decimalName, `"scale":"2"`), `"v":`+value)
		got := decodeAll(t, opt, message{key, val})
		if !strings.Contains(got, `"`+want+`"`) {
			t.Errorf("%s: %s, want %s", value, got, want)
		}
	}
	key, val := withSchema(typed("bytes", decimalName, `"scale":"2"`), `"v":0.555`)
	if _, err := NewDecoder("t", opt).Decode(Record{Key: []byte(key), Value: []byte(val)}); err == nil {
		t.Error("0.555 was rounded to a scale of 2")
	}
}

// TestFormsMix decodes records with and without schema in one partition.
func TestFormsMix(t *testing.T) {
	key, val := withSchema(typed("int64", "io.debezium.time.MicroTimestamp", "")+","+strings.Replace(typed("string", "", ""), `"v"`, `"s"`, 1), `"v":1,"s":"x"`)
	got := decodeAll(t, testOptions(),
		message{key, val},
		message{`{"id":2}`, event("d", "null", "null")},
		message{`{"id":1}`, event("c", "null", `{"id":1,"s":"y"}`)},
		message{key, val})
	want := `public_t(id*:INTEGER v:DATETIME s:STRING)
  0 upsert 1 1970-01-01T00:00:00.000001 "x"
  1 delete 2 NULL NULL
  2 upsert 1 NULL "y"
  3 upsert 1 1970-01-01T00:00:00.000001 "x"
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	d := NewDecoder("p.public.t", testOptions())
	if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)}); err != nil {
		t.Fatal(err)
	}
	_, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"v":5}`))})
	if err == nil || !strings.Contains(err.Error(), "declared DATETIME") {
		t.Errorf("a bare number became a timestamp: %v", err)
	}
}

// TestLengthGrows: a column that is widened at the source within one run keeps the
// wider length from then on.
func TestLengthGrows(t *testing.T) {
	d := NewDecoder("p.public.t", testOptions())
	length := func(n string) string { return typed("string", "", `"__debezium.source.column.length":"`+n+`"`) }
	for range 2 {
		for _, tc := range []struct{ n, v string }{{"5", "abc"}, {"20", "fifteen letters"}, {"5", "abc"}} {
			key, val := withSchema(length(tc.n), `"v":"`+tc.v+`"`)
			if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)}); err != nil {
				t.Fatal(err)
			}
		}
		if got := d.Take(nil)[0].Columns[1].Type.Length; got != 20 {
			t.Errorf("length %d, want 20", got)
		}
	}
}

func TestAbsurdScale(t *testing.T) {
	for _, value := range []string{"1", `"AQ=="`} {
		key, val := withSchema(typed("bytes", decimalName, `"scale":"2000000000"`), `"v":`+value)
		if _, err := NewDecoder("t", testOptions()).Decode(Record{Key: []byte(key), Value: []byte(val)}); err == nil {
			t.Error("a scale of two billion was padded")
		}
	}
}

// TestDecimalExact: a decimal keeps its digits and tells the file's writer how many
// it may have.
func TestDecimalExact(t *testing.T) {
	opt := testOptions()
	opt.Decimals = DecimalsExact
	key, val := withSchema(typed("bytes", decimalName, `"scale":"2","connect.decimal.precision":"5"`), `"v":"AN6t"`)
	d := NewDecoder("p.public.t", opt)
	if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)}); err != nil {
		t.Fatal(err)
	}
	rows := d.Take(nil)[0]
	if got, want := rows.Columns[1].Type, (schema.Type{Kind: schema.String, Precision: 5, Scale: 2}); got != want || cell(&rows.Values[1], 0) != `"570.05"` {
		t.Errorf("got %+v %s, want %+v", got, cell(&rows.Values[1], 0), want)
	}
	key, val = withSchema(typed("bytes", decimalName, `"scale":"2","connect.decimal.precision":"5"`), `"v":1234.56`)
	if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)}); err == nil || !strings.Contains(err.Error(), "beyond its declared precision") {
		t.Errorf("six digits in a column of five: %v", err)
	}
}

// TestBinaryDrop: columns of bytes are left out and counted, except of the key.
func TestBinaryDrop(t *testing.T) {
	opt := testOptions()
	opt.Binary = BinaryDrop
	key, val := withSchema(typed("bytes", "", "")+","+strings.Replace(typed("string", "", ""), `"v"`, `"s"`, 1), `"v":"/w==","s":"x"`)
	d := NewDecoder("p.public.t", opt)
	for i := range 2 {
		if _, err := d.Decode(Record{Offset: int64(i), Key: []byte(key), Value: []byte(val)}); err != nil {
			t.Fatal(err)
		}
	}
	want := "public_t(id*:INTEGER s:STRING)\n  0 upsert 1 \"x\"\n  1 upsert 1 \"x\"\n"
	if got := text(d.Take(nil)); got != want || d.Lost.Values != 2 {
		t.Errorf("dropped %d, got\n%swant\n%s", d.Lost.Values, got, want)
	}
	opt.Keys = func(string) []string { return []string{"v"} }
	got := decodeAll(t, opt, message{"-", val})
	if want := "public_t(id:INTEGER v*:STRING s:STRING)\n  0 upsert 1 \"/w==\" \"x\"\n"; got != want {
		t.Errorf("a key of bytes: got\n%swant\n%s", got, want)
	}
}

// TestLengthUnit: under bytes a declared length of characters has room for any of
// them, and what is over the limit is measured and cut in bytes.
func TestLengthUnit(t *testing.T) {
	for _, tc := range []struct {
		bytes, truncate bool
		length, value   string
		want            string
	}{
		{false, false, "3", "äöü", `"äöü"`},
		{false, false, "3", "abcd", "4 characters where 3 are declared"},
		{true, false, "2", "äöüÄ", `"äöüÄ"`},
		{true, false, "2", "äöüÄÖ", "10 bytes where 8 are declared"},
		{true, true, "1", "aäöü", `"aä"`},
		{false, true, "3", "aäöü", `"aäö"`},
	} {
		opt := testOptions()
		opt.LengthInBytes = tc.bytes
		if tc.truncate {
			opt.Overflow = OverflowCut
		}
		key, val := withSchema(typed("string", "", `"__debezium.source.column.length":"`+tc.length+`"`), `"v":"`+tc.value+`"`)
		d := NewDecoder("p.public.t", opt)
		_, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)})
		got := fmt.Sprint(err)
		if err == nil {
			got = cell(&d.Take(nil)[0].Values[1], 0)
		}
		if !strings.Contains(got, tc.want) || (d.Lost.Strings == 1) != tc.truncate {
			t.Errorf("%+v: got %s, %d cut", tc, got, d.Lost.Strings)
		}
	}
}

// TestDeclaredLength: the source's own length holds, also where it is more than strings
// of unknown length may have; one that cannot be declared does not.
func TestDeclaredLength(t *testing.T) {
	for _, tc := range []struct{ declared, want int }{{200, 200}, {50, 50}, {501, 0}} {
		opt := testOptions()
		opt.MaxLength, opt.LengthLimit = 100, 500
		key, val := withSchema(typed("string", "", fmt.Sprintf(`"__debezium.source.column.length":"%d"`, tc.declared)), `"v":"x"`)
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)}); err != nil {
			t.Fatal(err)
		}
		if got := d.Take(nil)[0].Columns[1].Type.Length; got != tc.want {
			t.Errorf("declared %d: got %d, want %d", tc.declared, got, tc.want)
		}
	}
}

// TestGrow: a string that is longer than its column makes the column longer, from its row
// on; not one of a row that fails, nor one that cannot be declared.
func TestGrow(t *testing.T) {
	for _, tc := range []struct {
		bytes, declared bool
		length, longest int // declared for v, and what the longest below needs
		limit           string
	}{
		{false, true, 3, 5, "a string of 9 characters, where a column can be declared with at most 8"},
		{true, true, 1, 8, "a string of 9 bytes, where a column can be declared with at most 8"},
		{false, false, 0, 5, "a string of 9 characters, where"},
	} {
		opt := testOptions()
		opt.Overflow, opt.MaxLength, opt.LengthLimit, opt.LengthInBytes = OverflowGrow, 4, 8, tc.bytes
		d := NewDecoder("p.public.t", opt)
		decode := func(v string) error {
			var key, val string
			if tc.declared {
				key, val = withSchema(typed("string", "", fmt.Sprintf(`"__debezium.source.column.length":"%d"`, tc.length)), `"v":"`+v+`"`)
			} else {
				key, val = `{"id":1}`, event("c", "null", `{"id":1,"v":"`+v+`"}`)
			}
			_, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)})
			return err
		}
		for i, step := range []struct {
			v       string
			longest int
		}{{"abc", 0}, {"äöüab", tc.longest}, {"abc", tc.longest}, {"ab", tc.longest}} {
			if err := decode(step.v); err != nil {
				t.Fatal(err)
			}
			rows := d.Take(nil)[0] // the next row has a run of its own
			typ := rows.Columns[1].Type
			if typ.Longest != step.longest || cell(&rows.Values[1], 0) != `"`+step.v+`"` {
				t.Errorf("%+v, step %d: %s under %+v, want %d", tc, i, cell(&rows.Values[1], 0), typ, step.longest)
			}
		}
		if err := decode("123456789"); err == nil || !strings.Contains(err.Error(), tc.limit) {
			t.Errorf("got %v, want %q", err, tc.limit)
		}
		if d.Lost.Strings != 0 {
			t.Errorf("%d strings counted as cut", d.Lost.Strings)
		}
	}
	opt := testOptions()
	opt.Overflow, opt.MaxLength, opt.LengthLimit = OverflowGrow, 2, 8
	d := NewDecoder("p.public.t", opt)
	for _, rec := range []Record{
		{Key: []byte(`{"id":"a"}`), Value: []byte(event("c", "null", `{"id":"a","n":1,"v":"x"}`))},
		{Key: []byte(`{"id":"b"}`), Value: []byte(event("c", "null", `{"id":"b","v":"long","n":{"bad`))},
		{Key: []byte(`{"id":"key"}`), Value: []byte(event("d", `{"id":"key"}`, "null"))},
	} {
		d.Decode(rec)
	}
	rows := d.Take(nil)[0]
	for i, want := range []int{3, 0, 0} { // id, whose delete has it; n; v, of a row that failed
		if got := rows.Columns[i].Type.Longest; got != want || rows.Len() != 2 {
			t.Errorf("column %s of %d rows: %d, want %d", rows.Columns[i].Name, rows.Len(), got, want)
		}
	}
}

// TestKeyForms: a key is of the same type and value in every form, and whether its
// type is told by its own schema or by the row's.
func TestKeyForms(t *testing.T) {
	for _, tc := range []struct{ field, literal, want string }{
		{typed("int64", "", ""), `7`, "INTEGER 7"},
		{typed("int32", "io.debezium.time.Date", ""), `17109`, "DATE 2016-11-04"},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2016-11-04T13:14:15Z"`, "DATETIME 2016-11-04T13:14:15"},
		{typed("bytes", decimalName, `"scale":"0"`), `"JxA="`, `STRING "10000"`},
		{typed("bytes", decimalName, `"scale":"2","connect.decimal.precision":"5"`), `"JxA="`, `STRING "100.00"`},
		{typed("bytes", "", ""), `"/w=="`, `STRING "/w=="`},
	} {
		_, row := withSchema(tc.field, `"v":`+tc.literal)
		field := tc.field
		withKey := `{"schema":{"type":"struct","fields":[` + field + `],"name":"p.public.t.Key"},"payload":{"v":` + tc.literal + `}}`
		plainKey := `{"v":` + tc.literal + `}`
		gone := strings.Replace(row, `"op":"c"`, `"op":"d"`, 1)
		for name, msgs := range map[string][]message{
			"with schema":                       {{withKey, row}},
			"plain key":                         {{plainKey, row}},
			"plain key, then tombstone":         {{plainKey, row}, {plainKey, "-"}},
			"plain key, a delete first of all":  {{plainKey, gone}},
			"with schema, tombstone before all": {{withKey, "-"}, {withKey, row}},
		} {
			d := NewDecoder("p.public.t", testOptions())
			for i, m := range msgs {
				rec := Record{Offset: int64(i), Key: []byte(m.key), Value: []byte(m.value)}
				if m.value == "-" {
					rec.Value = nil
				}
				if _, err := d.Decode(rec); err != nil {
					t.Fatalf("%s, %s: %v", tc.want, name, err)
				}
			}
			for _, rows := range d.Take(nil) {
				at := slices.IndexFunc(rows.Columns, func(c schema.Column) bool { return c.Name == "v" })
				for i := range rows.Len() {
					if got := fmt.Sprintf("%v %s", rows.Columns[at].Type.Kind, cell(&rows.Values[at], i)); got != tc.want || !rows.Columns[at].Key {
						t.Errorf("%s: got %s, want %s as the key", name, got, tc.want)
					}
				}
			}
		}
	}
}

// TestNothingIsCoerced: what is not of its type is a bad record, and digits that are
// lost are counted.
func TestNothingIsCoerced(t *testing.T) {
	for _, tc := range []struct{ field, literal string }{
		{typed("boolean", "", ""), `"true"`}, {typed("boolean", "", ""), `1`},
		{typed("double", "", ""), `"0x1p-2"`}, {typed("double", "", ""), `"Infinity"`}, {typed("double", "", ""), `"1_0"`},
		{typed("int32", "", ""), `2147483648`}, {typed("int64", "", ""), `1.5`}, {typed("string", "", ""), `5`},
	} {
		key, row := withSchema(tc.field, `"v":`+tc.literal)
		if _, err := NewDecoder("t", testOptions()).Decode(Record{Key: []byte(key), Value: []byte(row)}); err == nil {
			t.Errorf("%s was taken for a %s", tc.literal, tc.field)
		}
	}
	decimal := typed("bytes", decimalName, `"scale":"4","connect.decimal.precision":"30"`)
	for _, tc := range []struct {
		field, literal string
		unit           int64
		lost           int64
	}{
		{decimal, `123456789.0123`, 1, 0}, {decimal, `12345678901234567.8901`, 1, 1}, {decimal, `12345678901234567890.0000`, 1, 1},
		{typed("int64", "io.debezium.time.MicroTimestamp", ""), `1700000000123000`, 1000, 0},
		{typed("int64", "io.debezium.time.MicroTimestamp", ""), `1700000000123456`, 1000, 1},
		{typed("int64", "io.debezium.time.MicroTimestamp", ""), `1700000000123456`, 1, 0},
		{typed("int64", "io.debezium.time.NanoTimestamp", ""), `1700000000123456789`, 1, 1},
		{typed("int64", "io.debezium.time.NanoTimestamp", ""), `1700000000123456000`, 1, 0},
		{typed("int64", "io.debezium.time.MicroTime", ""), `3600000001`, 1, 1},
		{typed("int64", "io.debezium.time.MicroTime", ""), `3600001000`, 1, 0},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2020-01-01T00:00:00.123456789Z"`, 1, 1},
		{typed("string", "io.debezium.time.ZonedTimestamp", ""), `"2020-01-01T00:00:00.123456000Z"`, 1, 0},
	} {
		opt := testOptions()
		opt.TimeUnit = tc.unit
		d := NewDecoder("t", opt)
		key, row := withSchema(tc.field, `"v":`+tc.literal)
		if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(row)}); err != nil || d.Lost.Digits != tc.lost {
			t.Errorf("%s in steps of %d µs: %d values lost digits, want %d; %v", tc.literal, tc.unit, d.Lost.Digits, tc.lost, err)
		}
	}
	opt := testOptions()
	opt.ClockUnit = 1
	d := NewDecoder("t", opt)
	key, row := withSchema(typed("int64", "io.debezium.time.MicroTime", ""), `"v":3600000001`)
	if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(row)}); err != nil || d.Lost.Digits != 0 {
		t.Errorf("a time of day that is held whole: %d values lost digits; %v", d.Lost.Digits, err)
	}
}
