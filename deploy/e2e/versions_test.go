package e2e

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// versions follow the rows of the target as its readers see them: a row's second column is
// a version that grows with each change at the source, its third when that was, in
// milliseconds. They need no stack, nor have their tests a build tag.
type versions struct {
	source    map[string][]int64 // row → its changes, as the versions that they have made; 0 is a delete
	seen      map[string]int64   // row → version
	gone      map[string]int64   // row → the version that it had when it was deleted
	delivered map[string]int     // row → how many of its changes are DONE, or replaced by one that is
	applied   map[string]int64   // by the job under way
	stale     map[string]float64 // table → the worst freshness of a row when it arrived, in seconds
	wrong     []string
}

func newVersions() *versions {
	return &versions{source: map[string][]int64{}, seen: map[string]int64{}, gone: map[string]int64{}, delivered: map[string]int{}, applied: map[string]int64{}, stale: map[string]float64{}}
}

// changed is to be told of a change before the source makes it. The delete of a row that is
// not there is none.
func (v *versions) changed(table, key string, version int64) {
	id := table + " " + key
	if all := v.source[id]; version > 0 || len(all) > 0 && all[len(all)-1] > 0 {
		v.source[id] = append(all, version)
	}
}

func (v *versions) onRow(table, key string, row []any) {
	id := table + " " + key
	if row == nil {
		v.gone[id] = v.seen[id]
		v.applied[id] = 0
		return
	}
	version, at := row[1].(int64), row[2].(int64)
	if last, ok := v.gone[id]; ok && version <= last {
		v.wrong = append(v.wrong, fmt.Sprintf("%s was deleted after version %d and came back with version %d", id, last, version))
	} else if version < v.seen[id] {
		v.wrong = append(v.wrong, fmt.Sprintf("%s went from version %d back to %d", id, v.seen[id], version))
	}
	v.seen[id] = version
	v.applied[id] = version
	v.stale[table] = max(v.stale[table], time.Since(time.UnixMilli(at)).Seconds())
}

// onEvent holds what is DONE against the changes of its row that were not. A delete does not
// tell which of them it is: it is taken for the next, for what was written and deleted again
// between two of them may never have been sent.
func (v *versions) onEvent(e emulator.Event) {
	if e.State == "DONE" {
		for id, version := range v.applied {
			next := slices.Index(v.source[id][v.delivered[id]:], version)
			if next < 0 {
				v.wrong = append(v.wrong, fmt.Sprintf("job %s sends version %d of %s again, which was DONE; 0 is its delete", e.Job, version, id))
				continue
			}
			v.delivered[id] += next + 1
		}
	}
	clear(v.applied)
}

// TestVersions: what is a step back, and what is none. 0 is a delete.
func TestVersions(t *testing.T) {
	for _, c := range []struct {
		name string
		seen []int64
		want []string
	}{
		{"forwards, over versions", []int64{1, 3, 0, 4}, nil},
		{"the same again, of a job that was cut short", []int64{3, 3}, nil},
		{"deleted twice, and before it was seen", []int64{0, 0, 1}, nil},
		{"back", []int64{3, 1}, []string{"t 1 went from version 3 back to 1"}},
		{"what was deleted comes back", []int64{3, 0, 3}, []string{"t 1 was deleted after version 3 and came back with version 3"}},
		{"and an earlier one", []int64{3, 0, 2}, []string{"t 1 was deleted after version 3 and came back with version 2"}},
		{"later ones do not hide it", []int64{3, 0, 4, 3}, []string{"t 1 was deleted after version 3 and came back with version 3"}},
	} {
		v := newVersions()
		for _, version := range c.seen {
			if version == 0 {
				v.onRow("t", "1", nil)
			} else {
				v.onRow("t", "1", []any{int64(1), version, time.Now().UnixMilli()})
			}
		}
		if !slices.Equal(v.wrong, c.want) {
			t.Errorf("%s: %q, want %q", c.name, v.wrong, c.want)
		}
	}
	v := newVersions()
	for _, version := range []int64{0, 1, 2, 0, 0, 3, 4, 0, 5} {
		v.changed("t", "1", version)
	}
	for _, job := range []struct {
		version int64
		state   string
		wrong   int
	}{{1, "DONE", 0}, {2, "ERROR", 0}, {2, "DONE", 0}, {2, "DONE", 1}, {0, "ERROR", 1}, {0, "DONE", 1},
		{0, "DONE", 1}, // of version 4, which nobody has sent
		{0, "DONE", 2}, {5, "DONE", 2}, {0, "DONE", 3}} {
		row := []any{int64(1), job.version, int64(0)}
		if job.version == 0 {
			row = nil
		}
		v.onRow("t", "1", row)
		v.onEvent(emulator.Event{Job: "j", State: job.state})
		if len(v.wrong) != job.wrong {
			t.Errorf("version %d, %s: %q", job.version, job.state, v.wrong)
		}
	}
}
