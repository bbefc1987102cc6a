package connector

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// simMember is a process: what it sends and receives can be cut or stopped.
type simMember struct {
	w      *simulation
	name   int
	id     string // its client's: by that the group's members are told apart, as long as kafka.ClientID
	conn   *Connector
	cancel func()
	done   chan struct{}

	mu      sync.Mutex
	dead    bool
	thaw    chan struct{} // while frozen
	trigger []string      // crash on: op, before or after, how many pass
	conns   map[net.Conn]bool

	standing standing
}

const simSession = 6 * time.Second

var errCut = errors.New("the process is no more")

func (w *simulation) start(n int) {
	m := &simMember{w: w, name: n, id: fmt.Sprintf("sim%03d", len(w.all)), done: make(chan struct{}), conns: map[net.Conn]bool{}}
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
	opt.Kafka.SessionTimeout = simSession
	opt.Kafka.RebalanceTimeout, opt.Kafka.MetadataAge, opt.Kafka.FetchBytes = 5*time.Second, 30*time.Second, w.fetch
	opt.Policy = func(table string) batcher.Policy { return w.policies[table] }
	opt.Split, opt.DeleteJobs = w.order.Split, w.deletes
	opt.Pusher.PollInterval, opt.Pusher.MaxPollInterval = 50*time.Millisecond, time.Second
	opt.Pusher.MinBackoff, opt.Pusher.MaxBackoff = 100*time.Millisecond, 2*time.Second
	opt.Pusher.Attempts = 1000 // no table is held for a job that fails often
	opt.Pusher.Deadline, opt.Pusher.Overdue = w.deadline, push.OverdueCancel
	opt.MemoryLimit, opt.DrainTimeout, opt.MetadataLimit = w.memory, w.drain, w.metadata
	opt.Logger = slog.New(slog.NewTextHandler(simLog{m}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	opt.DeadLetterTopic, opt.DeadLetterLimit = deadLetters, 100_000
	opt.Kafka.TableOf, opt.Decoder.Mode = opt.Decoder.TableOfTopic, appendMode
	if w.static {
		opt.Kafka.InstanceID = fmt.Sprint("sluice-", m.name)
	}
	if w.pipe != nil {
		w.pipeOptions(m, &opt, simTransport{m, &pushtest.Transport{Handler: w.pipe}})
	}
	for _, t := range w.topics {
		opt.Kafka.Topics = append(opt.Kafka.Topics, t.name)
	}
	return opt
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
	time.Sleep(time.Millisecond) // also to fail: else a client that dials again at once would stop the clock
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
	return &simConn{Conn: c, m: m, beats: map[int32]beat{}}, nil
}

// simConn is a connection to a broker.
type simConn struct {
	net.Conn
	m     *simMember
	mu    sync.Mutex
	lost  bool           // the next answer does not arrive
	beats map[int32]beat // heartbeats that are not answered
	in    []byte         // of an answer that is not complete
}

// beat is a heartbeat that was sent.
type beat struct {
	at         time.Time
	generation int32
}

func (c *simConn) Write(b []byte) (int, error) {
	// As on any network, a request takes time: else a client that asks again at once would
	// stop the clock.
	time.Sleep(500 * time.Microsecond)
	if err := c.m.pass(); err != nil {
		return 0, err
	}
	if len(b) < 14+len(c.m.id) {
		return c.Conn.Write(b)
	}
	b = slices.Clone(b)
	copy(b[14:], c.m.id) // the client id, behind size, key, version, correlation and its length
	switch kmsg.Key(binary.BigEndian.Uint16(b[4:])) {
	case kmsg.Heartbeat:
		req := kmsg.NewPtrHeartbeatRequest()
		req.SetVersion(int16(binary.BigEndian.Uint16(b[6:])))
		if err := req.ReadFrom(b[14+len(c.m.id)+1:]); err != nil { // behind the header's tags
			c.m.w.t.Errorf("a heartbeat of member %d: %v", c.m.name, err)
		}
		c.mu.Lock()
		c.beats[int32(binary.BigEndian.Uint32(b[8:]))] = beat{time.Now(), req.Generation}
		c.mu.Unlock()
		return c.Conn.Write(b)
	case kmsg.OffsetCommit:
	default:
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
	c.answered(b[:n])
	return n, err
}

// answered looks for the answers to heartbeats: what the group has said of this member.
func (c *simConn) answered(b []byte) {
	for c.in = append(c.in, b...); len(c.in) >= 8; {
		size := 4 + int(binary.BigEndian.Uint32(c.in))
		if len(c.in) < size {
			return
		}
		answer, corr := c.in[4:size], int32(binary.BigEndian.Uint32(c.in[4:]))
		if sent, ok := c.beats[corr]; ok && len(answer) >= 11 { // correlation, tags, throttle, error
			delete(c.beats, corr)
			err := kerr.ErrorForCode(int16(binary.BigEndian.Uint16(answer[9:])))
			if err != nil {
				c.m.w.note("%d: a heartbeat of generation %d: %v", c.m.name, sent.generation, err)
			}
			c.m.standing.hears(sent.generation, sent.at, err)
		}
		c.in = c.in[size:]
	}
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
	op := ""
	if t.m.w.pipe != nil {
		op = pipeOperation(req)
	} else {
		op = operation(req)
	}
	if req.Context().Err() == nil {
		until := t.m.standing.confirmed()
		if (op == "execute" || op == "ingress" && req.ContentLength > 0) && time.Now().After(until) {
			t.m.w.mu.Lock()
			t.m.w.fail("member %d executes a job, and its membership was confirmed until %v only", t.m.name, until)
			t.m.w.mu.Unlock()
		}
	}
	if op == "ingress" && req.ContentLength > 0 {
		body, _ := io.ReadAll(req.Body)
		req.Body = io.NopCloser(bytes.NewReader(body))
		t.m.w.posting(path.Base(req.URL.Path), body)
	}
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
	l.m.w.heard(string(b))
	return len(b), nil
}
