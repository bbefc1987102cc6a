package intent

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The protocol as a model of explicit states: every order in which two members, the
// group, the target and the faults can act, within the bounds of a world, is tried. Each
// table has one row in each partition, and each record is that row's next version, so
// that what a reader sees is one number.
//
// Rules that can be taken away one at a time; each must be missed.
const (
	ruleIntent   = iota // a job is executed only when its intent is acknowledged
	ruleDoubt           // an intent whose answer is lost binds
	ruleWhole           // the entries of a job go out in one commit
	ruleIdentity        // a commit is held against the membership under which partitions are owned
	ruleCover           // a replay has all rows up to the intent's end
	ruleBinds           // a job that was given away with partitions is not made again from its batch
	ruleRest            // nor a further job of it made, where it has several
	ruleAdopt           // a job found in the metadata ends before another is made
	ruleParts           // only the last part's DONE delivers
	ruleMark            // marks stand beside offsets, also beside a newer intent
	ruleDelete          // a job is deleted only when no metadata names it
	ruleGone            // a job is gone only if a DELETE confirms it
	rules
)

var ruleNames = [rules]string{"intent before execution", "a lost answer binds", "one commit for all entries of a job", "identity of the assignment", "a replay covers the intent",
	"given away is not made again", "given away is not gone on with", "adopt before anything else", "the last part delivers", "marks", "deletion after the commit", "gone means deleted"}

const (
	maxP, maxT, maxM, maxJ = 2, 2, 2, 4
)

// world bounds a model.
type modelWorld struct {
	name    string
	records [][]int8 // partition → offset → table
	tables  int
	parts   int8 // of a batch: jobs one after the other
	jobs    int8
	faults  int8 // crashes, lost sessions, lost answers, failed jobs
	moves   int8 // partitions handed from one member to the other
	without int  // the rule that is taken away, -1 for none
}

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
	noted   [maxP]bool // which partitions have the intent, where they are sent one by one
	end     [maxP]int8
}

// member is a process. What it believes may be out of date.
type modelMember struct {
	alive bool
	gen   int8 // with which it would commit
	owns  [maxP]bool
	under [maxP]int8 // the generation under which it owns them
	pos   [maxT][maxP]int8
	notes [maxT][maxP]note // what it would commit beside the offsets
	cover [maxT][maxP]int8
	queue [maxT][maxP]int8 // jobs to be adopted
	lanes [maxT]lane
	del   int8 // a job to be deleted after the next commit
}

type modelState struct {
	jobs    [maxJ + 1]job
	made    int8
	group   [maxP]committedState
	owner   [maxP]int8 // a member from 1, 0 is none
	gen     int8
	sees    [maxT][maxP]int8 // by readers of the target
	sent    [maxT][maxP]int8 // by DONE
	members [maxM]modelMember
	faults  int8
	moves   int8
	broken  int8
}

var brokenNames = [...]string{"", "I1: committed before it was delivered", "I2: an offset went back", "", "I8: a reader saw a row go back", "a DONE range is sent again"}

type step struct {
	what string
	s    modelState
}

