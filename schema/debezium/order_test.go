package debezium

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

// orderedOptions are those of a table that is ordered by position.
func orderedOptions() Options {
	opt := testOptions()
	opt.ByPosition = func(table string) bool { return table == "public_t" }
	return opt
}

// sourced is an event of a connector, with members of its source block.
func sourced(op, connector, source string) string {
	image := `{"id":1}`
	before, after := "null", image
	if op == "d" {
		before, after = image, "null"
	}
	text := event(op, before, after)
	for _, member := range []string{`"ts_ms":1700000000000,`, `"db":"shop",`} {
		if name, _, _ := strings.Cut(member, ":"); strings.Contains(source, name) {
			text = strings.Replace(text, member, "", 1)
		}
	}
	return strings.Replace(text, `"connector":"postgresql",`, `"connector":"`+connector+`","name":"shop",`+source+`,`, 1)
}

// positionOf decodes an event in a partition and returns its position, the same from JSON
// and Avro.
func positionOf(t *testing.T, part int32, connector, source string) []byte {
	t.Helper()
	d := NewDecoder("p.public.t", orderedOptions())
	if _, err := d.Decode(Record{Partition: part, Key: []byte(`{"id":1}`), Value: []byte(sourced("u", connector, source))}); err != nil {
		t.Fatalf("%s: %v", source, said(err))
	}
	run := d.Take(nil)[0]
	if len(run.PositionEnds) != 1 {
		t.Fatalf("%d positions of one row", len(run.PositionEnds))
	}
	at := slices.Clone(run.Position(0))
	opt, rec := avroSourced(t, orderedOptions(), connector, `"name":"shop",`+source)
	rec.Partition = part
	d = NewDecoder("p.public.t", opt)
	if _, err := d.Decode(rec); err != nil {
		t.Fatalf("%s as Avro: %v", source, said(err))
	}
	if avro := d.Take(nil)[0].Position(0); !bytes.Equal(avro, at) {
		t.Errorf("%s: %x as JSON, %x as Avro", source, at, avro)
	}
	return at
}

