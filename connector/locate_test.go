package connector

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestPartitionWithoutLeader: where one partition stands cannot be said for long. The tables
// of others are read meanwhile, its own as soon as it has a leader again, and the log says
// which one it is and what ails it, once.
func TestPartitionWithoutLeader(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	w.insert("shop.public.a", 0, 10)
	w.insert("shop.public.b", 0, 10)
	var led atomic.Bool
	w.cluster.ControlKey(int16(kmsg.ListOffsets), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		req := q.(*kmsg.ListOffsetsRequest)
		resp := q.ResponseKind().(*kmsg.ListOffsetsResponse)
		without := false
		for _, topic := range req.Topics {
			rt := kmsg.NewListOffsetsResponseTopic()
			rt.Topic = topic.Topic
			for _, p := range topic.Partitions {
				rp := kmsg.NewListOffsetsResponseTopicPartition()
				rp.Partition, rp.Offset = p.Partition, 0 // where all of them begin
				if topic.Topic == "shop.public.b" && p.Partition == 0 {
					rp.ErrorCode, rp.Offset, without = kerr.LeaderNotAvailable.Code, -1, true
				} else if p.Timestamp == -1 {
					rp.Offset = 5
				}
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, without && !led.Load()
	})
	opt := w.options("shop.public.a", "shop.public.b")
	var told atomic.Int64
	opt.Logger = slog.New(lines("where partitions stand", func(line string) {
		told.Add(1)
		if !strings.Contains(line, "shop.public.b/0: LEADER_NOT_AVAILABLE") {
			t.Errorf("it does not say which and why: %s", line)
		}
	}))
	c, _ := w.run(opt)
	rows := func(table string) int {
		if s := w.emu.Snapshot(table); s != nil {
			return len(s.Rows)
		}
		return 0
	}
	w.eventually("the other table's rows", func() bool { return rows("public_a") == 10 })
	w.eventually("it says so", func() bool { return c.Status().Kafka != "ok" && told.Load() == 1 })
	w.insert("shop.public.a", 10, 10)
	w.eventually("it goes on", func() bool { return rows("public_a") == 20 })
	if n := rows("public_b"); n != 0 {
		t.Errorf("%d rows of a table of which a job may be noted beside the other partition", n)
	}
	led.Store(true)
	w.eventually("all is read", w.equal)
	w.eventually("all is well", func() bool { return c.Status().Kafka == "ok" && w.lag("shop.public.b") == 0 })
	w.check()
}

// where is what a connector finds out of where partitions stand; those of some topics are on hold.
func (w *world) where(opt Options, held []string, ids ...kafka.Partition) map[kafka.Partition]kafka.Location {
	w.t.Helper()
	results := make(chan any, len(ids))
	c := w.idleBut(opt, func(r any) { results <- r })
	var parts []*partition
	for _, id := range ids {
		p := c.newPartition(id)
		p.stopped = slices.Contains(held, id.Topic)
		parts = append(parts, p)
	}
	all := map[kafka.Partition]kafka.Location{}
	for c.locateAll(parts); len(all) < len(ids); {
		r := (<-results).(located)
		if r.err != nil { // the group is not there yet
			c.locate(r.parts, r.wait)
		}
		maps.Copy(all, r.at)
	}
	return all
}

// TestHeldTopicIsLocatedApart: of two topics of a table one is on hold, for it was deleted. The
// other does not wait for it.
func TestHeldTopicIsLocatedApart(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	opt := w.options("shop.public.a")
	opt.Kafka.TableOf = func(string) string { return "t" }
	there, gone := kafka.Partition{Topic: "shop.public.a"}, kafka.Partition{Topic: "shop.public.gone"}
	at := w.where(opt, []string{gone.Topic}, gone, there)
	if err := at[there].Err; err != nil {
		t.Errorf("the one that is there: %v", err)
	}
	if err := at[gone].Err; !errors.Is(err, kerr.UnknownTopicOrPartition) || !strings.Contains(err.Error(), "shop.public.gone/0") {
		t.Errorf("the one that is gone: %v", err)
	}
}

// TestTopicThatMayNotBeDescribed: where an ACL lacks, that is the trouble of its own table.
func TestTopicThatMayNotBeDescribed(t *testing.T) {
	cluster := guarded(t, "shop.public.a")
	w := newWorld(t, emulator.Options{})
	opt := testOptions(t, cluster.ListenAddrs(), w.transport)
	opt.Logger = slog.New(slog.DiscardHandler)
	opt.Kafka.Topics, opt.Kafka.SASL = []string{"shop.public.a"}, sluiceUser
	may, not := kafka.Partition{Topic: "shop.public.a"}, kafka.Partition{Topic: "shop.public.b"}
	at := w.where(opt, nil, may, not)
	if err := at[may].Err; err != nil {
		t.Errorf("the one that may be described: %v", err)
	}
	if err := at[not].Err; !strings.Contains(fmt.Sprint(err), "shop.public.b/0") || !strings.Contains(strings.ToLower(fmt.Sprint(err)), "authoriz") {
		t.Errorf("the other: %v", err)
	}
}
