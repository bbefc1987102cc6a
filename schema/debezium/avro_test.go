package debezium

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// avroColumns are one column of every type that Avro's converters write, required
// or nullable with null at either place. want turns what goavro decodes into the
// text of the cell.
var avroColumns = []struct {
	name, typ string
	draw      func(*rapid.T) any
	want      func(any) string
}{
	{"i8", `{"type":"int","connect.type":"int8"}`, func(t *rapid.T) any { return int32(rapid.Int8().Draw(t, "i8")) }, decimalText},
	{"i16", `{"type":"int","connect.type":"int16"}`, func(t *rapid.T) any { return int32(rapid.Int16().Draw(t, "i16")) }, decimalText},
	{"i32", `"int"`, func(t *rapid.T) any { return rapid.Int32().Draw(t, "i32") }, decimalText},
	{"i64", `"long"`, func(t *rapid.T) any { return rapid.Int64().Draw(t, "i64") }, decimalText},
	{"f32", `"float"`, func(t *rapid.T) any { return rapid.Float32().Draw(t, "f32") }, func(v any) string {
		f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(v.(float32)), 'g', -1, 32), 64)
		return strconv.FormatFloat(f, 'g', -1, 64)
	}},
	{"f64", `"double"`, func(t *rapid.T) any { return rapid.Float64().Draw(t, "f64") }, func(v any) string { return strconv.FormatFloat(v.(float64), 'g', -1, 64) }},
	{"b", `"boolean"`, func(t *rapid.T) any { return rapid.Bool().Draw(t, "b") }, func(v any) string { return fmt.Sprint(v) }},
	{"s", `"string"`, func(t *rapid.T) any { return rapid.String().Draw(t, "s") }, quoted},
	{"raw", `"bytes"`, func(t *rapid.T) any { return rapid.SliceOf(rapid.Byte()).Draw(t, "raw") }, func(v any) string {
		return strconv.Quote(base64.StdEncoding.EncodeToString(v.([]byte)))
	}},
	{"fix", `{"type":"fixed","name":"Fix","size":3}`, func(t *rapid.T) any { return rapid.SliceOfN(rapid.Byte(), 3, 3).Draw(t, "fix") }, func(v any) string {
		return strconv.Quote(base64.StdEncoding.EncodeToString(v.([]byte)))
	}},
	{"en", `{"type":"enum","name":"En","symbols":["RED","BLUE"]}`, func(t *rapid.T) any { return rapid.SampledFrom([]string{"RED", "BLUE"}).Draw(t, "en") }, quoted},
	{"dec", `{"type":"bytes","connect.name":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"4","connect.decimal.precision":"30"}}`,
		func(t *rapid.T) any { return twosComplement(rapid.Int64().Draw(t, "dec")) }, func(v any) string {
			n := new(big.Int).SetBytes(v.([]byte))
			if raw := v.([]byte); len(raw) > 0 && raw[0] >= 0x80 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(raw))))
			}
			return strconv.Quote(new(big.Rat).SetFrac(n, big.NewInt(10_000)).FloatString(4))
		}},
	{"lgd", `{"type":"bytes","logicalType":"decimal","precision":30,"scale":2}`, func(t *rapid.T) any {
		return big.NewRat(rapid.Int64().Draw(t, "lgd"), 100)
	}, func(v any) string { return strconv.Quote(v.(*big.Rat).FloatString(2)) }},
	{"day", `{"type":"int","connect.name":"io.debezium.time.Date"}`, func(t *rapid.T) any { return rapid.Int32Range(-200_000, 2_932_896).Draw(t, "day") },
		func(v any) string { return time.Unix(int64(v.(int32))*86400, 0).UTC().Format("2006-01-02") }},
	{"us", `{"type":"long","connect.name":"io.debezium.time.MicroTimestamp"}`, func(t *rapid.T) any {
		return rapid.Int64Range(-1e15, 253402300799999999).Draw(t, "us")
	}, func(v any) string { return time.UnixMicro(v.(int64)).UTC().Format("2006-01-02T15:04:05.999999") }},
	{"ms", `{"type":"long","logicalType":"timestamp-millis"}`, func(t *rapid.T) any {
		return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "ms")).UTC()
	}, func(v any) string { return v.(time.Time).UTC().Format("2006-01-02T15:04:05.999999") }},
	{"zoned", `{"type":"string","connect.name":"io.debezium.time.ZonedTimestamp"}`, func(t *rapid.T) any {
		return time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "zoned")).UTC().Format(time.RFC3339Nano)
	}, func(v any) string {
		at, _ := time.Parse(time.RFC3339Nano, v.(string))
		return at.UTC().Format("2006-01-02T15:04:05.999999")
	}},
	{"dfx", `{"type":"fixed","name":"Dfx","size":9,"connect.name":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":"-2"}}`,
		func(t *rapid.T) any {
			return append([]byte{byte(-rapid.IntRange(0, 1).Draw(t, "sign"))}, twosComplement(rapid.Int64().Draw(t, "dfx"))...)
		}, func(v any) string {
			n := new(big.Int).SetBytes(v.([]byte))
			if v.([]byte)[0] >= 0x80 {
				n.Sub(n, new(big.Int).Lsh(big.NewInt(1), 72))
			}
			return strconv.Quote(n.Mul(n, big.NewInt(100)).String())
		}},
	{"dct", `{"type":"int","connect.name":"org.apache.kafka.connect.data.Date","logicalType":"date"}`, func(t *rapid.T) any {
		return time.Unix(int64(rapid.IntRange(-200_000, 2_932_896).Draw(t, "dct"))*86400, 0).UTC()
	}, func(v any) string { return v.(time.Time).UTC().Format("2006-01-02") }},
	{"tms", `{"type":"int","connect.name":"io.debezium.time.Time"}`, func(t *rapid.T) any { return rapid.Int32Range(0, 86_399_999).Draw(t, "tms") },
		func(v any) string { return time.UnixMilli(int64(v.(int32))).UTC().Format("15:04:05.999999") }},
	{"tmi", `{"type":"int","logicalType":"time-millis"}`, func(t *rapid.T) any {
		return time.Duration(rapid.Int32Range(0, 86_399_999).Draw(t, "tmi")) * time.Millisecond
	}, clockText},
	{"tus", `{"type":"long","connect.name":"io.debezium.time.MicroTime"}`, func(t *rapid.T) any { return rapid.Int64Range(0, 86_399_999_999).Draw(t, "tus") },
		func(v any) string { return time.UnixMicro(v.(int64)).UTC().Format("15:04:05.999999") }},
	{"tui", `{"type":"long","logicalType":"time-micros"}`, func(t *rapid.T) any {
		return time.Duration(rapid.Int64Range(0, 86_399_999_999).Draw(t, "tui")) * time.Microsecond
	}, clockText},
	{"dms", `{"type":"long","connect.name":"io.debezium.time.Timestamp"}`, func(t *rapid.T) any { return rapid.Int64Range(-1e13, 253402300799999).Draw(t, "dms") },
		func(v any) string { return time.UnixMilli(v.(int64)).UTC().Format("2006-01-02T15:04:05.999999") }},
	{"cms", `{"type":"long","connect.name":"org.apache.kafka.connect.data.Timestamp"}`, func(t *rapid.T) any { return rapid.Int64Range(-1e13, 253402300799999).Draw(t, "cms") },
		func(v any) string { return time.UnixMilli(v.(int64)).UTC().Format("2006-01-02T15:04:05.999999") }},
	{"dns", `{"type":"long","connect.name":"io.debezium.time.NanoTimestamp"}`, func(t *rapid.T) any { return rapid.Int64Range(math.MinInt64+1, math.MaxInt64-1).Draw(t, "dns") },
		func(v any) string {
			return time.Unix(0, v.(int64)).UTC().Truncate(time.Microsecond).Format("2006-01-02T15:04:05.999999")
		}},
	{"uss", `{"type":"long","logicalType":"timestamp-micros"}`, func(t *rapid.T) any {
		return time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "uss")).UTC()
	}, func(v any) string { return v.(time.Time).UTC().Format("2006-01-02T15:04:05.999999") }},
	{"js", `{"type":"string","connect.name":"io.debezium.data.Json"}`, func(t *rapid.T) any { return `{"a":[1,null]}` }, quoted},
	{"enm", `{"type":"string","connect.name":"io.debezium.data.Enum","connect.parameters":{"allowed":"a,b"}}`, func(t *rapid.T) any { return "b" }, quoted},
	{"uuid", `{"type":"string","connect.name":"io.debezium.data.Uuid"}`, func(t *rapid.T) any { return "6f1c2b9e-0000-4000-8000-00000000000a" }, quoted},
	{"arr", `{"type":"array","items":["null","long"]}`, func(t *rapid.T) any {
		list := []any{}
		for _, n := range rapid.SliceOfN(rapid.Ptr(rapid.Int64(), true), 0, 4).Draw(t, "arr") {
			if n == nil {
				list = append(list, nil)
			} else {
				list = append(list, goavro.Union("long", *n))
			}
		}
		return list
	}, func(v any) string {
		var texts []string
		for _, item := range v.([]any) {
			text := "null"
			if union, ok := item.(map[string]any); ok {
				text = fmt.Sprint(union["long"])
			}
			texts = append(texts, text)
		}
		return strconv.Quote("[" + strings.Join(texts, ",") + "]")
	}},
	{"sub", `{"type":"record","name":"Sub","fields":[{"name":"n","type":"long"},{"name":"b","type":"boolean"}]}`, func(t *rapid.T) any {
		return map[string]any{"n": rapid.Int64().Draw(t, "n"), "b": rapid.Bool().Draw(t, "b")}
	}, func(v any) string {
		m := v.(map[string]any)
		return strconv.Quote(fmt.Sprintf(`{"n":%v,"b":%v}`, m["n"], m["b"]))
	}},
}

