package feldera_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// TestTables: a table that the pipeline would take in part, or twice, is refused with the
// remedy, before anything is sent.
func TestTables(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Create("shop", `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, "V" VARCHAR NOT NULL, d DECIMAL(10,2), ts TIMESTAMP, b VARBINARY, j VARIANT, u BIGINT UNSIGNED, iv INTERVAL DAY TO SECOND, l BIGINT ARRAY, def INT NOT NULL DEFAULT 5);
			CREATE TABLE "Ta" (a INT NOT NULL, b INT NOT NULL, PRIMARY KEY (a, b)); CREATE TABLE bag (a INT); CREATE TABLE heap (a INT);
			CREATE TABLE twins (id BIGINT NOT NULL PRIMARY KEY, "K" VARCHAR, "k" VARCHAR, m VARCHAR, "M" VARCHAR, s VARCHAR);
			CREATE TABLE log (id INT NOT NULL PRIMARY KEY, pos VARCHAR); CREATE TABLE posted (id INT NOT NULL, "Pos" VARCHAR NOT NULL, PRIMARY KEY (id, "Pos")); CREATE TABLE one (a INT NOT NULL PRIMARY KEY);`)
		r.emu.Start("shop")
		r.restart(t, func(o *feldera.Options) {
			o.Append = func(table string) bool { return slices.Contains([]string{"bag", "log", "posted", "one"}, table) }
			o.Position = func(table string) string { return map[string]string{"log": "pos", "posted": "Pos"}[table] }
		})
		col := func(name string, k schema.Kind, key bool) schema.Column {
			return schema.Column{Name: name, Type: schema.Type{Kind: k}, Key: key}
		}
		decimal := func(name string, precision, scale int) schema.Column {
			return schema.Column{Name: name, Type: schema.Type{Kind: schema.String, Precision: precision, Scale: scale}}
		}
		id, v := col("ID", schema.Integer, true), col("V", schema.String, false)
		for _, tc := range []struct {
			table   string
			columns []schema.Column
			want    string // "": it is taken
		}{
			{"t", []schema.Column{id, v}, ""},
			{"t", []schema.Column{id, v, decimal("d", 10, 2), col("ts", schema.DateTime, false), col("J", schema.Float, false)}, ""},
			{"t", []schema.Column{id, col("v", schema.String, false)}, "column v is not in the pipeline"},
			{"t", []schema.Column{id}, "column V of the pipeline is NOT NULL"},
			{"t", []schema.Column{id, col("V", schema.Unknown, false)}, ""}, // so far each row has NULL there, and is refused for it
			{"t", []schema.Column{id, v, col("x", schema.Integer, false)}, "column x is not in the pipeline, which would drop its values in silence (add it to the pipeline's program, or leave it out with tables.t.excludeColumns"},
			{"t", []schema.Column{id, v, col("x", schema.Unknown, false)}, ""}, // nothing but NULL would be dropped
			{"t", []schema.Column{col("id", schema.Integer, false), v}, "its key is ()"},
			{"t", []schema.Column{id, v, col("d", schema.String, false)}, "column d is STRING here and DECIMAL(10, 2) in the pipeline"},
			{"t", []schema.Column{id, v, decimal("d", 10, 4)}, "column d is DECIMAL(10, 4) here and DECIMAL(10, 2) in the pipeline"}, // which would cut two digits
			{"t", []schema.Column{id, v, col("d", schema.Float, false)}, "column d is FLOAT here"},
			{"t", []schema.Column{id, v, decimal("d", 38, 1), decimal("u", 20, 0)}, ""}, // of too many digits the pipeline says so
			{"t", []schema.Column{id, v, decimal("u", 20, 1)}, "column u is DECIMAL(20, 1) here and UBIGINT"},
			{"t", []schema.Column{id, v, col("iv", schema.String, false)}, "column iv is STRING here and INTERVAL"},
			{"t", []schema.Column{id, v, col("l", schema.Integer, false)}, "column l is INTEGER here and BIGINT ARRAY"},
			{"t", []schema.Column{id, v, col("ts", schema.Integer, false)}, "column ts is INTEGER"},
			{"Ta", []schema.Column{col("b", schema.Integer, true), col("a", schema.Integer, true)}, ""},
			{"Ta", []schema.Column{col("b", schema.Integer, false), col("a", schema.Integer, true)}, "(a), and PRIMARY KEY in the pipeline is (a, b)"},
			{"ta", nil, "no such table"},
			{"bag", []schema.Column{col("a", schema.Integer, false)}, ""},
			{"log", []schema.Column{col("id", schema.Integer, false), col("pos", schema.String, false)}, "its rows are only ever added, and those with the same PRIMARY KEY (id) would replace each other in the pipeline (leave PRIMARY KEY out of the pipeline's program, or add the column of kafka_position to it, which no two rows share: tables.log.metadataColumns in the tables file)"},
			{"one", []schema.Column{col("a", schema.Integer, false)}, "those with the same PRIMARY KEY (a) would replace each other"},
			{"posted", []schema.Column{col("id", schema.Integer, false), col("Pos", schema.String, false)}, ""},
			{"heap", []schema.Column{col("a", schema.Integer, false)}, "it has no key, neither here nor in the pipeline (a row that is sent again would stand there twice: declare PRIMARY KEY in the pipeline's program and set tables.heap.keys in the tables file; or set tables.heap.append: true there"},
			{"heap", []schema.Column{col("a", schema.Integer, true)}, "its key is (a), and PRIMARY KEY in the pipeline is ()"},
			{"nowhere", nil, "no such table"},
			{"T", []schema.Column{id, v}, "table T: it and table t are both table t of the pipeline (declare both there, the names in quotes, or give one of them another name by SLUICE_TARGET_TABLE or tables.<table>.from in the tables file; if they are meant to be one, name both in from, with merge: true)"},
			{"t", []schema.Column{id, v, col("J", schema.String, false), col("j", schema.String, false)}, `table t: columns "J" and "j" are one to the pipeline, which ignores case (give one of them another name under tables.t.columns in the tables file, or leave it out with tables.t.excludeColumns)`},
			{"t", []schema.Column{id, v, col("J", schema.String, false), col("j", schema.Unknown, false)}, `"J" and "j" are one`}, // its NULLs are sent as well
			{"twins", []schema.Column{id, col("K", schema.String, false)}, `columns "K" and "k" of the pipeline are one to it when it reads a row, for it ignores case (give one of them another name in the pipeline's program)`},
			{"twins", []schema.Column{id, col("M", schema.String, false)}, `columns "m" and "M" of the pipeline are one`},
			{"twins", []schema.Column{id, col("s", schema.String, false)}, ""},                                          // neither is sent
			{"twins", []schema.Column{id, col("\u017f", schema.String, false)}, "column \u017f is not in the pipeline"}, // a long s, whose lower case is itself
		} {
			_, err := r.sink.Prepare(t.Context(), &push.Job{Table: &schema.Table{Name: tc.table, Columns: tc.columns}})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s %v: %v", tc.table, tc.columns, err)
			case tc.want != "" && (err == nil || push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s %v: %v, want %s", tc.table, tc.columns, err, tc.want)
			}
		}
	})
}

