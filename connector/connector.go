// Package connector is the one loop that joins Kafka and a target: records in,
// batches out, offsets committed after DONE. Start reading at Run; DESIGN.md
// beside this file has the invariants and decisions.
package connector

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/instrument"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/connector/registry"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// Options say what a Connector does. The functions are called from several
// goroutines.
type Options struct {
	Kafka      kafka.Options
	Decoder    debezium.Options
	Policy     func(table string) batcher.Policy
	Encode     func(*batcher.Batch) ([]schema.Chunk, error)
	Split      func([]schema.Chunk) [][]schema.Chunk // the jobs of a batch
	Pusher     *push.Pusher
	Exclusive  bool // one job at a time, over all tables
	DeleteJobs bool // delete jobs that are DONE and committed
	// WholeFiles says that files are to have each column that their table has at the target,
	// also one that rows no longer have.
	WholeFiles bool

	// Memory is the target where it may forget what was delivered; nil: it does not. Rewind
	// then has everything read again from the earliest records; else all tables are held.
	Memory Memory
	Rewind bool

	Registry *registry.Registry // of schemas; nil: there is none

	DeadLetterTopic string // "": a bad record holds its table
	DeadLetterLimit int    // in a minute; more hold the table instead of flooding the topic

	// PositionMemory is how many bytes the positions of keys take, of the tables that are
	// ordered by them (Decoder.ByPosition).
	PositionMemory int64

	MemoryLimit  int64         // bytes in open, sealed and in-flight batches (I5)
	DrainTimeout time.Duration // for what is in flight at a stop or when partitions are taken away
	// HoldNewGroup says that a group without any offset is one whose offsets have expired, and
	// a topic without any that has records one that was made anew: they are held. Else they
	// are new, and begin at the earliest records.
	HoldNewGroup bool
	// MetadataLimit is how many bytes the brokers take beside an offset
	// (offset.metadata.max.bytes).
	MetadataLimit int

	FreshnessTarget func(table string) time.Duration // what a table's freshness should stay below

	Version      string // of the program
	MetricTables int    // so many tables, and topics, have series of their own; the rest is one
	Logger       *slog.Logger
	Tracer       trace.Tracer
	Meter        metric.Meter
}

// Connector moves changes from Kafka to a target. Make one with New, Run it once.
type Connector struct {
	opt      Options
	log      *slog.Logger
	consumer *kafka.Consumer
	metrics  *metrics
	status   atomic.Pointer[Status]
	beat     atomic.Int64 // when the loop last turned, for liveness

	// All below belongs to the loop.
	now          time.Time
	parts        map[kafka.Partition]*partition
	read         map[string]string // topic → the id of that which this process has read under its name
	ledger       *Ledger
	batcher      *batcher.Batcher
	guard        *batcher.Guard
	forgotten    int64       // keys that the guard has forgotten
	fresh        schema.Rows // scratch
	lanes        map[string]*lane
	inflight     int64 // bytes of sealed batches and their files
	queued       int64 // bytes of records that wait to be decoded
	parked       int64 // bytes of records that wait for a schema
	nextHolder   Holder
	sources      uint32 // partitions so far
	asked        bool
	joined       bool
	brokers      brokers
	targetState  string // the target's, "" while it is not known or there is none
	remembering  bool   // it is asked for
	lastAsked    time.Time
	amnesia      string // why it is not known, "" if it is
	revoking     *revoking
	commits      commits
	binds        []*bind                   // jobs that wait to be noted beside their offsets
	seeks        map[kafka.Partition]int64 // where partitions are read again from, once no poll is under way
	blocked      blocked
	draining     bool
	deadline     time.Time
	totals       Totals
	deadLetters  *rate.Limiter // shared with the decoders
	deadInFlight int           // records on their way to the dead-letter topic
	deadBytes    int64         // of them
	checking     int           // workers that ask what holes are
	discarding   int           // workers that delete finished jobs
	measured     time.Time     // when high watermarks were last asked for
	measuring    bool
	holds        []Hold

	results chan any // from workers, in the order in which they finish
	workers sync.WaitGroup
	cpu     chan struct{} // bounds decoding and encoding to the processors
	hard    context.Context
}

