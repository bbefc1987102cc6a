package debezium

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// Records that other projects captured or documented, where they are at hand: see the
// manifest beside them.
var vectors = flag.String("vectors", "../../../shared/vectors", "folder of other projects' records")

// vector is a file and what its records become: a record a line, its class, or op, table
// and key of its rows, or the beginning of its error; n× stands before equal lines.
type vector struct {
	file string
	key  string // of records that come without one; "" is none
	opt  func(*Options)
	want string
}

func (v vector) records(t *testing.T) (all []Record) {
	text, err := os.ReadFile(filepath.Join(*vectors, v.file))
	if err != nil {
		t.Fatal(err)
	}
	if end := bytes.Index(text, []byte("*/")); bytes.HasPrefix(text, []byte("/*")) { // a licence
		text = text[end+2:]
	}
	var key []byte
	if v.key != "" {
		key = []byte(v.key)
	}
	if keyFile := strings.Replace(v.file, "-val-", "-key-", 1); keyFile != v.file {
		if key, err = os.ReadFile(filepath.Join(*vectors, keyFile)); err != nil {
			t.Fatal(err)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	for dec.More() {
		var one json.RawMessage
		if err := dec.Decode(&one); err != nil {
			t.Fatal(err)
		}
		var doc struct { // of a documentation page, or of several in one object
			Section  string
			Record   json.RawMessage
			Snapshot json.RawMessage `json:"expected_snapshot"`
			Binlog   json.RawMessage `json:"expected_binlog"`
		}
		json.Unmarshal(one, &doc)
		switch {
		case doc.Snapshot != nil:
			all = append(all, Record{Key: key, Value: doc.Snapshot}, Record{Key: key, Value: doc.Binlog})
		case doc.Section == "change-event-keys": // of the events that follow
			key = doc.Record
		case doc.Section == "truncate-events", doc.Section == "message-events":
			all = append(all, Record{Value: doc.Record})
		case doc.Record != nil:
			all = append(all, Record{Key: key, Value: doc.Record})
		default:
			all = append(all, Record{Key: key, Value: one})
		}
	}
	return all
}

func outcome(d *Decoder, rec Record) string {
	class, err := d.Decode(rec)
	var got []string
	for _, rows := range d.Take(nil) {
		for i := range rows.Len() {
			var key []string
			for c, col := range rows.Columns {
				if col.Key {
					key = append(key, cell(&rows.Values[c], i))
				}
			}
			got = append(got, fmt.Sprintf("%v %s %s", rows.Ops[i], rows.Table, strings.Join(key, ",")))
		}
	}
	switch {
	case err != nil:
		return "refused: " + err.Error()
	case class != Row:
		return class.String()
	}
	return strings.Join(got, "; ")
}

// TestVectors: what other projects captured or documented becomes what their manifest
// says is in it.
func TestVectors(t *testing.T) {
	if _, err := os.Stat(*vectors); err != nil {
		t.Skip("no records of other projects here")
	}
	for _, v := range allVectors {
		t.Run(v.file, func(t *testing.T) {
			opt := vectorOptions()
			if v.opt != nil {
				v.opt(&opt)
			}
			d := NewDecoder("all", opt)
			var got []string
			for i, rec := range v.records(t) {
				rec.Offset = int64(i)
				got = append(got, outcome(d, rec))
			}
			holdVector(t, got, v.want)
		})
	}
}

func vectorOptions() Options {
	return Options{Decimals: DecimalsText, Table: func(id Identity) string { return cmp.Or(id.Schema, id.Database) + "." + id.Table }}
}

func holdVector(t *testing.T, got []string, want string) {
	t.Helper()
	t.Logf("%s", strings.Join(got, "\n"))
	var wants []string
	for line := range strings.Lines(want) {
		line = strings.TrimSpace(line)
		n := 1
		if count, rest, ok := strings.Cut(line, "× "); ok {
			n, _ = strconv.Atoi(count)
			line = rest
		}
		for range n {
			wants = append(wants, line)
		}
	}
	if len(got) != len(wants) {
		t.Fatalf("%d records, want %d", len(got), len(wants))
	}
	for i, line := range got {
		if !slices.ContainsFunc(strings.Split(wants[i], " | "), func(want string) bool {
			return line == want || strings.HasPrefix(want, "refused") && strings.HasPrefix(line, want)
		}) {
			t.Errorf("record %d: %s, want %s", i, line, wants[i])
		}
	}
}

// TestVectorsAvro: framed Avro, c, u and d of orders, then a tombstone.
func TestVectorsAvro(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join(*vectors, "derived/avro", name))
		if err != nil {
			t.Skip("no records of other projects here")
		}
		return b
	}
	types := map[uint64]*avro.Type{}
	for id, name := range map[uint64]string{7: "key.avsc", 8: "value.avsc", 9: "../../flink/debezium-test-schema.json"} {
		typ, err := avro.Parse(string(read(name)))
		if err != nil {
			t.Fatal(err)
		}
		types[id] = typ
	}
	opt := vectorOptions()
	if p := opt.compileAvro(types[9], false); p.avro.form != formEnvelope {
		t.Errorf("the schema of a MySQL connector's envelope makes form %d", p.avro.form)
	}
	opt.Schema = avroSchemas(types)
	d := NewDecoder("postgres.public.orders", opt)
	var got []string
	for i := range 6 {
		rec := Record{Offset: int64(i), Key: read(fmt.Sprintf("%d.key.bin", i+1))}
		if i < 5 {
			rec.Value = read(fmt.Sprintf("%d.value.bin", i+1))
		}
		got = append(got, outcome(d, rec))
	}
	holdVector(t, got, "upsert public.orders 1\nupsert public.orders 2\nupsert public.orders 3\nupsert public.orders 1\ndelete public.orders 1\ntombstone")
}

