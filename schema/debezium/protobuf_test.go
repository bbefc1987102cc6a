package debezium

import (
	"context"
	"encoding/base64"
	"fmt"
	"math/big"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// protobufColumns are one column of every type that Confluent's converter writes. want is
// the cell of a value, worked out from what was drawn; zero is what a field is that is not
// there and has no presence, "" if it always has.
var protobufColumns = []struct {
	name, typ, option, wrapper string
	draw                       func(*rapid.T, protoreflect.FieldDescriptor) (protoreflect.Value, string)
	zero                       string
}{
	{"i8", "int32", `params: [{key: "connect.type", value: "int8"}]`, "Int32", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		n := int32(rapid.Int8().Draw(t, "i8"))
		return protoreflect.ValueOfInt32(n), fmt.Sprint(n)
	}, "0"},
	{"i32", "int32", "", "Int32", drawInt32, "0"},
	{"s32", "sint32", "", "", drawInt32, "0"},
	{"f32", "sfixed32", "", "", drawInt32, "0"},
	{"u32", "uint32", "", "UInt32", drawUint32, "0"},
	{"x32", "fixed32", "", "", drawUint32, "0"},
	{"i64", "int64", "", "Int64", drawInt64, "0"},
	{"s64", "sint64", "", "", drawInt64, "0"},
	{"f64", "sfixed64", "", "", drawInt64, "0"},
	{"u64", "uint64", "", "UInt64", drawUint64, "0"},
	{"x64", "fixed64", "", "", drawUint64, "0"},
	{"fl", "float", "", "Float", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		n := rapid.Float32().Draw(t, "fl")
		f, _ := strconv.ParseFloat(strconv.FormatFloat(float64(n), 'g', -1, 32), 64)
		return protoreflect.ValueOfFloat32(n), strconv.FormatFloat(f, 'g', -1, 64)
	}, "0"},
	{"db", "double", "", "Double", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		n := rapid.Float64().Draw(t, "db")
		return protoreflect.ValueOfFloat64(n), strconv.FormatFloat(n, 'g', -1, 64)
	}, "0"},
	{"b", "bool", "", "Bool", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		b := rapid.Bool().Draw(t, "b")
		return protoreflect.ValueOfBool(b), fmt.Sprint(b)
	}, "false"},
	{"s", "string", "", "String", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		s := rapid.String().Draw(t, "s")
		return protoreflect.ValueOfString(s), strconv.Quote(s)
	}, `""`},
	{"raw", "bytes", "", "Bytes", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		b := rapid.SliceOf(rapid.Byte()).Draw(t, "raw")
		return protoreflect.ValueOfBytes(b), strconv.Quote(base64.StdEncoding.EncodeToString(b))
	}, `""`},
	{"en", "Color", "", "", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		n := rapid.SampledFrom([]protoreflect.EnumNumber{0, 5}).Draw(t, "en")
		return protoreflect.ValueOfEnum(n), map[protoreflect.EnumNumber]string{0: `"RED"`, 5: `"BLUE"`}[n]
	}, `"RED"`},
	{"named", "int32", `params: [{key: "connect.name", value: "io.debezium.time.Date"}]`, "Int32", func(t *rapid.T, _ protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		n := rapid.Int32Range(-200_000, 2_932_896).Draw(t, "named")
		return protoreflect.ValueOfInt32(n), time.Unix(int64(n)*86400, 0).UTC().Format("2006-01-02")
	}, "1970-01-01"},
	{"dec", "confluent.type.Decimal", `params: [{key: "precision", value: "30"}, {key: "scale", value: "4"}]`, "", func(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		n := rapid.Int64().Draw(t, "dec")
		scale := rapid.Int64Range(0, 4).Draw(t, "scale") // a value's own may be less than the column's
		want := new(big.Rat).SetFrac(big.NewInt(n), new(big.Int).Exp(big.NewInt(10), big.NewInt(scale), nil)).FloatString(4)
		return messageOf(fd, protoreflect.ValueOfBytes(twosComplement(n)), protoreflect.ValueOfUint32(19), protoreflect.ValueOfInt32(int32(scale))), strconv.Quote(want)
	}, ""},
	{"day", "google.type.Date", "", "", func(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		at := time.Unix(int64(rapid.IntRange(-200_000, 2_932_896).Draw(t, "day"))*86400, 0).UTC()
		return messageOf(fd, protoreflect.ValueOfInt32(int32(at.Year())), protoreflect.ValueOfInt32(int32(at.Month())), protoreflect.ValueOfInt32(int32(at.Day()))), at.Format("2006-01-02")
	}, ""},
	{"tod", "google.type.TimeOfDay", "", "", func(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		at := time.UnixMilli(rapid.Int64Range(0, 86_399_999).Draw(t, "tod")).UTC()
		return messageOf(fd, protoreflect.ValueOfInt32(int32(at.Hour())), protoreflect.ValueOfInt32(int32(at.Minute())), protoreflect.ValueOfInt32(int32(at.Second())), protoreflect.ValueOfInt32(int32(at.Nanosecond()))), at.Format("15:04:05.999999")
	}, ""},
	{"ts", "google.protobuf.Timestamp", "", "", func(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
		at := time.UnixMicro(rapid.Int64Range(-1e15, 253402300799999999).Draw(t, "ts")).UTC()
		return messageOf(fd, protoreflect.ValueOfInt64(at.Unix()), protoreflect.ValueOfInt32(int32(at.Nanosecond()))), at.Format("2006-01-02T15:04:05.999999")
	}, ""},
}

