package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Event is something that Kafka did: Fetched, Assigned or Revoked.
type Event any

// Fetched is the answer to an Ask: records of each partition in offset order.
type Fetched struct {
	Records map[Partition][]*kgo.Record
	Ends    map[Partition]int64 // high watermarks, of partitions with records
	Errors  map[Partition]error // of a fetch; partition "" is the whole client
}

// Assigned says that the partitions are ours from now on. They are paused: Locate them,
// then Resume. Close Done when that is noted.
type Assigned struct {
	Partitions []Partition
	Balancer   string // the protocol that the group has chosen
	Done       chan struct{}
}

// Revoked says that the partitions are to be given up. Until Done is closed no
// other member gets them, unless they are Lost: then others may have them
// already, and nothing of them may be committed (I2). Who loses them, be it none, is no
// member of the group any more until something is Assigned, which may be nothing either.
type Revoked struct {
	Partitions []Partition
	Lost       bool
	Done       chan struct{}
}

// Done tells the client that a rebalance may go on for which nobody has anything to do.
func Done(e Event) {
	switch e := e.(type) {
	case Assigned:
		close(e.Done)
	case Revoked:
		close(e.Done)
	}
}

// Consumer is a member of the group. Its events arrive on one channel, in the
// order in which they count: records that were fetched before a partition is
// taken away come before that message.
type Consumer struct {
	opt    Options
	cl     *kgo.Client
	events chan Event
	asks   chan ask
	wg     sync.WaitGroup

	interrupt func() // ends the poll under way; of whoever asks
	end       func() // ends all that the client does

	member member
	starts starts
	affine *affine
	writes writes

	metrics *metrics
}

// NewConsumer makes a client, which joins the group on its own as soon as it knows the
// topics: go on to read Events.
func NewConsumer(opt Options) (*Consumer, error) {
	c := &Consumer{opt: opt, events: make(chan Event), asks: make(chan ask), member: member{partitions: map[Partition]bool{}}, starts: starts{told: map[Partition]bool{}}, affine: newAffine(opt.TableOf)}
	var err error
	if c.metrics, err = newMetrics(&opt); err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(context.Background())
	c.end = end
	opts := append(opt.kgo(),
		kgo.WithContext(ctx),
		kgo.WithHooks(&c.member, &c.writes, c.metrics),
		kgo.Balancers(opt.balancers(c.affine, &c.member)...),
		kgo.OnPartitionsAssigned(c.assigned),
		kgo.AdjustFetchOffsetsFn(c.starts.adjust),
		kgo.OnPartitionsRevoked(c.revoked(false)),
		kgo.OnPartitionsLost(c.revoked(true)),
	)
	if c.cl, err = kgo.NewClient(opts...); err != nil {
		return nil, err
	}
	return c, nil
}

// Events is where the group's doings arrive. Whoever reads it must go on reading
// until Close has returned.
func (c *Consumer) Events() <-chan Event { return c.events }

// Start begins to answer Asks.
func (c *Consumer) Start(ctx context.Context) {
	c.wg.Go(func() {
		for a := range c.asks {
			stop := context.AfterFunc(ctx, a.cancel)
			fetches := c.cl.PollRecords(a.ctx, a.most)
			stop()
			a.cancel()
			c.events <- c.collect(fetches)
			// After every poll, for each return holds rebalances off, an empty one too.
			c.cl.AllowRebalance()
		}
	})
}

type ask struct {
	ctx    context.Context
	cancel func()
	most   int
}

// Ask polls once for at most n records; the answer is a Fetched. Ask again only
// after it came. One goroutine asks and interrupts.
func (c *Consumer) Ask(n int) {
	ctx, cancel := context.WithCancel(context.Background())
	c.interrupt = cancel
	c.asks <- ask{ctx, cancel, n}
}

// Interrupt has the answer to an Ask come soon, with whatever is there.
func (c *Consumer) Interrupt() {
	if c.interrupt != nil {
		c.interrupt()
	}
}

// Single reports whether a topic that is consumed has one partition.
func (c *Consumer) Single(topic string) bool {
	first, _, _ := c.cl.PartitionLeader(topic, 0)
	second, _, _ := c.cl.PartitionLeader(topic, 1)
	return first >= 0 && second < 0
}

// leaveTimeout is how long Close tries to leave the group. Whoever does not manage to is out of
// it after its session.
const leaveTimeout = 5 * time.Second

// Close leaves the group, unless membership is static, and ends the client, within some
// seconds whatever the brokers do. The partitions still owned are revoked first.
func (c *Consumer) Close() {
	close(c.asks)
	defer time.AfterFunc(leaveTimeout, c.end).Stop() // the client tries for minutes where nobody answers
	c.cl.CloseAllowingRebalance()
	c.wg.Wait()
}

func (c *Consumer) collect(fetches kgo.Fetches) Fetched {
	f := Fetched{Records: map[Partition][]*kgo.Record{}, Ends: map[Partition]int64{}}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) > 0 {
			id := Partition{p.Topic, p.Partition}
			f.Records[id], f.Ends[id] = p.Records, p.HighWatermark
			c.metrics.received(p.Topic, len(p.Records)-markers(p.Records))
			c.affine.observe(p.Topic, Size(p.Records))
		}
	})
	fetches.EachError(func(topic string, part int32, err error) {
		if errors.Is(err, context.Canceled) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		if f.Errors == nil {
			f.Errors = map[Partition]error{}
		}
		if topic == "" {
			err = explain(err, c.opt.Brokers)
		}
		f.Errors[Partition{topic, part}] = err
	})
	return f
}

