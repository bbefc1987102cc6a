package pipeline

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"time"
)

// endpoint is the queue of one spelling of a table and one set of parameters.
type endpoint struct {
	id       int
	table    *relation
	received int64
	done     int64
	queue    []queued
}

// next takes out of the queue what is applied next: the first that is due or, where each
// worker of the server has a queue of its own, the last.
func (ep *endpoint) next(now time.Time, ordered bool) (q queued, ok bool) {
	at := 0
	for !ordered && at+1 < len(ep.queue) && !ep.queue[at+1].due.After(now) {
		at++
	}
	if len(ep.queue) == 0 || ep.queue[at].due.After(now) {
		return q, false
	}
	q = ep.queue[at]
	ep.queue = slices.Delete(ep.queue, at, at+1)
	return q, true
}

// upto is before which count everything is processed.
func (ep *endpoint) upto() int64 {
	if len(ep.queue) == 0 {
		return ep.received
	}
	return ep.queue[0].upto - int64(len(ep.queue[0].changes))
}

// full reports whether so many records wait to be processed that no more are read.
func (p *instance) full(most int) bool {
	n := 0
	for _, ep := range p.endpoints {
		for _, q := range ep.queue {
			n += len(q.changes)
		}
	}
	return n >= most
}

type queued struct {
	changes []change
	upto    int64
	due     time.Time
}

// token is what stands for all that an endpoint has received.
type token struct {
	Incarnation string `json:"u"`
	Endpoint    int    `json:"e"`
	Count       int64  `json:"c"`
}

func (t token) String() string {
	b, _ := json.Marshal(t)
	return base64.RawURLEncoding.EncodeToString(b)
}

func readToken(s string) (t token, err error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	return t, err
}

// endpoint returns the queue of a spelling and parameters.
func (p *instance) endpoint(segment string, r *relation, array bool, format string) *endpoint {
	name := segment + "?" + format + strconv.FormatBool(array)
	ep := p.endpoints[name]
	if ep == nil {
		ep = &endpoint{id: len(p.endpoints), table: r}
		p.endpoints[name] = ep
	}
	return ep
}
