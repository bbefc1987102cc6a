package push

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
)

// Words is a target's text about rows, in which show tells what may be repeated: each text in
// quotes, and each word outside of them. What may not is left out as "…".
func Words(text string, show func(word string, quoted bool) bool) string {
	var out strings.Builder
	tell := func(word string, quoted bool, whole string) {
		if show(word, quoted) {
			out.WriteString(whole)
		} else {
			out.WriteString("…")
		}
	}
	for rest, within := text, false; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		after := within
		within = Letter(r)
		switch {
		case strings.ContainsRune("`'\"", r) && !after: // in a word it is an apostrophe
			end := closing(rest[n:], r)
			if end < 0 { // whatever follows is in them
				tell(rest[n:], true, rest)
				rest = ""
				continue
			}
			tell(rest[n:n+end], true, rest[:n+end+n])
			n += end + n
		case Letter(r):
			if n = strings.IndexFunc(rest, func(r rune) bool { return !Letter(r) }); n < 0 {
				n = len(rest)
			}
			tell(rest[:n], false, rest[:n])
		default:
			out.WriteRune(r)
		}
		rest = rest[n:]
	}
	return out.String()
}

// closing returns where a quote ends that r has opened: not within a word.
func closing(text string, r rune) int {
	for at, c := range text {
		if c == r {
			if next, _ := utf8.DecodeRuneInString(text[at+utf8.RuneLen(r):]); !Letter(next) {
				return at
			}
		}
	}
	return -1
}

// Letter reports whether a rune is of a word.
func Letter(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }

// Numbered reports whether a word has a digit, and so may be a value.
func Numbered(word string) bool { return strings.ContainsFunc(word, unicode.IsDigit) }

// ofTable shows what names a table and its columns, and outside of quotes what has no digits.
func ofTable(t *schema.Table) func(string, bool) bool {
	names := map[string]bool{}
	add := func(name string) {
		names[name] = true
		for _, part := range strings.FieldsFunc(name, func(r rune) bool { return !Letter(r) }) {
			names[part] = true
		}
	}
	add(t.Name)
	for _, c := range t.Columns {
		add(c.Name)
	}
	return func(word string, quoted bool) bool { return names[word] || !quoted && !Numbered(word) }
}

// logs is what the target says of a job that has not loaded its rows, without what it may
// quote of them.
func logs(lines []string, t *schema.Table) string {
	if len(lines) == 0 {
		return "the target gave no reason"
	}
	const most = 2000
	s := Words(strings.Join(lines, "; "), ofTable(t))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

// Private leaves out of an error, in which the target answers to rows of a table, what may be a
// value of them.
func Private(err error, t *schema.Table) error {
	var e *Error
	if errors.As(err, &e) {
		e.Message = Words(e.Message, ofTable(t))
	}
	return err
}
