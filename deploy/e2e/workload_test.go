//go:build e2e

package e2e

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// table is a table that both databases have, and how its columns read.
type table struct {
	name    string
	keys    int // the first columns
	columns []column
}

func (tb table) key(cells []string) string { return strings.Join(cells[:tb.keys], "/") }

// column is an expression for the text of a value as the target holds it: under a
// schema, and in plain JSON, where dates and times are the numbers that Debezium
// writes. What is empty is the column itself.
type column struct {
	name                    string
	postgres, mariadb       string
	plainPostgres, plainMDB string
	float, json             bool // compared as numbers, as JSON
}

func (c column) in(db, format string) string {
	choices := []string{c.postgres, c.name}
	if db == "mariadb" {
		choices[0] = c.mariadb
	}
	if format == "json" && db == "postgres" && c.plainPostgres != "" {
		choices[0] = c.plainPostgres
	}
	if format == "json" && db == "mariadb" && c.plainMDB != "" {
		choices[0] = c.plainMDB
	}
	if choices[0] == "" {
		return choices[1]
	}
	return choices[0]
}

const (
	pgInstant = `to_char(%s,'YYYY-MM-DD"T"HH24:MI:SS.US')`
	myInstant = `date_format(%s,'%%Y-%%m-%%dT%%H:%%i:%%s.%%f')`
)

var customers = table{"customers", 1, []column{
	{name: "id"}, {name: "name"},
	{name: "vip", postgres: "case vip when true then 'true' when false then 'false' end"},
	{name: "credit"}, {name: "rate", float: true},
	{name: "born", plainPostgres: "born - date '1970-01-01'", plainMDB: "datediff(born,'1970-01-01')"},
	{name: "seen", postgres: fmt.Sprintf(pgInstant, "seen"), mariadb: fmt.Sprintf(myInstant, "seen"),
		plainPostgres: "(extract(epoch from seen)*1000000)::bigint", plainMDB: "timestampdiff(microsecond,'1970-01-01',seen)"},
	{name: "zoned", postgres: fmt.Sprintf(pgInstant, "zoned at time zone 'UTC'"), mariadb: fmt.Sprintf(myInstant, "zoned"),
		plainPostgres: fmt.Sprintf(pgInstant, "zoned at time zone 'UTC'") + "||'Z'", plainMDB: "concat(" + fmt.Sprintf(myInstant, "zoned") + ",'Z')"},
	{name: "uid"}, {name: "attrs"},
	{name: "photo", postgres: "encode(photo,'base64')", mariadb: "to_base64(photo)"},
	{name: "n"},
	{name: "t", postgres: "to_char(t,'HH24:MI:SS.MS')", mariadb: "left(time_format(t,'%H:%i:%s.%f'),12)",
		plainPostgres: "(extract(epoch from t)*1000)::int", plainMDB: "floor(time_to_sec(t))*1000000+microsecond(t)"},
	{name: "note"},
}}

var items = table{"items", 2, []column{{name: "order_id"}, {name: "line_no"}, {name: "sku"}, {name: "qty"}, {name: "price"}}}

var big = table{"big", 1, []column{{name: "id"}, {name: "a"}, {name: "b"}}}

// create makes the tables anew.
func create(t *testing.T, db string) {
	t.Helper()
	types := map[string]string{"bool": "boolean", "double": "double precision", "stamp": "timestamp(6)", "zoned": "timestamptz", "json": "jsonb", "bytes": "bytea"}
	if db == "mariadb" {
		types = map[string]string{"bool": "tinyint(1)", "double": "double", "stamp": "datetime(6)", "zoned": "timestamp(6) null", "json": "json", "bytes": "varbinary(200)"}
	}
	sql(t, db, fmt.Sprintf(`drop table if exists customers; drop table if exists items; drop table if exists big;
create table customers(id bigint primary key, name varchar(40) not null, vip %s, credit decimal(12,2), rate %s, born date, seen %s, zoned %s,
  uid uuid, attrs %s, photo %s, n smallint, t time(3), note text);
create table items(order_id int, line_no int, sku varchar(20), qty int, price decimal(10,2), primary key(order_id, line_no));`,
		types["bool"], types["double"], types["stamp"], types["zoned"], types["json"], types["bytes"]))
}

