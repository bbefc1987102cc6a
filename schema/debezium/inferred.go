package debezium

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

// widening is returned by a value that does not fit the kind inferred so far;
// the row is undone, the run cut, and the row read again.
type widening struct{ to schema.Kind }

func (w widening) Error() string { return "widens to " + w.to.String() }

// misfit is returned by a value that does not fit the kind which Options.Types gives its
// column.
type misfit struct{ value, given schema.Kind }

func (m misfit) Error() string { return fmt.Sprintf("%v in a column of %v", m.value, m.given) }

// appendInferred reads a value of plain JSON. The column's kind so far decides
// whether it fits: integers that fit 64 bits are INTEGER, other numbers FLOAT as
// long as a double keeps their digits, and all else STRING with the text as sent.
// A kind that c is given stays; INTEGER and BOOLEAN hold each other's 0 and 1 then.
func (d *Decoder) appendInferred(s *scanner, v *schema.Values, col *schema.Column, c *codec) error {
	lit, quoted, err := d.literal(s)
	if err != nil {
		return err
	}
	if !quoted && isNull(lit) {
		v.AppendNull()
		return nil
	}
	nested := !quoted && (lit[0] == '{' || lit[0] == '[')
	if nested {
		if !json.Valid(lit) { // the scanner checks no more than brackets and scalars
			return errSyntax
		}
		d.raw = compact(d.raw[:0], lit)
		lit = d.raw
	}
	if quoted && d.isUnavailable(&plainText, lit) || nested && d.isUnavailable(&codec{}, lit) {
		return errUnavailable // which tells no type
	}
	n, isInt := int64(0), false
	want := schema.String
	switch {
	case quoted || nested:
	case lit[0] == 't':
		want, n = schema.Boolean, 1
	case lit[0] == 'f':
		want = schema.Boolean
	default:
		if n, isInt = parseInt(lit); isInt {
			want = schema.Integer
		} else if doubleHolds(lit) {
			want = schema.Float
		}
	}
	given := c.kind != schema.Unknown && c.kind == v.Kind
	switch {
	case v.Kind == schema.Unknown:
		v.Become(want)
		col.Type = schema.Type{Kind: want, Inferred: true}
	case v.Kind == want, v.Kind == schema.String && (given || col.Type.Inferred):
	case v.Kind == schema.Float && isInt && schema.ExactFloat(n):
	case given && v.Kind == schema.Integer && want == schema.Boolean, given && v.Kind == schema.Boolean && isInt && n>>1 == 0:
	case given && v.Kind == schema.Float && quoted:
		if f, ok := noNumber(lit); ok {
			return d.appendFloat(v, f, c)
		}
		return misfit{want, v.Kind}
	case given:
		return misfit{want, v.Kind}
	case !col.Type.Inferred:
		return fmt.Errorf("plain JSON of type %v in a column that a schema declared %v", want, v.Kind)
	case v.Kind == schema.Integer && want == schema.Float:
		return widening{schema.Float}
	default:
		return widening{schema.String}
	}
	switch v.Kind {
	case schema.Integer, schema.Boolean:
		v.AppendNum(n)
	case schema.Float:
		f, err := strconv.ParseFloat(string(lit), 64)
		if err != nil {
			return err
		}
		v.AppendFloat(f)
	default:
		if want == schema.Float {
			// As a FLOAT column that widens to STRING would have it, so that a value does
			// not depend on what came before it.
			f, err := strconv.ParseFloat(string(lit), 64)
			if err != nil {
				return err
			}
			d.raw = schema.AppendFloatText(d.raw[:0], f)
			lit = d.raw
		}
		c := codec{key: col.Key}
		return d.appendText(v, lit, &c)
	}
	return nil
}

// doubleHolds reports whether a number with fraction or exponent can be taken as
// a double: up to 15 significant digits every one survives, up to 17 those do that
// were a double's own; of others digits would be lost.
func doubleHolds(lit []byte) bool {
	var digits [17]byte
	n, zeros, fraction, exponent := 0, 0, false, false
	for _, c := range lit {
		switch {
		case c == '.':
			fraction = true
		case c == 'e' || c == 'E':
			exponent = true
		case c < '0' || c > '9' || exponent:
		case c == '0':
			if n > 0 {
				zeros++ // significant only if another digit follows
			}
		default:
			if n+zeros+1 > len(digits) {
				return false
			}
			for ; zeros > 0; zeros-- {
				digits[n] = '0'
				n++
			}
			digits[n] = c
			n++
		}
	}
	if !fraction && !exponent {
		return false // an integer beyond 64 bits
	}
	f, err := strconv.ParseFloat(string(lit), 64)
	if err != nil || math.IsInf(f, 0) {
		return false
	}
	if n == 0 || n <= 15 && math.Abs(f) >= 0x1p-1022 {
		return true // nearer to zero, doubles have fewer digits, and then none
	}
	var buf [32]byte
	kept := strconv.AppendFloat(buf[:0], math.Abs(f), 'e', n-1, 64) // d.ddd…e±xx
	return kept[0] == digits[0] && string(kept[2:n+1]) == string(digits[1:n])
}

// compact appends JSON text without the space between its tokens.
func compact(dst, text []byte) []byte {
	inString := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case inString && c == '\\':
			dst = append(dst, c, text[i+1])
			i++
			continue
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