func clockText(v any) string {
	return time.UnixMicro(v.(time.Duration).Microseconds()).UTC().Format("15:04:05.999999")
}

func decimalText(v any) string { return fmt.Sprint(v) }
func quoted(v any) string      { return strconv.Quote(v.(string)) }

func twosComplement(n int64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return b
}

// avroEnvelope is the schema of Debezium's events around a row's.
func avroEnvelope(columns string) string {
	return `{"type":"record","name":"Envelope","namespace":"p.public.t","connect.name":"p.public.t.Envelope","fields":[
		{"name":"before","type":["null",{"type":"record","name":"Value","fields":[` + columns + `]}],"default":null},
		{"name":"after","type":["null","Value"],"default":null},
		{"name":"source","type":{"type":"record","name":"Source","namespace":"io.debezium.connector.postgresql","fields":[
			{"name":"version","type":"string"},{"name":"ts_ms","type":"long"},
			{"name":"snapshot","type":[{"type":"string","connect.parameters":{"allowed":"true,false"},"connect.default":"false"},"null"],"default":"false"},
			{"name":"db","type":"string"},{"name":"schema","type":["null","string"]},{"name":"table","type":"string"},{"name":"lsn","type":["null","long"]}]}},
		{"name":"transaction","type":["null",{"type":"record","name":"block","namespace":"event","fields":[{"name":"id","type":"string"},{"name":"total_order","type":"long"}]}]},
		{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"]}]}`
}

