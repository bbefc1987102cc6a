package debezium

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
)

// appendQuoted appends what a text on the wire stands for.
func (d *Decoder) appendQuoted(v *schema.Values, text []byte, c *codec) error {
	switch {
	case !c.inner && d.isUnavailable(c, text):
		return errUnavailable
	case c.temporal != schema.Unknown:
		return d.appendISO(v, text, c)
	}
	return d.appendText(v, text, c)
}

// appendText appends a string after checking what a STRING column must hold to. A key
// that is too long is never cut, by whomever: two rows would be one.
func (d *Decoder) appendText(v *schema.Values, text []byte, c *codec) error {
	if !utf8.Valid(text) {
		return errors.New("a string that is not valid UTF-8")
	}
	length := c.length
	if length == 0 {
		length = d.opt.MaxLength
	}
	if length > 0 && len(text) > length && !c.inner {
		n, unit := d.length(text)
		switch {
		case n <= length:
		case d.opt.Overflow == OverflowGrow && (d.opt.LengthLimit == 0 || n <= d.opt.LengthLimit):
			d.overlong = true
		case d.opt.Overflow == OverflowGrow:
			return fmt.Errorf("a string of %d %s, where a column can be declared with at most %d", n, unit, d.opt.LengthLimit)
		case c.key || d.opt.Overflow == OverflowHold:
			return fmt.Errorf("a string of %d %s where %d are declared; a longer one would be cut by the target, see SLUICE_STRING_OVERFLOW", n, unit, length)
		default:
			if d.opt.Overflow == OverflowCut {
				text = d.cutText(text, length)
			}
			d.Lost.Strings++
		}
	}
	v.AppendString(text)
	return nil
}

// length returns how long a text is, and in what.
func (d *Decoder) length(text []byte) (n int, unit string) {
	if d.opt.LengthInBytes {
		return len(text), "bytes"
	}
	return utf8.RuneCount(text), "characters"
}

// grow notes the lengths of the last row's strings that are longer than their columns
// are declared. They are not asked of rows that fail, nor forgotten when a run ends.
func (d *Decoder) grow(sh *shape, run *schema.Rows) {
	for i := range sh.cols {
		t, v := &sh.cols[i].Type, &run.Values[i]
		if t.Kind != schema.String || v.States[run.Len()-1] != schema.Present {
			continue
		}
		if n, _ := d.length(v.Bytes(run.Len() - 1)); n > cmp.Or(t.Length, d.opt.MaxLength) {
			t.Longest = max(t.Longest, n)
			run.Columns[i].Type.Longest = t.Longest
		}
	}
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

// appendRaw appends what bytes stand for: a decimal, or bytes in the text form that they
// are to have.
func (d *Decoder) appendRaw(v *schema.Values, raw []byte, c *codec) (err error) {
	switch {
	case !c.inner && d.isUnavailable(c, raw):
		return errUnavailable
	case c.wire == wireDecimal:
		if d.text, err = appendDecimal(d.text[:0], raw, c.scale); err != nil {
			return fmt.Errorf("with scale %d: %w", c.scale, err)
		}
		return d.appendDecimalText(v, d.text, c)
	case c.wire == wireBits:
		if d.text, err = appendBits(d.text[:0], raw, c.length); err != nil {
			return err
		}
	case d.opt.Binary == BinaryHex:
		d.text = hex.AppendEncode(d.text[:0], raw)
	default:
		d.text = base64.StdEncoding.AppendEncode(d.text[:0], raw)
	}
	return d.appendText(v, d.text, c)
}

// appendBits appends the bits of a BIT(length), the most significant first; on the wire
// the least significant byte comes first (io.debezium.data.Bits). Where the length is not
// known, as of BIT VARYING, zeros in front were lost at the source, and none are made up.
func appendBits(dst, raw []byte, length int) ([]byte, error) {
	from := len(dst)
	for i := max(8*len(raw), length) - 1; i >= 0; i-- {
		bit := byte('0')
		if i < 8*len(raw) {
			bit += raw[i/8] >> (i % 8) & 1
		}
		switch {
		case bit == '1' && length > 0 && i >= length:
			return dst, errors.New("more bits than are declared")
		case bit == '0' && i >= max(length, 1) && len(dst) == from:
		default:
			dst = append(dst, bit)
		}
	}
	if len(dst) == from {
		dst = append(dst, '0')
	}
	return dst, nil
}

// decodeBase64 appends the bytes of standard base64 with padding.
func decodeBase64(dst, text []byte) ([]byte, error) {
	return base64.StdEncoding.AppendDecode(dst, text)
}
