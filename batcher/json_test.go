package batcher

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

func encodeJSON(t interface{ Fatal(...any) }, e *JSONEncoder, r run) ([]schema.Chunk, error) {
	b := New(anyPolicy)
	batch, err := b.Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Seal(batch)
	return e.Encode(batch)
}

// TestJSONText holds the files against the documentation of the format, worked out by
// hand (https://docs.feldera.com/formats/json/).
func TestJSONText(t *testing.T) {
	forms := map[string]JSONForm{"v": JSONInline, "x": JSONHex, "y": JSONBase64, "z": JSONZoned, "n": JSONText, "w": JSONText, "k": JSONText}
	e := &JSONEncoder{MaxChunkRows: 2, MaxChunkBytes: 1 << 20, Form: func(table string, c *schema.Column) (JSONForm, string) {
		if table != "t" {
			t.Errorf("asked for table %q", table)
		}
		return forms[c.Name], ""
	}}
	r := newRun("t", col(`a "b"`, schema.String), col("f", schema.Float), col("u", schema.Unknown), col("b", schema.Boolean),
		col("d", schema.Date), col("m", schema.Time), col("at", schema.DateTime), col("v", schema.String), col("x", schema.String),
		col("y", schema.String), col("z", schema.DateTime), col("n", schema.Integer), col("w", schema.Date), col("k", schema.String))
	r.add(schema.Upsert, -1, "\\N\t\"ü\"\r\n\x00\x7f", 1e-7, nil, 1, -208188, 86399_123_456, -1, `{"p":[1,null]}`, "00ff", "AAH/", 1_700_000_000_123_000, 42, 0, "t").
		add(schema.Upsert, 2, "", 1e21, nil, 0, 2932896, 0, 1_700_000_000_000_000, "null", "", "").
		add(schema.Upsert, 3).
		add(schema.Delete, 6)
	chunks, err := encodeJSON(t, e, r)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`[{"insert":{"id":-1,"a \"b\"":"\\N\t\"ü\"\u000d\n\u0000` + "\x7f" + `","f":1e-07,"u":null,"b":true,"d":"1400-01-01","m":"23:59:59.123456","at":"1969-12-31 23:59:59.999999",` +
			`"v":{"p":[1,null]},"x":[0,255],"y":[0,1,255],"z":"2023-11-14T22:13:20.123000Z","n":"42","w":"1970-01-01","k":"t"}},` +
			`{"insert":{"id":2,"a \"b\"":"","f":1e+21,"u":null,"b":false,"d":"9999-12-31","m":"00:00:00","at":"2023-11-14 22:13:20",` +
			`"v":null,"x":[],"y":[],"z":null,"n":null,"w":null,"k":null}}]`,
		`[{"insert":{"id":3,"a \"b\"":null,"f":null,"u":null,"b":null,"d":null,"m":null,"at":null,"v":null,"x":null,"y":null,"z":null,"n":null,"w":null,"k":null}}]`,
		`[{"delete":{"id":6}}]`,
	}
	for i, c := range chunks {
		if i >= len(want) || string(c.Data) != want[i] {
			t.Errorf("file %d of %d rows:\n%s", i, c.Rows, c.Data)
		}
	}
	if len(chunks) != len(want) {
		t.Errorf("%d files, want %d", len(chunks), len(want))
	}
}