// noEvent and noTable are what becomes of a record that documentation shows in part.
const (
	noEvent = "refused: not a Debezium change event"
	noTable = "refused: source does not name a table"
)

const customers = `{"id":1004}`

var allVectors = []vector{
	{file: "flink/debezium-postgres-data-replica-identity.txt", key: `{"id":111}`, want: "15× upsert inventory.products 111\ndelete inventory.products 111"},
	// The source block has been taken out of these; the schema of the third lacks a column.
	{file: "flink-cdc/debezium-data-schema-exclude.json", key: `{"id":1}`, want: "2× " + noEvent},
	{file: "flink-cdc/debezium-data-schema-exclude-with-numeric-decimal.json", key: `{"id":1}`, want: "2× " + noEvent},
	{file: "flink-cdc/debezium-data-schema-include.json", key: `{"id":1}`, want: "2× refused: table column_type_test_"},
	// A template of a test: it has $databaseName as it is.
	{file: "flink-cdc/pipeline-debezium-json.txt", key: `{"id":1}`, want: "4× upsert $databaseName.customers 1\n15× upsert $databaseName.products 1\ndelete $databaseName.products 1"},
	{file: "flink-cdc/pipeline-debezium-json-with-schema.txt", key: `{"id":1}`, want: "4× upsert $databaseName.customers 1\n15× upsert $databaseName.products 1\ndelete $databaseName.products 1"},

	{file: "debezium-server-iceberg/unwrap-with-schema.json", key: `{"id":10003}`, want: "upsert inventory.orders 10003"},
	{file: "debezium-server-iceberg/serde-with-schema_geom.json", key: `{"id":1}`, want: "upsert inventory.geom 1"},
	{file: "debezium-server-iceberg/serde-with-array.json", key: `{"name":"Bill"}`, want: "upsert inventory.array_data \"Bill\""},
	{file: "debezium-server-iceberg/serde-with-array2.json", want: "schema_change"},
	{file: "debezium-server-iceberg/serde-with-schema.json", key: customers, want: "upsert inventory.customers 1004"},
	{file: "debezium-server-iceberg/serde-with-schema2.json", key: customers, want: noEvent}, // a schema alone
	{file: "debezium-server-iceberg/serde-update.json", key: customers, want: "upsert inventory.customers 1004"},
	{file: "debezium-server-iceberg/serde-unnested-order-val-withschema.json", want: "upsert inventory.orders 10004"},
	{file: "debezium-server-iceberg/serde-unnested-delete-val-withschema.json", want: "delete inventory.customers 1004"},

	{file: "debezium/test-resources/serde-with-schema.json", key: customers, want: "upsert inventory.customers 1004"},
	{file: "debezium/test-resources/serde-without-schema.json", key: customers, want: "upsert inventory.customers 1004"},
	{file: "debezium/test-resources/serde-update.json", key: customers, want: "upsert inventory.customers 1004"},
	{file: "debezium/test-resources/serde-unknown-property.json", key: customers, want: "upsert inventory.customers 1004"},
	{file: "debezium/test-resources/fieldnamedop.json", key: `{"_id":1}`, want: "2× " + noEvent},
	{file: "debezium/test-resources/fieldnamedop.json", key: `{"_id":1}`, want: "2× upsert documents 1", opt: func(o *Options) {
		o.Events, o.TopicTable = EventsFlattened, func(string) string { return "documents" }
	}},

	{file: "debezium/docs/postgresql.jsonl", want: `2× transaction
		` + noTable + `
		2× upsert public.customers 1
		delete public.customers 1
		refused: table public.customers: a TRUNCATE
		2× message`},
	{file: "debezium/docs/mysql.jsonl", want: noEvent + `
		schema_change
		2× transaction
		` + noTable + `
		2× upsert inventory.customers 1001
		delete inventory.customers 1001
		refused: table inventory.customers: a TRUNCATE`},
	{file: "debezium/docs/sqlserver.jsonl", want: noEvent + `
		schema_change
		` + noEvent + `
		2× upsert dbo.customers 1004
		delete dbo.customers 1004
		2× transaction
		` + noTable + `
		notification`},
	{file: "debezium/docs/oracle.jsonl", want: `2× ` + noEvent + `
		2× transaction
		4× ` + noTable + `
		refused: table DEBEZIUM.TEST_TABLE: a TRUNCATE`},
	{file: "debezium/docs/db2.jsonl", want: noEvent + `
		schema_change
		` + noEvent + `
		2× transaction
		` + noTable + `
		2× upsert MYSCHEMA.CUSTOMERS 1004
		delete MYSCHEMA.CUSTOMERS 1004`},
	{file: "debezium/docs/informix.jsonl", want: noEvent + `
		schema_change
		` + noEvent + `
		2× transaction
		` + noTable + `
		2× upsert myschema.customers 1004
		delete myschema.customers 1004`},
	{file: "debezium/docs/vitess.jsonl", want: `2× transaction
		2× ` + noTable + `
		2× upsert commerce.customers 1
		delete commerce.customers 1`},
	{file: "debezium/docs/spanner.jsonl", want: `upsert database.Users "1"
		delete database.Users "1"`},
	{file: "debezium/docs/cockroachdb.jsonl", want: `2× upsert public.orders "5f8a1c2e-3b4d-4e6f-8a9b-1c2d3e4f5a6b"
		delete public.orders "5f8a1c2e-3b4d-4e6f-8a9b-1c2d3e4f5a6b"`},
	{file: "debezium/docs/cassandra.jsonl", want: "3× refused: an event of Debezium's Cassandra connector"},
	{file: "debezium/docs/mongodb.jsonl", want: `2× transaction
		` + noTable + `
		2× upsert inventory.customers "1004"
		delete inventory.customers "1004"`},
	{file: "debezium/docs/notification.jsonl", want: "14× notification"},
	{file: "debezium/docs/event-flattening.jsonl", key: `{"id":1}`, want: noTable + "\nrefused: a row without its envelope does not say which table"},
	{file: "debezium/docs/event-flattening.jsonl", key: `{"id":1}`, want: noTable + "\nupsert shop.MY_TABLE 1", opt: func(o *Options) {
		o.Table = func(id Identity) string { return "shop." + id.Table }
	}},
	{file: "debezium/docs/cloudevents.jsonl", key: `{"pk":1}`, want: "2× upsert s1.a 1", opt: func(o *Options) {
		images, err := avro.Parse(strings.NewReplacer(`"id"`, `"pk"`, `["null","string"]`, `"string"`).Replace(imagesSchema))
		o.Schema = func(frame.ID) (*frame.Schema, error) { return &frame.Schema{Avro: images}, err }
	}},

	// What a console printed of Avro: unions by the name of their branch. Nobody sends that.
	{file: "kafka-docker-playground/postgres-0.9.5-avro-console-consumer.jsonl", key: `{"id":5}`, want: noTable},
	{file: "kafka-docker-playground/sqlserver-avro-console-consumer.jsonl", want: "5× refused: table dbo.customers, column id: a key column without a value", opt: func(o *Options) {
		o.Keys = func(string) []string { return []string{"id"} }
	}},
}
