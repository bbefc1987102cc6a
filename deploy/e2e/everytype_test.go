//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Tables beside every_type, each for a kind of change.
var (
	// Keys of several columns and types, which change.
	keyed = map[string][]sample{
		"postgres": {{as: "at", decl: "date", json: pgISODate}, {as: "amount", decl: "numeric(8,2)"}, {as: "uid", decl: "uuid"}, {as: "name", decl: "varchar(20)"}, {as: "v", decl: "int"}},
		"mariadb":  {{as: "at", decl: "date", json: "concat(%s,'Z')"}, {as: "amount", decl: "decimal(8,2)"}, {as: "uid", decl: "uuid"}, {as: "name", decl: "varchar(20)"}, {as: "v", decl: "int"}},
	}
	// What is left of a table that was altered four times.
	evolving = []sample{
		{as: "id", decl: "int"}, {as: "label", decl: "varchar(40)"}, {as: "amount", decl: "bigint"},
		// Apicurio's converter puts a column's default in the place of NULL.
		{as: "added", decl: "varchar(20)", avro: "coalesce(%s,'new')"}}
	// A table that is truncated.
	emptied = []sample{{as: "id", decl: "int"}, {as: "v", decl: "int"}}
	// Large values under REPLICA IDENTITY FULL.
	largeFull = []sample{{as: "id", decl: "int"}, {as: "n", decl: "int"}, {as: "t", decl: "text"}, {as: "b", decl: "bytea", text: pgBase64, flat: pgHex}}
)

