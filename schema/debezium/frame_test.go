package debezium

import (
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema/frame"
)

// framedRig is an Avro event without a frame, and a registry that has its schemas under
// an id of each kind.
type framedRig struct {
	rec, json Record // in Avro's two encodings, bare
	opt       Options
}

const frameGUID, frameHash = "89791762233641f496a2c6ed0b4be2c", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

func newFramedRig(t testing.TB) framedRig {
	r := newAvroRig(t, keySchema, avroEnvelope(`{"name":"id","type":"long"},{"name":"s","type":["null","string"]},{"name":"raw","type":"bytes"}`))
	value := map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", map[string]any{"id": int64(1), "s": goavro.Union("string", "x"), "raw": []byte{0, 0xff}}),
		"source": avroSource(), "transaction": nil, "op": "c", "ts_ms": nil}
	f := framedRig{rec: r.record(t, 1, value), opt: r.options()}
	f.rec.Key, f.rec.Value = f.rec.Key[5:], f.rec.Value[5:]
	var err error
	if f.json.Key, err = r.key.TextualFromNative(nil, map[string]any{"id": int64(1)}); err != nil {
		t.Fatal(err)
	}
	if f.json.Value, err = r.value.TextualFromNative(nil, value); err != nil {
		t.Fatal(err)
	}
	f.opt.Schema = func(id frame.ID) (*frame.Schema, error) {
		n := id.Number
		switch id.String() {
		case frameGUIDOf(1), string(hashText(1)):
			n = 1
		case frameGUIDOf(2), string(hashText(2)):
			n = 2
		}
		if r.types[n] == nil {
			return nil, nil
		}
		return &frame.Schema{Avro: r.types[n]}, nil
	}
	return f
}

// frameGUIDOf and the others write an id as the converters do: 1 is the key's, 2 the value's.
func frameGUIDOf(n int) string {
	g := frameGUID + string(rune('0'+n))
	return g[:8] + "-" + g[8:12] + "-" + g[12:16] + "-" + g[16:20] + "-" + g[20:]
}

func guidBytes(n byte) []byte {
	raw, _ := hex.DecodeString("01" + frameGUID + string(rune('0'+n)))
	return raw
}

func int64Bytes(n byte) []byte { return binary.BigEndian.AppendUint64(nil, uint64(n)) }

func hashText(n byte) []byte { return append([]byte(frameHash), '0'+n) }

// TestFrames: one event in every frame, with the key in one and the value in another,
// is one row.
func TestFrames(t *testing.T) {
	f := newFramedRig(t)
	apicurio := apicurioMixed
	prefixed := func(prefix func(n byte) []byte) func(Record) Record {
		return func(r Record) Record {
			r.Key, r.Value = append(prefix(1), r.Key...), append(prefix(2), r.Value...)
			return r
		}
	}
	inHeaders := func(key, value string, id func(n byte) []byte) func(Record) Record {
		return func(r Record) Record {
			r.Headers = []Header{{"other", nil}, {key, id(1)}, {value, id(2)}}
			return r
		}
	}
	for _, tc := range []struct {
		name    string
		framing frame.Framing
		write   func(Record) Record
	}{
		{"a Confluent id", frame.Confluent, prefixed(shortBytes)},
		{"a Confluent GUID", frame.Confluent, prefixed(guidBytes)},
		{"a Confluent GUID in headers", frame.Confluent, inHeaders("__key_schema_id", "__value_schema_id", guidBytes)},
		{"a Confluent id in headers", frame.Confluent, inHeaders("__key_schema_id", "__value_schema_id", shortBytes)},
		{"an id before the key, a GUID in a header", frame.Confluent, func(r Record) Record {
			r.Key, r.Headers = append(shortBytes(1), r.Key...), []Header{{"__value_schema_id", guidBytes(2)}}
			return r
		}},
		{"Apicurio's four bytes", apicurio, prefixed(shortBytes)},
		{"Apicurio's eight bytes", apicurio, prefixed(longBytes)},
		{"Apicurio's content ids", apicurio, inHeaders("apicurio.key.contentId", "apicurio.value.contentId", int64Bytes)},
		{"Apicurio's global ids", apicurio, inHeaders("apicurio.key.globalId", "apicurio.value.globalId", int64Bytes)},
		{"Apicurio's hashes", apicurio, inHeaders("apicurio.key.contentHash", "apicurio.value.contentHash", hashText)},
		{"Apicurio's headers for the value alone", apicurio, func(r Record) Record {
			r.Key, r.Headers = append(longBytes(1), r.Key...), []Header{{"apicurio.value.encoding", []byte("BINARY")}, {"apicurio.value.globalId", int64Bytes(2)}, {"apicurio.value.artifactId", []byte("t-value")}}
			return r
		}},
		{"Avro as JSON", apicurio, func(Record) Record {
			r := f.json
			r.Headers = []Header{{"apicurio.key.encoding", []byte("JSON")}, {"apicurio.key.globalId", int64Bytes(1)}, {"apicurio.value.globalId", int64Bytes(2)}, {"apicurio.value.encoding", []byte("JSON")}}
			return r
		}},
	} {
		opt := f.opt
		opt.Framing = tc.framing
		d := NewDecoder("p.public.t", opt)
		if class, err := d.Decode(tc.write(f.rec)); err != nil || class != Row {
			t.Errorf("%s: %v, %v", tc.name, class, err)
			continue
		}
		want := "public_t(id*:INTEGER s:STRING raw:STRING)\n  0 upsert 1 \"x\" \"AP8=\"\n"
		if got := text(d.Take(nil)); got != want {
			t.Errorf("%s: got\n%swant\n%s", tc.name, got, want)
		}
	}
}

