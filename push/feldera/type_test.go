package feldera_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

const (
	anyBytes  = `"type":"bytes"`
	anyText   = `"type":"string"`
	cents     = `"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2","connect.decimal.precision":"10"}`
	anyNumber = `"type":"struct","name":"io.debezium.data.VariableScaleDecimal","fields":[{"type":"int32","field":"scale"},{"type":"bytes","field":"value"}]`
	document  = `"type":"string","name":"io.debezium.data.Json"`
	pairs     = `"type":"map","keys":{"type":"string"},"values":{"type":"string"}`
	circle    = `"type":"struct","fields":[{"type":"int32","field":"a"},{"type":"string","field":"b"}]`
	cases     = `"type":"struct","fields":[{"type":"int32","field":"a"},{"type":"int32","field":"A"}]`
)

func listOf(items string) string { return `"type":"array","items":{` + items + `}` }

// types are columns of a source with a value, the type that the pipeline has for them, and what
// it then has of the value; or what is said before anything is sent. A schema of "" is none.
var types = []struct{ field, value, sql, want string }{
	{anyBytes, `"AP8Q"`, "VARBINARY", "00ff10"},
	{anyBytes, `"AP8Q"`, "BINARY(3)", "00ff10"},
	{anyBytes, `"1234"`, "VARCHAR", "1234"},
	{anyBytes, `"1234"`, "VARIANT", `"1234"`},
	{anyBytes, `"1234"`, "INT ARRAY", "is BYTES here and INTEGER ARRAY in the pipeline"},
	{anyText, `"test"`, "VARBINARY", "is STRING here and VARBINARY in the pipeline (it takes columns whose schema says that they are bytes"},
	{anyText, `"test"`, "BINARY(3)", "is STRING here and BINARY in the pipeline"},
	{document, `"1234"`, "VARBINARY", "is STRING here and VARBINARY in the pipeline"},
	{"", `"test"`, "VARBINARY", "is STRING here and VARBINARY in the pipeline"},
	{"bytes-base64", `"AP8Q"`, "VARBINARY", "00ff10"},
	{listOf(anyBytes), `["AP8Q",null]`, "VARBINARY ARRAY", "is BYTES ARRAY here and VARBINARY ARRAY in the pipeline"},
	{listOf(anyBytes), `["AP8Q",null]`, "VARCHAR ARRAY", `["AP8Q",null]`},
	{listOf(anyBytes), `["AP8Q",null]`, "VARIANT", `["AP8Q",null]`},
	{listOf(anyText), `["a",null]`, "VARBINARY ARRAY", "is STRING ARRAY here and VARBINARY ARRAY in the pipeline"},
	{listOf(anyText), `["a",null]`, "VARCHAR ARRAY", `["a",null]`},
	{listOf(anyText), `["a",null]`, "INT ARRAY", "is STRING ARRAY here and INTEGER ARRAY in the pipeline"},
	{listOf(anyText), `["a",null]`, "VARCHAR", `["a",null]`},
	{listOf(`"type":"int64"`), `[9223372036854775807,null]`, "BIGINT ARRAY", `[9223372036854775807,null]`},
	{listOf(`"type":"int64"`), `[1]`, "DECIMAL(10, 2) ARRAY", `["1.00"]`},
	{listOf(`"type":"int64"`), `[1]`, "BOOLEAN ARRAY", "is INTEGER ARRAY here and BOOLEAN ARRAY in the pipeline"},
	{listOf(`"type":"boolean"`), `[true]`, "BOOLEAN ARRAY", `[true]`},
	{listOf(`"type":"double"`), `[0.5]`, "DOUBLE ARRAY", `[0.5]`},
	{listOf(`"type":"double"`), `[0.125]`, "DECIMAL(10, 2) ARRAY", "is FLOAT ARRAY here and DECIMAL(10, 2) ARRAY in the pipeline"},
	{listOf(cents), `[1.25]`, "DECIMAL(10, 2) ARRAY", `["1.25"]`},
	{listOf(cents), `[1.25]`, "DECIMAL(10, 1) ARRAY", "is DECIMAL(10, 2) ARRAY here and DECIMAL(10, 1) ARRAY in the pipeline"},
	{listOf(cents), `[1.25]`, "VARCHAR ARRAY", "is DECIMAL(10, 2) ARRAY here and VARCHAR ARRAY in the pipeline"},
	{listOf(anyNumber), `[{"scale":3,"value":"AQ=="}]`, "DECIMAL(10, 2) ARRAY", "is FLOAT ARRAY here and DECIMAL(10, 2) ARRAY in the pipeline"},
	{listOf(anyNumber), `[{"scale":3,"value":"AQ=="}]`, "VARIANT", "[0.001]"},
	{listOf(`"type":"int32","name":"io.debezium.time.Date"`), `[0]`, "DATE ARRAY", `["1970-01-01"]`},
	{listOf(`"type":"int32","name":"io.debezium.time.Date"`), `[0]`, "TIMESTAMP ARRAY", "is DATE ARRAY here and TIMESTAMP ARRAY in the pipeline"},
	{listOf(`"type":"int64","name":"io.debezium.time.MicroTimestamp"`), `[1000001]`, "TIMESTAMP ARRAY", `["1970-01-01 00:00:01.000001"]`},
	{listOf(`"type":"int64","name":"io.debezium.time.MicroTime"`), `[1000001]`, "TIME ARRAY", `["00:00:01.000001"]`},
	{listOf(`"type":"string","name":"io.debezium.data.Uuid"`), `["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]`, "UUID ARRAY", `["6ba7b810-9dad-11d1-80b4-00c04fd430c8"]`},
	{listOf(document), `["{\"a\": 1}"]`, "VARIANT ARRAY", `["{\"a\": 1}"]`},
	{listOf(listOf(`"type":"int32"`)), `[[1]]`, "INT ARRAY ARRAY", `[[1]]`},
	{listOf(listOf(`"type":"int32"`)), `[[1]]`, "INT ARRAY", "is INTEGER ARRAY ARRAY here and INTEGER ARRAY in the pipeline"},
	{pairs, `{"a":"x"}`, "MAP<VARCHAR, VARCHAR>", `{"a":"x"}`},
	{pairs, `{"a":"x"}`, "MAP<VARCHAR, INT>", "is MAP<STRING, STRING> here and MAP<VARCHAR, INTEGER> in the pipeline"},
	{pairs, `{"a":"x"}`, "ROW(a VARCHAR)", `{"a":"x"}`},
	{pairs, `{"a":"x"}`, "VARCHAR ARRAY", "is MAP<STRING, STRING> here and VARCHAR ARRAY in the pipeline"},
	{circle, `{"a":1,"b":"x"}`, "ROW(a INT, b VARCHAR, c INT)", `{"a":1,"b":"x","c":null}`},
	{circle, `{"a":1,"b":"x"}`, "ROW(a INT)", "is ROW(a INTEGER, b STRING) here and ROW(a INTEGER) in the pipeline"},
	{circle, `{"a":1,"b":"x"}`, "ROW(a INT, b INT)", "is ROW(a INTEGER, b STRING) here and ROW(a INTEGER, b INTEGER) in the pipeline"},
	{cases, `{"a":1,"A":2}`, "ROW(a INT)", "is ROW(a INTEGER, A INTEGER) here and ROW(a INTEGER) in the pipeline"},
	{cases, `{"a":1,"A":2}`, `ROW("a" INT, "A" INT)`, "is ROW(a INTEGER, A INTEGER) here and ROW(a INTEGER, A INTEGER) in the pipeline"},
	{cases, `{"a":1,"A":2}`, "MAP<VARCHAR, INT>", `{"A":2,"a":1}`},
	{circle, `{"a":1,"b":"x"}`, "MAP<VARCHAR, VARIANT>", `{"a":1,"b":"x"}`},
	{circle, `{"a":1,"b":"x"}`, "MAP<VARCHAR, INT>", "is ROW(a INTEGER, b STRING) here and MAP<VARCHAR, INTEGER> in the pipeline"},
	{document, `"{\"a\":1,\"b\":\"x\"}"`, "ROW(a INT, b VARCHAR)", `{"a":1,"b":"x"}`},
	{document, `"[1.125]"`, "DECIMAL(10, 2) ARRAY", "is STRING here and DECIMAL(10, 2) ARRAY in the pipeline"},
	{document, `"{\"a\":1.125}"`, "ROW(a DECIMAL(10, 2))", "is STRING here and ROW(a DECIMAL(10, 2)) in the pipeline"},
	{document, `"[1.125]"`, "VARIANT", "[1.125]"},
	{"", `[1,null]`, "INT ARRAY", "[1,null]"},
	{"", `[1.125]`, "DECIMAL(10, 2) ARRAY", "is STRING here and DECIMAL(10, 2) ARRAY in the pipeline"},
	{"", `{"a": [1]}`, "VARIANT", `{"a":[1]}`},
	{"", `"2024-02-29"`, "DATE", "2024-02-29"},
	{anyText, `"6ba7b810-9dad-11d1-80b4-00c04fd430c8"`, "UUID", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"},
	{cents, `1.25`, "VARIANT", "1.25"},
	{cents, `1.25`, "INT ARRAY", "is DECIMAL(10, 2) here and INTEGER ARRAY in the pipeline"},
	{listOf(anyText), `["a"]`, "UUID", "is STRING ARRAY here and UUID in the pipeline"},
}

// TestTypesFit: of each column the pipeline gets the value that the source has, or the table is
// refused with both types, whatever its rows are.
func TestTypesFit(t *testing.T) {
	for _, tc := range types {
		for _, hex := range []bool{false, true} {
			if hex && !strings.Contains(tc.field, "bytes") && !strings.Contains(tc.sql, "BINARY") {
				continue
			}
			t.Run(fmt.Sprintf("%s as %s, hex %v", tc.field, tc.sql, hex), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					got, err := sent(t, tc.field, tc.value, tc.sql, hex)
					refused := err != nil && push.KindOf(err) == push.Rejected && strings.Contains(err.Error(), "table public_t: column v ")
					switch {
					case strings.Contains(tc.want, " in the pipeline"):
						if !refused || !strings.Contains(err.Error(), tc.want) {
							t.Errorf("it has %s: %v", got, err)
						}
					case err != nil:
						t.Error(err)
					case hex && strings.Contains(tc.field, anyBytes) && !strings.Contains(tc.sql, "BINARY"): // texts of other digits
					case got != tc.want:
						t.Errorf("it has %s, want %s", got, tc.want)
					}
				})
			})
		}
	}
}

