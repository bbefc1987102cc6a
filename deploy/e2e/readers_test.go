//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema"
)

// reading is what an independent reader finds in a file.
type reading struct {
	Reader string
	Names  []string
	Types  []string
	Rows   [][]*string
}

// read has pyarrow and DuckDB read files, and returns two readings a file.
func read(t *testing.T, files ...[]byte) (all []reading) {
	t.Helper()
	dir := t.TempDir()
	args := []string{"readers.py"}
	for i, data := range files {
		path := filepath.Join(dir, fmt.Sprintf("%04d.parquet", i))
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, path)
	}
	out, err := exec.Command(filepath.Join(root(t), "lib", "python", "bin", "python"), args...).Output()
	if err != nil {
		t.Fatalf("readers.py: %v\n%s", err, err.(*exec.ExitError).Stderr)
	}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for d.More() {
		var r reading
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	if len(all) != 2*len(files) {
		t.Fatalf("%d readings of %d files", len(all), len(files))
	}
	return all
}

// readers folds the files that the target was sent, as each reader understands them,
// and compares the outcome with the database.
func readers(t *testing.T, p *pipeline) {
	t.Helper()
	for _, tb := range []table{customers, items} {
		var files [][]byte
		var kinds []string
		p.mu.Lock()
		for _, c := range p.chunks {
			if c.table == tb.name {
				files, kinds = append(files, c.data), append(kinds, c.kind)
			}
		}
		p.mu.Unlock()
		got := map[string]map[string][]string{"pyarrow": {}, "duckdb": {}}
		for i, r := range read(t, files...) {
			at := make([]int, len(tb.columns))
			for j, c := range tb.columns {
				at[j] = slices.Index(r.Names, c.name)
			}
			for _, row := range r.Rows {
				cells := make([]string, len(tb.columns))
				for j := range cells {
					cells[j] = null
					if at[j] >= 0 && row[at[j]] != nil {
						cells[j] = *row[at[j]]
					}
				}
				if kinds[i/2] == "DELETE" {
					delete(got[r.Reader], tb.key(cells))
				} else {
					got[r.Reader][tb.key(cells)] = cells
				}
			}
			if want := types(p, tb, r); kinds[i/2] != "DELETE" && want != "" && want != strings.Join(r.Types, " ") {
				t.Fatalf("%s finds the types\n%s, want\n%s", r.Reader, strings.Join(r.Types, " "), want)
			}
		}
		want := p.ask(tb)
		for reader, rows := range got {
			if diff := compare(tb, rows, want); len(diff) > 0 {
				t.Errorf("%d files read by %s:\n%s", len(files), reader, strings.Join(diff, "\n"))
			}
		}
		t.Logf("%d files of %s read by pyarrow and DuckDB: %d rows, as the database has them", len(files), tb.name, len(want))
	}
}

// types is what a reader must find in a file with the columns of customers under a
// schema; plain JSON has other ones.
func types(p *pipeline, tb table, r reading) string {
	if tb.name != "customers" || p.format == "json" {
		return ""
	}
	vip := map[string]string{"pyarrow": "bool", "duckdb": "BOOLEAN"}[r.Reader]
	if p.db == "mariadb" {
		vip = map[string]string{"pyarrow": "int64", "duckdb": "BIGINT"}[r.Reader]
	}
	if r.Reader == "pyarrow" {
		return "int64 string " + vip + " string double date32[day] timestamp[us, tz=UTC] timestamp[us, tz=UTC] string string string int64 time32[ms] string"
	}
	return "BIGINT VARCHAR " + vip + " VARCHAR DOUBLE DATE TIMESTAMP WITH TIME ZONE TIMESTAMP WITH TIME ZONE VARCHAR VARCHAR VARCHAR BIGINT TIME WITH TIME ZONE VARCHAR"
}

