package debezium

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// scanner walks JSON text in place (RFC 8259). It allocates nothing: values are
// slices of the input, and only a string with escapes is copied, into a buffer
// of the caller. It exists because rows go from here straight into columns;
// the general decoders of the field build values first (see BenchmarkDecode).
type scanner struct {
	b []byte
	i int
}

var (
	errSyntax = errors.New("invalid JSON")
	errDepth  = errors.New("invalid JSON: nested deeper than 512 levels")
)

const maxDepth = 512

func (s *scanner) fail(what string) error {
	return fmt.Errorf("%w at byte %d: %s", errSyntax, s.i, what)
}

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek skips space and returns the next byte, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// end checks that only space is left.
func (s *scanner) end() error {
	if s.space(); s.i < len(s.b) {
		return s.fail("text after the value")
	}
	return nil
}

// open enters an object; more is false if it is empty.
func (s *scanner) open() (more bool, err error) {
	if s.peek() != '{' {
		return false, s.fail("expected an object")
	}
	s.i++
	if s.peek() == '}' {
		s.i++
		return false, nil
	}
	return true, nil
}

// name reads a member's name and the colon behind it. A name with escapes is
// returned unescaped in buf's memory.
func (s *scanner) name(buf *[]byte) ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail("expected a member name")
	}
	raw, escaped, err := s.str()
	if err != nil {
		return nil, err
	}
	if escaped {
		if *buf, err = unescape((*buf)[:0], raw); err != nil {
			return nil, err
		}
		raw = *buf
	}
	if s.peek() != ':' {
		return nil, s.fail("expected ':'")
	}
	s.i++
	return raw, nil
}

// next moves behind a member: more is false at the end of the object.
func (s *scanner) next() (more bool, err error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case '}':
		s.i++
		return false, nil
	}
	return false, s.fail("expected ',' or '}'")
}

// openList enters an array; more is false if it is empty.
func (s *scanner) openList() (more bool, err error) {
	if s.peek() != '[' {
		return false, s.fail("expected an array")
	}
	s.i++
	if s.peek() == ']' {
		s.i++
		return false, nil
	}
	return true, nil
}

// nextItem moves behind an item: more is false at the end of the array.
func (s *scanner) nextItem() (more bool, err error) {
	switch s.peek() {
	case ',':
		s.i++
		return true, nil
	case ']':
		s.i++
		return false, nil
	}
	return false, s.fail("expected ',' or ']'")
}

// members counts the members of the object at the cursor.
func (s *scanner) members(buf *[]byte) (n int, err error) {
	more, err := s.open()
	for ; more && err == nil; n++ {
		if _, err = s.name(buf); err == nil {
			if _, err = s.skip(); err == nil {
				more, err = s.next()
			}
		}
	}
	return n, err
}

// str reads the string at the cursor and returns what is between its quotes.
func (s *scanner) str() (raw []byte, escaped bool, err error) {
	s.i++
	start := s.i
	for i := s.i; i < len(s.b); i++ {
		switch c := s.b[i]; {
		case c == '"':
			s.i = i + 1
			return s.b[start:i], escaped, nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			s.i = i
			return nil, false, s.fail("control character in a string")
		}
	}
	s.i = len(s.b)
	return nil, false, s.fail("string without end")
}

// unescape appends raw with its escapes replaced. A surrogate without its twin
// is refused: it has no UTF-8 form, and replacing it would change data.
func unescape(dst, raw []byte) ([]byte, error) {
	for {
		at := bytes.IndexByte(raw, '\\')
		if at < 0 {
			return append(dst, raw...), nil
		}
		dst = append(dst, raw[:at]...)
		raw = raw[at+1:]
		if len(raw) == 0 {
			return nil, fmt.Errorf("%w: escape without a character", errSyntax)
		}
		c := raw[0]
		raw = raw[1:]
		switch c {
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, ok := hex4(raw)
			if !ok {
				return nil, fmt.Errorf("%w: \\u without four hexadecimal digits", errSyntax)
			}
			raw = raw[4:]
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if len(raw) >= 6 && raw[0] == '\\' && raw[1] == 'u' {
					low, ok = hex4(raw[2:])
				}
				if r = utf16.DecodeRune(r, low); !ok || r == utf8.RuneError {
					return nil, fmt.Errorf("%w: half of a surrogate pair", errSyntax)
				}
				raw = raw[6:]
			}
			dst = utf8.AppendRune(dst, r)
		default:
			return nil, fmt.Errorf("%w: unknown escape \\%c", errSyntax, c)
		}
	}
}

