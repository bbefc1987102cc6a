package connector

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// scenario is what a seed stands for: topics and tables, settings, and the faults.
type scenario struct {
	seed       int64
	topics     []simTopic
	tables     []string
	keys       int64
	balancer   kafka.Balancer
	policies   map[string]batcher.Policy
	delay      time.Duration // of a job
	deadline   time.Duration // of a job, after which it is cancelled; 0: none
	requests   int           // that the API takes in a second; 0: any number
	drain      time.Duration
	order      celonis.Order
	deletes    bool // of finished jobs
	static     bool // membership
	metadata   int  // bytes
	broker     int  // bytes that the brokers take beside an offset, where Sluice does not know; 0: enough
	txns       bool // some changes come in transactions, and some of those are taken back
	bad        bool // some records cannot be decoded
	compact    bool // topics are compacted
	log        bool // a table has no key
	pipeline   bool // the target is one
	enterprise bool // of that edition
	memory     int64
	fetch      int32         // bytes at a time
	length     time.Duration // of the faults
	pace       time.Duration // between changes
	script     []fault
}

type simTopic struct {
	name   string
	parts  int32
	tables []string
}

// fault is one line of a script: when, what, and its words.
type fault struct {
	at    time.Duration
	words []string
}

func (f fault) String() string { return fmt.Sprintf("%v %s", f.at, strings.Join(f.words, " ")) }

func parseScript(text string) (script []fault, err error) {
	for _, line := range strings.Split(text, "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		at, err := time.ParseDuration(words[0])
		if err != nil {
			return nil, err
		}
		script = append(script, fault{at, words[1:]})
	}
	return script, nil
}

// apiFaults is what the emulator may be told to do to a call: whatever leaves open what happened,
// and what becomes of jobs. (A job that vanishes after it was DONE must be sent again.)
var apiFaults = func() map[string][]emulator.Fault {
	all := map[string][]emulator.Fault{}
	for op, effect := range map[string]bool{"create": true, "upload": true, "execute": true, "cancel": true, "delete": true, "chunks": false, "get": false, "list": false} {
		all[op] = append(script.All[emulator.Fault](effect), emulator.Slow)
	}
	all["execute"] = append(all["execute"], emulator.JobError, emulator.JobError, emulator.JobCancel, emulator.JobCancel, emulator.Vanish, emulator.Vanish)
	all["get"] = append(all["get"], emulator.Vanish)
	return all
}()

