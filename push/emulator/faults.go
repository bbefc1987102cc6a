package emulator

import (
	"net/http"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// Fault is a way for a call to go wrong: one of those below, or an effect and a reply (script.Ambiguous).
type Fault string

const (
	LostBefore Fault = "lost-before" // the connection breaks before anything happened
	LostAfter  Fault = "lost-after"  // it happened, and the connection breaks before the answer
	Answer500  Fault = "500"
	AnswerHTML Fault = "503-html" // a gateway's answer, not the API's
	Answer401  Fault = "401"
	Slow       Fault = "slow"
	Late       Fault = "late"         // 503 at once, and it happens ten seconds later
	Truncated  Fault = "truncated"    // it happens, and the answer breaks off
	Answer404  Fault = "404"          // in the API's words, though the job is there
	Gateway404 Fault = "404-html"     // a gateway's answer before anything happened
	After404   Fault = "404-after"    // a gateway's answer after it happened
	JobError   Fault = "job-error"    // the executed job ends in ERROR, half applied
	JobCancel  Fault = "job-canceled" // the executed job ends in CANCELED
	Vanish     Fault = "vanish"       // the job is gone: 404
)

// delayed is a call's own reply, two seconds later.
const delayed script.Reply = "slow"

var named = map[Fault]Fault{
	LostBefore: ambiguous(script.Never, script.Reset), LostAfter: ambiguous(script.AtOnce, script.Reset),
	Answer500: ambiguous(script.Never, script.Says500), AnswerHTML: ambiguous(script.Never, script.Gateway503), Answer401: ambiguous(script.Never, script.Says401),
	Slow: ambiguous(script.AtOnce, delayed), Late: ambiguous(script.Later, script.Gateway503), Truncated: ambiguous(script.AtOnce, script.BreaksOff),
	Answer404: ambiguous(script.Never, script.Says404), Gateway404: ambiguous(script.Never, script.GatewaySays), After404: ambiguous(script.AtOnce, script.GatewaySays),
}

func ambiguous(e script.Effect, r script.Reply) Fault { return script.Ambiguous[Fault](e, r) }

// parts returns what happens and what is said of it; of no fault, the effect and the call's own reply.
func (f Fault) parts() (script.Effect, script.Reply) {
	if f == "" {
		return script.AtOnce, ""
	}
	if n, ok := named[f]; ok {
		f = n
	}
	e, r, _ := script.Parts(f)
	return e, r
}

// Inject makes the next calls of an operation fail: create, list, get, execute,
// delete, cancel, chunks or upload. The first skip calls pass, then times fail.
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

// fault decides how a call goes wrong, "" if it does not.
func (e *Emulator) fault(op string, r *http.Request) Fault {
	f := e.nextFault(op)
	switch f {
	case JobError, JobCancel:
		if j := e.jobs[r.PathValue("id")]; j != nil {
			j.script = string(f)
		}
		return ""
	case Vanish:
		if j := e.jobs[r.PathValue("id")]; j != nil {
			e.event(j, "VANISHED", time.Now())
			e.drop(j)
		}
		return ""
	}
	return f
}

func (e *Emulator) nextFault(op string) Fault {
	if f, waits := e.faults.Next(op); waits {
		return f
	}
	if e.opt.FaultRate <= 0 || e.dice.Float64() >= e.opt.FaultRate {
		return ""
	}
	possible := []Fault{LostBefore, LostAfter, Answer500, AnswerHTML}
	if op == "execute" {
		possible = append(possible, JobError, JobCancel, Vanish)
	}
	return possible[e.dice.IntN(len(possible))]
}
