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
	seen      map[string]int64   // row → version
	gone      map[string]int64   // row → the version that it had when it was deleted
	delivered map[string]int64   // row → version in a job that was DONE
	applied   map[string]int64   // by the job under way
	stale     map[string]float64 // table → the worst freshness of a row when it arrived, in seconds
	wrong     []string
}

func newVersions() *versions {
	return &versions{seen: map[string]int64{}, gone: map[string]int64{}, delivered: map[string]int64{}, applied: map[string]int64{}, stale: map[string]float64{}}
}

func (v *versions) onRow(table, key string, row []any) {
	id := table + " " + key
	if row == nil {
		v.gone[id] = v.seen[id]
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

func (v *versions) onEvent(e emulator.Event) {
	if e.State == "DONE" {
		for id, version := range v.applied {
			if version <= v.delivered[id] {
				v.wrong = append(v.wrong, fmt.Sprintf("job %s sends version %d of %s again, which was DONE", e.Job, version, id))
			}
			v.delivered[id] = version
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
	for _, job := range []struct {
		version int64
		state   string
		wrong   int
	}{{1, "DONE", 0}, {2, "ERROR", 0}, {2, "DONE", 0}, {2, "DONE", 1}} {
		v.onRow("t", "1", []any{int64(1), job.version, int64(0)})
		v.onEvent(emulator.Event{Job: "j", State: job.state})
		if len(v.wrong) != job.wrong {
			t.Errorf("version %d, %s: %q", job.version, job.state, v.wrong)
		}
	}
}
