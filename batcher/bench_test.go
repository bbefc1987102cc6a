package batcher_test

import (
	"fmt"
	"testing"
	"time"

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

func newDecoder() *debezium.Decoder {
	return debezium.NewDecoder("shop.public.orders", debezium.Options{Table: func(id debezium.Identity) string { return id.Table }, Schema: orderSchemas})
}

// BenchmarkDecode measures records into typed columns; an op is an event.
func BenchmarkDecode(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			recs := orders(form.records, form.write(b))
			decodeAll(b, newDecoder(), recs)
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
			d := debezium.NewDecoder("shop.public.orders", debezium.Options{Table: func(id debezium.Identity) string { return id.Table }, Traces: tc.asked})
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
			enc := &batcher.Encoder{Compression: compression, MaxChunkBytes: 64 << 20, PageBytes: 1 << 20, WithDictionary: true}
			eventToFile(b, orders(form.records, form.write(b)), enc.Encode)
		})
	}
}

// BenchmarkEventToCSV measures the same into CSV.
func BenchmarkEventToCSV(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			eventToFile(b, orders(form.records, form.write(b)), (&batcher.CSVEncoder{MaxChunkBytes: 64 << 20}).Encode)
		})
	}
}

// BenchmarkEventToJSON measures the same into JSON.
func BenchmarkEventToJSON(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			eventToFile(b, orders(form.records, form.write(b)), (&batcher.JSONEncoder{MaxChunkRows: 10_000, MaxChunkBytes: 8 << 20}).Encode)
		})
	}
}

func eventToFile(b *testing.B, recs []debezium.Record, encode func(*batcher.Batch) ([]schema.Chunk, error)) {
	d := newDecoder()
	bt := batcher.New(func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 1 << 30, MaxBytes: 1 << 40, MaxAge: time.Hour}
	})
	var runs []*schema.Rows
	var batch *batcher.Batch
	var rows, out int64
	flush := func() {
		if batch == nil {
			return
		}
		bt.Seal(batch)
		chunks, err := encode(batch)
		if err != nil {
			b.Fatal(err)
		}
		for _, c := range chunks {
			rows, out = rows+int64(c.Rows), out+int64(len(c.Data))
		}
		batch = nil
	}
	b.SetBytes(sizes(recs) / int64(len(recs)))
	b.ReportAllocs()
	i := 0
	for ; b.Loop(); i++ {
		if _, err := d.Decode(recs[i%len(recs)]); err != nil {
			b.Fatal(err)
		}
		if i%1000 == 999 {
			runs = d.Take(runs[:0])
			for _, r := range runs {
				var err error
				if batch, err = bt.Add(time.Time{}, r, 0); err != nil {
					b.Fatal(err)
				}
				debezium.Recycle(r)
			}
		}
		if i%batchRows == batchRows-1 {
			flush()
		}
	}
	flush()
	b.ReportMetric(float64(rows)/float64(i), "rows/event")
	b.ReportMetric(float64(out)/float64(max(rows, 1)), "outB/row")
}
