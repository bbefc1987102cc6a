package connector

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// TestPoison: a batch that kills the pipeline ends with its table on hold, named, and all
// others delivered whole, whether a pipeline that is started again has its tables or not;
// and with everything delivered when somebody has mended it.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, enterprise := range []bool{false, true} {
		t.Run(fmt.Sprint("enterprise ", enterprise), func(t *testing.T) {
			t.Parallel()
			var mended atomic.Bool
			s := newStream(t, pipeline.Options{Enterprise: enterprise, Lag: 200 * time.Millisecond, Revive: 100 * time.Millisecond,
				Panic: func(_ string, row []any) bool { return row[1] == "hunter2" && !mended.Load() }})
			c, stop := s.run(s.options(!enterprise, enterprise))
			s.insert("shop.public.a", 0, 50)
			s.insert("shop.public.b", 0, 50)
			s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a")+s.lag("shop.public.b") == 0 })
			s.put("shop.public.a", "u", 7, "hunter2")
			for i := range int64(20) {
				s.put("shop.public.b", "u", i, "later")
			}
			s.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
			h := c.Status().Holds[0]
			if h.Table != "public_a" || strings.Contains(h.Reason+h.Remedy, "hunter2") {
				t.Errorf("on hold is %+v", h)
			}
			for _, want := range []string{"table public_a has killed the pipeline", " rows, of shop.public.a/", "program"} {
				if !strings.Contains(h.Reason, want) {
					t.Errorf("it does not say %q: %s", want, h.Reason)
				}
			}
			s.insert("shop.public.b", 50, 50)
			s.eventually("the other table goes on", func() bool {
				return s.lag("shop.public.b") == 0 && len(s.pipe.Rows("shop", "public_b")) == 100
			})
			if s.lag("shop.public.a") == 0 {
				t.Error("the offsets of the table on hold are committed")
			}
			stop()
			mended.Store(true)
			s.run(s.options(!enterprise, enterprise))
			s.eventually("mended", func() bool { return s.equal() && s.lag("shop.public.a")+s.lag("shop.public.b") == 0 })
		})
	}
}
