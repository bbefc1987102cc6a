package debezium

import (
	"bytes"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/schematest"
)

// FuzzAvro reads any bytes as an envelope whose row has a column of every type, nullable
// with null at either place: where goavro can, so must the decoder, with the same values,
// or it names the column whose value does not fit, which then is not NULL; where goavro
// cannot, nor may the decoder.
func FuzzAvro(f *testing.F) {
	goavro.MaxBlockCount = 1000 // it makes room for what a count promises
	columns := []string{`{"name":"id","type":"long"}`}
	nulls := map[string]any{"id": int64(1)}
	for i, c := range avroColumns {
		union := `["null",` + c.typ + `]`
		if i%2 == 1 {
			union = `[` + c.typ + `,"null"]`
		}
		columns = append(columns, `{"name":"`+c.name+`","type":`+union+`}`)
		nulls[c.name] = nil
	}
	r := newAvroRig(f, keySchema, avroEnvelope(strings.Join(columns, ",")))
	value := func(op string, row any) map[string]any {
		return map[string]any{"before": nil, "after": row, "source": avroSource(), "transaction": nil, "op": op, "ts_ms": nil}
	}
	rec := r.record(f, 1, value("c", goavro.Union("p.public.t.Value", nulls)))
	f.Add(rec.Value[5:])
	f.Add(r.record(f, 1, value("d", nil)).Value[5:])
	f.Fuzz(func(t *testing.T, data []byte) {
		var d *Decoder
		var class Class
		var err error
		schematest.Within(t, 1<<18, 512, len(data), func() {
			d = NewDecoder("p.public.t", r.options())
			class, err = d.Decode(Record{Key: rec.Key, Value: framedAs(2, data)})
		})
		native, rest, reference := r.value.NativeFromBinary(data)
		fits := reference == nil && len(rest) == 0
		if err != nil {
			bad := refused(t, d, err)
			// goavro lets numbers of more than 64 bits wrap around.
			if again, err := r.value.BinaryFromNative(nil, native); fits && err == nil && bytes.Equal(again, data) && strings.Contains(bad.Error(), errAvro.Error()) {
				t.Fatalf("%v; goavro reads %v", bad, native)
			}
			if fits && bad.Reason == ValueMisfit && !refuses(native, bad.Column) {
				t.Fatalf("%v, of column %q; goavro reads %v", bad, bad.Column, native)
			}
			return
		}
		if reference != nil && strings.Contains(reference.Error(), "exceeds MaxBlock") {
			return
		}
		if !fits {
			t.Fatalf("goavro: %v, %d bytes left; got no error", reference, len(rest))
		}
		if class != Row {
			return
		}
		rows := d.Take(nil)[0]
		after, ok := native.(map[string]any)["after"].(map[string]any)
		if !ok || rows.Ops[0] != schema.Upsert {
			return
		}
		row := after["p.public.t.Value"].(map[string]any)
		for i, c := range avroColumns {
			v := &rows.Values[i+1]
			want := "NULL"
			if union, ok := row[c.name].(map[string]any); ok {
				for _, value := range union {
					want = c.want(value)
				}
			}
			if got := cell(v, 0); got != want && v.States[0] != schema.Missing {
				t.Fatalf("%s: got %s, goavro reads %s", c.name, got, want)
			}
		}
	})
}

// refuses reports whether an envelope has what a refusal of its row names: a value in the
// column, or, where it names none, no image.
func refuses(envelope any, column string) bool {
	row := func(image string) map[string]any {
		union, _ := envelope.(map[string]any)[image].(map[string]any)
		row, _ := union["p.public.t.Value"].(map[string]any)
		return row
	}
	if column == "" {
		return row("after") == nil
	}
	return row("before")[column] != nil || row("after")[column] != nil
}