// TestTwoTablesOfOne: two tables that the pipeline has as one do not mix their rows there; with a
// program that has both, whichever came first, they are two.
func TestTwoTablesOfOne(t *testing.T) {
	for first, second := range map[string]string{"t": "T", "T": "t"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, pipeline.Options{Enterprise: true}, nil)
			deliver := func(table, v string) error {
				return r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable(table), chunks(map[int64]string{1: v}, nil)))
			}
			if err := deliver(first, "a"); err != nil {
				t.Fatal(err)
			}
			if err := deliver(second, "b"); push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), "table "+second+": it and table "+first+" are both table t") {
				t.Errorf("it ends with %v", err)
			}
			if err := deliver(first, "c"); err != nil || r.rows("t")[1] != "c" {
				t.Errorf("the first one: %v, it has %v", err, r.rows("t"))
			}
			r.emu.Stop("shop", false)
			r.put(t, program+`CREATE TABLE "T" (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR);`)
			r.emu.Start("shop")
			for _, table := range []string{second, first} {
				if err := deliver(table, "of "+table); err != nil || r.rows(table)[1] != "of "+table {
					t.Errorf("a program that has both: table %s: %v, it has %v", table, err, r.rows(table))
				}
			}
		})
	}
}

// TestOtherProgram: rows that were written for a column of one type are not posted to a column
// of another one; they are made anew. What the program's change does not concern is posted.
func TestOtherProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{Enterprise: true}, nil)
		table := pushtest.ConformTable("t")
		encode := func() []schema.Chunk {
			for i := range table.Columns {
				r.sink.Form("t", &table.Columns[i])
			}
			return chunks(map[int64]string{1: "a"}, nil)
		}
		change := func(kind string) {
			t.Helper()
			r.emu.Stop("shop", false)
			r.put(t, strings.ReplaceAll(program, "v VARCHAR", "v "+kind))
			r.emu.Start("shop")
		}
		deliver := func(d *push.Delivery) push.Kind {
			if err := r.pusher().Run(t.Context(), d); err != nil {
				return push.KindOf(err)
			}
			return push.Unavailable
		}
		d := push.NewDelivery(table, encode())
		change("VARIANT")
		if kind := deliver(d); kind != push.Lost {
			t.Errorf("changed before the job was made: %v", kind)
		}
		d = push.NewDelivery(table, encode())
		d.Bind = func(context.Context, push.Ticket, int, int) error {
			change("VARCHAR(10)")
			return nil
		}
		if kind := deliver(d); kind != push.Lost {
			t.Errorf("changed before the job was posted: %v", kind)
		}
		if n := len(r.rows("t")); n > 0 {
			t.Errorf("%d rows are there", n)
		}
		d = push.NewDelivery(table, encode())
		d.Bind = func(context.Context, push.Ticket, int, int) error {
			d.Bind = nil
			change("VARCHAR(20)")
			return nil
		}
		if err := r.pusher().Run(t.Context(), d); err != nil || r.rows("t")[1] != "a" {
			t.Errorf("a change that does not concern it: %v, it has %v", err, r.rows("t"))
		}
	})
}

