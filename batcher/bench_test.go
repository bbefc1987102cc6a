package batcher_test

import (
	"fmt"
	"testing"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

const batchRows = 100_000

func sizes(recs []debezium.Record) (n int64) {
	for _, r := range recs {
		n += int64(len(r.Value))
	}
	return n
}

// forms are the ways in which events are written, with how many of them are kept
// to be decoded over and over.
var forms = []struct {
	name    string
	records int
	write   func(*testing.B) func(*order, *debezium.Record)
}{
	{"json", batchRows, func(*testing.B) func(*order, *debezium.Record) { return plainJSON }},
	{"jsonschema", 20_000, func(*testing.B) func(*order, *debezium.Record) { return jsonWithSchema }},
	{"avro", batchRows, avroWriter},
	{"protobuf", batchRows, protobufWriter},
}

const topic = "shop.public.orders"

func options() debezium.Options {
	return debezium.Options{Table: func(id debezium.Identity) string { return id.Table }, Schema: orderSchemas}
}

// BenchmarkDecode measures records into typed columns; an op is an event.
func BenchmarkDecode(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			recs := orders(form.records, form.write(b))
			decodeAll(b, debezium.NewDecoder(topic, options()), recs)
		})
	}
}

// decodeAll decodes the records over and over.
func decodeAll(b *testing.B, d *debezium.Decoder, recs []debezium.Record) {
	var runs []*schema.Rows
	b.SetBytes(sizes(recs) / int64(len(recs)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := d.Decode(recs[i%len(recs)]); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			runs = d.Take(runs[:0])
			for _, r := range runs {
				debezium.Recycle(r)
			}
		}
	}
}

// BenchmarkTraces measures what it costs to tell in which traces changes were made: where
// nobody asks, where no record tells of one, and where each has one of its own.
func BenchmarkTraces(b *testing.B) {
	for _, tc := range []struct {
		name        string
		asked, told bool
	}{{"off", false, true}, {"none", true, false}, {"each", true, true}} {
		b.Run(tc.name, func(b *testing.B) {
			recs := orders(batchRows, plainJSON)
			for i := range recs {
				if tc.told {
					recs[i].Headers = []debezium.Header{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-01", i+1, i+1)}}
				}
			}
			d := debezium.NewDecoder(topic, debezium.Options{Table: func(id debezium.Identity) string { return id.Table }, Traces: tc.asked})
			decodeAll(b, d, recs)
		})
	}
}

// BenchmarkEventToParquet measures the hot path, decode → fold → encode, in
// batches of 100,000 events; an op is an event.
func BenchmarkEventToParquet(b *testing.B) {
	for _, tc := range []struct{ form, compression int }{{0, 0}, {0, 1}, {1, 0}, {2, 0}, {3, 0}} {
		form, compression := forms[tc.form], []string{"snappy", "zstd"}[tc.compression]
		b.Run(form.name+"/"+compression, func(b *testing.B) {
			eventToFile(b, orders(form.records, form.write(b)), toParquet(compression))
		})
	}
}

// BenchmarkEventToCSV measures the same into CSV.
func BenchmarkEventToCSV(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			eventToFile(b, orders(form.records, form.write(b)), newWay(options(), (&batcher.CSVEncoder{MaxChunkBytes: 64 << 20}).Encode))
		})
	}
}

// BenchmarkEventToJSON measures the same into JSON.
func BenchmarkEventToJSON(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			recs := orders(form.records, form.write(b))
			eventToFile(b, recs, toJSON(b, recs))
		})
	}
}

func eventToFile(b *testing.B, recs []debezium.Record, w *way) {
	b.SetBytes(sizes(recs) / int64(len(recs)))
	b.ReportAllocs()
	i := 0
	for ; b.Loop(); i++ {
		w.event(b, recs, i)
	}
	w.flush(b)
	b.ReportMetric(float64(w.rows)/float64(i), "rows/event")
	b.ReportMetric(float64(w.out)/float64(max(w.rows, 1)), "outB/row")
}
