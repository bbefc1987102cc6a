package batcher_test

import (
	"encoding/base64"
	"fmt"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// orders makes a stream of changes of a table of twelve columns: 30 % inserts,
// 60 % updates, 10 % deletes over 200,000 keys, as Debezium 3 writes them for
// PostgreSQL with the default replica identity.
func orders(n int) []debezium.Record {
	r := rand.New(rand.NewPCG(1, 2))
	status := []string{"new", "paid", "packed", "shipped", "returned", "cancelled"}
	recs := make([]debezium.Record, n)
	for i := range recs {
		id := r.IntN(200_000)
		at := 1_700_000_000_000_000 + int64(i)*1000
		row := func() string {
			note, ship := "null", "null"
			if r.IntN(3) > 0 {
				note = fmt.Sprintf("%q", string(make([]byte, 0, 80))+fmt.Sprintf("%0*d", r.IntN(80)+1, i))
			}
			if r.IntN(2) > 0 {
				ship = fmt.Sprint(19_000 + r.IntN(1000))
			}
			amount := base64.StdEncoding.EncodeToString(big.NewInt(r.Int64N(10_000_000)).Bytes())
			return fmt.Sprintf(`{"id":%d,"customer_id":%d,"status":"%s","reference":"%016x","note":%s,"amount":"%s","price":%g,"is_paid":%t,"created_at":%d,"updated_at":%d,"ship_date":%s,"attrs":"{\"channel\": \"web\", \"campaign\": %d, \"gift\": false, \"v\": 3}"}`,
				id, r.IntN(50_000), status[r.IntN(6)], r.Uint64(), note, amount, float64(r.IntN(1_000_000))/100, r.IntN(2) == 0, at-5, at, ship, r.IntN(1000))
		}
		before, after, op := "null", "null", "d"
		switch p := r.IntN(10); {
		case p < 3:
			op, after = "c", row()
		case p < 9:
			op, after = "u", row()
		default:
			before = fmt.Sprintf(`{"id":%d,"customer_id":0,"status":"","reference":"","note":null,"amount":"AA==","price":0.0,"is_paid":false,"created_at":0,"updated_at":0,"ship_date":null,"attrs":"{}"}`, id)
		}
		recs[i] = debezium.Record{
			Offset: int64(i),
			Key:    fmt.Appendf(nil, `{"id":%d}`, id),
			Value: fmt.Appendf(nil, `{"before":%s,"after":%s,"source":{"version":"3.0.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"snapshot":"false","db":"shop","sequence":"[\"%d\",\"%d\"]","ts_us":%d,"ts_ns":%d000,"schema":"public","table":"orders","txId":%d,"lsn":%d,"xmin":null},"transaction":null,"op":"%s","ts_ms":%d,"ts_us":%d,"ts_ns":%d000}`,
				before, after, at/1000, at, at+8, at, at, i, at, op, at/1000+3, at+3000, at+3000),
		}
	}
	return recs
}

const batchRows = 100_000

func sizes(recs []debezium.Record) (n int64) {
	for _, r := range recs {
		n += int64(len(r.Value))
	}
	return n
}

func newDecoder() *debezium.Decoder {
	return debezium.NewDecoder("shop.public.orders", debezium.Options{Table: func(id debezium.Identity) string { return id.Table }})
}

// BenchmarkDecode measures records into typed columns; an op is an event.
func BenchmarkDecode(b *testing.B) {
	recs := orders(20_000)
	d := newDecoder()
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

// BenchmarkEventToParquet measures the hot path, decode → fold → encode, in
// batches of 100,000 events; an op is an event.
func BenchmarkEventToParquet(b *testing.B) {
	recs := orders(batchRows)
	for _, compression := range []string{"snappy", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			enc := &batcher.Encoder{Compression: compression, MaxChunkBytes: 64 << 20, PageBytes: 1 << 20, WithDictionary: true}
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
				chunks, err := enc.Encode(batch)
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
		})
	}
}
