package connector

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// deliveries are what jobs have brought to DONE: what may be committed (I1), and what must
// not be sent again.
type deliveries struct {
	home    map[string]string   // row → the partition of its changes
	jobs    map[string]*simJob  // as they were noted beside offsets
	parts   map[string][]simRow // table and partition → rows of a batch that is DONE in part
	sent    map[string]int      // the latest version that is DONE; of a delete the earliest that it may have been
	done    map[string]int      // the same, the latest that it may have been
	plain   map[string]bool     // tables of a partition without metadata: at least once, and rows may go back
	undo    map[string][]simRow // job → what its DONE delivered
	applied []simRow            // rows that the job under way has set
}

// simJob is a job as the offsets name it.
type simJob struct {
	part, parts int
	at          []string // partitions
}

// simRow is a row that a job has set.
type simRow struct {
	id      string
	version int // of a delete, the first that it may be
	upTo    int // and the last
	gone    bool
	before  int // what was sent of the row before
}

func newDeliveries() deliveries {
	return deliveries{home: map[string]string{}, jobs: map[string]*simJob{}, parts: map[string][]simRow{}, sent: map[string]int{},
		done: map[string]int{}, plain: map[string]bool{}, undo: map[string][]simRow{}}
}

// named reads what is committed beside a partition's offset.
func (w *simulation) named(part, metadata string) {
	m, err := intent.Parse(metadata)
	if err != nil {
		w.fail("beside %s: %v", part, err)
	}
	for _, e := range m.Tables {
		if e.Job == "" {
			continue
		}
		j := w.jobs[e.Job]
		if j == nil {
			j = &simJob{part: e.Part, parts: e.Parts}
			w.jobs[e.Job] = j
		}
		if !slices.Contains(j.at, part) {
			j.at = append(j.at, part)
		}
	}
}

// heard reads a process's log: it does without metadata for a partition.
func (w *simulation) heard(line string) {
	_, part, found := strings.Cut(line, "partition=")
	if !found || !strings.Contains(line, "offsets are committed without Sluice's metadata") {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.topics {
		for _, table := range t.tables {
			if strings.HasPrefix(part, t.name+"/") {
				w.plain["public_"+table] = true
			}
		}
	}
}

// partitions returns those that feed a table.
func (w *simulation) partitions(table string) (all []string) {
	for _, t := range w.topics {
		for id := range t.parts {
			if slices.Contains(t.tables, strings.TrimPrefix(table, "public_")) {
				all = append(all, fmt.Sprintf("%s/%d", t.name, id))
			}
		}
	}
	return all
}

// jobEnded books what a job has delivered. What is DONE no other sends again, unless its
// job was taken away, or was a part of a batch of which the rest was not DONE.
func (w *simulation) jobEnded(e emulator.Event) {
	rows := w.applied
	w.applied = nil
	switch e.State {
	case "VANISHED":
		for _, r := range w.undo[e.Job] {
			if w.sent[r.id] == r.version {
				w.sent[r.id] = r.before
			}
		}
	case "DONE":
		j := w.jobs[e.Job]
		if j == nil { // without metadata: it may be the last part of any batch
			j = &simJob{part: 2, parts: 2, at: w.partitions(e.Target)}
		}
		at := slices.Clone(j.at)
		for _, r := range rows {
			if !slices.Contains(at, w.home[r.id]) {
				at = append(at, w.home[r.id])
			}
		}
		for _, part := range at {
			key := e.Target + " " + part
			if j.part == 1 {
				delete(w.parts, key)
			}
			for _, r := range rows {
				if w.home[r.id] == part {
					w.parts[key] = append(w.parts[key], w.fresh(e, r))
				}
			}
			if j.part < j.parts {
				continue
			}
			for _, r := range w.parts[key] {
				r.before = w.sent[r.id]
				w.sent[r.id] = max(r.before, r.version)
				w.done[r.id] = max(w.done[r.id], r.upTo)
				w.undo[e.Job] = append(w.undo[e.Job], r)
			}
			delete(w.parts, key)
		}
	}
}

// fresh holds a row against what was DONE before. Which of its row's deletes one is nobody
// tells: it is taken for the next.
func (w *simulation) fresh(e emulator.Event, r simRow) simRow {
	for v := w.sent[r.id] + 1; r.gone && v < len(w.history[r.id]); v++ {
		if w.history[r.id][v] == "" {
			r.version = v
			break
		}
	}
	if r.version <= w.sent[r.id] && !w.plain[e.Target] {
		w.fail("job %.8s sends %s again, which was DONE", e.Job, r)
	}
	return r
}

func (r simRow) String() string {
	if r.gone {
		return fmt.Sprintf("the delete of %s", r.id)
	}
	return fmt.Sprintf("version %d of %s", r.version, r.id)
}