// markers counts the markers of transactions, which come as records.
func markers(recs []*kgo.Record) (n int) {
	for _, r := range recs {
		if r.Attrs.IsControl() {
			n++
		}
	}
	return n
}

// Size is how many bytes of keys, values and headers records have.
func Size(recs []*kgo.Record) (n int64) {
	for _, r := range recs {
		n += int64(len(r.Key) + len(r.Value))
		for _, h := range r.Headers {
			n += int64(len(h.Key) + len(h.Value))
		}
	}
	return n
}

// Gone reports whether a fetch failed because the records asked for are not there
// any more.
func Gone(err error) bool {
	var loss *kgo.ErrDataLoss
	return errors.Is(err, kerr.OffsetOutOfRange) || errors.As(err, &loss)
}

// Fenced reports whether the group's coordinator refuses us because we are not the
// member that we were.
func Fenced(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.FencedInstanceID)
}

// NotOwner reports whether a commit or a submission was refused because we are not the
// member that we were: by the group's coordinator, or here, before it was asked.
func NotOwner(err error) bool { return Fenced(err) || errors.Is(err, errFenced) }

func list(m map[string][]int32) (all []Partition) {
	for topic, ids := range m {
		for _, id := range ids {
			all = append(all, Partition{topic, id})
		}
	}
	return all
}

func (c *Consumer) assigned(_ context.Context, cl *kgo.Client, m map[string][]int32) {
	c.member.assigned(list(m))
	c.starts.assigned(list(m))
	cl.PauseFetchPartitions(m) // until it is known where they stand
	done := make(chan struct{})
	c.events <- Assigned{list(m), c.member.balancer(), done}
	<-done
	if c.affine.skipped() {
		cl.ForceRebalance() // nobody loses anything by it, for it is sticky
	}
}

func (c *Consumer) revoked(lost bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, m map[string][]int32) {
		was := lost && c.member.lost() // at once: nothing more is committed
		if len(m) == 0 && !was {
			return
		}
		done := make(chan struct{})
		c.events <- Revoked{list(m), lost, done}
		<-done
		c.member.gone(list(m))
	}
}

// Confirm asks the group's coordinator whether this member is in good standing, which
// it then is until the returned time at least: nobody else is given its partitions
// before. Waking up after a long freeze, a process cannot know it in another way. It
// may be called concurrently.
func (c *Consumer) Confirm(ctx context.Context) (until time.Time, err error) {
	id, generation, ok := c.member.identity()
	if !ok {
		return until, errFenced
	}
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = c.opt.Group, id, generation
	if c.opt.InstanceID != "" {
		req.InstanceID = &c.opt.InstanceID
	}
	sent := time.Now()
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return until, err
	}
	// While a rebalance begins, everything is still ours until we have given it up.
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil && !errors.Is(err, kerr.RebalanceInProgress) {
		return until, err
	}
	return sent.Add(c.opt.SessionTimeout), nil
}

// Seek makes partitions be read again from the given offsets, and returns those that are:
// Seek the others once more, for the client has not been told yet where the group stands in
// them. Call it only while no Ask is unanswered: its records might be from before.
func (c *Consumer) Seek(offsets map[Partition]int64) (sought []Partition) {
	known := c.cl.CommittedOffsets() // also of what has been polled without
	to := map[string]map[int32]kgo.EpochOffset{}
	for p, o := range offsets {
		if _, ok := known[p.Topic][p.ID]; ok {
			if to[p.Topic] == nil {
				to[p.Topic] = map[int32]kgo.EpochOffset{}
			}
			to[p.Topic][p.ID] = kgo.EpochOffset{Epoch: -1, Offset: o}
		} else if !c.starts.first(p) { // there is nothing before its first record, of which none was polled
			continue
		}
		sought = append(sought, p)
	}
	c.cl.SetOffsets(to)
	return sought
}

// Pause stops fetching a partition, until Resume.
func (c *Consumer) Pause(p Partition) {
	c.cl.PauseFetchPartitions(map[string][]int32{p.Topic: {p.ID}})
}

// Resume fetches partitions again: the client keeps a pause over rebalances.
func (c *Consumer) Resume(parts []Partition) {
	m := map[string][]int32{}
	for _, p := range parts {
		m[p.Topic] = append(m[p.Topic], p.ID)
	}
	c.cl.ResumeFetchPartitions(m)
}

// Ping asks for a sign of life of any broker.
func (c *Consumer) Ping(ctx context.Context) error { return c.cl.Ping(ctx) }

// Produce writes a record and calls done when it is acknowledged by all in-sync
// replicas, or has failed.
func (c *Consumer) Produce(ctx context.Context, r *kgo.Record, done func(error)) {
	start := time.Now()
	c.cl.Produce(ctx, r, func(r *kgo.Record, err error) {
		c.metrics.wrote(ctx, r.Topic, time.Since(start), err)
		done(err)
	})
}