// TestEveryType: columns of every type, extremes and NULLs, from a snapshot and streamed;
// large values that the source does not log where they are unchanged; keys that change;
// tables that are altered in mid-stream and read again by an incremental snapshot; one that
// is truncated. Both databases, in every form, compared column by column. With -record, the
// events are kept for the tests of schema/debezium.
func TestEveryType(t *testing.T) {
	for _, db := range databases {
		for _, f := range forms {
			t.Run(db+"/"+f.name, func(t *testing.T) {
				sql(t, db, tablesOfEveryType(db))
				t.Cleanup(func() { sql(t, db, dropEveryType) }) // a connector takes all tables there are
				p := newPipeline(t, db, f.format, "types_"+db+"_"+f.name)
				p.settings = f.members(db)
				file := filepath.Join(t.TempDir(), "tables.yaml")
				if err := os.WriteFile(file, []byte("tables:\n  emptied: {truncate: replace}\n  large: {unavailable: unchanged}\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				p.env["SLUICE_TABLES_FILE"], p.env["SLUICE_OUT_OF_RANGE"] = file, "null"
				tables := []table{f.table("every_type", 1, samples[db]), f.table("keyed", 4, keyed[db])}
				if db == "postgres" {
					tables = append(tables, f.table("large", 1, largeSamples), f.table("large_full", 1, largeFull))
				}
				p.connect()
				p.start()
				p.settle(time.Minute, tables...)
				if f.name != "flattened" { // the transform leaves a TRUNCATE out
					tables = append(tables, f.table("emptied", 1, emptied))
				}
				sql(t, db, changesOfEveryType(db))
				p.settle(time.Minute, append(tables, f.table("evolving", 1, evolving))...)
				p.stop()
				p.keep(recordings(t), db+"-types-"+f.name, append(tables, f.table("evolving", 1, evolving)))
			})
		}
	}
}

const dropEveryType = "drop table if exists every_type, keyed, evolving, emptied, large, large_full, debezium_signal;\n"

// tablesOfEveryType are statements that make the tables and their first rows.
func tablesOfEveryType(db string) string {
	var b strings.Builder
	b.WriteString(dropEveryType)
	if db == "postgres" {
		b.WriteString(createTypes)
	} else {
		b.WriteString("set sql_mode='';\n") // which lets zero dates in
	}
	b.WriteString(createTable("every_type", 1, samples[db]) + insertRows("every_type", 1, samples[db]))
	b.WriteString(createTable("keyed", 4, keyed[db]) + createTable("emptied", 1, emptied))
	b.WriteString(`insert into keyed values ('2024-02-29',12.30,'6ba7b810-9dad-11d1-80b4-00c04fd430c8','a',1), ('2024-02-29',12.30,'6ba7b810-9dad-11d1-80b4-00c04fd430c8','b',2);
insert into emptied values (1,1), (2,2);
create table evolving(id int primary key, note varchar(10), amount int, dropped varchar(20));
insert into evolving values (1,'one',1,'x'), (2,'two',2,'y'), (3,null,null,null);
create table debezium_signal(id varchar(60) primary key, type varchar(40), data varchar(2000));
`)
	if db == "mariadb" {
		b.WriteString("grant insert, delete on shop.debezium_signal to dbz;\n")
		return b.String()
	}
	b.WriteString("grant insert, delete on debezium_signal to dbz;\n" + createTable("large", 1, largeSamples) + createTable("large_full", 1, largeFull))
	names, _ := largeRow(0)
	for _, name := range names {
		fmt.Fprintf(&b, "alter table large alter column %s set storage external;\n", name)
	}
	b.WriteString(`alter table every_type replica identity full; alter table large set (toast_tuple_target=128);
alter table large_full set (toast_tuple_target=128); alter table large_full alter column t set storage external; alter table large_full alter column b set storage external;
alter table large_full replica identity full;
insert into large_full values (1,1,repeat('text ',300),decode(repeat('00ff',400),'hex')), (2,2,'short',null);
`)
	for id := 1; id <= 3; id++ {
		names, values := largeRow(id)
		fmt.Fprintf(&b, "insert into large(id,n,%s) values (%d,0,%s);\n", strings.Join(names, ","), id, strings.Join(values, ","))
	}
	return b.String()
}

// changesOfEveryType are statements that change the tables while Debezium streams.
func changesOfEveryType(db string) string {
	var b strings.Builder
	if db == "mariadb" {
		b.WriteString("set sql_mode='';\n")
	}
	b.WriteString(insertRows("every_type", 11, samples[db]))
	b.WriteString(`update every_type set c_smallint=7, c_text='changed' where id=11;
delete from every_type where id=12;
update every_type set id=23 where id=13;
update keyed set amount=12.31, v=3 where name='a';
update keyed set at='1969-12-31', uid='ffffffff-ffff-ffff-ffff-ffffffffffff', name='' where name='b';
insert into keyed values ('2024-02-29',12.30,'6ba7b810-9dad-11d1-80b4-00c04fd430c8','b',4);
delete from keyed where name='a';
insert into emptied values (3,3);
truncate table emptied;
insert into emptied values (4,4);
`)
	// PostgreSQL's spelling of the third one.
	widen := "alter table evolving alter column amount type bigint, alter column note type varchar(40);"
	if db == "mariadb" {
		widen = "alter table evolving modify amount bigint, modify note varchar(40);"
	}
	schema := map[string]string{"postgres": "public", "mariadb": "shop"}[db]
	b.WriteString(`insert into evolving values (4,'four',2147483647,'z');
alter table evolving add column added varchar(20) default 'new';
insert into evolving values (5,'five',5,'z',null);
update evolving set amount=11 where id=1;
alter table evolving drop column dropped;
insert into evolving values (6,'six',6,'set');
delete from evolving where id=2;
` + widen + `
insert into evolving values (7,'longer than ten characters',9223372036854775807,'wide');
alter table evolving rename column note to label;
insert into evolving values (8,'renamed',8,null);
insert into debezium_signal values ('again','execute-snapshot','{"type":"incremental","data-collections":["` + schema + `.evolving"]}');
`)
	if db == "mariadb" {
		return b.String()
	}
	names, values := largeRow(8)
	b.WriteString("update large set n=n+1;\nupdate large set c_text='short now' where id=1;\nupdate large set c_jsonb=null, c_int_array=null where id=2;\n")
	// The row comes without its large values under its new key, and then whole.
	fmt.Fprintf(&b, "begin;\nupdate large set id=33 where id=3;\nupdate large set (%s)=row(%s) where id=33;\ncommit;\n", strings.Join(names, ","), strings.Join(values, ","))
	fmt.Fprintf(&b, "insert into large(id,n,%s) values (4,0,%s);\ndelete from large where id=4;\n", strings.Join(names, ","), strings.Join(values, ","))
	b.WriteString("update large_full set n=n+1;\nupdate large_full set id=11 where id=1;\nupdate large_full set t=null where id=11;\n")
	return b.String()
}
