package batcher

import "time"

// Reason says why a batch was sealed.
type Reason uint8

const (
	None   Reason = iota
	Rows          // it reached Policy.MaxRows
	Bytes         // it reached Policy.MaxBytes
	Age           // its oldest row reached Policy.MaxAge
	Schema        // the table's columns changed
	Memory        // memory ran short and it was the largest
	Drain         // Sluice is stopping
)

var reasonNames = [...]string{"none", "rows", "bytes", "age", "schema", "memory", "drain"}

func (r Reason) String() string { return reasonNames[r] }

// Policy says when a table's batch is due. A batch that is due is sealed late,
// when its table's lane is idle and the budget grants a submission; until then it
// keeps filling and folding, so that a scarce submission carries more.
type Policy struct {
	MaxRows  int           // live rows
	MaxBytes int64         // of memory held
	MaxAge   time.Duration // since the first row
	// Loose has columns whose types change as no type includes both become STRING.
	Loose bool
	// Unavailable is for values that the source did not send.
	Unavailable Unavailable
}

// due returns why the batch is due now, None if it is not.
func (p *Policy) due(b *Batch, now time.Time) Reason {
	switch {
	case b.idle():
		return None
	case b.Len() == 0 && !b.Table.Typed():
		return None // nothing tells the columns that an empty file has; the next row does
	case b.Len() >= p.MaxRows:
		return Rows
	case b.Size() >= p.MaxBytes:
		return Bytes
	case !now.Before(b.Opened.Add(p.MaxAge)):
		return Age
	}
	return None
}
