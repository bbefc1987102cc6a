package emulator

import (
	"net/http"
	"strings"
	"time"
)

// Fault is a way for a call to go wrong: one of those below, or an effect and a reply (Ambiguous).
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

// Effect is whether what a call asks for happens.
type Effect string

const (
	Never  Effect = "never"
	AtOnce Effect = "at-once"
	Later  Effect = "later" // ten seconds after the answer
)

// Reply is what the caller hears.
type Reply string

const (
	Reset       Reply = "reset" // the connection breaks without an answer
	Says500     Reply = "500"
	Says401     Reply = "401"
	Says404     Reply = "404"      // in the API's words
	Gateway503  Reply = "503-html" // a gateway's answer, not the API's
	GatewaySays Reply = "404-html" // the same
	BreaksOff   Reply = "truncated"
	Silence     Reply = "silence" // none until the caller gives up
	Delayed     Reply = "slow"    // the call's own, two seconds later
)

// Effects and Replies are all that leave open what happened.
var (
	Effects = []Effect{Never, AtOnce, Later}
	Replies = []Reply{Reset, Says500, Says401, Says404, Gateway503, GatewaySays, BreaksOff, Silence}
)

// Ambiguous is the fault of an effect and a reply that does not tell it.
func Ambiguous(e Effect, r Reply) Fault { return Fault(string(e) + "/" + string(r)) }

var named = map[Fault]Fault{
	LostBefore: Ambiguous(Never, Reset), LostAfter: Ambiguous(AtOnce, Reset),
	Answer500: Ambiguous(Never, Says500), AnswerHTML: Ambiguous(Never, Gateway503), Answer401: Ambiguous(Never, Says401),
	Slow: Ambiguous(AtOnce, Delayed), Late: Ambiguous(Later, Gateway503), Truncated: Ambiguous(AtOnce, BreaksOff),
	Answer404: Ambiguous(Never, Says404), Gateway404: Ambiguous(Never, GatewaySays), After404: Ambiguous(AtOnce, GatewaySays),
}

// parts returns what happens and what is said of it; of no fault, the effect and the call's own reply.
func (f Fault) parts() (Effect, Reply) {
	if f == "" {
		return AtOnce, ""
	}
	if n, ok := named[f]; ok {
		f = n
	}
	e, r, _ := strings.Cut(string(f), "/")
	return Effect(e), Reply(r)
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
