package debezium

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// The records in testdata were written by real Debezium connectors; TestRecord of
// deploy/e2e makes them, see testdata/README.md.
var (
	recordedDir = flag.String("recorded", "testdata", "folder of recorded events")
	update      = flag.Bool("update", false, "write the .changes files anew")
)

type recorded struct {
	Topic                  string
	Partition              int32
	Offset                 int64
	Headers                [][2]string
	KeySchema, ValueSchema uint64 // of JSON with schema, else 0
	Key, Value             *string
	KeyAvro, ValueAvro     []byte
}

// whole returns a key or value as it was in Kafka.
func whole(schemas map[uint64]string, id uint64, text *string, raw []byte) []byte {
	switch {
	case text == nil:
		return raw
	case id == 0:
		return []byte(*text)
	}
	return fmt.Appendf(nil, `{"schema":%s,"payload":%s}`, schemas[id], *text)
}

func linesOf[T any](t *testing.T, path string) (all []T) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var one T
		if err := json.Unmarshal(s.Bytes(), &one); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, one)
	}
	if s.Err() != nil {
		t.Fatal(s.Err())
	}
	return all
}

// TestRecorded replays what Debezium wrote. Folded by key, the changes must make the
// tables that the database itself held in the end; and each change on the way must be
// the one that was checked in.
func TestRecorded(t *testing.T) {
	answers, err := filepath.Glob(filepath.Join(*recordedDir, "*.tables.jsonl"))
	if err != nil || len(answers) == 0 {
		t.Fatalf("no recordings in %s: %v", *recordedDir, err)
	}
	for _, path := range answers {
		base := strings.TrimSuffix(path, ".tables.jsonl")
		t.Run(filepath.Base(base), func(t *testing.T) { replay(t, base) })
	}
}

