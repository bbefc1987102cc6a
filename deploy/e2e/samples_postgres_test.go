//go:build e2e

package e2e

import (
	"fmt"
	"strings"
)

const (
	pgStamp    = `to_char(%s,'YYYY-MM-DD"T"HH24:MI:SS.US')`
	pgMillis   = `to_char(date_trunc('milliseconds',%s),'YYYY-MM-DD"T"HH24:MI:SS.US')`
	pgClock    = `to_char(date_trunc('milliseconds',%s),'HH24:MI:SS.MS')` // as files have times
	pgISODate  = `to_char(%s,'YYYY-MM-DD')||'Z'`
	pgISOClock = `regexp_replace(to_char(%s,'HH24:MI:SS.US'),'\.?0+$','')||'Z'`
	pgISOStamp = `regexp_replace(to_char(%s,'YYYY-MM-DD"T"HH24:MI:SS.US'),'\.?0+$','')||'Z'`
	pgBase64   = `replace(encode(%s,'base64'),E'\n','')` // which it breaks into lines
	pgHex      = `encode(%s,'hex')`
	pgJSON     = `to_json(%s)`
	pgTexts    = `to_json(%s::text[])`
	pgISOTimes = `regexp_replace(to_json(%s)::text,'"([^"]+)"','"\1Z"','g')`
	pgBytes    = `(select '['||string_agg(coalesce('"'||replace(encode(b,'FORM'),E'\n','')||'"','null'),',')||']' from unnest(%s) b)`
	pgHstores  = `to_json(array(select replace(hstore_to_json(h)::text,'": ','":') from unnest(%[1]s) h))`
	pgHstore   = `replace(replace(hstore_to_json(%s)::text,'": ','":'),', ',',')`
	pgNoNumber = `case %s when 'NaN' then 'NAN' when 'Infinity' then 'POSITIVE_INFINITY' when '-Infinity' then 'NEGATIVE_INFINITY' end`
	// A month has 365.25/12 days.
	pgMicros      = `((extract(year from %[1]s)*12+extract(month from %[1]s))*365.25/12*86400000000+extract(day from %[1]s)*86400000000+extract(hour from %[1]s)*3600000000+extract(minute from %[1]s)*60000000+extract(second from %[1]s)*1000000)::bigint`
	pgISOInterval = `case when %[1]s is not null then format('P%%sY%%sM%%sDT%%sH%%sM%%sS',extract(year from %[1]s),extract(month from %[1]s),extract(day from %[1]s),extract(hour from %[1]s),extract(minute from %[1]s),trim_scale(extract(second from %[1]s))) end`
)