// first returns the offset that a member may commit.
func (w *modelWorld) first(m *modelMember, p int) int8 {
	for o, t := range w.records[p] {
		if int8(o) >= m.pos[t][p] {
			return int8(o)
		}
	}
	return int8(len(w.records[p]))
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

// forget has a member drop a partition.
func (x *modelMember) forget(p int) {
	x.owns[p] = false
	for t := range maxT {
		x.pos[t][p], x.notes[t][p], x.cover[t][p], x.queue[t][p] = 0, note{}, 0, 0
	}
}

// stale reports whether a member owns anything under another generation than its own.
func (x *modelMember) stale() bool {
	for p := range maxP {
		if x.owns[p] && x.under[p] != x.gen {
			return true
		}
	}
	return false
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

// worlds are small first: what breaks does so in a small one.
func worlds(deep bool) []modelWorld {
	w := []modelWorld{
		{name: "one table, one partition", records: [][]int8{{0, 0}}, tables: 1, parts: 1, jobs: 3, faults: 2, moves: 1},
		{name: "two tables in a partition", records: [][]int8{{0, 1}}, tables: 2, parts: 1, jobs: 3, faults: 1, moves: 1},
		{name: "a batch of two jobs", records: [][]int8{{0, 0}}, tables: 1, parts: 2, jobs: 4, faults: 1, moves: 1},
		{name: "one table over two partitions", records: [][]int8{{0}, {0}}, tables: 1, parts: 1, jobs: 3, faults: 1, moves: 1},
		{name: "a batch of two jobs over two partitions", records: [][]int8{{0}, {0}}, tables: 1, parts: 2, jobs: 4, faults: 0, moves: 1},
	}
	if deep {
		w[0].faults = 3
		w[1].records, w[1].faults = [][]int8{{0, 1, 0}}, 2
		w[2].faults = 2
		w[3].records, w[3].faults = [][]int8{{0, 0}, {0}}, 2
		w[4].faults = 1
	}
	return w
}

// breaksIn names the worlds that rules are for which say nothing in a smaller one.
var breaksIn = map[int]string{
	ruleWhole: "one table over two partitions", ruleBinds: "one table over two partitions",
	ruleParts: "a batch of two jobs", ruleRest: "a batch of two jobs over two partitions", ruleMark: "two tables in a partition",
}

var deepModel = flag.Bool("deep", false, "explore larger worlds in TestModel")
var modelTable = flag.String("model-table", "", "where TestModel writes its table, for DESIGN.md")

// TestModel: with all rules no order of events breaks an invariant; without any one of
// them some order does.
func TestModel(t *testing.T) {
	most := 3_000_000
	if *deepModel {
		most = 40_000_000
	}
	var table strings.Builder
	fmt.Fprintln(&table, "| world | states | time |\n| --- | --- | --- |")
	type result struct {
		states int
		trace  []string
		broken string
		whole  bool
		took   time.Duration
	}
	var results []chan result
	for _, w := range worlds(*deepModel) {
		found := make(chan result, 1)
		results = append(results, found)
		go func() {
			w.without = -1
			began := time.Now()
			r := result{}
			r.states, r.trace, r.broken, r.whole = w.explore(most)
			r.took = time.Since(began).Round(10 * time.Millisecond)
			found <- r
		}()
	}
	for i, w := range worlds(*deepModel) {
		r := <-results[i]
		if r.broken != "" {
			t.Errorf("%s: %s:\n  %s", w.name, r.broken, strings.Join(r.trace, "\n  "))
		}
		if !r.whole {
			t.Errorf("%s: more than %d states", w.name, most)
		}
		t.Logf("%s: %d states in %v", w.name, r.states, r.took)
		fmt.Fprintf(&table, "| %s | %d | %v |\n", w.name, r.states, r.took)
	}
	fmt.Fprintln(&table, "\n| without the rule | what breaks | the shortest way there |\n| --- | --- | --- |")
	found := make([]chan string, rules)
	for rule := range rules {
		found[rule] = make(chan string, 1)
		go func() { found[rule] <- shortest(rule, most) }()
	}
	for rule := range rules {
		caught := <-found[rule]
		if caught == "" {
			t.Errorf("nothing breaks without the rule %q", ruleNames[rule])
			continue
		}
		t.Log(caught)
		fmt.Fprintln(&table, caught)
	}
	if *modelTable != "" {
		if err := os.WriteFile(*modelTable, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shortest returns how the model breaks without a rule, as a row of the table, "" if it
// does not.
func shortest(rule, most int) string {
	for _, w := range worlds(false) {
		if only, ok := breaksIn[rule]; ok && w.name != only {
			continue
		}
		w.without = rule
		if _, trace, broken, _ := w.explore(most); broken != "" {
			return fmt.Sprintf("| %s | %s | %s: %s |", ruleNames[rule], broken, w.name, strings.Join(trace, "; "))
		}
	}
	return ""
}
