package schema

import (
	"bytes"
	"encoding/binary"
)

// A position says where a change stands in the log of its database: the stream that it
// came in (a partition), the scope within which such positions have an order, and then
// bytes that are ordered as the changes are. Nothing at all is a position that is not
// known.
const (
	streamBytes = 8
	scopeBytes  = 8
)

// Oldest is the scope of a position before all that are known.
const Oldest uint64 = 0

// AppendPosition begins a position. The bytes of the order follow.
func AppendPosition(dst []byte, stream, scope uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, stream), scope)
}

// Before reports whether position a is known to be before b. Changes of one stream are in
// order as they come: their database may have begun its log anew, and they are not asked.
func Before(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 || bytes.Equal(a[:streamBytes], b[:streamBytes]) {
		return false
	}
	a, b = a[streamBytes:], b[streamBytes:]
	if !bytes.Equal(a[:scopeBytes], b[:scopeBytes]) {
		return binary.BigEndian.Uint64(a) == Oldest
	}
	return bytes.Compare(a, b) < 0
}

// Position returns the position of row i, nil where it is not known.
func (r *Rows) Position(i int) []byte {
	if i >= len(r.PositionEnds) {
		return nil
	}
	start := uint32(0)
	if i > 0 {
		start = r.PositionEnds[i-1]
	}
	return r.Positions[start:r.PositionEnds[i]]
}
