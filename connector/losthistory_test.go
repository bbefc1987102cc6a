package connector

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestForeignMetadata: what somebody else wrote beside an offset is not overwritten,
// except for what client libraries write by themselves.
func TestForeignMetadata(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		metadata, reason string
	}{
		{"", ""},
		{"other-b1f4cbd2-8a07-4f43-9e4c-1ba1a4b2a3d5", ""},
		{"checkpoint:17", "that Sluice did not write"},
		{`{"sluice":9}`, "of version 9"},
		{intent.Metadata{Topic: "anotherTopicsId"}.String(), "made anew"},
	} {
		t.Run(c.metadata, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
			w.put("shop.public.a", "c", 2, "x")
			w.put("shop.public.b", "c", 2, "x")
			w.commitAs("shop.public.a", 0, 0, c.metadata)
			conn, _ := w.run(w.options("shop.public.a", "shop.public.b"))
			if c.reason == "" {
				w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
				return
			}
			w.eventually("the other topic", func() bool { return w.lag("shop.public.b") == 0 })
			holdsAt(t, conn, "topic shop.public.a, at shop.public.a/0", c.reason)
			at, _ := kadm.NewClient(w.client).FetchOffsets(t.Context(), "sluice")
			if o, _ := at.Lookup("shop.public.a", 0); o.At != 0 || o.Metadata != c.metadata || w.emu.Snapshot("public_a") != nil {
				t.Errorf("overwritten: %+v", o)
			}
		})
	}
}

func holdsAt(t *testing.T, c *Connector, where, reason string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, h := range c.Status().Holds {
			if h.Where() == where && strings.Contains(h.Reason, reason) && h.Remedy != "" {
				return
			}
		}
	}
	t.Errorf("holds %+v, want one of %s: %s", c.Status().Holds, where, reason)
}

// TestOffsetExpired: a partition that had an offset and has none any more is held, also where
// only the group's first process could say that it had; one that never had any is read from its
// beginning.
func TestOffsetExpired(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		gone  int32
		grown bool // by a partition that another process reads first
	}{
		"the first":                        {gone: 0},
		"the last":                         {gone: 1},
		"one of which more have been made": {gone: 1, grown: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			run := func() (c *Connector, stop func()) { return w.run(w.options("shop.public.a")) }
			w.insert("shop.public.a", 0, 4)
			_, stop := run()
			w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
			w.put("shop.public.a", "u", 0, "again")
			w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
			stop()
			adm := kadm.NewClient(w.client)
			if tc.grown {
				if _, err := adm.CreatePartitions(t.Context(), 1, "shop.public.a"); err != nil {
					t.Fatal(err)
				}
				key, value := change("shop.public.a", "c", 100, "new partition")
				w.client.ForceMetadataRefresh()
				w.eventually("the new partition", func() bool {
					rec := &kgo.Record{Topic: "shop.public.a", Partition: 2, Key: []byte(key), Value: []byte(value)}
					return w.client.ProduceSync(t.Context(), rec).FirstErr() == nil
				})
				w.model["public_a"][100] = "new partition"
				_, stop := run()
				w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
				stop()
			}
			gone := kadm.TopicsSet{}
			gone.Add("shop.public.a", tc.gone)
			if _, err := adm.DeleteOffsets(t.Context(), "sluice", gone); err != nil {
				t.Fatal(err)
			}
			jobs := w.emu.Counts().Submitted
			c, _ := run()
			holdsAt(t, c, fmt.Sprint("topic shop.public.a, at shop.public.a/", tc.gone), "is gone, though it had one")
			if n := w.emu.Counts().Submitted; n != jobs {
				t.Errorf("%d jobs send again what was delivered", n-jobs)
			}
		})
	}
}

