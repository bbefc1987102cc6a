package connector

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema"
)

// putTyped writes a row under a schema of an id and one more column.
func (w *world) putTyped(id int64, fields, row string) {
	all := `{"type":"int64","field":"id"}` + fields
	w.produce("shop.public.a", int32(id%2), fmt.Sprintf(`{"id":%d}`, id),
		`{"schema":{"type":"struct","name":"shop.public.a.Envelope","fields":[{"type":"struct","field":"before","optional":true,"fields":[`+all+`]},{"type":"struct","field":"after","optional":true,"fields":[`+all+`]}]},`+
			fmt.Sprintf(`"payload":{"before":null,"after":{"id":%d%s},"source":{"db":"shop","schema":"public","table":"a"},"op":"c"}}`, id, row))
}

// TestEvolution: columns that are added and widened arrive, whichever partition tells it
// first; one whose type changes altogether holds the table or becomes STRING, as is said.
func TestEvolution(t *testing.T) {
	t.Parallel()
	v := func(typ, name string) string {
		if name != "" {
			name = `,"name":"` + name + `"`
		}
		return `,{"type":"` + typ + `","field":"v","optional":true` + name + `}`
	}
	const date = "io.debezium.time.Date"
	type row struct{ fields, row string }
	for _, tc := range []struct {
		name  string
		rows  []row // of ids 0, 1, …
		loose bool
		want  string
		says  string // the status, or the hold
	}{
		{"added", []row{{"", ""}, {v("int32", ""), `,"v":5`}, {"", ""}}, false, "[0:<nil> 1:5 2:<nil>]", "v: added as INTEGER"},
		{"widened", []row{{v("int32", ""), `,"v":5`}, {v("double", ""), `,"v":5.5`}, {v("int32", ""), `,"v":6`}}, false, "[0:5 1:5.5 2:6]", "v: INTEGER became FLOAT"},
		{"dropped", []row{{v("int32", ""), `,"v":5`}, {"", ""}, {v("int32", ""), `,"v":6`}}, false, "[0:5 1:<nil> 2:6]", ""},
		{"flipped, a number first", []row{{v("int16", ""), `,"v":1`}, {v("boolean", ""), `,"v":true`}, {v("int16", ""), `,"v":2`}}, false, "[0:1 1:1 2:2]", ""},
		{"flipped, a boolean first", []row{{v("boolean", ""), `,"v":true`}, {v("int16", ""), `,"v":0`}, {v("int16", ""), `,"v":null`}}, false, "[0:true 1:false 2:<nil>]", ""},
		{"flipped, held", []row{{v("boolean", ""), `,"v":true`}, {v("int16", ""), `,"v":2`}}, false, "[0:true]", "TinyIntOneToBooleanConverter"},
		{"changed, held", []row{{v("int32", ""), `,"v":5`}, {v("int32", date), `,"v":19700`}}, false, "[0:5]", "its type changed from INTEGER to DATE"},
		{"changed, to text", []row{{v("int32", ""), `,"v":5`}, {v("int32", date), `,"v":19700`}, {v("boolean", ""), `,"v":true`}}, true, "[0:5 1:2023-12-09 2:true]", "v: INTEGER became STRING"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			opt := w.options("shop.public.a")
			policy := opt.Policy("")
			policy.Loose = tc.loose
			opt.Policy = func(string) batcher.Policy { return policy }
			c, _ := w.run(opt)
			said := func() (all string) {
				for _, table := range c.Status().Tables {
					for _, change := range table.Changes {
						all += change.Column + ": " + change.Change + "\n"
					}
				}
				for _, h := range c.Status().Holds {
					all += h.Reason + h.Remedy + "\n"
				}
				return all
			}
			for id, r := range tc.rows {
				w.putTyped(int64(id), r.fields, r.row)
				w.eventually(fmt.Sprint("row ", id), func() bool { return w.lag("shop.public.a") == 0 || len(c.Status().Holds) > 0 })
			}
			rows := map[int64]any{}
			for _, r := range w.emu.Snapshot("public_a").Rows {
				rows[r[0].(int64)] = nil
				if len(r) > 1 {
					rows[r[0].(int64)] = r[1]
				}
			}
			if got := strings.TrimPrefix(fmt.Sprint(rows), "map"); got != tc.want {
				t.Errorf("the table is %s, want %s", got, tc.want)
			}
			w.eventually("the status to say "+tc.says, func() bool { return strings.Contains(said(), tc.says) && (tc.says != "" || said() == "") })
		})
	}
}

// TestColumnLeaves: a column that the rows had once stays in the files, and the status says
// what a restart would forget.
func TestColumnLeaves(t *testing.T) {
	t.Parallel()
	const a, b = `,{"type":"int32","optional":true,"field":"a"}`, `,{"type":"int32","optional":true,"field":"b"}`
	for name, typed := range map[string]bool{"plain JSON": false, "JSON with schema": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			c, _ := w.run(w.options("shop.public.a"))
			for id, rest := range []string{`,"a":1,"b":2`, `,"a":1,"b":2`, `,"b":3`, `,"b":4`, `,"b":null`} {
				switch {
				case !typed:
					w.produce("shop.public.a", int32(id%2), fmt.Sprintf(`{"id":%d}`, id),
						fmt.Sprintf(`{"before":null,"after":{"id":%d%s},"source":{"db":"shop","schema":"public","table":"a"},"op":"c"}`, id, rest))
				case id < 2:
					w.putTyped(int64(id), a+b, rest)
				default:
					w.putTyped(int64(id), b, rest)
				}
			}
			w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
			var said []string
			w.eventually("the status to say it", func() bool {
				said = nil
				for _, table := range c.Status().Tables {
					for _, change := range table.Changes {
						said = append(said, change.Column+": "+change.Change)
					}
				}
				return len(said) > 0
			})
			if len(said) != 1 || !strings.HasPrefix(said[0], "a: left the rows") || !strings.Contains(said[0], "tables.public_a.types") {
				t.Errorf("the status says %q", said)
			}
		})
	}
}

