// Package script is the faults that an emulator is told to have, as they wait for their
// calls.
package script

import "slices"

// Faults are those that wait. The zero value is none; its owner guards it.
type Faults[F ~string] struct{ waiting []*fault[F] }

type fault[F ~string] struct {
	op          string
	what        F
	skip, times int
}

// Inject makes the next calls of an operation fail: the first skip calls pass, then times
// fail.
func (s *Faults[F]) Inject(op string, what F, skip, times int) {
	s.waiting = append(s.waiting, &fault[F]{op, what, skip, times})
}

// Heal forgets the faults that wait.
func (s *Faults[F]) Heal() { s.waiting = nil }

// Next returns how a call of an operation goes wrong, "" if it does not. It reports false if
// no fault waits for calls of it.
func (s *Faults[F]) Next(op string) (what F, waits bool) {
	i := slices.IndexFunc(s.waiting, func(f *fault[F]) bool { return f.op == op })
	if i < 0 {
		return "", false
	}
	f := s.waiting[i]
	if f.skip > 0 {
		f.skip--
		return "", true
	}
	if f.times--; f.times == 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
	return f.what, true
}
