// Package schematest holds what reads records to its bounds, in tests.
package schematest

import (
	"runtime"
	"testing"
)

// Within fails if reading allocates more than an input's size allows: so many bytes, and
// so many more for each of the input's. What is counted is the whole process's, so it is
// counted again where it is too much; the least is the reader's.
func Within(t testing.TB, fixed, perByte, size int, read func()) {
	t.Helper()
	limit, least := uint64(fixed+perByte*size), uint64(1<<62)
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		read()
		runtime.ReadMemStats(&after)
		if least = min(least, after.TotalAlloc-before.TotalAlloc); least <= limit {
			return
		}
	}
	t.Fatalf("%d bytes of input took %d bytes of memory, more than %d", size, least, limit)
}
