package connector

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutation takes one guard out of the program at a time and requires the test
// that watches it to fail, and for that reason: a test that cannot fail proves
// nothing.
func TestMutation(t *testing.T) {
	if os.Getenv("SLUICE_MUTANT") != "" {
		t.Skip("inside a mutant")
	}
	for _, m := range []struct {
		name, file, old, new string
		test, says           string
	}{
		{"commit what is not DONE", "ledger.go",
			"offset = min(offset, first) // I1", "_ = first",
			"TestCommitAfterDone", "committed before DONE"},
		{"release at sealing", "lanes.go",
			"	c.metrics.sealed(b.Reason.String())", "	c.metrics.sealed(b.Reason.String())\n	c.ledger.Done(Holder(b.ID))\n	c.commits.urgent = true",
			"TestCommitAfterDone", "committed before DONE"},
		{"pass a bad record", "hold.go",
			"	c.ledger.Hold(p.Partition, b.rec.Offset, c.holdTable(h.Table, h))", "	c.holdTable(h.Table, h)\n	c.ledger.Advance(p.Partition, b.rec.Offset+1)",
			"TestTableWithoutKeyHolds", "was passed"},
		{"put aside what ails a whole table", "assignment.go",
			"if bad.err.OfTable || !", "if !",
			"TestFaultIsNotPutAside", "held: not after"},
		{"commit rows that were dropped at a rebalance", "revoke.go",
			"			c.ledger.Rewind(p, first)\n			continue", "			continue",
			"TestOpenBatchIsDropped", "each member has its own rows: not after"},
		{"give partitions up while their job runs", "revoke.go",
			"	if !overdue {\n		for", "	if false {\n		for",
			"TestRunningJobIsWaitedFor", "lag zero: not after"},
		{"no last commit before partitions go", "revoke.go",
			"case !r.committed && !overdue:", "case false:",
			"TestRunningJobIsWaitedFor", "lag zero: not after"},
		{"delete a job before its commit", "lanes.go",
			"	c.ledger.Done(Holder(w.batch.ID)) // I1", "	c.discard(w.delivery.Tickets())\n	c.ledger.Done(Holder(w.batch.ID)) // I1",
			"TestCommitRefused", "passed for committed"},
		{"pass a dead letter that is not written", "deadletter.go",
			"	c.ledger.Hold(p.Partition, at, id)", "",
			"TestDeadLetterHoldsItsOffset", "behind an unwritten dead letter"},
		{"read what was taken back", "kafka/client.go",
			"kgo.ReadCommitted()", "kgo.ReadUncommitted()",
			"TestAbortedTransaction", "want the committed row only"},
		{"go on as before after being thrown out", "kafka/member.go",
			"!successor {", "!successor && false {",
			"TestThrownOut", "the group went back"},
		{"send a batch that does not balance", "lanes.go",
			"if err := w.balance(chunks); err != nil {", "if err := w.balance(chunks); err != nil && false {",
			"TestBatchThatDoesNotBalance", "held: not after"},
		{"fetch without a limit", "connector.go",
			"c.full() || ", "",
			"TestMemoryLimit", "and a fetch"},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			path, err := filepath.Abs(m.file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), m.old); n != 1 {
				t.Fatalf("the guard stands %d times in %s; it was moved: point this test at it", n, m.file)
			}
			dir := t.TempDir()
			mutant := filepath.Join(dir, filepath.Base(m.file))
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{path: mutant}})
			if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command("go", "test", "-count=1", "-overlay", filepath.Join(dir, "overlay.json"), "-run", "^"+m.test+"$", ".")
			cmd.Env = append(os.Environ(), "SLUICE_MUTANT=1")
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("%s passes without the guard", m.test)
			}
			if !strings.Contains(string(out), m.says) {
				t.Fatalf("%s failed for another reason:\n%s", m.test, out)
			}
		})
	}
}
