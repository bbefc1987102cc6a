package intent

const (
	maxP, maxT, maxM, maxJ = 2, 2, 2, 4
)

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
