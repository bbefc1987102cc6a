package intent

// lane goes on with a table.
func (k *walk) lane(m, t int) {
	x := &k.s.members[m]
	l := &x.lanes[t]
	if l.phase == idle {
		for p := range k.records {
			if x.queue[t][p] {
				k.adopt(m, t, x.notes[t][p].job)
				return
			}
		}
		k.prepare(m, t)
		return
	}
	if l.phase != bound && !(l.phase == prepared && k.without == ruleIntent) {
		return
	}
	j := &k.s.jobs[l.job]
	if l.doomed { // whatever has become of it since
		k.add(k.say("member %d deletes job %d", m, l.job), func(n *modelState) {
			n.jobs[l.job].state = vanished
			n.members[m].lanes[t].half, n.members[m].lanes[t].doomed = false, false
			k.reached[undoes] = true
		})
		return
	}
	switch {
	case j.state != isNew:
	case l.half && !j.hidden: // whoever has its other partitions may not know of it
		k.add(k.say("member %d finds job %d NEW, and noted in part", m, l.job), func(n *modelState) { n.members[m].lanes[t].doomed = true })
	case l.half:
	case !j.late:
		k.add(k.say("member %d executes job %d", m, l.job), func(n *modelState) {
			n.jobs[l.job].late = true
			k.reached[zombieExecutes] = k.reached[zombieExecutes] || !x.good()
		})
	}
	over := func(delivered bool) func(*modelState) {
		return func(n *modelState) { k.settled(n, m, t, delivered) }
	}
	again := func(part int8) func(*modelState) {
		return func(n *modelState) {
			y := &n.members[m].lanes[t]
			y.job = n.make(job{state: isNew, table: int8(t), part: part, from: j.from, end: j.end})
			y.part, y.phase, y.noted = part, prepared, [maxP]bool{}
			if y.given && part == l.part { // without the rule nobody asks whether the rest may know of it
				y.phase = bound
			}
		}
	}
	switch {
	case j.hidden && k.without == ruleGone:
		k.add(k.say("member %d takes job %d for gone", m, l.job), over(false))
	case j.hidden: // asked again, until the API itself answers
		k.add(k.say("member %d asks again for job %d", m, l.job), func(n *modelState) { n.jobs[l.job].hidden = false })
	case j.state == done && (l.part == k.parts || k.without == ruleParts):
		k.add(k.say("member %d sees that job %d is DONE", m, l.job), over(true))
	case j.state == done && l.adopted:
		k.add(k.say("member %d sees that job %d is DONE, and a part only", m, l.job), over(false))
	case j.state == done && l.given:
		k.add(k.say("member %d sees that job %d is DONE, a part of a batch that it has not whole", m, l.job), over(false))
	case j.state == done:
		k.add(k.say("member %d makes the next part after job %d", m, l.job), again(l.part+1))
	case j.state != failed && j.state != vanished:
	case l.adopted || l.given && k.without != ruleBinds:
		k.add(k.say("member %d sees that job %d did not deliver: reads its rows again", m, l.job), over(false))
	default:
		k.add(k.say("member %d makes job %d again from its batch", m, l.job), again(l.part))
	}
}

// adopt takes over a job that is noted.
func (k *walk) adopt(m, t int, j int8) {
	k.add(k.say("member %d takes over job %d of table %d", m, j, t), func(n *modelState) {
		y := &n.members[m]
		a := lane{phase: bound, job: j, part: n.jobs[j].part, adopted: true}
		for p := range k.records {
			if y.queue[t][p] && y.notes[t][p].job == j {
				a.half = a.half || y.half[t][p]
				a.end[p], y.queue[t][p], y.half[t][p] = y.notes[t][p].end, false, false
			}
		}
		y.lanes[t] = a
		k.reached[adopts] = true
	})
}

// settled has a member draw its conclusion from a job that has ended. What is not delivered
// stays noted.
func (k *walk) settled(n *modelState, m, t int, delivered bool) {
	x := &n.members[m]
	l := x.lanes[t]
	x.lanes[t] = lane{}
	for p := range k.records {
		if delivered && l.end[p] > 0 {
			x.pos[t][p], x.notes[t][p] = max(x.pos[t][p], l.end[p]), note{}
		}
	}
	if delivered && !l.adopted && !l.given {
		x.del = l.job
	}
}

// prepare makes a job of the table's next rows, as few or as many as may be.
func (k *walk) prepare(m, t int) {
	x := &k.s.members[m]
	var buffer [maxP][4]int8
	var ends [maxP][]int8
	for p := range maxP {
		ends[p] = append(buffer[p][:0], 0)
		if p >= len(k.records) || !x.owns[p] {
			continue
		}
		cover := x.notes[t][p].end
		if k.without == ruleCover {
			cover = 0
		}
		for o, table := range k.records[p] {
			if end := int8(o) + 1; table == int8(t) && int8(o) >= x.pos[t][p] && end >= cover {
				ends[p] = append(ends[p], end)
			}
		}
		if cover > x.pos[t][p] && len(ends[p]) > 1 {
			ends[p] = ends[p][1:] // it must be in
		}
	}
	for _, e0 := range ends[0] {
		for _, e1 := range ends[1] {
			if e0 == 0 && e1 == 0 {
				continue
			}
			end := [maxP]int8{e0, e1}
			k.add(k.say("member %d makes a job of table %d up to %v", m, t, end[:len(k.records)]), func(n *modelState) {
				y := &n.members[m]
				j := n.make(job{state: isNew, table: int8(t), part: 1, from: y.pos[t], end: end})
				for p := range maxP {
					if end[p] == 0 {
						n.jobs[j].from[p] = 0
					}
				}
				y.lanes[t] = lane{phase: prepared, job: j, part: 1, end: end}
			})
		}
	}
}
