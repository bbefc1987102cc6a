package avro

import (
	"encoding/binary"
	"math"
)

// Reader walks over a value's bytes. Its methods do not return errors: after the
// first that finds the bytes wrong, Failed is true and all give zero. Check it
// before using what was read. A Reader keeps the bytes and copies none.
type Reader struct {
	Data   []byte
	At     int
	Failed bool
}

// Left is how many bytes are not read yet.
func (r *Reader) Left() int { return len(r.Data) - r.At }

func (r *Reader) fail() { r.Failed, r.At = true, len(r.Data) }

// Long reads an int or long: a zigzag varint.
func (r *Reader) Long() int64 {
	if r.At < len(r.Data) && r.Data[r.At] < 0x80 {
		n := uint64(r.Data[r.At])
		r.At++
		return int64(n>>1) ^ -int64(n&1)
	}
	n, size := binary.Uvarint(r.Data[r.At:])
	if size <= 0 {
		r.fail()
		return 0
	}
	r.At += size
	return int64(n>>1) ^ -int64(n&1)
}

// Bytes reads a bytes or string.
func (r *Reader) Bytes() []byte {
	n := r.Long()
	if n < 0 || n > int64(r.Left()) {
		r.fail()
		return nil
	}
	return r.Fixed(int(n))
}

// Fixed reads a fixed of n bytes.
func (r *Reader) Fixed(n int) []byte {
	if n < 0 || n > r.Left() {
		r.fail()
		return nil
	}
	r.At += n
	return r.Data[r.At-n : r.At : r.At]
}

// Boolean reads a boolean.
func (r *Reader) Boolean() bool {
	b := r.Fixed(1)
	if len(b) == 0 || b[0] > 1 {
		r.fail()
		return false
	}
	return b[0] == 1
}

// Float reads a float.
func (r *Reader) Float() float32 {
	if b := r.Fixed(4); b != nil {
		return math.Float32frombits(binary.LittleEndian.Uint32(b))
	}
	return 0
}

// Double reads a double.
func (r *Reader) Double() float64 {
	if b := r.Fixed(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

// Index reads the branch of a union, or the symbol of an enum, of n.
func (r *Reader) Index(n int) int {
	i := r.Long()
	if i < 0 || i >= int64(n) {
		r.fail()
		return 0
	}
	return int(i)
}

// maxDepth bounds how deep a value of a recursive type may be nested.
const maxDepth = 200

// Skip walks over a value and returns its bytes.
func (r *Reader) Skip(t *Type) []byte {
	start := r.At
	r.skip(t, 0)
	if r.Failed {
		return nil
	}
	return r.Data[start:r.At:r.At]
}

func (r *Reader) skip(t *Type, depth int) {
	if t.empty {
		return // however many records it is made of
	}
	switch t.Kind {
	case Boolean:
		r.Boolean()
	case Int, Long:
		r.Long()
	case Float:
		r.Fixed(4)
	case Double:
		r.Fixed(8)
	case Bytes, String:
		r.Bytes()
	case Fixed:
		r.Fixed(t.Size)
	case Enum:
		r.Index(len(t.Symbols))
	case Union:
		i := r.Index(len(t.Union))
		if !r.Failed && t.Union[i].Kind != Null {
			r.skip(t.Union[i], depth)
		}
	case Record:
		if depth++; depth > maxDepth {
			r.fail()
			return
		}
		for i := range t.Fields {
			if r.skip(t.Fields[i].Type, depth); r.Failed {
				return
			}
		}
	case Array, Map:
		r.skipBlocks(t, depth+1)
	}
}

// skipBlocks walks over the blocks of an array or map. A negative count is
// followed by the block's size.
func (r *Reader) skipBlocks(t *Type, depth int) {
	if depth > maxDepth {
		r.fail()
		return
	}
	for !r.Failed {
		n := r.Long()
		if n == 0 {
			return
		}
		end := -1
		if n < 0 {
			size := r.Long()
			if n == math.MinInt64 || size < 0 || size > int64(r.Left()) {
				r.fail()
				return
			}
			n, end = -n, r.At+int(size)
		}
		for ; n > 0 && !r.Failed; n-- {
			at := r.At
			if t.Kind == Map {
				r.Bytes()
			}
			if r.skip(t.Items, depth); r.At == at {
				break // items without bytes, however many
			}
		}
		if end >= 0 && r.At != end {
			r.fail()
		}
	}
}
