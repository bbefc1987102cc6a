package celonis_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// TestCSVDocument: a CSV job declares every option, and a form for each column of dates
// or times.
func TestCSVDocument(t *testing.T) {
	table := &schema.Table{Name: "t", Columns: []schema.Column{
		{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true},
		{Name: "d", Type: schema.Type{Kind: schema.Date}}, {Name: "m", Type: schema.Type{Kind: schema.Time}},
		{Name: "at", Type: schema.Type{Kind: schema.DateTime}}, {Name: "left", Type: schema.Type{Kind: schema.DateTime}},
	}}
	for micros, more := range map[bool]string{false: "", true: "SSS"} {
		r, wire := tapped(t, emulator.Options{}, func(o *celonis.Options) { o.FileType, o.Micros = celonis.CSV, micros })
		chunk := schema.Chunk{Rows: 1, Data: []byte("\"id\",\"d\",\"m\",\"at\"\n1,,,\n"), Without: []string{"left"}}
		if _, err := r.sink.Prepare(t.Context(), &push.Job{Table: table, Chunks: []schema.Chunk{chunk}}); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(wire.jobs[0]["csvParsingOptions"])
		if err != nil {
			t.Fatal(err)
		}
		want := `{"additionalColumnOptions":[{"columnName":"d","dateFormat":"yyyy-MM-dd"},{"columnName":"m","dateFormat":"HH:mm:ss.SSS` + more + `"},` +
			`{"columnName":"at","dateFormat":"yyyy-MM-dd HH:mm:ss.SSS` + more + `"}],` +
			`"charSet":"UTF-8","dateFormat":"yyyy-MM-dd HH:mm:ss.SSS` + more + `","decimalSeparator":".","escapeSequence":"\"","lineEnding":"\n",` +
			`"quoteSequence":"\"","separatorSequence":",","thousandSeparator":","}`
		if string(text) != want || wire.jobs[0]["fileType"] != "CSV" {
			t.Errorf("%v\n got %s\nwant %s", wire.jobs[0]["fileType"], text, want)
		}
		r.done()
	}
}

// TestCSVLikeParquet: a random batch is the same table whether it came as CSV or as
// Parquet, and its texts are those that were written.
func TestCSVLikeParquet(t *testing.T) {
	kinds := []schema.Kind{schema.Integer, schema.Float, schema.Boolean, schema.String, schema.Date, schema.Time, schema.DateTime}
	texts := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(`",;\N'`+"\r\n\t \x00é"))), rapid.Just(""))
	numbers := map[schema.Kind]*rapid.Generator[int64]{
		schema.Integer: rapid.Int64(), schema.Boolean: rapid.Int64Range(0, 1), schema.Date: rapid.Int64Range(-208188, 2932896),
		schema.Time: rapid.Int64Range(0, 86_400_000_000-1), schema.DateTime: rapid.Int64Range(-17_987_443_200_000_000, 253_402_300_799_999_999),
	}
	rapid.Check(t, func(rt *rapid.T) {
		cols := []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}, {Name: "text", Type: schema.Type{Kind: schema.String}}}
		for i := range rapid.IntRange(0, 5).Draw(rt, "columns") {
			cols = append(cols, schema.Column{Name: fmt.Sprint("c", i), Type: schema.Type{Kind: rapid.SampledFrom(kinds).Draw(rt, "kind")}})
		}
		rows := new(schema.Rows)
		rows.Reset("t", cols)
		want := map[string]any{}
		for id := range rapid.IntRange(1, 20).Draw(rt, "rows") {
			rows.Values[0].AppendNum(int64(id))
			for i := range cols[1:] {
				v := &rows.Values[i+1]
				switch {
				case rapid.IntRange(0, 3).Draw(rt, "null") == 0:
					v.AppendNull()
				case v.Kind == schema.String:
					v.AppendString([]byte(texts.Draw(rt, "s")))
				case v.Kind == schema.Float:
					v.AppendFloat(rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.Inf(1), math.Inf(-1), math.Copysign(0, -1)})).Draw(rt, "f"))
				default:
					v.AppendNum(numbers[v.Kind].Draw(rt, "n"))
				}
			}
			if key := fmt.Sprintf("int64:%d|", id); rows.Values[1].States[id] == schema.Present {
				want[key] = string(rows.Values[1].Bytes(id))
			} else {
				want[key] = nil
			}
			rows.Ops, rows.Offsets = append(rows.Ops, schema.Upsert), append(rows.Offsets, int64(id))
			rows.Keys = schema.AppendKey(rows.Keys, &rows.Values[0], id)
			rows.KeyEnds = append(rows.KeyEnds, uint32(len(rows.Keys)))
		}
		micros := rapid.Bool().Draw(rt, "micros")
		form := batcher.Millis
		if micros {
			form = batcher.Micros
			for i := range cols { // Parquet's TIME is of milliseconds
				if v := &rows.Values[i]; v.Kind == schema.Time {
					for r, n := range v.Nums {
						v.Nums[r] = n - n%1000
					}
				}
			}
		}
		parquet := loaded(rt, rows, celonis.Parquet, micros, (&batcher.Encoder{MaxChunkBytes: 1 << 20, PageBytes: 1 << 16, Timestamps: form}).Encode)
		csv := loaded(rt, rows, celonis.CSV, micros, (&batcher.CSVEncoder{MaxChunkBytes: 200, Micros: micros}).Encode)
		if !reflect.DeepEqual(csv.Columns, parquet.Columns) || !reflect.DeepEqual(csv.Rows, parquet.Rows) {
			rt.Fatalf("CSV     %v %q\nParquet %v %q", csv.Columns, csv.Rows, parquet.Columns, parquet.Rows)
		}
		for key, text := range want {
			if csv.Rows[key][1] != text {
				rt.Errorf("%s: %q, want %q", key, csv.Rows[key][1], text)
			}
		}
	})
}

// loaded returns the table that one job makes of rows.
func loaded(t *rapid.T, rows *schema.Rows, files celonis.FileType, micros bool, encode func(*batcher.Batch) ([]schema.Chunk, error)) *emulator.Table {
	emu := emulator.New(emulator.Options{})
	sink, err := celonis.New(celonis.Options{
		URL: "https://team.eu-1.celonis.cloud", PoolID: "pool", Auth: key("k"), FileType: files, Micros: micros,
		MultipartField: "file", MultipartFilename: "chunk", TableSchema: true, FallbackLength: 16250, RequestsPerSecond: 1e6,
	}, clientOf(http.HandlerFunc(emu.ServeHTTP)).Transport)
	if err != nil {
		t.Fatal(err)
	}
	batch, err := batcher.New(func(string) batcher.Policy { return batcher.Policy{} }).Add(time.Time{}, rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	ticket, err := sink.Prepare(t.Context(), &push.Job{Table: batch.Table, Chunks: chunks})
	if err == nil {
		_, err = sink.Execute(t.Context(), ticket)
	}
	if err != nil {
		t.Fatal(err)
	}
	return emu.Snapshot("t")
}
