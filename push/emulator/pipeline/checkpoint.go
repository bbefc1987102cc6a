package pipeline

import (
	"maps"
	"net/http"
	"time"
)

// checkpoints are those of a deployment, numbered from 0, made one after the other.
type checkpoints struct {
	asked   int64 // how many
	saving  []point
	success *int64   // the last one that succeeded
	failure *failure // the last one that failed; a success does not take it back
}

// point is a checkpoint under way.
type point struct {
	sequence int64
	due      time.Time
	tables   map[string]map[string][]any
	fails    bool
}

type failure struct {
	Sequence int64     `json:"sequence_number"`
	Error    string    `json:"error"`
	At       time.Time `json:"failed_at"`
}

// checkpoint begins one.
func (e *Emulator) checkpoint(p *instance, _ *http.Request, _ []byte) answer {
	if !e.opt.Enterprise {
		return refuse(501, "EnterpriseFeature", map[string]any{"feature": "checkpoint"}, "Cannot use enterprise-only feature: checkpoint")
	}
	made := point{sequence: p.points.asked, due: time.Now().Add(e.opt.Lag), tables: p.picture()}
	p.points.saving = append(p.points.saving, made)
	p.points.asked++
	e.say(Event{What: "checkpoint"})
	return answer{200, map[string]any{"checkpoint_sequence_number": made.sequence, "incarnation_uuid": p.incarnation}, false}
}

func (p *instance) checkpointStatus(r *http.Request, _ []byte) answer {
	if u := r.URL.Query().Get("incarnation_uuid"); u != "" && u != p.incarnation {
		return refuse(400, "IncarnationUuidMismatch", map[string]any{}, "the pipeline was restarted")
	}
	return answer{200, map[string]any{"success": p.points.success, "failure": p.points.failure}, false}
}

// spoil has the checkpoint fail that was asked for last.
func (c *checkpoints) spoil() {
	if n := len(c.saving); n > 0 {
		c.saving[n-1].fails = true
	}
}

// made ends the checkpoints that are due.
func (p *instance) made(now time.Time) {
	c := &p.points
	for len(c.saving) > 0 && !c.saving[0].due.After(now) {
		made := c.saving[0]
		c.saving = c.saving[1:]
		if made.fails {
			c.failure = &failure{made.sequence, "error writing the checkpoint: No space left on device (os error 28)", made.due}
		} else {
			p.saved, c.success = made.tables, &made.sequence
		}
	}
}

// picture is what the tables hold.
func (p *instance) picture() map[string]map[string][]any {
	tables := map[string]map[string][]any{}
	for t, rows := range p.tables {
		tables[t] = maps.Clone(rows)
	}
	return tables
}
