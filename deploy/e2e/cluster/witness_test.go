//go:build e2e

package cluster

import (
	"fmt"
	"sync"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// witness sees the target as its readers do: no row may go back, and no version of a
// row that was DONE may be sent again.
type witness struct {
	mu                       sync.Mutex
	seen, applied, delivered map[string]int64  // row → version
	running                  map[string]string // job → table, from its execution to its end
	done                     map[string]time.Time
	wrong                    []string
}

func newWitness() *witness {
	return &witness{seen: map[string]int64{}, applied: map[string]int64{}, delivered: map[string]int64{}, running: map[string]string{}, done: map[string]time.Time{}}
}

func (w *witness) onRow(table, key string, row []any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if row == nil {
		return
	}
	id, version := table+" "+key, row[1].(int64)
	if version < w.seen[id] {
		w.wrong = append(w.wrong, fmt.Sprintf("%s went from version %d back to %d", id, w.seen[id], version))
	}
	w.seen[id], w.applied[id] = version, version
}

func (w *witness) onEvent(e emulator.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e.State {
	case "QUEUED", "RUNNING":
		if !w.done[e.Job].IsZero() {
			w.wrong = append(w.wrong, "job "+e.Job+" was executed twice")
		}
		w.running[e.Job] = e.Target
	case "DONE":
		w.done[e.Job] = e.At
		for id, version := range w.applied {
			if version <= w.delivered[id] {
				w.wrong = append(w.wrong, fmt.Sprintf("job %s sends version %d of %s again, which was DONE", e.Job, version, id))
			}
			w.delivered[id] = version
		}
		fallthrough
	case "ERROR", "CANCELED", "DELETED":
		delete(w.running, e.Job)
	}
	clear(w.applied)
}

// inFlight is the jobs of a table that were executed and have not ended.
func (w *witness) inFlight(table string) (jobs []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for job, target := range w.running {
		if target == table {
			jobs = append(jobs, job)
		}
	}
	return jobs
}

// doneAt is when a job was DONE, or never.
func (w *witness) doneAt(job string) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.done[job]
}