func drawInt32(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
	n := rapid.Int32().Draw(t, string(fd.Name()))
	return protoreflect.ValueOfInt32(n), fmt.Sprint(n)
}

func drawUint32(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
	n := rapid.Uint32().Draw(t, string(fd.Name()))
	return protoreflect.ValueOfUint32(n), fmt.Sprint(n)
}

func drawInt64(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
	n := rapid.Int64().Draw(t, string(fd.Name()))
	return protoreflect.ValueOfInt64(n), fmt.Sprint(n)
}

func drawUint64(t *rapid.T, fd protoreflect.FieldDescriptor) (protoreflect.Value, string) {
	n := rapid.Uint64Range(0, 1<<63-1).Draw(t, string(fd.Name()))
	return protoreflect.ValueOfUint64(n), fmt.Sprint(n)
}

// messageOf makes a message of the values of its fields, as declared.
func messageOf(fd protoreflect.FieldDescriptor, values ...protoreflect.Value) protoreflect.Value {
	m := dynamicpb.NewMessage(fd.Message())
	for i, v := range values {
		m.Set(fd.Message().Fields().Get(i), v)
	}
	return protoreflect.ValueOfMessage(m)
}

// protobufText is the schema of Debezium's events around a row's, as the converter has it.
func protobufText(columns string) string {
	return `syntax = "proto3";
package p.public.t;
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/type/date.proto";
import "google/type/timeofday.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
enum Color { RED = 0; BLUE = 5; }
message Envelope {
  Value before = 1;
  Value after = 2;
  Source source = 3;
  string op = 4;
  int64 ts_ms = 5;
  message Value {
` + columns + `
  }
  message Source { string version = 1; int64 ts_ms = 4; string snapshot = 5; string db = 6; optional string schema = 8; string table = 9; string connector = 10; google.protobuf.Int64Value lsn = 11; }
}
message Key { int64 id = 1; }
message Heartbeat { int64 ts_ms = 1; }
`
}

// protobufRig decodes under a schema, and has its descriptors for the writer: those of the
// library's compiler, and of the files that Confluent's serializers bring along.
type protobufRig struct {
	opt        Options
	descriptor protoreflect.FileDescriptor
}

func newProtobufRig(t interface{ Fatal(...any) }, text string) protobufRig {
	sources := map[string]string{"main.proto": text}
	known, err := os.ReadFile("../protobuf/known.proto")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(known), "// file: ")[1:] {
		name, body, _ := strings.Cut(part, "\n")
		sources[name] = body
	}
	c := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{Accessor: protocompile.SourceAccessorFromMap(sources)})}
	files, err := c.Compile(context.Background(), "main.proto")
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := protobuf.Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := protobufRig{opt: testOptions(), descriptor: files[0]}
	r.opt.Decimals = DecimalsText
	r.opt.Schema = func(frame.ID) (*frame.Schema, error) { return &frame.Schema{Protobuf: parsed}, nil }
	return r
}

