package batcher

import (
	"bytes"
	"fmt"
	"math/big"

	"github.com/parquet-go/parquet-go"

	"github.com/sluice-cdc/sluice/schema"
)

// decimalBytes is the length of a DECIMAL's FIXED_LEN_BYTE_ARRAY: the shortest
// whose signed range holds so many digits
// (https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#decimal).
func decimalBytes(precision int) int {
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil)
	return most.Sub(most, big.NewInt(1)).BitLen()/8 + 1
}

// appendDecimals appends the given rows of a column of decimal texts as unscaled
// big-endian integers, whose bytes it appends to buf.
func appendDecimals(dst []parquet.Value, buf []byte, v *schema.Values, rows []int, t schema.Type) ([]parquet.Value, []byte, error) {
	size := decimalBytes(t.Precision)
	if need := size * len(rows); cap(buf) < need {
		buf = make([]byte, 0, need) // values point into it, so it must not move
	}
	var n big.Int
	for _, r := range rows {
		if v.States[r] == schema.Null {
			dst = append(dst, parquet.Value{})
			continue
		}
		whole, fraction, _ := bytes.Cut(v.Bytes(r), []byte("."))
		if len(fraction) > t.Scale {
			return dst, buf, fmt.Errorf("%.40q has more than %d digits behind the point", v.Bytes(r), t.Scale)
		}
		text := append(append([]byte(nil), whole...), fraction...)
		text = append(text, bytes.Repeat([]byte("0"), t.Scale-len(fraction))...)
		if _, ok := n.SetString(string(text), 10); !ok || len(whole)+len(fraction) == 0 || n.BitLen() > 8*size-1 {
			return dst, buf, fmt.Errorf("%.40q is no decimal of %d digits", v.Bytes(r), t.Precision)
		}
		at := len(buf)
		buf = buf[:at+size]
		if n.Sign() < 0 { // two's complement
			n.Add(&n, new(big.Int).Lsh(big.NewInt(1), uint(8*size)))
		}
		dst = append(dst, parquet.FixedLenByteArrayValue(n.FillBytes(buf[at:])).Level(0, 1, 0))
	}
	return dst, buf, nil
}
