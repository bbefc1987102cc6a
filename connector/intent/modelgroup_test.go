package intent

import "fmt"

// walk takes the steps that are possible from a state.
type walk struct {
	*modelWorld
	s       modelState // where they begin
	n       modelState // where one leads
	visit   func(what string)
	naming  bool // steps are told in words
	reached *[kinds]bool
}

func (k *walk) say(format string, args ...any) string {
	if !k.naming {
		return ""
	}
	return fmt.Sprintf(format, args...)
}

func (k *walk) add(what string, f func(*modelState)) {
	k.n = k.s
	f(&k.n)
	k.visit(what)
}

func (k *walk) fault(what string, f func(*modelState)) {
	if k.s.faults < k.faults {
		k.add(what, func(n *modelState) { n.faults++; f(n) })
	}
}

// breaks notes an invariant that a step breaks.
func (k *walk) breaks(n *modelState, what int8) {
	if n.broken == 0 && (k.only == 0 || k.only == what) {
		n.broken = what
	}
}

func (k *walk) steps() {
	for i := int8(1); i <= k.s.made; i++ {
		k.target(i)
	}
	for m := range maxM {
		k.member(m)
	}
	for m := range maxM {
		k.assignments(m)
	}
}

// apart reports whether the partitions of a table may be with several members. Else they go
// together (of the worlds' partitions, any two share a table).
func (w *modelWorld) apart() bool { return w.spreads || w.without == ruleOwner }

// assignments gives a member what nobody has.
func (k *walk) assignments(m int) {
	// A member that was thrown out is told so before it is given anything.
	if k.s.full || !k.s.members[m].good() {
		return
	}
	if !k.apart() {
		if k.s.owner == [maxP]int8{} {
			k.add(k.say("all partitions go to member %d", m), func(n *modelState) {
				for p := range k.records {
					k.assign(n, m, p)
				}
			})
		}
		return
	}
	for p := range k.records {
		if k.s.owner[p] == 0 {
			k.add(k.say("partition %d goes to member %d", p, m), func(n *modelState) { k.assign(n, m, p) })
		}
	}
}

// parallel reports whether another job of the same table runs.
func (s *modelState) parallel(i int8) bool {
	for o := int8(1); o <= s.made; o++ {
		if o != i && s.jobs[o].state == running && s.jobs[o].table == s.jobs[i].table {
			return true
		}
	}
	return false
}

// target moves a job on.
func (k *walk) target(i int8) {
	j := k.s.jobs[i]
	// Where partitions of a table are spread over members, only the target's 409 keeps their
	// jobs apart: what lands then is as if it had not been sent. Elsewhere it takes them.
	refused := k.spreads && k.without != ruleConflict && k.s.parallel(i)
	if j.state == isNew && j.late && !refused {
		k.add(k.say("job %d is executed", i), func(n *modelState) { k.land(n, i) })
	}
	if j.state == isNew {
		k.fault(k.say("job %d expires", i), func(n *modelState) { n.jobs[i].state = vanished; k.reached[expires] = true })
	}
	if (j.state == isNew || j.state == running) && !j.hidden {
		k.fault(k.say("a gateway hides job %d", i), func(n *modelState) { n.jobs[i].hidden = true; k.reached[hides] = true })
	}
	if j.state != running {
		return
	}
	k.add(k.say("job %d is DONE", i), func(n *modelState) {
		k.apply(n, i, 3)
		if n.jobs[i].state = done; j.part == k.parts {
			for p := range k.records {
				n.done[p] |= k.rows(&j, p)
			}
		}
	})
	has := 0
	for p := range k.records {
		if j.end[p] > 0 {
			has |= 1 << p
		}
	}
	for which := range 4 {
		if which&^has != 0 {
			continue
		}
		for _, end := range []struct {
			how             string
			state           int8
			none, all, half int
		}{{"fails", failed, fails, failsApplied, failsHalf}, {"vanishes", vanished, vanishes, vanishesApplied, vanishesHalf}} {
			k.fault(k.say("job %d %s, applied in %v", i, end.how, bits(which)), func(n *modelState) {
				k.apply(n, i, which)
				n.jobs[i].state = end.state
				k.reached[end.none] = k.reached[end.none] || which == 0
				k.reached[end.all] = k.reached[end.all] || which == has
				k.reached[end.half] = k.reached[end.half] || which != 0 && which != has
			})
		}
	}
}

// bits are partitions.
type bits int

func (b bits) String() string {
	return [...]string{"none", "partition 0", "partition 1", "both partitions"}[b]
}

// rows are the offsets of a job's rows, as bits.
func (w *modelWorld) rows(j *job, p int) (offsets uint8) {
	for o := j.from[p]; o < j.end[p]; o++ {
		if w.records[p][o] == j.table {
			offsets |= 1 << o
		}
	}
	return offsets
}

// land begins a job, and holds it against what ran and runs.
func (k *walk) land(n *modelState, i int8) {
	j := &n.jobs[i]
	j.state, j.late = running, false
	if n.parallel(i) {
		k.breaks(n, brokenI3)
	}
	alone := true
	for m := range maxM {
		alone = alone && n.members[m].lanes[j.table].job != i
	}
	k.reached[landsLate] = k.reached[landsLate] || alone
	k.reached[secondPart] = k.reached[secondPart] || j.part == 2
	for p := range k.records {
		if j.end[p] == 0 {
			continue
		}
		if n.done[p]&k.rows(j, p) != 0 {
			k.breaks(n, brokenAgain)
		}
		before := k.rows(&job{table: j.table, end: j.from}, p)
		if n.done[p]&before != before {
			k.breaks(n, brokenOrder)
		}
	}
}

// apply lets readers see a job's rows in some partitions. The jobs of a batch carry
// different rows.
func (k *walk) apply(n *modelState, i int8, which int) {
	j := &n.jobs[i]
	for p := range k.records {
		if j.end[p] == 0 || which&(1<<p) == 0 {
			continue
		}
		sees := &n.sees[j.part-1][j.table][p]
		if *sees > j.end[p] {
			k.breaks(n, brokenI8)
		}
		*sees = j.end[p]
	}
}

// assign gives a partition to a member, which reads what is beside its offset.
func (k *walk) assign(n *modelState, m, p int) {
	x := &n.members[m]
	n.owner[p], x.owns[p] = int8(m+1), true
	for t := range k.tables {
		e := n.group[p].notes[t]
		x.pos[t][p] = max(n.group[p].off, e.mark)
		x.notes[t][p] = note{job: e.job, end: e.end}
		x.queue[t][p] = e.job != 0 && k.without != ruleAdopt
		x.half[t][p] = x.queue[t][p] && k.without != ruleHalf && k.half(n, e.job)
		k.reached[marked] = k.reached[marked] || e.mark != 0
	}
}

// half reports whether a noted job does not stand beside all its partitions.
func (w *modelWorld) half(n *modelState, i int8) bool {
	j := &n.jobs[i]
	for p := range w.records {
		if j.end[p] > 0 && n.group[p].notes[j.table].job != i {
			return true
		}
	}
	return false
}

// disown takes from a member what the group had given it.
func (s *modelState) disown(m int) {
	for p := range s.owner {
		if s.owner[p] == int8(m+1) {
			s.owner[p] = 0
		}
	}
	s.full = s.full && s.owner != [maxP]int8{}
}