// maxPoll is how many records a poll returns at most.
const maxPoll = 20_000

// maxQueued is how many bytes of records may wait for a decoder.
const maxQueued = 64 << 20

const tick = 100 * time.Millisecond

// New returns a connector; it does not touch the network.
func New(opt Options) (*Connector, error) {
	opt.Kafka.Logger = opt.Logger
	opt.Kafka.Exclude = opt.DeadLetterTopic
	opt.Kafka.Meter, opt.Kafka.MetricTopics = opt.Meter, instrument.NewLimit(opt.MetricTables)
	consumer, err := kafka.NewConsumer(opt.Kafka)
	if err != nil {
		return nil, err
	}
	if opt.Registry != nil {
		opt.Decoder.Schema = opt.Registry.Schema
	}
	opt.Decoder.Traces = traces(opt.Tracer)
	m, err := newMetrics(&opt, opt.Kafka.MetricTopics)
	if err != nil {
		return nil, err
	}
	c := &Connector{
		opt: opt, log: opt.Logger, consumer: consumer, metrics: m,
		parts: map[kafka.Partition]*partition{}, read: map[string]string{}, ledger: NewLedger(),
		batcher: batcher.New(opt.Policy), guard: batcher.NewGuard(opt.PositionMemory), lanes: map[string]*lane{},
		nextHolder: 1 << 62, // batches are numbered from 1
		results:    make(chan any), cpu: make(chan struct{}, runtime.GOMAXPROCS(0)),
		deadLetters: newDeadLetters(&opt),
	}
	c.commits.acked, c.commits.doubt = map[kafka.Partition]content{}, map[kafka.Partition]content{}
	c.seeks = map[kafka.Partition]int64{}
	c.status.Store(&Status{State: Joining})
	return c, nil
}

// Reach asks the brokers for their topics, before Run: an error says which setting to
// look at, and stands in the status until they answer. missing are the named topics
// that do not exist; where a pattern matches none, it is the pattern.
func (c *Connector) Reach(ctx context.Context) (missing []string, err error) {
	missing, err = c.consumer.Reach(ctx)
	c.now = time.Now()
	if c.brokers.well(); err != nil {
		c.brokers.fail(c.now, err.Error())
	}
	c.picture()
	return missing, err
}

// Run moves changes until ctx ends. Then it stops polling, finishes what is in
// flight within DrainTimeout, commits, and leaves the group, for which it takes
// twenty seconds more at most. Whatever was not DONE by then is read again by the
// next process.
func (c *Connector) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	c.hard = hard
	c.consumer.Start(ctx)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()

	stop := ctx.Done()
	for {
		c.turn()
		if c.draining && c.drained() {
			break
		}
		select {
		case e := <-c.consumer.Events():
			c.onKafka(e)
		case r := <-c.results:
			c.onResult(r)
		case <-ticker.C:
		case <-stop:
			stop = nil
			c.drain()
		}
	}
	return c.close(cancel)
}

// turn does what is due: seal and start batches, commit, ask for records.
func (c *Connector) turn() {
	c.now = time.Now()
	c.beat.Store(c.now.UnixNano())
	c.holdCutOff()
	c.schedule()
	c.settleRevoke()
	c.commit()
	c.seek()
	c.probe()
	c.measure()
	c.remember()
	c.ask()
	c.recovered()
	c.publish()
}

// ask polls for records while memory allows (I5). Records that wait for a decoder
// count, for they are about to be rows.
func (c *Connector) ask() {
	if c.asked || c.draining || c.revoking != nil || c.paused() || c.queued >= maxQueued {
		return
	}
	c.asked = true
	c.consumer.Ask(maxPoll)
}

// paused reports whether nothing is fetched for want of memory (I5).
func (c *Connector) paused() bool { return c.full() && !c.starved() }

