package connector

import (
	"bytes"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

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
	var lines atomic.Int64
	opt.Logger = slog.New(slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		if bytes.Contains(line, []byte("where partitions stand")) {
			lines.Add(1)
			if !bytes.Contains(line, []byte("shop.public.b/0: LEADER_NOT_AVAILABLE")) {
				t.Errorf("it does not say which and why: %s", line)
			}
		}
		return len(line), nil
	}), nil))
	c, _ := w.run(opt)
	rows := func(table string) int {
		if s := w.emu.Snapshot(table); s != nil {
			return len(s.Rows)
		}
		return 0
	}
	w.eventually("the other table's rows", func() bool { return rows("public_a") == 10 })
	w.eventually("it says so", func() bool { return c.Status().Kafka != "ok" && lines.Load() == 1 })
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
