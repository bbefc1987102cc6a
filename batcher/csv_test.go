package batcher

import (
	"encoding/csv"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

func encodeCSV(t interface{ Fatal(...any) }, e *CSVEncoder, r run) []schema.Chunk {
	b := New(anyPolicy)
	batch, err := b.Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Seal(batch)
	chunks, err := e.Encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}

// TestCSVText holds the files against what the dialect says, worked out by hand.
func TestCSVText(t *testing.T) {
	exact := schema.Column{Name: "e", Type: schema.Type{Kind: schema.String, Precision: 6, Scale: 2}}
	r := newRun("t", col(`a "b"`, schema.String), col("f", schema.Float), col("u", schema.Unknown), col("b", schema.Boolean),
		col("d", schema.Date), col("m", schema.Time), col("at", schema.DateTime), exact)
	r.add(schema.Upsert, -1, ` \N,"x"`+"\r\n", 1e-7, nil, 1, -208188, 86399_123_456, -1, "-12.50").
		add(schema.Upsert, 2, "", 1e21, nil, 0, 0, 0, 1_700_000_000_123_999, "0.00").
		add(schema.Upsert, 3).
		add(schema.Upsert, 4, "NULL", math.Inf(-1)).add(schema.Upsert, 5, "\x00", math.NaN()).
		add(schema.Delete, 6)
	for _, tc := range []struct {
		e    CSVEncoder
		want string
	}{
		{CSVEncoder{MaxChunkBytes: 1 << 20}, `"id","a ""b""","f","b","d","m","at","e"` + "\n" +
			`-1," \N,""x""` + "\r\n" + `",0.0000001,true,1400-01-01,23:59:59.123,1969-12-31 23:59:59.999,-12.50` + "\n" +
			`2,"",1000000000000000000000,false,1970-01-01,00:00:00.000,2023-11-14 22:13:20.123,0.00` + "\n" +
			"3,,,,,,,\n" +
			`4,"NULL",-Infinity,,,,,` + "\n5,\"\x00\",NaN,,,,,\n" +
			"|\"id\"\n6\n"},
		{CSVEncoder{MaxChunkBytes: 1 << 20, Micros: true, FullDeletes: true}, `"id","a ""b""","f","b","d","m","at","e"` + "\n" +
			`-1," \N,""x""` + "\r\n" + `",0.0000001,true,1400-01-01,23:59:59.123456,1969-12-31 23:59:59.999999,-12.50` + "\n" +
			`2,"",1000000000000000000000,false,1970-01-01,00:00:00.000000,2023-11-14 22:13:20.123999,0.00` + "\n" +
			"3,,,,,,,\n" +
			`4,"NULL",-Infinity,,,,,` + "\n5,\"\x00\",NaN,,,,,\n" +
			`|"id","a ""b""","f","b","d","m","at","e"` + "\n6,,,,,,,\n"},
	} {
		var files []string
		for _, c := range encodeCSV(t, &tc.e, r) {
			files = append(files, string(c.Data))
		}
		if got := strings.Join(files, "|"); got != tc.want {
			t.Errorf("%+v:\n got %q\nwant %q", tc.e, got, tc.want)
		}
	}
}

// TestCSVRoundTrip reads random texts back with the standard library, cut into small
// files. (It takes \r\n within quotes for \n, and NULL for the empty text; what reads the
// files by a job's options does neither, see push/celonis.)
func TestCSVRoundTrip(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune(`",;\N'`+"\n\t \x00é"))))
	rapid.Check(t, func(t *rapid.T) {
		r := newRun("t", col("s", schema.String), col("x", schema.String))
		var want []string
		for id := range int64(rapid.IntRange(1, 40).Draw(t, "rows")) {
			s, x := text.Draw(t, "s"), text.Draw(t, "x")
			r.add(schema.Upsert, id, s, x)
			want = append(want, fmt.Sprintf("%q", []string{fmt.Sprint(id), strings.ReplaceAll(s, "\r\n", "\n"), strings.ReplaceAll(x, "\r\n", "\n")}))
		}
		e := &CSVEncoder{MaxChunkBytes: rapid.SampledFrom([]int{1, 50, 300, 1 << 20}).Draw(t, "chunk")}
		var got []string
		for _, c := range encodeCSV(t, e, r) {
			records, err := csv.NewReader(strings.NewReader(string(c.Data))).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			if len(records)-1 != c.Rows || !slices.Equal(records[0], []string{"id", "s", "x"}) {
				t.Fatalf("%d records with header %q, want %d rows", len(records), records[0], c.Rows)
			}
			if len(c.Data) > e.MaxChunkBytes && c.Rows > 1 {
				t.Fatalf("%d rows in %d bytes, limit %d", c.Rows, len(c.Data), e.MaxChunkBytes)
			}
			for _, rec := range records[1:] {
				got = append(got, fmt.Sprintf("%q", rec))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// TestCSVBlankLine: a row that would be a blank line is refused.
func TestCSVBlankLine(t *testing.T) {
	r := new(schema.Rows)
	r.Reset("log", []schema.Column{col("s", schema.String)})
	r.Values[0].AppendNull()
	r.Ops, r.Offsets, r.Keys, r.KeyEnds = []schema.Op{schema.Upsert}, []int64{0}, []byte("k"), []uint32{1}
	batch, err := New(anyPolicy).Add(epoch, r, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&CSVEncoder{MaxChunkBytes: 100}).Encode(batch); err == nil || !strings.Contains(err.Error(), "SLUICE_CELONIS_FILE_TYPE=parquet") {
		t.Errorf("got %v", err)
	}
}

// TestCSVAllocations: nothing is allocated for a value or a row.
func TestCSVAllocations(t *testing.T) {
	r := newRun("t", col("a", schema.Float), col("b", schema.String), col("c", schema.DateTime), col("d", schema.Date))
	const rows = 10_000
	for i := range int64(rows) {
		r.add(schema.Upsert, i, float64(i)/7, fmt.Sprint(`text "`, i), int(i), int(i))
	}
	b := New(anyPolicy)
	batch, err := b.Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Seal(batch)
	e := &CSVEncoder{MaxChunkBytes: 1 << 26}
	got := testing.AllocsPerRun(3, func() {
		if _, err := e.Encode(batch); err != nil {
			t.Fatal(err)
		}
	})
	if got > 100 { // the buffer grows some times
		t.Errorf("%.0f allocations for %d rows", got, rows)
	}
}

// TestCSVOfEmptiedTable: a table that was emptied has a file even if it has no row.
func TestCSVOfEmptiedTable(t *testing.T) {
	b := New(anyPolicy)
	r := newRun("t", col("s", schema.String))
	if _, err := b.Add(epoch, r.add(schema.Upsert, 1, "x").Rows, 0); err != nil {
		t.Fatal(err)
	}
	empty := new(schema.Rows)
	empty.Reset("t", nil)
	empty.Ops, empty.Offsets, empty.KeyEnds = []schema.Op{schema.Truncate}, []int64{1}, []uint32{0}
	batch, err := b.Add(epoch, empty, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Seal(batch)
	chunks, err := (&CSVEncoder{MaxChunkBytes: 100}).Encode(batch)
	if err != nil || len(chunks) != 1 || !chunks[0].Replace || chunks[0].Rows != 0 || string(chunks[0].Data) != "\"id\",\"s\"\n" {
		t.Errorf("%v, %+v", err, chunks)
	}
}