func avroSource() map[string]any {
	return map[string]any{"version": "3.5.0.Final", "ts_ms": int64(1_700_000_000_000), "snapshot": goavro.Union("string", "false"),
		"db": "shop", "schema": goavro.Union("string", "public"), "table": "t", "lsn": nil}
}

// rig decodes Avro of given schemas: id 1 is the key's, 2 the value's.
type avroRig struct {
	types      map[uint64]*avro.Type
	key, value *goavro.Codec
}

func newAvroRig(t interface{ Fatal(...any) }, key, value string) *avroRig {
	r := &avroRig{types: map[uint64]*avro.Type{}}
	for id, text := range map[uint64]string{1: key, 2: value} {
		typ, err := avro.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		r.types[id] = typ
		codec, err := goavro.NewCodec(text)
		if err != nil {
			t.Fatal(err)
		}
		if id == 1 {
			r.key = codec
		} else {
			r.value = codec
		}
	}
	return r
}

const keySchema = `{"type":"record","name":"Key","namespace":"p.public.t","fields":[{"name":"id","type":"long"}]}`

// avroSchemas is a registry's answer, by Confluent's ids.
func avroSchemas(types map[uint64]*avro.Type) func(frame.ID) (*frame.Schema, error) {
	return func(id frame.ID) (*frame.Schema, error) {
		if t := types[id.Number]; t != nil && id.Space == frame.SchemaID {
			return &frame.Schema{Avro: t}, nil
		}
		return nil, nil
	}
}

