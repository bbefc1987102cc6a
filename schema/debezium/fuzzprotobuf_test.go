package debezium

import (
	"bytes"
	"strconv"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

// FuzzProtobuf reads any bytes as the message that any indexes name, behind the schema's id
// or with them behind an id in a header, which makes no difference. What the decoder makes of
// an envelope, Google's library does, which may refuse what the decoder does not look into;
// and memory is in proportion to the bytes.
func FuzzProtobuf(f *testing.F) {
	r := newProtobufRig(f, fuzzedProtobuf)
	key := r.record(f, "c", nil).Key
	file, err := r.opt.Schema(frame.ID{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, indexes, data []byte) {
		var d *Decoder
		var class Class
		var err error
		read := func(value []byte, headers ...Header) {
			d = NewDecoder("p.public.t", r.opt)
			if class, err = d.Decode(Record{Key: key, Value: value, Headers: headers}); err != nil {
				refused(t, d, err)
			}
		}
		behind := framedAs(1, append(bytes.Clone(indexes), data...))
		schematest.Within(t, 1<<16, 512, len(indexes)+len(data), func() { read(behind) })
		m, rest := file.Protobuf.Message(indexes)
		if m == nil || len(rest) > 0 || len(data) == 0 {
			return
		}
		wantClass, want, rows := class, said(err), d.Take(nil)
		if read(data, Header{"__value_schema_id", framedAs(1, indexes)}); class != wantClass || said(err) != want || text(d.Take(nil)) != text(rows) {
			t.Fatalf("%v, %v in a header, %v, %s in front\n%s", class, err, wantClass, want, text(rows))
		}
		envelope := r.message("Envelope")
		if m.Name != string(envelope.Descriptor().FullName()) || err != nil || class != Row || proto.Unmarshal(data, envelope) != nil || rows[0].Ops[0] == schema.Delete {
			return
		}
		after := envelope.Get(envelope.Descriptor().Fields().ByName("after")).Message()
		if s := after.Descriptor().Fields().ByName("s"); after.Has(s) != (rows[0].Values[1].States[0] == schema.Present) || after.Has(s) && cell(&rows[0].Values[1], 0) != strconv.Quote(after.Get(s).String()) {
			t.Errorf("s is %s, the library has %q", cell(&rows[0].Values[1], 0), after.Get(s).String())
		}
	})
}

var fuzzedProtobuf = protobufText(`int64 id = 1; optional string s = 2; google.protobuf.Int64Value n = 3; google.type.Date day = 4; double d = 5;
	confluent.type.Decimal dec = 6 [(confluent.field_meta) = {params: [{key: "scale", value: "2"}]}]; repeated int32 list = 7; map<string, string> attrs = 8;
	message SparseDoubleVector { int32 dimensions = 1; map<int32, double> vector = 2; } SparseDoubleVector v = 9; repeated SparseDoubleVector vs = 10;`)
