package connector

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// testStaticMembers: a static member that is restarted within its session gets the
// partitions that it had, and the other one does not hear of it (KIP-345). Nor does that
// one give anything up where it is the leader that restarts, which asks for another plan.
func testStaticMembers(t *testing.T) {
	for restarted, rebalances := range map[int]int32{0: 1, 1: 0} { // the first to come leads
		t.Run(fmt.Sprint("member ", restarted), func(t *testing.T) {
			inBubble(t, emulator.Options{}, []string{"shop.public.a", "shop.public.b"}, func(v *virtual) {
				// Of a stable group's static member brokers keep the plan whatever it says of
				// itself when it is back (GroupCoordinator.updateStaticMemberAndRebalance in
				// Kafka), kfake where it says what it said last.
				said := map[string][]kmsg.JoinGroupRequestProtocol{}
				v.cluster.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
					v.cluster.KeepControl()
					req := q.(*kmsg.JoinGroupRequest)
					if id := req.InstanceID; id != nil {
						if was := said[*id]; req.MemberID == "" && was != nil {
							req.Protocols = was
						}
						said[*id] = req.Protocols
					}
					return nil, nil, false
				})
				var moves [2]atomic.Int64 // partitions taken or given up, by the logs
				run := func(i int) (*Connector, func()) {
					c, _, stop := v.run(fmt.Sprint("sluice-", i), slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
						if bytes.Contains(line, []byte("partitions assigned")) || bytes.Contains(line, []byte("partitions given up")) {
							moves[i].Add(1)
						}
						return len(line), nil
					}), nil))
					return c, stop
				}
				var members [2]*Connector
				var stops [2]func()
				for i := range members {
					members[i], stops[i] = run(i)
					defer func() { stops[i]() }()
					v.eventually("it has its partitions", func() bool { return members[i].Status().Partitions == 4/(i+1) })
				}
				v.eventually("a topic each", func() bool { return members[0].Status().Partitions == 2 })
				time.Sleep(time.Minute)
				owns := func() map[string]map[string][]int32 {
					all := map[string]map[string][]int32{}
					for _, m := range v.cluster.GroupInfo("sluice").Members {
						for _, parts := range m.Assignment {
							slices.Sort(parts)
						}
						id := m.MemberID
						if m.InstanceID != nil {
							id = *m.InstanceID
						}
						all[id] = m.Assignment
					}
					return all
				}
				before, generation, other := owns(), v.cluster.GroupInfo("sluice").Epoch, 1-restarted
				moved := moves[other].Load()

				stops[restarted]()
				time.Sleep(10 * time.Second) // of the 45 of its session
				members[restarted], stops[restarted] = run(restarted)
				v.eventually("it is back", func() bool { return members[restarted].Status().Partitions == 2 })
				for i, topic := range []string{"shop.public.a", "shop.public.b"} {
					v.put(topic, int64(i), "x")
					v.eventually("it is read", func() bool { s := v.emu.Snapshot(tableOf(topic)); return s != nil && len(s.Rows) == 1 })
				}
				time.Sleep(2 * time.Minute) // two sessions
				if after := owns(); !maps.EqualFunc(before, after, func(a, b map[string][]int32) bool { return maps.EqualFunc(a, b, slices.Equal) }) {
					v.t.Errorf("the members have %v, before %v", after, before)
				}
				if n := v.cluster.GroupInfo("sluice").Epoch - generation; n != rebalances {
					v.t.Errorf("%d rebalances, want %d", n, rebalances)
				}
				if n := moves[other].Load() - moved; n != 0 {
					v.t.Errorf("the other one was given or gave up partitions %d times", n)
				}
			})
		})
	}
}
