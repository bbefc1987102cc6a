package connector

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// withhold has the broker answer fetches of partition 0 from offset 1 on as if they were
// from offset 2 on, so many times. It returns how often it has.
func (w *world) withhold(times int32) *atomic.Int32 {
	done := new(atomic.Int32)
	w.cluster.ControlKey(int16(kmsg.Fetch), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		for _, t := range q.(*kmsg.FetchRequest).Topics {
			for i := range t.Partitions {
				if p := &t.Partitions[i]; p.Partition == 0 && p.FetchOffset == 1 && done.Load() < times {
					p.FetchOffset = 2
					done.Add(1)
				}
			}
		}
		return nil, nil, false
	})
	return done
}

// TestWithheldRecord: a record that is in the log does not come. Nothing behind it is
// committed, and its table held with the numbers: it is no gap of the broker's.
func TestWithheldRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	for id := int64(0); id < 8; id += 2 { // partition 0
		w.put("shop.public.a", "c", id, "x")
	}
	w.commitAs("shop.public.a", 0, 1, "")
	w.commitAs("shop.public.a", 1, 0, "")
	withheld := w.withhold(1)
	opt := w.options("shop.public.a")
	reader := meter(&opt)
	c, stop := w.run(opt)
	w.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
	h := c.Status().Holds[0]
	if h.Table != "public_a" || !strings.Contains(h.Reason, "residual 1") || h.Remedy != defect {
		t.Errorf("the hold says %+v", h)
	}
	stop()
	if lag := w.lag("shop.public.a"); withheld.Load() != 1 || lag != 3 {
		t.Errorf("%d times withheld, lag %d, want the record and what is behind it", withheld.Load(), lag)
	}
	if n := read(t, reader).of("sluice.residuals").value; n != 1 {
		t.Errorf("%v residuals counted", n)
	}
}

// TestWithheldBeforeAHold: a record that is in the log does not come, and the next one is bad and
// holds. The first is not committed as passed, for whoever then moves the group's offset past the
// bad one looks at where that stands.
func TestWithheldBeforeAHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.put("shop.public.a", "c", 0, "x")
	w.put("shop.public.a", "c", 2, "x")
	w.produce("shop.public.a", 0, `{"id":4}`, `{"op":`)
	w.commitAs("shop.public.a", 0, 1, "")
	w.commitAs("shop.public.a", 1, 0, "")
	w.withhold(1)
	opt := w.options("shop.public.a")
	reader := meter(&opt)
	c, stop := w.run(opt)
	w.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
	w.eventually("the residual", func() bool { return read(t, reader).of("sluice.residuals").value == 1 })
	stop()
	if lag := w.lag("shop.public.a"); lag != 2 {
		t.Errorf("lag %d, want the record that did not come and the bad one", lag)
	}
}

// TestHoles: offsets that give no record have a reason, and are passed: the leader does
// not give them either, or the topic is compacted; or nobody may read whether it is,
// which is counted for itself.
func TestHoles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy  string // of the topic when it is read
		refused bool   // the policy may not be read
		skipped float64
		unread  float64
	}{
		"a compacted topic":          {policy: "compact", skipped: 2},
		"compacted some time ago":    {policy: "delete", skipped: 2},
		"a policy that is not shown": {policy: "compact", refused: true, unread: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{})
			if err := w.cluster.CreateTopic("shop.public.a", 2, map[string]string{"cleanup.policy": "compact"}); err != nil {
				t.Fatal(err)
			}
			for _, id := range []int64{2, 4, 4, 4, 4} {
				w.put("shop.public.a", "u", id, "x")
			}
			w.cluster.Compact()
			if _, err := kadm.NewClient(w.client).AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "cleanup.policy", Value: &c.policy}}, "shop.public.a"); err != nil {
				t.Fatal(err)
			}
			if c.refused {
				w.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(q kmsg.Request) (kmsg.Response, error, bool) {
					w.cluster.KeepControl()
					return refuseConfigs(q.(*kmsg.DescribeConfigsRequest), kerr.TopicAuthorizationFailed), nil, true
				})
			}
			opt := w.options("shop.public.a")
			reader := meter(&opt)
			conn, stop := w.run(opt)
			w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
			stop()
			m := read(t, reader)
			if n, u := m.of("sluice.offsets.skipped").value, m.of("sluice.offsets.unverified").value; n != c.skipped || u != c.unread {
				t.Errorf("%v offsets are counted as skipped and %v as unverified, want %v and %v", n, u, c.skipped, c.unread)
			}
			if s := conn.Status(); s.Totals.Gaps != 2 || len(s.Holds) > 0 {
				t.Errorf("%d gaps, on hold: %+v", s.Totals.Gaps, s.Holds)
			}
		})
	}
}

