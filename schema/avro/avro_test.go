package avro

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

// draw makes a random schema and a value of it as goavro wants it.
func draw(t *rapid.T, depth int, names *int) (schema any, value func() any) {
	kinds := []string{"null", "boolean", "int", "long", "float", "double", "bytes", "string", "fixed", "enum"}
	if depth > 0 {
		kinds = append(kinds, "record", "array", "map", "union", "record", "array", "map", "union")
	}
	kind := rapid.SampledFrom(kinds).Draw(t, "kind")
	name := func() string { *names++; return fmt.Sprintf("n%d", *names) }
	switch kind {
	case "null":
		return kind, func() any { return nil }
	case "boolean":
		return kind, func() any { return rapid.Bool().Draw(t, "v") }
	case "int":
		return kind, func() any { return rapid.Int32().Draw(t, "v") }
	case "long":
		return kind, func() any { return rapid.Int64().Draw(t, "v") }
	case "float":
		return kind, func() any { return rapid.Float32().Draw(t, "v") }
	case "double":
		return kind, func() any { return rapid.Float64().Draw(t, "v") }
	case "bytes":
		return kind, func() any { return rapid.SliceOf(rapid.Byte()).Draw(t, "v") }
	case "string":
		return kind, func() any { return rapid.String().Draw(t, "v") }
	case "fixed":
		size := rapid.IntRange(1, 9).Draw(t, "size")
		return map[string]any{"type": kind, "name": name(), "size": size}, func() any { return rapid.SliceOfN(rapid.Byte(), size, size).Draw(t, "v") }
	case "enum":
		return map[string]any{"type": kind, "name": name(), "symbols": []string{"A", "B", "C"}}, func() any { return rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "v") }
	case "array":
		items, v := draw(t, depth-1, names)
		return map[string]any{"type": kind, "items": items}, func() any {
			list := []any{}
			for range rapid.IntRange(0, 4).Draw(t, "n") {
				list = append(list, v())
			}
			return list
		}
	case "map":
		values, v := draw(t, depth-1, names)
		return map[string]any{"type": kind, "values": values}, func() any {
			m := map[string]any{}
			for i := range rapid.IntRange(0, 4).Draw(t, "n") {
				m[fmt.Sprint("k", i)] = v()
			}
			return m
		}
	case "union":
		inner, v := draw(t, 0, names)
		if inner == "null" {
			return "null", func() any { return nil }
		}
		branch := ""
		switch s := inner.(type) {
		case string:
			branch = s
		case map[string]any:
			branch = s["name"].(string)
		}
		union := []any{"null", inner}
		if rapid.Bool().Draw(t, "null last") {
			union = []any{inner, "null"}
		}
		return union, func() any {
			if rapid.Bool().Draw(t, "null") {
				return nil
			}
			return map[string]any{branch: v()}
		}
	}
	fields, values := []any{}, map[string]func() any{}
	for i := range rapid.IntRange(1, 4).Draw(t, "fields") {
		f, v := draw(t, depth-1, names)
		field := fmt.Sprint("f", i)
		fields, values[field] = append(fields, map[string]any{"name": field, "type": f}), v
	}
	return map[string]any{"type": "record", "name": name(), "fields": fields}, func() any {
		m := map[string]any{}
		for field, v := range values {
			m[field] = v()
		}
		return m
	}
}

// TestSkip: of whatever goavro writes, Skip walks over just the value.
func TestSkip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		names := 0
		schema, value := draw(t, 4, &names)
		text, err := json.Marshal(schema)
		if err != nil {
			t.Fatal(err)
		}
		codec, err := goavro.NewCodec(string(text))
		if err != nil {
			t.Fatal(err)
		}
		data, err := codec.BinaryFromNative(nil, value())
		if err != nil {
			t.Fatal(err)
		}
		typ, err := Parse(string(text))
		if err != nil {
			t.Fatal(err)
		}
		r := Reader{Data: append(data, 1, 2, 3)}
		if got := r.Skip(typ); r.Failed || len(got) != len(data) || r.Left() != 3 {
			t.Fatalf("%s: skipped %d of %d bytes, failed %v", text, len(got), len(data), r.Failed)
		}
		for cut := range len(data) {
			r := Reader{Data: data[:cut]}
			if r.Skip(typ); !r.Failed {
				t.Fatalf("%s: %d of %d bytes pass for a value", text, cut, len(data))
			}
		}
	})
}

