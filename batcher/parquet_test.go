package batcher

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

func testEncoder() *Encoder {
	return &Encoder{Compression: "snappy", MaxChunkBytes: 1 << 26, PageBytes: 1 << 20, WithDictionary: true, CreatedBy: "test"}
}

// readBack reads files with the library's row reader, which shares no code of
// ours, into the text of each row.
func readBack(t interface{ Fatal(...any) }, chunks []schema.Chunk, op schema.Op) (rows []string) {
	for _, c := range chunks {
		if c.Op != op {
			continue
		}
		f, err := parquet.OpenFile(bytes.NewReader(c.Data), int64(len(c.Data)))
		if err != nil {
			t.Fatal(err)
		}
		if f.NumRows() != int64(c.Rows) {
			t.Fatal("rows in the footer:", f.NumRows(), "want", c.Rows)
		}
		for _, g := range f.RowGroups() {
			r := g.Rows()
			buf := make([]parquet.Row, 64)
			for {
				n, err := r.ReadRows(buf)
				for _, row := range buf[:n] {
					s := ""
					for _, v := range row {
						if v.IsNull() {
							s += "NULL|"
						} else if v.Kind() == parquet.Double {
							s += fmt.Sprintf("%x|", math.Float64bits(v.Double()))
						} else {
							s += fmt.Sprintf("%q|", v.String())
						}
					}
					rows = append(rows, s)
				}
				if err != nil {
					break
				}
			}
			r.Close()
		}
	}
	return rows
}

var extremes = map[schema.Kind][]int64{
	schema.Integer:  {0, 1, -1, math.MaxInt64, math.MinInt64},
	schema.Boolean:  {0, 1},
	schema.Date:     {0, -208188, 2932896},
	schema.Time:     {0, 1000, 86399999000},
	schema.DateTime: {0, -1, -17987443200000000, 253402300799999999},
}

func drawValue(t *rapid.T, v *schema.Values) string {
	if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		v.AppendNull()
		return "NULL|"
	}
	switch v.Kind {
	case schema.String:
		s := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{"a", "b", "\x00", "é😀"})).Draw(t, "s")
		v.AppendString([]byte(s))
		return fmt.Sprintf("%q|", s)
	case schema.Float:
		f := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{0, math.Copysign(0, -1), math.MaxFloat64, math.SmallestNonzeroFloat64})).Draw(t, "f")
		v.AppendFloat(f)
		return fmt.Sprintf("%x|", math.Float64bits(f))
	}
	n := rapid.SampledFrom(extremes[v.Kind]).Draw(t, "n")
	v.AppendNum(n)
	switch v.Kind {
	case schema.Boolean:
		return fmt.Sprintf("%q|", fmt.Sprint(n == 1))
	case schema.Time:
		n /= 1000
	case schema.DateTime:
		n = int64(math.Floor(float64(n) / 1000)) // exact: all are far below 2^53 × 1000
		if v.Nums[len(v.Nums)-1] == 253402300799999999 {
			n = 253402300799999
		}
	}
	return fmt.Sprintf("%q|", fmt.Sprint(n))
}