// TestNumbersFit: a number that REAL or DOUBLE would round makes its row a bad one, and its table
// none; what a float of the source says is what one of that size has here.
func TestNumbersFit(t *testing.T) {
	const long, double, float = `"type":"int64"`, `"type":"double"`, `"type":"float"`
	for _, tc := range []struct{ field, value, sql, want string }{
		{long, "9007199254740992", "DOUBLE", "9.007199254740992e+15"},
		{long, "9007199254740993", "DOUBLE", ""},
		{long, "-9007199254740993", "DOUBLE", ""},
		{long, "9223372036854775807", "DOUBLE", ""},
		{long, "-9223372036854775808", "DOUBLE", "-9.223372036854776e+18"},
		{long, "16777216", "REAL", "1.6777216e+07"},
		{long, "16777217", "REAL", ""},
		{long, "1000000000", "REAL", "1e+09"}, // has few bits
		{long, "9007199254740993", "VARIANT", "9007199254740993"},
		{double, "0.1", "DOUBLE", "0.1"},
		{double, "0.12345678901", "DOUBLE", "0.12345678901"},
		{double, "0.12345678901", "REAL", ""},
		{double, "0.10000000149011612", "REAL", "0.10000000149011612"}, // 0.1 as 32 bits have it
		{double, "1e39", "REAL", ""},
		{double, "1e-46", "REAL", ""},
		{float, "0.1", "REAL", "0.1"},
		{float, "3.4028235e+38", "REAL", "3.4028235e+38"},
		{float, "0.1", "DOUBLE", "0.1"},
	} {
		t.Run(tc.value+" as "+tc.sql, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got, err := sent(t, tc.field, tc.value, tc.sql, false)
				var unfit *batcher.Unfit
				switch {
				case tc.want != "" && (err != nil || got != tc.want):
					t.Errorf("it has %s: %v", got, err)
				case tc.want == "" && !errors.As(err, &unfit):
					t.Errorf("it has %s, and nothing is said of it: %v", got, err)
				case tc.want == "" && (unfit.Rows[0].Column != "v" || unfit.Rows[0].Reason != "a number that would be rounded cannot be sent as "+tc.sql):
					t.Error(err)
				}
			})
		})
	}
}

