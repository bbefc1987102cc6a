package feldera

import (
	"bytes"
	"errors"

	"github.com/sluice-cdc/sluice/push"
)

// halve makes two requests of one for which the pipeline has taken too long.
func (j *job) halve(err error) {
	var e *push.Error
	var timeout interface{ Timeout() bool }
	errors.As(err, &e)
	if codeOf(err) != "PipelineInteractionUnreachable" && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return
	}
	b := j.bodies[0]
	events := split(b.data)
	if len(events) < 2 {
		return
	}
	half := len(events) / 2
	first, second := body{data: join(events[:half])}, body{data: join(events[half:])}
	if len(b.records) == len(events) {
		first.records, second.records = b.records[:half], b.records[half:]
	}
	j.bodies = append([]body{first, second}, j.bodies[1:]...)
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
