package connector

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// simulation is the world of one scenario, in virtual time.
type simulation struct {
	*scenario
	t       *testing.T
	net     kfake.VirtualNetwork
	cluster *kfake.Cluster
	emu     *emulator.Emulator
	client  *kgo.Client
	members map[int]*simMember
	all     []*simMember
	stop    chan struct{} // ends the workload
	worked  chan struct{}

	mu      sync.Mutex
	trace   []string
	history map[string][]string   // table and key → its versions, "" is deleted; the first is ""
	seen    map[string]int        // the version that a reader saw last, the earliest that it may have been
	upTo    map[string]int        // the same, the latest that it may have been: deletes look alike
	sent    map[string]int        // the latest version that a job has delivered to DONE
	applied []string              // rows that the job under way has set
	records map[string][]simEntry // topic/partition → its records
	faults  []string              // of the next commits
	wrong   []string
}

// simEntry is a record: it made a row the version.
type simEntry struct {
	offset  int64
	row     string
	version int
}

// simMember is a process: what it sends and receives can be cut or stopped.
type simMember struct {
	w      *simulation
	name   int
	conn   *Connector
	cancel func()
	done   chan struct{}

	mu      sync.Mutex
	dead    bool
	thaw    chan struct{} // while frozen
	trigger []string      // crash on: op, before or after, how many pass
	conns   map[net.Conn]bool
}

var errCut = errors.New("the process is no more")

func newSimulation(t *testing.T, s *scenario) *simulation {
	w := &simulation{scenario: s, t: t, members: map[int]*simMember{}, stop: make(chan struct{}), worked: make(chan struct{}),
		history: map[string][]string{}, seen: map[string]int{}, upTo: map[string]int{}, sent: map[string]int{}, records: map[string][]simEntry{}}
	var err error
	opts := []kfake.Opt{kfake.NumBrokers(2), kfake.Ports(9092, 9093), kfake.ListenFn(w.net.Listen), kfake.GroupMinSessionTimeout(time.Second)}
	for _, topic := range s.topics {
		opts = append(opts, kfake.SeedTopics(topic.parts, topic.name))
	}
	if w.cluster, err = kfake.NewCluster(opts...); err != nil {
		t.Fatal(err)
	}
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), w.committing)
	w.emu = emulator.New(emulator.Options{Delay: s.delay, Seed: uint64(s.seed), OnRow: w.onRow, OnEvent: w.onEvent})
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.net.DialContext), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.NoCompression())); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *simulation) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, time.Now().Format("04:05.000 ")+fmt.Sprintf(format, args...))
}

func (w *simulation) tail(n int) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.trace[max(0, len(w.trace)-n):], "\n")
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
	id := table + " " + key
	at, now := w.seen[id], -1
	if row != nil {
		v, _ := strconv.Atoi(row[1].(string))
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
	w.applied = append(w.applied, fmt.Sprint(id, "=", now))
}

// onEvent follows jobs. What one has delivered no other delivers again, unless its DONE
// was taken away or it was only a part of its batch.
func (w *simulation) onEvent(e emulator.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trace = append(w.trace, fmt.Sprintf("%s job %.8s of %s %s", time.Now().Format("04:05.000"), e.Job, e.Target, e.State))
	if e.State == "DONE" {
		again := w.order == celonis.SingleJob && !w.has("api", "vanish") && w.metadata >= 4096
		for _, row := range w.applied {
			id, version, _ := strings.Cut(row, "=")
			if v := number(version); w.history[id][v] != "" && again && w.sent[id] >= v {
				w.fail("job %.8s sends %s again, which was DONE", e.Job, row)
			} else {
				w.sent[id] = v
			}
		}
	}
	w.applied = w.applied[:0]
}

