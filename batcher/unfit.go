package batcher

import (
	"fmt"

	"github.com/sluice-cdc/sluice/schema"
)

// Unfit is the cause of an encoder's error where single rows are at fault: they have values
// without a form in the files, and would fail again. The others can be encoded without them.
type Unfit struct {
	Rows []UnfitRow // at most maxUnfit; there may be more
}

// UnfitRow is a row that cannot be encoded.
type UnfitRow struct {
	Record schema.Record
	Column string
	Reason string // without the row's values
}

// maxUnfit bounds what is kept of a batch in which every row is bad.
const maxUnfit = 1000

func (u *Unfit) Error() string {
	return fmt.Sprintf("%d rows have no form in the files, the first for its column %s: %s", len(u.Rows), u.Rows[0].Column, u.Rows[0].Reason)
}
