package intent

import "fmt"

type step struct {
	what string
	s    modelState
}

// apply lets readers see a job's rows in some partitions. Of a batch of several jobs the
// last one carries the rows that are looked at here.
func (w *modelWorld) apply(s *modelState, j *job, which int) {
	for p := range maxP {
		if j.end[p] == 0 || which&(1<<p) == 0 || j.part < w.parts {
			continue
		}
		if s.sees[j.table][p] > j.end[p] {
			s.broken = 4
		}
		s.sees[j.table][p] = j.end[p]
	}
}

func (w *modelWorld) next(s modelState) (all []step) {
	add := func(what string, f func(*modelState)) {
		n := s
		f(&n)
		all = append(all, step{what, n})
	}
	fault := func(what string, f func(*modelState)) {
		if s.faults < w.faults {
			add(what, func(n *modelState) { n.faults++; f(n) })
		}
	}
	for i := 1; i <= int(s.made); i++ {
		w.target(&s, i, add, fault)
	}
	for m := range maxM {
		w.member(&s, m, add, fault)
	}
	for p := range w.records {
		if s.owner[p] != 0 {
			continue
		}
		for m := range maxM {
			// A member that was thrown out is told so before it is given anything.
			if x := &s.members[m]; x.alive && x.gen == s.gen && !x.stale() {
				add(fmt.Sprintf("partition %d goes to member %d", p, m), func(n *modelState) { w.assign(n, m, p) })
			}
		}
	}
	return all
}

// target moves a job on.
func (w *modelWorld) target(s *modelState, i int, add, fault func(string, func(*modelState))) {
	j := s.jobs[i]
	busy := false
	for o := 1; o <= int(s.made); o++ {
		busy = busy || s.jobs[o].state == running && s.jobs[o].table == j.table
	}
	if j.state == isNew && j.late && !busy {
		add(fmt.Sprintf("job %d is executed", i), func(n *modelState) {
			x := &n.jobs[i]
			x.state, x.late = running, false
			for p := range maxP {
				if x.end[p] > 0 && x.from[p] < n.sent[x.table][p] {
					n.broken = 5
				}
			}
		})
	}
	switch j.state {
	case running:
		add(fmt.Sprintf("job %d is DONE", i), func(n *modelState) {
			x := &n.jobs[i]
			x.state = done
			w.apply(n, x, 3)
			if x.part == w.parts {
				for p := range maxP {
					n.sent[x.table][p] = max(n.sent[x.table][p], x.end[p])
				}
			}
		})
		for which := range 4 {
			fault(fmt.Sprintf("job %d fails, applied in partitions %02b", i, which), func(n *modelState) {
				n.jobs[i].state = failed
				w.apply(n, &n.jobs[i], which)
			})
		}
		fault(fmt.Sprintf("job %d vanishes half applied", i), func(n *modelState) {
			w.apply(n, &n.jobs[i], 1)
			n.jobs[i].state = vanished
		})
		if !j.hidden {
			fault(fmt.Sprintf("a gateway hides job %d", i), func(n *modelState) { n.jobs[i].hidden = true })
		}
	case isNew:
		if !j.hidden {
			fault(fmt.Sprintf("a gateway hides job %d", i), func(n *modelState) { n.jobs[i].hidden = true })
		}
	}
}

// assign gives a partition to a member, which reads what is beside its offset.
func (w *modelWorld) assign(n *modelState, m, p int) {
	x := &n.members[m]
	n.owner[p] = int8(m + 1)
	x.owns[p], x.under[p] = true, x.gen
	for t := range w.tables {
		e := n.group[p].notes[t]
		x.pos[t][p] = max(n.group[p].off, e.mark)
		x.notes[t][p] = e
		x.cover[t][p], x.queue[t][p] = 0, 0
		if e.job != 0 && e.end > n.group[p].off {
			x.queue[t][p] = e.job
			if w.without == ruleAdopt {
				x.queue[t][p] = 0
			}
		}
	}
}