// TestDroppedColumnAfterRestart: what a schema had before the rows that are read again is
// not known any longer. Where files that lack it are refused or leave it as it was, the tables
// file brings it back.
func TestDroppedColumnAfterRestart(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		types map[string]schema.Kind
		want  string
	}{
		{"no types", nil, "[0 5] and 1 tables held"},
		{"types", map[string]schema.Kind{"v": schema.Integer}, "[0 <nil>] and 0 tables held"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{WholeFiles: true}, "shop.public.a")
			opt := w.options("shop.public.a")
			var err error
			if opt.Pusher.Sink, err = celonis.New(celonis.Options{URL: "https://emulator", PoolID: "pool", Auth: celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return "k", nil }},
				MultipartField: "file", MultipartFilename: "chunk.parquet", TableSchema: true, UpsertStrategy: "UPSERT_WITH_UNCHANGED_METADATA", FallbackLength: 16250,
				RequestsPerSecond: 10_000, RequestTimeout: 10 * time.Second, Budget: opt.Pusher.Budget}, w.transport); err != nil {
				t.Fatal(err)
			}
			opt.Decoder.Types = func(_, source string) schema.Kind { return tc.types[source] }
			opt.Decoder.Columns = func(string) []string { return slices.Collect(maps.Keys(tc.types)) }
			_, stop := w.run(opt)
			w.putTyped(0, `,{"type":"int32","optional":true,"field":"v"}`, `,"v":5`)
			for id := int64(2); id < 100; id += 2 { // all of one partition, and more than are read again
				w.putTyped(id, "", "")
			}
			w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
			stop()
			c, _ := w.run(opt)
			w.putTyped(0, "", "")
			w.eventually("an end", func() bool { return len(c.Status().Holds) > 0 || w.lag("shop.public.a") == 0 })
			for _, r := range w.emu.Snapshot("public_a").Rows {
				if got := fmt.Sprintf("%v and %d tables held", r, len(c.Status().Holds)); r[0] == int64(0) && got != tc.want {
					t.Errorf("%s, want %s: %+v", got, tc.want, c.Status().Holds)
				}
			}
		})
	}
}

// TestRollingUpgrade: while some writers have the table's new Avro schema and some still the
// old one, rows of both arrive whole, in whatever order they come, and again after a restart.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	a, opt := newAvroWorld(t, "shop.public.a")
	// Version 2 widens n and lets it be NULL, adds s, and drops o.
	envelope := func(fields string) string {
		return strings.Replace(avroEnvelope, `{"name":"v","type":"string"}`, fields, 1)
	}
	texts := map[int]string{
		3: envelope(`{"name":"n","type":"int"},{"name":"o","type":"string"}`),
		4: envelope(`{"name":"s","type":["null","string"],"default":null},{"name":"n","type":["double","null"],"default":0}`),
	}
	codecs := map[int]*goavro.Codec{}
	for id, text := range texts {
		a.fake.SeedSchema("v", id, id, sr.Schema{Schema: text})
		var err error
		if codecs[id], err = goavro.NewCodec(text); err != nil {
			t.Fatal(err)
		}
	}
	want := map[int64]string{}
	put := func(schemaID int, id int64) {
		row := map[string]any{"id": id}
		switch {
		case schemaID == 3:
			row["n"], row["o"] = int32(id), "old"
			want[id] = fmt.Sprintf("n:%d o:old s:<nil>", id)
		case id%2 == 0:
			row["n"], row["s"] = goavro.Union("double", float64(id)+0.5), goavro.Union("string", "new")
			want[id] = fmt.Sprintf("n:%d.5 o:<nil> s:new", id)
		default:
			row["n"], row["s"] = nil, nil
			want[id] = "n:<nil> o:<nil> s:<nil>"
		}
		key, err := a.key.BinaryFromNative(nil, map[string]any{"id": id})
		if err != nil {
			t.Fatal(err)
		}
		value, err := codecs[schemaID].BinaryFromNative(nil, map[string]any{"before": nil, "op": "c", "after": goavro.Union("shop.public.a.Value", row),
			"source": map[string]any{"ts_ms": int64(1), "db": "shop", "schema": "public", "table": "a"}})
		if err != nil {
			t.Fatal(err)
		}
		a.produce("shop.public.a", int32(id/3%2), framed(1, key), framed(uint32(schemaID), value))
	}
	for _, ids := range [][2]int64{{1, 9}, {9, 30}, {30, 40}} {
		for id := ids[0]; id < ids[1]; id++ {
			schemaID := 3
			if id > 8 && id*7%5 < 3 { // both, mixed
				schemaID = 4
			}
			put(schemaID, id)
		}
		_, stop := a.run(opt)
		a.eventually("lag zero", func() bool { return a.lag("shop.public.a") == 0 })
		stop()
	}
	table := a.emu.Snapshot("public_a")
	got := map[int64]string{}
	for _, row := range table.Rows {
		cells := map[string]any{"n": nil, "o": nil, "s": nil}
		for i, c := range table.Columns {
			if i < len(row) {
				cells[c.Name] = row[i]
			}
		}
		id := cells["id"].(int64)
		delete(cells, "id")
		got[id] = strings.Trim(fmt.Sprint(cells), "map[]")
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the table is\n%v\nwant\n%v", got, want)
	}
}