// TestOrder: of each connector, source blocks in the order of their changes, each before
// all that follow it.
func TestOrder(t *testing.T) {
	for _, tc := range []struct {
		connector string
		sources   []string
	}{
		{"postgresql", []string{
			`"sequence":"[null,\"24023100\"]","lsn":24023100,"snapshot":"true"`,
			`"sequence":"[null,\"24023128\"]","lsn":24023128`, // the first commit after it
			`"sequence":"[\"24023128\",\"24023160\"]","lsn":24023160`,
			`"sequence":"[\"24023128\",\"24023161\"]","lsn":24023161`,
			`"sequence":"[\"24023200\",\"24023150\"]","lsn":24023150`, // logged before, committed after
			`"sequence":"[\"9007199254740992\",\"9007199254740992\"]"`,
			`"sequence":"[\"9007199254740992\",\"9007199254740993\"]"`, // beyond 2^53
			`"sequence":"[\"9223372036854775808\",\"9223372036854775809\"]"`,
			`"sequence":"[\"18446744073709551615\",\"18446744073709551615\"]"`,
		}},
		{"postgresql", []string{`"sequence":null,"lsn":9007199254740992`, `"lsn":9007199254740993`}},
		{"mysql", []string{
			`"server_id":223344,"gtid":null,"file":"mysql-bin.000003","pos":154,"row":0`,
			`"server_id":223344,"gtid":null,"file":"mysql-bin.000003","pos":154,"row":1`,
			`"server_id":223344,"gtid":null,"file":"mysql-bin.000003","pos":1000,"row":0`,
			`"server_id":223344,"file":"mysql-bin.000010","pos":4,"row":0`,
			`"server_id":223344,"file":"mysql-bin.999999","pos":4,"row":0`,
			`"server_id":223344,"file":"mysql-bin.1000000","pos":4,"row":0`,
		}},
		{"mysql", []string{
			`"server_id":1,"gtid":"24bc7850-2c16-11e6-a073-0242ac110002:9","file":"a.000009","pos":900,"row":0`,
			`"server_id":1,"gtid":"24bc7850-2c16-11e6-a073-0242ac110002:10","file":"a.000010","pos":100,"row":0`,
			`"server_id":1,"gtid":"24bc7850-2c16-11e6-a073-0242ac110002:10","file":"a.000010","pos":100,"row":1`,
			`"server_id":2,"gtid":"24bc7850-2c16-11e6-a073-0242ac110002:11","file":"b.000001","pos":4,"row":0`, // read off another server
		}},
		{"mysql", []string{
			`"server_id":1,"gtid":"24bc7850-2c16-11e6-a073-0242ac110002:tag:2","file":"a.1","pos":4,"row":0`,
			`"server_id":1,"gtid":"24bc7850-2c16-11e6-a073-0242ac110002:tag:10","file":"a.1","pos":9,"row":0`,
		}},
		{"mariadb", []string{
			`"server_id":1,"gtid":"0-1-9","file":"m.000002","pos":9,"row":0`,
			`"server_id":1,"gtid":"0-1-100","file":"m.000002","pos":90,"row":0`,
			`"server_id":2,"gtid":"0-2-101","file":"m.000001","pos":4,"row":0`,
		}},
		{"sqlserver", []string{
			`"change_lsn":null,"commit_lsn":"00000027:00000758:0005","event_serial_no":null,"snapshot":"last"`,
			`"change_lsn":"00000027:00000758:0003","commit_lsn":"00000027:00000758:0005","event_serial_no":1`,
			`"change_lsn":"00000027:00000758:0003","commit_lsn":"00000027:00000758:0005","event_serial_no":2`,
			`"change_lsn":"00000027:00000758:000a","commit_lsn":"00000027:00000758:0005","event_serial_no":1`,
			`"change_lsn":"00000027:00000758:0001","commit_lsn":"00000027:00000759:0001","event_serial_no":1`,
			`"change_lsn":"ffffffff:00000758:0001","commit_lsn":"ffffffff:ffffffff:ffff","event_serial_no":1`,
		}},
		{"db2", []string{
			`"change_lsn":"00000027:00000758:0003","commit_lsn":"00000027:00000758:0005"`,
			`"change_lsn":"00000027:00000758:0004","commit_lsn":"00000027:00000758:0005"`,
			`"change_lsn":"00000027:00000758:0001","commit_lsn":"00000027:00000758:0006"`,
		}},
		{"informix", []string{
			`"commit_lsn":"94490255020","change_lsn":"94490255000"`,
			`"commit_lsn":"94490255020","change_lsn":"94490255001"`,
			`"commit_lsn":"944902550200","change_lsn":"1"`,
		}},
		{"oracle", []string{
			`"scn":"2122100","commit_scn":null,"snapshot":"true"`,
			`"scn":"2122185","commit_scn":"2122187","rs_id":" 0x0000ae.000f2d9b.0010 ","ssn":0`,
			`"scn":"2122185","commit_scn":"2122187","rs_id":" 0x0000ae.000f2d9b.0010 ","ssn":1`,
			`"scn":"2122185","commit_scn":"2122187","rs_id":" 0x0000ae.000f2d9b.0020 ","ssn":0`,
			`"scn":"2122186","commit_scn":"2122187","rs_id":" 0x0000ae.000f2d9b.0000 ","ssn":0`,
			`"scn":"2122100","commit_scn":"2122188","txSeq":1`,
			`"scn":"2122090","commit_scn":"2122188","txSeq":2`,
			`"scn":"1","commit_scn":"9223372036854775808","txSeq":1`, // beyond 2^63
			`"scn":"1","commit_scn":"18446744073709551616","txSeq":1`,
			`"scn":"1","commit_scn":"184467440737095516150","txSeq":1`,
		}},
		{"oracle", []string{ // a cluster, with each of its redo threads or the change's own
			`"scn":"5","commit_scn":"100:1:0a002100-0a002200,90:2:0b001500","redo_thread":2,"txSeq":1`,
			`"scn":"5","commit_scn":"95","redo_thread":1,"txSeq":1`,
			`"scn":"5","commit_scn":"100:1:0a002100,110:2:","redo_thread":1,"txSeq":1`,
			`"scn":"5","commit_scn":"100:1:0a002100","redo_thread":1,"txSeq":2`,
			`"scn":"5","commit_scn":"120:0x0000ae.000f2d9b.0010:0:1,101:0x0000ae.000f2d9b.0010:1:12","redo_thread":12,"txSeq":1`, // before 1.9.6
			`"scn":"5","commit_scn":"9:1:,18446744073709551616:2:0b001500","redo_thread":2,"txSeq":1`,
		}},
		{"oracle", []string{`"lcr_position":"00000000001ca4a7"`, `"lcr_position":"00000000001CA4A8"`}},
		{"mongodb", []string{
			`"ts_ms":1700000000000,"ord":-1,"snapshot":"true"`, `"ts_ms":1700000000000,"ord":1`, `"ts_ms":1700000000000,"ord":31`, `"ts_ms":1700000001000,"ord":1`,
		}},
		{"spanner", []string{
			`"ts_us":1700000000000001,"server_transaction_id":"z","sequence":"00000009","mod_number":9`,
			`"ts_us":1700000000000002,"server_transaction_id":"a","sequence":"00000000","mod_number":0`, // of the same millisecond
			`"ts_us":1700000000000002,"server_transaction_id":"a","sequence":"00000000","mod_number":1`,
			`"ts_us":1700000000000002,"server_transaction_id":"a","sequence":"00000000","mod_number":10`,
			`"ts_us":1700000000000002,"server_transaction_id":"a","sequence":"00000001","mod_number":0`,
			`"ts_us":1700000000000002,"server_transaction_id":"a","sequence":"100000000","mod_number":0`,
			`"ts_us":1700000000000002,"server_transaction_id":"aa","sequence":"00000000","mod_number":0`,
			`"ts_us":1700000000000003,"server_transaction_id":"a","sequence":"00000000","mod_number":0`,
		}},
		{"cockroachdb", []string{
			`"ts_hlc":"999999999999999999.0000000009"`,
			`"ts_hlc":"1700000000000000000.0000000000"`,
			`"ts_hlc":"1700000000000000000.0000000009"`,
			`"ts_hlc":"1700000000000000000.0000000010"`,
			`"ts_hlc":"1700000000000000001.0000000000"`,
		}},
	} {
		for i, a := range tc.sources {
			for j, b := range tc.sources {
				x, y := positionOf(t, 0, tc.connector, a), positionOf(t, 1, tc.connector, b)
				if got := schema.Before(x, y); got != (i < j) {
					t.Errorf("%s: %s is before %s: %v", tc.connector, a, b, got)
				}
				if schema.Before(x, positionOf(t, 0, tc.connector, b)) {
					t.Errorf("%s: %s is before %s by its position, and both are of one partition", tc.connector, a, b)
				}
			}
		}
	}
}

