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
	Topic              string
	Partition          int32
	Offset             int64
	Key, Value         *string
	KeyAvro, ValueAvro []byte
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

func either(text *string, raw []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return raw
}

// TestRecorded replays what Debezium wrote. Folded by key, the changes must make the
// tables that the database itself held in the end; and each change on the way must be
// the one that was checked in.
func TestRecorded(t *testing.T) {
	for _, db := range []string{"postgres", "mariadb"} {
		for _, format := range []string{"json", "jsonschema", "avro"} {
			t.Run(db+"/"+format, func(t *testing.T) { replay(t, filepath.Join(*recordedDir, db+"-"+format), format == "avro") })
		}
	}
}

func replay(t *testing.T, base string, isAvro bool) {
	opt := Options{Table: func(id Identity) string { return id.Table }, Decimals: DecimalsText}
	if isAvro {
		types := map[uint64]*avro.Type{}
		for _, s := range linesOf[struct {
			ID     uint64
			Schema string
		}](t, base+".schemas.jsonl") {
			typ, err := avro.Parse(s.Schema)
			if err != nil {
				t.Fatalf("schema %d: %v", s.ID, err)
			}
			types[s.ID] = typ
		}
		opt.Schema = avroSchemas(types)
	}
	decoders := map[string]*Decoder{}
	var changes strings.Builder
	tables := map[string]map[string]map[string]string{} // table, key, column; what is NULL is not there
	ops := map[schema.Op]int{}
	for _, rec := range linesOf[recorded](t, base+".jsonl") {
		id := fmt.Sprintf("%s/%d", rec.Topic, rec.Partition)
		d := decoders[id]
		if d == nil {
			d = NewDecoder(rec.Topic, opt)
			decoders[id] = d
		}
		class, err := d.Decode(Record{Offset: rec.Offset, Key: either(rec.Key, rec.KeyAvro), Value: either(rec.Value, rec.ValueAvro)})
		if err != nil {
			t.Fatalf("%s at %d: %v", id, rec.Offset, err)
		}
		runs := d.Take(nil)
		fmt.Fprintf(&changes, "%s %d: %v\n%s", id, rec.Offset, class, text(runs))
		for _, rows := range runs {
			for i := range rows.Len() {
				ops[rows.Ops[i]]++
				fold(tables, rows, i)
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
		got := tables[want.Table]
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
				if present != (cell != nil) || present && !sameText(value, *cell) {
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

// fold applies row i as a target would.
func fold(tables map[string]map[string]map[string]string, rows *schema.Rows, i int) {
	table := tables[rows.Table]
	if table == nil {
		table = map[string]map[string]string{}
		tables[rows.Table] = table
	}
	cells := map[string]string{}
	var key []string
	for c, col := range rows.Columns {
		v := &rows.Values[c]
		if v.States[i] == schema.Null {
			continue
		}
		s := cell(v, i)
		if v.Kind == schema.String {
			s = string(v.Bytes(i))
		}
		cells[col.Name] = s
		if col.Key {
			key = append(key, s)
		}
	}
	k := strings.Join(key, "/")
	delete(table, k)
	if rows.Ops[i] == schema.Upsert {
		table[k] = cells
	}
}

// sameText compares a value with what the database printed: floats by value, and
// times without trailing zeros.
func sameText(got, want string) bool {
	if got == want {
		return true
	}
	if f, err := strconv.ParseFloat(got, 64); err == nil {
		g, err := strconv.ParseFloat(want, 64)
		return err == nil && f == g && strings.ContainsAny(got+want, ".eE")
	}
	clock := func(s string) string {
		if strings.Count(s, ":") != 2 || !strings.Contains(s, ".") {
			return s
		}
		return strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return clock(got) == clock(want)
}

func show(cell *string) string {
	if cell == nil {
		return "NULL"
	}
	return strconv.Quote(*cell)
}