// TestParquetRoundTrip writes random tables of every type, with nulls, empties
// and extremes, under every compression and small chunk sizes, and reads them back.
func TestParquetRoundTrip(t *testing.T) {
	kinds := []schema.Kind{schema.Integer, schema.Float, schema.Boolean, schema.String, schema.Date, schema.Time, schema.DateTime}
	rapid.Check(t, func(t *rapid.T) {
		var cols []schema.Column
		for i := range rapid.IntRange(1, 8).Draw(t, "columns") {
			// Names in falling order: the library would sort them.
			cols = append(cols, col(fmt.Sprintf("%c", 'z'-i), rapid.SampledFrom(kinds).Draw(t, "kind")))
		}
		r := newRun("t", cols...)
		var want []string
		for id := range int64(rapid.IntRange(1, 300).Draw(t, "rows")) {
			row := fmt.Sprintf("%q|", fmt.Sprint(id))
			r.Values[0].AppendNum(id)
			for i := range cols {
				row += drawValue(t, &r.Values[i+1])
			}
			r.Ops, r.Offsets = append(r.Ops, schema.Upsert), append(r.Offsets, id)
			r.Keys = schema.AppendKey(r.Keys, &r.Values[0], int(id))
			r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
			want = append(want, row)
		}
		batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		e := testEncoder()
		e.Compression = rapid.SampledFrom([]string{"snappy", "zstd", "none"}).Draw(t, "compression")
		e.MaxChunkBytes = rapid.SampledFrom([]int{1 << 12, 1 << 16, 1 << 26}).Draw(t, "chunk")
		e.RowGroupRows = rapid.SampledFrom([]int{0, 100}).Draw(t, "group")
		chunks, err := e.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		got := readBack(t, chunks, schema.Upsert)
		if len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				t.Fatalf("row %d:\n got %s\nwant %s", i, got[i], want[i])
			}
		}
	})
}

func TestFileSchemas(t *testing.T) {
	r := newRun("t", col("b", schema.String), col("a", schema.DateTime), col("u", schema.Unknown), col("d", schema.Date), col("m", schema.Time))
	r.add(schema.Upsert, 1, "x", 1, nil, 1, 1).add(schema.Delete, 2)
	for _, tc := range []struct {
		name    string
		change  func(*Encoder)
		up, del string
	}{
		{"default", func(*Encoder) {}, "id:INT64 b:STRING a:TIMESTAMP(isAdjustedToUTC=true,unit=MILLIS) d:DATE m:TIME(isAdjustedToUTC=true,unit=MILLIS)", "id:INT64"},
		{"micros, full deletes", func(e *Encoder) { e.Timestamps = Micros; e.FullDeletes = true },
			"id:INT64 b:STRING a:TIMESTAMP(isAdjustedToUTC=true,unit=MICROS) d:DATE m:TIME(isAdjustedToUTC=true,unit=MILLIS)",
			"id:INT64 b:STRING a:TIMESTAMP(isAdjustedToUTC=true,unit=MICROS) d:DATE m:TIME(isAdjustedToUTC=true,unit=MILLIS)"},
		{"int96", func(e *Encoder) { e.Timestamps = Int96 }, "id:INT64 b:STRING a:INT96 d:DATE m:TIME(isAdjustedToUTC=true,unit=MILLIS)", "id:INT64"},
	} {
		e := testEncoder()
		tc.change(e)
		batch, _ := New(anyPolicy).Add(epoch, r.Rows, 0)
		chunks, err := e.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{tc.up, tc.del} {
			f, err := parquet.OpenFile(bytes.NewReader(chunks[i].Data), int64(len(chunks[i].Data)))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			for j, s := range f.Metadata().Schema[1:] {
				typ := fmt.Sprint(s.Type.V)
				if s.LogicalType.Value != nil {
					typ = f.Root().Columns()[j].Type().LogicalType().String()
				}
				if j > 0 {
					got += " "
				}
				got += s.Name + ":" + typ
				if !f.Root().Columns()[j].Optional() {
					t.Errorf("%s: %s is not OPTIONAL", tc.name, s.Name)
				}
			}
			if got != want {
				t.Errorf("%s, chunk %d:\n got %s\nwant %s", tc.name, i, got, want)
			}
		}
	}
}

func TestChunkSize(t *testing.T) {
	r := newRun("t", col("s", schema.String))
	for id := range int64(20000) {
		r.add(schema.Upsert, id, fmt.Sprintf("%x", id*2654435761*int64(1+id)))
	}
	batch, _ := New(anyPolicy).Add(epoch, r.Rows, 0)
	e := testEncoder()
	e.MaxChunkBytes, e.PageBytes = 1<<16, 1<<13
	chunks, err := e.Encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for _, c := range chunks {
		rows += c.Rows
		if len(c.Data) > e.MaxChunkBytes {
			t.Errorf("a chunk of %d bytes, limit %d", len(c.Data), e.MaxChunkBytes)
		}
	}
	if rows != 20000 || len(chunks) < 4 {
		t.Errorf("%d rows in %d chunks", rows, len(chunks))
	}
}

