package intent

// first returns the offset that a member may commit.
func (w *modelWorld) first(x *modelMember, p int) int8 {
	for o, t := range w.records[p] {
		if int8(o) >= x.pos[t][p] {
			return int8(o)
		}
	}
	return int8(len(w.records[p]))
}

// commit writes what a member would have beside the offsets of the partitions in which.
// It reports whether the group takes it.
func (k *walk) commit(n *modelState, m, which int) bool {
	x := &n.members[m]
	if !x.current || x.stale && k.without != ruleIdentity {
		return false
	}
	for p := range k.records {
		if !x.owns[p] || which&(1<<p) == 0 {
			continue
		}
		off := k.first(x, p)
		c := committedState{off: off}
		for t := range k.tables {
			e, intends := x.notes[t][p], false
			if l := &x.lanes[t]; (l.phase == prepared || l.phase == doubtful) && l.end[p] > 0 {
				e.job, e.end, intends = l.job, l.end[p], true
			}
			if x.pos[t][p] > off && k.without != ruleMark && !(intends && k.without == ruleBeside) {
				e.mark = x.pos[t][p]
			}
			if e.end <= max(off, e.mark) {
				e.job, e.end = 0, 0
			}
			c.notes[t] = e
		}
		if n.owner[p] != int8(m+1) {
			k.breaks(n, brokenI2)
		}
		if c.off < n.group[p].off {
			k.breaks(n, brokenBack)
		}
		if before := uint8(1)<<c.off - 1; n.done[p]&before != before {
			k.breaks(n, brokenI1)
		}
		n.group[p] = c
	}
	return true
}

// took has a member go on after a commit that the group took of the partitions in which. An
// intent that it refused of others is sent again.
func (k *walk) took(x *modelMember, which int) {
	for t := range k.tables {
		l := &x.lanes[t]
		if l.phase != prepared && l.phase != doubtful {
			continue
		}
		whole := true
		for p := range k.records {
			l.noted[p] = l.end[p] > 0 && (l.noted[p] || which&(1<<p) != 0)
			whole = whole && l.noted[p] == (l.end[p] > 0)
		}
		if !whole {
			continue
		}
		for p := range k.records {
			if l.end[p] > 0 {
				x.notes[t][p] = note{job: l.job, end: l.end[p]}
			}
		}
		l.phase, l.noted = bound, [maxP]bool{}
	}
}

// commits sends what a member would commit.
func (k *walk) commits(m int) {
	x := &k.s.members[m]
	waits := false
	for t := range k.tables {
		l := &x.lanes[t]
		waits = waits || l.phase == prepared || l.phase == doubtful
	}
	lost := func(n *modelState) {
		for t := range k.tables {
			if l := &n.members[m].lanes[t]; l.phase == prepared {
				if l.phase = doubtful; k.without == ruleDoubt {
					*l = lane{} // taken for a refusal: another job is made
				}
			}
		}
	}
	k.n = k.s
	if !k.commit(&k.n, m, 3) {
		k.reached[refuses] = k.reached[refuses] || x.current && waits
		for t := range k.tables {
			if l := &x.lanes[t]; l.phase == doubtful && k.without == ruleKeep {
				k.add(k.say("member %d is refused, and deletes job %d", m, l.job), func(n *modelState) {
					n.jobs[l.job].state = vanished
					n.members[m].lanes[t] = lane{}
				})
			}
		}
		return // refused: the broker or the process itself knows better
	}
	if k.n.group == k.s.group && k.n.broken == 0 && !waits {
		return
	}
	k.add(k.say("member %d commits", m), func(n *modelState) { k.commit(n, m, 3); k.took(&n.members[m], 3) })
	for which := 1; which < 3 && x.owns == [maxP]bool{true, true}; which++ {
		k.fault(k.say("member %d commits, and it is taken for %v only", m, bits(which)), func(n *modelState) {
			k.commit(n, m, which)
			k.took(&n.members[m], which)
			k.reached[takenInPart] = true
		})
		if waits {
			k.fault(k.say("member %d commits, and it is taken for %v only, and the answer is lost", m, bits(which)), func(n *modelState) {
				k.commit(n, m, which)
				lost(n)
			})
		}
	}
	if !waits { // an answer that nobody waits for may as well be lost
		return
	}
	k.fault(k.say("member %d commits, and the answer is lost", m), func(n *modelState) {
		k.commit(n, m, 3)
		lost(n)
		k.reached[answerLost] = true
	})
	k.fault(k.say("member %d commits, and it is lost", m), func(n *modelState) {
		lost(n)
		k.reached[requestLost] = true
	})
}
