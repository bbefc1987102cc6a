package feldera

import (
	"bytes"
	"errors"
	"net/http"
	"slices"
)

// slow reports whether a request has taken too long, for the pipeline, the manager, a proxy
// before them or for us.
func slow(err error) bool {
	var timeout interface{ Timeout() bool }
	status := statusOf(err)
	return codeOf(err) == "PipelineInteractionUnreachable" || status == http.StatusGatewayTimeout || status == http.StatusRequestTimeout || errors.As(err, &timeout) && timeout.Timeout()
}

// large reports whether a proxy takes no request of that size. Nothing of it is there then: of
// one that was cut off the pipeline takes no part of an array.
func large(err error) bool { return statusOf(err) == http.StatusRequestEntityTooLarge }

// halve makes two requests of one and returns how many rows they may have, 0 if that has one row.
func (j *job) halve() int {
	n := len(split(j.bodies[0].data))
	if n < 2 {
		return 0
	}
	j.bodies = append(j.bodies[0].cut((n+1)/2), j.bodies[1:]...)
	return (n + 1) / 2
}

// shorten halves a request that is too long or too large, and has those that follow be no longer.
// It reports false if that has one row.
func (j *job) shorten() bool {
	most := j.halve()
	if most > 0 {
		j.lane.most, j.lane.quick = most, 0
	}
	return most > 0
}

// fit makes smaller requests of one that a proxy takes for too large: its largest row goes
// first, alone, and it is shortened only where that one was taken. So a row that is too large
// alone is found while nothing of its request is there, and the others are not cut because of
// it. Their order is nothing to the pipeline: no two rows of a job have a key in common. It reports
// false if the request has one row.
func (j *job) fit() bool {
	if j.append && !j.begun {
		j.lead(0)
	}
	b := j.bodies[0]
	if b.fits {
		return j.shorten()
	}
	events := split(b.data)
	if len(events) < 2 {
		return false
	}
	at, _ := largest(events)
	one, rest := body{data: join(events[at : at+1])}, body{data: join(slices.Delete(events, at, at+1)), fits: true}
	if at < len(b.records) {
		one.records = b.records[at : at+1]
		rest.records = slices.Concat(b.records[:at], b.records[at+1:])
	}
	j.bodies = append([]body{one, rest}, j.bodies[1:]...)
	return true
}

// lead has the request with the largest row of all be the first one, if that row has more than so
// many bytes. Where as many were taken, no row of the other requests is too large alone.
func (j *job) lead(most int) {
	first := 0
	for i, b := range j.bodies {
		if len(b.data) <= most { // so is each row of it
			continue
		}
		if _, bytes := largest(split(b.data)); bytes > most {
			first, most = i, bytes
		}
	}
	j.bodies[0], j.bodies[first] = j.bodies[first], j.bodies[0]
}

// largest returns which of the elements is the first of the largest ones, and its bytes.
func largest(elements [][]byte) (at, bytes int) {
	for i, e := range elements {
		if len(e) > bytes {
			at, bytes = i, len(e)
		}
	}
	return at, bytes
}

// regain is after how many requests in a row that the pipeline has taken in time they may be
// twice as long.
const regain = 10

// took notes that a request was taken in time.
func (l *lane) took() {
	if l.most == 0 {
		return
	}
	if l.quick++; l.quick == regain {
		l.most, l.quick = 2*l.most, 0
	}
	if l.most > 1<<20 {
		l.most = 0 // that is no limit any more
	}
}

// cut makes requests of at most so many rows of one; 0: any number.
func (b body) cut(most int) []body {
	if most == 0 {
		return []body{b}
	}
	events := split(b.data)
	if len(events) <= most {
		return []body{b}
	}
	var parts []body
	for from := 0; from < len(events); from += most {
		to := min(from+most, len(events))
		part := body{data: join(events[from:to]), fits: b.fits}
		if len(b.records) == len(events) {
			part.records = b.records[from:to]
		}
		parts = append(parts, part)
	}
	return parts
}

// split returns the elements of an array that the encoder has written.
func split(array []byte) (elements [][]byte) {
	depth, start, quoted := 0, 1, false
	for i := 0; i < len(array); i++ {
		switch b := array[i]; {
		case quoted:
			if b == '\\' {
				i++
			}
			quoted = b != '"'
		case b == '"':
			quoted = true
		case b == '{', b == '[':
			depth++
		case b == '}', b == ']':
			if depth--; depth == 0 && i > start {
				return append(elements, array[start:i])
			}
		case b == ',' && depth == 1:
			elements = append(elements, array[start:i])
			start = i + 1
		}
	}
	return elements
}

func join(elements [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(elements, []byte{','})...), ']')
}
