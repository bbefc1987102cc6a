package push

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/schema"
)

// TestPrivate: what a target says of a table's rows is told with the names that the table has,
// and without what may be a value.
func TestPrivate(t *testing.T) {
	table := &schema.Table{Name: "public_orders2", Columns: []schema.Column{{Name: "id"}, {Name: "total amount"}, {Name: "line1"}}}
	for _, tc := range []struct{ said, want string }{
		{"Error while loading: connection to the database was lost", "Error while loading: connection to the database was lost"},
		{"value 'hunter2' of column 'total amount' is not a number", "value … of column 'total amount' is not a number"},
		{`table "public_orders2" has no column "hunter"`, `table "public_orders2" has no column …`},
		{"row 17: 4711.50 is out of range for line1 of public_orders2", "row …: ….… is out of range for line1 of public_orders2"},
		{"duplicate key `a, b", "duplicate key …"},
		{"Columns have changed. Table won't be delta loaded", "Columns have changed. Table won't be delta loaded"},
		{"cannot read 'O'Brien' in line1's text", "cannot read … in line1's text"},
		{"", ""},
	} {
		err := Private(&Error{Op: "upload chunk", Kind: Rejected, Message: tc.said}, table).(*Error)
		if err.Message != tc.want {
			t.Errorf("%q is told as %q, want %q", tc.said, err.Message, tc.want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{execute: func(int) error { return nil }, status: func(int) (Status, error) {
			return Status{State: Failed, Logs: []string{"Error while loading", "row 17 has 'hunter2' in v"}}, nil
		}}
		if err := runScripted(t, s, time.Hour); err == nil || !strings.Contains(err.Error(), "Error while loading; row … has … in v") {
			t.Errorf("a job's own words: %v", err)
		}
	})
}
