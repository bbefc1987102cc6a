package connector

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

var (
	seeds    = flag.Int("seeds", 8, "how many schedules TestSimulation tries")
	oneSeed  = flag.Int64("seed", -1, "the one schedule that TestSimulation tries")
	oneFault = flag.String("script", "", "a file with the faults of -seed, as a failure prints them")
)

// TestSimulation runs the whole connector, with kfake and the emulator, in virtual time
// under schedules of faults: processes that crash between any two calls, freeze, stop and
// come back, commits that are lost, refused, or refused in part, a group that throws members out, brokers that answer
// in errors, or take less metadata than they are said to, an API that fails in every way that the emulator
// knows; records that cannot be decoded, transactions that are taken back, compaction.
// After each: every table equals what its source holds, no reader saw a row go back (I8),
// nothing was committed before it was delivered (I1), no commit went back or was of a
// partition that another owned, and no job was executed by a process whose membership was
// not confirmed (I2), what was DONE was not sent again, every bad record is in the
// dead-letter topic, and every record is accounted for (I7).
//
// Every third schedule has a pipeline as its target.
func TestSimulation(t *testing.T) {
	if os.Getenv("SLUICE_MUTANT") != "" && *seeds <= 10 {
		t.Skip("inside a mutant that is for another test")
	}
	t.Parallel()
	if inVirtualTime(t, fmt.Sprintf("-seeds=%d", *seeds), fmt.Sprintf("-seed=%d", *oneSeed), "-script="+*oneFault) {
		simulate(t)
	}
}

func simulate(t *testing.T) {
	var caught atomic.Bool
	mutant := os.Getenv("SLUICE_MUTANT") != ""
	try := func(seed int64) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			if seed != *oneSeed {
				t.Parallel()
			}
			if caught.Load() {
				t.Skip("a mutant has been caught")
			}
			defer func() {
				if t.Failed() && mutant {
					caught.Store(true)
				}
			}()
			s := newScenario(seed)
			// The mutants are of what is there with any target, and jobs show it.
			if seed%3 == 2 && !mutant {
				s = newPipelineScenario(seed)
			}
			if *oneFault != "" {
				text, err := os.ReadFile(*oneFault)
				if err != nil {
					t.Fatal(err)
				}
				if s.script, err = parseScript(string(text)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Test(t, func(t *testing.T) { s.run(t) })
		})
	}
	if *oneSeed >= 0 {
		try(*oneSeed)
	}
	for seed := range int64(*seeds) {
		if (*oneSeed < 0 || mutant) && seed != *oneSeed && !caught.Load() {
			try(seed)
		}
	}
}

// TestScriptOfAFailure: what a failure prints as its faults says them all when it is read.
func TestScriptOfAFailure(t *testing.T) {
	for seed := range int64(60) {
		for _, s := range []*scenario{newScenario(seed), newPipelineScenario(seed)} {
			var b strings.Builder
			for _, f := range s.script {
				fmt.Fprintln(&b, f)
			}
			again, err := parseScript(b.String())
			if err != nil || !reflect.DeepEqual(again, s.script) {
				t.Fatalf("seed %d: %v\n%v\nis read as\n%v", seed, err, s.script, again)
			}
		}
	}
}