// TestChunkSizeOfUnevenRows: a cluster of large rows among small ones may not take
// a chunk past its size.
func TestChunkSizeOfUnevenRows(t *testing.T) {
	r := newRun("t", col("s", schema.String))
	dice := rand.New(rand.NewPCG(1, 1))
	for id := range int64(20000) {
		n := 10
		if id > 5000 && id < 5300 {
			n = 1 << 14
		}
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('!' + dice.IntN(90))
		}
		r.add(schema.Upsert, id, string(b))
	}
	batch, _ := New(anyPolicy).Add(epoch, r.Rows, 0)
	e := testEncoder()
	e.MaxChunkBytes, e.PageBytes = 1<<20, 1<<16
	chunks, err := e.Encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		if len(c.Data) > e.MaxChunkBytes {
			t.Errorf("a chunk of %d bytes, limit %d", len(c.Data), e.MaxChunkBytes)
		}
	}
}

// TestChoices: what an encoder is told shows in the file.
func TestChoices(t *testing.T) {
	r := newRun("t", col("s", schema.String))
	for i := range int64(200) {
		r.add(schema.Upsert, i, "the same few words")
	}
	batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		change func(*Encoder)
		want   string // codec, first page's type, whether there is a dictionary
	}{
		{func(*Encoder) {}, "SNAPPY DATA_PAGE true"},
		{func(e *Encoder) { e.Compression = "zstd" }, "ZSTD DATA_PAGE true"},
		{func(e *Encoder) { e.Compression = "none" }, "UNCOMPRESSED DATA_PAGE true"},
		{func(e *Encoder) { e.WithDictionary = false }, "SNAPPY DATA_PAGE false"},
		{func(e *Encoder) { e.PageVersion = 2 }, "SNAPPY DATA_PAGE_V2 true"},
	} {
		e := testEncoder()
		tc.change(e)
		chunks, err := e.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(chunks[0].Data), int64(len(chunks[0].Data)))
		if err != nil {
			t.Fatal(err)
		}
		meta := f.Metadata().RowGroups[0].Columns[1].MetaData
		pages := ""
		for _, s := range meta.EncodingStats {
			if p := s.PageType.String(); strings.HasPrefix(p, "DATA_PAGE") {
				pages = p
			}
		}
		if got := fmt.Sprint(meta.Codec, " ", pages, " ", meta.DictionaryPageOffset > 0); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
	}
}

// TestTimestampForms reads each form of DATETIME back as its definition says.
func TestTimestampForms(t *testing.T) {
	instants := []int64{0, -1, 1_700_000_000_123_456, -17_987_443_200_000_000, 253_402_300_799_999_999}
	r := newRun("t", col("at", schema.DateTime))
	for i, us := range instants {
		r.add(schema.Upsert, int64(i), int(us))
	}
	r.add(schema.Upsert, 99, nil)
	batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []Timestamps{Millis, Micros, Int96} {
		e := testEncoder()
		e.Timestamps = form
		chunks, err := e.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(chunks[0].Data), int64(len(chunks[0].Data)))
		if err != nil {
			t.Fatal(err)
		}
		rows := make([]parquet.Row, len(instants)+1)
		if n, _ := f.RowGroups()[0].Rows().ReadRows(rows); n != len(rows) {
			t.Fatal(n)
		}
		for i, us := range instants {
			want, v := time.UnixMicro(us).UTC(), rows[i][1]
			var got time.Time
			switch form {
			case Millis:
				got, want = time.UnixMilli(v.Int64()).UTC(), want.Truncate(0)
				if got.After(want) || want.Sub(got) >= time.Millisecond {
					t.Errorf("millis: %v for %v", got, want)
				}
				continue
			case Micros:
				got = time.UnixMicro(v.Int64()).UTC()
			case Int96: // nanoseconds of the day, then the Julian day
				x := v.Int96()
				day := time.Date(-4713, 11, 24, 0, 0, 0, 0, time.UTC).AddDate(0, 0, int(x[2]))
				got = day.Add(time.Duration(uint64(x[1])<<32 | uint64(x[0])))
			}
			if !got.Equal(want) {
				t.Errorf("form %d: %v, want %v", form, got, want)
			}
		}
		if !rows[len(instants)][1].IsNull() {
			t.Error("NULL came back as a value")
		}
	}
}

