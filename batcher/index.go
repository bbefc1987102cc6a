package batcher

import (
	"bytes"
	"hash/maphash"

	"github.com/sluice-cdc/sluice/schema"
)

// index finds the row that holds a key: open addressing with linear probing over
// entries of 16 bytes, a quarter of what a map of strings takes, and no string
// a record. The keys themselves stand in the batch's rows.
type index struct {
	entries []entry // a power of two
	used    int
}

type entry struct {
	hash uint64
	row  int32 // -1 is an empty entry
}

var seed = maphash.MakeSeed()

func hashKey(key []byte) uint64 { return maphash.Bytes(seed, key) }

// at returns the entry of a key. If its row is -1 the key is new, and the caller
// sets the row before the next call.
func (x *index) at(key []byte, rows *schema.Rows) *entry {
	if 4*x.used >= 3*len(x.entries) {
		x.grow()
	}
	h := hashKey(key)
	mask := uint64(len(x.entries) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		e := &x.entries[at]
		if e.row < 0 {
			e.hash = h
			x.used++
			return e
		}
		if e.hash == h && bytes.Equal(rows.Key(int(e.row)), key) {
			return e
		}
	}
}

// find returns the row of a key, -1 if there is none.
func (x *index) find(key []byte, rows *schema.Rows) int32 {
	if len(x.entries) == 0 {
		return -1
	}
	h := hashKey(key)
	mask := uint64(len(x.entries) - 1)
	for at := h & mask; ; at = (at + 1) & mask {
		switch e := &x.entries[at]; {
		case e.row < 0:
			return -1
		case e.hash == h && bytes.Equal(rows.Key(int(e.row)), key):
			return e.row
		}
	}
}

func (x *index) grow() {
	old := x.entries
	x.entries = make([]entry, max(1024, 2*len(old)))
	for i := range x.entries {
		x.entries[i].row = -1
	}
	mask := uint64(len(x.entries) - 1)
	for _, e := range old {
		if e.row < 0 {
			continue
		}
		at := e.hash & mask
		for x.entries[at].row >= 0 {
			at = (at + 1) & mask
		}
		x.entries[at] = e
	}
}

// move tells the index that rows were renumbered: to[old] is the new number.
func (x *index) move(to []int32) {
	for i := range x.entries {
		if e := &x.entries[i]; e.row >= 0 {
			e.row = to[e.row]
		}
	}
}

func (x *index) size() int64 { return 16 * int64(len(x.entries)) }
