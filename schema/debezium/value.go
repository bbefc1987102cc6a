package debezium

import (
	"fmt"
	"math"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

// appendValue reads the value at the cursor into v under codec c. A value that the
// source did not send appends nothing and is errUnavailable.
func (d *Decoder) appendValue(s *scanner, v *schema.Values, col *schema.Column, c *codec) error {
	switch {
	case c.wire == wireInferred:
		return d.appendInferred(s, v, col, c)
	case c.wire == wireDocument:
		return d.appendDocument(s, v, col, c)
	case c.wire == wireRefused:
		return c.refusal()
	case c.isNested() && s.peek() != 'n':
		return d.appendNested(s, v, c)
	}
	lit, quoted, err := d.literal(s)
	if err != nil {
		return err
	}
	if !quoted && isNull(lit) {
		v.AppendNull()
		return nil
	}
	switch c.wire {
	case wireDocumentKey:
		return d.appendID(v, col, lit)
	case wireString, wireInstant, wireISODate, wireISOTime, wireISOLocal:
		if !quoted {
			return mismatch(lit, quoted, c)
		}
		err = d.appendQuoted(v, lit, c)
	case wireBytes, wireBits, wireDecimal:
		switch {
		case quoted:
			if d.raw, err = decodeBase64(d.raw[:0], lit); err != nil {
				return mismatch(lit, quoted, c)
			}
			err = d.appendRaw(v, d.raw, c)
		case c.wire != wireDecimal:
			return mismatch(lit, quoted, c)
		default:
			if d.raw, err = appendDecimalLiteral(d.raw[:0], lit, c.scale); err == nil {
				err = d.appendDecimalText(v, d.raw, c)
			}
		}
	case wireBool:
		switch {
		case quoted:
			return mismatch(lit, quoted, c)
		case string(lit) == "true":
			v.AppendNum(1)
		case string(lit) == "false":
			v.AppendNum(0)
		default:
			return mismatch(lit, quoted, c)
		}
	case wireFloat:
		f, ok := parseFloat(lit, quoted)
		if !ok {
			return mismatch(lit, quoted, c)
		}
		err = d.appendFloat(v, f, c)
	default:
		n, ok := parseInt(lit)
		if !ok {
			return mismatch(lit, quoted, c)
		}
		err = d.appendNumber(v, n, c)
	}
	return c.named(err)
}

// named says of which type a value was that could not be read.
func (c *codec) named(err error) error {
	if err == nil || err == errUnavailable || c.wire == wireString {
		return err
	}
	return fmt.Errorf("%s: %w", c.name, err)
}

// literal reads a scalar: the text of a number, boolean or null, or the
// unescaped text of a string. It stays valid until the next call.
func (d *Decoder) literal(s *scanner) (lit []byte, quoted bool, err error) {
	switch s.peek() {
	case '"':
		raw, escaped, err := s.str()
		if err == nil && escaped {
			d.text, err = unescape(d.text[:0], raw)
			raw = d.text
		}
		return raw, true, err
	case '{', '[':
		lit, err = s.skipNested()
		return lit, false, err
	}
	lit, err = s.scalar()
	return lit, false, err
}

func mismatch(lit []byte, quoted bool, c *codec) error {
	what := "text"
	switch {
	case quoted:
	case len(lit) > 0 && lit[0] == '{':
		what = "an object"
	case len(lit) > 0 && lit[0] == '[':
		what = "an array"
	case len(lit) > 0 && (lit[0] == 't' || lit[0] == 'f'):
		what = "a boolean"
	default:
		what = "a number"
	}
	return fmt.Errorf("%s that is not a valid %s", what, c.name)
}

// parseFloat reads a number as JsonConverter writes it.
func parseFloat(lit []byte, quoted bool) (float64, bool) {
	if f, ok := noNumber(lit); ok && quoted {
		return f, true
	}
	if len(lit) == 0 || !validNumber(lit) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(lit), 64)
	return f, err == nil
}

// noNumber reads what JsonConverter writes in quotes, as JSON has no number for it.
func noNumber(lit []byte) (float64, bool) {
	switch string(lit) {
	case "NaN":
		return math.NaN(), true
	case "Infinity":
		return math.Inf(1), true
	case "-Infinity":
		return math.Inf(-1), true
	}
	return 0, false
}

// appendFloat appends a double. NaN and the infinities, which the target cannot hold,
// become what Options.OutOfRange says; NaN has no nearest number and becomes NULL where
// they are clamped.
func (d *Decoder) appendFloat(v *schema.Values, f float64, c *codec) error {
	if !math.IsNaN(f) && !math.IsInf(f, 0) || c.inner {
		v.AppendFloat(f)
		return nil
	}
	switch o := d.opt.OutOfRange; {
	case c.key || o == RangeHold || o == RangeText:
		return errNoNumber
	case o == RangeNull || math.IsNaN(f):
		d.Lost.Nulled++
		v.AppendNull()
	default:
		d.Lost.Clamped++
		v.AppendFloat(math.Copysign(math.MaxFloat64, f))
	}
	return nil
}

// appendNumber appends what the integer on the wire stands for.
func (d *Decoder) appendNumber(v *schema.Values, n int64, c *codec) error {
	switch {
	case c.absent != nil && d.isUnavailable(c, strconv.AppendInt(nil, n, 10)):
		return errUnavailable
	case c.temporal != schema.Unknown:
		return d.appendTemporal(v, n, c)
	case c.wire == wireUnsigned:
		d.text = strconv.AppendUint(d.text[:0], uint64(n), 10)
		return d.appendDecimalText(v, d.text, c)
	}
	if shift := 64 - c.bits; n<<shift>>shift != n {
		return fmt.Errorf("a value that does not fit into %d bits", c.bits)
	}
	v.AppendNum(n)
	return nil
}
