package debezium

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
)

func allMetadata(string) (all []MetadataColumn) {
	for i, name := range MetadataNames {
		all = append(all, MetadataColumn{Metadata(i), "_" + name})
	}
	return all
}

// TestMetadata: written rows tell of their change, what is deleted has its key only, and
// a source's column of such a name is not mixed up with it.
func TestMetadata(t *testing.T) {
	opt := testOptions()
	opt.Metadata = allMetadata
	d := NewDecoder("p.public.t", opt)
	for i, m := range []message{
		{`{"id":1}`, event("c", "null", `{"id":1,"s":"a"}`)},
		{`{"id":1}`, strings.Replace(event("r", "null", `{"id":1,"s":"b"}`), `"ts_ms":1700000000000,`, `"sequence":"[\"24\",\"25\"]",`, 1)},
		{`{"id":1}`, event("d", `{"id":1}`, "null")},
	} {
		if _, err := d.Decode(Record{Partition: 3, Offset: int64(i + 7), Key: []byte(m.key), Value: []byte(m.value)}); err != nil {
			t.Fatal(err)
		}
	}
	runs := d.Take(nil)
	want := `public_t(id*:INTEGER s:STRING _op:STRING _deleted:BOOLEAN _source_ts:DATETIME _source_position:STRING _kafka_position:STRING _kafka_partition:INTEGER _kafka_offset:INTEGER _delivered_at:DATETIME)
  7 upsert 1 "a" "c" false 2023-11-14T22:13:20 NULL "p.public.t-3@7" 3 7 NULL
  8 upsert 1 "b" "r" false NULL "24/25" "p.public.t-3@8" 3 8 NULL
  9 delete 1 NULL NULL NULL NULL NULL NULL NULL NULL NULL
`
	if got := text(runs); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	for _, c := range runs[0].Columns {
		if c.Stamp != (c.Name == "_delivered_at") {
			t.Errorf("column %s: stamp %v", c.Name, c.Stamp)
		}
	}
	for _, name := range []string{"_op", "_deleted"} {
		_, err := NewDecoder("p.public.t", opt).Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(event("c", "null", `{"id":1,"`+name+`":"x"}`))})
		if !ofTable(err) || !strings.Contains(said(err), `"`+name+`" at the target`) || !strings.Contains(said(err), "tables.public_t.columns") {
			t.Errorf("a source column of that name: %v", said(err))
		}
	}
}

// TestPosition: what each connector's documentation shows of its source block, as JSON
// and as Avro, and where it stands.
func TestPosition(t *testing.T) {
	for _, tc := range []struct{ connector, source, want string }{
		{"postgresql", `"sequence":"[\"24023128\",\"24023160\"]","lsn":24023160`, "24023128/24023160"},
		{"postgresql", `"sequence":"[null,\"24023160\"]"`, "/24023160"},
		{"postgresql", `"sequence":null,"lsn":9007199254740993`, "9007199254740993"},
		{"mysql", `"server_id":223344,"gtid":null,"file":"mysql-bin.000003","pos":154,"row":0`, "mysql-bin.000003/154/0"},
		{"mariadb", `"file":"b.1","pos":4,"row":2`, "b.1/4/2"},
		{"sqlserver", `"change_lsn":"00000027:00000758:0003","commit_lsn":"00000027:00000758:0005","event_serial_no":1`, "00000027:00000758:0005/00000027:00000758:0003/1"},
		{"sqlserver", `"change_lsn":null,"commit_lsn":"00000027:00000758:0005","event_serial_no":null`, "00000027:00000758:0005//"},
		{"oracle", `"txId":"6.28.807","scn":"2122185","commit_scn":"2122187","rs_id":" 0x0000ae.000f2d9b.0010 ","ssn":0`, "2122187/2122185/0x0000ae.000f2d9b.0010/0"},
		{"oracle", `"txId":"6.28.807","scn":"2122185","commit_scn":"2122187","txSeq":3`, "2122187/6.28.807/3"},
		{"oracle", `"lcr_position":"00000000001ca4a7"`, "00000000001ca4a7"},
		{"db2", `"change_lsn":"00000027:00000758","commit_lsn":null`, "/00000027:00000758"},
		{"mongodb", `"ord":31`, "1700000000000/31"},
		{"vitess", `"vgtid":"a"`, "a"},
		{"unheard-of", `"lsn":1`, ""},
		{"mysql", `"x":1`, ""},
	} {
		opt := testOptions()
		opt.Metadata = func(string) []MetadataColumn { return []MetadataColumn{{SourcePosition, "at"}} }
		check := func(form string, opt Options, rec Record) {
			d := NewDecoder("p.public.t", opt)
			if _, err := d.Decode(rec); err != nil {
				t.Fatalf("%s as %s: %v", tc.source, form, err)
			}
			want := "NULL"
			if tc.want != "" {
				want = fmt.Sprintf("%q", tc.want)
			}
			if got := cell(&d.Take(nil)[0].Values[1], 0); got != want {
				t.Errorf("%s %s as %s: %s, want %s", tc.connector, tc.source, form, got, want)
			}
		}
		value := strings.Replace(event("c", "null", `{"id":1}`), `"connector":"postgresql",`, `"connector":"`+tc.connector+`",`+tc.source+`,`, 1)
		check("JSON", opt, Record{Key: []byte(`{"id":1}`), Value: []byte(value)})

		opt, rec := avroSourced(t, opt, tc.connector, tc.source)
		check("Avro", opt, rec)
	}
}

// avroSourced is an event of a connector as Avro, with members of JSON in its source block.
func avroSourced(t *testing.T, opt Options, connector, members string) (Options, Record) {
	source := avroSource()
	source["connector"] = connector
	fields, text := "", avroEnvelope(`{"name":"id","type":"long"}`)
	s := scanner{b: []byte("{" + members + "}")}
	for more, err := s.open(); more; more, err = s.next() {
		name, _ := s.name(new([]byte))
		field := string(name)
		val, _ := s.skip()
		if err != nil {
			t.Fatal(err)
		}
		typ := "string"
		switch n, isInt := parseInt(val); {
		case isNull(val):
			source[field] = nil
		case isInt && val[0] != '"':
			typ = "long"
			source[field] = goavro.Union(typ, n)
		default:
			raw, _ := unescape(nil, val[1:len(val)-1])
			source[field] = goavro.Union(typ, string(raw))
		}
		if have, ok := avroSource()[field]; ok { // in the schema already
			if _, union := have.(map[string]any); !union && have != nil {
				for v := range maps.Values(source[field].(map[string]any)) {
					source[field] = v
				}
			}
			continue
		}
		fields += `{"name":"` + field + `","type":["null","` + typ + `"]},`
	}
	text = strings.Replace(text, `{"name":"version","type":"string"},`, `{"name":"connector","type":"string"},`+fields+`{"name":"version","type":"string"},`, 1)
	rig := newAvroRig(t, keySchema, text)
	opt.Schema = rig.options().Schema
	return opt, rig.record(t, 1, map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", map[string]any{"id": int64(1)}),
		"source": source, "transaction": nil, "op": "c", "ts_ms": nil})
}

// TestMetadataAllocatesNothing: it costs time, and no memory a row.
func TestMetadataAllocatesNothing(t *testing.T) {
	opt := testOptions()
	opt.Metadata = allMetadata
	d := NewDecoder("p.public.t", opt)
	rec := Record{Key: []byte(`{"id":1}`), Value: []byte(strings.Replace(event("c", "null", `{"id":1}`), `"db"`, `"sequence":"[\"24\",\"25\"]","db"`, 1))}
	allocatesNothing(t, d, rec)
}