func (r protobufRig) message(name string) *dynamicpb.Message {
	d := r.descriptor.Messages().ByName("Envelope")
	if m := d.Messages().ByName(protoreflect.Name(name)); m != nil {
		return dynamicpb.NewMessage(m)
	}
	return dynamicpb.NewMessage(r.descriptor.Messages().ByName(protoreflect.Name(name)))
}

func setField(m *dynamicpb.Message, name string, v any) {
	m.Set(m.Descriptor().Fields().ByName(protoreflect.Name(name)), protoreflect.ValueOf(v))
}

func (r protobufRig) bytes(t interface{ Fatal(...any) }, m proto.Message) []byte {
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// record is an event of a row image, which may be nil for a delete.
func (r protobufRig) record(t interface{ Fatal(...any) }, op string, after *dynamicpb.Message) Record {
	key, source, e := r.message("Key"), r.message("Source"), r.message("Envelope")
	setField(key, "id", int64(7))
	for name, v := range map[string]any{"version": "3.5.0.Final", "ts_ms": int64(1_700_000_000_000), "db": "shop", "schema": "public", "table": "t"} {
		setField(source, name, v)
	}
	setField(source, "connector", "postgresql")
	lsn := source.Descriptor().Fields().ByName("lsn")
	source.Set(lsn, messageOf(lsn, protoreflect.ValueOfInt64(24_023_160)))
	setField(e, "source", source.ProtoReflect())
	setField(e, "op", op)
	if after != nil {
		setField(e, "after", after.ProtoReflect())
	}
	return Record{Key: framedAs(1, append([]byte{2, 2}, r.bytes(t, key)...)), Value: framedAs(1, append([]byte{0}, r.bytes(t, e)...))}
}

// TestProtobufAgainstDynamicpb writes rows of every type by Google's library, required or
// nullable in both of the converter's ways, and wants the decoder to have what was drawn.
func TestProtobufAgainstDynamicpb(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		columns, wrapped, presence := []string{"int64 id = 1;"}, make([]bool, len(protobufColumns)), make([]bool, len(protobufColumns))
		for i, c := range protobufColumns {
			typ := c.typ
			switch kind := rapid.IntRange(0, 2).Draw(t, "nullable"); {
			case c.zero == "":
				presence[i] = true
			case kind == 1:
				typ, presence[i] = "optional "+typ, true
			case kind == 2 && c.wrapper != "":
				typ, presence[i], wrapped[i] = "google.protobuf."+c.wrapper+"Value", true, true
			}
			option := ""
			if c.option != "" {
				option = ` [(confluent.field_meta) = {` + c.option + `}]`
			}
			columns = append(columns, fmt.Sprintf("%s %s = %d%s;", typ, c.name, i+2, option))
		}
		r := newProtobufRig(t, protobufText(strings.Join(columns, "\n")))
		row := r.message("Value")
		setField(row, "id", int64(7))
		want := []string{"7"}
		for i, c := range protobufColumns {
			fd := row.Descriptor().Fields().ByName(protoreflect.Name(c.name))
			if rapid.IntRange(0, 3).Draw(t, "absent") == 0 {
				cell := c.zero
				if presence[i] {
					cell = "NULL"
				}
				want = append(want, cell)
				continue
			}
			inner := fd
			if wrapped[i] {
				inner = fd.Message().Fields().Get(0)
			}
			v, cell := c.draw(t, inner)
			if wrapped[i] {
				v = messageOf(fd, v)
			}
			row.Set(fd, v)
			want = append(want, cell)
		}
		d := NewDecoder("p.public.t", r.opt)
		if _, err := d.Decode(r.record(t, "c", row)); err != nil {
			t.Fatal(err)
		}
		rows := d.Take(nil)[0]
		if rows.Len() != 1 || rows.Oldest != 1_700_000_000_000 || rows.Table != "public_t" {
			t.Fatalf("%d rows of %s, oldest %d", rows.Len(), rows.Table, rows.Oldest)
		}
		for i := range want {
			if got := cell(&rows.Values[i], 0); got != want[i] && !(want[i] == "-0" && got == "0") {
				t.Errorf("%s: %s, want %s", rows.Columns[i].Name, got, want[i])
			}
		}
	})
}

