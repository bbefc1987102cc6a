package avro

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"
)

const everyType = `{"type":"record","name":"All","namespace":"n","fields":[
	{"name":"b","type":"boolean"},{"name":"i","type":"int"},{"name":"l","type":"long"},{"name":"f","type":"float"},{"name":"d","type":"double"},
	{"name":"s","type":"string"},{"name":"raw","type":"bytes"},{"name":"fix","type":{"type":"fixed","name":"Fix","size":2}},
	{"name":"en","type":{"type":"enum","name":"En","symbols":["RED","BLUE"]}},{"name":"a","type":{"type":"array","items":"long"}},
	{"name":"u","type":["null","string",{"type":"record","name":"In","fields":[{"name":"x","type":["long","null"]}]}]}]}`

// TestJSONAgainstGoavro: a value in goavro's JSON becomes goavro's bytes.
func TestJSONAgainstGoavro(t *testing.T) {
	typ, err := Parse(everyType)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := goavro.NewCodec(everyType)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		v := map[string]any{"b": rapid.Bool().Draw(t, "b"), "i": rapid.Int32().Draw(t, "i"), "l": rapid.Int64().Draw(t, "l"), "f": rapid.Float32Range(-1e30, 1e30).Draw(t, "f"),
			"d": rapid.Float64Range(-1e300, 1e300).Draw(t, "d"), "s": rapid.String().Draw(t, "s"), "raw": rapid.SliceOf(rapid.Byte()).Draw(t, "raw"),
			"fix": rapid.SliceOfN(rapid.Byte(), 2, 2).Draw(t, "fix"), "en": rapid.SampledFrom([]string{"RED", "BLUE"}).Draw(t, "en"),
			"a": rapid.SliceOf(rapid.Int64().AsAny()).Draw(t, "a"), "u": nil}
		switch rapid.IntRange(0, 3).Draw(t, "branch") {
		case 1:
			v["u"] = goavro.Union("string", "x")
		case 2:
			v["u"] = goavro.Union("n.In", map[string]any{"x": goavro.Union("long", int64(3))})
		case 3:
			v["u"] = goavro.Union("n.In", map[string]any{"x": nil})
		}
		text, err := codec.TextualFromNative(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		want, err := codec.BinaryFromNative(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := AppendJSON(nil, typ, text)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: got %x, %v; want %x", text, got, err, want)
		}
	})
}

func TestJSONRefused(t *testing.T) {
	for _, tc := range []struct{ schema, text string }{
		{`"int"`, `2147483648`}, {`"int"`, `1.5`}, {`"int"`, `null`}, {`"long"`, `"1"`}, {`"boolean"`, `1`}, {`"string"`, `1`}, {`"bytes"`, `"Ā"`},
		{`"null"`, `0`}, {`["null","string"]`, `"bare"`}, {`["null","string"]`, `{"int":1}`}, {`["int","string"]`, `null`}, {`["int","string"]`, `{"int":1,"string":""}`},
		{`{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`, `{}`}, {`{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`, `{"a":1,"b":2}`},
		{`{"type":"record","name":"R","fields":[{"name":"a","type":["null","int"]}]}`, `{"b":null}`},
		{`{"type":"enum","name":"E","symbols":["A"]}`, `"B"`}, {`{"type":"fixed","name":"F","size":2}`, `"abc"`}, {`{"type":"array","items":"int"}`, `{}`},
		{`{"type":"record","name":"R","fields":[{"name":"a","type":["null","R"]}]}`, strings.Repeat(`{"a":{"R":`, 300) + "null" + strings.Repeat("}}", 300)},
		{`"string"`, "\"a\xffb\""}, {`"string"`, `"\ud800"`}, {`"string"`, `"\udc00\ud800"`}, {`"string"`, `"\ud800\\udc00"`}, {`"bytes"`, "\"\xff\""},
		{`{"type":"map","values":"int"}`, `{"a":1,"a":2}`}, {`{"type":"map","values":"int"}`, `{"a":1,"\u0061":2}`}, {`["null","int"]`, `{"int":1,"int":2}`},
		{`{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}`, `{"a":1,"a":2}`}, {`"int"`, `1 2`}, {`{"type":"array","items":"int"}`, `[1,]`},
	} {
		typ, err := Parse(tc.schema)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := AppendJSON(nil, typ, []byte(tc.text)); err == nil {
			t.Errorf("%.60s as %s is read as %x", tc.text, tc.schema, got)
		}
	}
}

// TestJSONEscapes: escapes that are no halves are read, a pair as one character.
func TestJSONEscapes(t *testing.T) {
	typ, err := Parse(`"string"`)
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`"\ud83d\ude00"`: "\U0001f600", `"\uD83D\uDE00\u0041"`: "\U0001f600A", `"\\ud800"`: `\ud800`, `"\ufffd` + "\ufffd" + `"`: "\ufffd\ufffd",
	} {
		got, err := AppendJSON(nil, typ, []byte(text))
		if err != nil || string(got[1:]) != want {
			t.Errorf("%s is read as %q, %v; want %q", text, got, err, want)
		}
	}
}

// TestJSONNested: what a text takes does not grow with how deep it is.
func TestJSONNested(t *testing.T) {
	typ, err := Parse(`{"type":"record","name":"R","fields":[{"name":"a","type":["string","R"]}]}`)
	if err != nil {
		t.Fatal(err)
	}
	const levels, size = 90, 1 << 20
	text := []byte(strings.Repeat(`{"a":{"R":`, levels) + `{"a":{"string":"` + strings.Repeat("x", size) + `"}}` + strings.Repeat("}}", levels))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := AppendJSON(nil, typ, text); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 16*size {
		t.Errorf("%d bytes of text took %d", len(text), took)
	}
}