// committing is the broker's side of a commit: faults, and whether all before the
// offset has been delivered (I1).
func (w *simulation) committing(q kmsg.Request) (kmsg.Response, error, bool) {
	w.cluster.KeepControl()
	req := q.(*kmsg.OffsetCommitRequest)
	w.mu.Lock()
	defer w.mu.Unlock()
	var refusal *kerr.Error
	if len(w.faults) > 0 && (w.faults[0] == "refuse" || w.faults[0] == "time-out") {
		refusal = kerr.RequestTimedOut
		if w.faults[0] == "refuse" {
			refusal = kerr.CoordinatorLoadInProgress
		}
		w.faults = w.faults[1:]
	}
	for _, t := range req.Topics {
		topic := t.Topic
		if topic == "" {
			topic = w.cluster.TopicIDInfo(t.TopicID).Topic
		}
		for _, p := range t.Partitions {
			part := fmt.Sprintf("%s/%d", topic, p.Partition)
			w.trace = append(w.trace, fmt.Sprintf("%s commit by %.12s generation %d: %s %d %s", time.Now().Format("04:05.000"), req.MemberID[max(0, len(req.MemberID)-12):], req.Generation, part, p.Offset, *p.Metadata))
			if len(*p.Metadata) > w.metadata {
				w.fail("%d bytes of metadata", len(*p.Metadata))
			}
			for _, e := range w.records[part] {
				if e.offset < p.Offset && w.upTo[e.row] < e.version {
					w.fail("%s: %d committed, and offset %d, version %d of %s, is not delivered", part, p.Offset, e.offset, e.version, e.row)
					break
				}
			}
		}
	}
	return commitAnswer(req, func(int32) *kerr.Error { return refusal }), nil, refusal != nil
}

// work changes rows at the source until it is told to stop.
func (w *simulation) work() {
	defer close(w.worked)
	r := rand.New(rand.NewPCG(uint64(w.seed), 8))
	for {
		select {
		case <-w.stop:
			return
		case <-time.After(time.Duration(r.Int64N(2 * int64(w.pace)))):
		}
		for range 1 + r.IntN(6) {
			w.put(r)
		}
	}
}

