package intent

func (w *modelWorld) lane(s *modelState, m, t int, add, fault func(string, func(*modelState)), say func(string, ...any) string) {
	x := &s.members[m]
	l := x.lanes[t]
	if l.phase == idle {
		for p := range w.records {
			if j := x.queue[t][p]; j != 0 {
				add(say("takes over job %d of table %d", j, t), func(n *modelState) {
					y := &n.members[m]
					a := lane{phase: bound, job: j, part: n.jobs[j].part, adopted: true}
					for q := range w.records {
						if y.queue[t][q] == j {
							a.end[q], y.queue[t][q] = y.notes[t][q].end, 0
						}
					}
					y.lanes[t] = a
				})
				return
			}
		}
		w.prepare(s, m, t, add, say)
		return
	}
	if l.phase != bound && !(l.phase == prepared && w.without == ruleIntent) {
		return
	}
	j := s.jobs[l.job]
	if j.state == isNew && !j.late {
		add(say("executes job %d", l.job), func(n *modelState) { n.jobs[l.job].late = true })
	}
	over := func(n *modelState, delivered bool) { w.settled(n, m, t, delivered) }
	switch {
	case j.hidden && w.without == ruleGone:
		add(say("takes job %d for gone", l.job), func(n *modelState) { over(n, false) })
	case j.hidden: // asked again, until the API itself answers
		add(say("asks again for job %d", l.job), func(n *modelState) { n.jobs[l.job].hidden = false })
	case j.state == done && (l.part == w.parts || w.without == ruleParts):
		add(say("sees that job %d is DONE", l.job), func(n *modelState) { over(n, true) })
	case j.state == done && l.adopted:
		add(say("sees that job %d is DONE, and a part only", l.job), func(n *modelState) { over(n, false) })
	case j.state == done && l.given:
		add(say("sees that job %d is DONE, a part of a batch that it has not whole", l.job), func(n *modelState) { over(n, false) })
	case j.state == done:
		if s.made < w.jobs {
			add(say("makes the next part after job %d", l.job), func(n *modelState) {
				n.made++
				n.jobs[n.made] = job{state: isNew, table: int8(t), part: l.part + 1, from: j.from, end: j.end}
				y := &n.members[m].lanes[t]
				y.job, y.part, y.phase, y.noted = n.made, l.part+1, prepared, [maxP]bool{}
			})
		}
	case j.state == failed || j.state == vanished:
		if l.adopted || l.given && w.without != ruleBinds {
			add(say("sees that job %d did not deliver: reads its rows again", l.job), func(n *modelState) { over(n, false) })
		} else if s.made < w.jobs {
			add(say("makes job %d again from its batch", l.job), func(n *modelState) {
				n.made++
				n.jobs[n.made] = job{state: isNew, table: int8(t), part: l.part, from: j.from, end: j.end}
				y := &n.members[m].lanes[t]
				y.job, y.phase, y.noted = n.made, prepared, [maxP]bool{}
				if l.given { // without the rule nobody asks whether the rest may know of it
					y.phase = bound
				}
			})
		}
	}
}

// prepare makes a job of the table's next rows, as few or as many as may be.
func (w *modelWorld) prepare(s *modelState, m, t int, add func(string, func(*modelState)), say func(string, ...any) string) {
	x := &s.members[m]
	if s.made >= w.jobs {
		return
	}
	for p := range w.records {
		for q := range w.records {
			if x.queue[t][p] != 0 || x.queue[t][q] != 0 {
				return
			}
		}
	}
	var ends [maxP][]int8
	for p := range maxP {
		ends[p] = []int8{0}
		if p >= len(w.records) || !x.owns[p] {
			continue
		}
		last := int8(0)
		for o, table := range w.records[p] {
			if table == int8(t) && int8(o) >= x.pos[t][p] {
				last = int8(o) + 1
				if last >= x.cover[t][p] {
					ends[p] = append(ends[p], last)
				}
			}
		}
		if x.cover[t][p] > x.pos[t][p] && len(ends[p]) > 1 {
			ends[p] = ends[p][1:] // it must be in
		}
	}
	for _, e0 := range ends[0] {
		for _, e1 := range ends[1] {
			if e0 == 0 && e1 == 0 {
				continue
			}
			end := [maxP]int8{e0, e1}
			add(say("makes a job of table %d up to %v", t, end[:len(w.records)]), func(n *modelState) {
				n.made++
				y := &n.members[m]
				n.jobs[n.made] = job{state: isNew, table: int8(t), part: 1, from: y.pos[t], end: end}
				y.lanes[t] = lane{phase: prepared, job: n.made, part: 1, end: end}
			})
		}
	}
}

// settled has a member draw its conclusion from a job that has ended.
func (w *modelWorld) settled(n *modelState, m, t int, delivered bool) {
	x := &n.members[m]
	l := x.lanes[t]
	x.lanes[t] = lane{}
	for p := range w.records {
		if l.end[p] == 0 || !x.owns[p] {
			continue
		}
		if delivered {
			x.pos[t][p], x.notes[t][p] = max(x.pos[t][p], l.end[p]), note{}
			x.cover[t][p] = 0
			continue
		}
		x.notes[t][p] = note{job: l.job, end: l.end[p]}
		if w.without != ruleCover {
			x.cover[t][p] = l.end[p]
		}
	}
	if delivered && !l.adopted && !l.given {
		x.del = l.job
	}
}
