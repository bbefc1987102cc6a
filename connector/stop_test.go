package connector

import (
	"log/slog"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// testStopWithoutBrokers: a stop takes the drain timeout and some seconds at most, also where
// no broker is there any more to commit to and to leave the group at.
func testStopWithoutBrokers(t *testing.T) {
	for _, c := range []struct {
		name   string
		silent bool          // else connections are refused
		delay  time.Duration // of the job under way
	}{
		{"refused, a job runs on", false, time.Hour},
		{"silent, a job runs on", true, time.Hour},
		{"refused, a job ends", false, 3 * time.Second},
		{"silent, a job ends", true, 3 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, emulator.Options{Delay: c.delay}, []string{"shop.public.a"}, func(v *virtual) {
				_, opt, stop := v.run("", slog.DiscardHandler)
				v.put("shop.public.a", 1, "x")
				v.eventually("a job", func() bool { return v.emu.Counts().Submitted == 1 })
				if v.silent.Store(c.silent); !c.silent {
					v.cluster.Close()
				}
				began := time.Now()
				stop()
				if took, most := time.Since(began), opt.DrainTimeout+20*time.Second; took > most {
					v.t.Errorf("it stopped after %v, want %v at most", took, most)
				}
			})
		})
	}
}
