package intent

// first returns the offset that a member may commit.
func (w *modelWorld) first(m *modelMember, p int) int8 {
	for o, t := range w.records[p] {
		if int8(o) >= m.pos[t][p] {
			return int8(o)
		}
	}
	return int8(len(w.records[p]))
}

// commit writes what a member would have beside the offsets of the partitions in which.
// It reports whether the group takes it.
func (w *modelWorld) commit(n *modelState, m int, which int) bool {
	x := &n.members[m]
	if x.gen != n.gen {
		return false
	}
	for p := range w.records {
		if !x.owns[p] || which&(1<<p) == 0 {
			continue
		}
		if w.without != ruleIdentity && x.under[p] != x.gen {
			return false
		}
		off := w.first(x, p)
		c := committedState{off: off}
		for t := range w.tables {
			e := x.notes[t][p]
			if l := &x.lanes[t]; l.phase != idle && l.end[p] > 0 && !l.adopted {
				e.job, e.end = l.job, l.end[p]
				if w.without == ruleMark {
					e.mark = 0
				}
			}
			if x.pos[t][p] > off && w.without != ruleMark {
				e.mark = x.pos[t][p]
			}
			if e.mark <= off {
				e.mark = 0
			}
			if e.end <= max(off, e.mark) {
				e.job, e.end = 0, 0
			}
			c.notes[t] = e
		}
		if c.off < n.group[p].off {
			n.broken = 2
		}
		for o := range c.off {
			if t := w.records[p][o]; n.sees[t][p] < o+1 {
				n.broken = 1
			}
		}
		n.group[p] = c
	}
	return true
}

func (w *modelWorld) commits(s *modelState, m int, add, fault func(string, func(*modelState)), say func(string, ...any) string) {
	took := func(n *modelState, which int) {
		for t := range w.tables {
			l := &n.members[m].lanes[t]
			if l.adopted || l.phase == idle || l.phase == bound {
				continue
			}
			whole := true
			for p := range w.records {
				l.noted[p] = l.noted[p] || which&(1<<p) != 0
				whole = whole && (l.end[p] == 0 || l.noted[p])
			}
			if whole {
				l.phase, l.noted = bound, [maxP]bool{}
			}
		}
	}
	choices := []int{3}
	if w.without == ruleWhole {
		choices = []int{1, 2}
	}
	for _, which := range choices {
		try := *s
		if !w.commit(&try, m, which) {
			continue // refused: the broker or the process itself knows better
		}
		if try.group == s.group && try.broken == 0 {
			quiet := true
			for t := range w.tables {
				l := s.members[m].lanes[t]
				quiet = quiet && (l.phase == idle || l.phase == bound)
			}
			if quiet {
				continue
			}
		}
		add(say("commits %02b", which), func(n *modelState) { w.commit(n, m, which); took(n, which) })
		lost := func(n *modelState) {
			for t := range w.tables {
				if l := &n.members[m].lanes[t]; l.phase == prepared && !l.adopted {
					if l.phase = doubtful; w.without == ruleDoubt {
						*l = lane{} // taken for a refusal: another job is made
					}
				}
			}
		}
		fault(say("commits %02b, and the answer is lost", which), func(n *modelState) { w.commit(n, m, which); lost(n) })
		fault(say("commits %02b, and it is lost", which), lost)
	}
}
