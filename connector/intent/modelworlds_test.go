package intent

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
