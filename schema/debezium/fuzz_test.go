package debezium

import (
	"encoding/json"
	"math"
	"strconv"
	"testing"

	"github.com/sluice-cdc/sluice/schema"
)

// FuzzDecode holds the decoder against encoding/json: nothing may panic, and every
// value of a row must be the one that encoding/json reads.
func FuzzDecode(f *testing.F) {
	for _, row := range []string{`{"id":1,"a":"x\u00e9\ud83d\ude00","b":-0.5e3}`, `{"id":1,"a":[1, {"b":null}],"c":9223372036854775807}`,
		`{"id":1,"a":true,"b":null,"c":"","d":0}`, `{"a":{},"id":1}`} {
		f.Add([]byte(row))
	}
	f.Fuzz(func(t *testing.T, row []byte) {
		d := NewDecoder("p.public.t", testOptions())
		value := event("c", "null", string(row))
		if _, err := d.Decode(Record{Key: []byte(`{"id":1}`), Value: []byte(value)}); err != nil {
			return
		}
		if !json.Valid(row) {
			return // the text closed the member and went on with others
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(row, &want); err != nil {
			return
		}
		for _, rows := range d.Take(nil) {
			for i, c := range rows.Columns {
				raw, ok := want[c.Name]
				v := &rows.Values[i]
				if c.Key || !ok {
					continue
				}
				if v.States[0] == schema.Null {
					if string(raw) != "null" {
						t.Fatalf("%s: NULL for %s", c.Name, raw)
					}
					continue
				}
				switch v.Kind {
				case schema.Integer:
					if n, err := strconv.ParseInt(string(raw), 10, 64); err != nil || n != v.Nums[0] {
						t.Fatalf("%s: %d for %s", c.Name, v.Nums[0], raw)
					}
				case schema.Float:
					if n, err := strconv.ParseFloat(string(raw), 64); err != nil || math.Float64bits(n) != uint64(v.Nums[0]) {
						t.Fatalf("%s: %v for %s", c.Name, v.Float(0), raw)
					}
				case schema.String:
					var s string
					if raw[0] == '"' && (json.Unmarshal(raw, &s) != nil || s != string(v.Bytes(0))) {
						t.Fatalf("%s: %q for %s", c.Name, v.Bytes(0), raw)
					}
				}
			}
		}
	})
}

// FuzzRecord: whatever key and value are, a record is decoded or refused, and leaves
// whole rows or none.
func FuzzRecord(f *testing.F) {
	id := `{"id":1}`
	for _, seed := range []struct{ key, value string }{
		{id, event("c", "null", `{"id":1,"a":"x"}`)}, {id, `{"id":1,"__op":"u","__deleted":true,"__source_ts_ms":"5"}`}, {id, flatSchema(`{"id":1,"name":"a"}`)},
		{id, cloud("r", `{"after":{"id":1}}`)}, {id, cloud("r", `"AAAAAAEAAgICAg=="`)}, {mongoKey(`{"$oid":"a"}`), mongo("u", "null", `{"_id":{"$oid":"a"},"at":{"$date":1},"n":[{"$numberLong":"1"}]}`)},
		{mongoKey(`"a"`), ""}, {`5`, event("d", "null", "null")}, {"\x00\x00\x00\x00\x00\x00\x00\x05", `{"id":5}`}, {`{"schema":{"type":"int32"},"payload":5}`, `{"id":5}`},
		{id, "\x00\x00\x00\x00\x02\x00\x02\x02\x02\x02"},
	} {
		for setting := range byte(12) {
			f.Add([]byte(seed.key), []byte(seed.value), setting)
		}
	}
	rig := newAvroRig(f, keySchema, imagesSchema)
	f.Fuzz(func(t *testing.T, key, value []byte, setting byte) {
		opt := rig.options()
		opt.Events, opt.BareKeys, opt.KeepMetadata = Events(setting%3), BareKeys(setting/3%4), setting&64 > 0
		if setting >= 128 {
			opt.Keys = func(string) []string { return []string{"id"} }
		}
		d := NewDecoder("p.public.t", opt)
		for i := range 2 {
			_, err := d.Decode(Record{Offset: int64(i), Key: key, Value: value})
			runs := d.Take(nil)
			if err != nil && len(runs) > 0 {
				t.Fatalf("refused (%v), and left rows", err)
			}
			for _, rows := range runs {
				for c := range rows.Columns {
					if rows.Values[c].Len() != rows.Len() {
						t.Fatalf("%d values of %d", rows.Values[c].Len(), rows.Len())
					}
				}
			}
		}
	})
}
