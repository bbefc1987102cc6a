//go:build e2e

package e2e

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	feldera "github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

const dropFeldera = `drop table if exists "Types", keys, odd;` + "\n"

// TestFelderaTypes: columns of every type that a pipeline takes rows of, extremes, NULLs and
// names in quotes, from a snapshot and streamed; deletes and keys that change; the pipeline
// is started anew in mid-stream and has forgotten all. It is read in SQL, in the end by
// Feldera's own client, and compared with what the database answers.
func TestFelderaTypes(t *testing.T) {
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			columns := slices.DeleteFunc(slices.Clone(felderaSamples), func(s sample) bool { return s.textIn(format) == "-" })
			tables := []table{felderaTable(`"Types"`, 1, columns, format), felderaTable("keys", 4, felderaKeys, format)}
			sql(t, "postgres", dropFeldera+createTypes+createTable(`"Types"`, 1, columns)+insertRows(`"Types"`, 1, columns)+createTable("keys", 4, felderaKeys)+
				`insert into keys values ('2024-02-29',12.30,'6ba7b810-9dad-11d1-80b4-00c04fd430c8','a',1), ('2024-02-29',12.30,'6ba7b810-9dad-11d1-80b4-00c04fd430c8','b',2);`)
			t.Cleanup(func() { sql(t, "postgres", dropFeldera) })
			p, emu := newFelderaPipeline(t, format, "feldera_"+format, felderaProgram(`"Types"`, 1, columns)+felderaProgram("keys", 4, felderaKeys))
			p.env["SLUICE_OUT_OF_RANGE"], p.env["SLUICE_FELDERA_ON_STATE_LOSS"] = "null", "rewind"
			if format == "json" {
				p.settings += `,"decimal.handling.mode":"precise"` // a text is not taken for a decimal
				p.env["SLUICE_TABLES_FILE"] = typesFile(t, map[string][]sample{"Types": columns, "keys": felderaKeys})
			}
			p.connect()
			p.start()
			p.settle(time.Minute, tables...)
			sql(t, "postgres", insertRows(`"Types"`, 11, columns)+`update "Types" set small=7, text='changed', doc='[1]' where id=11;
delete from "Types" where id=12;
update "Types" set id=23 where id=13;
update keys set amount=12.31, v=3 where name='a';
update keys set at='1969-12-31', uid='ffffffff-ffff-ffff-ffff-ffffffffffff', name='' where name='b';
insert into keys values ('2024-02-29',12.30,'6ba7b810-9dad-11d1-80b4-00c04fd430c8','b',4);
delete from keys where name='a';
`)
			emu.Stop("shop", true)
			emu.Start("shop")
			p.settle(time.Minute, tables...)
			sql(t, "postgres", `update "Types" set "camelCase"='it goes on' where id < 11; delete from "Types" where id=2;`)
			p.settle(time.Minute, tables...)
			p.stop()
			p.held = func(tb table) (map[string][]string, string) { return p.rows(tb, clientQuery(t, p, tb.name)), "" }
			p.settle(0, tables...)
		})
	}
}

// TestFelderaOutOfRange: what neither JSON nor the pipeline's types can hold is put aside
// row by row, and the others arrive.
func TestFelderaOutOfRange(t *testing.T) {
	columns := []sample{{as: "id", decl: "int", sql: "INTEGER"}, {as: "f", decl: "double precision", sql: "DOUBLE"}, {as: "d", decl: "date", sql: "DATE"},
		{as: "c", decl: "time", sql: "TIME", text: fdClock}, {as: "at", decl: "timestamp", sql: "TIMESTAMP", text: fdStamp}}
	sql(t, "postgres", dropFeldera+createTable("odd", 1, columns)+`insert into odd values (1,1.5,'2024-02-29','12:00','2024-02-29 12:00'), (2,null,null,null,null);
insert into odd(id, f) values (-1,'NaN'), (-2,'-Infinity');
insert into odd(id, d) values (-3,'10000-01-01'), (-4,'0044-03-15 BC'), (-5,'infinity');
insert into odd(id, c) values (-6,'24:00');
insert into odd(id, at) values (-7,'10000-01-01');`)
	t.Cleanup(func() { sql(t, "postgres", dropFeldera) })
	tb := felderaTable("odd", 1, columns, "jsonschema")
	p, _ := newFelderaPipeline(t, "jsonschema", "feldera_odd", felderaProgram("odd", 1, columns))
	p.env["SLUICE_DEADLETTER_TOPIC"] = "feldera_odd-aside"
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "feldera_odd-aside"); err != nil {
		t.Fatal(err)
	}
	p.connect()
	p.start()
	eventually(t, "seven rows are put aside", time.Minute, func() bool {
		var s struct{ Totals struct{ DeadLettered int } }
		json.Unmarshal([]byte(p.status("/status")), &s)
		return s.Totals.DeadLettered == 7
	})
	sql(t, "postgres", "delete from odd where id < 0;")
	p.settle(time.Minute, tb)
}

