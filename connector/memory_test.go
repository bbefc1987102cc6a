package connector

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// stream is a world whose target is a pipeline that may forget.
type stream struct {
	*world
	pipe    *pipeline.Emulator
	appends bool         // its tables have no key
	signals push.Signals // of the sink
}

const shopProgram = `CREATE TABLE public_a (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR); CREATE TABLE public_b (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR);`

func newStream(t *testing.T, po pipeline.Options) *stream {
	t.Helper()
	s := &stream{world: newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b"), pipe: pipeline.New(po)}
	s.world.elsewhere = true
	if err := s.pipe.Create("shop", shopProgram); err != nil {
		t.Fatal(err)
	}
	s.pipe.Start("shop")
	return s
}

func (s *stream) options(rewind, checkpoint bool) Options {
	opt := s.world.options("shop.public.a", "shop.public.b")
	sink, err := feldera.New(feldera.Options{URL: "http://feldera:8080", Pipeline: "shop", RequestTimeout: 10 * time.Second, Checkpoint: checkpoint,
		Append: func(string) bool { return s.appends }, Signals: s.signals}, &pushtest.Transport{Handler: s.pipe})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := sink.State(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	enc := &batcher.JSONEncoder{MaxChunkRows: 20, MaxChunkBytes: 1 << 20, Form: sink.Form}
	opt.Encode, opt.Split = enc.Encode, func(c []schema.Chunk) [][]schema.Chunk { return [][]schema.Chunk{c} }
	opt.Pusher.Sink, opt.Memory, opt.Rewind = sink, sink, rewind
	if s.appends {
		opt.Decoder.Mode = func(string) debezium.Mode { return debezium.ModeAppend }
	}
	return opt
}

func (s *stream) equal() bool {
	for table, want := range s.model {
		got := map[int64]string{}
		for _, row := range s.pipe.Rows("shop", table) {
			got[row[0].(int64)] = row[1].(string)
		}
		if !maps.Equal(got, want) {
			return false
		}
	}
	return true
}

func (s *stream) restart() {
	s.pipe.Crash("shop")
	s.pipe.Start("shop")
}

// TestTargetForgets: a pipeline that is started anew without its tables gets all of them
// again, also where nobody ran when it happened, where it happens again before all is there,
// and where nothing changes any more.
func TestTargetForgets(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{Lag: 20 * time.Millisecond})
	opt := s.options(true, false)
	_, stop := s.run(opt)
	s.insert("shop.public.a", 0, 100)
	s.insert("shop.public.b", 0, 30)
	for i := range int64(40) {
		s.put("shop.public.a", "d", i, "")
		s.put("shop.public.a", "u", 40+i, "later")
	}
	done := func(what string) {
		t.Helper()
		s.eventually(what, func() bool { return s.equal() && s.lag("shop.public.a")+s.lag("shop.public.b") == 0 })
	}
	done("delivered")
	s.restart()
	done("after a restart that nothing told of")
	s.restart()
	s.put("shop.public.a", "u", 99, "in between")
	time.Sleep(3 * time.Second) // while it is read again
	s.restart()
	s.insert("shop.public.b", 30, 60)
	done("after two restarts")
	stop()
	s.restart()
	s.put("shop.public.b", "d", 1, "")
	s.run(s.options(true, false))
	done("after a restart while nobody ran")
}

// TestTargetForgetsHeld: unless rewind is chosen, the tables are held and nothing is sent.
func TestTargetForgetsHeld(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{})
	c, stop := s.run(s.options(false, false))
	s.insert("shop.public.a", 0, 10)
	s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	s.restart()
	s.put("shop.public.a", "u", 1, "later")
	held := func(c *Connector) {
		t.Helper()
		s.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
		if h := c.Status().Holds[0]; !strings.Contains(h.Reason, "lost what was delivered") || !strings.Contains(h.Remedy, "SLUICE_FELDERA_ON_STATE_LOSS=rewind") {
			t.Errorf("the hold says %+v", h)
		}
	}
	held(c)
	stop()
	c, stop = s.run(s.options(false, false))
	held(c)
	s.insert("shop.public.b", 0, 10) // of which nothing was delivered before
	s.eventually("the other topic is read", func() bool { return s.lag("shop.public.b") == 0 })
	for _, h := range c.Status().Holds {
		if h.Topic != "shop.public.a" {
			t.Errorf("nothing of it is lost, and it is held: %+v", h)
		}
	}
	if n := len(s.pipe.Rows("shop", "public_a")); n > 0 {
		t.Errorf("%d rows were sent all the same", n)
	}
	stop()
	s.run(s.options(true, false))
	s.eventually("filled anew", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
}

// awaited executes its first job in the moment in which the next state of the target is accepted.
type awaited struct {
	*feldera.Sink
	accepts                   int
	one                       atomic.Bool
	begun, accepted, executed chan struct{}
}

func (s *awaited) Execute(ctx context.Context, t push.Ticket) (string, error) {
	if s.one.CompareAndSwap(false, true) {
		close(s.begun)
		<-s.accepted
		defer close(s.executed)
		ctx = context.WithoutCancel(ctx) // it has looked at that before
	}
	return s.Sink.Execute(ctx, t)
}

func (s *awaited) Accept(state string) {
	s.Sink.Accept(state)
	if s.accepts++; s.accepts == 2 {
		close(s.accepted)
		<-s.executed
	}
}

// TestTargetForgetsAJob: a job that was made for what the target has forgotten is not sent to
// what it is now, also not in the moment in which that is noticed.
func TestTargetForgetsAJob(t *testing.T) {
	t.Parallel()
	var posted atomic.Int64
	s := newStream(t, pipeline.Options{OnEvent: func(e pipeline.Event) {
		if e.What == "rows" {
			posted.Add(int64(e.Rows))
		}
	}})
	opt := s.options(false, false)
	sink := &awaited{Sink: opt.Memory.(*feldera.Sink), begun: make(chan struct{}), accepted: make(chan struct{}), executed: make(chan struct{})}
	opt.Pusher.Sink, opt.Memory = sink, sink
	c, _ := s.run(opt)
	s.insert("shop.public.a", 0, 10)
	<-sink.begun
	s.restart()
	s.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
	if n := posted.Load(); n > 0 {
		t.Errorf("%d rows were sent to a target that has lost what was before them", n)
	}
}

// TestRewindBeforeTheClientIsThere: where a partition is to be read again is known before the
// client has been told its committed offset, that of before, from which it would begin.
func TestRewindBeforeTheClientIsThere(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{})
	_, stop := s.run(s.options(true, false))
	s.insert("shop.public.a", 0, 10)
	s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	stop()
	s.restart()
	var known atomic.Bool
	s.cluster.ControlKey(int16(kmsg.OffsetFetch), func(q kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		req := q.(*kmsg.OffsetFetchRequest)
		if req.Groups[0].MemberID == nil { // the client asks as a member
			return nil, nil, false
		}
		resp := q.ResponseKind().(*kmsg.OffsetFetchResponse)
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group = req.Groups[0].Group
		for _, topic := range req.Groups[0].Topics {
			of := kmsg.NewOffsetFetchResponseGroupTopic()
			of.Topic, of.TopicID = topic.Topic, topic.TopicID
			for _, id := range topic.Partitions {
				p := kmsg.NewOffsetFetchResponseGroupTopicPartition()
				if p.Partition, p.Offset = id, 5; !known.Load() {
					p.ErrorCode = kerr.UnstableOffsetCommit.Code // so it asks again
				}
				of.Partitions = append(of.Partitions, p)
			}
			group.Topics = append(group.Topics, of)
		}
		resp.Groups = append(resp.Groups, group)
		return resp, nil, true
	})
	s.run(s.options(true, false))
	s.eventually("it begins anew", func() bool { return s.lag("shop.public.a") == 10 })
	time.Sleep(200 * time.Millisecond)
	known.Store(true)
	s.eventually("filled anew", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
}

// TestRewindOfNothing: a partition that has no committed offset, and of which nothing was read
// before its target forgot, is read as soon as there is something.
func TestRewindOfNothing(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{})
	s.run(s.options(true, false))
	s.insert("shop.public.a", 0, 10)
	s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	s.restart()
	s.eventually("delivered again", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	s.insert("shop.public.b", 0, 10)
	s.eventually("the other topic", func() bool { return s.equal() && s.lag("shop.public.b") == 0 })
}

// TestTargetRemembers: with checkpoints a crash loses nothing that was committed, and
// nothing is read again that was.
func TestTargetRemembers(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{Enterprise: true, Lag: 20 * time.Millisecond})
	opt := s.options(false, true)
	opt.Kafka.Balancer = kafka.TopicAffine
	_, stop := s.run(opt)
	for i := range int64(4) {
		s.insert("shop.public.a", 10*i, 10*i+10)
		s.put("shop.public.b", "u", 1, fmt.Sprint("v", i))
		s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a")+s.lag("shop.public.b") == 0 })
		s.restart()
		if !s.equal() {
			t.Fatalf("after crash %d rows that were committed are gone", i)
		}
	}
	stop()
}