func (r *avroRig) options() Options {
	opt := testOptions()
	opt.Decimals = DecimalsText
	opt.Schema = avroSchemas(r.types)
	return opt
}

// framedAs puts a body in Confluent's frame.
func framedAs(id byte, body []byte) []byte { return append([]byte{0, 0, 0, 0, id}, body...) }

func (r *avroRig) record(t interface{ Fatal(...any) }, id int64, value map[string]any) Record {
	key, err := r.key.BinaryFromNative(nil, map[string]any{"id": id})
	if err != nil {
		t.Fatal(err)
	}
	body, err := r.value.BinaryFromNative(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	return Record{Key: framedAs(1, key), Value: framedAs(2, body)}
}

// TestAvroAgainstGoavro writes rows of every type by goavro, reads them back by
// goavro, and wants the decoder to have the same.
func TestAvroAgainstGoavro(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns := []string{`{"name":"id","type":"long"}`}
		nullable := make([]bool, len(avroColumns))
		for i, c := range avroColumns {
			typ := c.typ
			switch rapid.IntRange(0, 2).Draw(t, "nullable") {
			case 1:
				typ, nullable[i] = `["null",`+typ+`]`, true
			case 2:
				typ, nullable[i] = `[`+typ+`,"null"]`, true
			}
			columns = append(columns, `{"name":"`+c.name+`","type":`+typ+`}`)
		}
		r := newAvroRig(t, keySchema, avroEnvelope(strings.Join(columns, ",")))
		row := map[string]any{"id": int64(7)}
		for i, c := range avroColumns {
			v := c.draw(t)
			if nullable[i] {
				if rapid.Bool().Draw(t, "null") {
					v = nil
				} else {
					v = goavro.Union(branchName(c.typ), v)
				}
			}
			row[c.name] = v
		}
		value := map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", row), "source": avroSource(), "transaction": nil, "op": "c", "ts_ms": nil}
		rec := r.record(t, 7, value)
		d := NewDecoder("p.public.t", r.options())
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
		rows := d.Take(nil)[0]

		native, _, err := r.value.NativeFromBinary(rec.Value[5:])
		if err != nil {
			t.Fatal(err)
		}
		after := native.(map[string]any)["after"].(map[string]any)["p.public.t.Value"].(map[string]any)
		for i, c := range avroColumns {
			want, v := "NULL", after[c.name]
			if nullable[i] && v != nil {
				for _, v = range v.(map[string]any) {
				}
			}
			if v != nil {
				want = c.want(v)
			}
			if got := cell(&rows.Values[i+1], 0); got != want {
				t.Fatalf("%s: got %s, goavro reads %s", c.name, got, want)
			}
		}
	})
}

