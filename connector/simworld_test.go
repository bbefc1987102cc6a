package connector

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// simulation is the world of one scenario, in virtual time.
type simulation struct {
	*scenario
	t       *testing.T
	net     kfake.VirtualNetwork
	cluster *kfake.Cluster
	emu     *emulator.Emulator
	client  *kgo.Client
	txn     *kgo.Client // writes in transactions
	members map[int]*simMember
	all     []*simMember
	stop    chan struct{} // ends the workload
	worked  chan struct{}

	mu      sync.Mutex
	trace   []string
	history map[string][]string   // table and key → its versions, "" is deleted; the first is ""
	seen    map[string]int        // the version that a reader saw last, the earliest that it may have been
	upTo    map[string]int        // the same, the latest that it may have been: deletes look alike
	records map[string][]simEntry // topic/partition → its records
	aside   map[string]*simBad    // records that are to be put aside, by where they are
	faults  []string              // of the next commits
	brokers []*kfake.FaultHandle  // their faults
	pipe    *pipeline.Emulator    // in the place of emu
	appends int                   // rows of the table without a key
	unsure  bool                  // which of them are there
	wrong   []string
	deliveries
	lives
}

// simBad is a record that is to be in the dead-letter topic.
type simBad struct {
	value string
	aside bool
}

// simEntry is a record: it made a row the version.
type simEntry struct {
	offset  int64
	row     string
	version int
}

func newSimulation(t *testing.T, s *scenario) *simulation {
	w := &simulation{scenario: s, t: t, members: map[int]*simMember{}, stop: make(chan struct{}), worked: make(chan struct{}),
		history: map[string][]string{}, seen: map[string]int{}, upTo: map[string]int{}, deliveries: newDeliveries(), lives: newLives(), records: map[string][]simEntry{}, aside: map[string]*simBad{}}
	var err error
	opts := []kfake.Opt{kfake.NumBrokers(2), kfake.Ports(9092, 9093), kfake.ListenFn(w.net.Listen), kfake.GroupMinSessionTimeout(time.Second)}
	if w.cluster, err = kfake.NewCluster(append(opts, kfake.SeedTopics(1, deadLetters))...); err != nil {
		t.Fatal(err)
	}
	policy := map[string]string{"cleanup.policy": "delete"}
	if s.compact {
		policy["cleanup.policy"] = "compact"
	}
	for _, topic := range s.topics {
		if err := w.cluster.CreateTopic(topic.name, topic.parts, policy); err != nil {
			t.Fatal(err)
		}
	}
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), w.committing)
	w.cluster.ControlKey(int16(kmsg.GetTelemetrySubscriptions), w.unsubscribed)
	w.emu = emulator.New(emulator.Options{Delay: s.delay, RequestsPerSecond: s.requests, Seed: uint64(s.seed), OnRow: w.onRow, OnEvent: w.onEvent})
	if s.pipeline {
		w.newPipe()
	}
	producer := []kgo.Opt{kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.net.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression())}
	if w.client, err = kgo.NewClient(producer...); err != nil {
		t.Fatal(err)
	}
	if w.txn, err = kgo.NewClient(append(producer, kgo.TransactionalID("source"))...); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *simulation) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

// about returns what led to the first thing that is wrong, and a little of what followed;
// the last of the trace if only its end is.
func (w *simulation) about(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := len(w.trace)
	if i := slices.IndexFunc(w.trace, func(line string) bool { return strings.Contains(line, " WRONG ") }); i >= 0 {
		end = min(end, i+n/6)
	}
	return strings.Join(w.trace[max(0, end-n):end], "\n")
}

func (w *simulation) fail(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace = append(w.trace, time.Now().Format("04:05.000 ")+"WRONG "+text)
	if len(w.wrong) < 10 {
		w.wrong = append(w.wrong, text)
	}
}

// onRow holds what a reader sees against the row's history: it may skip versions, and
// never goes back (I8).
func (w *simulation) onRow(table, key string, row []any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if table == appendTable {
		w.onAppend(row)
		return
	}
	id := table + " " + key
	defer func() {
		if w.ever[id] = max(w.ever[id], w.upTo[id]); !w.lossy {
			w.here[id] = max(w.here[id], w.upTo[id])
		}
	}()
	at, now := w.seen[id], -1
	if w.lossy {
		at = 0
	}
	if w.plain[table] && row != nil {
		at = min(at, number(row[1].(string))) // at least once: it may go back for a while
	} else if w.plain[table] {
		at = 0
	}
	if row != nil {
		v, err := strconv.Atoi(row[1].(string))
		if err != nil {
			w.fail("%s is %q, which its transaction took back", id, row[1])
		}
		if now = v; now < at {
			w.fail("%s went from version %d back to %d", id, at, now)
			return
		}
	} else {
		for v := at; v < len(w.history[id]) && now < 0; v++ {
			if w.history[id][v] == "" {
				now = v
			}
		}
		if now < 0 {
			w.fail("%s was deleted after version %d, which no change at the source has done", id, at)
			return
		}
	}
	w.seen[id], w.upTo[id] = now, now
	for v := now; row == nil && v < len(w.history[id]); v++ {
		if w.history[id][v] == "" {
			w.upTo[id] = v
		}
	}
	if w.pipe == nil {
		w.applied = append(w.applied, simRow{id: id, version: now, upTo: w.upTo[id], gone: row == nil})
	}
}

// onEvent follows jobs.
func (w *simulation) onEvent(e emulator.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%s job %.8s of %s %s", time.Now().Format("04:05.000"), e.Job, e.Target, e.State))
	w.jobEnded(e)
	w.appendEnded(e)
}