// TestReaders: a file of every type, extremes and NULLs, in every form that can be
// chosen, as pyarrow and DuckDB read it.
func TestReaders(t *testing.T) {
	instants := []int64{0, -1, 1_700_000_000_123_456, 253_402_300_799_999_999}
	days := []int64{0, -208_188, 2_932_896, 19_000}
	times := []int64{0, 86_399_999_000, 3_600_001_000, 1000}
	for _, form := range []struct {
		name, arrow, duck string
		e                 batcher.Encoder
		instant           func(int64) string
	}{
		{"millis, snappy", "timestamp[ms, tz=UTC]", "TIMESTAMP WITH TIME ZONE", batcher.Encoder{Compression: "snappy"}, func(us int64) string {
			return time.UnixMicro(us - ((us%1000)+1000)%1000).UTC().Format("2006-01-02T15:04:05.000000")
		}},
		{"micros, zstd, pages of version 2", "timestamp[us, tz=UTC]", "TIMESTAMP WITH TIME ZONE", batcher.Encoder{Compression: "zstd", Timestamps: batcher.Micros, PageVersion: 2}, func(us int64) string {
			return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000")
		}},
		{"INT96, uncompressed, with a dictionary", "timestamp[ns]", "TIMESTAMP", batcher.Encoder{Compression: "none", Timestamps: batcher.Int96, WithDictionary: true}, func(us int64) string {
			return time.UnixMicro(us).UTC().Format("2006-01-02T15:04:05.000000")
		}},
	} {
		t.Run(form.name, func(t *testing.T) {
			cols := []schema.Column{
				{Name: "id", Key: true, Type: schema.Type{Kind: schema.Integer}}, {Name: "s", Type: schema.Type{Kind: schema.String}},
				{Name: "f", Type: schema.Type{Kind: schema.Float}}, {Name: "b", Type: schema.Type{Kind: schema.Boolean}},
				{Name: "d", Type: schema.Type{Kind: schema.Date}}, {Name: "t", Type: schema.Type{Kind: schema.Time}},
				{Name: "at", Type: schema.Type{Kind: schema.DateTime}}, {Name: "dec", Type: schema.Type{Kind: schema.String, Precision: 38, Scale: 4}},
			}
			texts := []string{"", "Zoë 😀", "\x00\n\t", strings.Repeat("long ", 5000)}
			floats := []float64{0, -0.1, 1.7976931348623157e308, 5e-324}
			decimals := []string{"0.0000", "-0.0001", "9999999999999999999999999999999999.9999", "-12345.6789"}
			rows := new(schema.Rows)
			rows.Reset("t", cols)
			var want [][]string
			for i := range int64(1000) {
				v := rows.Values
				at := i % 5
				id := i
				if i < 2 {
					id = []int64{-9223372036854775808, 9223372036854775807}[i]
				}
				v[0].AppendNum(id)
				if at == 4 {
					for c := range v[1:] {
						v[c+1].AppendNull()
					}
					want = append(want, []string{fmt.Sprint(id), null, null, null, null, null, null, null})
				} else {
					instant := instants[at]
					if form.e.Timestamps == batcher.Int96 && at == 3 {
						instant = 4_102_444_800_000_001 // pyarrow's nanoseconds end in 2262
					}
					v[1].AppendString([]byte(texts[at]))
					v[2].AppendFloat(floats[at])
					v[3].AppendNum(i % 2)
					v[4].AppendNum(days[at])
					v[5].AppendNum(times[at])
					v[6].AppendNum(instant)
					v[7].AppendString([]byte(decimals[at]))
					want = append(want, []string{fmt.Sprint(id), texts[at], cellText(floats[at]), fmt.Sprint(i%2 == 1), time.Unix(days[at]*86400, 0).UTC().Format("2006-01-02"),
						time.UnixMicro(times[at]).UTC().Format("15:04:05.000"), form.instant(instant), decimals[at]})
				}
				rows.Ops, rows.Offsets = append(rows.Ops, schema.Upsert), append(rows.Offsets, i)
				rows.Keys = schema.AppendKey(rows.Keys, &v[0], int(i))
				rows.KeyEnds = append(rows.KeyEnds, uint32(len(rows.Keys)))
			}
			batch, err := batcher.New(func(string) batcher.Policy {
				return batcher.Policy{MaxRows: 1 << 30, MaxBytes: 1 << 40, MaxAge: time.Hour}
			}).Add(time.Now(), rows, 0)
			if err != nil {
				t.Fatal(err)
			}
			form.e.MaxChunkBytes, form.e.PageBytes, form.e.RowGroupRows = 64<<20, 64<<10, 300
			chunks, err := form.e.Encode(batch)
			if err != nil {
				t.Fatal(err)
			}
			tb := table{"t", 1, nil}
			for _, c := range cols {
				tb.columns = append(tb.columns, column{name: c.Name, float: c.Name == "f"})
			}
			for _, r := range read(t, chunks[0].Data) {
				wantTypes := "int64 string double bool date32[day] time32[ms] " + form.arrow + " decimal128(38, 4)"
				if r.Reader == "duckdb" {
					wantTypes = "BIGINT VARCHAR DOUBLE BOOLEAN DATE TIME WITH TIME ZONE " + form.duck + " DECIMAL(38,4)"
				}
				if got := strings.Join(r.Types, " "); got != wantTypes {
					t.Errorf("%s: types\n%s, want\n%s", r.Reader, got, wantTypes)
				}
				got, meant := map[string][]string{}, map[string][]string{}
				for i, row := range r.Rows {
					cells := make([]string, len(row))
					for j, cell := range row {
						if cells[j] = null; cell != nil {
							cells[j] = *cell
						}
					}
					got[fmt.Sprint(i)], meant[fmt.Sprint(i)] = cells, want[i]
				}
				if diff := compare(tb, got, meant); len(diff) > 0 || len(r.Rows) != 1000 {
					t.Errorf("%s: %d rows\n%s", r.Reader, len(r.Rows), strings.Join(diff, "\n"))
				}
			}
		})
	}
}