// branchName is how goavro names a union's branch.
func branchName(typ string) string {
	switch {
	case strings.Contains(typ, `"logicalType":"decimal"`):
		return "bytes.decimal"
	case strings.Contains(typ, `"logicalType":`): // as goavro names the branch
		_, rest, _ := strings.Cut(typ, `"logicalType":"`)
		logical, _, _ := strings.Cut(rest, `"`)
		_, base, _ := strings.Cut(typ, `{"type":"`)
		base, _, _ = strings.Cut(base, `"`)
		return base + "." + logical
	case strings.Contains(typ, `"Sub"`):
		return "p.public.t.Sub"
	case strings.HasPrefix(typ, `{"type":"array"`):
		return "array"
	case strings.Contains(typ, `"Dfx"`):
		return "p.public.t.Dfx"
	case strings.Contains(typ, `"fixed"`):
		return "p.public.t.Fix"
	case strings.Contains(typ, `"enum"`):
		return "p.public.t.En"
	}
	for _, k := range []string{"int", "long", "float", "double", "boolean", "string", "bytes"} {
		if strings.HasPrefix(typ, `"`+k+`"`) || strings.HasPrefix(typ, `{"type":"`+k+`"`) {
			return k
		}
	}
	return ""
}

// TestAvroChanges: operations, tombstones and what is no change, in the order of a
// partition.
func TestAvroChanges(t *testing.T) {
	r := newAvroRig(t, keySchema, avroEnvelope(`{"name":"id","type":"long"},{"name":"s","type":["null","string"]},{"name":"b","type":["null","bytes"]}`))
	row := func(id int64, s string) any {
		return goavro.Union("p.public.t.Value", map[string]any{"id": id, "s": goavro.Union("string", s), "b": goavro.Union("bytes", []byte{255})})
	}
	value := func(op string, before, after any) map[string]any {
		return map[string]any{"before": before, "after": after, "source": avroSource(), "transaction": nil, "op": op, "ts_ms": goavro.Union("long", int64(1))}
	}
	opt := r.options()
	opt.Binary = BinaryDrop
	d := NewDecoder("p.public.t", opt)
	var classes []string
	for i, rec := range []Record{
		r.record(t, 1, value("r", nil, row(1, "one"))),
		r.record(t, 2, value("c", nil, row(2, "two"))),
		r.record(t, 1, value("u", row(1, "one"), row(1, "uno"))),
		r.record(t, 2, value("d", row(2, "two"), nil)),
		{Key: r.record(t, 2, value("d", nil, nil)).Key},
		r.record(t, 1, value("m", nil, nil)),
		{Key: []byte(`{"id":3}`), Value: []byte(event("c", "null", `{"id":3,"s":"JSON"}`))}, // auto tells them apart
	} {
		rec.Offset = int64(i)
		class, err := d.Decode(rec)
		if err != nil {
			t.Fatal(i, err)
		}
		classes = append(classes, class.String())
	}
	want := `public_t(id*:INTEGER s:STRING)
  0 upsert 1 "one"
  1 upsert 2 "two"
  2 upsert 1 "uno"
  3 delete 2 NULL
  6 upsert 3 "JSON"
`
	if got := text(d.Take(nil)); got != want || d.Lost.Values != 3 {
		t.Errorf("dropped %d, got\n%swant\n%s", d.Lost.Values, got, want)
	}
	if got := strings.Join(classes, " "); got != "row row row row tombstone message row" {
		t.Errorf("classes %s", got)
	}

	opt.Keys = func(string) []string { return []string{"s"} }
	d = NewDecoder("p.public.t", opt)
	rec := r.record(t, 1, value("u", row(1, "one"), row(1, "uno")))
	rec.Key = nil
	if _, err := d.Decode(rec); err != nil {
		t.Fatal(err)
	}
	want = "public_t(id:INTEGER s*:STRING)\n  0 delete NULL \"one\"\n  0 upsert 1 \"uno\"\n"
	if got := text(d.Take(nil)); got != want {
		t.Errorf("a configured key: got\n%swant\n%s", got, want)
	}
}