// TestTokenOutlivesItsProcess: a process ends between the post of a batch and the commit of
// its offsets. The next one finds the token beside them, asks the pipeline for it and sends
// nothing again, so that not even rows without a key are there twice.
func TestTokenOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	for _, appends := range []bool{false, true} {
		t.Run(fmt.Sprintf("appends %v", appends), func(t *testing.T) {
			t.Parallel()
			var posted atomic.Int64
			s := newStream(t, pipeline.Options{OnEvent: func(e pipeline.Event) {
				if e.What == "rows" {
					posted.Add(int64(e.Rows))
				}
			}})
			if s.appends = appends; appends {
				if err := s.pipe.Create("shop", strings.ReplaceAll(shopProgram, " PRIMARY KEY", "")); err != nil {
					t.Fatal(err)
				}
				s.pipe.Start("shop")
			}
			s.pipe.Stick("shop", true) // nothing is complete
			opt := s.options(false, false)
			opt.DrainTimeout = time.Second
			opt.Policy = func(string) batcher.Policy { return batcher.Policy{MaxRows: 50, MaxBytes: 1 << 20, MaxAge: time.Hour} }
			s.insert("shop.public.a", 0, 50) // more than one array
			_, stop := s.run(opt)
			adm := kadm.NewClient(s.client)
			s.eventually("the token is noted", func() bool {
				offsets, err := adm.FetchOffsets(t.Context(), "sluice")
				if err != nil {
					return false
				}
				noted := 0
				offsets.Each(func(o kadm.OffsetResponse) {
					m, err := intent.Parse(o.Metadata)
					if e := m.Tables["public_a"]; err == nil && e.Token != "" && e.End > o.At {
						noted++
					}
				})
				return noted == 2
			})
			stop()
			if lag := s.lag("shop.public.a"); lag != 50 {
				t.Fatalf("lag %d: it was committed", lag)
			}
			s.pipe.Stick("shop", false)
			c, stop := s.run(s.options(false, false))
			s.eventually("committed", func() bool { return s.lag("shop.public.a") == 0 })
			if n := posted.Load(); n != 50 || len(c.Status().Holds) > 0 {
				t.Errorf("%d rows were posted for 50 changes, holds %+v", n, c.Status().Holds)
			}
			s.put("shop.public.a", "c", 50, "after it")
			s.eventually("it goes on", func() bool { return s.lag("shop.public.a") == 0 && len(s.pipe.Rows("shop", "public_a")) == 51 })
			stop()
		})
	}
}