// TestJSONUnfit: what the target cannot be told is an error that names the records of all
// such rows, and never another value.
func TestJSONUnfit(t *testing.T) {
	for _, tc := range []struct {
		kind  schema.Kind
		form  JSONForm
		value any
		want  string
	}{
		{schema.Float, JSONPlain, math.NaN(), "SLUICE_OUT_OF_RANGE"},
		{schema.Float, JSONText, math.Inf(-1), "SLUICE_OUT_OF_RANGE"},
		{schema.String, JSONInline, `{"a":`, "not JSON"},
		{schema.String, JSONInline, ``, "not JSON"},
		{schema.String, JSONHex, `0g`, "SLUICE_BINARY"},
		{schema.String, JSONBase64, `!`, "SLUICE_BINARY"},
		{schema.Integer, JSONDouble, 1<<53 + 1, "would be rounded"},
		{schema.Integer, JSONDouble, math.MaxInt64, "would be rounded"},
		{schema.Integer, JSONReal, 1<<24 + 1, "would be rounded"},
		{schema.Float, JSONReal, math.MaxFloat64, "would be rounded"},
		{schema.Float, JSONReal, math.Pi, "would be rounded"},
	} {
		e := &JSONEncoder{MaxChunkBytes: 1, Form: func(string, *schema.Column) (JSONForm, string) { return tc.form, "SOME TYPE" }}
		r := newRun("t", col("c", tc.kind)).add(schema.Upsert, 1).add(schema.Upsert, 2, tc.value).add(schema.Upsert, 3).add(schema.Upsert, 4, tc.value)
		r.Offsets, r.Source = []int64{10, 20, 30, 40}, 7
		_, err := encodeJSON(t, e, r)
		var unfit *Unfit
		if !errors.As(err, &unfit) || len(unfit.Rows) != 2 {
			t.Fatalf("%v: %v", tc.value, err)
		}
		for i, row := range unfit.Rows {
			if row.Record != (schema.Record{Offset: 20 + 20*int64(i), Source: 7}) || row.Column != "c" || !strings.Contains(row.Reason, tc.want) || !strings.HasSuffix(row.Reason, "cannot be sent as SOME TYPE") {
				t.Errorf("%v: %+v", tc.value, row)
			}
		}
	}
	r := newRun("t", col("c", schema.String))
	for i := range int64(maxUnfit + 1) {
		r.add(schema.Upsert, i, "[")
	}
	_, err := encodeJSON(t, &JSONEncoder{MaxChunkBytes: 1, Form: func(_ string, c *schema.Column) (JSONForm, string) { return JSONInline, "" }}, r)
	var unfit *Unfit
	if !errors.As(err, &unfit) || len(unfit.Rows) != maxUnfit || !strings.HasSuffix(unfit.Rows[0].Reason, "as JSON") {
		t.Errorf("%d rows of a batch that has no other ones: %v", len(unfit.Rows), err)
	}
}

// TestJSONRoundTrip: package encoding/json and time read back what was put in, and files
// keep their limits.
func TestJSONRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := newRun("t", col("s", schema.String), col("f", schema.Float), col("at", schema.DateTime))
		type row struct {
			s  string
			f  float64
			at int64
		}
		want := map[int64]row{}
		n := rapid.IntRange(1, 30).Draw(t, "rows")
		for i := range n {
			v := row{rapid.String().Draw(t, "s"), rapid.Float64().Draw(t, "f"), rapid.Int64Range(-17987443200e6, 253402300799999999).Draw(t, "at")}
			if math.IsNaN(v.f) || math.IsInf(v.f, 0) {
				v.f = 0
			}
			want[int64(i)] = v
			r.add(schema.Upsert, int64(i), v.s, v.f, int(v.at))
		}
		e := &JSONEncoder{MaxChunkRows: rapid.IntRange(0, 9).Draw(t, "max rows"), MaxChunkBytes: rapid.IntRange(0, 2000).Draw(t, "max bytes")}
		chunks, err := encodeJSON(t, e, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range chunks {
			var events []struct {
				Insert struct {
					ID int64
					S  string
					F  float64
					At string
				}
			}
			if err := json.Unmarshal(c.Data, &events); err != nil {
				t.Fatalf("%v: %s", err, c.Data)
			}
			if len(events) != c.Rows || e.MaxChunkRows > 0 && c.Rows > e.MaxChunkRows || len(c.Data) > e.MaxChunkBytes && c.Rows > 1 {
				t.Fatalf("%d events, %d rows, %d bytes", len(events), c.Rows, len(c.Data))
			}
			for _, ev := range events {
				at, err := time.Parse("2006-01-02 15:04:05", ev.Insert.At)
				if got := (row{ev.Insert.S, ev.Insert.F, at.UnixMicro()}); err != nil || got != want[ev.Insert.ID] {
					t.Fatalf("%+v, want %+v, %v", got, want[ev.Insert.ID], err)
				}
				delete(want, ev.Insert.ID)
			}
		}
		if len(want) > 0 {
			t.Fatalf("%d rows are in no file", len(want))
		}
	})
}

