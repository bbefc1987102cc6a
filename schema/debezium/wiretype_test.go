package debezium

import (
	"fmt"
	"strings"
	"testing"
)

// TestWireTypes: a column of plain JSON, of the key too, is read as the tables file says
// that it is written.
func TestWireTypes(t *testing.T) {
	for _, tc := range []struct{ name, value, want string }{
		{"date-days", "17109", "DATE 2016-11-04"},
		{"date-iso", `"2016-11-04"`, "DATE 2016-11-04"},
		{"time-millis", "49890123", "TIME 13:51:30.123"},
		{"time-micros", "49890123789", "TIME 13:51:30.123789"},
		{"time-nanos", "49890123000000", "TIME 13:51:30.123"},
		{"time-iso", `"13:51:30.123"`, "TIME 13:51:30.123"},
		{"timestamp-millis", "1478267490123", "DATETIME 2016-11-04T13:51:30.123"},
		{"timestamp-micros", "1478267490123456", "DATETIME 2016-11-04T13:51:30.123456"},
		{"timestamp-nanos", "1531481025340000000", "DATETIME 2018-07-13T11:23:45.34"},
		{"timestamp-iso", `"2019-07-09T02:28:57Z"`, "DATETIME 2019-07-09T02:28:57"},
		{"timestamp-zoned", `"2018-07-13T12:23:45+11:00"`, "DATETIME 2018-07-13T01:23:45"},
		{"decimal(10,0)", `"MDk="`, "INTEGER 12345"},
		{"decimal(10,2)", `123.4`, "FLOAT 123.4"},
		{"decimal(10, 2)", `"MDk="`, "FLOAT 123.45"},
	} {
		w, err := ParseWireType(tc.name)
		if err != nil {
			t.Fatal(err)
		}
		opt := testOptions()
		opt.Wire = func(_, source string) *WireType {
			if source == "v" || source == "k" {
				return w
			}
			return nil
		}
		msg := message{`{"k":` + tc.value + `}`, event("c", "null", `{"k":`+tc.value+`,"v":`+tc.value+`,"plain":5}`)}
		got := decodeAll(t, opt, msg, message{msg.key, "-"}, message{msg.key, event("c", "null", `{"plain":6,"k":`+tc.value+`,"v":null}`)})
		kind, cell, _ := strings.Cut(tc.want, " ")
		keyKind, keyCell := kind, cell
		if kind == "FLOAT" { // keys keep every digit
			keyKind, keyCell = "STRING", `"123.45"`
			if tc.value == "123.4" {
				keyCell = `"123.40"`
			}
		}
		want := fmt.Sprintf("public_t(k*:%s v:%s plain:INTEGER)\n  0 upsert %s %s 5\n  1 delete %s NULL NULL\n  2 upsert %s NULL 6\n", keyKind, kind, keyCell, cell, keyCell, keyCell)
		if got != want {
			t.Errorf("%s: got\n%swant\n%s", tc.name, got, want)
		}
	}
	for _, name := range []string{"date", "decimal", "decimal(0,0)", "decimal(10)", "timestamp-seconds", ""} {
		if _, err := ParseWireType(name); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
}

// TestWireTypeAndSchema: what a schema declares is not overruled, and a plain value of
// another type is refused.
func TestWireTypeAndSchema(t *testing.T) {
	w, _ := ParseWireType("timestamp-micros")
	opt := testOptions()
	opt.Wire = func(_, source string) *WireType { return map[string]*WireType{"v": w}[source] }
	key, val := withSchema(typed("int64", "io.debezium.time.Timestamp", ""), `"v":1000`)
	got := decodeAll(t, opt, message{key, val}, message{`{"id":1}`, event("c", "null", `{"id":1,"v":1000}`)})
	if want := "public_t(id*:INTEGER v:DATETIME)\n  0 upsert 1 1970-01-01T00:00:01\n  1 upsert 1 1970-01-01T00:00:00.001\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	d := NewDecoder("p.public.t", opt)
	key, val = withSchema(typed("string", "", ""), `"v":"x"`)
	if _, err := d.Decode(Record{Key: []byte(key), Value: []byte(val)}); err != nil {
		t.Fatal(err)
	}
	_, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"v":1000}`))})
	if s := said(err); !strings.Contains(s, `column v is DATETIME under types in the tables file and was STRING under a schema`) || !strings.Contains(s, "tables.public_t.types") {
		t.Error(s)
	}
}

// TestOutOfRangeKey: a key out of range is a bad record under every policy, for two rows
// would become one; and a decimal of a key is one text, whatever its scale on the wire.
func TestOutOfRangeKey(t *testing.T) {
	key := func(field, value string) []byte {
		return []byte(`{"schema":{"type":"struct","fields":[` + field + `],"name":"p.public.t.Key"},"payload":{"v":` + value + `}}`)
	}
	for _, way := range []OutOfRange{RangeHold, RangeNull, RangeClamp} {
		opt := testOptions()
		opt.OutOfRange = way
		for field, value := range map[string]string{typed("int32", "io.debezium.time.Date", ""): "-719162", typed("double", "", ""): `"NaN"`,
			typed("int64", "io.debezium.time.MicroTime", ""): "-1"} {
			_, row := withSchema(field, `"v":`+value)
			if _, err := NewDecoder("p.public.t", opt).Decode(Record{Key: key(field, value), Value: []byte(row)}); !strings.Contains(fmt.Sprint(err), "SLUICE_OUT_OF_RANGE") {
				t.Errorf("%s: %v", field, err)
			}
		}
	}
	field := `{"type":"struct","name":"io.debezium.data.VariableScaleDecimal","field":"v","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}]}`
	d := NewDecoder("p.public.t", testOptions())
	for _, value := range []string{`{"scale":1,"value":"Cg=="}`, `{"scale":0,"value":"AQ=="}`} {
		_, row := withSchema(field, `"v":`+value)
		if _, err := d.Decode(Record{Key: key(field, value), Value: []byte(row)}); err != nil {
			t.Fatal(err)
		}
	}
	if rows := d.Take(nil)[0]; string(rows.Key(0)) != string(rows.Key(1)) {
		t.Errorf("1.0 and 1 are two keys: %q, %q", rows.Key(0), rows.Key(1))
	}
}
