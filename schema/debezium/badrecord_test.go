package debezium

import (
	"errors"
	"strings"
	"testing"
)

// TestReason: the class of a bad record tells how far it could be read.
func TestReason(t *testing.T) {
	good := `{"before":null,"after":{"id":1,"v":"x"},"source":{"db":"d","schema":"s","table":"t"},"op":"c"}`
	for _, c := range []struct {
		key, value string
		want       Reason
	}{
		{`{"id":1}`, `nonsense`, Unreadable},
		{`{"id":1}`, good[:60], Unreadable},
		{`{"id":1}`, `{"schema":{"type":7},"payload":{}}`, Unreadable},
		{`{"id":1}`, strings.Replace(good, `"x"`, `[1,]`, 1), Unreadable},
		{`{"id":1}`, `{}`, NoEvent},
		{`{"id":1}`, strings.Replace(good, `"c"`, `"z"`, 1), NoEvent},
		{`{"id":1}`, strings.Replace(good, `"t"`, `""`, 1), TableMisfit},
		{``, good, TableMisfit},
		{`{"id":1}`, strings.Replace(good, `"x"`, `"x","v":"y"`, 1), ValueMisfit},
		{`{"id":null}`, good, ValueMisfit},
		{`{"id":1}`, strings.Replace(good, `{"id":1,"v":"x"}`, `null`, 1), ValueMisfit},
	} {
		d := NewDecoder("t", Options{Table: func(id Identity) string { return id.Table }})
		_, err := d.Decode(Record{Key: []byte(c.key), Value: []byte(c.value)})
		var bad *BadRecord
		if !errors.As(err, &bad) || bad.Reason != c.want {
			t.Errorf("%s %s: %v, want reason %v", c.key, c.value, err, c.want)
		}
	}
	names := map[string]bool{}
	for _, r := range Reasons() {
		names[r.String()] = true
	}
	if len(names) != int(reasons) {
		t.Errorf("reasons %v", names)
	}
}