// TestNoOrder: what compares with nothing comes as it comes.
func TestNoOrder(t *testing.T) {
	for _, tc := range []struct{ connector, a, b string }{
		{"mysql", `"server_id":1,"file":"a.1","pos":4,"row":0`, `"server_id":2,"file":"a.2","pos":4,"row":0`},
		{"mysql", `"server_id":1,"file":"a.1","pos":4,"row":0`, `"server_id":1,"file":"b.2","pos":4,"row":0`},
		{"mysql", `"server_id":1,"gtid":"u:1","file":"a.1","pos":4,"row":0`, `"server_id":1,"gtid":"v:2","file":"a.2","pos":4,"row":0`},
		{"mysql", `"server_id":0,"file":"a.1","pos":4,"row":0,"snapshot":"true"`, `"server_id":1,"file":"a.2","pos":4,"row":0`},
		{"mariadb", `"server_id":1,"gtid":"0-1-1","file":"a.1","pos":4,"row":0`, `"server_id":1,"gtid":"1-1-2","file":"a.1","pos":9,"row":0`},
		{"postgresql", `"sequence":"[\"24\",\"25\"]","lsn":null,"snapshot":"incremental"`, `"sequence":"[\"26\",\"27\"]"`},
		{"postgresql", `"lsn":-9223372036854775808,"snapshot":"true"`, `"lsn":27`},
		{"sqlserver", `"commit_lsn":"NULL","snapshot":"true"`, `"commit_lsn":"00000027:00000758:0005"`},
	} {
		a, b := positionOf(t, 0, tc.connector, tc.a), positionOf(t, 1, tc.connector, tc.b)
		if schema.Before(a, b) || schema.Before(b, a) {
			t.Errorf("%s: %s and %s have an order", tc.connector, tc.a, tc.b)
		}
	}
	a, b := positionOf(t, 0, "postgresql", `"lsn":1`), positionOf(t, 1, "postgresql", `"lsn":2,"db":"other"`)
	if schema.Before(a, b) {
		t.Error("two databases' changes have an order")
	}
}

