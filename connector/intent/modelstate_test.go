package intent

import (
	"bytes"
	"cmp"
	"slices"
	"unsafe"
)

const (
	maxP, maxT, maxM, maxJ, maxParts = 2, 2, 2, 7, 2
)

const (
	none int8 = iota
	isNew
	running
	done
	failed
	vanished
)

// job at the target. It carries the table's rows up to end in each partition that it
// has: from there on.
type job struct {
	state  int8
	table  int8
	part   int8
	late   bool // an execution is on its way
	hidden bool // somebody between here and the target says 404
	from   [maxP]int8
	end    [maxP]int8 // 0: no rows of this partition
}

// note is what the group has beside a partition's offset, for one table.
type note struct {
	mark, job, end int8 // job is a number from 1, 0 is none
}

type committedState struct {
	off   int8
	notes [maxT]note
}

// phases of a lane.
const (
	idle int8 = iota
	prepared
	doubtful // the intent was sent and the answer is lost
	bound
)

// lane is a member's work on a table.
type lane struct {
	phase   int8
	job     int8
	part    int8
	adopted bool
	given   bool
	half    bool       // adopted when it stood beside a part of its partitions only
	doomed  bool       // and was found NEW: it is being deleted
	noted   [maxP]bool // which partitions the intent is acknowledged beside, where not all are
	end     [maxP]int8
}

// belief is what a member takes to be its own, which may be out of date.
type belief struct {
	current bool // the group knows it under the membership with which it would commit
	stale   bool // which is not the one under which it was given what it owns
	owns    [maxP]bool
	pos     [maxT][maxP]int8
	queue   [maxT][maxP]bool // the job noted there is to be adopted
	half    [maxT][maxP]bool // it stood beside a part of its partitions only
}

// modelMember is a process. One that has crashed and one that begins are the same: neither
// does anything before it is given a partition.
type modelMember struct {
	belief
	notes [maxT][maxP]note // the last job that was noted beside the offsets
	lanes [maxT]lane
	del   int8 // a job to be deleted after the next commit
}

// fresh is a member of the group that has nothing.
var fresh = modelMember{belief: belief{current: true}}

// modelState is of bytes only, see bytesOf.
type modelState struct {
	jobs    [maxJ + 1]job
	made    int8
	group   [maxP]committedState
	owner   [maxP]int8 // a member from 1, 0 is none
	full    bool       // everybody gives up everything before anybody is given anything
	sees    [maxParts][maxT][maxP]int8
	done    [maxP]uint8 // by offset: a batch with it is DONE
	members [maxM]modelMember
	faults  int8
	moves   int8
	broken  int8
}

// bytesOf is a value's memory: of types without padding, equal values have equal bytes.
func bytesOf[T any](x *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(x)), unsafe.Sizeof(*x)) }

// canonical gives the states that differ in names only one form: the numbers of jobs and of
// members say nothing, and a job that nobody names and that cannot run is none.
func (s *modelState) canonical() {
	order := bytes.Compare(bytesOf(&s.members[0].belief), bytesOf(&s.members[1].belief))
	if order < 0 {
		s.swap()
	}
	s.number()
	if order != 0 {
		return
	}
	other := *s
	other.swap()
	other.number()
	if bytes.Compare(bytesOf(&other), bytesOf(s)) < 0 {
		*s = other
	}
}

func (s *modelState) swap() {
	s.members[0], s.members[1] = s.members[1], s.members[0]
	for p, m := range s.owner {
		if m != 0 {
			s.owner[p] = 3 - m
		}
	}
}

// number numbers jobs by what they are and by what names them.
func (s *modelState) number() {
	names := s.names()
	var named [maxJ + 1]uint32
	for i, j := range names {
		named[*j] |= 1 << i
	}
	var order [maxJ]int8
	live := order[:0]
	for i := int8(1); i <= s.made; i++ {
		if j := &s.jobs[i]; named[i] != 0 || j.state == running || j.state == isNew && j.late {
			live = append(live, i)
		}
	}
	slices.SortFunc(live, func(a, b int8) int {
		return cmp.Or(bytes.Compare(bytesOf(&s.jobs[a]), bytesOf(&s.jobs[b])), cmp.Compare(named[a], named[b]))
	})
	var number [maxJ + 1]int8
	var jobs [maxJ + 1]job
	for i, old := range live {
		number[old], jobs[i+1] = int8(i+1), s.jobs[old]
	}
	s.jobs, s.made = jobs, int8(len(live))
	for _, j := range names {
		*j = number[*j]
	}
}

// names are all that names a job.
func (s *modelState) names() (all [maxP*maxT + maxM*(1+maxT+maxT*maxP)]*int8) {
	i := 0
	add := func(j *int8) {
		all[i] = j
		i++
	}
	for p := range maxP {
		for t := range maxT {
			add(&s.group[p].notes[t].job)
		}
	}
	for m := range maxM {
		x := &s.members[m]
		add(&x.del)
		for t := range maxT {
			add(&x.lanes[t].job)
			for p := range maxP {
				add(&x.notes[t][p].job)
			}
		}
	}
	return all
}

// make a job.
func (s *modelState) make(j job) int8 {
	s.made++
	s.jobs[s.made] = j // out of range: maxJ is too small for the world, which nothing may hide
	return s.made
}

// forget has a member drop a partition.
func (x *modelMember) forget(p int) {
	x.owns[p] = false
	for t := range maxT {
		x.pos[t][p], x.notes[t][p], x.queue[t][p], x.half[t][p] = 0, note{}, false, false
	}
}

// good reports whether a member is one as it believes to be.
func (x *modelMember) good() bool { return x.current && !x.stale }
