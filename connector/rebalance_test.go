package connector

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestStopDuringRebalance stops a member while it is asked for a partition whose
// job will not end: it must stop all the same.
func TestStopDuringRebalance(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Delay: time.Hour}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.DrainTimeout = 2 * time.Second
	_, stop := w.run(opt)
	w.insert("shop.public.a", 0, 10)
	w.eventually("a job runs", func() bool { return w.emu.Counts().Submitted > 0 })
	other := w.options("shop.public.a")
	other.DrainTimeout = time.Second
	w.run(other)
	go func() {
		time.Sleep(500 * time.Millisecond)
		stop()
	}()
	time.Sleep(200 * time.Millisecond)
	stop()
}

// TestHeldPartitionComesBack: a partition on hold that went to another member and
// came back is read again and held again, not forgotten.
func TestHeldPartitionComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	c, _ := w.run(opt)
	w.produce("shop.public.a", 0, `{"id":1}`, `nonsense`)
	w.produce("shop.public.a", 1, `{"id":1}`, `nonsense`)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 })
	c2, stop2 := w.run(w.options("shop.public.a"))
	w.eventually("one goes and is held there", func() bool { return len(c2.Status().Holds) == 1 && len(c.Status().Holds) == 1 })
	stop2()
	w.eventually("it comes back", func() bool { return c.Status().Partitions == 2 })
	for part := range int32(2) {
		_, value := change("shop.public.a", "c", 1, "x")
		w.produce("shop.public.a", part, `{"id":1}`, value)
	}
	time.Sleep(300 * time.Millisecond)
	if lag := w.lag("shop.public.a"); lag != 4 || w.emu.Snapshot("public_a") != nil || len(c.Status().Holds) != 1 {
		t.Errorf("lag %d, holds %+v", lag, c.Status().Holds)
	}
}

// TestRunningJobIsWaitedFor: a partition goes to another member only after the job
// with its rows is DONE and their offsets are committed, so nothing is sent twice.
func TestRunningJobIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Delay: time.Hour}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.DrainTimeout = time.Minute // the job's end is always in time
	opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 10, MaxBytes: 1 << 20, MaxAge: time.Hour} }
	w.insert("shop.public.a", 0, 10)
	reader := meter(&opt)
	c1, stop1 := w.run(opt)
	w.eventually("a job runs", func() bool { return w.emu.Counts().Submitted == 1 })
	c2, stop2 := w.run(opt.fresh(w, "shop.public.a"))
	w.eventually("a partition is to be given up", func() bool { return read(t, reader).of("sluice.rebalances", "event=revoked").value > 0 })
	patience := 5 * time.Second // what is given up is heard of within a heartbeat
	if os.Getenv("SLUICE_MUTANT") != "" {
		patience = 15 * time.Second
	}
	for end := time.Now().Add(patience); time.Now().Before(end) && c2.Status().Partitions == 0; time.Sleep(10 * time.Millisecond) {
	}
	if c2.Status().Partitions > 0 {
		t.Error("the partition was given up while its job was running")
	}
	w.emu.SetDelay(0)
	w.eventually("the second member has its partition", func() bool { return c2.Status().Partitions == 1 && c1.Status().Partitions == 1 })
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop1()
	stop2()
	if n := w.emu.Counts().Submitted; n != 1 {
		t.Errorf("%d jobs submitted for one batch", n)
	}
	w.check()
}

// fresh is the options of another member with the same policy.
func (o Options) fresh(w *world, topics ...string) Options {
	other := w.options(topics...)
	other.Policy = o.Policy
	return other
}

// TestOpenBatchIsDropped: rows of a partition that goes are dropped with the batch
// that they are in, and what else was in it is read again: each row is sent once.
func TestOpenBatchIsDropped(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Policy = func(string) batcher.Policy {
		return batcher.Policy{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: time.Hour}
	}
	w.insert("shop.public.a", 0, 10)
	open := func(c *Connector) int {
		if s := c.Status(); len(s.Tables) > 0 {
			return s.Tables[0].Rows
		}
		return 0
	}
	c1, stop1 := w.run(opt)
	w.eventually("all rows wait", func() bool { return open(c1) == 10 })
	c2, stop2 := w.run(opt.fresh(w, "shop.public.a"))
	w.eventually("each member has its own rows", func() bool { return open(c1) == 5 && open(c2) == 5 })
	stop1() // drains
	stop2()
	if !w.equal() || w.lag("shop.public.a") != 0 {
		t.Errorf("lag %d, rows missing or wrong", w.lag("shop.public.a"))
	}
	if sent := c1.Status().Totals.Upserted + c2.Status().Totals.Upserted; sent != 10 {
		t.Errorf("%d rows were sent, want each of 10 once", sent)
	}
	w.check()
}