func newScenario(seed int64) *scenario {
	r := rand.New(rand.NewPCG(uint64(seed), 7))
	pick := func(all ...time.Duration) time.Duration { return all[r.IntN(len(all))] }
	policy := func() batcher.Policy {
		return batcher.Policy{MaxRows: 1 + r.IntN(20), MaxBytes: []int64{1 << 20, 1 << 20, 2000, 500}[r.IntN(4)], MaxAge: pick(50*time.Millisecond, 500*time.Millisecond, 3*time.Second)}
	}
	s := &scenario{
		seed: seed, keys: 3 + r.Int64N(12), policies: map[string]batcher.Policy{},
		delay: pick(0, 0, 300*time.Millisecond, 2*time.Second, 8*time.Second), drain: pick(500*time.Millisecond, 2*time.Second, 4*time.Second),
		deletes: r.IntN(3) > 0, static: r.IntN(4) == 0, metadata: []int{4096, 4096, 700}[r.IntN(3)],
		memory: []int64{64 << 20, 64 << 20, 400 << 10}[r.IntN(3)],
		fetch:  []int32{1 << 20, 1 << 20, 300}[r.IntN(3)],
		order:  []celonis.Order{celonis.SingleJob, celonis.SingleJob, celonis.DeletesFirst, celonis.UpsertsFirst}[r.IntN(4)],
		length: time.Duration(10+r.IntN(30)) * time.Second, pace: pick(40*time.Millisecond, 100*time.Millisecond, 400*time.Millisecond),
	}
	s.balancer = []kafka.Balancer{kafka.TopicAffine, kafka.CooperativeSticky}[r.IntN(2)]
	s.broker, s.txns, s.bad = []int{0, 0, 0, 0, 0, 150}[r.IntN(6)], r.IntN(3) == 0, r.IntN(3) == 0
	if s.txns {
		s.fetch = 1 << 20 // kfake does not say what is aborted in a fetch that it cuts short
	}
	parts := 1 + r.Int32N(12)
	for i := range 1 + r.IntN(3) {
		s.tables = append(s.tables, string(rune('a'+i)))
	}
	switch r.IntN(3) {
	case 0: // a topic a table
		for _, t := range s.tables {
			s.topics = append(s.topics, simTopic{"shop.public." + t, parts, []string{t}})
		}
	case 1: // several tables a topic
		s.topics = []simTopic{{"mixed", parts, s.tables}}
	default: // several topics a table
		for i := range 2 {
			for _, t := range s.tables {
				s.topics = append(s.topics, simTopic{fmt.Sprintf("shard%d.public.%s", i, t), parts, []string{t}})
			}
		}
	}
	// Tables that share a topic have the same keys; and kfake takes markers away too early.
	s.compact = s.topics[0].name != "mixed" && !s.txns && r.IntN(3) == 0
	for _, t := range s.tables {
		s.policies["public_"+t] = policy()
	}
	members := 1 + r.IntN(4)
	for m := range members {
		s.add(time.Duration(r.IntN(3000))*time.Millisecond, "start", m)
	}
	for range 4 + r.IntN(16) {
		at := time.Duration(r.Int64N(int64(s.length))).Round(time.Millisecond)
		m := r.IntN(members)
		again := at + time.Duration(r.IntN(12_000))*time.Millisecond
		switch r.IntN(18) {
		case 0:
			s.add(at, "crash", m)
			s.add(again, "start", m)
		case 1, 2:
			ops := []string{"create", "upload", "chunks", "execute", "get", "list", "delete", "cancel", "commit", "commit"}
			s.add(at, "crash-on", m, ops[r.IntN(len(ops))], []string{"before", "after"}[r.IntN(2)], r.IntN(4))
			s.add(again+5*time.Second, "start", m)
		case 3:
			s.add(at, "stop", m)
			s.add(again, "start", m)
		case 4:
			s.add(at, "freeze", m, time.Duration(1000+r.IntN(14_000))*time.Millisecond)
		case 5:
			s.add(at, "kick", m)
		case 6:
			s.add(at, "commit", []string{"lose-before", "lose-after", "refuse", "time-out"}[r.IntN(4)], 1+r.IntN(4))
			if soon := at + time.Duration(r.IntN(1500))*time.Millisecond; r.IntN(2) == 0 {
				if how := []string{"crash", "kick", "stop", "", ""}[r.IntN(5)]; how != "" {
					s.add(soon, how, m)
				} else { // where a job is executed though the commit that names it was lost
					s.add(at, "crash-on", m, "execute", "after", 0)
				}
				s.add(again+5*time.Second, "start", m)
			}
		case 12: // a job fails half applied, and whoever made it is no more, or has lost it
			s.add(at, "api", "execute", emulator.JobError, r.IntN(2), 1)
			if r.IntN(2) == 0 {
				s.add(at, "crash-on", m, "execute", "after", 0)
				s.add(again+5*time.Second, "start", m)
			} else {
				s.add(at+time.Duration(r.IntN(3000))*time.Millisecond, "kick", m)
			}
		case 13: // a job is noted, and its maker gets no further
			s.add(at, "crash-on", m, "commit", "after", r.IntN(8))
			s.add(again+5*time.Second, "start", m)
		case 14:
			s.add(at, "compact", "now")
		case 17:
			t := s.topics[r.IntN(len(s.topics))]
			s.add(at, "refuse-part", t.name, r.Int32N(t.parts), 1+r.IntN(4))
		case 15, 16:
			f := brokerFaults[r.IntN(len(brokerFaults))]
			s.add(at, "broker", kmsg.NameForKey(int16(f.key)), f.says[r.IntN(len(f.says))].Message, 1+r.IntN(6))
		case 7:
			s.add(at, []string{"move-leaders", "move-coordinator"}[r.IntN(2)])
		default:
			ops := []string{"create", "upload", "chunks", "execute", "execute", "execute", "get", "get", "list", "delete"}
			op := ops[r.IntN(len(ops))]
			all := apiFaults[op]
			s.add(at, "api", op, all[r.IntN(len(all))], r.IntN(3), 1+r.IntN(3))
		}
	}
	if r.IntN(4) == 0 { // jobs that take too long are cancelled
		s.deadline = s.delay + 3*time.Second
		for range 1 + r.IntN(4) {
			at := time.Duration(r.Int64N(int64(s.length))).Round(time.Millisecond)
			s.add(at, "stall", time.Duration(3000+r.IntN(9000))*time.Millisecond)
			switch all := apiFaults["cancel"]; r.IntN(3) {
			case 0:
				s.add(at, "api", "cancel", all[r.IntN(len(all))], 0, 1+r.IntN(3))
			case 1:
				m := r.IntN(members)
				s.add(at, "crash-on", m, "cancel", []string{"before", "after"}[r.IntN(2)], 0)
				s.add(at+time.Duration(5000+r.IntN(12_000))*time.Millisecond, "start", m)
			}
		}
	}
	s.requests = []int{0, 0, 0, 0, 15}[r.IntN(5)]
	if s.log = !s.compact && r.IntN(4) == 0; s.log {
		s.topics = append(s.topics, simTopic{appendTopic, 1 + r.Int32N(2), []string{"log"}})
		s.policies[appendTable] = policy()
	}
	slices.SortStableFunc(s.script, func(a, b fault) int { return int(a.at - b.at) })
	return s
}

func (s *scenario) add(at time.Duration, words ...any) {
	f := fault{at: at}
	for _, w := range words {
		f.words = append(f.words, fmt.Sprint(w))
	}
	s.script = append(s.script, f)
}

// patience is how long after the last fault all must be well: with nobody's help, for what
// only a further rebalance would loosen hangs for ever.
const patience = 10 * time.Minute

// run plays the script, then mends everything and waits for all to be well.
func (s *scenario) run(t *testing.T) {
	w := newSimulation(t, s)
	defer func() {
		w.close()
		if t.Failed() {
			var b strings.Builder
			for _, f := range s.script {
				fmt.Fprintln(&b, f)
			}
			t.Logf("run it again with: go test ./connector -run Simulation -seed %d [-script a file with these lines, or fewer]\n%s%s", s.seed, b.String(), w.about(600))
		}
	}()
	go w.work()
	began := time.Now()
	for _, f := range s.script {
		time.Sleep(f.at - time.Since(began))
		w.note("FAULT %v", f)
		w.apply(f.words)
	}
	time.Sleep(s.length - time.Since(began))
	w.heal()
	for healed := time.Now(); !w.settled() && time.Since(healed) < patience && !t.Failed(); time.Sleep(time.Second) {
		if time.Since(healed) > 2*simSession {
			w.exorcise()
		}
	}
	w.verdict()
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}