// TestMarkersArePassed: the last thing in a log is a transaction's marker. It is no record
// that anybody waits for.
func TestMarkersArePassed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	transaction := w.transactions()
	transaction("x", kgo.TryCommit, 2)
	transaction("x", kgo.TryAbort, 2, 4)
	transaction("x", kgo.TryCommit, 4)
	w.model["public_a"] = map[int64]string{2: "x", 4: "x"}
	c, stop := w.run(w.options("shop.public.a"))
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	if s := c.Status(); s.Totals.Gaps != 5 || len(s.Holds) > 0 {
		t.Errorf("%d gaps, want three markers and two aborted records; on hold: %+v", s.Totals.Gaps, s.Holds)
	}
}

// TestHoleIsNotPassedUnasked: as long as the leader has not said that it has nothing in a
// hole, nothing behind it is committed, be it DONE; nor is a policy that cannot be read now
// one that may not be read.
func TestHoleIsNotPassedUnasked(t *testing.T) {
	t.Parallel()
	for name, refuse := range map[string]func(*kmsg.DescribeConfigsRequest) (kmsg.Response, error){
		"no answer": func(*kmsg.DescribeConfigsRequest) (kmsg.Response, error) { return nil, kerr.RequestTimedOut },
		"a passing refusal": func(q *kmsg.DescribeConfigsRequest) (kmsg.Response, error) {
			return refuseConfigs(q, kerr.RequestTimedOut), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			w.put("shop.public.a", "c", 2, "x")
			w.transactions()("x", kgo.TryAbort, 4)
			w.put("shop.public.a", "c", 6, "x")
			var answer atomic.Bool
			asked := make(chan struct{}, 100)
			w.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(q kmsg.Request) (kmsg.Response, error, bool) {
				w.cluster.KeepControl()
				if answer.Load() {
					return nil, nil, false
				}
				select {
				case asked <- struct{}{}:
				default:
				}
				resp, err := refuse(q.(*kmsg.DescribeConfigsRequest))
				return resp, err, true
			})
			opt := w.options("shop.public.a")
			w.run(opt)
			w.eventually("the rows", w.equal)
			w.eventually("what is before the hole is committed", func() bool { return w.lag("shop.public.a") == 3 })
			<-asked
			<-asked // it was not content with the first
			if lag := w.lag("shop.public.a"); lag != 3 {
				t.Errorf("lag %d: the hole was passed", lag)
			}
			answer.Store(true)
			w.eventually("lag zero", func() bool { return w.lag("shop.public.a") == 0 })
		})
	}
}

// refuseConfigs answers with an error for each topic.
func refuseConfigs(q *kmsg.DescribeConfigsRequest, err *kerr.Error) kmsg.Response {
	resp := q.ResponseKind().(*kmsg.DescribeConfigsResponse)
	for _, r := range q.Resources {
		one := kmsg.NewDescribeConfigsResponseResource()
		one.ResourceType, one.ResourceName, one.ErrorCode = r.ResourceType, r.ResourceName, err.Code
		resp.Resources = append(resp.Resources, one)
	}
	return resp
}
