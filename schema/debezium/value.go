package debezium

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
)

// widening is returned by a value that does not fit the kind inferred so far;
// the row is undone, the run cut, and the row read again.
type widening struct{ to schema.Kind }

func (w widening) Error() string { return "widens to " + w.to.String() }

// refusal is the error of a value whose type is not supported.
func (c *codec) refusal() error {
	return &fault{fmt.Sprintf("its type %s is not supported", c.name),
		"leave the column out by excludeColumns in the tables file or at the connector (column.exclude.list), or the table by exclude: true; then restart"}
}

// appendValue reads the value at the cursor into v under codec c.
func (d *Decoder) appendValue(s *scanner, v *schema.Values, col *schema.Column, c *codec) error {
	switch c.wire {
	case wireInferred:
		return d.appendInferred(s, v, col)
	case wireDocument:
		return d.appendDocument(s, v, col, c)
	}
	if c.wire == wireRefused {
		return c.refusal()
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
	case wireString:
		if !quoted {
			return mismatch(lit, quoted, c)
		}
		return d.appendText(v, lit, c.length, c.key)
	case wireBytes:
		return d.appendBytes(v, lit, quoted, c)
	case wireDecimal:
		return d.appendDecimal(v, lit, quoted, c)
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
		return nil
	case wireFloat:
		f, err := strconv.ParseFloat(string(lit), 64)
		if err != nil || !validNumber(lit) || math.IsInf(f, 0) || math.IsNaN(f) {
			return mismatch(lit, quoted, c)
		}
		v.AppendFloat(f)
		return nil
	case wireInstant:
		if !quoted {
			return mismatch(lit, quoted, c)
		}
		us, cut, err := parseInstant(lit)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		d.appendTime(v, us, cut)
		return nil
	}
	n, ok := parseInt(lit)
	if !ok {
		return mismatch(lit, quoted, c)
	}
	if err := d.appendNumber(v, n, c); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	return nil
}

// appendNumber appends what the integer on the wire stands for.
func (d *Decoder) appendNumber(v *schema.Values, n int64, c *codec) error {
	at, err := c.number(n)
	if err != nil {
		return err
	}
	if v.Kind == schema.DateTime || v.Kind == schema.Time {
		d.appendTime(v, at, c.wire == wireNanos && n%1000 != 0)
	} else {
		v.AppendNum(at)
	}
	return nil
}

// appendTime appends microseconds and counts those that the files will not hold
// whole. cut says that something finer was cut off already.
func (d *Decoder) appendTime(v *schema.Values, us int64, cut bool) {
	unit := d.opt.TimeUnit
	if v.Kind == schema.Time {
		unit = 1000 // TIME columns are always in milliseconds
	}
	if cut || us%unit != 0 {
		d.Lost.Digits++
	}
	v.AppendNum(us)
}