// newFelderaPipeline is newPipeline with a pipeline of Feldera as its target, the
// open-source edition, of that program.
func newFelderaPipeline(t *testing.T, format, prefix, program string) (*pipeline, *feldera.Emulator) {
	t.Helper()
	emu := feldera.New(feldera.Options{Lag: 20 * time.Millisecond})
	if err := emu.Create("shop", program); err != nil {
		t.Fatal(err)
	}
	emu.Start("shop")
	server := httptest.NewServer(emu)
	t.Cleanup(server.Close)
	p := newPipeline(t, "postgres", format, prefix)
	maps.DeleteFunc(p.env, func(name, _ string) bool {
		return strings.HasPrefix(name, "SLUICE_CELONIS_") || strings.HasPrefix(name, "SLUICE_BUDGET_") || name == "SLUICE_DECIMAL" || name == "SLUICE_TIMESTAMP"
	})
	p.settings = `"table.include.list":"public.Types,public.keys,public.odd"` // what other tests leave in the database is not in the program
	p.env["SLUICE_SINK"], p.env["SLUICE_FELDERA_URL"], p.env["SLUICE_FELDERA_PIPELINE"] = "feldera", server.URL, "shop"
	p.held = func(tb table) (map[string][]string, string) {
		resp, err := http.Get(server.URL + "/v0/pipelines/shop/query?format=json&sql=" + url.QueryEscape("SELECT * FROM "+tb.name))
		if err != nil {
			return nil, err.Error()
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, resp.Status
		}
		var rows []map[string]any
		for dec := decoder(resp.Body); ; {
			var row map[string]any
			if err := dec.Decode(&row); err == io.EOF {
				return p.rows(tb, rows), ""
			} else if err != nil {
				return nil, err.Error()
			}
			rows = append(rows, row)
		}
	}
	return p, emu
}

// clientQuery has Feldera's own client read a table.
func clientQuery(t *testing.T, p *pipeline, table string) (rows []map[string]any) {
	t.Helper()
	cmd := exec.Command(filepath.Join(root(t), "lib", "python", "bin", "python"), "query.py", p.env["SLUICE_FELDERA_URL"], "shop", table)
	var told strings.Builder
	cmd.Stderr = &told
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("query.py: %v\n%s", err, told.String())
	}
	out := map[string][]map[string]any{}
	if err := decoder(strings.NewReader(string(text))).Decode(&out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return out[table]
}

func decoder(r io.Reader) *json.Decoder {
	dec := json.NewDecoder(r)
	dec.UseNumber()
	return dec
}

// rows are the rows of a query by key.
func (p *pipeline) rows(tb table, rows []map[string]any) map[string][]string {
	out := map[string][]string{}
	for _, row := range rows {
		var cells []string
		for _, c := range tb.columns {
			cells = append(cells, cellText(row[c.name]))
		}
		out[tb.key(cells)] = cells
	}
	return out
}

// textIn is the expression for a column's text under a format.
func (s sample) textIn(format string) string {
	return cmp.Or(map[string]string{"json": s.json, "avro": s.avro}[format], s.text, "%s")
}

// felderaTable is how a table of samples reads in the pipeline.
func felderaTable(name string, keys int, columns []sample, format string) table {
	tb := table{name: name, keys: keys}
	for _, s := range columns {
		text := s.textIn(format)
		if strings.Contains(text, "%") {
			text = fmt.Sprintf(text, s.name())
		}
		kind, _, _ := strings.Cut(s.sql, "(")
		tb.columns = append(tb.columns, column{name: strings.Trim(s.name(), `"`), postgres: text, float: s.isFloat(),
			json: kind == "VARIANT" || kind == "ROW" || strings.HasPrefix(kind, "MAP") || strings.HasSuffix(s.sql, "ARRAY")})
	}
	return tb
}

// felderaProgram declares the table in SQL.
func felderaProgram(name string, keys int, columns []sample) string {
	var decls, names []string
	for i, s := range columns {
		decl := s.name() + " " + s.sql
		if i < keys {
			decl += " NOT NULL"
			names = append(names, s.name())
		}
		decls = append(decls, decl)
	}
	return fmt.Sprintf("CREATE TABLE %s (\n%s,\nPRIMARY KEY (%s));\n", name, strings.Join(decls, ",\n"), strings.Join(names, ", "))
}

// typesFile is a tables file that says what plain JSON does not tell.
func typesFile(t *testing.T, tables map[string][]sample) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("tables:\n")
	for name, columns := range tables {
		fmt.Fprintf(&b, "  %s:\n    types:\n", name)
		for _, s := range columns {
			if s.types != "" {
				fmt.Fprintf(&b, "      %s: %s\n", s.name(), s.types)
			}
		}
	}
	file := filepath.Join(t.TempDir(), "tables.yaml")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
