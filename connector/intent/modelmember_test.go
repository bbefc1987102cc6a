package intent

import "fmt"

// member lets a process act.
func (w *modelWorld) member(s *modelState, m int, add, fault func(string, func(*modelState))) {
	x := s.members[m]
	say := func(format string, args ...any) string {
		return fmt.Sprintf("member %d ", m) + fmt.Sprintf(format, args...)
	}
	if !x.alive {
		add(say("joins"), func(n *modelState) { n.members[m] = modelMember{alive: true, gen: n.gen} })
		return
	}
	fault(say("crashes"), func(n *modelState) {
		n.members[m] = modelMember{}
		for p := range w.records {
			if n.owner[p] == int8(m+1) {
				n.owner[p] = 0
			}
		}
	})
	owns := x.owns != [maxP]bool{}
	if owns && x.gen == s.gen {
		fault(say("is thrown out, and does not know"), func(n *modelState) {
			n.gen++
			for p := range w.records {
				if n.owner[p] == int8(m+1) {
					n.owner[p] = 0
				}
			}
			if o := &n.members[1-m]; o.alive && o.gen == s.gen {
				for p := range w.records {
					if o.owns[p] && o.under[p] == o.gen {
						o.under[p] = n.gen
					}
				}
				o.gen = n.gen
			}
		})
	}
	if x.gen != s.gen {
		add(say("rejoins with a fresh generation, not yet told that all is lost"), func(n *modelState) { n.members[m].gen = n.gen })
		add(say("learns that all is lost"), func(n *modelState) { n.members[m] = modelMember{alive: true, gen: n.gen} })
		// A zombie goes on below.
	}
	if x.stale() && x.gen == s.gen {
		add(say("learns that all was lost"), func(n *modelState) { n.members[m] = modelMember{alive: true, gen: n.gen} })
	}
	// Commits: of everything, or only of some partitions where entries are sent one by one.
	if owns {
		w.commits(s, m, add, fault, say)
	}
	if x.del != 0 {
		drop := say("deletes job %d", x.del)
		free := true
		for p := range w.records {
			for t := range w.tables {
				free = free && (!x.owns[p] || s.group[p].notes[t].job != x.del)
			}
			free = free && (s.jobs[x.del].end[p] == 0 || x.owns[p] && x.under[p] == x.gen && x.gen == s.gen)
		}
		if free || w.without == ruleDelete {
			add(drop, func(n *modelState) { n.jobs[n.members[m].del].state, n.members[m].del = vanished, 0 })
		}
	}
	for t := range w.tables {
		w.lane(s, m, t, add, fault, say)
	}
	// The group takes a partition back, to give it to the other one.
	for p := range w.records {
		if s.moves >= w.moves || !x.owns[p] || s.owner[p] != int8(m+1) || x.gen != s.gen || x.under[p] != x.gen {
			continue
		}
		held := false
		for t := range w.tables {
			if l := x.lanes[t]; l.end[p] > 0 && l.phase == doubtful {
				held = true // an intent in doubt is never given up
			}
		}
		if held && w.without != ruleDoubt {
			continue
		}
		add(say("gives up partition %d", p), func(n *modelState) {
			y := &n.members[m]
			n.moves++
			n.owner[p] = 0
			for t := range w.tables {
				l := &y.lanes[t]
				if l.end[p] == 0 {
					continue
				}
				if l.phase != bound && !(l.part > 1 && w.without == ruleRest) {
					*l = lane{}
					continue
				}
				l.end[p], l.given = 0, true
				if l.end == [maxP]int8{} {
					*l = lane{}
				}
			}
			y.forget(p)
		})
	}
}