func TestAvroRefused(t *testing.T) {
	heartbeat := `{"type":"record","name":"Heartbeat","namespace":"io.debezium.connector.common","fields":[{"name":"ts_ms","type":"long"}]}`
	r := newAvroRig(t, keySchema, heartbeat)
	key, err := r.key.BinaryFromNative(nil, map[string]any{"id": int64(1)})
	if err != nil {
		t.Fatal(err)
	}
	if class, err := NewDecoder("p.public.t", r.options()).Decode(Record{Key: framedAs(1, key), Value: framedAs(2, []byte{2})}); err != nil || class != Heartbeat {
		t.Errorf("a heartbeat: %v, %v", class, err)
	}

	r = newAvroRig(t, keySchema, avroEnvelope(`{"name":"id","type":"long"},{"name":"tags","type":["string","long"]}`))
	value := map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", map[string]any{"id": int64(1), "tags": goavro.Union("string", "x")}),
		"source": avroSource(), "transaction": nil, "op": "c", "ts_ms": nil}
	rec := r.record(t, 1, value)
	without := r.options()
	without.Schema = nil
	unknown := r.options()
	unknown.Schema = func(frame.ID) (*frame.Schema, error) { return nil, fmt.Errorf("the registry does not know it") }
	long := r.options()
	long.Framing = frame.Framing{Apicurio: true, Long: frame.GlobalID}
	for _, tc := range []struct {
		name string
		opt  Options
		rec  Record
		want string
	}{
		{"a type that is not supported", r.options(), rec, "table public_t, column tags: its type union is not supported"},
		{"no registry", without, rec, "SLUICE_SCHEMA_REGISTRY_URL is not set"},
		{"unknown to the registry", unknown, rec, "the registry does not know it"},
		{"cut", r.options(), Record{Key: rec.Key, Value: rec.Value[:len(rec.Value)-1]}, "do not fit their Avro schema"},
		{"trailing bytes", r.options(), Record{Key: rec.Key, Value: append(rec.Value[:len(rec.Value):len(rec.Value)], 0)}, "do not fit their Avro schema"},
		{"trailing bytes in the key", r.options(), Record{Key: append(rec.Key[:len(rec.Key):len(rec.Key)], 0), Value: rec.Value}, "key: bytes that do not fit"},
		{"too short for a frame", long, Record{Key: rec.Key}, "SLUICE_SCHEMA_REGISTRY_FRAMING"},
	} {
		_, err := NewDecoder("p.public.t", tc.opt).Decode(tc.rec)
		if bad, ok := err.(*BadRecord); !ok || !strings.Contains(bad.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}

	later := r.options()
	later.Schema = func(frame.ID) (*frame.Schema, error) { return nil, nil }
	_, err = NewDecoder("p.public.t", later).Decode(rec)
	if need, ok := err.(*NeedSchema); !ok || need.ID != frame.Number(frame.SchemaID, 1, 32) {
		t.Errorf("a schema that is not there yet: %v", err)
	}
}