// TestJSONRecords: each row of a file names the record that it came from, the last of its
// key, of whatever partition, also after the batch has let go of rows that were replaced.
func TestJSONRecords(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	b := New(anyPolicy)
	want := map[int64]schema.Record{}
	var batch *Batch
	var offsets [3]int64
	for range 400 {
		r := newRun("t", col("s", schema.String))
		r.Source = dice.Uint32N(3)
		for i := range 1 + dice.IntN(60) {
			id := int64(r.Source)*1000 + dice.Int64N(300)
			r.add(schema.Op(dice.IntN(2)), id, "x")
			offsets[r.Source] += 1 + dice.Int64N(3)
			r.Offsets[i] = offsets[r.Source]
			want[id] = schema.Record{Offset: offsets[r.Source], Source: r.Source}
		}
		var err error
		if batch, err = b.Add(epoch, r.Rows, 0); err != nil {
			t.Fatal(err)
		}
	}
	if batch.rows.Len() == batch.Read {
		t.Fatal("nothing was let go of")
	}
	b.Seal(batch)
	chunks, err := (&JSONEncoder{MaxChunkRows: 70, MaxChunkBytes: 1500}).Encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range chunks {
		var events []map[string]struct{ ID int64 }
		if err := json.Unmarshal(c.Data, &events); err != nil || len(events) != c.Rows || len(c.Records) != c.Rows {
			t.Fatalf("%d events, %d rows, %d records: %v", len(events), c.Rows, len(c.Records), err)
		}
		for i, e := range events {
			for _, row := range e {
				if c.Records[i] != want[row.ID] {
					t.Fatalf("row %d comes from %+v, want %+v", row.ID, c.Records[i], want[row.ID])
				}
				delete(want, row.ID)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("%d rows are in no file", len(want))
	}
}

// TestJSONAllocations: nothing is allocated for a value or a row. (Not of JSONInline: the pool
// that encoding/json has is emptied at random under the race detector.)
func TestJSONAllocations(t *testing.T) {
	forms := map[string]JSONForm{"t": JSONText, "z": JSONZoned, "b": JSONBase64, "h": JSONHex, "n": JSONDouble, "r": JSONReal}
	r := newRun("t", col("s", schema.String), col("f", schema.Float), col("d", schema.Date), col("m", schema.Time), col("at", schema.DateTime),
		col("t", schema.DateTime), col("z", schema.DateTime), col("b", schema.String), col("h", schema.String),
		col("n", schema.Integer), col("r", schema.Float))
	const rows = 10_000
	for i := range rows {
		r.add(schema.Upsert, int64(i), fmt.Sprint(`text "`, i), float64(i)/7, i, i, i, i, i, "AAECAwQFBgc=", "0001020304050607", i, float64(float32(i)/7))
	}
	b := New(anyPolicy)
	batch, err := b.Add(epoch, r.Rows, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Seal(batch)
	e := &JSONEncoder{MaxChunkBytes: 1 << 26, Form: func(_ string, c *schema.Column) (JSONForm, string) { return forms[c.Name], "" }}
	got := testing.AllocsPerRun(3, func() {
		if _, err := e.Encode(batch); err != nil {
			t.Fatal(err)
		}
	})
	if got > 200 { // the buffer and the list of records grow some times
		t.Errorf("%.0f allocations for %d rows", got, rows)
	}
}