// starved reports whether reading is all that can go on: memory is full, but no job runs
// and none can, for a table's batch lacks rows that it must not be sent without. An
// earlier process held them, so they have an end.
func (c *Connector) starved() bool {
	if c.running() > 0 {
		return false
	}
	for table := range c.lanes {
		if c.covering(table) {
			return true
		}
	}
	return false
}

// full reports whether the memory limit is reached.
func (c *Connector) full() bool { return c.memory()+c.waiting() >= c.opt.MemoryLimit }

// waiting is what records hold that are not rows yet, or never will be.
func (c *Connector) waiting() int64 { return c.queued + c.parked + c.deadBytes }

// memory is what open, sealed and in-flight batches hold.
func (c *Connector) memory() int64 { return c.batcher.Bytes() + c.inflight }

func (c *Connector) onKafka(e kafka.Event) {
	c.now = time.Now()
	switch e := e.(type) {
	case kafka.Fetched:
		c.asked = false
		c.fetched(e)
	case kafka.Assigned:
		c.metrics.rebalanced("assigned")
		c.assign(e)
	case kafka.Revoked:
		if e.Lost {
			c.metrics.rebalanced("lost")
		} else {
			c.metrics.rebalanced("revoked")
		}
		c.revoke(e)
	}
}

func (c *Connector) onResult(r any) {
	c.now = time.Now()
	switch r := r.(type) {
	case decoded:
		c.onDecoded(r)
	case encoded:
		c.inflight += r.bytes - r.work.bytes
		r.work.bytes = r.bytes
		r.work.batch = r.work.batch.Husk() // the files stand for its rows now
	case *bind:
		c.onBind(r)
	case delivered:
		c.onDelivered(r)
	case located:
		c.onLocated(r)
	case remembered:
		c.onRemembered(r)
	case probed:
		c.onProbed(r)
	case checked:
		c.onChecked(r)
	case ends:
		c.onEnds(r)
	case schemaFetched:
		c.onSchemaFetched(r)
	case committed:
		c.onCommitted(r)
	case discarded:
		c.discarding--
	case deadLettered:
		c.onDeadLettered(r)
	}
}

// worker runs f in a goroutine and hands its result to the loop.
func (c *Connector) worker(f func() any) {
	c.workers.Go(func() { c.results <- f() })
}

// drain begins the stop: no more polls, and every open batch is due.
func (c *Connector) drain() {
	c.draining, c.deadline = true, c.now.Add(c.opt.DrainTimeout)
	c.batcher.Drain()
	c.log.Info("stopping: finishing what is in flight", "timeout", c.opt.DrainTimeout)
}

// drained reports whether nothing is left that could finish in time.
func (c *Connector) drained() bool {
	if !c.now.Before(c.deadline) {
		return true
	}
	if c.running() > 0 || c.commits.busy || len(c.news()) > 0 || c.revoking != nil || c.deadInFlight > 0 || c.discarding > 0 || c.checking > 0 {
		return false
	}
	for _, p := range c.parts {
		if p.busy {
			return false
		}
	}
	for _, b := range c.batcher.Due(c.now, false, nil) {
		if l := c.lanes[b.Table.Name]; l == nil || l.held == "" {
			return c.blocked.err != nil || c.opt.Pusher.Budget.Next(c.now).After(c.deadline)
		}
	}
	return true
}

// close ends the workers and leaves the group. A second signal or the deadline has the
// running jobs cut off: the intents beside the offsets tell the next owner of them.
func (c *Connector) close(cancel func()) error {
	left := c.running()
	cancel()
	if c.revoking != nil { // the client waits for it, and we for the client
		close(c.revoking.Done)
		c.revoking = nil
	}
	closed := make(chan struct{})
	go func() {
		c.consumer.Close()
		c.workers.Wait()
		close(closed)
	}()
	for {
		select {
		case e := <-c.consumer.Events():
			kafka.Done(e)
		case <-c.results:
		case <-closed:
			c.traceStop()
			c.picture() // the last one, with the final counts
			if left > 0 {
				c.log.Warn("stopped with jobs in flight; what was submitted is taken over at the next start, the rest is read again", "jobs", left)
			} else {
				c.log.Info("stopped")
			}
			return nil
		}
	}
}