// postgresSamples has every type that the connector knows, and a few that it leaves out.
// What Debezium 3.5 tells wrongly is not among them, as no consumer can know better: a
// snapshot's timestamps before 1582-10-15, which are of the Julian calendar, and MONEY
// beyond the digits of a double; a NUMERIC of negative scale, declared with scale+2048.
var postgresSamples = []sample{
	{as: "id", decl: "int"},
	{decl: "boolean", values: "true | false"},
	{decl: "bit(1)", values: "B'1' | B'0'", text: "case %s when B'1' then 'true' when B'0' then 'false' end"},
	{decl: "bit(11)", values: "B'10000000001' | B'00000000000' | B'11111111111' | B'00000000100'", json: "-"},
	{decl: "bit varying(12)", values: "B'1011' | B'' | B'000000000001' | B'111111111111'", text: "lpad(%s::text,12,'0')", json: "-"},
	{decl: "bit varying", values: "B'1011' | B'0011' | B'00000000'", text: "coalesce(nullif(ltrim(%[1]s::text,'0'),''),left(%[1]s::text,1))", json: "-"},
	{decl: "smallint", values: "1 | -32768 | 32767"},
	{decl: "integer", values: "1 | -2147483648 | 2147483647"},
	{decl: "bigint", values: "1 | -9223372036854775808 | 9223372036854775807 | 9007199254740993"},
	{decl: "oid", values: "1 | 0 | 4294967295"},
	{decl: "real", values: "3.14 | -3.4028235e38 | 1e-37"},
	{decl: "real", odd: true, values: "'NaN' | 'Infinity' | '-Infinity'", text: "null", json: "-"},
	{decl: "double precision", values: "0.1 | -1.7976931348623157e308 | 5e-324"},
	{decl: "double precision", odd: true, values: "'NaN' | 'Infinity' | '-Infinity'", text: "null", json: "-"},
	{decl: "char(6)", values: "'ab' | '' | 'Zoë' | 'sixsix'", text: "rpad(%s::text,6)"},
	{decl: "varchar(20)", values: "'plain' | '' | 'Zoë 😀' | E'tab\\tline\\nquote''\"\\\\'"},
	{decl: "text", values: "'plain' | '' | 'Zoë 😀' | E'tab\\tline\\nquote''\"\\\\'"},
	{decl: "citext", values: "'CiText' | ''"},
	{decl: "name", values: "'pg_name'", text: "-"}, // streamed as NULL
	{decl: "numeric(10,2)", values: "12.30 | -99999999.99 | 99999999.99 | 0"},
	{decl: "numeric(9,0)", values: "12 | -999999999 | 999999999 | 0"},
	{decl: "numeric(38,0)", values: "12 | -99999999999999999999999999999999999999 | 99999999999999999999999999999999999999 | 0"},
	{decl: "numeric(38,10)", values: "12.5 | -9999999999999999999999999999.9999999999 | 0.0000000001 | 0"},
	{decl: "numeric", values: "1.50 | -0.000000000000000001 | 12345678901234567890.123 | 100", text: "trim_scale(%s)", json: "%s", flat: "%s"},
	{decl: "numeric", odd: true, values: "'NaN' | 'Infinity' | '-Infinity'", text: "null", json: pgNoNumber, flat: pgNoNumber}, // sent as NULL under precise
	{decl: "money", values: "12.34 | '-9999999.99'::money | 0.01", text: "%s::numeric"},
	{decl: "bytea", values: `'\x00ff10' | '\x' | '\xdeadbeef00'`, text: pgBase64, flat: pgHex},
	{decl: "date", values: "'2024-02-29' | '1400-01-01' | '9999-12-31' | '1969-12-31'", json: pgISODate},
	{decl: "date", odd: true, values: "'infinity' | '-infinity' | '0044-03-15 BC' | '10000-01-01'", text: "null", json: "-"},
	{decl: "time(0)", values: "'12:34:56' | '00:00:00' | '23:59:59'", text: pgClock, json: pgISOClock},
	{decl: "time(3)", values: "'12:34:56.789' | '00:00:00.001' | '23:59:59.999'", text: pgClock, json: pgISOClock},
	{decl: "time", values: "'12:34:56.789012' | '00:00:00.000001' | '23:59:59.999999'", text: pgClock, json: pgISOClock},
	{decl: "time", odd: true, values: "'24:00:00'", text: "null", json: "-"}, // isostring has 00:00
	{decl: "timetz", values: "'12:34:56.789012+02' | '00:00:00+00' | '23:59:59.5-08:30'", text: `replace((%s at time zone 'UTC')::text,'+00','Z')`},
	{decl: "timestamp(0)", values: "'2024-02-29 12:34:56' | '1582-10-15' | '9999-12-31 23:59:59'", text: pgStamp, json: pgISOStamp},
	{decl: "timestamp(3)", values: "'2024-02-29 12:34:56.789' | '1969-12-31 23:59:59.999' | '9999-12-31 23:59:59.999'", text: pgStamp, json: pgISOStamp},
	{decl: "timestamp(3)", odd: true, values: "'infinity' | '-infinity' | '0044-03-15 01:02:03 BC' | '12345-06-07 08:09:10'", text: "null", json: "-"},
	{decl: "timestamp", values: "'2024-02-29 12:34:56.789012' | '1582-10-15' | '9999-12-31 23:59:59.999999' | '1969-12-31 23:59:59.999999'", text: pgStamp, json: pgISOStamp, avro: pgMillis},
	{decl: "timestamp", odd: true, values: "'infinity' | '-infinity' | '0044-03-15 01:02:03 BC' | '12345-06-07 08:09:10.123456'", text: "null", json: "-"},
	{decl: "timestamptz", values: "'2024-02-29 12:34:56.789012+05:30' | '1582-10-15 00:00Z' | '9999-12-31 23:59:59.999999Z'", text: pgStamp, json: pgStamp + "||'Z'"},
	{decl: "timestamptz", odd: true, values: "'infinity' | '-infinity' | '0044-03-15 01:02:03Z BC' | '12345-06-07 08:09:10Z'", text: "null", json: "-"},
	{decl: "interval", values: "'1 year 2 months 3 days 4:05:06.789012' | '-1 month -2 days -3:04:05.5' | '0' | '100 years'", text: pgMicros, json: pgISOInterval, avro: pgISOInterval},
	{decl: "json", values: `'{"a": 1.0, "b": [null, "x"]}' | '"text"' | 'null' | '1e2'`},
	{decl: "jsonb", values: `'{"b": 1.0, "a": [null, "x"]}' | '"text"' | 'null' | '1e2'`},
	{decl: "xml", values: `'<a b="1">x &amp; y</a>' | 'text'`},
	{decl: "uuid", values: "'6ba7b810-9dad-11d1-80b4-00c04fd430c8' | '00000000-0000-0000-0000-000000000000' | 'ffffffff-ffff-ffff-ffff-ffffffffffff'"},
	{decl: "ltree", values: "'Top.Science.Astronomy' | ''"},
	{decl: "tsvector", values: "'a fat cat' | '''quoted'':3A words:1,2'"},
	{decl: "mood", values: "'ok' | 'so, so' | 'sad'"},
	{decl: "inet", values: "'192.168.1.5/24' | '10.0.0.1' | '2001:db8::1'", text: "case when %[1]s is not null then format('%%s',%[1]s) end"}, // a cast adds /32
	{decl: "cidr", values: "'192.168.1.0/24' | '2001:db8::/32'"},
	{decl: "macaddr", values: "'08:00:2b:01:02:03'"},
	{decl: "macaddr8", values: "'08:00:2b:01:02:03:04:05'"},
	{decl: "int4range", values: "'[1,10)' | 'empty' | '(,5]'"},
	{decl: "int8range", values: "'[1,10)' | '[5,)'"},
	{decl: "numrange", values: "'[1.5,10)' | '(,)'"},
	{decl: "tsrange", values: "'[2024-01-01 00:00:00,2024-06-01 12:30:00)'"},
	{decl: "tstzrange", values: "'[2024-01-01 00:00:00+00,2024-06-01 12:30:00+00)'"},
	{decl: "daterange", values: "'[2024-01-01,2024-06-01)'"},
	{decl: "int4multirange", values: "'{[1,3),[5,9)}'", text: "-"},
	{decl: "point", values: "'(1.5,-2)' | '(0,0)'", text: "'POINT('||%[1]s[0]||' '||%[1]s[1]||')'", json: "-"},
	{decl: "box", values: "'(3,4),(1,2)'", text: "-"},
	{decl: "lseg", values: "'[(1,2),(3,4)]'", text: "-"},
	{decl: "path", values: "'[(1,2),(3,4)]' | '((0,0),(1,0),(1,1))'", text: "-"},
	{decl: "polygon", values: "'((0,0),(1,0),(1,1))'", text: "-"},
	{decl: "circle", values: "'<(1,2),3>'", text: "-"},
	{decl: "line", values: "'{1,2,3}'", text: "-"},
	{decl: "hstore", values: `'a=>1, b=>NULL, "c d"=>"x \"y\""' | ''`, text: pgHstore},
	{decl: "postal_code", values: "'8001' | 'AB-12'"},
	{decl: "amount", values: "12.30 | -0.01"},
	{decl: "small_amount", values: "12.30 | 0.01"},
	{decl: "pair", values: "'(1,x)'", text: "-"},
	{decl: "pg_lsn", values: "'16/B374D848'", text: "-"},
	{decl: "boolean[]", values: "'{true,NULL,false}' | '{}'", text: pgJSON},
	{decl: "smallint[]", values: "'{1,-32768,NULL}' | '{}'", text: pgJSON},
	{decl: "integer[]", values: "'{1,-2147483648,NULL}' | '{}'", text: pgJSON},
	{decl: "bigint[]", values: "'{9007199254740993,NULL}' | '{}'", text: pgJSON},
	{decl: "oid[]", values: "'{1,4294967295}'", text: "to_json(%s::bigint[])"},
	{decl: "real[]", values: "'{3.14,NULL}'", text: pgJSON},
	{decl: "double precision[]", values: "'{0.1,-2.5,NULL}'", text: pgJSON},
	{decl: "numeric(10,2)[]", values: "'{12.30,NULL,-0.01}'", text: pgJSON, json: pgTexts, flat: pgTexts},
	{decl: "numeric[]", values: "'{1.5,NULL}'", text: pgJSON, json: pgTexts, flat: pgTexts},
	{decl: "text[]", values: `'{plain,NULL,"a b",""}' | '{}'`, text: pgJSON},
	{decl: "varchar(10)[]", values: `'{plain,NULL,"quote\""}'`, text: pgJSON},
	{decl: "char(3)[]", values: `'{ab,NULL}'`, text: pgJSON},
	{decl: "citext[]", values: `'{Ab,NULL}'`, text: pgJSON},
	{decl: "bytea[]", values: `array['\x00ff'::bytea,null]`, text: strings.ReplaceAll(pgBytes, "FORM", "base64"), flat: strings.ReplaceAll(pgBytes, "FORM", "hex")},
	{decl: "date[]", values: "'{2024-02-29,NULL,1969-12-31}'", text: pgJSON, json: pgISOTimes},
	{decl: "time[]", values: "'{12:34:56.789,NULL}'", text: pgJSON, json: pgISOTimes}, // cut to ms at the source
	{decl: "timetz[]", values: "'{12:34:56+00,NULL}'", text: `replace(to_json(%s)::text,'+00"','Z"')`},
	{decl: "timestamp[]", values: "'{2024-02-29 12:34:56.789,NULL}'", text: pgJSON, json: pgISOTimes},
	{decl: "timestamptz[]", values: "'{2024-02-29 12:34:56.789012+00,NULL}'", text: `replace(to_json(%s)::text,'+00:00"','Z"')`},
	{decl: "uuid[]", values: "'{6ba7b810-9dad-11d1-80b4-00c04fd430c8,NULL}'", text: pgJSON},
	{decl: "json[]", values: `array['{"a": 1}'::json,null]`, text: pgTexts},
	{decl: "jsonb[]", values: `array['{"a": 1}'::jsonb,null]`, text: pgTexts},
	{decl: "mood[]", values: `'{ok,NULL,sad}'`, text: "-"}, // NULL, with a warning
	{decl: "inet[]", values: "'{10.0.0.1,NULL}'", text: pgJSON},
	{decl: "cidr[]", values: "'{10.0.0.0/8,NULL}'", text: pgJSON},
	{decl: "macaddr[]", values: "'{08:00:2b:01:02:03,NULL}'", text: pgJSON},
	{decl: "int4range[]", values: `'{"[1,5)",NULL}'`, text: pgJSON},
	{decl: "numrange[]", values: `'{"[1.5,5)",NULL}'`, text: pgJSON},
	{decl: "tsrange[]", values: `array['[2024-01-01 00:00:00,2024-06-01 12:30:00)'::tsrange]`, text: pgJSON},
	{decl: "daterange[]", values: `'{"[2024-01-01,2024-06-01)"}'`, text: pgJSON},
	{decl: "hstore[]", values: `array['a=>1'::hstore]`, text: "case when %[1]s is not null then " + pgHstores + " end", avro: `case when %[1]s is not null then '['||(select string_agg(replace(replace(hstore_to_json(h)::text,'": ','":'),', ',','),',') from unnest(%[1]s) h)||']' end`},
	{decl: "ltree[]", values: `'{Top.A,NULL}'`, text: "-"}, // NULL, with a warning
}

