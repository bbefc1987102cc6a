package debezium

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

// avroTree holds itself twice.
const avroTree = `{"name":"v","type":["null",{"type":"record","name":"Tree","fields":[{"name":"left","type":["null","Tree"]},{"name":"right","type":["null","Tree"]}]}]}`

// avroDoubling is a type of few words that holds 2^n others and is finite.
func avroDoubling(n int) string {
	text := `"string"`
	for i := range n {
		text = fmt.Sprintf(`{"type":"record","name":"D%d","fields":[{"name":"a","type":%s},{"name":"b","type":%s}]}`, i, text, inner(i))
	}
	return `{"name":"v","type":["null",` + text + `]}`
}

func inner(i int) string {
	if i == 0 {
		return `"string"`
	}
	return fmt.Sprintf(`"D%d"`, i-1)
}

// TestUnfolding: a schema that names its types can hold more of them than there is room for,
// or be without end where one holds itself. The column is refused, and leaving it out helps.
func TestUnfolding(t *testing.T) {
	key, err := avro.Parse(keySchema)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, column, want string }{
		{"holds itself twice", avroTree, "nested without end"},
		{"doubles", avroDoubling(30), "more than 10000 types"},
		{"is nested deep", avroDoubling(40), "nested without end"},
	} {
		typ, err := avro.Parse(`{"type":"record","name":"Value","namespace":"p.public.t","fields":[{"name":"id","type":"long"},` + tc.column + `,{"name":"s","type":"string"}]}`)
		if err != nil {
			t.Fatal(err)
		}
		opt := testOptions()
		opt.Schema = avroSchemas(map[uint64]*avro.Type{1: key, 2: typ})
		rec := Record{Key: framedAs(1, []byte{2}), Value: framedAs(2, []byte{2, 0, 2, 'x'})}
		_, err = NewDecoder("p.public.t", opt).Decode(rec)
		var bad *BadRecord
		if !errors.As(err, &bad) || bad.Table != "public_t" || bad.Column != "v" || !strings.Contains(bad.Error(), tc.want) || !strings.Contains(bad.Remedy, "excludeColumns") {
			t.Errorf("Avro that %s: %v, want %q", tc.name, err, tc.want)
		}
		opt.Rule = func(_, source string) Rule {
			if source == "v" {
				return Rule{Action: Exclude}
			}
			return Rule{}
		}
		d := NewDecoder("p.public.t", opt)
		if _, err := d.Decode(rec); err != nil {
			t.Errorf("without the column: %v", err)
		}
		if got, want := text(d.Take(nil)), "public_t(id*:INTEGER s:STRING)\n  0 upsert 1 \"x\"\n"; got != want {
			t.Errorf("without the column: got\n%swant\n%s", got, want)
		}
	}
}

// TestUnfoldingProtobuf: messages unfold as records do.
func TestUnfoldingProtobuf(t *testing.T) {
	text := `syntax = "proto3"; message Value { int64 id = 1; D0 v = 2; optional string s = 3; Tree t = 4; }
		message Tree { Tree left = 1; repeated Tree right = 2; } message D30 { string x = 1; }`
	for i := range 30 {
		text += fmt.Sprintf(" message D%d { D%d a = 1; D%d b = 2; }", i, i+1, i+1)
	}
	file, err := protobuf.Parse(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	opt := testOptions()
	opt.Events = EventsFlattened
	leftOut := ""
	opt.Rule = func(_, source string) Rule {
		if strings.Contains(leftOut, source) {
			return Rule{Action: Exclude}
		}
		return Rule{}
	}
	opt.Schema = func(frame.ID) (*frame.Schema, error) { return &frame.Schema{Protobuf: file}, nil }
	for _, tc := range []struct{ leftOut, want string }{
		{"t", "column v: its type struct of struct"}, {"t", "more than 10000 types"}, {"v", "nested without end"}, {"vt", "<nil>"},
	} {
		leftOut = tc.leftOut
		_, err := NewDecoder("p.public.t", opt).Decode(Record{Key: []byte(`{"id":1}`), Value: framedAs(2, []byte{0, 8, 1, 26, 1, 'x'})})
		if !strings.Contains(fmt.Sprint(err), tc.want) {
			t.Errorf("without %s: %v, want %q", leftOut, err, tc.want)
		}
	}
}

// FuzzAvroSchema makes a plan of any schema, in memory in proportion to it beside what the
// most types take that a plan may have, which are not 2^n.
func FuzzAvroSchema(f *testing.F) {
	f.Add(`{"type":"record","name":"Value","fields":[` + avroTree + `]}`)
	f.Add(`{"type":"record","name":"Value","fields":[` + avroDoubling(12) + `]}`)
	f.Add(`{"type":"record","name":"Value","fields":[` + avroDoubling(40) + `]}`)
	f.Add(avroEnvelope(`{"name":"m","type":{"type":"map","values":{"type":"array","items":["null","Source"]}}}`))
	f.Add(avroEnvelope(`{"name":"m","type":{"type":"map","values":["null",{"type":"array","items":"Value"}]}}`))
	f.Fuzz(func(t *testing.T, schema string) {
		typ, err := avro.Parse(schema)
		if err != nil {
			return
		}
		opt := testOptions()
		for _, isKey := range []bool{false, true} {
			schematest.Within(t, 1<<25, 1<<10, len(schema), func() { opt.compileAvro(typ, isKey) })
		}
	})
}
