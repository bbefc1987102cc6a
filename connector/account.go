package connector

import (
	"fmt"
	"strings"
)

// Outcome is what became of a record, for good or until it is read again.
type Outcome int

const (
	Filtered     Outcome = iota // its table is left out
	Skipped                     // it changes no table: a tombstone, a heartbeat
	DeadLettered                // it is in the dead-letter topic
	Delivered                   // its rows are DONE, or were replaced by rows that are
	Repeated                    // its rows were in a live or delivered batch before it was read again
	Dropped                     // its batch was given up; it is read again, here or by the next owner
	outcomes
)

var outcomeNames = [outcomes]string{"filtered", "skipped", "dead-lettered", "delivered", "repeated", "dropped"}

func (o Outcome) String() string { return outcomeNames[o] }

// account is what became of a partition's records since it was assigned (I7). Each
// number is counted where it arises: what was read by the decoder's input, what became
// of it by its output, by the batches and by the jobs.
type account struct {
	read   int64 // records
	gaps   int64 // offsets that the brokers skipped: markers, aborted and compacted records
	passed int64 // offsets that the position moved by
	counts [outcomes]int64
}

// balance returns the numbers as an error if they do not add up, where so many records
// are in batches that are still on their way.
func (a *account) balance(inFlight int64) error {
	sum := inFlight
	for _, n := range a.counts {
		sum += n
	}
	records, offsets := a.read-sum, a.passed-a.read-a.gaps
	if records == 0 && offsets == 0 {
		return nil
	}
	var b strings.Builder
	for o, n := range a.counts {
		fmt.Fprintf(&b, "%d %v, ", n, Outcome(o))
	}
	return fmt.Errorf("%d records read are not %s%d on their way: residual %d; %d offsets passed are not these records and %d that the brokers skipped: residual %d",
		a.read, b.String(), inFlight, records, a.passed, a.gaps, offsets)
}
