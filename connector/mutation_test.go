package connector

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// mutant is the program without a guard: old in file is replaced by new, whereupon test
// must fail and say so. One of another package has that one's directory before its name.
// Of TestSimulation's schedules it is any; the one that it names is tried first, for it was
// that one the last time.
type mutant struct {
	name, file, old, new string
	test, says           string
}

// TestMutation takes one guard out of the program at a time and requires the test
// that watches it to fail, and for that reason: a test that cannot fail proves
// nothing.
func TestMutation(t *testing.T) {
	if os.Getenv("SLUICE_MUTANT") != "" {
		t.Skip("inside a mutant")
	}
	if builtWith("-race") == "true" {
		t.Skip("mutants are built without the race detector: they would do the same again")
	}
	t.Parallel()
	// All of them take minutes; unless they are asked for, every sixteenth stands for them, not
	// counted from the first: so the one of TestSimulation is one that a schedule takes each time.
	all := strings.Contains(flag.Lookup("test.run").Value.String(), "Mutation")
	p := mutated{overlay: filepath.Join(t.TempDir(), "overlay.json")}
	if err := writeOverlay(p.overlay, mutants); err != nil {
		t.Fatal(err)
	}
	slots := make(chan struct{}, 8) // they wait more than they work
	for i, m := range mutants {
		if !all && i%16 != 12 {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			taken, fault := p.run(m)
			if fault != "" {
				t.Fatal(fault)
			}
			t.Logf("%s → %s%s, in %v", m.name, m.test, taken, time.Since(began).Round(time.Second))
		})
	}
}

// mutated is the program with its overlay of mutants.
type mutated struct {
	overlay string
	tests   sync.Map // directory and tags → what builds its tests, once
}

// build returns the tests of a package, with all mutants in them.
func (p *mutated) build(dir, tags string) (string, error) {
	once, _ := p.tests.LoadOrStore(dir+" "+tags, sync.OnceValues(func() (string, error) {
		path := fmt.Sprintf("%s.%s.%s.test", strings.TrimSuffix(p.overlay, ".json"), strings.ReplaceAll(dir, "/", "."), tags)
		return path, buildTests(path, dir, "-tags", tags, "-overlay", p.overlay)
	}))
	return once.(func() (string, error))()
}

var ranSeed = regexp.MustCompile(`--- (PASS|FAIL): TestSimulation/seed_(\d+)`)

// tries says which seed of a simulation has failed first, and after how many schedules, those
// included that were under way beside it; "" if none has.
func tries(out []byte) string {
	ran := ranSeed.FindAllSubmatch(out, -1)
	for _, r := range ran {
		if string(r[1]) == "FAIL" {
			return fmt.Sprintf(", by seed %s, schedules until then: %d", r[2], len(ran))
		}
	}
	return ""
}

// run returns what is wrong with how the mutant fails, "" if nothing is, and what of a
// simulation it took.
func (p *mutated) run(m mutant) (taken, fault string) {
	dir, test, other := strings.Cut(m.test, " ")
	if !other {
		dir, test = ".", m.test
	}
	args, tags := []string{"-test.timeout=4m", "-test.run=^" + test + "$"}, ""
	if name, seed, ok := strings.Cut(test, "/seed_"); ok {
		args, tags = append(args[:1], "-test.run=^"+name+"$", "-seed="+seed, "-seeds=150", "-test.v"), "synctests"
	} else if strings.HasPrefix(test, "TestInVirtualTime/") {
		tags = "synctests"
	}
	path, err := p.build(dir, tags)
	if err != nil {
		return "", err.Error()
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "SLUICE_MUTANT="+m.name)
	out, err := cmd.CombinedOutput()
	taken = tries(out)
	if err == nil {
		return taken, m.test + " passes without the guard"
	}
	if !strings.Contains(string(out), m.says) {
		return taken, fmt.Sprintf("%s failed for another reason:\n%s", m.test, out)
	}
	return taken, ""
}
