package connector

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// sayWhere requires of all offsets that are committed that they say in which state of the
// target their rows are.
func (s *stream) sayWhere() {
	s.t.Helper()
	at, err := kadm.NewClient(s.client).FetchOffsets(s.t.Context(), "sluice")
	if err != nil {
		s.t.Fatal(err)
	}
	at.Each(func(o kadm.OffsetResponse) {
		if m, err := intent.Parse(o.Metadata); err != nil || m.Target == "" {
			s.t.Fatalf("%s/%d: %d is committed beside %q", o.Topic, o.Partition, o.At, o.Metadata)
		}
	})
}

// TestRewindNotTaken: brokers have no room for entries. A process notices that the pipeline
// was started anew, and ends before one of its commits is taken: the next one must see by what
// stands beside the offsets that nothing before them is there.
func TestRewindNotTaken(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{})
	shut := s.brokersTake(100)
	c, stop := s.run(s.options(true, false))
	s.insert("shop.public.a", 0, 10)
	s.eventually("delivered", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
	s.sayWhere()
	shut.Store(true)
	s.restart()
	s.eventually("it begins anew", func() bool { return c.Status().Totals.Read > 10 })
	stop()
	if lag := s.lag("shop.public.a"); lag != 0 {
		t.Fatalf("lag %d: a commit was taken", lag)
	}
	shut.Store(false)
	s.run(s.options(true, false))
	s.eventually("filled anew", func() bool { return s.equal() && s.lag("shop.public.a") == 0 })
}

// TestNoRoomForTheState: brokers take nothing beside an offset that says in which state of the
// target its rows are. What it says could not be told from what a person has set: nothing is
// committed, and the hold says what to do.
func TestNoRoomForTheState(t *testing.T) {
	t.Parallel()
	s := newStream(t, pipeline.Options{})
	s.brokersTake(20)
	s.insert("shop.public.a", 0, 10)
	c, stop := s.run(s.options(true, false))
	s.eventually("both topics are held", func() bool { return len(c.Status().Holds) == 2 })
	for _, h := range c.Status().Holds {
		if !strings.Contains(h.Reason, "state of the target") || !strings.Contains(h.Remedy, "offset.metadata.max.bytes") {
			t.Errorf("the hold says %+v", h)
		}
	}
	stop()
	s.sayWhere()
}

// TestStateThatIsNotTaken: of a partition whose commit was refused for the name of the target's
// state nothing is to be committed any more, also not what comes after.
func TestStateThatIsNotTaken(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Memory = new(forgetful)
	c := w.idle(opt)
	id := kafka.Partition{Topic: "shop.public.a"}
	p := w.hold(c, id, w.batch(c, "public_a", 1), 5)
	for range 2 { // first the entries are too much
		sent := c.news()
		if len(sent) != 1 {
			t.Fatalf("%v is to be committed", sent)
		}
		c.onCommitted(committed{contents: sent, errs: map[kafka.Partition]error{id: kerr.OffsetMetadataTooLarge}})
	}
	c.ledger.Done(1, Delivered)
	c.ledger.Advance(id, 5)
	if n := c.news(); len(n) > 0 || !p.stopped || len(c.holds) != 1 {
		t.Errorf("%v is to be committed, holds %+v", n, c.holds)
	}
}
