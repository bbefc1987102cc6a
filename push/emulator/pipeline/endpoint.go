package pipeline

import (
	"encoding/base64"
	"encoding/json"
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