// TestAllOffsetsExpired: a group without any offset is new, or has lost all that it had.
// Where that is said, it is held; a new topic beside others is not.
func TestAllOffsetsExpired(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a")
	w.insert("shop.public.a", 0, 4)
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 })
	stop()
	opt.HoldNewGroup = true
	opt.Kafka.Topics = append(opt.Kafka.Topics, "shop.public.b")
	_, stop = w.run(opt)
	w.eventually("the new topic, which is empty", func() bool { return w.at("commit shop.public.b/0 0") >= 0 && w.at("commit shop.public.b/1 0") >= 0 })
	w.insert("shop.public.b", 0, 4)
	w.eventually("the new topic", func() bool { return w.equal() && w.lag("shop.public.b") == 0 })
	stop()
	adm := kadm.NewClient(w.client)
	if _, err := adm.DeleteGroup(t.Context(), "sluice"); err != nil {
		t.Fatal(err)
	}
	jobs := w.emu.Counts().Submitted
	c, stop := w.run(opt)
	w.eventually("both are held", func() bool { return len(c.Status().Holds) == 2 })
	if h := c.Status().Holds[0]; !strings.Contains(h.Reason, "no offsets at all") || !strings.Contains(h.Remedy, "SLUICE_KAFKA_AUTO_OFFSET_RESET=earliest") {
		t.Errorf("the hold says %+v", h)
	}
	stop()
	if n := w.emu.Counts().Submitted; n != jobs {
		t.Errorf("%d jobs send again what was delivered", n-jobs)
	}
}

// TestStartWithoutHistory: nobody knows whether what retention has deleted was delivered. That is
// said, once for each partition; of one that has all its records there is nothing to say.
func TestStartWithoutHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	w.insert("shop.public.a", 0, 8)
	if err := w.cluster.DeleteRecords("shop.public.a", 1, 2); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said []string
	opt := w.options("shop.public.a")
	opt.Logger = slog.New(lines("first records were deleted", func(line string) {
		mu.Lock()
		defer mu.Unlock()
		said = append(said, line)
	}))
	_, stop := w.run(opt)
	w.eventually("what is there", func() bool { return w.lag("shop.public.a") == 0 })
	stop()
	if len(said) != 1 || !strings.Contains(said[0], "shop.public.a/1") || !strings.Contains(said[0], "SLUICE_KAFKA_AUTO_OFFSET_RESET=none") {
		t.Errorf("the log says %q", said)
	}
}

// TestTopicOffsetsGone: a group has no offsets of one of its topics, as where that was
// deleted and made anew while nobody ran. Told that it has delivered before, it holds that
// topic and no other, until a person has said where to begin.
func TestTopicOffsetsGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	opt := w.options("shop.public.a", "shop.public.b")
	w.insert("shop.public.a", 0, 4)
	w.insert("shop.public.b", 0, 4)
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.equal() && w.lag("shop.public.a") == 0 && w.lag("shop.public.b") == 0 })
	stop()
	adm := kadm.NewClient(w.client)
	gone := kadm.TopicsSet{}
	gone.Add("shop.public.a", 0, 1)
	if done, err := adm.DeleteOffsets(t.Context(), "sluice", gone); err != nil || done.Error() != nil {
		t.Fatal(err, done.Error())
	}
	opt.HoldNewGroup = true
	c, stop := w.run(opt)
	w.eventually("it is held", func() bool { return len(c.Status().Holds) > 0 })
	w.insert("shop.public.b", 4, 4)
	w.eventually("the other goes on", func() bool { return w.equal() && w.lag("shop.public.b") == 0 })
	if h := c.Status().Holds; len(h) != 1 || h[0].Topic != "shop.public.a" || !strings.Contains(h[0].Reason, "no offsets of this topic") || !strings.Contains(h[0].Remedy, "--group sluice --topic shop.public.a --reset-offsets --to-earliest") {
		t.Errorf("on hold: %+v", h)
	}
	stop()
	if lag := w.lag("shop.public.a"); lag != 4 {
		t.Errorf("lag %d: offsets of the topic on hold were committed", lag)
	}
	w.commitAs("shop.public.a", 0, 0, "") // as the remedy says
	w.commitAs("shop.public.a", 1, 0, "")
	w.run(opt)
	w.eventually("it is read", func() bool { return w.lag("shop.public.a") == 0 })
}