// TestLostMember: a member that the group has thrown out while its job was running
// commits nothing for the partitions that it had (I2), comes back and goes on.
func TestLostMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Delay: time.Hour}, "shop.public.a")
	opt := w.options("shop.public.a")
	w.insert("shop.public.a", 0, 10)
	var mu sync.Mutex
	thrown, heard, late := int32(-1), false, 0 // the generation of which the member was thrown out; whether it knows
	w.cluster.ControlKey(int16(kmsg.Heartbeat), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := q.(*kmsg.HeartbeatRequest)
		mu.Lock()
		defer mu.Unlock()
		if w.emu.Counts().Submitted == 0 || thrown >= 0 {
			return nil, nil, false
		}
		thrown = req.Generation
		resp := req.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, true
	})
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if req := q.(*kmsg.OffsetCommitRequest); heard && req.Generation <= thrown {
			late++
		}
		return nil, nil, false
	})
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if thrown >= 0 { // it has heard of it, and its job ends only now
			heard = true
			w.emu.SetDelay(0)
		}
		return nil, nil, false
	})
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	mu.Lock()
	defer mu.Unlock()
	if thrown < 0 || late > 0 {
		t.Errorf("thrown out of generation %d, the member sent %d commits of it after that", thrown, late)
	}
	w.check()
}

// TestRebalanceKeepsOrder has members come and go while the same rows change over and
// over: an older version that lands after a newer one would stay.
func TestRebalanceKeepsOrder(t *testing.T) {
	w := newWorld(t, emulator.Options{Delay: 15 * time.Millisecond}, "shop.public.a")
	r := rand.New(rand.NewPCG(3, 4))
	change := func(n int) {
		for i := range n {
			if id := r.Int64N(20); r.IntN(5) == 0 {
				w.put("shop.public.a", "d", id, "")
			} else {
				w.put("shop.public.a", "u", id, fmt.Sprint(i, r.Int()))
			}
		}
	}
	_, stop := w.run(w.options("shop.public.a"))
	for range 3 {
		change(100)
		_, next := w.run(w.options("shop.public.a"))
		change(100)
		stop()
		change(50)
		stop = next
	}
	w.eventually("tables equal", w.equal)
	w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
}