func TestProtobufEvents(t *testing.T) {
	r := newProtobufRig(t, protobufText(`int64 id = 1; optional string s = 2; optional string odd = 3 [(confluent.field_meta) = {params: [{key: "connect.name", value: "org.apache.kafka.connect.data.Decimal"}, {key: "scale", value: "2"}]}];`))
	row := r.message("Value")
	setField(row, "id", int64(7))
	setField(row, "s", "x")
	heartbeat := framedAs(1, append([]byte{2, 4}, r.bytes(t, r.message("Heartbeat"))...))
	if class, err := NewDecoder("p.public.t", r.opt).Decode(Record{Value: heartbeat}); err != nil || class != Heartbeat {
		t.Errorf("a heartbeat: %v, %v", class, err)
	}
	good := newProtobufRig(t, protobufText(`int64 id = 1; optional string s = 2;`))
	d := NewDecoder("p.public.t", good.opt)
	created, deleted := good.record(t, "c", row), good.record(t, "d", nil)
	inHeader := Record{Key: created.Key, Value: created.Value[6:], Headers: []Header{{"__value_schema_id", append(guidBytes(1), 0)}}}
	noIndexes := Record{Key: created.Key, Value: created.Value[6:], Headers: []Header{{"__value_schema_id", guidBytes(1)}}}
	for _, rec := range []Record{created, inHeader, noIndexes, deleted, {Key: created.Key}} {
		if _, err := d.Decode(rec); err != nil {
			t.Error(err)
		}
	}
	line := "  0 upsert 7 \"x\"\n"
	if got, want := text(d.Take(nil)), "public_t(id*:INTEGER s:STRING)\n"+line+line+line+"  0 delete 7 NULL\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}

	apicurio := good.opt
	apicurio.Framing = frame.Framing{Apicurio: true, Short: frame.ContentID}
	lost := good.message("Value")
	lost.SetUnknown(protowire.AppendTag(nil, 2, protowire.VarintType))
	for _, tc := range []struct {
		name string
		opt  Options
		rec  Record
		want string
	}{
		{"an odd type", r.opt, r.record(t, "c", row), "column odd: its type org.apache.kafka.connect.data.Decimal written as string is not supported"},
		{"no such message", good.opt, Record{Key: created.Key, Value: framedAs(1, []byte{2, 20})}, "its frame names no message of schema 1"},
		{"no indexes", good.opt, Record{Key: created.Key, Value: framedAs(1, nil)}, "its frame names no message of schema 1"},
		{"cut", good.opt, Record{Key: created.Key, Value: created.Value[:len(created.Value)-1]}, "do not fit their Protobuf schema"},
		{"another wire type", good.opt, Record{Key: created.Key, Value: framedAs(1, append([]byte{0}, protowire.AppendVarint(protowire.AppendTag(nil, 4, protowire.VarintType), 1)...))}, "do not fit their Protobuf schema"},
		{"a cut image", good.opt, good.record(t, "c", lost), "do not fit their Protobuf schema"},
		{"no event", good.opt, Record{Key: created.Key, Value: framedAs(1, []byte{2, 2})}, "not a Debezium change event"},
		{"an Apicurio id", apicurio, created, "which is read in Confluent's framing only"},
	} {
		_, err := NewDecoder("p.public.t", tc.opt).Decode(tc.rec)
		if bad, ok := err.(*BadRecord); !ok || !strings.Contains(bad.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestProtobufNested: lists, maps and messages, Debezium's structs among them, become what
// they become of the same types in JSON and Avro. Google's library writes them.
func TestProtobufNested(t *testing.T) {
	r := newProtobufRig(t, protobufText(`
		message VariableScaleDecimal { int32 scale = 1; bytes value = 2; }
		message Point { double x = 1; double y = 2; optional bytes wkb = 3; optional int32 srid = 4; }
		message StructuredTimestamp { optional int32 year = 1; optional int32 month = 2; optional int32 day = 3; optional int32 hour = 4; optional int32 minute = 5;
			optional int32 second = 6; google.protobuf.Int32Value nanos = 7; optional string specialValue = 8; optional int32 precision = 9; }
		message Vector { int32 key = 1; double value = 2; }
		message SparseDoubleVector { int32 dimensions = 1; repeated Vector vector = 2; }
		message Entry { string key = 1; optional string value = 2; }
		message Sub { optional string note = 1; repeated sint64 list = 2; Point at = 3; optional bool flag = 4; confluent.type.Decimal dec = 5; google.type.Date day = 6; repeated Sub more = 7; }
		message Spot { message Point { double lat = 1; double lon = 2; } }
		message Line { double a = 1; double b = 2; double c = 3; }
		message Plain { optional string note = 1; repeated sint64 list = 2; Point at = 3; optional bool flag = 4; google.type.Date day = 5; repeated Line lines = 6; }
		int64 id = 1; VariableScaleDecimal n = 2; Point p = 3; StructuredTimestamp at = 4; SparseDoubleVector v = 5; repeated int32 packed = 6; repeated int32 loose = 7 [packed = false];
		repeated google.protobuf.StringValue texts = 8; repeated Entry attrs = 9; map<int32, double> by = 10; Plain doc = 11; repeated VariableScaleDecimal ns = 12; Spot.Point spot = 14; Sub deep = 13;`))
	opt := r.opt
	opt.Rule = func(_, source string) Rule { return map[string]Rule{"deep": {Action: Exclude}}[source] }
	for text, want := range map[string]string{
		`{"id":7,"n":{"scale":3,"value":"MDk="},"p":{"x":1,"y":-2.5,"srid":4326},"at":{"year":2018,"month":7,"day":13,"hour":12,"minute":23,"second":45,"nanos":456000000},
			"v":{"dimensions":5,"vector":[{"key":3,"value":2},{"key":1,"value":1.5}]},"packed":[1,-2],"loose":[3,4],"texts":["a","\"b\""],
			"attrs":[{"key":"z","value":"1"},{"key":"a"}],"by":{"10":0.5,"9":1},
			"doc":{"list":["-5","9007199254740993"],"at":{"x":1,"y":2},"flag":true,"day":{"year":2024,"month":2,"day":29},"lines":[{"a":1,"b":2}]},
			"ns":[{"scale":1,"value":"Cg=="},{"scale":0,"value":"AQ=="}],"spot":{"lat":1}}`: `"12.345" "SRID=4326;POINT(1 -2.5)" 2018-07-13T12:23:45.456 "{1:1.5,3:2}/5" "[1,-2]" "[3,4]" "[\"a\",\"\\\"b\\\"\"]" ` +
			`"{\"a\":null,\"z\":\"1\"}" "[[9,1],[10,0.5]]" ` +
			strconv.Quote(`{"note":null,"list":[-5,9007199254740993],"at":"POINT(1 2)","flag":true,"day":"2024-02-29","lines":[{"a":1,"b":2,"c":0}]}`) + ` "[1,1]" "{\"lat\":1,\"lon\":0}"`,
		`{"id":7,"at":{"specialValue":"POSITIVE_INFINITY"},"doc":{}}`: `NULL NULL NULL NULL "[]" "[]" "[]" "{}" "[]" ` +
			strconv.Quote(`{"note":null,"list":[],"at":null,"flag":null,"day":null,"lines":[]}`) + ` "[]" NULL`,
	} {
		row := r.message("Value")
		if err := protojson.Unmarshal([]byte(text), row); err != nil {
			t.Fatal(err)
		}
		opt.OutOfRange = RangeNull
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(r.record(t, "c", row)); err != nil {
			t.Fatal(said(err))
		}
		run := d.Take(nil)[0]
		var got []string
		for i := range run.Columns[1:] {
			got = append(got, cell(&run.Values[i+1], 0))
		}
		if all := strings.Join(got, " "); all != want {
			t.Errorf("got\n%s\nwant\n%s", all, want)
		}
	}
	row := r.message("Value")
	_, err := NewDecoder("p.public.t", r.opt).Decode(r.record(t, "c", row))
	if !strings.Contains(said(err), "column deep: its type struct of") {
		t.Errorf("a message within itself: %s", said(err))
	}
	for _, broken := range []string{"\x12\x01\x08", "\x32\x01\xff", "\x35\x00\x00\x00\x00", "\x4a\x01\x0a", "\x5a\x02\x12\x05"} {
		row := r.message("Value")
		row.SetUnknown([]byte(broken))
		if _, err := NewDecoder("p.public.t", opt).Decode(r.record(t, "c", row)); err == nil || !strings.Contains(err.Error(), "do not fit their Protobuf schema") {
			t.Errorf("%x: %v", broken, err)
		}
	}
}

// TestProtobufRules: a column that is hashed or masked, and the source position, are what
// they are of the same event in JSON.
func TestProtobufRules(t *testing.T) {
	r := newProtobufRig(t, protobufText(`int64 id = 1; optional string name = 2; optional int64 n = 3; double price = 4;`))
	row := r.message("Value")
	setField(row, "id", int64(7))
	setField(row, "name", "x")
	setField(row, "price", 1.5)
	opt := r.opt
	opt.HashKey = []byte("a key")
	opt.Rule = func(_, source string) Rule {
		return map[string]Rule{"id": {Action: Hash}, "name": {Action: Hash}, "n": {Action: Mask}, "price": {Action: Mask}}[source]
	}
	opt.Metadata = func(string) []MetadataColumn { return []MetadataColumn{{SourcePosition, "at"}} }
	rec := r.record(t, "c", row)
	fromJSON := Record{Key: []byte(`{"schema":{"type":"struct","fields":[{"type":"int64","field":"id"}]},"payload":{"id":7}}`),
		Value: []byte(`{"schema":{"type":"struct","name":"p.public.t.Envelope","fields":[{"type":"struct","field":"after","fields":[{"type":"int64","field":"id"},
			{"type":"string","optional":true,"field":"name"},{"type":"int64","optional":true,"field":"n"},{"type":"double","field":"price"}]}]},
			"payload":{"before":null,"after":{"id":7,"name":"x","n":null,"price":1.5},"op":"c","source":{"connector":"postgresql","lsn":24023160,"db":"shop","schema":"public","table":"t"}}}`)}
	var got []string
	for _, rec := range []Record{rec, fromJSON} {
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
		got = append(got, text(d.Take(nil)))
	}
	if got[0] != got[1] || !strings.Contains(got[0], "24023160") {
		t.Errorf("Protobuf:\n%sJSON:\n%s", got[0], got[1])
	}
}

// TestProtobufNoAllocation: an ordinary row takes no memory but its own.
func TestProtobufNoAllocation(t *testing.T) {
	r := newProtobufRig(t, protobufText(`int64 id = 1; optional string s = 2; google.protobuf.Int64Value n = 3; google.protobuf.Timestamp at = 4; double d = 5;
		confluent.type.Decimal dec = 6 [(confluent.field_meta) = {params: [{key: "scale", value: "2"}]}]; message VariableScaleDecimal { int32 scale = 1; bytes value = 2; }
		VariableScaleDecimal number = 7;`))
	row := r.message("Value")
	setField(row, "s", "text")
	number := row.Descriptor().Fields().ByName("number")
	row.Set(number, messageOf(number, protoreflect.ValueOfInt32(1), protoreflect.ValueOfBytes([]byte{4, 0xd2})))
	fields := row.Descriptor().Fields()
	row.Set(fields.ByName("n"), messageOf(fields.ByName("n"), protoreflect.ValueOfInt64(3)))
	row.Set(fields.ByName("at"), messageOf(fields.ByName("at"), protoreflect.ValueOfInt64(1_700_000_000)))
	row.Set(fields.ByName("dec"), messageOf(fields.ByName("dec"), protoreflect.ValueOfBytes([]byte{4, 0xd2}), protoreflect.ValueOfUint32(4), protoreflect.ValueOfInt32(2)))
	rec := r.record(t, "u", row)
	d := NewDecoder("p.public.t", r.opt)
	var runs []*schema.Rows
	once := func() {
		if _, err := d.Decode(rec); err != nil {
			t.Fatal(err)
		}
	}
	for range 5000 {
		once()
	}
	runs = d.Take(runs)
	for _, rows := range runs {
		Recycle(rows)
	}
	if n := testing.AllocsPerRun(1000, once); n >= 1 {
		t.Errorf("%v allocations an event", n)
	}
}
