package script

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Effect is whether what a call asks for happens.
type Effect string

const (
	Never  Effect = "never"
	AtOnce Effect = "at-once"
	Later  Effect = "later" // some time after the answer
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
	Gateway403  Reply = "403-html" // the same
	BreaksOff   Reply = "truncated"
	Silence     Reply = "silence" // none until the caller gives up
)

// Replies are all that leave open what happened.
var Replies = []Reply{Reset, Says500, Says401, Says404, Gateway503, GatewaySays, Gateway403, BreaksOff, Silence}

// Ambiguous is the fault of an effect and a reply that does not tell it.
func Ambiguous[F ~string](e Effect, r Reply) F { return F(string(e) + "/" + string(r)) }

// All are the faults that leave open what a call did: each effect by each reply; of a call that
// has no effect, each reply.
func All[F ~string](effect bool) (all []F) {
	for _, r := range Replies {
		for _, e := range []Effect{Never, AtOnce, Later} {
			if effect || e == AtOnce {
				all = append(all, Ambiguous[F](e, r))
			}
		}
	}
	return all
}

// Parts returns the effect and the reply of such a fault; it reports false of another one.
func Parts[F ~string](f F) (Effect, Reply, bool) {
	e, r, ok := strings.Cut(string(f), "/")
	return Effect(e), Reply(r), ok
}

// Write answers instead of an API, whose status, headers and body these were to be, if the
// reply is none of the API's own: what a gateway says, what breaks off, or nothing. It reports
// whether it is.
func (r Reply) Write(w http.ResponseWriter, req *http.Request, status int, header map[string]string, body any) bool {
	switch r {
	case Silence:
		<-req.Context().Done()
		panic(http.ErrAbortHandler)
	case Reset:
		panic(http.ErrAbortHandler)
	case Gateway503:
		writeHTML(w, http.StatusServiceUnavailable)
	case GatewaySays:
		writeHTML(w, http.StatusNotFound)
	case Gateway403:
		writeHTML(w, http.StatusForbidden)
	case BreaksOff:
		text, _ := json.Marshal(body)
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
		w.WriteHeader(max(status, http.StatusOK))
		w.Write(text[:len(text)/2])
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// writeHTML answers as a gateway in front of an API does.
func writeHTML(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<html><body><h1>%d %s</h1></body></html>", status, http.StatusText(status))
}
