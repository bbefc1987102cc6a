package debezium

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// TestRecallOfVersions: the columns that another version of a row's schema has are in its table from
// then on, in every form of rows. What the table has stays as it is.
func TestRecallOfVersions(t *testing.T) {
	connect := func(columns ...string) *frame.Schema {
		fields := `{"type":"int64","optional":false,"field":"id"}`
		for _, c := range columns {
			name, typ, _ := strings.Cut(c, " ")
			fields += `,{"type":"` + typ + `","optional":true,"field":"` + name + `"}`
		}
		return &frame.Schema{Connect: []byte(`{"type":"struct","name":"shop.public.t.Envelope","fields":[{"type":"struct","field":"after","optional":true,"fields":[` + fields + `]}]}`)}
	}
	row := func(columns ...string) *frame.Schema {
		fields := `{"name":"id","type":"long"}`
		for _, c := range columns {
			fields += `,{"name":"` + c + `","type":["null","string"],"default":null}`
		}
		typ, err := avro.Parse(`{"type":"record","name":"Value","namespace":"shop.public.t","fields":[` + fields + `]}`)
		if err != nil {
			t.Fatal(err)
		}
		return &frame.Schema{Avro: typ}
	}
	messages := func(column string) *frame.Schema {
		file, err := protobuf.Parse(`syntax = "proto3"; package shop.public.t; message Envelope { Value before = 1; Value after = 2; Source source = 3; optional string op = 4;
			message Value { optional int64 id = 1; `+column+` } message Source { optional string db = 1; optional string schema = 2; optional string table = 3; } }`, nil)
		if err != nil {
			t.Fatal(err)
		}
		return &frame.Schema{Protobuf: file}
	}
	text := func(b []byte, n protowire.Number, s string) []byte {
		return protowire.AppendString(protowire.AppendTag(b, n, protowire.BytesType), s)
	}
	image := string(protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), 1))
	source := string(text(text(text(nil, 1, "shop"), 2, "public"), 3, "t"))
	const event = `{"before":null,"after":{"id":1},"source":{"db":"shop","schema":"public","table":"t"},"op":"c"}`
	other := connect("o string")
	other.Connect = []byte(strings.ReplaceAll(string(other.Connect), "public.t.", "public.other."))
	for _, tc := range []struct {
		name          string
		now, then     *frame.Schema
		value, column string
		want          string // "": there is nothing new
	}{
		{"JSON", connect(), connect("o string", "n int32"), event, "", "id INTEGER, o STRING, n INTEGER"},
		{"of another type", connect("o int32"), connect("o string", "n int32"), event, "", "id INTEGER, o INTEGER, n INTEGER"},
		{"the same columns", connect("o int32"), connect("o string"), event, "", ""},
		{"another record", connect(), other, event, "", ""},
		{"a name that is taken", connect("o string"), connect("O string", "p string"), event, "lower", "id INTEGER, o STRING, p STRING"},
		{"not to be read", connect(), connect("o nothing", "p string"), event, "", "id INTEGER, p STRING"},
		{"flattened Avro", row(), row("o", "__op"), "\x02", "", "id INTEGER, o STRING"},
		{"Protobuf", messages(""), messages("optional string o = 2;"), string(text(text(text([]byte{0}, 2, image), 3, source), 4, "c")), "", "id INTEGER, o STRING"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opt := Options{Table: func(id Identity) string { return id.Table }, MaxLength: 80}
			if tc.column == "lower" {
				opt.Column = func(_, source string) string { return strings.ToLower(source) }
			}
			opt.Schema = func(id frame.ID) (*frame.Schema, error) {
				return map[uint64]*frame.Schema{1: tc.now, 2: tc.then}[id.Number], nil
			}
			d := NewDecoder("shop.public.t", opt)
			rec := Record{Key: []byte(`{"id":1}`), Value: framedAs(1, []byte(tc.value))}
			if _, err := d.Decode(rec); err != nil {
				t.Fatal(err)
			}
			for _, r := range d.Take(nil) {
				Recycle(r)
			}
			id := d.SchemaOf(rec)
			names := func(rows *schema.Rows) string {
				var all []string
				for _, c := range rows.Columns {
					all = append(all, fmt.Sprint(c.Name, " ", c.Type.Kind))
				}
				return strings.Join(all, ", ")
			}
			rows := d.Recall(id, frame.Number(frame.SchemaID, 2, 32))
			if rows == nil && tc.want == "" {
				return
			}
			if rows == nil || rows.Len() > 0 || names(rows) != tc.want {
				t.Fatalf("it recalls %+v, want %s", rows, tc.want)
			}
			if again := d.Recall(id, frame.Number(frame.SchemaID, 2, 32)); again != nil {
				t.Errorf("then %s", names(again))
			}
			if _, err := d.Decode(rec); err != nil {
				t.Fatal(err)
			}
			if runs := d.Take(nil); len(runs) != 1 || names(runs[0]) != tc.want || runs[0].Values[len(runs[0].Columns)-1].States[0] != schema.Null {
				t.Errorf("the next row has %s", names(runs[0]))
			}
		})
	}
}

// TestSchemaOf: a value that is under no schema of a registry has none.
func TestSchemaOf(t *testing.T) {
	for value, want := range map[string]frame.ID{"": {}, `{"op":"c"}`: {}, "\x00\x00": {}, "\x00\x00\x00\x00\x07x": frame.Number(frame.SchemaID, 7, 32)} {
		if got := NewDecoder("t", Options{}).SchemaOf(Record{Value: []byte(value)}); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	if got := NewDecoder("t", Options{Format: JSON}).SchemaOf(Record{Value: []byte("\x00\x00\x00\x00\x07x")}); got != (frame.ID{}) {
		t.Errorf("plain: %v", got)
	}
}