// sent is what a pipeline has of a value after it went all the way.
func sent(t *testing.T, field, value, sql string, hex bool) (string, error) {
	t.Helper()
	r := newRig(t, pipeline.Options{}, nil)
	if err := r.emu.Create("shop", "CREATE TABLE public_t (id INT NOT NULL PRIMARY KEY, v "+sql+");"); err != nil {
		t.Fatal(err)
	}
	r.emu.Start("shop")
	r.restart(t, func(o *feldera.Options) { o.Hex = hex })
	opt := debezium.Options{Table: func(debezium.Identity) string { return "public_t" }, Decimals: debezium.DecimalsExact, ClockUnit: 1}
	if hex {
		opt.Binary = debezium.BinaryHex
	}
	event := `{"before":null,"after":{"id":1,"v":` + value + `},"source":{"db":"p","schema":"public","table":"t"},"op":"c"}`
	if wire, err := debezium.ParseWireType(field); err == nil {
		opt.Wire = func(_, source string) *debezium.WireType { return map[string]*debezium.WireType{"v": wire}[source] }
	} else if field != "" {
		event = `{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"int32","field":"id"},{` + field + `,"field":"v"}]}]},"payload":` + event + `}`
	}
	d := debezium.NewDecoder("p.public.t", opt)
	if _, err := d.Decode(debezium.Record{Key: []byte(`{"id":1}`), Value: []byte(event)}); err != nil {
		t.Fatalf("%s: %v", field, err)
	}
	b := batcher.New(func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20} })
	var batch *batcher.Batch
	for _, rows := range d.Take(nil) {
		var err error
		if batch, err = b.Add(time.Time{}, rows, 0); err != nil {
			t.Fatal(err)
		}
	}
	b.Seal(batch)
	chunks, err := (&batcher.JSONEncoder{MaxChunkBytes: 1 << 20, Form: r.sink.Form}).Encode(batch)
	if err != nil {
		return "", err
	}
	if err := r.pusher().Run(t.Context(), push.NewDelivery(batch.Table, chunks)); err != nil {
		return "", err
	}
	for _, row := range r.emu.Rows("shop", "public_t") {
		return fmt.Sprint(row[1]), nil
	}
	return "", nil
}
