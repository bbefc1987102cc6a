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
//

// Rules that can be taken away one at a time; each must be missed.
const (
	ruleIntent   = iota // a job is executed only when its intent is acknowledged
	ruleDoubt           // an intent whose answer is lost binds
	ruleWhole           // the entries of a job go out in one commit
	ruleIdentity        // a commit is held against the membership under which partitions are owned
	ruleCover           // a replay has all rows up to the intent's end
	ruleBinds           // a job that was given away with partitions is not made again from its batch
	ruleRest            // nor a further job of it made, where it has several
	ruleAdopt           // a job found in the metadata ends before another is made
	ruleParts           // only the last part's DONE delivers
	ruleMark            // marks stand beside offsets, also beside a newer intent
	ruleDelete          // a job is deleted only when no metadata names it
	ruleGone            // a job is gone only if a DELETE confirms it
	rules
)

var ruleNames = [rules]string{"intent before execution", "a lost answer binds", "one commit for all entries of a job", "identity of the assignment", "a replay covers the intent",
	"given away is not made again", "given away is not gone on with", "adopt before anything else", "the last part delivers", "marks", "deletion after the commit", "gone means deleted"}

var brokenNames = [...]string{"", "I1: committed before it was delivered", "I2: an offset went back", "", "I8: a reader saw a row go back", "a DONE range is sent again"}

// breaksIn names the worlds that rules are for which say nothing in a smaller one.
var breaksIn = map[int]string{
	ruleWhole: "one table over two partitions", ruleBinds: "one table over two partitions",
	ruleParts: "a batch of two jobs", ruleRest: "a batch of two jobs over two partitions", ruleMark: "two tables in a partition",
}

var deepModel = flag.Bool("deep", false, "explore larger worlds in TestModel")
var modelTable = flag.String("model-table", "", "where TestModel writes its table, for DESIGN.md")

// TestModel: with all rules no order of events breaks an invariant; without any one of
// them some order does.
func TestModel(t *testing.T) {
	most := 3_000_000
	if *deepModel {
		most = 40_000_000
	}
	var table strings.Builder
	fmt.Fprintln(&table, "| world | states | time |\n| --- | --- | --- |")
	type result struct {
		states int
		trace  []string
		broken string
		whole  bool
		took   time.Duration
	}
	var results []chan result
	for _, w := range worlds(*deepModel) {
		found := make(chan result, 1)
		results = append(results, found)
		go func() {
			w.without = -1
			began := time.Now()
			r := result{}
			r.states, r.trace, r.broken, r.whole = w.explore(most)
			r.took = time.Since(began).Round(10 * time.Millisecond)
			found <- r
		}()
	}
	for i, w := range worlds(*deepModel) {
		r := <-results[i]
		if r.broken != "" {
			t.Errorf("%s: %s:\n  %s", w.name, r.broken, strings.Join(r.trace, "\n  "))
		}
		if !r.whole {
			t.Errorf("%s: more than %d states", w.name, most)
		}
		t.Logf("%s: %d states in %v", w.name, r.states, r.took)
		fmt.Fprintf(&table, "| %s | %d | %v |\n", w.name, r.states, r.took)
	}
	fmt.Fprintln(&table, "\n| without the rule | what breaks | the shortest way there |\n| --- | --- | --- |")
	found := make([]chan string, rules)
	for rule := range rules {
		found[rule] = make(chan string, 1)
		go func() { found[rule] <- shortest(rule, most) }()
	}
	for rule := range rules {
		caught := <-found[rule]
		if caught == "" {
			t.Errorf("nothing breaks without the rule %q", ruleNames[rule])
			continue
		}
		t.Log(caught)
		fmt.Fprintln(&table, caught)
	}
	if *modelTable != "" {
		if err := os.WriteFile(*modelTable, []byte(table.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// shortest returns how the model breaks without a rule, as a row of the table, "" if it
// does not.
func shortest(rule, most int) string {
	for _, w := range worlds(false) {
		if only, ok := breaksIn[rule]; ok && w.name != only {
			continue
		}
		w.without = rule
		if _, trace, broken, _ := w.explore(most); broken != "" {
			return fmt.Sprintf("| %s | %s | %s: %s |", ruleNames[rule], broken, w.name, strings.Join(trace, "; "))
		}
	}
	return ""
}
