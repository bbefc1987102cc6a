package feldera

import (
	"bytes"
	"errors"
	"net/http"
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

// halve makes two requests of one that is too long or too large, and has those that follow be no longer.
// It reports false if that has one row.
func (j *job) halve() bool {
	n := len(split(j.bodies[0].data))
	if n < 2 {
		return false
	}
	j.lane.most, j.lane.quick = (n+1)/2, 0
	j.bodies = append(j.bodies[0].cut(j.lane.most), j.bodies[1:]...)
	return true
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
		part := body{data: join(events[from:to])}
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