// createTypes makes the types that are not there from the start.
const createTypes = `create extension if not exists citext; create extension if not exists hstore; create extension if not exists ltree;
drop type if exists mood; create type mood as enum ('sad','ok','so, so');
drop domain if exists small_amount; drop domain if exists amount; drop domain if exists postal_code;
create domain postal_code as varchar(10); create domain amount as numeric(10,2); create domain small_amount as amount check (value < 100);
drop type if exists pair; create type pair as (a int, b text);
`

// largeSamples are the types whose values PostgreSQL keeps out of their row where they are
// long; what an update leaves alone is then not logged, unless the replica identity is FULL.
var largeSamples = []sample{
	{as: "id", decl: "int"},
	{as: "n", decl: "int"},
	{decl: "text", values: "repeat('text ',40)||%d"},
	{decl: "varchar(2000)", values: "repeat('varchar ',30)||%d"},
	{decl: "bytea", values: "decode(repeat('00ff10',70),'hex')||'\\x0%d'", text: pgBase64, flat: pgHex},
	{decl: "json", values: "json_build_object('k',repeat('v',200),'i',%d)"},
	{decl: "jsonb", values: "jsonb_build_object('k',repeat('v',200),'i',%d)"},
	{decl: "xml", values: "('<a>'||repeat('x',200)||%d||'</a>')::xml"},
	{decl: "text[]", values: "array[repeat('t',200),'%d']", text: pgJSON},
	{decl: "int[]", values: "array(select generate_series(%d,60))", text: pgJSON},
	{decl: "bigint[]", values: "array(select generate_series(%d::bigint,60))", text: pgJSON},
	{decl: "date[]", values: "array(select date '2000-01-01'+generate_series(%d,60))", text: pgJSON, json: "-", avro: "-"}, // NULL, not the placeholder
	{decl: "uuid[]", values: "array(select md5((%d*g)::text)::uuid from generate_series(1,20) g)", text: pgJSON},
	{decl: "bytea[]", values: "array[decode(repeat('0a',200),'hex'),'\\x0%d'::bytea]", text: strings.ReplaceAll(pgBytes, "FORM", "base64"), flat: "-"}, // the same
	{decl: "hstore", values: "hstore('k',repeat('v',200)||%d)", text: pgHstore},
}

// largeRow is a statement's values for a row of largeSamples, other ones for each seed below 10.
func largeRow(seed int) (names, values []string) {
	for _, s := range largeSamples[2:] {
		names, values = append(names, s.name()), append(values, fmt.Sprintf(s.values, seed))
	}
	return names, values
}
