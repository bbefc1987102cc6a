package debezium

import (
	"bytes"
	"errors"
	"math/big"
	"slices"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

// maxScale bounds the zeros that a decimal's text may be padded with, so that a
// scale of two billion in a broken schema is an error and not an allocation.
const maxScale = 10_000

// maxUnscaled bounds a decimal's bytes, whose text takes time with their square. The
// longest that a database has are PostgreSQL's, of 147,455 digits, or 61,233 bytes.
const maxUnscaled = 1 << 16

var (
	errDecimal   = errors.New("not a decimal")
	errPrecision = errors.New("a value beyond its declared precision")
)

// appendDecimal appends the plain text of unscaled × 10^-scale, where unscaled
// is a signed big-endian two's complement integer: exactly scale fraction
// digits, no exponent. (Kafka Connect's Decimal: org.apache.kafka.connect.data.)
func appendDecimal(dst, unscaled []byte, scale int) ([]byte, error) {
	if scale > maxScale || scale < -maxScale || len(unscaled) > maxUnscaled {
		return dst, errDecimal
	}
	if len(unscaled) <= 8 {
		var n int64
		if len(unscaled) > 0 {
			n = int64(int8(unscaled[0]))
			for _, b := range unscaled[1:] {
				n = n<<8 | int64(b)
			}
		}
		var buf [24]byte
		return appendScaled(dst, strconv.AppendInt(buf[:0], n, 10), scale), nil
	}
	n := new(big.Int).SetBytes(unscaled)
	if unscaled[0]&0x80 != 0 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(len(unscaled)*8)))
	}
	return appendScaled(dst, n.Append(nil, 10), scale), nil
}

// appendScaled places the decimal point in a string of digits.
func appendScaled(dst, digits []byte, scale int) []byte {
	if digits[0] == '-' {
		dst = append(dst, '-')
		digits = digits[1:]
	}
	if scale <= 0 {
		dst = append(dst, digits...)
		if digits[0] != '0' {
			for range -scale {
				dst = append(dst, '0')
			}
		}
		return dst
	}
	if whole := len(digits) - scale; whole > 0 {
		dst = append(dst, digits[:whole]...)
		dst = append(dst, '.')
		return append(dst, digits[whole:]...)
	}
	dst = append(dst, '0', '.')
	for range scale - len(digits) {
		dst = append(dst, '0')
	}
	return append(dst, digits...)
}

// appendDecimalLiteral appends the plain text of a decimal that came as a JSON
// number (decimal.format=NUMERIC), brought to exactly scale fraction digits.
// More digits than the scale allows are an error: nothing is rounded.
func appendDecimalLiteral(dst, lit []byte, scale int) ([]byte, error) {
	if len(lit) == 0 || !validNumber(lit) || scale > maxScale || scale < -maxScale {
		return dst, errDecimal
	}
	neg := lit[0] == '-'
	if neg {
		lit = lit[1:]
	}
	exp := 0
	if at := slices.IndexFunc(lit, func(b byte) bool { return b == 'e' || b == 'E' }); at >= 0 {
		e, err := strconv.Atoi(string(lit[at+1:]))
		if err != nil || e > maxScale || e < -maxScale {
			return dst, errDecimal
		}
		exp, lit = e, lit[:at]
	}
	var digits []byte
	if neg {
		digits = append(digits, '-')
	}
	have := 0
	for at, c := range lit {
		if c == '.' {
			have = len(lit) - at - 1
			continue
		}
		digits = append(digits, c)
	}
	have -= exp
	for ; have < scale; have++ {
		digits = append(digits, '0')
	}
	for ; have > scale; have-- {
		last := len(digits) - 1
		if digits[last] != '0' {
			return dst, errors.New("more fraction digits than its scale")
		}
		if digits = digits[:last]; len(digits) == 0 || digits[last-1] == '-' {
			digits = append(digits, '0')
			break
		}
	}
	return appendScaled(dst, trimZeros(digits), scale), nil
}

// trimZeros removes leading zeros but the last digit.
func trimZeros(d []byte) []byte {
	neg := d[0] == '-'
	if neg {
		d = d[1:]
	}
	for len(d) > 1 && d[0] == '0' {
		d = d[1:]
	}
	if neg && string(d) != "0" {
		return append([]byte{'-'}, d...)
	}
	return d
}

// appendDecimalText appends a decimal in the kind that its column has.
func (d *Decoder) appendDecimalText(v *schema.Values, text []byte, c *codec) error {
	switch v.Kind {
	case schema.Integer:
		n, ok := parseInt(text)
		if !ok {
			return errPrecision
		}
		v.AppendNum(n)
		return nil
	case schema.Float:
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return errDecimal
		}
		if digits(text) > 15 && !doubleHolds(text) {
			d.Lost.Digits++
		}
		v.AppendFloat(f)
		return nil
	}
	if c.precision > 0 && digits(text) > c.precision {
		return errPrecision
	}
	return d.appendText(v, text, c)
}

// digits counts the significant digits of a decimal's text, those of its scale
// included.
func digits(text []byte) (n int) {
	for _, c := range bytes.TrimLeft(text, "-0.") {
		if c != '.' {
			n++
		}
	}
	return n
}

// trimFraction cuts the zeros at the end of a decimal's fraction.
func trimFraction(text []byte) []byte {
	if bytes.IndexByte(text, '.') < 0 {
		return text
	}
	return bytes.TrimSuffix(bytes.TrimRight(text, "0"), []byte("."))
}
