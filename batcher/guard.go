package batcher

import "github.com/sluice-cdc/sluice/schema"

// Guard keeps the position of the last change of each key, for tables whose changes come
// in several partitions, and finds those that come after a later one. It has so many bytes;
// when they are full, the keys that changed longest ago are forgotten, and an older change
// of one of them that comes then is not found.
type Guard struct {
	Forgotten int64 // keys

	limit       int64
	young, aged generation
	key         []byte // scratch
}

// generation is the keys of a time, with their table.
type generation struct {
	positions map[string][]byte
	bytes     int64
}

// perKey is what an entry of a map takes besides its bytes, roughly.
const perKey = 96

// NewGuard returns a guard that holds no more than limit bytes.
func NewGuard(limit int64) *Guard {
	return &Guard{limit: limit, young: newGeneration(), aged: newGeneration()}
}

func newGeneration() generation { return generation{positions: map[string][]byte{}} }

// Admit returns the rows from the given one on that are not older than what came before
// of their key, in the buffer if some are, and notes them as the latest. A row without a
// position is taken as it comes, and leaves its key's as it is.
func (g *Guard) Admit(rows *schema.Rows, from int, buffer *schema.Rows) (*schema.Rows, int) {
	fresh := make([]int32, 0, rows.Len()-from)
	for i := from; i < rows.Len(); i++ {
		if g.admit(rows.Table, rows.Key(i), rows.Position(i)) {
			fresh = append(fresh, int32(i))
		}
	}
	if len(fresh) == rows.Len()-from {
		return rows, from
	}
	buffer.Pick(rows, fresh)
	return buffer, 0
}

func (g *Guard) admit(table string, key, at []byte) bool {
	g.key = append(append(append(g.key[:0], table...), 0), key...)
	last, ok := g.young.positions[string(g.key)]
	if !ok {
		last = g.aged.positions[string(g.key)]
	}
	if schema.Before(at, last) {
		return false
	}
	if len(at) == 0 {
		at = last
	}
	if len(at) > 0 {
		g.note(at)
	}
	return true
}

// note makes a position that of the key at hand, in the younger generation.
func (g *Guard) note(at []byte) {
	last, ok := g.young.positions[string(g.key)]
	if ok && len(last) == len(at) {
		copy(last, at)
		return
	}
	g.young.positions[string(g.key)] = append([]byte(nil), at...)
	if g.young.bytes += int64(len(at) - len(last)); !ok {
		g.young.bytes += int64(len(g.key)) + perKey
		delete(g.aged.positions, string(g.key))
	}
	if g.young.bytes > g.limit/2 {
		g.Forgotten += int64(len(g.aged.positions))
		g.young, g.aged = newGeneration(), g.young
	}
}
