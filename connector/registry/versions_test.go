package registry

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"github.com/sluice-cdc/sluice/schema/frame"
)

// TestVersions: the versions of a schema's subject, the newest first, from the oldest that is
// asked for on.
func TestVersions(t *testing.T) {
	fake := srfake.NewRegistry()
	seed := func(subject string, version, id int) {
		fake.SeedSchema(subject, version, id, sr.Schema{Schema: strings.ReplaceAll(money, "cents", fmt.Sprintf("cents%d", id))})
	}
	for n := 1; n <= 30; n++ {
		seed("long-value", n, 100+n)
	}
	for n, id := range []int{7, 3, 5, 4} {
		seed("a-value", n+1, id)
	}
	seed("b-value", 1, 9)
	seed("b-value", 2, 10)
	ids := func(numbers ...uint64) (ids []frame.ID) {
		for _, n := range numbers {
			ids = append(ids, number(n))
		}
		return ids
	}
	var asked int
	r := open(t, Options{}, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked++
		fake.Handler().ServeHTTP(w, req)
	}))
	long := "map[130:["
	for n := 130; n > 110; n-- {
		long += fmt.Sprint(n, " ")
	}
	for _, tc := range []struct {
		of, since []frame.ID
		want      string
		asked     int
	}{
		{ids(4), ids(7), "map[4:[4 5 3 7]]", 7},
		{ids(4), ids(5, 3), "map[4:[4 5 3]]", 7},
		{ids(7), ids(7), "map[7:[4 5 3 7]]", 6},
		{ids(4, 5), ids(3), "map[4:[4 5 3] 5:[4 5 3]]", 7},
		{ids(4), ids(9), "map[]", 2},
		{ids(4, 10), ids(9, 5), "map[4:[4 5] 10:[10 9]]", 10},
		{ids(130), ids(101), strings.TrimSpace(long) + "]]", 23},
		{[]frame.ID{frame.Number(frame.ContentID, 4, 32)}, []frame.ID{frame.Number(frame.ContentID, 4, 32)}, "map[]", 0},
	} {
		asked = 0
		versions, err := r.Versions(t.Context(), tc.of, tc.since)
		got := map[uint64][]frame.ID{}
		for id, of := range versions {
			got[id.Number] = of
		}
		if fmt.Sprint(got) != tc.want || err != nil || asked != tc.asked {
			t.Errorf("of %v since %v: %v, %v, in %d requests; want %s in %d", tc.of, tc.since, got, err, asked, tc.want, tc.asked)
		}
	}
	if _, err := r.Versions(t.Context(), ids(77), ids(77)); err == nil || !strings.Contains(err.Error(), "versions of a schema") {
		t.Errorf("an unknown id: %v", err)
	}
}