func hex4(b []byte) (r rune, ok bool) {
	if len(b) < 4 {
		return 0, false
	}
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// skip moves behind the value at the cursor and returns its text.
func (s *scanner) skip() ([]byte, error) {
	c := s.peek()
	start := s.i
	switch c {
	case '{', '[':
		return s.skipNested()
	case '"':
		if _, _, err := s.str(); err != nil {
			return nil, err
		}
		return s.b[start:s.i], nil
	case 0:
		return nil, s.fail("value missing")
	}
	return s.scalar()
}

// scalar reads a number, true, false or null and checks its form.
func (s *scanner) scalar() ([]byte, error) {
	start := s.i
	for s.i < len(s.b) && !delimiter[s.b[s.i]] {
		s.i++
	}
	t := s.b[start:s.i]
	switch {
	case len(t) == 0:
		return nil, s.fail("value missing")
	case t[0] == '-' || (t[0] >= '0' && t[0] <= '9'):
		if !validNumber(t) {
			s.i = start
			return nil, s.fail("malformed number")
		}
		return t, nil
	case string(t) == "null", string(t) == "true", string(t) == "false":
		return t, nil
	}
	s.i = start
	return nil, s.fail("unknown literal")
}

// skipNested passes over an object or array. It checks strings, brackets and
// scalars; the order of commas and colons is checked where a value is read.
func (s *scanner) skipNested() ([]byte, error) {
	start, depth := s.i, 0
	var stack [maxDepth/8 + 1]byte // one bit a level: set for an object
	for s.i < len(s.b) {
		switch c := s.b[s.i]; c {
		case '"':
			if _, _, err := s.str(); err != nil {
				return nil, err
			}
		case '{', '[':
			if depth++; depth > maxDepth {
				return nil, errDepth
			}
			bit := byte(1) << (depth & 7)
			if c == '{' {
				stack[depth>>3] |= bit
			} else {
				stack[depth>>3] &^= bit
			}
			s.i++
		case '}', ']':
			if object := stack[depth>>3]&(1<<(depth&7)) != 0; object != (c == '}') {
				return nil, s.fail("brackets do not match")
			}
			s.i++
			if depth--; depth == 0 {
				return s.b[start:s.i], nil
			}
		case ' ', '\t', '\n', '\r', ',', ':':
			s.i++
		default:
			if _, err := s.scalar(); err != nil {
				return nil, err
			}
		}
	}
	return nil, s.fail("object or array without end")
}

var delimiter = func() (t [256]bool) {
	for _, c := range " \t\n\r,:{}[]\"" {
		t[c] = true
	}
	return
}()

// validNumber reports whether t has the form of a JSON number.
func validNumber(t []byte) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(t) && t[i] >= '0' && t[i] <= '9' {
			i++
		}
		return i > from
	}
	if t[0] == '-' {
		i++
	}
	first := i
	if !digits() || (t[first] == '0' && i-first > 1) {
		return false
	}
	if i < len(t) && t[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(t) && (t[i] == 'e' || t[i] == 'E') {
		i++
		if i < len(t) && (t[i] == '+' || t[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(t)
}

// parseInt reads a JSON integer literal; ok is false if it has another form or
// does not fit into 64 bits.
func parseInt(t []byte) (n int64, ok bool) {
	neg := len(t) > 0 && t[0] == '-'
	if neg {
		t = t[1:]
	}
	if len(t) == 0 || len(t) > 19 {
		return 0, false
	}
	var u uint64
	for _, c := range t {
		if c < '0' || c > '9' {
			return 0, false
		}
		u = u*10 + uint64(c-'0')
	}
	if neg {
		return int64(-u), u <= 1<<63
	}
	return int64(u), u < 1<<63
}

func isNull(t []byte) bool { return string(t) == "null" }