// workload is n transactions of inserts, updates, deletes and key changes over both
// tables, some of them rolled back. The same seed gives the same statements.
func workload(db string, seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 7))
	var b strings.Builder
	pick := func(s ...string) string { return s[r.IntN(len(s))] }
	maybe := func(s string) string {
		if r.IntN(5) == 0 {
			return "null"
		}
		return s
	}
	texts := []string{"''", "'plain'", "'Zoë Ünïcode 😀'", "'with ''quotes'' and \"double\"'", "'line\nbreak\ttab'", "'\\\\ back'"}
	bytes := func() string {
		raw := make([]byte, r.IntN(30))
		for i := range raw {
			raw[i] = byte(r.Uint32())
		}
		if db == "postgres" {
			return fmt.Sprintf("'\\x%x'", raw)
		}
		return fmt.Sprintf("x'%x'", raw)
	}
	stamp := func() string { // the last digit is never 0: trailing zeros are not written everywhere
		return fmt.Sprintf("'%04d-%02d-%02d %02d:%02d:%02d.%05d%d'", 1971+r.IntN(60), 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(100_000), 1+r.IntN(9))
	}
	// The last byte is never 0: Debezium 3.5 reads such a UUID of MariaDB's binlog
	// shifted by a byte, which no consumer can tell.
	uuid := func() string { return fmt.Sprintf("'00000000-0000-4000-8000-%012x'", r.Uint32()|1) }
	values := func() string {
		return strings.Join([]string{
			pick(texts...), maybe(pick("true", "false")), maybe(fmt.Sprintf("%d.%02d", r.IntN(2_000_000)-1_000_000, r.IntN(100))),
			maybe(pick("0", "0.1", "-2.5e10", "3.141592653589793", "1e-7")), maybe(fmt.Sprintf("'%04d-%02d-%02d'", 1900+r.IntN(200), 1+r.IntN(12), 1+r.IntN(28))),
			maybe(stamp()), maybe(stamp()), maybe(uuid()),
			maybe(fmt.Sprintf(`'{"k": %d, "s": ["x", null]}'`, r.IntN(100))), maybe(bytes()), maybe(fmt.Sprint(r.IntN(65536) - 32768)),
			maybe(fmt.Sprintf("'%02d:%02d:%02d.%03d'", r.IntN(24), r.IntN(60), r.IntN(60), 1+r.IntN(999))), maybe(pick(texts...)),
		}, ",")
	}
	insert := "insert into customers(id,name,vip,credit,rate,born,seen,zoned,uid,attrs,photo,n,t,note) values (%d,%s)"
	for range n {
		b.WriteString("begin;\n")
		for range 1 + r.IntN(5) {
			id, line := r.IntN(150), r.IntN(4)
			switch r.IntN(10) {
			case 0, 1, 2:
				fmt.Fprintf(&b, "delete from customers where id=%d;\n", id)
				fmt.Fprintf(&b, insert+";\n", id, values())
			case 3:
				fmt.Fprintf(&b, "update customers set name=%s, credit=%s, seen=%s, note=%s where id=%d;\n", pick(texts...), maybe("12.30"), maybe(stamp()), maybe(pick(texts...)), id)
			case 4:
				fmt.Fprintf(&b, "delete from customers where id=%d;\n", id)
			case 5: // the primary key changes
				fmt.Fprintf(&b, "delete from customers where id=%d;\nupdate customers set id=%d where id=%d;\n", id+1000, id+1000, id)
			case 6, 7:
				fmt.Fprintf(&b, "delete from items where order_id=%d and line_no=%d;\ninsert into items values (%d,%d,%s,%d,%s);\n",
					id, line, id, line, pick("'sku-1'", "'sku-2'"), r.IntN(100), maybe(fmt.Sprintf("%d.%02d", r.IntN(1000), r.IntN(100))))
			case 8:
				fmt.Fprintf(&b, "delete from items where order_id=%d and line_no=%d;\nupdate items set line_no=%d where order_id=%d and line_no=%d;\n", id, line+10, line+10, id, line)
			default:
				fmt.Fprintf(&b, "update items set qty=qty+1 where order_id=%d;\n", id)
			}
		}
		b.WriteString(pick("commit;\n", "commit;\n", "commit;\n", "commit;\n", "rollback;\n"))
	}
	return b.String()
}