// TestOtherProgram: rows that were encoded when the pipeline got another program are read and
// encoded again, as what its column is now.
func TestOtherProgram(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{Enterprise: true, Lag: 20 * time.Millisecond})
	opt := s.options(false, false)
	encode, change := opt.Encode, sync.Once{}
	opt.Encode = func(b *batcher.Batch) ([]schema.Chunk, error) {
		chunks, err := encode(b)
		change.Do(func() {
			s.pipe.Stop("shop", false)
			w := httptest.NewRecorder()
			s.pipe.ServeHTTP(w, httptest.NewRequest("PUT", "/v0/pipelines/shop", strings.NewReader(fmt.Sprintf(`{"program_code":%q}`, strings.ReplaceAll(shopProgram, "VARCHAR", "VARIANT")))))
			if w.Code != http.StatusOK {
				t.Error(w.Body)
			}
			s.pipe.Start("shop")
		})
		return chunks, err
	}
	s.put("shop.public.a", "c", 1, "123")
	s.run(opt)
	s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
}

// TestOffsetsOfAnotherTarget: what one target has says nothing of another. An offset that a
// person has set is taken at its word.
func TestOffsetsOfAnotherTarget(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{})
	s.insert("shop.public.a", 0, 10)
	jobs := s.world.options("shop.public.a", "shop.public.b") // to a target that remembers
	_, stop := s.run(jobs)
	s.eventually("delivered there", func() bool { return s.lag("shop.public.a") == 0 })
	stop()

	held := func(what string, opt Options, remedy string) {
		t.Helper()
		c, stop := s.run(opt)
		defer stop()
		s.eventually(what, func() bool { return len(c.Status().Holds) > 0 })
		if h := c.Status().Holds[0]; !strings.Contains(h.Reason, "another target") || !strings.Contains(h.Remedy, remedy) || !strings.Contains(h.Remedy, "SLUICE_KAFKA_GROUP") {
			t.Errorf("%s: the hold says %+v", what, h)
		}
	}
	held("from jobs to a pipeline", s.options(false, false), "SLUICE_FELDERA_ON_STATE_LOSS=rewind")
	_, stop = s.run(s.options(true, false))
	s.eventually("filled by reading all again", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	stop()
	held("from a pipeline to jobs", jobs, "")

	for part := range int32(2) {
		s.commitAs("shop.public.a", part, 5, "")
		s.commitAs("shop.public.b", part, 0, "")
	}
	s.restart() // it has nothing now
	c, _ := s.run(s.options(false, false))
	for id := range int64(2) { // one behind each of the offsets
		s.put("shop.public.a", "u", id, "later")
	}
	s.eventually("read from where a person said", func() bool { return s.lag("shop.public.a") == 0 })
	if n := len(s.pipe.Rows("shop", "public_a")); n != 2 || len(c.Status().Holds) > 0 {
		t.Errorf("%d rows, want the two behind the offsets; %+v", n, c.Status().Holds)
	}
}

