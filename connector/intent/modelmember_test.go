package intent

// stage is how far a member is with a table, for what is to happen at each step.
func (k *walk) stage(m, t int) int {
	x := &k.s.members[m]
	l := &x.lanes[t]
	switch {
	case l.phase == prepared && l.noted != [maxP]bool{}:
		return stageInPart
	case l.phase == prepared:
		return stagePrepared
	case l.phase == doubtful:
		return stageDoubtful
	case l.phase == bound:
		j := &k.s.jobs[l.job]
		if j.state == isNew && j.late {
			return stageSent
		}
		return stageBound + int(j.state-isNew)
	}
	for p := range k.records {
		if c := k.s.group[p]; x.owns[p] && x.pos[t][p] > max(c.off, c.notes[t].mark) {
			return stageDelivered
		}
	}
	return stageIdle
}

// member lets a process act.
func (k *walk) member(m int) {
	x := &k.s.members[m]
	if x.owns != [maxP]bool{} {
		at := func(kind int) {
			for t := range k.tables {
				k.reached[kind+k.stage(m, t)] = true
			}
		}
		k.fault(k.say("member %d crashes", m), func(n *modelState) {
			at(crashes)
			n.members[m] = fresh
			n.disown(m)
		})
		if x.good() {
			// The others, which take part in the rebalance that follows, learn the new
			// generation at once: until they do, their commits are only refused.
			k.fault(k.say("member %d is thrown out, and does not know", m), func(n *modelState) {
				at(thrownOut)
				n.members[m].current = false
				n.disown(m)
			})
		} else { // it is a zombie, and goes on below
			k.add(k.say("member %d learns that all is lost", m), func(n *modelState) { n.members[m] = fresh })
		}
		if !x.current {
			k.add(k.say("member %d rejoins with a fresh generation, not yet told that all is lost", m), func(n *modelState) {
				at(rejoins)
				n.members[m].current, n.members[m].stale = true, true
			})
		}
		k.commits(m)
		k.rebalance(m)
	}
	k.remove(m)
	for t := range k.tables {
		k.lane(m, t)
	}
}

// rebalance has the group take partitions back, to give them to the other one: one, while work
// on the rest goes on, or all that anybody has.
func (k *walk) rebalance(m int) {
	x := &k.s.members[m]
	if !x.good() {
		return
	}
	give := func(n *modelState, p int) {
		y := &n.members[m]
		n.owner[p] = 0
		for t := range k.tables {
			l := &y.lanes[t]
			if l.end[p] == 0 {
				continue
			}
			if l.phase != bound && !(l.part > 1 && k.without == ruleRest) {
				*l = lane{}
				continue
			}
			if l.end[p], l.given = 0, true; l.end == [maxP]int8{} {
				*l = lane{}
			}
		}
		y.forget(p)
	}
	// An intent in doubt is never given up, nor what is known to have it.
	held := [maxP]bool{}
	for p := range k.records {
		for t := range k.tables {
			l := &x.lanes[t]
			held[p] = held[p] || l.end[p] > 0 && l.phase == doubtful && k.without != ruleDoubt && !(l.noted[p] && k.without == ruleAll)
		}
	}
	some := func(what string, full bool, which ...int) {
		k.add(what, func(n *modelState) {
			if !k.s.full {
				n.moves++
			}
			n.full = full
			for _, p := range which {
				give(n, p)
			}
			n.full = n.full && n.owner != [maxP]int8{}
			k.reached[rebalances] = k.reached[rebalances] || full
			k.reached[cooperates] = k.reached[cooperates] || n.members[m].owns != [maxP]bool{}
		})
	}
	may := k.s.moves < k.moves
	var all []int
	for p := range k.records {
		if x.owns[p] {
			all = append(all, p)
		}
		if x.owns[p] && may && !k.s.full && !held[p] && k.apart() {
			some(k.say("member %d gives up partition %d", m, p), false, p)
		}
	}
	switch {
	case held != [maxP]bool{}:
	case !k.apart() && may:
		some(k.say("member %d gives up all partitions", m), false, all...)
	case len(k.records) > 1 && (may || k.s.full):
		some(k.say("member %d gives up all partitions in a full rebalance", m), true, all...)
	}
}

// remove deletes a job that is delivered.
func (k *walk) remove(m int) {
	x := &k.s.members[m]
	if x.del == 0 {
		return
	}
	free := true
	for p := range k.records {
		for t := range k.tables {
			free = free && (!x.owns[p] || k.s.group[p].notes[t].job != x.del)
		}
		free = free && (k.s.jobs[x.del].end[p] == 0 || x.owns[p] && x.good())
	}
	if free || k.without == ruleDelete {
		k.add(k.say("member %d deletes job %d", m, x.del), func(n *modelState) {
			n.jobs[x.del].state, n.members[m].del = vanished, 0
		})
	}
}