func (w *simulation) put(r *rand.Rand) {
	table, id := w.tables[r.IntN(len(w.tables))], r.Int64N(w.keys)
	var homes []simTopic
	for _, t := range w.topics {
		for _, has := range t.tables {
			if has == table {
				homes = append(homes, t)
			}
		}
	}
	topic := homes[id%int64(len(homes))]
	part := int32(id) / int32(len(homes)) % topic.parts
	row := fmt.Sprintf("public_%s int64:%d|", table, id)
	w.mu.Lock()
	if w.history[row] == nil {
		w.history[row] = []string{""}
	}
	version := len(w.history[row])
	value, after, op := strconv.Itoa(version), fmt.Sprintf(`{"id":%d,"v":"%d"}`, id, version), "u"
	if r.IntN(5) == 0 {
		value, after, op = "", "null", "d"
	}
	w.history[row] = append(w.history[row], value)
	w.mu.Unlock()
	rec := &kgo.Record{Topic: topic.name, Partition: part, Key: fmt.Appendf(nil, `{"id":%d}`, id), Value: fmt.Appendf(nil,
		`{"before":null,"after":%s,"source":{"ts_ms":%d,"db":"shop","schema":"public","table":%q},"op":%q}`, after, time.Now().UnixMilli(), table, op)}
	if err := w.client.ProduceSync(context.Background(), rec).FirstErr(); err != nil {
		w.t.Errorf("produce: %v", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := fmt.Sprintf("%s/%d", topic.name, part)
	w.records[at] = append(w.records[at], simEntry{rec.Offset, row, version})
}

// apply does a line of the script.
func (w *simulation) apply(words []string) {
	var m *simMember
	if len(words) > 1 {
		m = w.members[number(words[1])]
	}
	switch words[0] {
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
	case "move-leaders":
		w.cluster.ShufflePartitionLeaders()
	case "move-coordinator":
		w.cluster.RehashCoordinators()
	case "api":
		w.emu.Inject(words[1], emulator.Fault(words[2]), number(words[3]), number(words[4]))
	default:
		w.t.Fatalf("the script says %q", words)
	}
}

// kick has the group throw out a member, which learns it by itself.
func (w *simulation) kick(n int) {
	adm := kadm.NewClient(w.client)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	d, err := adm.DescribeGroups(ctx, "sluice")
	if err != nil || len(d["sluice"].Members) == 0 {
		return
	}
	members := d["sluice"].Members
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "sluice"
	lm := kmsg.NewLeaveGroupRequestMember()
	lm.MemberID = members[n%len(members)].MemberID
	req.Members = append(req.Members, lm)
	req.RequestWith(ctx, w.client)
}

func (w *simulation) start(n int) {
	m := &simMember{w: w, name: n, done: make(chan struct{}), conns: map[net.Conn]bool{}}
	w.members[n] = m
	w.all = append(w.all, m)
	c, err := New(w.options(m))
	if err != nil {
		w.t.Fatal(err)
	}
	m.conn = c
	ctx, cancel := context.WithCancel(context.Background())
	m.cancel = cancel
	go func() {
		defer close(m.done)
		c.Run(ctx)
	}()
}

func (w *simulation) options(m *simMember) Options {
	opt := testOptions(w.t, w.cluster.ListenAddrs(), simTransport{m, &pushtest.Transport{Handler: w.emu}})
	opt.Kafka.Balancer, opt.Kafka.Dial = w.balancer, m.dial
	opt.Kafka.RebalanceTimeout, opt.Kafka.MetadataAge, opt.Kafka.FetchBytes = 5*time.Second, 30*time.Second, w.fetch
	opt.Policy = func(table string) batcher.Policy { return w.policies[table] }
	opt.Split, opt.DeleteJobs = w.order.Split, w.deletes
	opt.Pusher.PollInterval, opt.Pusher.MaxPollInterval = 50*time.Millisecond, time.Second
	opt.Pusher.MinBackoff, opt.Pusher.MaxBackoff = 100*time.Millisecond, 2*time.Second
	opt.Pusher.Attempts = 1000 // no table is held for a job that fails often
	opt.MemoryLimit, opt.DrainTimeout, opt.MetadataLimit = w.memory, w.drain, w.metadata
	opt.Logger = slog.New(slog.NewTextHandler(simLog{m}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	opt.Kafka.TableOf = opt.Decoder.TableOfTopic
	if w.static {
		opt.Kafka.InstanceID = fmt.Sprint("sluice-", m.name)
	}
	for _, t := range w.topics {
		opt.Kafka.Topics = append(opt.Kafka.Topics, t.name)
	}
	return opt
}

// heal ends all faults and sees to it that a process runs.
func (w *simulation) heal() {
	w.note("HEAL")
	close(w.stop)
	<-w.worked
	w.emu.Heal()
	w.mu.Lock()
	w.faults = nil
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

func (w *simulation) lag() (lag int64) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	at, err := kadm.NewClient(w.client).FetchOffsets(ctx, "sluice")
	if err != nil {
		return -1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for part, records := range w.records {
		topic, id, _ := strings.Cut(part, "/")
		o, _ := at.Lookup(topic, int32(number(id)))
		lag += records[len(records)-1].offset + 1 - max(0, o.At)
	}
	return lag
}

// differs says in what the tables are not as the source has them.
func (w *simulation) differs() string {
	rows := map[string]string{}
	for _, t := range w.tables {
		if s := w.emu.Snapshot("public_" + t); s != nil {
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
	return ""
}

func (w *simulation) verdict() {
	if d := w.differs(); d != "" {
		w.t.Errorf("20 minutes after the last fault: %s", d)
	} else if lag := w.lag(); lag != 0 {
		w.t.Errorf("20 minutes after the last fault: lag %d", lag)
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
			w.t.Errorf("member %d holds %s: %s", m.name, h.Where(), h.Reason)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
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
	w.cluster.Close()
	http.DefaultClient.CloseIdleConnections()
	time.Sleep(time.Minute) // late effects
}

// over reports whether the process has ended, or has been told to.
func (m *simMember) over() bool {
	if m == nil {
		return true
	}
	select {
	case <-m.done:
		return true
	default:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// crash cuts all connections before anything can be said over them.
func (m *simMember) crash() {
	if m == nil {
		return
	}
	m.mu.Lock()
	m.dead = true
	conns := m.conns
	m.conns = map[net.Conn]bool{}
	m.mu.Unlock()
	for c := range conns {
		c.Close()
	}
	m.melt()
	m.cancel()
}

func (m *simMember) freeze() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.thaw != nil || m.dead {
		return false
	}
	m.thaw = make(chan struct{})
	return true
}

func (m *simMember) melt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.thaw != nil {
		close(m.thaw)
		m.thaw = nil
	}
}

// pass waits while the process is frozen, and fails if it is dead.
func (m *simMember) pass() error {
	for {
		m.mu.Lock()
		thaw, dead := m.thaw, m.dead
		m.mu.Unlock()
		if dead {
			return errCut
		}
		if thaw == nil {
			return nil
		}
		<-thaw
	}
}

// due reports whether the process is to crash before or after an operation.
func (m *simMember) due(op, when string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.trigger) < 3 || m.trigger[0] != op || m.trigger[1] != when {
		return false
	}
	if n := number(m.trigger[2]); n > 0 {
		m.trigger = []string{op, when, strconv.Itoa(n - 1)}
		return false
	}
	m.trigger = nil
	return true
}

func (m *simMember) dial(ctx context.Context, network, host string) (net.Conn, error) {
	if err := m.pass(); err != nil {
		return nil, err
	}
	c, err := m.w.net.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns[c] = true
	return &simConn{Conn: c, m: m}, nil
}

// simConn is a connection to a broker.
type simConn struct {
	net.Conn
	m    *simMember
	mu   sync.Mutex
	lost bool // the next answer does not arrive
}

func (c *simConn) Write(b []byte) (int, error) {
	// As on any network, a request takes time: else a client that asks again at once would
	// stop the clock.
	time.Sleep(500 * time.Microsecond)
	if err := c.m.pass(); err != nil {
		return 0, err
	}
	if len(b) < 6 || int16(binary.BigEndian.Uint16(b[4:])) != int16(kmsg.OffsetCommit) {
		return c.Conn.Write(b)
	}
	w := c.m.w
	w.mu.Lock()
	fault := ""
	if len(w.faults) > 0 && strings.HasPrefix(w.faults[0], "lose-") {
		fault, w.faults = w.faults[0], w.faults[1:]
	}
	w.mu.Unlock()
	if c.m.due("commit", "before") {
		c.m.crash()
		return 0, errCut
	}
	if fault == "lose-before" {
		c.Close()
		return 0, io.ErrUnexpectedEOF
	}
	after := c.m.due("commit", "after")
	c.mu.Lock()
	c.lost = after || fault == "lose-after"
	c.mu.Unlock()
	n, err := c.Conn.Write(b)
	if after {
		c.m.crash()
	}
	return n, err
}

func (c *simConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if e := c.m.pass(); e != nil {
		return 0, e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		c.Conn.Close()
		return 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// simTransport is a process's way to the API.
type simTransport struct {
	m *simMember
	*pushtest.Transport
}

func (t simTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.m.pass(); err != nil {
		return nil, err
	}
	op := operation(req)
	if t.m.due(op, "before") {
		t.m.crash()
		return nil, errCut
	}
	resp, err := t.Transport.RoundTrip(req)
	if t.m.due(op, "after") {
		t.m.crash()
	}
	if e := t.m.pass(); e != nil {
		return nil, e
	}
	return resp, err
}

// operation names a call as the emulator does.
func operation(req *http.Request) string {
	path := strings.Split(strings.Trim(req.URL.Path[strings.Index(req.URL.Path, "/jobs"):], "/"), "/")
	switch {
	case len(path) == 1 && req.Method == http.MethodPost:
		return "create"
	case len(path) == 1:
		return "list"
	case len(path) == 2 && req.Method == http.MethodPost:
		return "execute"
	case len(path) == 2 && req.Method == http.MethodDelete:
		return "delete"
	case len(path) == 2:
		return "get"
	case path[2] == "cancel":
		return "cancel"
	case req.Method == http.MethodGet:
		return "chunks"
	}
	return "upload"
}

// simLog puts a process's log into the trace.
type simLog struct{ m *simMember }

func (l simLog) Write(b []byte) (int, error) {
	l.m.w.note("%d: %s", l.m.name, bytes.TrimSpace(b))
	return len(b), nil
}
