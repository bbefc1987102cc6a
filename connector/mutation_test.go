package connector

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mutant is the program without a guard: old in file is replaced by new, whereupon test
// must fail and say so. One of another package has that one's directory before its name.
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
	// All of them take minutes; unless they are asked for, every sixteenth stands for them.
	all := strings.Contains(flag.Lookup("test.run").Value.String(), "Mutation")
	slots := make(chan struct{}, 5) // they wait more than they work
	for i, m := range []mutant{
		{"commit what is not DONE", "ledger.go",
			"offset = min(offset, have.first) // I1", "_ = have",
			"TestCommitAfterDone", "committed before DONE"},
		{"release at sealing", "lanes.go",
			"	c.metrics.sealed(b.Reason.String())", "	c.metrics.sealed(b.Reason.String())\n	c.ledger.Done(Holder(b.ID), Delivered)\n	c.commits.urgent = true",
			"TestCommitAfterDone", "committed before DONE"},
		{"pass a bad record", "hold.go",
			"	c.ledger.Hold(p.Partition, b.rec.Offset, c.holdTable(h.Table, h))", "	c.holdTable(h.Table, h)\n	c.ledger.Advance(p.Partition, b.rec.Offset+1)",
			"TestTableWithoutKeyHolds", "was passed"},
		{"put aside what ails a whole table", "decoding.go",
			"if bad.err.OfTable || !", "if !",
			"TestFaultIsNotPutAside", "held: not after"},
		{"commit rows that were dropped at a rebalance", "revoke.go",
			"			c.ledger.Rewind(p, first)\n			continue", "			continue",
			"TestOpenBatchIsDropped", "each member has its own rows: not after"},
		{"go on with a batch after one that was dropped", "revoke.go",
			"	for _, b := range slices.Clone(c.batcher.Of(w.lane.table)) {", "	for _, b := range slices.Clone(c.batcher.Of(\"\")) {",
			"TestLaterBatchGoesToo", "all arrives: not after"},
		{"give partitions up while their job runs", "revoke.go",
			"	if !overdue {\n		for", "	if false {\n		for",
			"TestRunningJobIsWaitedFor", "while its job was running"},
		{"delete a job before its commit", "lanes.go",
			"	c.ledger.Done(w.holder, Delivered) // I1", "	c.discard(w)\n	c.ledger.Done(w.holder, Delivered) // I1",
			"TestCommitRefused", "passed for committed"},
		{"pass a dead letter that is not written", "deadletter.go",
			"	c.ledger.Hold(p.Partition, at, id)\n	c.ledger.Took(p.Partition, id, 1, 0)", "	c.ledger.Count(p.Partition, DeadLettered, 1)",
			"TestDeadLetterHoldsItsOffset", "behind an unwritten dead letter"},
		{"read what was taken back", "kafka/client.go",
			"kgo.ReadCommitted()", "kgo.ReadUncommitted()",
			"TestAbortedTransaction", "want the committed row only"},
		{"go on as before after being thrown out", "kafka/member.go",
			"!successor {", "!successor && false {",
			"TestThrownOut", "the group went back"},
		{"stay a member when all is lost", "revoke.go",
			"c.joined = false", "",
			"TestMembership", "neither is: not after"},
		{"send a batch that does not balance", "lanes.go",
			"if err := w.balance(chunks); err != nil {", "if err := w.balance(chunks); err != nil && false {",
			"TestBatchThatDoesNotBalance", "held: not after"},
		{"pass a hole unasked", "decoding.go",
			"			c.doubt(p, d.holes)", "			c.doubt(p, d.holes)\n			c.ledger.Explain(p.Partition, c.nextHolder, 0)",
			"TestHoleIsNotPassedUnasked", "is committed: not after"},
		{"take what is withheld for compacted", "kafka/holes.go",
			"lost += within(recs, h)", "_ = within(recs, h)",
			"TestWithheldRecord", "held: not after"},
		{"commit a partition that does not balance", "commits.go",
			"|| p.unbalanced", "",
			"TestPartitionThatDoesNotBalance", "may be committed"},
		{"replace a job before all its rows are there", "lanes.go",
			" && !c.covering(table)", "",
			"TestAdopt", "back to"},
		{"let a batch show what a later one replaces", "decoding.go",
			"c.batcher.Cover(rows.Table, c.lacks(p, rows.Table))", "",
			"TestCoverAcrossColumns", "back to"},
		{"forget a job that was noted", "locate.go",
			"			if e.Job != \"\" {", "			if e.Job != \"\" && false {",
			"TestDoneIsNotSentAgain", "2 jobs submitted"},
		{"execute a job that is not noted yet", "intents.go",
			"		if !c.acknowledged(b) {", "		if !b.admitted {",
			"TestAnswerLost", "before it was noted"},
		{"forget a mark", "lanes.go",
			"c.parts[p].entries[l.table] = intent.Entry{Mark: end}", "delete(c.parts[p].entries, l.table); _, _ = intent.Entry{}, end",
			"TestMarkOutlivesACrash", "the mark: not after"},
		{"part from a job that runs as if it were nobody's", "revoke.go",
			"if !noted || lost {", "if _ = noted; true {",
			"TestHandedOver", "jobs submitted for one batch"},
		{"overwrite what others wrote", "locate.go",
			"	case err != nil:\n		return hold(", "	case err != nil && false:\n		return hold(",
			"TestForeignMetadata", "overwritten"},
		{"take a topic made anew for the old one", "locate.go",
			"meta.Topic != at.TopicID:", "false:",
			"TestForeignMetadata", "made anew"},
		{"forget which topic was read", "locate.go",
			"was != \"\" && id != \"\" && was != id", "was != was",
			"TestTopicComesBack", "stopped false"},
		{"begin again where an offset has expired", "locate.go",
			"m.Partitions > p.ID {", "false {",
			"TestOffsetExpired", "want one of"},
		{"begin again where all offsets have expired", "locate.go",
			"at.NewGroup && c.opt.HoldNewGroup", "false",
			"TestAllOffsetsExpired", "the hold says"},
		{"begin again where a topic was made anew", "locate.go",
			"c.opt.HoldNewGroup && len(at.Committed) == 0", "false",
			"TestTopicOffsetsGone", "it is held: not after"},
		{"pass over what others have not read", "revoke.go",
			"		if c.ledger.Next(p) <= at {\n			continue", "		if false {\n			continue",
			"TestReplayBesideOthers", "lag zero: not after"},
		{"delete a job that lost offsets name", "commits.go",
			"			if c.parts[p] == nil {\n				given = true", "			if c.parts[p] == nil {\n				given = given || false",
			"TestLostOffsetsKeepTheirJob", "jobs deleted"},
		{"note a job partition by partition", "intents.go",
			" || !c.certain(b):", ":",
			"TestEntriesGoTogether", "the first commit that names a job"},
		{"execute a job before it is noted, under faults", "intents.go",
			"		if !c.acknowledged(b) {", "		if !b.admitted {",
			"TestSimulation", "--- FAIL: TestSimulation/seed_"},
		{"replace a job before all its rows are there, under faults", "lanes.go",
			" && !c.covering(table)", "",
			"TestSimulation", "--- FAIL: TestSimulation/seed_"},
		{"forget a job that was noted, under faults", "locate.go",
			"			if e.Job != \"\" {", "			if e.Job != \"\" && false {",
			"TestSimulation", "--- FAIL: TestSimulation/seed_"},
		{"give a job away that nobody finds", "revoke.go",
			"!(gone[p] && c.parts[p].plain)", "c.parts[p] == c.parts[p]",
			"TestUnnotedJobIsNotGivenAway", "abandoned false"},
		{"wait for records that are not there any more", "intents.go",
			"		if !lacks || p.busy", "		if true || !lacks || p.busy",
			"TestProbe", "the totals: not after"},
		{"adopt a job without its token", "intents.go",
			"Token: e.Token, Table: table", "Table: table",
			"TestTokenOutlivesItsProcess/appends_false", "rows were posted for 50 changes"},
		{"note a job without room", "intents.go",
			"		return false\n	}\n	return true", "		return true\n	}\n	return true",
			"TestNoRoomNoJob", "bytes were committed"},
		{"read all ranges again at once", "lanes.go",
			"w.lost != nil && !c.room(w.size)", "false",
			"TestReplaysTakeTurns", "at once, want 1"},
		{"send rows without a key a second time", "../push/pusher.go",
			"	if !d.Once {", "	if true {",
			"TestAppendHolds", "held: not after"},
		{"go on with a batch of which partitions were given away", "revoke.go",
			"		c.refuse(w)\n", "",
			"TestGivenBatchEndsWithItsJob", "is noted beside"},
		{"make a job again of which partitions were given away", "intents.go",
			"	case b.work.given:", "	case false:",
			"TestHandedOver", "changes were sent by both"},
		{"commit rows that were dropped at a rebalance, under faults", "revoke.go",
			"			c.ledger.Rewind(p, first)\n			continue", "			continue",
			"TestSimulation", "--- FAIL: TestSimulation/seed_"},
		{"commit what is not DONE, under faults", "ledger.go",
			"offset = min(offset, have.first) // I1", "_ = have",
			"TestSimulation", "--- FAIL: TestSimulation/seed_"},
		{"go on as before after being thrown out, under faults", "kafka/member.go",
			"!successor {", "!successor && false {",
			"TestSimulation", " commits, and it is "},
		{"send again what the target has refused", "decoding.go",
			"			case bad != nil:\n				err = bad", "			case false:\n				err = bad",
			"TestRefusedRows", "and the totals: not after"},
		{"put aside what stands at the same offset elsewhere", "refused.go",
			"row.Record.Source != p.source || ", "",
			"TestRefusedRows", "and the totals: not after"},
		{"put aside a second time", "decoding.go",
			"			if again {", "			if again && false {",
			"TestRefusedInLaterArray", "and the totals: not after"},
		{"fetch without a limit", "connector.go",
			"c.paused() || ", "",
			"TestMemoryLimit", "and a fetch"},
		{"commit as the member that it was", "kafka/commit.go",
			"		return c.member.check(req) // I2", "		return nil",
			"kafka TestCommitOfAnotherMembership", "commits were sent"},
		{"commit by topic id as the member that it was", "kafka/commit.go",
			"	err := c.member.check(req) // I2", "	var err error",
			"kafka TestCommitOfAnotherMembership", "commits were sent"},
		{"take the refusal of a repetition for one of the first", "kafka/commit.go",
			"(sent > 1 || !refusal(err))", "!refusal(err)",
			"kafka TestRefusalOfARepetition", "in doubt: false"},
		{"give a partition away that is claimed", "kafka/affine.go",
			"free || ok && m == to", "true || free || ok && m == to",
			"kafka TestShare", "reads it"},
		{"commit something else after a doubt", "commits.go",
			"c.commits.doubt[id]; ok {", "c.commits.doubt[id]; ok && false {",
			"TestDoubtIsSentAgain", "after a doubt"},
		{"commit an offset before the last one", "commits.go",
			"max(at, have.at)", "at",
			"TestOffsetsDoNotGoBack", "goes back"},
		{"book an answer on a partition that came back", "commits.go",
			"p.source != n.from {", "false {",
			"TestAnswerOfAnEarlierAssignment", "want 9"},
		{"execute what is noted in part", "intents.go",
			"w.delivery.Half = noted < e.Of", "_ = noted",
			"TestAdopt/NEW,_noted_in_part", "changes were sent"},
		{"execute what others know nothing of", "../push/pusher.go",
			"	case d.Half:", "	case false:",
			"../push TestAdoptedHalf", "1 executions"},
		{"start a batch before what was adopted", "lanes.go",
			" && len(l.adopted) == 0", "",
			"TestAdoptedGoesFirst", "before what was adopted"},
		{"begin where records were deleted", "locate.go",
			"has && committed.At < at.Start:", "false:",
			"TestCommittedOffsetGone", "the hold says"},
		{"read what others of the table's partitions may hold up", "kafka/locate.go",
			"failed[bundleOf(p.Topic, c.opt.TableOf)]; err != nil {", "failed[bundleOf(p.Topic, c.opt.TableOf)]; err != nil && located[p].TopicID == \"\" {",
			"TestPartitionWithoutLeader", "rows of a table of which"},
		{"leave a group that does not answer", "kafka/consumer.go",
			"defer time.AfterFunc(leaveTimeout, c.end).Stop()", "",
			"TestInVirtualTime/stop_without_brokers", "it stopped after"},
		{"give up a partition of which a commit is under way", "revoke.go",
			"	case c.commits.busy: //", "	case false: //",
			"TestRevokeWaitsForItsCommits", "was given up: true"},
		{"give up a partition of which a commit is in doubt", "revoke.go",
			"	case doubt && !c.commits.fenced:", "	case false:",
			"TestRevokeWaitsForItsCommits", "was given up: true"},
		{"give up a partition of a job that is noted in doubt elsewhere", "revoke.go",
			"c.touches(b.work.holder, gone) && !c.certain(b)", "c.touches(b.work.holder, gone) && false",
			"TestRevokeWaitsForItsCommits", "was given up: true"},
		{"leave the job of a held table under way", "lanes.go",
			"		c.forgetJob(w)\n", "",
			"TestHeldJobIsForgotten", "forgotten: []"},
		{"execute a job that is said to be noted beside more", "intents.go",
			" || e.Of != b.of", "",
			"TestNotedBesideFewer", "said to be noted beside three"},
		{"start a job while partitions are given up", "lanes.go",
			"c.revoking != nil || c.now.Before(c.blocked.until)", "c.now.Before(c.blocked.until)",
			"TestNothingStartsInARevocation", "started during a revocation"},
		{"note a job while a commit is under way", "intents.go",
			"b.admitted || c.commits.busy || ", "b.admitted || ",
			"TestBindWaitsForTheCommitUnderWay", "is noted though"},
		{"delete a job that was given away", "commits.go",
			"w.given || w.adopted", "w.adopted",
			"TestJobThatOthersMayFindStays", "given away in part: 1 jobs deleted"},
		{"delete a job that was adopted", "commits.go",
			"w.given || w.adopted", "w.given",
			"TestJobThatOthersMayFindStays", "adopted: 1 jobs deleted"},
		{"go on after a generation that was missed", "kafka/member.go",
			"		w.missed = true\n", "",
			"kafka TestMissedGeneration", "joined from generation"},
		{"submit after a confirmation has lapsed", "../push/pusher.go",
			"context.WithDeadline(ctx, until)", "context.WithDeadline(ctx, until.Add(time.Hour))",
			"../push TestConfirm", "submitted after the confirmation"},
		{"execute beside jobs that nobody knows", "intents.go",
			"		if c.unsettled(b) {", "		if false {",
			"TestUnnotedJobOfAnother", "what was on its way is answered"},
		{"take a part for the batch", "../push/pusher.go",
			"			if d.partial {", "			if false {",
			"../push TestAdoptedPart", "delivers its batch"},
		{"submit unconfirmed", "../push/pusher.go",
			"		if d.Confirm != nil {", "		if false {",
			"../push TestConfirm", "asked 0 times"},
		{"believe a 404 though the job is listed", "../push/celonis/sink.go",
			"	if slices.ContainsFunc(listed, ", "	if false && slices.ContainsFunc(listed, ",
			"../push/celonis TestEveryFault", "jobs submitted, want 2"},
		{"believe a 404 without a DELETE", "../push/celonis/sink.go",
			"s.remove(ctx, t.ID); err != nil {", "s.remove(ctx, t.ID); false {",
			"../push/celonis TestGone", "no answer to DELETE"},
		{"execute a job of which an upload is open", "../push/celonis/sink.go",
			"		if push.End(span, err); err != nil {\n			return err\n		}\n		want[", "		push.End(span, err)\n		want[",
			"../push/celonis TestUploadLost", "jobs made, 1 submitted"},
		{"send a job to a target that has forgotten what was before it", "memory.go",
			"	c.giveUp(gone, true)\n	c.opt.Memory.Accept(state)", "	c.opt.Memory.Accept(state)\n	c.giveUp(gone, true)",
			"TestTargetForgetsAJob", "rows were sent"},
		{"commit without the name of the target's state", "plain.go",
			"	case c.opt.Memory != nil: //", "	case false: //",
			"TestRewindNotTaken", "is committed beside"},
		{"make nothing again that was not sent", "../push/pusher.go",
			"case Rejected, Restarted:", "case Rejected:",
			"../push TestRestartedBefore", "after it was made 1 times"},
		{"take a job that was not sent for void", "../push/feldera/sink.go",
			"p.program != j.program && j.begun:", "p.program != j.program:",
			"../push/feldera TestAppendedToAnotherProgram", "0 requests were posted, and it ends"},
		{"do not settle a table that comes back", "../push/feldera/sink.go",
			"j.Settle && l.asked != asked {", "false {",
			"../push/feldera TestTakenBackUnknown", "it has \"b\""},
		{"go on after a request of which nobody knows", "../push/feldera/sink.go",
			"				j.begun, j.torn = true, true\n				j.lane.unsettle()", "				j.begun, j.torn = true, true",
			"../push/feldera TestGhost", "readers saw"},
		{"settle beside what the pipeline has not read", "../push/feldera/lane.go",
			"		if err := s.calm(ctx, l); err != nil {", "		if err := ctx.Err(); err != nil {",
			"../push/feldera TestBacklog", "it has"},
		{"let a request overtake another", "../push/feldera/sink.go",
			"l.last != \"\" && !p.ordered {", "false {",
			"../push/feldera TestOvertaking", "it has"},
		{"post what was given up", "../push/feldera/suspects.go",
			"	case s.jobs[j.lane.ticket] != j:", "	case false:",
			"../push/feldera TestGivenUpMeanwhile", "it ends with"},
		{"send beside a suspect", "../push/feldera/suspects.go",
			"	case s.lives.alone != nil && s.lives.alone != j:", "	case false:",
			"../push/feldera TestSuspects", "under way beside a suspect"},
		{"send a suspect beside others", "../push/feldera/suspects.go",
			"			if other.flight {", "			if false {",
			"../push/feldera TestWholeUnnoticed", "a suspect beside what is under way"},
		{"end what is under way elsewhere by one void token", "../push/feldera/lives.go",
			"		s.fell(j, told)", "		s.over(told)",
			"../push/feldera TestWholeUnnoticed", "a suspect beside what is under way"},
		{"take any restart for a crash where deployments have no names", "../push/feldera/lives.go",
			"		told = s.lives.now != \"\"", "		told = true",
			"../push/feldera TestOrderlyRestarts", "table t has killed the pipeline"},
		{"never let a suspect pass", "../push/feldera/sink.go",
			"		s.passed(j)", "",
			"../push/feldera TestSuspectUntil", "beside t from"},
		{"do not believe that a token is valid", "../push/feldera/sink.go",
			"			s.renew(j)", "",
			"../push/feldera TestBegunUnnoticed", "it does not go on"},
		{"send the rest to another life of the pipeline", "../push/feldera/suspects.go",
			"	case j.first != \"\" && j.life != s.lives.n:", "	case false:",
			"../push/feldera TestBegunUnnoticed", "it goes on, and nobody has asked"},
	} {
		if !all && i%16 != 0 {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			seed, fault := m.run()
			if fault != "" {
				t.Fatal(fault)
			}
			t.Logf("%s → %s%s, in %v", m.name, m.test, seed, time.Since(began).Round(time.Second))
		})
	}
}

