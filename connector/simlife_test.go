package connector

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// lives are those of a pipeline: each begins with the tables of a checkpoint, or with none,
// and what was delivered to an earlier one and is not among them is lost.
type lives struct {
	tokens map[string]bool  // of what was posted in this one
	noted  map[string]int64 // table and partition → up to where its rows are in a job whose token is noted
	lossy  bool             // the rows that are told of are those that a restart has changed
	down   bool
	deadly time.Duration    // the next row kills it, and it comes back after that; 0: none does
	name   string           // of this one, as it stands beside offsets
	ever   map[string]int   // the latest version of a row that was delivered, though it may be lost since
	here   map[string]int   // the same in this life, or in what it began with
	kept   map[string]int64 // partition → the offset that was committed before the last commit
}

func newLives() lives {
	return lives{tokens: map[string]bool{}, noted: map[string]int64{}, ever: map[string]int{}, here: map[string]int{}, kept: map[string]int64{}}
}

// deploy starts the pipeline, and asks for what it is called.
func (w *simulation) deploy() {
	w.pipe.Start("shop")
	rec := httptest.NewRecorder()
	w.pipe.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/v0/pipelines", nil))
	var all []struct {
		ID         string `json:"id"`
		Deployment string `json:"deployment_id"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &all); err != nil || len(all) != 1 {
		w.t.Errorf("the list of pipelines is %s", rec.Body)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.name = all[0].Deployment; w.enterprise {
		w.name = all[0].ID
	}
}

// lived follows the pipeline from one life to the next.
func (w *simulation) lived(e pipeline.Event) {
	w.lossy = false
	switch e.What {
	case "rows":
		w.tokens[e.Token] = true
	case "crash":
		w.down = true
	case "restarting":
		w.lossy = true
		clear(w.tokens)
		clear(w.noted)
		// Of a row that is gone nothing is told, and it may come again as it was before.
		for id, at := range w.seen {
			if w.history[id][at] == "" {
				w.seen[id], w.upTo[id] = 0, 0
			}
		}
	case "restart":
		w.down = false
		for id, versions := range w.history {
			w.here[id] = w.upTo[id]
			for v := len(versions) - 1; versions[w.seen[id]] == "" && v > w.here[id]; v-- {
				if versions[v] == "" { // its last delete: which one it is nobody tells
					w.here[id] = v
				}
			}
		}
		w.lost()
	}
}

// lost looks for what was committed and is not in a pipeline that goes on from its checkpoint.
func (w *simulation) lost() {
	for part, at := range w.kept {
		for _, e := range w.records[part] {
			if w.enterprise && e.offset < at && w.here[e.row] < e.version && !w.superseded(part, e) {
				w.fail("%s: %d is committed, and version %d of %s, offset %d, is lost with the pipeline", part, at, e.version, e.row, e.offset)
				break
			}
		}
	}
}

// superseded reports whether a record is no row's, or perhaps compacted away.
func (w *simulation) superseded(part string, e simEntry) bool {
	return e.row == "" || w.compact && slices.ContainsFunc(w.records[part], func(x simEntry) bool { return x.row == e.row && x.offset > e.offset })
}

// delivered is what may be committed (I1): what is DONE. What stands beside an offset says in
// which life of a pipeline that has to be so; where a process has not noticed yet that another
// one has begun, in any.
func (w *simulation) delivered(metadata string) map[string]int {
	if w.pipe == nil {
		return w.done
	}
	m, _ := intent.Parse(metadata)
	if m.Target == "" {
		w.fail("nothing beside an offset says in which life of the pipeline its rows are")
	}
	if m.Target == w.name || w.enterprise {
		return w.here
	}
	return w.ever
}
