package connector

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
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
