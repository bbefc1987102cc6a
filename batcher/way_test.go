package batcher_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// way is decode → fold → encode, in batches.
type way struct {
	decoder   *debezium.Decoder
	batcher   *batcher.Batcher
	encode    func(*batcher.Batch) ([]schema.Chunk, error)
	runs      []*schema.Rows
	batch     *batcher.Batch
	rows, out int64
}

func newWay(opt debezium.Options, encode func(*batcher.Batch) ([]schema.Chunk, error)) *way {
	return &way{decoder: debezium.NewDecoder(topic, opt), encode: encode, batcher: batcher.New(func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 1 << 30, MaxBytes: 1 << 40, MaxAge: time.Hour}
	})}
}

// event takes the i-th event; each thousand are folded, and batchRows of them encoded.
func (w *way) event(b *testing.B, recs []debezium.Record, i int) {
	if _, err := w.decoder.Decode(recs[i%len(recs)]); err != nil {
		b.Fatal(err)
	}
	if i%1000 == 999 {
		w.fold(b)
	}
	if i%batchRows == batchRows-1 {
		w.flush(b)
	}
}

func (w *way) fold(b *testing.B) {
	w.runs = w.decoder.Take(w.runs[:0])
	for _, r := range w.runs {
		var err error
		if w.batch, err = w.batcher.Add(time.Time{}, r, 0); err != nil {
			b.Fatal(err)
		}
		debezium.Recycle(r)
	}
}

func (w *way) flush(b *testing.B) {
	if w.batch == nil {
		return
	}
	w.batcher.Seal(w.batch)
	chunks, err := w.encode(w.batch)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range chunks {
		w.rows, w.out = w.rows+int64(c.Rows), w.out+int64(len(c.Data))
	}
	w.batch = nil
}

// toParquet is the way to Celonis, by default.
func toParquet(compression string) *way {
	return newWay(options(), (&batcher.Encoder{Compression: compression, MaxChunkBytes: 64 << 20, PageBytes: 1 << 20, WithDictionary: true}).Encode)
}

// toJSON is the way to Feldera as cmd/sluice wires it, by default: to a pipeline whose table
// has the columns that the records have.
func toJSON(b *testing.B, recs []debezium.Record) *way {
	opt := options()
	opt.Decimals, opt.Overflow, opt.ClockUnit = debezium.DecimalsExact, debezium.OverflowPass, 1
	w := newWay(opt, nil)
	for i := range 1000 {
		w.event(b, recs, i)
	}
	pipe := pipeline.New(pipeline.Options{})
	if err := pipe.Create("shop", program(w.batch.Table)); err != nil {
		b.Fatal(err)
	}
	pipe.Start("shop")
	sink, err := feldera.New(feldera.Options{URL: "http://feldera:8080", Pipeline: "shop", RequestTimeout: time.Minute}, &pushtest.Transport{Handler: pipe})
	if err != nil {
		b.Fatal(err)
	}
	if _, err := sink.State(b.Context()); err != nil {
		b.Fatal(err)
	}
	for i, c := range w.batch.Table.Columns {
		if form, target := sink.Form("orders", &w.batch.Table.Columns[i]); target == "" || (form == batcher.JSONInline) != (target == "VARIANT") {
			b.Fatalf("column %s is written in form %d for %q", c.Name, form, target)
		}
	}
	return newWay(opt, (&batcher.JSONEncoder{MaxChunkRows: 10_000, MaxChunkBytes: 8 << 20, Form: sink.Form}).Encode)
}

// program declares the table for what its columns are; attrs is JSON.
func program(t *schema.Table) string {
	var columns []string
	for _, c := range t.Columns {
		of := map[schema.Kind]string{schema.Integer: "BIGINT", schema.Float: "DOUBLE", schema.Boolean: "BOOLEAN", schema.String: "VARCHAR", schema.Date: "DATE", schema.DateTime: "TIMESTAMP"}[c.Type.Kind]
		switch {
		case c.Name == "attrs":
			of = "VARIANT"
		case c.Type.Precision > 0:
			of = fmt.Sprintf("DECIMAL(%d, %d)", c.Type.Precision, c.Type.Scale)
		case c.Key:
			of += " NOT NULL PRIMARY KEY"
		}
		columns = append(columns, c.Name+" "+of)
	}
	return "CREATE TABLE orders (" + strings.Join(columns, ", ") + ");"
}