// TestOffsetsOfThisLife: what another process has committed since the target was started anew
// is there, and is not read again by one that takes notice later; so is what a person says.
func TestOffsetsOfThisLife(t *testing.T) {
	c := &Connector{targetState: "second"}
	c.opt.Memory = new(feldera.Sink)
	for target, there := range map[string]bool{"second": true, "first": false, "": true} {
		m := intent.Metadata{Target: target}
		at := kafka.Offset{At: 2}
		if target != "" { // else nothing stands beside it
			at.Metadata = m.String()
		}
		if reason, _ := c.loss(at, m); (reason == "") != there {
			t.Errorf("beside the offset stands %q: %q", target, reason)
		}
	}
}

// forgetful notes which jobs it is to forget, and which partitions it is told of.
type forgetful struct {
	jobs []string
	has  map[string][]int32
}

func (*forgetful) State(context.Context) (string, error) { return "state", nil }
func (*forgetful) Accept(string)                         {}
func (f *forgetful) Forget(job string)                   { f.jobs = append(f.jobs, job) }
func (f *forgetful) Assigned(parts map[string][]int32)   { f.has = parts }

// TestTargetLearnsPartitions: with each assignment, also one of nothing new, the target is told
// all that are here. In between it is not: most of those that a rebalance takes may come back.
func TestTargetLearnsPartitions(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	target := &forgetful{}
	opt.Memory = target
	c := w.idle(opt)
	assign := func(parts ...kafka.Partition) {
		c.assign(kafka.Assigned{Partitions: parts, Done: make(chan struct{})})
	}
	says := func(want string) {
		t.Helper()
		for _, ids := range target.has {
			slices.Sort(ids)
		}
		if got := fmt.Sprint(target.has); got != want {
			t.Errorf("it was told %s, want %s", got, want)
		}
	}
	a0, a1, b0 := kafka.Partition{Topic: "shop.public.a"}, kafka.Partition{Topic: "shop.public.a", ID: 1}, kafka.Partition{Topic: "shop.public.b"}
	assign(a0, a1, b0)
	says("map[shop.public.a:[0 1] shop.public.b:[0]]")
	c.release(kafka.Revoked{Partitions: []kafka.Partition{a1}, Done: make(chan struct{})})
	says("map[shop.public.a:[0 1] shop.public.b:[0]]")
	assign()
	says("map[shop.public.a:[0] shop.public.b:[0]]")
	c.release(kafka.Revoked{Partitions: []kafka.Partition{a0, b0}, Done: make(chan struct{})})
	assign(a1)
	says("map[shop.public.a:[1]]")
}

// TestHeldJobIsForgotten: nobody asks any more what became of the job of a table that is held.
// Other tables must not wait for that.
func TestHeldJobIsForgotten(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	target := &forgetful{}
	opt.Memory = target
	c := w.idle(opt)
	batch := w.batch(c, "public_a", 1)
	w.hold(c, kafka.Partition{Topic: "shop.public.a"}, batch, 5)
	batch.delivery = push.Adopt(push.Ticket{ID: "job", Table: "public_a"}, true)
	batch.shown.Store(batch.delivery)
	c.onDelivered(delivered{work: batch, err: &push.Error{Op: "read completion", Kind: push.Rejected}})
	if c.lane("public_a").held == "" || len(target.jobs) != 1 || target.jobs[0] != "job" {
		t.Errorf("held for %q, forgotten: %v", c.lane("public_a").held, target.jobs)
	}
}
