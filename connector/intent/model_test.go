package intent

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// The protocol as a model of explicit states: every order in which two members, the
// group, the target and the faults can act, within the bounds of a world, is tried. Each
// table has one row in each partition, and each record is that row's next version, so
// that what a reader sees is one number.

// Rules that can be taken away one at a time; each must be missed.
const (
	ruleIntent = iota
	ruleDoubt
	ruleAll
	ruleKeep
	ruleHalf
	ruleIdentity
	ruleCover
	ruleBinds
	ruleRest
	ruleAdopt
	ruleParts
	ruleMark
	ruleBeside
	ruleDelete
	ruleGone
	ruleOwner
	ruleConflict
	ruleCount
)

// rules are told with the smallest world that shows what they are for. That the entries of a
// job go out in one commit is none of them: ruleHalf covers what a part of them leaves.
var rules = [ruleCount]struct{ name, world string }{
	ruleIntent:   {"a job is executed only when its intent is acknowledged", "one table, one partition"},
	ruleDoubt:    {"an intent whose answer is lost binds", "one table over two members"},
	ruleAll:      {"an intent in doubt beside one partition holds all of its job's", "one table over two members"},
	ruleKeep:     {"a refused commit is no reason to delete a job", "one table, one partition"},
	ruleHalf:     {"a job that is NEW and noted beside a part of its partitions is deleted", "one table over two partitions"},
	ruleIdentity: {"a commit is held against the membership under which partitions are owned", "one table, one partition"},
	ruleCover:    {"a replay has all rows up to the intent's end", "one table, one partition"},
	ruleBinds:    {"a job that was given away with partitions is not made again from its batch", "one table over two members"},
	ruleRest:     {"of a batch that was given away in part no further job is made", "a batch of two jobs over two members"},
	ruleAdopt:    {"a job that is found noted ends before another is made", "one table, one partition"},
	ruleParts:    {"only the last part's DONE delivers", "a batch of two jobs"},
	ruleMark:     {"a mark stands beside an offset", "two tables in a partition"},
	ruleBeside:   {"a mark stands also beside a newer intent", "two tables in a partition, one ahead"},
	ruleDelete:   {"a job is deleted only when no metadata names it", "one table, one partition"},
	ruleGone:     {"a job is gone only if a DELETE confirms it", "one table, one partition"},
	ruleOwner:    {"all partitions of a table go to one member, when all are free", "one table over two partitions"},
	ruleConflict: {"where they do not, the target refuses a second job (409)", "one table over two members"},
}

const (
	brokenI1 int8 = iota + 1
	brokenI2
	brokenBack
	brokenI3
	brokenOrder
	brokenI8
	brokenAgain
	brokenCount
)

// invariants are told with a rule without which they break.
var invariants = [brokenCount]struct {
	name string
	rule int
}{
	brokenI1:    {"I1: committed before it was DONE", ruleParts},
	brokenI2:    {"I2: a commit by another than the owner", ruleIdentity},
	brokenBack:  {"I2: an offset went back", ruleIdentity},
	brokenI3:    {"I3: two jobs of a table run at once", ruleOwner},
	brokenOrder: {"I3: a job lands before an earlier one's rows are there", ruleParts},
	brokenI8:    {"I8: a reader saw a row go back", ruleCover},
	brokenAgain: {"a DONE range is sent again", ruleDelete},
}

var deepModel = flag.Bool("deep", false, "explore larger worlds in TestModel")
var modelTable = flag.String("model-table", "", "where TestModel writes its tables, for DESIGN.md, which it is not held against then")

const mostStates = 20_000_000

// TestModel: with all rules no order of events breaks an invariant; without any one of
// them some order does. DESIGN.md tells both.
func TestModel(t *testing.T) {
	explored := worlds
	if *deepModel {
		explored = deepWorlds
	}
	table := make([]string, len(explored)+len(rules))
	var design string
	if *modelTable == "" {
		b, err := os.ReadFile("../DESIGN.md")
		if err != nil {
			t.Fatal(err)
		}
		design = string(b)
	}
	told := func(t *testing.T, row string) {
		if design != "" && !strings.Contains(design, "\n"+row) {
			t.Errorf("DESIGN.md does not say:\n%s", row)
		}
	}
	t.Run("all", func(t *testing.T) {
		for i, w := range explored {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				w.without = -1
				began := time.Now()
				r := w.explore(mostStates)
				took := time.Since(began).Round(10 * time.Millisecond)
				t.Logf("%d states in %v", r.states, took)
				if r.broken != 0 {
					t.Fatalf("%s:\n  %s", invariants[r.broken].name, strings.Join(r.trace, "\n  "))
				}
				if !r.whole {
					t.Errorf("more than %d states", mostStates)
				}
				for kind := range kinds {
					if w.must(kind) && !r.reached[kind] {
						t.Errorf("it never comes to this: %s", kindName(kind))
					}
				}
				row := fmt.Sprintf("| %s | %d | %d | %d |", w.name, w.faults, w.moves, r.states)
				if table[i] = row + fmt.Sprintf(" %v |", took); !*deepModel {
					told(t, row)
				}
			})
		}
		for rule := range rules {
			t.Run("without "+rules[rule].name, func(t *testing.T) {
				t.Parallel()
				r := without(rule, 0)
				if r.broken == 0 {
					t.Fatal("nothing breaks")
				}
				row := fmt.Sprintf("| %s | %s | %s: %s |", rules[rule].name, invariants[r.broken].name, rules[rule].world, strings.Join(r.trace, "; "))
				table[len(explored)+rule] = row
				told(t, row)
			})
		}
	})
	if *modelTable == "" {
		return
	}
	head := func(columns ...string) string {
		return "| " + strings.Join(columns, " | ") + " |\n|" + strings.Repeat(" --- |", len(columns))
	}
	text := strings.Join(append(append([]string{head("world", "faults", "rebalances", "states", "time")}, table[:len(explored)]...),
		append([]string{"", head("without the rule", "what breaks", "the shortest way there")}, table[len(explored):]...)...), "\n")
	if err := os.WriteFile(*modelTable, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestModelInvariants: each of them is looked at, also those that another one is always
// broken before.
func TestModelInvariants(t *testing.T) {
	for broken, i := range invariants {
		if i.name == "" {
			continue
		}
		if r := without(i.rule, int8(broken)); r.broken != int8(broken) {
			t.Errorf("without the rule %q, this does not break: %s", rules[i.rule].name, i.name)
		}
	}
}

// without explores a rule's world without it.
func without(rule int, only int8) found {
	for _, w := range worlds {
		if w.name == rules[rule].world {
			w.without, w.only = rule, only
			return w.explore(mostStates)
		}
	}
	return found{}
}
