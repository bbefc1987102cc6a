package intent

// explore returns how many states a world has, and the shortest way to a broken one.
func (w *modelWorld) explore(most int) (states int, trace []string, broken string, whole bool) {
	type from struct {
		prev int
		what string
	}
	start := modelState{gen: 1}
	for m := range start.members {
		start.members[m] = modelMember{alive: true, gen: 1}
	}
	order := []modelState{start}
	back := []from{{-1, ""}}
	seen := map[modelState]bool{start: true}
	for at := 0; at < len(order); at++ {
		for _, n := range w.next(order[at]) {
			if seen[n.s] {
				continue
			}
			seen[n.s] = true
			order, back = append(order, n.s), append(back, from{at, n.what})
			if n.s.broken != 0 {
				for i := len(order) - 1; i > 0; i = back[i].prev {
					trace = append([]string{back[i].what}, trace...)
				}
				return len(order), trace, brokenNames[n.s.broken], true
			}
		}
		if len(order) > most {
			return len(order), nil, "", false
		}
	}
	return len(order), nil, "", true
}