// TestNoPosition: a table that is ordered by position is held where that is not told, and
// by a row that is not whole.
func TestNoPosition(t *testing.T) {
	for value, want := range map[string]string{
		sourced("u", "vitess", `"vgtid":"x"`):                                                                                `"vitess" have no total order`,
		sourced("u", "unheard-of", `"lsn":1`):                                                                                `"unheard-of" have no total order`,
		sourced("u", "spanner", `"ts_ms":1700000000000,"sequence":"0"`):                                                      "source.ts_us",
		sourced("u", "cockroachdb", `"ts_hlc":"1700000000000000000"`):                                                        "does not tell the change's position",
		sourced("u", "postgresql", `"x":1`):                                                                                  "does not tell the change's position",
		sourced("u", "postgresql", `"lsn":-1`):                                                                               "does not tell the change's position",
		sourced("u", "mysql", `"file":"a.1","pos":4`):                                                                        "does not tell the change's position",
		sourced("u", "oracle", `"commit_scn":"x"`):                                                                           "does not tell the change's position",
		sourced("u", "oracle", `"commit_scn":"1,2"`):                                                                         "lists several redo threads",
		sourced("u", "oracle", `"commit_scn":"1:1:,2:2:"`):                                                                   "lists several redo threads",
		sourced("u", "oracle", `"commit_scn":"1:1:,2:2:","redo_thread":3`):                                                   "lists several redo threads",
		`{"id":1,"__op":"u","__table":"t","__schema":"public"}`:                                                              "without Debezium's source block",
		strings.Replace(sourced("u", "postgresql", `"lsn":1`), `{"id":1}`, `{"id":1,"v":"__debezium_unavailable_value"}`, 1): "did not log all values",
	} {
		d := NewDecoder("p.public.t", orderedOptions())
		_, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(value)})
		if !ofTable(err) || !strings.Contains(said(err), want) || !strings.Contains(said(err), "tables.public_t.order") {
			t.Errorf("%s: %s, want %s", value, said(err), want)
		}
		if runs := d.Take(nil); len(runs) > 0 {
			t.Errorf("%s left a row", value)
		}
	}
}

// TestTombstonePosition: a tombstone is no older than the record before it, and older than
// any other partition's if there is none.
func TestTombstonePosition(t *testing.T) {
	lsn := func(n string) string { return `"lsn":` + n }
	tombstone := func(before ...string) []byte {
		d := NewDecoder("p.public.t", orderedOptions())
		for _, source := range before {
			if _, err := d.Decode(Record{Key: []byte(`{"id":2}`), Value: []byte(strings.ReplaceAll(sourced("u", "postgresql", source), `{"id":1}`, `{"id":2}`))}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`)}); err != nil {
			t.Fatal(err)
		}
		run := d.Take(nil)[0]
		return run.Position(run.Len() - 1)
	}
	other := func(n string) []byte { return positionOf(t, 1, "postgresql", lsn(n)) }
	for _, tc := range []struct {
		a, b []byte
		want bool
	}{
		{tombstone(), other("1"), true},
		{other("1"), tombstone(), false},
		{tombstone(lsn("5")), other("6"), true},
		{other("4"), tombstone(lsn("5")), true},
		{tombstone(lsn("5")), other("4"), false},
		{tombstone(lsn("5")), other("5"), false},
	} {
		if got := schema.Before(tc.a, tc.b); got != tc.want {
			t.Errorf("%x is before %x: %v", tc.a, tc.b, got)
		}
	}
}

// TestPlaceAllocatesNothing: a position costs time, and no memory a row.
func TestPlaceAllocatesNothing(t *testing.T) {
	d := NewDecoder("p.public.t", orderedOptions())
	rec := Record{Key: []byte(`{"id":1}`), Value: []byte(sourced("u", "postgresql", `"sequence":"[\"24\",\"25\"]","lsn":25`))}
	allocatesNothing(t, d, rec)
}