// TestFramesRefused: what no schema can be found for says which setting or header is to
// blame; a tombstone needs none.
func TestFramesRefused(t *testing.T) {
	f := newFramedRig(t)
	v3 := frame.Framing{Apicurio: true, Short: frame.ContentID}
	with := func(raw []byte, headers ...Header) Record { return Record{Value: raw, Headers: headers} }
	for _, tc := range []struct {
		name    string
		framing frame.Framing
		format  Format
		rec     Record
		want    string
	}{
		{"Apicurio's header in Confluent's framing", frame.Confluent, Auto, with(f.rec.Value, Header{"apicurio.value.globalId", int64Bytes(2)}), "its header apicurio.value.globalId names a schema"},
		{"Confluent's header in Apicurio's framing", v3, Auto, with(f.rec.Value, Header{"__value_schema_id", guidBytes(2)}), "its header __value_schema_id names a schema"},
		{"a header that is cut", frame.Confluent, Auto, with(f.rec.Value, Header{"__value_schema_id", guidBytes(2)[:9]}), "its header __value_schema_id holds no schema id"},
		{"a number that is cut", v3, Auto, with(f.rec.Value, Header{"apicurio.value.contentId", []byte{1}}), "its header apicurio.value.contentId holds no schema id"},
		{"an artifact alone", v3, Auto, with(f.rec.Value, Header{"apicurio.value.artifactId", []byte("t")}), "apicurio.registry.use-id=contentId"},
		{"eight bytes where four are expected", v3, Auto, with(append([]byte{0}, int64Bytes(2)...)), "SLUICE_SCHEMA_REGISTRY_FRAMING want 00 and an id of four bytes"},
		{"JSON where a frame is expected", frame.Confluent, Framed, with([]byte(`{"op":"c"}`)), "it begins with 0x7b226f70223a226322, where SLUICE_FORMAT and SLUICE_SCHEMA_REGISTRY_FRAMING want 00 and an id of four bytes, or 01 and a GUID"},
		{"a frame where JSON is expected", frame.Confluent, JSON, with(append([]byte{0, 0, 0, 0, 2}, f.rec.Value...)), "JSON"},
		{"no JSON under a header that says so", v3, Auto, with(f.rec.Value, Header{"apicurio.value.globalId", int64Bytes(2)}, Header{"apicurio.value.encoding", []byte("JSON")}), "JSON of Avro"},
	} {
		opt := f.opt
		opt.Framing, opt.Format = tc.framing, tc.format
		_, err := NewDecoder("p.public.t", opt).Decode(tc.rec)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
	if class, err := NewDecoder("p.public.t", f.opt).Decode(with(nil, Header{"__value_schema_id", guidBytes(2)})); err != nil || class != Tombstone {
		t.Errorf("a tombstone with headers: %v, %v", class, err)
	}
}
