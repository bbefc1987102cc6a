package script

import (
	"strings"
	"testing"
)

// TestNext: faults of an operation come one after the other, and those of others wait.
func TestNext(t *testing.T) {
	var s Faults[string]
	s.Inject("a", "x", 1, 2)
	s.Inject("b", "y", 0, 1)
	s.Inject("a", "z", 0, 1)
	var got []string
	for _, op := range []string{"a", "b", "a", "c", "a", "a", "a", "b"} {
		what, waits := s.Next(op)
		if what == "" && waits {
			what = "passes"
		}
		got = append(got, op+":"+what)
	}
	if text := strings.Join(got, " "); text != "a:passes b:y a:x c: a:x a:z a: b:" {
		t.Error(text)
	}
	s.Inject("a", "x", 0, 1)
	if s.Heal(); len(s.waiting) > 0 {
		t.Error("faults wait after all were healed")
	}
}
