package pipeline

import (
	"net/http"
	"strings"

	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// Fault is a way for a call to go wrong: one of those below, or an effect and a reply
// (script.Ambiguous).
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

var named = map[Fault]Fault{
	LostBefore: script.Ambiguous[Fault](script.Never, script.Reset), LostAfter: script.Ambiguous[Fault](script.AtOnce, script.Reset),
	Answer500: script.Ambiguous[Fault](script.Never, script.Says500), Answer401: script.Ambiguous[Fault](script.Never, script.Says401),
}

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

// later reports whether a call happens only when it was answered.
func (f Fault) later() bool {
	effect, _, _ := script.Parts(f)
	return f == Late || effect == script.Later
}

// dispatch makes a call, or lets it fail. The reply is what is heard instead of the answer, ""
// if that is.
func (e *Emulator) dispatch(op string, r *http.Request, call func(Fault) answer) (answer, script.Reply) {
	unauthorized := answer{401, map[string]any{"message": "Unauthorized API key", "error_code": "AuthenticationFailed"}, false}
	if key := r.Header.Get("Authorization"); e.opt.Key != "" && key != "Bearer "+e.opt.Key {
		return unauthorized, ""
	}
	fault := Fault("")
	if op != "" {
		fault = e.fault(op)
	}
	if fault != "" {
		e.Stats.Faults++
	}
	if f, ok := named[fault]; ok {
		fault = f
	}
	if effect, reply, ok := script.Parts(fault); ok {
		a := answer{}
		if effect != script.Never {
			a = call(fault)
		}
		switch reply {
		case script.Says500:
			return refuse(500, "ControllerPanic", map[string]any{}, "something went wrong"), ""
		case script.Says401:
			return unauthorized, ""
		case script.Says404:
			return unknown(r.PathValue("pipeline")), ""
		}
		return a, reply
	}
	switch fault {
	case Cut:
		call(fault)
		return answer{}, script.Reset
	case AnswerHTML:
		return answer{status: 502, body: "<html><body>Bad gateway</body></html>"}, ""
	case Answer429:
		return refuse(429, "ApiConnectionLimit", map[string]any{}, "too many connections"), ""
	case Unreachable:
		return unreachable, ""
	case Terminating:
		return terminating, ""
	case Wide:
		text := strings.Repeat("x", 9<<20)
		return refuse(400, "ParseErrors", map[string]any{"num_errors": 1, "errors": []rowError{{InvalidText: &text, Tag: "text_envelope_err"}}}, "Errors parsing input data (1 errors):"), ""
	case After503, Late:
		call(fault)
		return unreachable, ""
	}
	a := call(fault)
	switch p := e.pipes[r.PathValue("pipeline")]; {
	case a.status >= 300:
	case fault == Accepted:
		a.status = 202
	case fault == Pausing:
		e.turn(p, "Running", "Paused")
	case fault == Fails:
		p.points.spoil()
	case fault == FailsLost:
		p.points.spoil()
		return a, script.Reset
	}
	return a, ""
}
