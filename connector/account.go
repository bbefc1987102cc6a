package connector

import (
	"fmt"
	"strings"

	"github.com/sluice-cdc/sluice/schema"
)

// Outcome is what became of a record, for good or until it is read again.
type Outcome int

const (
	Filtered     Outcome = iota // its table is left out
	Skipped                     // it changes no table: a tombstone, a heartbeat
	DeadLettered                // it is in the dead-letter topic
	Delivered                   // its rows are DONE, or were replaced by rows that are
	Repeated                    // its rows were in a live or delivered batch before it was read again, or it was put aside
	Stale                       // its rows are older than what came before of their keys from other partitions
	Dropped                     // its batch was given up; it is read again, here or by the next owner
	outcomes
)

var outcomeNames = [outcomes]string{"filtered", "skipped", "dead-lettered", "delivered", "repeated", "stale", "dropped"}

func (o Outcome) String() string { return outcomeNames[o] }

// account is what became of a partition's records since it was assigned (I7). Each
// number is counted where it arises: what was read by the decoder's input, what became
// of it by its output, by the batches and by the jobs.
type account struct {
	read   int64 // records
	gaps   int64 // offsets that give no record, for a reason: markers, aborted and compacted records
	passed int64 // offsets that the position moved by
	counts [outcomes]int64
}

// balance returns the numbers as an error if they do not add up, where so many records
// are in batches that are still on their way, and of so many offsets it is being asked why
// they gave none.
func (a *account) balance(inFlight, doubted int64) error {
	sum := inFlight
	for _, n := range a.counts {
		sum += n
	}
	records, offsets := a.read-sum, a.passed-a.read-a.gaps-doubted
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

// audit keeps a partition from being committed whose records are not all accounted for
// (I7), and holds the tables that it feeds.
func (c *Connector) audit() {
	for id, p := range c.parts {
		if p.unbalanced {
			continue
		}
		err := c.ledger.Balance(id)
		if err == nil {
			continue
		}
		p.unbalanced = true
		c.metrics.unbalanced()
		h := Hold{Topic: id.Topic, Partition: new(id.ID), Offset: c.position(id), Reason: "the partition does not balance: " + err.Error(), Remedy: defect}
		for table := range p.taken {
			h.Table = table
			c.holdTable(table, h)
		}
		if h.Table == "" {
			c.holdTopic(h)
		}
	}
}

const defect = "this is a defect of Sluice: report it with this message and the log; nothing of it was committed, and a restart reads the changes again"

// balance holds what the files have against what was read: every row that the partitions
// gave is in one of them or was replaced by a later one of its key (I7). A batch that
// does not balance is not sent, and holds its table.
func (w *work) balance(chunks []schema.Chunk) error {
	var rows [2]int
	for _, c := range chunks {
		rows[c.Op] += c.Rows
	}
	if residual := w.read - rows[schema.Upsert] - rows[schema.Delete] - w.compacted - w.truncates; residual != 0 || w.taken != w.read || rows[schema.Upsert] != w.upserts || rows[schema.Delete] != w.deletes {
		return fmt.Errorf("the batch does not balance: of %d changes read (%d by the partitions' count), %d are in the files as upserts (%d are meant to be), %d as deletes (%d), and %d were replaced; residual %d",
			w.read, w.taken, rows[schema.Upsert], w.upserts, rows[schema.Delete], w.deletes, w.compacted, residual)
	}
	return nil
}

// records counts the records of which rows came, by their offsets in order: one that
// changes a configured key is two rows.
func records(offsets []int64) (n int) {
	last := int64(-1)
	for _, o := range offsets {
		if o != last {
			n, last = n+1, o
		}
	}
	return n
}