// TestNullIsNoDefault: NULL arrives as NULL, or is refused, and not as the column's DEFAULT,
// also before another value has told the column's type.
func TestNullIsNoDefault(t *testing.T) {
	for _, field := range []string{"", anyText} {
		synctest.Test(t, func(t *testing.T) {
			if got, err := sent(t, field, "null", "VARCHAR DEFAULT 'none'", false); err != nil || got != "<nil>" {
				t.Errorf("%q: it has %s: %v", field, got, err)
			}
			if got, err := sent(t, field, "null", "VARCHAR NOT NULL DEFAULT 'none'", false); push.KindOf(err) != push.Rejected || got != "" {
				t.Errorf("%q, NOT NULL: it has %s: %v", field, got, err)
			}
		})
	}
}

// TestDeletesOfUnknownColumns: deletes are sent though no row has told the columns yet.
func TestDeletesOfUnknownColumns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, pipeline.Options{}, nil)
		r.emu.Create("shop", `CREATE TABLE t (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR NOT NULL);`)
		r.emu.Start("shop")
		r.restart(t, nil)
		table := &schema.Table{Name: "t", Columns: []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}}}
		if err := r.pusher().Run(t.Context(), push.NewDelivery(table, chunks(nil, []int64{1}))); err != nil {
			t.Error(err)
		}
	})
}