// TestThrownOut: a member that the group has thrown out, and that learns of it from a
// refused commit only, must not go on from where it stood when nobody else is left:
// another member has had its partitions meanwhile and has come further.
func TestThrownOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{Delay: 200 * time.Millisecond}, "shop.public.a")
	w.insert("shop.public.a", 0, 10)
	var mu sync.Mutex
	first, unheard := "", true // whose heartbeats do not reach the group, once its job runs
	w.cluster.ControlKey(int16(kmsg.Heartbeat), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		r := q.(*kmsg.HeartbeatRequest)
		if first == "" && w.emu.Counts().Submitted > 0 {
			first = r.MemberID
		}
		if unheard && r.MemberID == first {
			return r.ResponseKind(), nil, true
		}
		return nil, nil, false
	})
	slow := w.options("shop.public.a")
	slow.Kafka.SessionTimeout = time.Second
	slow.Pusher.PollInterval, slow.Pusher.MaxPollInterval = 5*time.Second, 5*time.Second
	reader := meter(&slow)
	w.run(slow) // its job is DONE soon, but it looks again after five seconds
	w.eventually("the first job", func() bool { return w.emu.Counts().Submitted == 1 })
	w.eventually("it is thrown out", func() bool {
		group, err := kadm.NewClient(w.client).DescribeGroups(t.Context(), "sluice")
		return err == nil && len(group["sluice"].Members) == 0
	})
	w.insert("shop.public.a", 10, 10)
	_, stop := w.run(w.options("shop.public.a"))
	w.eventually("another member delivers everything", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	jobs := w.emu.Counts().Submitted
	for end := time.Now().Add(6 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if lag := w.lag("shop.public.a"); lag != 0 {
			t.Fatalf("the group went back: lag %d", lag)
		}
	}
	mu.Lock()
	unheard = false
	mu.Unlock()
	if n := w.emu.Counts().Submitted; n != jobs {
		t.Errorf("%d jobs send again what was delivered", n-jobs)
	}
	w.put("shop.public.a", "c", 30, "later")
	w.eventually("it is a member again", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	got := read(t, reader)
	if fenced, lost := got.of("sluice.commits.fenced").value, got.of("sluice.rebalances", "event=lost").value; fenced == 0 || lost == 0 {
		t.Errorf("%v refusals and %v losses are counted", fenced, lost)
	}
	if refused := got.of("sluice.commits", "outcome=refused").value; refused == 0 || got.of("messaging.client.operation.duration", "messaging.operation.name=commit", "error.type=").count == got.of("messaging.client.operation.duration", "messaging.operation.name=commit").count {
		t.Errorf("%v refused commits are counted, and no request as failed", refused)
	}
}

// TestTopicAffine: three members share four topics, of which two feed one table; every
// table is with one member, also while members come and go, and a member that prefers Kafka's
// own balancer may join them.
func TestTopicAffine(t *testing.T) {
	t.Parallel()
	topics := []string{"shop.public.a", "shop.public.b", "shop.public.c", "more.public.a"}
	w := newWorld(t, emulator.Options{Delay: 50 * time.Millisecond}, topics...)
	options := func(b kafka.Balancer) Options {
		opt := w.options(topics...)
		opt.Kafka.Balancer = b
		opt.Kafka.TableOf = opt.Decoder.TableOfTopic
		return opt
	}
	// The emulator answers 409 to a job while another one of its table runs.
	feed := func(from int64) {
		for id := from; id < from+40; id++ {
			w.put(topics[id%3], "c", id, "x")
		}
		key, value := change("shop.public.a", "c", from+1000, "y")
		w.produce("more.public.a", 1, key, value)
		w.model["public_a"][from+1000] = "y"
	}
	c1, _ := w.run(options(kafka.TopicAffine))
	feed(0)
	w.eventually("one member has all", func() bool { return c1.Status().Partitions == 8 && w.equal() })
	c2, stop2 := w.run(options(kafka.TopicAffine))
	c3, _ := w.run(options(kafka.TopicAffine))
	feed(100)
	w.eventually("a table each", func() bool {
		n := []int{c1.Status().Partitions, c2.Status().Partitions, c3.Status().Partitions}
		slices.Sort(n)
		return slices.Equal(n, []int{2, 2, 4}) && w.equal()
	})
	stop2()
	feed(200)
	w.eventually("the other two have all", func() bool { return c1.Status().Partitions+c3.Status().Partitions == 8 && w.equal() })
	if n := w.emu.Counts().Conflicts; n > 0 {
		t.Errorf("%d jobs met another one of their table", n)
	}

	// A member that knows Kafka's own balancer better joins, and the others follow.
	c4, _ := w.run(options(kafka.CooperativeSticky))
	feed(300)
	w.eventually("it takes part", func() bool { return c4.Status().Partitions > 0 && w.equal() })
	for _, topic := range topics {
		w.eventually("lag zero", func() bool { return w.lag(topic) == 0 })
	}
}

// TestBalancerIsChanged: a group is changed from Kafka's own balancer to topic-affine and back,
// member by member, while changes come. At each end it has the balancer of its members; in no
// generation do two of them commit a partition, and each change is sent once.
func TestBalancerIsChanged(t *testing.T) {
	t.Parallel()
	topics := []string{"shop.public.a", "shop.public.b"}
	var mu sync.Mutex
	times := map[string]int{}
	w := newWorld(t, emulator.Options{Delay: 20 * time.Millisecond, OnRow: func(table, key string, _ []any) {
		mu.Lock()
		defer mu.Unlock()
		times[table+" "+key]++
	}}, topics...)
	by := map[string]string{} // partition and generation → who has committed
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		req := q.(*kmsg.OffsetCommitRequest)
		for _, topic := range req.Topics {
			for _, p := range topic.Partitions {
				at := fmt.Sprintf("%s%x/%d in generation %d", topic.Topic, topic.TopicID, p.Partition, req.Generation)
				if was := by[at]; was != "" && was != req.MemberID {
					t.Errorf("%s is committed by two members", at)
				}
				by[at] = req.MemberID
			}
		}
		return nil, nil, false
	})
	id := int64(0)
	feed := func() {
		for range 20 {
			w.put(topics[id%2], "c", id, "x")
			id++
		}
	}
	protocol := func() string {
		groups, err := kadm.NewClient(w.client).DescribeGroups(t.Context(), "sluice")
		if err != nil || groups["sluice"].State != "Stable" {
			return ""
		}
		return groups["sluice"].Protocol
	}
	var stops []func()
	start := func(b kafka.Balancer) {
		opt := w.options(topics...)
		opt.Kafka.Balancer = b
		c, stop := w.run(opt)
		stops = append(stops, stop)
		w.eventually("it is a member", func() bool { return c.Status().State == Running })
	}
	settled := func(want string) {
		t.Helper()
		w.eventually("all arrives", func() bool { return w.equal() && w.lag(topics[0]) == 0 && w.lag(topics[1]) == 0 })
		w.eventually("the group's balancer is "+want, func() bool { return protocol() == want })
	}
	start(kafka.CooperativeSticky)
	start(kafka.CooperativeSticky)
	feed()
	settled("cooperative-sticky")
	for _, change := range []struct {
		to   kafka.Balancer
		name string
	}{{kafka.TopicAffine, "sluice-topic-affine"}, {kafka.CooperativeSticky, "cooperative-sticky"}} {
		for range 2 {
			start(change.to)
			feed()
			stops[0]()
			stops = stops[1:]
			feed()
		}
		settled(change.name)
	}
	mu.Lock()
	defer mu.Unlock()
	for row, n := range times {
		if n > 1 {
			t.Errorf("%s was sent %d times", row, n)
		}
	}
}