func replay(t *testing.T, base string) {
	opt := Options{Table: func(id Identity) string { return id.Table }, Decimals: DecimalsText, OutOfRange: RangeNull,
		Truncate: func(string) Truncate { return TruncateReplace }}
	schemas, types := map[uint64]string{}, map[uint64]*avro.Type{}
	opt.Schema = avroSchemas(types)
	if _, err := os.Stat(base + ".schemas.jsonl"); err == nil {
		for _, s := range linesOf[struct {
			ID     uint64
			Schema string
		}](t, base+".schemas.jsonl") {
			schemas[s.ID] = s.Schema
			if typ, err := avro.Parse(s.Schema); err == nil { // those of JSON are none
				types[s.ID] = typ
			}
		}
	}
	decoders := map[string]*Decoder{}
	var changes strings.Builder
	all := target{}
	ops := map[schema.Op]int{}
	for _, rec := range linesOf[recorded](t, base+".jsonl") {
		id := fmt.Sprintf("%s/%d", rec.Topic, rec.Partition)
		d := decoders[id]
		if d == nil {
			d = NewDecoder(rec.Topic, opt)
			decoders[id] = d
		}
		in := Record{Partition: rec.Partition, Offset: rec.Offset, Key: whole(schemas, rec.KeySchema, rec.Key, rec.KeyAvro), Value: whole(schemas, rec.ValueSchema, rec.Value, rec.ValueAvro)}
		for _, h := range rec.Headers {
			in.Headers = append(in.Headers, Header{h[0], []byte(h[1])})
		}
		class, err := d.Decode(in)
		if err != nil {
			t.Fatalf("%s at %d: %v", id, rec.Offset, err)
		}
		runs := d.Take(nil)
		fmt.Fprintf(&changes, "%s %d: %v\n%s", id, rec.Offset, class, text(runs))
		for _, rows := range runs {
			for i := range rows.Len() {
				ops[rows.Ops[i]]++
				all.fold(rows, i)
			}
		}
	}
	if ops[schema.Upsert] == 0 || ops[schema.Delete] == 0 {
		t.Errorf("the records have %v", ops)
	}
	for _, want := range linesOf[struct {
		Table   string
		Keys    int
		Columns []string
		Rows    [][]*string
	}](t, base+".tables.jsonl") {
		table := all[want.Table]
		if table == nil {
			t.Errorf("%s has no rows", want.Table)
			continue
		}
		got := table.rows
		if len(want.Rows) == 0 || len(got) != len(want.Rows) {
			t.Errorf("%s has %d rows, the database has %d", want.Table, len(got), len(want.Rows))
		}
		for _, row := range want.Rows {
			var key []string
			for _, cell := range row[:want.Keys] {
				key = append(key, *cell)
			}
			have, ok := got[strings.Join(key, "/")]
			if !ok {
				t.Errorf("%s %s is missing", want.Table, key)
				continue
			}
			for i, cell := range row {
				value, present := have[want.Columns[i]]
				if present != (cell != nil) || present && value != *cell && !(table.floats[want.Columns[i]] && sameFloat(value, *cell)) {
					t.Errorf("%s %s, %s: %q (%v), the database has %v", want.Table, key, want.Columns[i], value, present, show(cell))
				}
			}
		}
	}
	golden := base + ".changes"
	if *update {
		if err := os.WriteFile(golden, []byte(changes.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(golden); err == nil {
		if changes.String() != string(want) {
			t.Errorf("the changes differ from %s; look at what differs, then write it anew with -update", golden)
		}
	} else if *recordedDir == "testdata" {
		t.Error(err)
	}
}

// target is the tables that a target would hold: by key, then by column, as texts; what is
// NULL is not there.
type target map[string]*folded

type folded struct {
	rows   map[string]map[string]string
	gone   map[string]string // the row deleted last
	floats map[string]bool   // the columns that are FLOAT
}

// fold applies row i as a target would. A value that was not sent stays what it was, in
// the row that the key change before took away if need be.
func (all target) fold(rows *schema.Rows, i int) {
	table := all[rows.Table]
	if table == nil || rows.Ops[i] == schema.Truncate {
		table = &folded{rows: map[string]map[string]string{}, floats: map[string]bool{}}
		all[rows.Table] = table
	}
	cells := map[string]string{}
	var key []string
	for c, col := range rows.Columns {
		table.floats[col.Name] = col.Type.Kind == schema.Float
		if v := &rows.Values[c]; v.States[i] == schema.Present {
			cells[col.Name] = cellText(v, i)
			if col.Key {
				key = append(key, cells[col.Name])
			}
		}
	}
	k := strings.Join(key, "/")
	before := table.rows[k]
	switch rows.Ops[i] {
	case schema.Delete:
		table.gone = before
		delete(table.rows, k)
	case schema.Upsert:
		if len(rows.Moves) > 0 {
			before = table.gone
		}
		for c, col := range rows.Columns {
			if value, ok := before[col.Name]; ok && rows.Values[c].States[i] == schema.Unavailable {
				cells[col.Name] = value
			}
		}
		table.rows[k] = cells
	}
}

// cellText is a value as the target shows it; files have times in milliseconds.
func cellText(v *schema.Values, i int) string {
	switch v.Kind {
	case schema.String:
		return string(v.Bytes(i))
	case schema.Time:
		return time.UnixMicro(v.Nums[i]).UTC().Format("15:04:05.000")
	case schema.DateTime:
		return time.UnixMicro(v.Nums[i]).UTC().Format("2006-01-02T15:04:05.000000")
	}
	return cell(v, i)
}

// sameFloat compares the texts of two doubles.
func sameFloat(got, want string) bool {
	f, err := strconv.ParseFloat(got, 64)
	g, err2 := strconv.ParseFloat(want, 64)
	return err == nil && err2 == nil && f == g
}

func show(cell *string) string {
	if cell == nil {
		return "NULL"
	}
	return strconv.Quote(*cell)
}
