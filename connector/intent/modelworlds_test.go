package intent

// modelWorld bounds a model.
type modelWorld struct {
	name    string
	records [][]int8 // partition → offset → table
	tables  int
	parts   int8 // of a batch: jobs one after the other
	faults  int8 // crashes, lost sessions, lost answers, commits taken in part, failed, vanished and hidden jobs
	moves   int8 // rebalances in which nothing is lost
	spreads bool // the group spreads a table's partitions over members, and the target answers 409
	without int  // the rule that is taken away, -1 for none
	only    int8 // the one invariant that counts, 0: all do
}

// worlds are small: what breaks does so in a small one. One fault and one rebalance together
// give two tables that share both partitions and are spread more than fifty million states:
// there they come one at a time, and together where the tables share one partition of two.
var worlds = []modelWorld{
	{name: "one table, one partition", records: [][]int8{{0, 0}}, tables: 1, parts: 1, faults: 3, moves: 2},
	{name: "two tables in a partition", records: [][]int8{{0, 1}}, tables: 2, parts: 1, faults: 2, moves: 2},
	{name: "two tables in a partition, one ahead", records: [][]int8{{0, 1, 1}}, tables: 2, parts: 1, faults: 1, moves: 1},
	{name: "a batch of two jobs", records: [][]int8{{0, 0}}, tables: 1, parts: 2, faults: 2, moves: 2},
	{name: "one table over two partitions", records: [][]int8{{0, 0}, {0}}, tables: 1, parts: 1, faults: 2, moves: 1},
	{name: "a batch of two jobs over two partitions", records: [][]int8{{0}, {0}}, tables: 1, parts: 2, faults: 2, moves: 1},
	{name: "one table over two members", records: [][]int8{{0}, {0}}, tables: 1, parts: 1, faults: 2, moves: 1, spreads: true},
	{name: "one table over two members, two rebalances", records: [][]int8{{0, 0}, {0}}, tables: 1, parts: 1, faults: 1, moves: 2, spreads: true},
	{name: "a batch of two jobs over two members", records: [][]int8{{0}, {0}}, tables: 1, parts: 2, faults: 1, moves: 1, spreads: true},
	{name: "two tables in two partitions", records: [][]int8{{0, 1}, {1, 0}}, tables: 2, parts: 1, faults: 1, moves: 0},
	{name: "two tables over two members", records: [][]int8{{0, 1}, {1, 0}}, tables: 2, parts: 1, faults: 0, moves: 1, spreads: true},
	{name: "two tables, one of them over two partitions", records: [][]int8{{0, 1}, {1}}, tables: 2, parts: 1, faults: 1, moves: 1},
	{name: "two tables, one of them over two members", records: [][]int8{{0, 1}, {1}}, tables: 2, parts: 1, faults: 1, moves: 1, spreads: true},
}

// deepWorlds take minutes.
var deepWorlds = []modelWorld{
	{name: "one table, one partition", records: [][]int8{{0, 0, 0}}, tables: 1, parts: 1, faults: 3, moves: 2},
	{name: "two tables in a partition", records: [][]int8{{0, 1, 0}}, tables: 2, parts: 1, faults: 2, moves: 2},
	{name: "a batch of two jobs", records: [][]int8{{0, 0}}, tables: 1, parts: 2, faults: 3, moves: 2},
	{name: "one table over two partitions", records: [][]int8{{0, 0}, {0, 0}}, tables: 1, parts: 1, faults: 2, moves: 2},
	{name: "one table over two members", records: [][]int8{{0}, {0}}, tables: 1, parts: 1, faults: 3, moves: 2, spreads: true},
	{name: "one table over two members, longer", records: [][]int8{{0, 0}, {0}}, tables: 1, parts: 1, faults: 2, moves: 2, spreads: true},
	{name: "a batch of two jobs over two members", records: [][]int8{{0}, {0}}, tables: 1, parts: 2, faults: 2, moves: 2, spreads: true},
	{name: "two tables in two partitions", records: [][]int8{{0, 1}, {1, 0}}, tables: 2, parts: 1, faults: 1, moves: 1},
	{name: "two tables over two members, a fault", records: [][]int8{{0, 1}, {1, 0}}, tables: 2, parts: 1, faults: 1, moves: 0, spreads: true},
	{name: "two tables over two members, two rebalances", records: [][]int8{{0, 1}, {1, 0}}, tables: 2, parts: 1, faults: 0, moves: 2, spreads: true},
	{name: "two tables, one of them over two partitions", records: [][]int8{{0, 1}, {1}}, tables: 2, parts: 1, faults: 2, moves: 1},
}

// stages are how far a member is with a table when it crashes or is thrown out.
const (
	stageIdle = iota
	stagePrepared
	stageDoubtful
	stageInPart
	stageSent
	stageBound // and so on, as the states of a job
	stageRunning
	stageDone
	stageFailed
	stageVanished
	stageDelivered
	stages
)

var stageNames = [stages]string{"nothing on its way", "a job that is not noted", "an intent in doubt", "an intent that was taken in part", "an execution on its way", "a job that is noted", "a running job", "a job that is DONE",
	"a failed job", "a vanished job", "a delivery that is not committed"}

// kinds of what happens in a world; the first three are of each stage.
const (
	crashes        = 0
	thrownOut      = crashes + stages
	rejoins        = thrownOut + stages
	zombieExecutes = rejoins + stages + iota - 3
	refuses
	adopts
	marked
	landsLate
	fails
	failsApplied
	failsHalf
	vanishes
	vanishesApplied
	vanishesHalf
	expires
	hides
	answerLost
	requestLost
	takenInPart
	undoes
	secondPart
	cooperates
	rebalances
	ends
	kinds
)

var kindNames = [kinds - zombieExecutes]string{"a zombie executes", "a commit under another membership is refused", "a job is taken over", "a mark is found",
	"an execution lands when nobody waits for it", "a job fails", "a job fails when it was applied", "a job fails half applied", "a job vanishes", "a job vanishes when it was applied",
	"a job vanishes half applied", "a job expires", "a job is hidden", "a commit's answer is lost", "a commit is lost", "a commit is taken for a part", "a job that is noted in part is deleted",
	"a batch's second job runs",
	"a partition is given up while others stay", "all is given up in a full rebalance", "all is committed"}

func kindName(kind int) string {
	if kind >= zombieExecutes {
		return kindNames[kind-zombieExecutes]
	}
	return []string{"a crash at ", "a lost session at ", "a fresh generation at "}[kind/stages] + stageNames[kind%stages]
}

// must reports whether something has to happen in a world: one in which it does not says
// nothing about it.
func (w *modelWorld) must(kind int) bool {
	switch kind {
	case adopts, ends:
		return true
	case marked:
		return w.tables > 1
	case secondPart:
		return w.parts > 1
	case undoes:
		return w.faults > 1 && len(w.records) > 1
	case takenInPart, failsHalf, vanishesHalf:
		return w.faults > 0 && len(w.records) > 1
	case cooperates, rebalances:
		return w.moves > 0 && w.spreads
	}
	if kind < zombieExecutes {
		switch kind % stages {
		case stageInPart:
			return w.faults > 1 && len(w.records) > 1
		case stageDoubtful, stageFailed, stageVanished:
			return w.faults > 1 // it takes one to get there
		}
	}
	return w.faults > 0
}
