package avro

import (
	"bytes"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

// FuzzReader walks over any bytes under schemas of every shape. It neither panics, nor
// runs on, nor allocates; and it takes for a value just what goavro takes for one.
func FuzzReader(f *testing.F) {
	goavro.MaxBlockCount, goavro.MaxBlockSize = 1000, 1000 // it makes room for what a count promises
	schemas := []struct {
		text    string
		goavros bool // false where goavro would make a list of every null
	}{
		{`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":"null"}},
			{"name":"m","type":{"type":"map","values":["null","R","string"]}},{"name":"x","type":{"type":"fixed","name":"X","size":3}},
			{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}},{"name":"d","type":"double"},{"name":"s","type":"bytes"}]}`, false},
		{`{"type":"record","name":"R","fields":[{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},
			{"name":"f","type":"float"},{"name":"d","type":"double"},{"name":"s","type":"string"},{"name":"y","type":"bytes"},
			{"name":"x","type":{"type":"fixed","name":"X","size":3}},{"name":"e","type":{"type":"enum","name":"E","symbols":["A","B"]}}]}`, true},
		{`{"type":"array","items":["null","long",{"type":"array","items":"string"}]}`, true},
		{`{"type":"map","values":["string","null"]}`, true},
		{`{"type":"record","name":"Tree","fields":[{"name":"v","type":"int"},{"name":"left","type":["null","Tree"]},{"name":"more","type":{"type":"array","items":"Tree"}}]}`, true},
	}
	var types []*Type
	var codecs []*goavro.Codec
	for _, s := range schemas {
		t, err := Parse(s.text)
		if err != nil {
			f.Fatal(err)
		}
		codec, err := goavro.NewCodec(s.text)
		if err != nil {
			f.Fatal(err)
		}
		types, codecs = append(types, t), append(codecs, codec)
	}
	f.Add(uint8(0), []byte{0, 0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9})
	f.Add(uint8(0), []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1})
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		n := int(which) % len(types)
		var r Reader
		var got []byte
		if allocs := testing.AllocsPerRun(10, func() { r = Reader{Data: data}; got = r.Skip(types[n]) }); allocs > 0 {
			t.Fatalf("%v allocations", allocs)
		}
		if !r.Failed && len(got)+r.Left() != len(data) {
			t.Fatal("bytes got lost")
		}
		if !schemas[n].goavros {
			return
		}
		native, rest, err := codecs[n].NativeFromBinary(data)
		switch {
		case err != nil && !r.Failed:
			// Its limits, and a map that has a name twice, which is no concern of who skips it.
			if !strings.Contains(err.Error(), "exceeds MaxBlock") && !strings.Contains(err.Error(), "duplicate key") {
				t.Fatalf("walked over %d bytes, while goavro says %v", len(got), err)
			}
		case err == nil && r.Failed:
			// It lets numbers of more than 64 bits wrap around, asks of no block whether it has
			// the size that it says, and follows any nesting.
			again, err := codecs[n].BinaryFromNative(nil, native)
			if err == nil && bytes.Equal(again, data[:len(data)-len(rest)]) && len(again) < maxDepth {
				t.Fatalf("failed, while goavro reads %v", native)
			}
		case err == nil && len(rest) != r.Left():
			t.Fatalf("%d bytes left, goavro leaves %d", r.Left(), len(rest))
		}
	})
}

// FuzzParse parses any schema, and walks over bytes under those that are one. What parsing
// takes, most of it goavro's, is in proportion to the schema; walking takes nothing.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string, data []byte) {
		var typ *Type
		var err error
		schematest.Within(t, 1<<15, 1<<12, len(text), func() { typ, err = Parse(text) })
		if err != nil {
			return
		}
		var r Reader
		var got []byte
		schematest.Within(t, 0, 0, len(data), func() { r = Reader{Data: data}; got = r.Skip(typ) })
		if !r.Failed && len(got)+r.Left() != len(data) {
			t.Fatal("bytes got lost")
		}
	})
}
