package schematest

import "testing"

// recorder takes note of a failure in place of failing.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

var kept []byte

// TestWithin: so much is within, and a page more is not.
func TestWithin(t *testing.T) {
	for bytes, failed := range map[int]bool{1 << 16: false, 1<<16 + 16<<10: false, 1<<16 + 24<<10: true} {
		r := &recorder{TB: t}
		Within(r, 1<<16, 1<<10, 16, func() { kept = make([]byte, bytes) })
		if r.failed != failed {
			t.Errorf("%d bytes: failed %v", bytes, r.failed)
		}
	}
}