// apply does a line of the script.
func (w *simulation) apply(words []string) {
	var m *simMember
	if len(words) > 1 {
		m = w.members[number(words[1])]
	}
	switch words[0] {
	case "pause", "stick", "restart", "respawn", "panic":
		w.applyPipe(words)
	case "start":
		if m == nil || m.over() {
			w.start(number(words[1]))
		}
	case "crash":
		m.crash()
	case "crash-on":
		if m != nil {
			m.mu.Lock()
			m.trigger = words[2:]
			m.mu.Unlock()
		}
	case "stop":
		if m != nil {
			m.cancel()
		}
	case "freeze":
		d, _ := time.ParseDuration(words[2])
		if m != nil && m.freeze() {
			time.AfterFunc(d, m.melt)
		}
	case "kick":
		w.kick(number(words[1]))
	case "commit":
		w.mu.Lock()
		for range number(words[2]) {
			w.faults = append(w.faults, words[1])
		}
		w.mu.Unlock()
	case "broker":
		w.brokerFault(words[1], words[2], number(words[3]))
	case "refuse-part":
		w.refusePart(words[1], number(words[2]), number(words[3]))
	case "compact":
		w.cluster.Compact()
	case "stall": // jobs take longer
		d, _ := time.ParseDuration(words[1])
		w.emu.SetDelay(w.delay + 10*time.Second)
		time.AfterFunc(d, func() { w.emu.SetDelay(w.delay) })
	case "move-leaders":
		w.cluster.ShufflePartitionLeaders()
	case "move-coordinator":
		w.cluster.RehashCoordinators()
	case "api":
		if w.pipe != nil {
			w.applyPipe(words)
			return
		}
		w.emu.Inject(words[1], emulator.Fault(words[2]), number(words[3]), number(words[4]))
	default:
		w.t.Fatalf("the script says %q", words)
	}
}

// heal ends all faults and sees to it that a process runs.
func (w *simulation) heal() {
	w.note("HEAL")
	close(w.stop)
	<-w.worked
	w.emu.SetDelay(w.delay)
	w.mendBrokers()
	if w.emu.Heal(); w.pipe != nil {
		w.pipe.Heal()
		w.pipe.Resume("shop")
		w.deploy()
		w.pipe.Stick("shop", false)
	}
	w.mu.Lock()
	w.faults, w.deadly = nil, 0
	w.mu.Unlock()
	alive := false
	for _, m := range w.members {
		m.melt()
		m.mu.Lock()
		m.trigger = nil
		m.mu.Unlock()
		alive = alive || !m.over()
	}
	if !alive {
		w.start(0)
	}
}

// settled reports whether every table is as the source has it and all is committed.
func (w *simulation) settled() bool {
	alive := false
	for _, m := range w.members {
		alive = alive || !m.over()
	}
	if !alive { // the last ones were about to stop
		w.start(0)
	}
	return w.differs() == "" && w.lag() == 0
}

// differs says in what the tables are not as the source has them.
func (w *simulation) differs() string {
	rows, held := map[string]string{}, w.appendHeld()
	for _, t := range w.tables {
		if w.pipe != nil {
			for key, row := range w.pipe.Rows("shop", "public_"+t) {
				rows["public_"+t+" "+pipeKey(key)] = row[1].(string)
			}
		} else if s := w.emu.Snapshot("public_" + t); s != nil {
			for key, row := range s.Rows {
				rows["public_"+t+" "+key] = row[1].(string)
			}
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for row, versions := range w.history {
		if have, want := rows[row], versions[len(versions)-1]; have != want {
			return fmt.Sprintf("%s is %q, at the source %q", row, have, want)
		}
		delete(rows, row)
	}
	for row := range rows {
		return row + " is not at the source"
	}
	if !held {
		return w.lacksAppends()
	}
	return ""
}

func (w *simulation) verdict() {
	if d := w.differs(); d != "" {
		w.t.Errorf("%v after the last fault: %s", patience, d)
	} else if lag := w.lag(); lag != 0 {
		w.t.Errorf("%v after the last fault: lag %d", patience, lag)
	}
	for _, m := range w.members {
		if m.over() {
			continue
		}
		var s *Status
		for range 60 { // the status is a picture from time to time, and some learn late what they have lost
			time.Sleep(2 * time.Second)
			s = m.conn.Status()
			if n := s.Totals; n.Read == n.Upserted+n.Deleted+n.Compacted+n.Filtered+n.Skipped+n.DeadLettered {
				break
			}
		}
		if n := s.Totals; !m.over() && n.Read != n.Upserted+n.Deleted+n.Compacted+n.Filtered+n.Skipped+n.DeadLettered {
			w.t.Errorf("member %d does not account for every record: %+v", m.name, n) // I7
		}
		for _, h := range s.Holds {
			if w.appendHeld() && heldAppend(h) {
				continue
			}
			w.t.Errorf("member %d holds %s: %s", m.name, h.Where(), h.Reason)
		}
	}
	w.putAside()
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, bad := range w.aside {
		if !bad.aside {
			w.t.Errorf("the bad record %s is not in the dead-letter topic", at)
		}
	}
	for _, wrong := range w.wrong {
		w.t.Error(wrong)
	}
}

// close ends all processes, those that crashed long ago as well.
func (w *simulation) close() {
	for _, m := range w.all {
		m.melt()
		m.cancel()
	}
	for _, m := range w.all {
		<-m.done
	}
	w.client.Close()
	w.txn.Close()
	w.cluster.Close()
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(time.Minute) // late effects
}
