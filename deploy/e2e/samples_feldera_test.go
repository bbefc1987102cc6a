//go:build e2e

package e2e

import "strings"

const (
	fdStamp = `to_char(%s,'YYYY-MM-DD HH24:MI:SS.US')`
	fdClock = `to_char(%s,'HH24:MI:SS.US')`
	fdEach  = `case when %[1]s is not null then (select coalesce(json_agg(to_char(x,'FORM')),'[]') from unnest(%[1]s) x) end`
)

// felderaSamples has a column for every type that a pipeline's table may take rows of, from
// each kind of PostgreSQL's types that fits it, with its extremes.
var felderaSamples = []sample{
	{as: "id", decl: "int", sql: "INTEGER"},
	{as: "bool", decl: "boolean", sql: "BOOLEAN", values: "true | false"},
	{as: "bit", decl: "bit(1)", sql: "BOOLEAN", values: "B'1' | B'0'", text: "case %s when B'1' then 'true' when B'0' then 'false' end"},
	{as: "bits", decl: "bit(11)", sql: "VARCHAR", values: "B'10000000001' | B'00000000000'", json: "-"},
	{as: "tiny", decl: "smallint", sql: "TINYINT", values: "-128 | 127 | 0"},
	{as: "small", decl: "smallint", sql: "SMALLINT", values: "-32768 | 32767 | 0"},
	{as: "middle", decl: "integer", sql: "INTEGER", values: "-2147483648 | 2147483647 | 0"},
	{as: "big", decl: "bigint", sql: "BIGINT", values: "-9223372036854775808 | 9223372036854775807 | 9007199254740993"},
	{as: "utiny", decl: "smallint", sql: "TINYINT UNSIGNED", values: "0 | 255"},
	{as: "usmall", decl: "integer", sql: "SMALLINT UNSIGNED", values: "0 | 65535"},
	{as: "umiddle", decl: "oid", sql: "INTEGER UNSIGNED", values: "0 | 4294967295"},
	{as: "ubig", decl: "numeric(20)", sql: "BIGINT UNSIGNED", types: "decimal(20,0)", values: "0 | 18446744073709551615 | 9007199254740993"},
	{as: "single", decl: "real", sql: "REAL", types: "FLOAT", values: "3.14 | -3.4028235e38 | 1e-37 | '-0'"},
	{as: "single_odd", decl: "real", sql: "REAL", types: "FLOAT", values: "'NaN' | 'Infinity' | '-Infinity'", text: "null", json: "-"},
	{as: "twice", decl: "double precision", sql: "DOUBLE", types: "FLOAT", values: "0.1 | -1.7976931348623157e308 | 5e-324 | 123456789012345680000"},
	{as: "twice_odd", decl: "double precision", sql: "DOUBLE", types: "FLOAT", values: "'NaN' | 'Infinity' | '-Infinity'", text: "null", json: "-"},
	{as: "amount", decl: "numeric(10,2)", sql: "DECIMAL(10, 2)", types: "decimal(10,2)", values: "12.30 | -99999999.99 | 99999999.99 | 0"},
	{as: "wider", decl: "numeric(10,2)", sql: "DECIMAL(14, 2)", types: "decimal(10,2)", values: "12.30 | -99999999.99"},
	{as: "whole", decl: "numeric(9)", sql: "DECIMAL(9)", types: "decimal(9,0)", values: "12 | -999999999 | 999999999 | 0"},
	{as: "digits", decl: "numeric(38)", sql: "DECIMAL(38)", types: "decimal(38,0)", values: "-99999999999999999999999999999999999999 | 99999999999999999999999999999999999999 | 0"},
	{as: "fraction", decl: "numeric(38,10)", sql: "DECIMAL(38, 10)", types: "decimal(38,10)", values: "12.5 | -9999999999999999999999999999.9999999999 | 0.0000000001 | 0"},
	{as: "anything", decl: "numeric", sql: "VARCHAR", values: "1.50 | -0.000000000000000001 | 12345678901234567890.123 | 100", text: "trim_scale(%s)", json: "-"},
	{as: "money", decl: "money", sql: "VARCHAR", types: "decimal(19,2)", values: "12.34 | '-9999999.99'::money | 0.01", text: "%s::numeric(19,2)"},
	{as: "fixed", decl: "char(6)", sql: "CHAR(6)", values: "'ab' | '' | 'Zoë' | 'sixsix'", text: "rpad(%s::text,6)"},
	{as: "short", decl: "varchar(20)", sql: "VARCHAR(20)", values: `'plain' | '' | 'Zoë 😀' | E'tab\tline\nquote''"\\'`},
	{as: "text", decl: "text", sql: "VARCHAR", values: `E'\x01\x1f\x7f\r\n\b\f' | '' | 'null' | E'</script>&\u2028\ufeff{"a":[1,"\\u0000"]}'`},
	{as: "citext", decl: "citext", sql: "VARCHAR", values: "'CiText' | ''"},
	{as: "mood", decl: "mood", sql: "VARCHAR", values: "'ok' | 'so, so'"},
	{as: "inet", decl: "inet", sql: "VARCHAR", values: "'192.168.1.5/24' | '2001:db8::1'", text: "case when %[1]s is not null then format('%%s',%[1]s) end"},
	{as: "bytes", decl: "bytea", sql: "VARBINARY", types: "bytes-base64", values: `'\x00ff10' | '\x' | '\xdeadbeef00'`, text: pgHex},
	{as: "three", decl: "bytea", sql: "BINARY(3)", types: "bytes-base64", values: `'\x00ff10' | '\x7f80ff'`, text: pgHex},
	{as: "date", decl: "date", sql: "DATE", types: "date-days", values: "'2024-02-29' | '1400-01-01' | '9999-12-31' | '1969-12-31'"},
	{as: "date_odd", decl: "date", sql: "DATE", types: "date-days", values: "'infinity' | '-infinity' | '0044-03-15 BC' | '10000-01-01'", text: "null"},
	{as: "clock0", decl: "time(0)", sql: "TIME", types: "time-millis", values: "'12:34:56' | '00:00:00' | '23:59:59'", text: fdClock},
	{as: "clock3", decl: "time(3)", sql: "TIME", types: "time-millis", values: "'12:34:56.789' | '00:00:00.001' | '23:59:59.999'", text: fdClock},
	{as: "clock", decl: "time", sql: "TIME", types: "time-micros", values: "'12:34:56.789012' | '00:00:00.000001' | '23:59:59.999999'", text: fdClock},
	{as: "clock_odd", decl: "time", sql: "TIME", types: "time-micros", values: "'24:00:00'", text: "null"},
	{as: "clock_zone", decl: "timetz", sql: "VARCHAR", values: "'12:34:56.789012+02' | '00:00:00+00' | '23:59:59.5-08:30'", text: `replace((%s at time zone 'UTC')::text,'+00','Z')`},
	{as: "stamp0", decl: "timestamp(0)", sql: "TIMESTAMP", types: "timestamp-millis", values: "'2024-02-29 12:34:56' | '1582-10-15' | '9999-12-31 23:59:59'", text: fdStamp},
	{as: "stamp3", decl: "timestamp(3)", sql: "TIMESTAMP", types: "timestamp-millis", values: "'2024-02-29 12:34:56.789' | '1969-12-31 23:59:59.999'", text: fdStamp},
	{as: "stamp", decl: "timestamp", sql: "TIMESTAMP", types: "timestamp-micros", values: "'2024-02-29 12:34:56.789012' | '1582-10-15' | '9999-12-31 23:59:59.999999' | '1969-12-31 23:59:59.999999'", text: fdStamp},
	{as: "stamp_odd", decl: "timestamp", sql: "TIMESTAMP", types: "timestamp-micros", values: "'infinity' | '-infinity' | '0044-03-15 01:02:03 BC' | '12345-06-07 08:09:10.123456'", text: "null"},
	{as: "instant", decl: "timestamptz", sql: "TIMESTAMP", types: "timestamp-zoned", values: "'2024-02-29 12:34:56.789012+05:30' | '1582-10-15 00:00Z' | '9999-12-31 23:59:59.999999Z'", text: fdStamp},
	{as: "instant_zone", decl: "timestamptz", sql: "TIMESTAMP WITH TIME ZONE", types: "timestamp-zoned", values: "'2024-02-29 12:34:56.789012+05:30' | '1969-12-31 23:59:59.999999Z'", text: fdStamp},
	{as: "instant_odd", decl: "timestamptz", sql: "TIMESTAMP", types: "timestamp-zoned", values: "'infinity' | '-infinity' | '0044-03-15 01:02:03Z BC' | '12345-06-07 08:09:10Z'", text: "null"},
	{as: "span", decl: "interval", sql: "BIGINT", values: "'1 year 2 months 3 days 4:05:06.789012' | '-1 month -2 days -3:04:05.5' | '0'", text: pgMicros},
	{as: "uuid", decl: "uuid", sql: "UUID", values: "'6ba7b810-9dad-11d1-80b4-00c04fd430c8' | '00000000-0000-0000-0000-000000000000' | 'ffffffff-ffff-ffff-ffff-ffffffffffff'"},
	// JSON's null is NULL there.
	{as: "doc", decl: "json", sql: "VARIANT", values: `'{"a" : 1.0, "b":[null, "x\n\u00e9"], "c": {}}' | '"text"' | 'null' | '1e2'`, text: "nullif(%s::text,'null')"},
	{as: "docb", decl: "jsonb", sql: "VARIANT", values: `'{"b": 12345678901234567890.123, "a": [null, "x"]}' | '[]' | 'null' | 'true'`, text: "nullif(%s::text,'null')"},
	{as: "doc_row", decl: "jsonb", sql: "ROW(a INT, b VARCHAR)", values: `'{"a": 1, "b": "x"}' | '{"a": null, "b": null}'`},
	{as: "doc_map", decl: "jsonb", sql: "MAP<VARCHAR, INT>", values: `'{"x y": 1, "z": null}' | '{}'`},
	{as: "doc_list", decl: "jsonb", sql: "INT ARRAY", values: `'[1, null]' | '[]'`},
	{as: "pairs", decl: "hstore", sql: "MAP<VARCHAR, VARCHAR>", values: `'a=>1, b=>NULL, "c d"=>"x \"y\""' | ''`, text: "hstore_to_json(%s)"},
	{as: "bools", decl: "boolean[]", sql: "BOOLEAN ARRAY", values: "'{true,NULL,false}' | '{}'", text: pgJSON},
	{as: "bigs", decl: "bigint[]", sql: "BIGINT ARRAY", values: "'{9223372036854775807,NULL}' | '{}'", text: pgJSON},
	{as: "floats", decl: "double precision[]", sql: "DOUBLE ARRAY", values: "'{0.1,-2.5,NULL}' | '{}'", text: pgJSON},
	{as: "amounts", decl: "numeric(10,2)[]", sql: "DECIMAL(10, 2) ARRAY", values: "'{12.30,NULL,-0.01}' | '{}'", text: pgTexts, json: "-"},
	{as: "texts", decl: "text[]", sql: "VARCHAR ARRAY", values: `'{plain,NULL,"a b",""}' | '{}'`, text: pgJSON},
	{as: "binaries", decl: "bytea[]", sql: "VARCHAR ARRAY", values: `array['\x00ff'::bytea,null]`, text: `(select '['||string_agg(coalesce('"'||encode(b,'base64')||'"','null'),',')||']' from unnest(%s) b)`},
	{as: "dates", decl: "date[]", sql: "DATE ARRAY", values: "'{2024-02-29,NULL,1969-12-31}' | '{}'", text: pgJSON, json: "-"},
	{as: "clocks", decl: "time[]", sql: "TIME ARRAY", values: "'{12:34:56.789,NULL}' | '{}'", text: strings.ReplaceAll(fdEach, "FORM", "HH24:MI:SS.US"), json: "-"},
	{as: "stamps", decl: "timestamp[]", sql: "TIMESTAMP ARRAY", values: "'{2024-02-29 12:34:56.789,NULL}' | '{}'", text: strings.ReplaceAll(fdEach, "FORM", "YYYY-MM-DD HH24:MI:SS.US"), json: "-"},
	{as: "uuids", decl: "uuid[]", sql: "UUID ARRAY", values: "'{6ba7b810-9dad-11d1-80b4-00c04fd430c8,NULL}' | '{}'", text: pgJSON},
	{as: "docs", decl: "jsonb[]", sql: "VARIANT ARRAY", values: `array['{"a": 1}'::jsonb,null]`, text: pgTexts, json: "-"},
	{as: "bool_text", decl: "boolean", sql: "VARCHAR", values: "true | false"},
	{as: "big_text", decl: "bigint", sql: "VARCHAR", values: "-9223372036854775808 | 0"},
	{as: "date_text", decl: "date", sql: "VARCHAR", types: "date-days", values: "'2024-02-29'"},
	{as: "stamp_text", decl: "timestamp", sql: "VARCHAR", types: "timestamp-micros", values: "'2024-02-29 12:34:56.5' | '2024-02-29'", text: `replace(` + fdStamp + `,'.000000','')`},
	{as: "big_variant", decl: "bigint", sql: "VARIANT", values: "-9223372036854775808 | 0"},
	{as: "amount_variant", decl: "numeric(10,2)", sql: "VARIANT", types: "decimal(10,2)", values: "12.30 | 0"},
	{as: `"camelCase"`, decl: "text", sql: "VARCHAR", values: "'a'"},
	{as: `"Größe in m²"`, decl: "numeric(5,1)", sql: "DECIMAL(5, 1)", types: "decimal(5,1)", values: "1.5 | -1000", avro: "-"},
}

// felderaKeys are a key of several types.
var felderaKeys = []sample{
	{as: "at", decl: "date", sql: "DATE", types: "date-days"}, {as: "amount", decl: "numeric(8,2)", sql: "DECIMAL(8, 2)", types: "decimal(8,2)"},
	{as: "uid", decl: "uuid", sql: "UUID"}, {as: "name", decl: "varchar(20)", sql: "VARCHAR"}, {as: "v", decl: "int", sql: "INTEGER"},
}
