package batcher_test

import (
	"encoding/base64"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/linkedin/goavro/v2"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/debezium"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// order is a change of a row of twelve columns, as Debezium 3 tells it for
// PostgreSQL with the default replica identity.
type order struct {
	op                             string
	id, customer, created, updated int64
	status, reference, attrs       string
	note                           *string
	amount                         []byte // unscaled
	price                          float64
	paid                           bool
	ship                           *int32
	at, serial                     int64
}

// orders makes a stream of changes: 30 % inserts, 60 % updates, 10 % deletes over
// 200,000 keys.
func orders(n int, write func(*order, *debezium.Record)) []debezium.Record {
	r := rand.New(rand.NewPCG(1, 2))
	status := []string{"new", "paid", "packed", "shipped", "returned", "cancelled"}
	recs := make([]debezium.Record, n)
	for i := range recs {
		o := order{id: int64(r.IntN(200_000)), at: 1_700_000_000_000_000 + int64(i)*1000, serial: int64(i)}
		switch p := r.IntN(10); {
		case p < 3:
			o.op = "c"
		case p < 9:
			o.op = "u"
		default:
			o.op = "d"
		}
		if r.IntN(3) > 0 {
			note := fmt.Sprintf("%0*d", r.IntN(80)+1, i)
			o.note = &note
		}
		if r.IntN(2) > 0 {
			ship := int32(19_000 + r.IntN(1000))
			o.ship = &ship
		}
		o.amount = big.NewInt(r.Int64N(10_000_000)).Bytes()
		if len(o.amount) == 0 || o.amount[0] >= 0x80 {
			o.amount = append([]byte{0}, o.amount...)
		}
		o.customer, o.status, o.reference = int64(r.IntN(50_000)), status[r.IntN(6)], fmt.Sprintf("%016x", r.Uint64())
		o.price, o.paid, o.created, o.updated = float64(r.IntN(1_000_000))/100, r.IntN(2) == 0, o.at-5, o.at
		o.attrs = fmt.Sprintf(`{"channel": "web", "campaign": %d, "gift": false, "v": 3}`, r.IntN(1000))
		recs[i].Offset = int64(i)
		write(&o, &recs[i])
	}
	return recs
}

func (o *order) json() string {
	before, after := "null", "null"
	if o.op == "d" {
		before = fmt.Sprintf(`{"id":%d,"customer_id":0,"status":"","reference":"","note":null,"amount":"AA==","price":0.0,"is_paid":false,"created_at":0,"updated_at":0,"ship_date":null,"attrs":"{}"}`, o.id)
	} else {
		note, ship := "null", "null"
		if o.note != nil {
			note = fmt.Sprintf("%q", *o.note)
		}
		if o.ship != nil {
			ship = fmt.Sprint(*o.ship)
		}
		after = fmt.Sprintf(`{"id":%d,"customer_id":%d,"status":"%s","reference":"%s","note":%s,"amount":"%s","price":%g,"is_paid":%t,"created_at":%d,"updated_at":%d,"ship_date":%s,"attrs":%q}`,
			o.id, o.customer, o.status, o.reference, note, base64.StdEncoding.EncodeToString(o.amount), o.price, o.paid, o.created, o.updated, ship, o.attrs)
	}
	return fmt.Sprintf(`{"before":%s,"after":%s,"source":{"version":"3.0.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"snapshot":"false","db":"shop","sequence":"[\"%d\",\"%d\"]","ts_us":%d,"ts_ns":%d000,"schema":"public","table":"orders","txId":%d,"lsn":%d,"xmin":null},"transaction":null,"op":"%s","ts_ms":%d,"ts_us":%d,"ts_ns":%d000}`,
		before, after, o.at/1000, o.at, o.at+8, o.at, o.at, o.serial, o.at, o.op, o.at/1000+3, o.at+3000, o.at+3000)
}

func plainJSON(o *order, rec *debezium.Record) {
	rec.Key, rec.Value = fmt.Appendf(nil, `{"id":%d}`, o.id), []byte(o.json())
}

// column is a column's type as Kafka Connect names it.
var columns = []struct{ name, typ, connectName, parameters string }{
	{"id", "int64", "", ""}, {"customer_id", "int64", "", ""}, {"status", "string", "", ""}, {"reference", "string", "", ""}, {"note", "string", "", ""},
	{"amount", "bytes", "org.apache.kafka.connect.data.Decimal", `{"scale":"2","connect.decimal.precision":"12"}`},
	{"price", "double", "", ""}, {"is_paid", "boolean", "", ""}, {"created_at", "int64", "io.debezium.time.MicroTimestamp", ""},
	{"updated_at", "int64", "io.debezium.time.MicroTimestamp", ""}, {"ship_date", "int32", "io.debezium.time.Date", ""}, {"attrs", "string", "io.debezium.data.Json", ""},
}

// connectJSON is the schema that JsonConverter sends with each record.
var connectJSON = sync.OnceValue(func() string {
	var row []string
	for _, c := range columns {
		s := fmt.Sprintf(`{"type":%q,"optional":%t,"field":%q`, c.typ, c.name == "note" || c.name == "ship_date", c.name)
		if c.connectName != "" {
			s += fmt.Sprintf(`,"name":%q,"version":1`, c.connectName)
		}
		if c.parameters != "" {
			s += `,"parameters":` + c.parameters
		}
		row = append(row, s+"}")
	}
	image := func(field string) string {
		return fmt.Sprintf(`{"type":"struct","fields":[%s],"optional":true,"name":"shop.public.orders.Value","field":%q}`, strings.Join(row, ","), field)
	}
	source := `{"type":"struct","fields":[{"type":"string","optional":false,"field":"version"},{"type":"string","optional":false,"field":"connector"},{"type":"string","optional":false,"field":"name"},{"type":"int64","optional":false,"field":"ts_ms"},{"type":"string","optional":true,"name":"io.debezium.data.Enum","version":1,"parameters":{"allowed":"true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"},"default":"false","field":"snapshot"},{"type":"string","optional":false,"field":"db"},{"type":"string","optional":true,"field":"sequence"},{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"},{"type":"string","optional":false,"field":"schema"},{"type":"string","optional":false,"field":"table"},{"type":"int64","optional":true,"field":"txId"},{"type":"int64","optional":true,"field":"lsn"},{"type":"int64","optional":true,"field":"xmin"}],"optional":false,"name":"io.debezium.connector.postgresql.Source","field":"source"}`
	return `{"type":"struct","fields":[` + image("before") + `,` + image("after") + `,` + source +
		`,{"type":"struct","fields":[{"type":"string","optional":false,"field":"id"},{"type":"int64","optional":false,"field":"total_order"},{"type":"int64","optional":false,"field":"data_collection_order"}],"optional":true,"name":"event.block","version":1,"field":"transaction"},{"type":"string","optional":false,"field":"op"},{"type":"int64","optional":true,"field":"ts_ms"},{"type":"int64","optional":true,"field":"ts_us"},{"type":"int64","optional":true,"field":"ts_ns"}],"optional":false,"name":"shop.public.orders.Envelope","version":2}`
})

func jsonWithSchema(o *order, rec *debezium.Record) {
	rec.Key = fmt.Appendf(nil, `{"schema":{"type":"struct","fields":[{"type":"int64","optional":false,"field":"id"}],"optional":false,"name":"shop.public.orders.Key"},"payload":{"id":%d}}`, o.id)
	rec.Value = []byte(`{"schema":` + connectJSON() + `,"payload":` + o.json() + `}`)
}

const avroKey = `{"type":"record","name":"Key","namespace":"shop.public.orders","fields":[{"name":"id","type":"long"}]}`

// avroValue is the schema that Avro's converters make of the same.
var avroValue = sync.OnceValue(func() string {
	kinds := map[string]string{"int64": "long", "int32": "int", "string": "string", "bytes": "bytes", "double": "double", "boolean": "boolean"}
	var row []string
	for _, c := range columns {
		typ := fmt.Sprintf(`{"type":%q`, kinds[c.typ])
		if c.connectName != "" {
			typ += fmt.Sprintf(`,"connect.name":%q`, c.connectName)
		}
		if c.parameters != "" {
			typ += `,"connect.parameters":` + c.parameters
		}
		typ += "}"
		if c.name == "note" || c.name == "ship_date" {
			typ = `["null",` + typ + `]`
		}
		row = append(row, fmt.Sprintf(`{"name":%q,"type":%s}`, c.name, typ))
	}
	return `{"type":"record","name":"Envelope","namespace":"shop.public.orders","fields":[
		{"name":"before","type":["null",{"type":"record","name":"Value","fields":[` + strings.Join(row, ",") + `]}]},{"name":"after","type":["null","Value"]},
		{"name":"source","type":{"type":"record","name":"Source","fields":[{"name":"version","type":"string"},{"name":"connector","type":"string"},{"name":"name","type":"string"},{"name":"ts_ms","type":"long"},{"name":"snapshot","type":["string","null"]},{"name":"db","type":"string"},{"name":"sequence","type":["null","string"]},{"name":"ts_us","type":["null","long"]},{"name":"ts_ns","type":["null","long"]},{"name":"schema","type":"string"},{"name":"table","type":"string"},{"name":"txId","type":["null","long"]},{"name":"lsn","type":["null","long"]},{"name":"xmin","type":["null","long"]}]}},
		{"name":"transaction","type":["null",{"type":"record","name":"block","fields":[{"name":"id","type":"string"}]}]},
		{"name":"op","type":"string"},{"name":"ts_ms","type":["null","long"]},{"name":"ts_us","type":["null","long"]},{"name":"ts_ns","type":["null","long"]}]}`
})

var parsedSchemas = sync.OnceValues(func() (key, value *avro.Type) {
	key, err := avro.Parse(avroKey)
	if err != nil {
		panic(err)
	}
	if value, err = avro.Parse(avroValue()); err != nil {
		panic(err)
	}
	return key, value
})

func orderSchemas(id frame.ID) (*frame.Schema, error) {
	key, value := parsedSchemas()
	switch id.Number {
	case 1:
		return &frame.Schema{Avro: key}, nil
	case 2:
		return &frame.Schema{Avro: value}, nil
	}
	return &frame.Schema{Protobuf: protobufSchema()}, nil
}

func avroWriter(b *testing.B) func(*order, *debezium.Record) {
	codec, err := goavro.NewCodec(avroValue())
	if err != nil {
		b.Fatal(err)
	}
	long := func(n int64) any { return goavro.Union("long", n) }
	return func(o *order, rec *debezium.Record) {
		row := map[string]any{"id": o.id, "customer_id": int64(0), "status": "", "reference": "", "note": nil, "amount": []byte{0}, "price": 0.0,
			"is_paid": false, "created_at": int64(0), "updated_at": int64(0), "ship_date": nil, "attrs": "{}"}
		v := map[string]any{"before": goavro.Union("shop.public.orders.Value", row), "after": nil, "op": o.op, "transaction": nil,
			"ts_ms": long(o.at/1000 + 3), "ts_us": long(o.at + 3000), "ts_ns": long((o.at + 3000) * 1000),
			"source": map[string]any{"version": "3.0.0.Final", "connector": "postgresql", "name": "shop", "ts_ms": o.at / 1000, "snapshot": goavro.Union("string", "false"),
				"db": "shop", "sequence": goavro.Union("string", fmt.Sprintf(`["%d","%d"]`, o.at, o.at+8)), "ts_us": long(o.at), "ts_ns": long(o.at * 1000),
				"schema": "public", "table": "orders", "txId": long(o.serial), "lsn": long(o.at), "xmin": nil}}
		if o.op != "d" {
			row["customer_id"], row["status"], row["reference"], row["amount"], row["price"] = o.customer, o.status, o.reference, o.amount, o.price
			row["is_paid"], row["created_at"], row["updated_at"], row["attrs"] = o.paid, o.created, o.updated, o.attrs
			if o.note != nil {
				row["note"] = goavro.Union("string", *o.note)
			}
			if o.ship != nil {
				row["ship_date"] = goavro.Union("int", *o.ship)
			}
			v["before"], v["after"] = nil, v["before"]
		}
		rec.Key = append([]byte{0, 0, 0, 0, 1}, zigzag(o.id)...)
		body, err := codec.BinaryFromNative([]byte{0, 0, 0, 0, 2}, v)
		if err != nil {
			b.Fatal(err)
		}
		rec.Value = body
	}
}

// protobufSchema is the schema that Confluent's Protobuf converter makes of the same, were
// the names of Debezium's types kept; the key's message is the second.
var protobufSchema = sync.OnceValue(func() *protobuf.File {
	var row []string
	for i, c := range columns {
		typ, params := c.typ, []string{}
		if c.typ == "boolean" {
			typ = "bool"
		}
		if c.connectName != "" {
			params = append(params, fmt.Sprintf(`{key: "connect.name", value: %q}`, c.connectName))
		}
		if c.typ == "bytes" {
			typ, params = "confluent.type.Decimal", []string{`{key: "scale", value: "2"}`, `{key: "precision", value: "12"}`}
		}
		if c.name == "note" || c.name == "ship_date" {
			typ = "optional " + typ
		}
		row = append(row, fmt.Sprintf("%s %s = %d [(confluent.field_meta) = {params: [%s]}];", typ, c.name, i+1, strings.Join(params, ", ")))
	}
	f, err := protobuf.Parse(`syntax = "proto3"; package shop.public.orders; import "confluent/meta.proto"; import "confluent/type/decimal.proto";
		message Envelope { Value before = 1; Value after = 2; Source source = 3; string op = 5; optional int64 ts_ms = 6;
			message Value {`+strings.Join(row, "\n")+`}
			message Source { string version = 1; string connector = 2; string name = 3; int64 ts_ms = 4; optional string snapshot = 5; string db = 6; optional string sequence = 7; string schema = 10; string table = 11; optional int64 txId = 12; optional int64 lsn = 13; } }
		message Key { int64 id = 1; }`, nil)
	if err != nil {
		panic(err)
	}
	return f
})

func protobufWriter(*testing.B) func(*order, *debezium.Record) {
	text := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	number := func(b []byte, n protowire.Number, v int64) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), uint64(v))
	}
	return func(o *order, rec *debezium.Record) {
		row, image := number(nil, 1, o.id), protowire.Number(1)
		if o.op != "d" {
			image = 2
			row = text(text(number(row, 2, o.customer), 3, o.status), 4, o.reference)
			if o.note != nil {
				row = text(row, 5, *o.note)
			}
			row = text(row, 6, string(number(number(text(nil, 1, string(o.amount)), 2, 12), 3, 2)))
			row = protowire.AppendFixed64(protowire.AppendTag(row, 7, protowire.Fixed64Type), math.Float64bits(o.price))
			row = number(number(number(row, 8, int64(protowire.EncodeBool(o.paid))), 9, o.created), 10, o.updated)
			if o.ship != nil {
				row = number(row, 11, int64(*o.ship))
			}
			row = text(row, 12, o.attrs)
		}
		source := number(text(text(text(nil, 1, "3.0.0.Final"), 2, "postgresql"), 3, "shop"), 4, o.at/1000)
		source = text(text(text(source, 5, "false"), 6, "shop"), 7, fmt.Sprintf(`["%d","%d"]`, o.at, o.at+8))
		source = number(number(text(text(source, 10, "public"), 11, "orders"), 12, o.serial), 13, o.at)
		rec.Key = number([]byte{0, 0, 0, 0, 3, 2, 2}, 1, o.id)
		rec.Value = number(text(text(text([]byte{0, 0, 0, 0, 3, 0}, image, string(row)), 3, string(source)), 5, o.op), 6, o.at/1000+3)
	}
}

func zigzag(n int64) (b []byte) {
	u := uint64(n<<1) ^ uint64(n>>63)
	for ; u >= 0x80; u >>= 7 {
		b = append(b, byte(u)|0x80)
	}
	return append(b, byte(u))
}
