package pipeline

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"
)

// endpoint is the queue of one spelling of a table and one set of parameters. Before 0.275
// each worker of the server has such a queue of its own.
type endpoint struct {
	id       int
	name     string // among those of all tables: the table's, and that of the connector which the server makes for each queue
	segment  string // the table as the path has it
	table    *relation
	received int64
	done     int64
	forced   int64 // up to here it is processed also while the pipeline is paused
	queue    []queued
}

// queued is a chunk that waits to be processed.
type queued struct {
	changes []change
	upto    int64 // of what the endpoint has received
	post    int   // which one it came with
	due     time.Time
}

// next takes out of the queue what is applied next, if it is due.
func (ep *endpoint) next(now time.Time, paused bool) (q queued, ok bool) {
	if len(ep.queue) == 0 || ep.queue[0].due.After(now) || paused && ep.queue[0].upto > ep.forced {
		return q, false
	}
	q, ep.queue = ep.queue[0], ep.queue[1:]
	return q, true
}

// buffered is how many records wait.
func (ep *endpoint) buffered() (n int) {
	for _, q := range ep.queue {
		n += len(q.changes)
	}
	return n
}

// inTurn returns the endpoints in the order in which they are read: the one with the latest
// request first, for nothing is said of it.
func (p *instance) inTurn() []*endpoint {
	latest := func(ep *endpoint) int {
		if len(ep.queue) == 0 {
			return 0
		}
		return ep.queue[0].post
	}
	return slices.SortedFunc(maps.Values(p.endpoints), func(a, b *endpoint) int {
		return cmp.Or(cmp.Compare(latest(b), latest(a)), cmp.Compare(a.id, b.id))
	})
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

// post is a request to the ingress, and which worker of the server has it.
type post struct {
	segment string // the table as the path has it
	format  string
	update  string
	array   bool
	force   bool // it does not wait
	body    []byte
	trace   string
	worker  int
}

func (q *post) endpoint() string {
	return fmt.Sprintf("%s?%s%v/%d", q.segment, q.update, q.array, q.worker)
}

// endpoint returns the queue for a request to a table.
func (p *instance) endpoint(q *post, r *relation) *endpoint {
	ep := p.endpoints[q.endpoint()]
	if ep == nil {
		ep = &endpoint{id: len(p.endpoints), segment: q.segment, table: r, name: fmt.Sprintf("%s.api-ingress-%016x", r.Name, len(p.endpoints))}
		p.endpoints[q.endpoint()] = ep
	}
	return ep
}

// waits reports whether a request is not read yet: the pipeline is paused, or too many
// records wait in the queue that it goes to.
func (e *Emulator) waits(p *instance, q *post) bool {
	ep := p.endpoints[q.endpoint()]
	if q.force {
		return false
	}
	return p.status == "Paused" || p.status == "Running" && ep != nil && ep.buffered() >= e.opt.Backlog
}