// TestDeletesRoundTrip: delete files hold the keys of the deleted rows, and with all
// columns the others NULL.
func TestDeletesRoundTrip(t *testing.T) {
	r := newRun("t", col("s", schema.String))
	r.add(schema.Upsert, 1, "x").add(schema.Delete, 2).add(schema.Delete, 3).add(schema.Upsert, 3, "y").add(schema.Delete, 1)
	batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	for full, want := range map[bool]string{false: `["1"| "2"|]`, true: `["1"|NULL| "2"|NULL|]`} {
		e := testEncoder()
		e.FullDeletes = full
		chunks, err := e.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(readBack(t, chunks, schema.Delete)); got != want {
			t.Errorf("full %v: deletes %s, want %s", full, got, want)
		}
		if got := fmt.Sprint(readBack(t, chunks, schema.Upsert)); got != `["3"|"y"|]` {
			t.Errorf("upserts %s", got)
		}
	}
}

// TestAllocations holds the hot path to what the benchmark shows: nothing is allocated
// for a value.
func TestAllocations(t *testing.T) {
	r := newRun("t", col("a", schema.Integer), col("b", schema.String), col("c", schema.DateTime))
	const rows = 10_000
	for i := range int64(rows) {
		r.add(schema.Upsert, i, int(i), fmt.Sprint("text ", i), int(i))
	}
	e := testEncoder()
	got := testing.AllocsPerRun(3, func() {
		batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Encode(batch); err != nil {
			t.Fatal(err)
		}
	})
	if got > rows {
		t.Errorf("%.0f allocations for %d rows, want at most one a row", got, rows)
	}
	t.Logf("%.3f allocations a row", got/rows)
}

// TestStamp: the time of the seal stands in written rows, also in those added before the
// column was there, and the batch encoded twice makes the same files.
func TestStamp(t *testing.T) {
	at := schema.Column{Name: "at", Type: schema.Type{Kind: schema.DateTime}, Stamp: true}
	b := New(anyPolicy)
	for _, r := range []run{newRun("t").add(schema.Delete, 1), newRun("t", at).add(schema.Upsert, 2).add(schema.Delete, 3).add(schema.Upsert, 4).add(schema.Upsert, 4)} {
		if _, err := b.Add(epoch, r.Rows, 0); err != nil {
			t.Fatal(err)
		}
	}
	batch := b.Of("t")[0]
	b.Seal(batch)
	batch.Stamp(epoch.Add(1234567 * time.Microsecond))
	for _, form := range []Timestamps{Millis, Micros} {
		e := testEncoder()
		e.Timestamps, e.FullDeletes = form, true
		first, err := e.Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		again, err := e.Encode(batch)
		if err != nil || fmt.Sprint(first) != fmt.Sprint(again) {
			t.Error("encoded again, it makes other files")
		}
		ms := epoch.UnixMilli() + 1234
		if form == Micros {
			ms *= 1000
		}
		if got, want := readBack(t, first, schema.Upsert), []string{fmt.Sprintf(`"2"|"%d"|`, ms), fmt.Sprintf(`"4"|"%d"|`, ms)}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("written rows %v, want %v", got, want)
		}
		if got, want := readBack(t, first, schema.Delete), []string{`"1"|NULL|`, `"3"|NULL|`}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("deleted rows %v, want %v", got, want)
		}
	}
}
