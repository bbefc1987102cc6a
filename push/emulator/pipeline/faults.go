package pipeline

import (
	"net/http"
	"strings"
)

// Fault is a way for a call to go wrong.
type Fault string

const (
	LostBefore  Fault = "lost-before" // the connection breaks before anything happened
	LostAfter   Fault = "lost-after"  // it happened, and the connection breaks before the answer
	Answer500   Fault = "500"
	AnswerHTML  Fault = "502-html" // a proxy's answer
	Answer401   Fault = "401"
	Answer429   Fault = "429"
	Unreachable Fault = "503"        // the manager gave up on the pipeline, and nothing happened
	After503    Fault = "503-after"  // the same, and it happened
	Late        Fault = "late"       // the same, and it happens half a second later
	Terminating Fault = "410"        // the pipeline is going down
	Accepted    Fault = "202"        // for the status of a token: the code that is documented
	Pausing     Fault = "pause"      // it happens, and the pipeline is paused before the answer
	Cut         Fault = "cut"        // half of the body was read when the connection breaks
	Wide        Fault = "400-wide"   // rows are refused in more words than anybody should read
	Fails       Fault = "fails"      // of a checkpoint: it is begun, and fails
	FailsLost   Fault = "fails-lost" // the same, and the connection breaks before the answer
)

// Inject makes the next calls of an operation fail: ingress, completion, get, config,
// events, stats, checkpoint or checkpoint_status. The first skip calls pass, then times fail.
func (e *Emulator) Inject(op string, f Fault, skip, times int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults.Inject(op, f, skip, times)
}

// Heal forgets the faults that wait for their calls.
func (e *Emulator) Heal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.faults.Heal()
}

func (e *Emulator) fault(op string) Fault {
	if f, waits := e.faults.Next(op); waits {
		return f
	}
	if e.opt.FaultRate <= 0 || e.dice.Float64() >= e.opt.FaultRate {
		return ""
	}
	possible := []Fault{LostBefore, LostAfter, Answer500, AnswerHTML, Unreachable}
	switch op {
	case "ingress":
		possible = append(possible, After503, Late, Cut)
	case "checkpoint":
		possible = append(possible, Fails, FailsLost)
	}
	return possible[e.dice.IntN(len(possible))]
}

// dispatch makes a call, or lets it fail.
func (e *Emulator) dispatch(op string, r *http.Request, call func(Fault) answer) (a answer, broken bool) {
	if key := r.Header.Get("Authorization"); e.opt.Key != "" && key != "Bearer "+e.opt.Key {
		return answer{401, map[string]any{"message": "Unauthorized API key", "error_code": "AuthenticationFailed"}, false}, false
	}
	fault := Fault("")
	if op != "" {
		fault = e.fault(op)
	}
	if fault != "" {
		e.Stats.Faults++
	}
	switch fault {
	case LostBefore:
		return a, true
	case LostAfter, Cut:
		call(fault)
		return a, true
	case Answer500:
		return refuse(500, "ControllerPanic", map[string]any{}, "something went wrong"), false
	case AnswerHTML:
		return answer{status: 502, body: "<html><body>Bad gateway</body></html>"}, false
	case Answer401:
		return answer{401, map[string]any{"message": "Unauthorized API key", "error_code": "AuthenticationFailed"}, false}, false
	case Answer429:
		return refuse(429, "ApiConnectionLimit", map[string]any{}, "too many connections"), false
	case Unreachable:
		return unreachable, false
	case Terminating:
		return terminating, false
	case Wide:
		text := strings.Repeat("x", 9<<20)
		return refuse(400, "ParseErrors", map[string]any{"num_errors": 1, "errors": []rowError{{InvalidText: &text, Tag: "text_envelope_err"}}}, "Errors parsing input data (1 errors):"), false
	case After503:
		call(fault)
		return unreachable, false
	}
	a = call(fault)
	switch p := e.pipes[r.PathValue("pipeline")]; {
	case a.status >= 300:
	case fault == Accepted:
		a.status = 202
	case fault == Pausing:
		e.turn(p, "Running", "Paused")
	case fault == Fails, fault == FailsLost:
		p.points.spoil()
	}
	return a, fault == FailsLost
}
