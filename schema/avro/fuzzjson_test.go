package avro

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

// jsonSchemas have every type between them, and every way to nest one.
var jsonSchemas = []string{everyType,
	`{"type":"map","values":["null","double",{"type":"map","values":"bytes"}]}`,
	`{"type":"record","name":"Tree","fields":[{"name":"v","type":"int"},{"name":"left","type":["null","Tree"]},{"name":"more","type":{"type":"array","items":"Tree"}}]}`,
	`["null",{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]}},{"type":"fixed","name":"F","size":1},"boolean","float"]`,
}

// FuzzJSON holds the reader of Avro's JSON against goavro's: the same values, or a refusal
// for a reason that is there; and what goavro does not read is refused.
func FuzzJSON(f *testing.F) {
	var types []*Type
	var codecs []*goavro.Codec
	for _, text := range jsonSchemas {
		typ, err := Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		codec, err := goavro.NewCodec(text)
		if err != nil {
			f.Fatal(err)
		}
		types, codecs = append(types, typ), append(codecs, codec)
	}
	f.Fuzz(func(t *testing.T, which uint8, text []byte) {
		n := int(which) % len(types)
		var got []byte
		var refusal error
		schematest.Within(t, 1<<14, 512, len(text), func() { got, refusal = AppendJSON(nil, types[n], text) })
		want, reference := readByGoavro(codecs[n], text)
		switch {
		case refusal != nil && reference == nil && !strict(text, refusal.Error()):
			t.Fatalf("%v; goavro reads %v", refusal, want)
		case refusal == nil && reference != nil:
			t.Fatalf("read as %x; goavro says %v", got, reference)
		case refusal == nil:
			native, rest, err := codecs[n].NativeFromBinary(got)
			if err != nil || len(rest) > 0 || !reflect.DeepEqual(native, want) {
				t.Fatalf("read as %x, which is %v, %v; goavro reads %v", got, native, err, want)
			}
		}
	})
}

// readByGoavro reads a whole text. goavro takes the bytes of UTF-8 for those of Avro's bytes,
// so it gets them as escapes; and what it reads goes through its binary form, of which it
// knows one way to be empty.
func readByGoavro(codec *goavro.Codec, text []byte) (native any, err error) {
	var ascii []byte
	for _, c := range string(text) {
		switch high, low := utf16.EncodeRune(c); {
		case c < utf8.RuneSelf:
			ascii = append(ascii, byte(c))
		case c > 0xffff:
			ascii = fmt.Appendf(ascii, `\u%04x\u%04x`, high, low)
		default:
			ascii = fmt.Appendf(ascii, `\u%04x`, c)
		}
	}
	native, rest, err := codec.NativeFromTextual(ascii)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, fmt.Errorf("%q is left", rest)
	}
	if _, err := json.Marshal(native); err != nil {
		return nil, err // NaN and infinities, which goavro writes as null and 1e999
	}
	raw, err := codec.BinaryFromNative(nil, native)
	if err != nil {
		return nil, err
	}
	native, _, err = codec.NativeFromBinary(raw)
	return native, err
}

// strict reports whether a refusal of what goavro reads is for a reason that is in the text:
// goavro does not ask whether it is JSON, takes half a surrogate pair for U+FFFD and the low
// byte of any character for one of bytes, and follows any nesting.
func strict(text []byte, reason string) bool {
	switch {
	case strings.Contains(reason, "no JSON in UTF-8"):
		return !json.Valid(text) || !utf8.Valid(text)
	case strings.Contains(reason, "surrogate"):
		return bytes.Contains(bytes.ToLower(text), []byte(`\ud`))
	case strings.Contains(reason, "nested too deeply"):
		return bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > maxDepth
	case strings.Contains(reason, "no bytes"), strings.Contains(reason, "no n.Fix"), strings.Contains(reason, "no F"):
		return bytes.ContainsFunc(text, func(c rune) bool { return c > 0xff }) || beyondByte.Match(text)
	}
	return false
}

// beyondByte is an escape of a character above U+00FF.
var beyondByte = regexp.MustCompile(`(?i)\\u([1-9a-f]|0[1-9a-f])`)