var failedSeed = regexp.MustCompile(`--- FAIL: TestSimulation/seed_(\d+)`)

// run builds the mutant and returns what is wrong with how it fails, "" if nothing is,
// and which seed of a simulation it took.
func (m mutant) run() (seed, fault string) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		return seed, err.Error()
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return seed, err.Error()
	}
	if n := strings.Count(string(text), m.old); n != 1 {
		return seed, fmt.Sprintf("the guard stands %d times in %s; it was moved: point this test at it", n, m.file)
	}
	dir, err := os.MkdirTemp("", "sluice-mutant")
	if err != nil {
		return seed, err.Error()
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, filepath.Base(m.file))
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
		return seed, err.Error()
	}
	overlay, _ := json.Marshal(map[string]any{"Replace": map[string]string{path: file}})
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return seed, err.Error()
	}
	where, test, other := strings.Cut(m.test, " ")
	if !other {
		where, test = ".", m.test
	}
	args := []string{"test", "-count=1", "-timeout=4m", "-overlay", filepath.Join(dir, "overlay.json"), "-run", "^" + test + "$"}
	switch {
	case m.test == "TestSimulation":
		args = append(args, "-tags", "synctests", ".", "-args", "-seeds=150")
	case strings.HasPrefix(m.test, "TestInVirtualTime/"):
		args = append(args, "-tags", "synctests", ".")
	default:
		args = append(args, "./"+where)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "SLUICE_MUTANT=1")
	out, err := cmd.CombinedOutput()
	if found := failedSeed.FindSubmatch(out); found != nil {
		seed = " of seed " + string(found[1])
	}
	if err == nil {
		return seed, m.test + " passes without the guard"
	}
	if !strings.Contains(string(out), m.says) {
		return seed, fmt.Sprintf("%s failed for another reason:\n%s", m.test, out)
	}
	return seed, ""
}
