package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
)

// Secret is a value that is never printed. If it came from a file, the file is
// read at each use, so a rotated secret takes effect without a restart.
type Secret struct{ value, file string }

// EnvDecode implements envconfig.Decoder.
func (s *Secret) EnvDecode(v string) error {
	s.value = v
	return nil
}

// Value returns the secret.
func (s Secret) Value() (string, error) {
	if s.file == "" {
		return s.value, nil
	}
	b, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", errors.New("the file is empty")
	}
	return v, nil
}

// IsZero reports whether the secret is not set.
func (s Secret) IsZero() bool { return s.value == "" && s.file == "" }

func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return "(not shown)"
}

// GoString keeps %#v from showing it.
func (s Secret) GoString() string { return s.String() }

// LogValue keeps a structured log from showing it.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText keeps JSON from showing it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Bytes is a size.
type Bytes int64

var units = []struct {
	name string
	size float64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}}

// EnvDecode implements envconfig.Decoder.
func (b *Bytes) EnvDecode(v string) error {
	number, size := strings.TrimSpace(v), 1.0
	for _, u := range units {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, size = strings.TrimSpace(n), u.size
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || f <= 0 || f*size > 1<<50 {
		return errors.New("not a size")
	}
	*b = Bytes(f * size)
	return nil
}

// UnmarshalYAML implements yaml.BytesUnmarshaler. An empty text is no size.
func (b *Bytes) UnmarshalYAML(text []byte) error {
	v := word(text)
	if v == "" || b.EnvDecode(v) == nil {
		return nil
	}
	return &wanted{v, "a size such as 64MiB"}
}

func (b Bytes) String() string {
	for _, u := range []struct {
		name string
		size Bytes
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if b >= u.size && b%u.size == 0 {
			return fmt.Sprintf("%d%s", b/u.size, u.name)
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

// Replace is what to put in the place of characters in names.
type Replace []string // from, to, from, to, …

// EnvDecode implements envconfig.Decoder.
func (r *Replace) EnvDecode(v string) error {
	if v == "" {
		return nil
	}
	for pair := range strings.SplitSeq(v, ",") {
		// The text to replace may begin with =.
		at := strings.IndexByte(pair[min(1, len(pair)):], '=') + 1
		if at == 0 {
			return errors.New("not a replacement")
		}
		from, to := pair[:at], pair[at+1:]
		*r = append(*r, from, to)
	}
	return nil
}

// Apply returns the name with everything replaced, from left to right.
func (r Replace) Apply(name string) string {
	if len(r) == 0 {
		return name
	}
	return strings.NewReplacer(r...).Replace(name)
}

// Topics is a list of names, or one pattern that begins with ^.
type Topics []string

// EnvDecode implements envconfig.Decoder.
func (t *Topics) EnvDecode(v string) error {
	if v = strings.TrimSpace(v); v == "" {
		return nil
	}
	if strings.HasPrefix(v, "^") {
		if strings.Contains(v, ",^") {
			return errors.New("several patterns; join them with |")
		}
		if _, err := regexp.Compile(v); err != nil {
			return err
		}
		*t = Topics{v}
		return nil
	}
	for _, name := range strings.Split(v, ",") {
		if name = strings.TrimSpace(name); name == "" || strings.ContainsAny(name, "*^$()[]| ") {
			return errors.New("not a topic name")
		}
		*t = append(*t, name)
	}
	return nil
}

// Pattern is a regular expression that a name must match as a whole.
type Pattern struct{ re *regexp.Regexp }

// EnvDecode implements envconfig.Decoder.
func (p *Pattern) EnvDecode(v string) (err error) {
	if v != "" {
		p.re, err = regexp.Compile("^(?:" + v + ")$")
	}
	return err
}

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (p *Pattern) UnmarshalYAML(read func(any) error) error {
	var text string
	if err := read(&text); err != nil {
		return err
	}
	err := p.EnvDecode(text)
	if wrong := new(syntax.Error); errors.As(err, &wrong) {
		return &wanted{text, accepted(leaf{value: reflect.ValueOf(*p)}) + ": " + wrong.Code.String()}
	}
	return err
}

// IsZero reports whether there is no pattern, which matches nothing.
func (p Pattern) IsZero() bool { return p.re == nil }

// Match reports whether the pattern is there and matches the whole name.
func (p Pattern) Match(name string) bool { return p.re != nil && p.re.MatchString(name) }