// TestReferences: a schema may use names of others and of itself.
func TestReferences(t *testing.T) {
	money := `{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"cents","type":"long","default":"wrong"}]}`
	line := `{"type":"record","name":"Line","namespace":"shop","fields":[{"name":"price","type":"Money"},{"name":"next","type":["null","Line"]}]}`
	typ, err := Parse(line, money)
	if err != nil {
		t.Fatal(err)
	}
	r := Reader{Data: []byte{2, 2, 4, 0}}
	if r.Skip(typ); r.Failed || r.Left() != 0 {
		t.Errorf("%+v", r)
	}
	if typ.Fields[0].Type.Name != "shop.Money" || typ.Fields[1].Type.Union[1] != typ {
		t.Errorf("%+v", typ)
	}
	deep := make([]byte, 4*maxDepth) // price 0, then the next line, without end
	for i := range deep {
		deep[i] = byte(i % 2 * 2)
	}
	if r := (Reader{Data: deep}); r.Skip(typ) != nil {
		t.Error("nesting without end was followed")
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		``:  "avro schema",
		`{`: "unknown type",
		`{"type":"record","name":"R","fields":[{"name":"a","type":"Other"}]}`:                         `R.a: unknown type "Other"`,
		`{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}`: "avro schema",
		`[{"type":"fixed","name":"F","size":2},{"type":"fixed","name":"F","size":3}]`:                 "taken",
		`{"type":"record","fields":[]}`: "empty or taken",
		`7`:                             "want a name",
		`{"type":"enum","name":"E","symbols":"x"}`:                                                          "avro schema",
		`{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":-1}}]}`: "avro schema",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestParseNested: a schema nested deeper than any value that is read is refused before
// parsing it takes memory by the square of its depth.
func TestParseNested(t *testing.T) {
	nested := func(levels int) string {
		return strings.Repeat(`{"type":"array","items":`, levels-1) + `"long"` + strings.Repeat("}", levels-1)
	}
	if _, err := Parse(nested(200)); err != nil {
		t.Error(err)
	}
	text := nested(5000)
	schematest.Within(t, 0, 64, len(text), func() {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), "nested deeper than 200 levels") {
			t.Error(err)
		}
	})
}

// TestEmptyRecords: a schema of records within records that hold nothing is walked
// over at once, though it names two to the power of forty of them.
func TestEmptyRecords(t *testing.T) {
	schema := `{"type":"record","name":"R0","fields":[{"name":"a","type":"null"}]}`
	for i := 1; i <= 40; i++ {
		schema = fmt.Sprintf(`{"type":"record","name":"R%d","fields":[{"name":"a","type":%s},{"name":"b","type":"R%d"}]}`, i, schema, i-1)
	}
	typ, err := Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	r := Reader{Data: []byte{7}}
	if got := r.Skip(typ); r.Failed || len(got) != 0 || r.Left() != 1 {
		t.Errorf("%v, %d bytes left", got, r.Left())
	}
}

// TestBlocks: a block that says its size must have it.
func TestBlocks(t *testing.T) {
	typ, err := Parse(`{"type":"array","items":"long"}`)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		data []byte
		ok   bool
	}{
		{[]byte{3, 4, 2, 4, 0}, true}, {[]byte{3, 6, 2, 4, 0, 0}, false}, {[]byte{3, 2, 2, 4, 0}, false}, {[]byte{3, 9, 2, 4}, false},
	} {
		r := Reader{Data: tc.data}
		if r.Skip(typ); r.Failed == tc.ok {
			t.Errorf("%v: failed %v", tc.data, r.Failed)
		}
	}
}