// number turns the integer on the wire into the one kept in the column.
func (c *codec) number(n int64) (int64, error) {
	switch c.wire {
	case wireInt:
		if shift := 64 - c.bits; n<<shift>>shift != n {
			return 0, fmt.Errorf("a value that does not fit into %d bits", c.bits)
		}
		return n, nil
	case wireDays:
		return n, checkDay(n)
	case wireMilliTime:
		if n < 0 || n >= dayMicros/1000 {
			return 0, errTimeRange
		}
		return n * 1000, nil
	case wireMicroTime:
		return n, checkTime(n)
	case wireMillis:
		return millis(n)
	case wireMicros:
		return n, checkMicros(n)
	}
	return nanos(n), checkMicros(nanos(n))
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

// appendText appends a string after checking what a STRING column must hold to. A key
// that is too long is refused whatever the options say: cut, two rows would be one.
func (d *Decoder) appendText(v *schema.Values, text []byte, length int, key bool) error {
	if d.isUnavailable(text) {
		return errUnavailable
	}
	if !utf8.Valid(text) {
		return errors.New("a string that is not valid UTF-8")
	}
	if length == 0 {
		length = d.opt.MaxLength
	}
	if length > 0 && len(text) > length {
		n, unit := len(text), "bytes"
		if !d.opt.LengthInBytes {
			n, unit = utf8.RuneCount(text), "characters"
		}
		if n > length {
			switch {
			case key || d.opt.Overflow == OverflowReject:
				return fmt.Errorf("a string of %d %s where %d are declared; a longer one would be cut by the target", n, unit, length)
			case d.opt.Overflow == OverflowTruncate:
				text = d.cutText(text, length)
			}
			d.Lost.Strings++
		}
	}
	v.AppendString(text)
	return nil
}

// cutText shortens valid UTF-8 to a length, between two characters.
func (d *Decoder) cutText(text []byte, length int) []byte {
	end := 0
	if d.opt.LengthInBytes {
		for end = length; !utf8.RuneStart(text[end]); end-- {
		}
		return text[:end]
	}
	for range length {
		_, size := utf8.DecodeRune(text[end:])
		end += size
	}
	return text[:end]
}

func (d *Decoder) appendBytes(v *schema.Values, lit []byte, quoted bool, c *codec) error {
	if !quoted {
		return mismatch(lit, quoted, c)
	}
	var err error
	if d.raw, err = decodeBase64(d.raw[:0], lit); err != nil {
		return mismatch(lit, quoted, c)
	}
	return d.appendRaw(v, d.raw, c.key)
}

// appendRaw appends bytes in the text form that they are to have.
func (d *Decoder) appendRaw(v *schema.Values, raw []byte, key bool) error {
	if string(raw) == d.opt.Placeholder {
		return errUnavailable
	}
	if d.opt.Binary == BinaryHex {
		d.text = hex.AppendEncode(d.text[:0], raw)
	} else {
		d.text = base64.StdEncoding.AppendEncode(d.text[:0], raw)
	}
	return d.appendText(v, d.text, 0, key)
}

func (d *Decoder) appendDecimal(v *schema.Values, lit []byte, quoted bool, c *codec) error {
	var text []byte
	var err error
	if quoted {
		if d.raw, err = decodeBase64(d.raw[:0], lit); err == nil {
			d.text, err = appendDecimal(d.text[:0], d.raw, c.scale)
			text = d.text
		}
	} else {
		d.raw, err = appendDecimalLiteral(d.raw[:0], lit, c.scale)
		text = d.raw
	}
	if err != nil {
		return fmt.Errorf("%s with scale %d: %w", c.name, c.scale, err)
	}
	return d.appendDecimalText(v, text, c)
}

// appendDecimalText appends a decimal in the kind that its column has.
func (d *Decoder) appendDecimalText(v *schema.Values, text []byte, c *codec) error {
	switch v.Kind {
	case schema.Integer:
		n, ok := parseInt(text)
		if !ok {
			return fmt.Errorf("%s: a value beyond its declared precision", c.name)
		}
		v.AppendNum(n)
		return nil
	case schema.Float:
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, errDecimal)
		}
		if digits(text) > 15 && !doubleHolds(text) {
			d.Lost.Digits++
		}
		v.AppendFloat(f)
		return nil
	}
	if c.precision > 0 && digits(text) > c.precision {
		return fmt.Errorf("%s: a value beyond its declared precision", c.name)
	}
	return d.appendText(v, text, 0, c.key)
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

// appendInferred reads a value of plain JSON. The column's kind so far decides
// whether it fits: integers that fit 64 bits are INTEGER, other numbers FLOAT as
// long as a double keeps their digits, and all else STRING with the text as sent.
func (d *Decoder) appendInferred(s *scanner, v *schema.Values, col *schema.Column) error {
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
	if (quoted || nested) && d.isUnavailable(lit) {
		return errUnavailable // which tells no type
	}
	n, isInt := int64(0), false
	want := schema.String
	switch {
	case quoted || nested:
	case lit[0] == 't' || lit[0] == 'f':
		want = schema.Boolean
	default:
		if n, isInt = parseInt(lit); isInt {
			want = schema.Integer
		} else if doubleHolds(lit) {
			want = schema.Float
		}
	}
	switch {
	case v.Kind == schema.Unknown:
		v.Become(want)
		col.Type = schema.Type{Kind: want, Inferred: true}
	case v.Kind == want, v.Kind == schema.String && col.Type.Inferred:
	case v.Kind == schema.Float && isInt && schema.ExactFloat(n):
	case !col.Type.Inferred:
		return fmt.Errorf("plain JSON of type %v in a column that a schema declared %v", want, v.Kind)
	case v.Kind == schema.Integer && want == schema.Float:
		return widening{schema.Float}
	default:
		return widening{schema.String}
	}
	switch v.Kind {
	case schema.Integer:
		v.AppendNum(n)
	case schema.Boolean:
		if lit[0] == 't' {
			n = 1
		}
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
		return d.appendText(v, lit, 0, col.Key)
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
	if err != nil || math.IsInf(f, 0) || n <= 15 {
		return err == nil && !math.IsInf(f, 0)
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
