package batcher

import (
	"bytes"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
)

// unscaled reads a DECIMAL's bytes as the format's specification says.
func unscaled(b []byte) *big.Int {
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return n
}

// TestDecimalRoundTrip writes decimals of every precision and reads them back.
func TestDecimalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := schema.Type{Kind: schema.String, Precision: rapid.IntRange(1, 76).Draw(t, "precision")}
		typ.Scale = rapid.IntRange(0, typ.Precision).Draw(t, "scale")
		r := newRun("t", schema.Column{Name: "d", Type: typ})
		most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Precision)), nil)
		var want []*big.Int
		for id := range int64(rapid.IntRange(1, 40).Draw(t, "rows")) {
			n := new(big.Int).Sub(most, big.NewInt(1))
			switch rapid.IntRange(0, 3).Draw(t, "value") {
			case 0:
				n.Neg(n)
			case 1:
				n.SetInt64(rapid.Int64Range(-9, 9).Draw(t, "small"))
			case 2:
				n = nil
			}
			want = append(want, n)
			if n == nil {
				r.add(schema.Upsert, id, nil)
			} else {
				r.add(schema.Upsert, id, new(big.Rat).SetFrac(n, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(typ.Scale)), nil)).FloatString(typ.Scale))
			}
		}
		batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		chunks, err := testEncoder().Encode(batch)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(chunks[0].Data), int64(len(chunks[0].Data)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := f.Schema().Fields()[1].Type().LogicalType().String(), fmt.Sprintf("DECIMAL(%d,%d)", typ.Precision, typ.Scale); got != want {
			t.Fatalf("type %s, want %s", got, want)
		}
		rows := make([]parquet.Row, len(want))
		if n, _ := f.RowGroups()[0].Rows().ReadRows(rows); n != len(want) {
			t.Fatalf("%d rows, want %d", n, len(want))
		}
		for i, row := range rows {
			switch v := row[1]; {
			case want[i] == nil && v.IsNull():
			case want[i] == nil || v.IsNull() || unscaled(v.ByteArray()).Cmp(want[i]) != 0:
				t.Fatalf("row %d: %v, want %v", i, v, want[i])
			}
		}
	})
}

func TestDecimalRefused(t *testing.T) {
	for _, text := range []string{"1.234", "x", "", "99999999999.00"} {
		r := newRun("t", schema.Column{Name: "d", Type: schema.Type{Kind: schema.String, Precision: 4, Scale: 2}})
		r.add(schema.Upsert, 1, text)
		batch, err := New(anyPolicy).Add(epoch, r.Rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := testEncoder().Encode(batch); err == nil || !strings.Contains(err.Error(), "column d") {
			t.Errorf("%q was written as DECIMAL(4,2): %v", text, err)
		}
	}
}