// TestAvroCorners: what writers do that schemas rarely show.
func TestAvroCorners(t *testing.T) {
	column := func(field string, value ...byte) string {
		r := map[uint64]*avro.Type{}
		for id, text := range []string{keySchema, `{"type":"record","name":"Envelope","namespace":"my-app.2024.straße","fields":[
			{"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},` + field + `]}]},
			{"name":"after","type":["null","Value"]},
			{"name":"source","type":["null",{"type":"record","name":"Source","fields":[{"name":"table","type":"string"}]}]},
			{"name":"op","type":["null","string"]}]}`} {
			typ, err := avro.Parse(text)
			if err != nil {
				return err.Error()
			}
			r[uint64(id+1)] = typ
		}
		opt := testOptions()
		opt.Decimals = DecimalsText
		opt.Schema = avroSchemas(r)
		d := NewDecoder("p.public.t", opt)
		body := append([]byte{0, 2, 2}, value...) // no before; after: id 1 and the column
		body = append(body, 2, 2, 't', 2, 2, 'C')
		if _, err := d.Decode(Record{Key: framedAs(1, []byte{2}), Value: framedAs(2, body)}); err != nil {
			return said(err)
		}
		rows := d.Take(nil)[0]
		return cell(&rows.Values[1], 0)
	}
	for _, tc := range []struct {
		name, field string
		value       []byte
		want        string
	}{
		{"a name of other letters", `{"name":"größe","type":"long"}`, []byte{4}, "2"},
		{"a scale as a number", `{"name":"d","type":{"type":"bytes","connect.name":"org.apache.kafka.connect.data.Decimal","connect.parameters":{"scale":2}}}`, []byte{4, 0x04, 0xd2}, `"12.34"`},
		{"a decimal without a scale", `{"name":"d","type":{"type":"bytes","connect.name":"org.apache.kafka.connect.data.Decimal"}}`, []byte{4, 0x04, 0xd2}, "without a scale"},
		{"a logical type of another base", `{"name":"d","type":{"type":"long","logicalType":"date"}}`, []byte{4}, "2"},
		{"a duration", `{"name":"d","type":{"type":"fixed","name":"F","size":12,"logicalType":"duration"}}`, make([]byte, 12), "duration is not supported"},
		{"a connect.type of another spelling", `{"name":"d","type":{"type":"double","connect.type":"float64"}}`, make([]byte, 8), "0"},
		{"a fixed that no memory holds", `{"name":"d","type":{"type":"fixed","name":"F","size":1e300}}`, nil, "a fixed of size"},
		{"a fixed whose size is text", `{"name":"d","type":{"type":"fixed","name":"F","size":"3"}}`, nil, "a fixed of size"},
		{"an array in a block with its size", `{"name":"d","type":{"type":"array","items":"long"}}`, []byte{3, 4, 2, 4, 0}, `"[1,2]"`},
		{"an array of more than there is", `{"name":"d","type":{"type":"array","items":"null"}}`, []byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, "not supported"},
		{"an array without end", `{"name":"d","type":{"type":"array","items":"long"}}`, []byte{0x80, 0x80, 0x80, 0x80, 0x10, 0}, "do not fit their Avro schema"},
	} {
		if got := column(tc.field, tc.value...); !strings.Contains(got, tc.want) {
			t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
		}
	}
	opt := testOptions()
	opt.Schema = func(frame.ID) (*frame.Schema, error) {
		t.Fatal("asked for an id that no registry gives")
		return nil, nil
	}
	for _, f := range []frame.Framing{frame.Confluent, {Apicurio: true, Long: frame.GlobalID}} {
		opt.Framing = f
		rec := append([]byte{0, 0xff}, make([]byte, 8)...)
		if _, err := NewDecoder("p.public.t", opt).Decode(Record{Value: rec}); err == nil || !strings.Contains(err.Error(), "SLUICE_SCHEMA_REGISTRY_FRAMING") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}

// TestKeyTooLong: a key is never cut, for two rows would become one.
func TestKeyTooLong(t *testing.T) {
	opt := testOptions()
	opt.MaxLength, opt.Overflow = 3, OverflowCut
	d := NewDecoder("p.public.t", opt)
	_, err := d.Decode(Record{Key: []byte(`{"id":"abcd"}`), Value: []byte(event("c", "null", `{"id":"abcd","a":"wxyz"}`))})
	if err == nil || !strings.Contains(err.Error(), "column id: a string of 4 characters") {
		t.Error(err)
	}
	if _, err := d.Decode(Record{Key: []byte(`{"id":"abc"}`), Value: []byte(event("c", "null", `{"id":"abc","a":"wxyz"}`))}); err != nil || d.Lost.Strings != 1 {
		t.Errorf("%v, %+v", err, d.Lost)
	}
}
