package intent

import (
	"hash/maphash"
	"slices"
)

// found is what the exploration of a world came to.
type found struct {
	states  int
	whole   bool // all states were seen
	broken  int8
	trace   []string // the shortest way to where it is broken
	reached [kinds]bool
}

// key stands for a state: of millions, no two have the same 128 bits.
type key [2]uint64

var seeds = [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}

func (s *modelState) key() key {
	return key{maphash.Bytes(seeds[0], bytesOf(s)), maphash.Bytes(seeds[1], bytesOf(s))}
}

func begin() (s modelState) {
	for m := range s.members {
		s.members[m] = fresh
	}
	return s
}

// explore visits the states of a world, the nearest first, until an invariant is broken.
func (w *modelWorld) explore(most int) (r found) {
	level, below := []modelState{begin()}, []modelState(nil)
	keys, back := []key{level[0].key()}, []int32{-1}
	seen := map[key]bool{keys[0]: true}
	at := int32(0)
	k := walk{modelWorld: w, reached: &r.reached}
	k.visit = func(string) {
		k.n.canonical()
		h := k.n.key()
		if r.broken != 0 || seen[h] {
			return
		}
		seen[h] = true
		keys, back, below = append(keys, h), append(back, at), append(below, k.n)
		r.broken = k.n.broken
	}
	for len(level) > 0 && len(keys) <= most && r.broken == 0 {
		for _, k.s = range level {
			if k.steps(); r.broken != 0 {
				break
			}
			r.reached[ends] = r.reached[ends] || w.ended(&k.s)
			at++
		}
		level, below = below, level[:0]
	}
	r.states, r.whole = len(keys), len(level) == 0
	if r.broken == 0 {
		return r
	}
	var way []key
	for i := int32(len(keys) - 1); i > 0; i = back[i] {
		way = append(way, keys[i])
	}
	slices.Reverse(way)
	r.trace = w.tell(way)
	return r
}

// tell puts a way into words, with the names that members and jobs have from its beginning
// on.
func (w *modelWorld) tell(way []key) (trace []string) {
	k := walk{modelWorld: w, s: begin(), naming: true, reached: &[kinds]bool{}}
	for i, h := range way {
		var next modelState
		k.visit = func(what string) {
			n := k.n
			if k.n.canonical(); len(trace) == i && k.n.key() == h {
				next, trace = n, append(trace, what)
			}
		}
		if k.steps(); len(trace) == i {
			panic("no step leads on: a state has two canonical forms")
		}
		k.s = next
	}
	return trace
}

// ended reports whether all is committed.
func (w *modelWorld) ended(s *modelState) bool {
	for p, records := range w.records {
		if int(s.group[p].off) < len(records) {
			return false
		}
	}
	return true
}
