package connector

import (
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// brokerFaults is what brokers may say to a request instead of doing what it asks for; of a
// commit REQUEST_TIMED_OUT, though they do it.
var brokerFaults = []struct {
	key  kmsg.Key
	says []*kerr.Error
}{
	{kmsg.Fetch, []*kerr.Error{kerr.NotLeaderForPartition, kerr.ReplicaNotAvailable, kerr.KafkaStorageError, kerr.OffsetNotAvailable}},
	{kmsg.ListOffsets, []*kerr.Error{kerr.NotLeaderForPartition, kerr.LeaderNotAvailable, kerr.OffsetNotAvailable}},
	{kmsg.Metadata, []*kerr.Error{kerr.LeaderNotAvailable}},
	{kmsg.OffsetFetch, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.UnstableOffsetCommit}},
	{kmsg.JoinGroup, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}},
	{kmsg.SyncGroup, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator, kerr.RebalanceInProgress}},
	{kmsg.Heartbeat, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.NotCoordinator}},
	{kmsg.OffsetCommit, []*kerr.Error{kerr.NotCoordinator, kerr.RebalanceInProgress, kerr.GroupAuthorizationFailed, kerr.RequestTimedOut}},
}

// brokerFault has brokers fail requests of a kind, all that each asks for.
func (w *simulation) brokerFault(kind, says string, times int) {
	for _, f := range brokerFaults {
		for _, err := range f.says {
			if kmsg.NameForKey(int16(f.key)) == kind && err.Message == says {
				w.inBrokers(kfake.Fault{Keys: []kmsg.Key{f.key}, Err: err, Count: times})
				return
			}
		}
	}
	w.t.Fatalf("no broker says %s to %s", says, kind)
}

// refusePart has the group refuse a partition's part of commits, and take the rest.
func (w *simulation) refusePart(topic string, part, times int) {
	w.inBrokers(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: topic, Partitions: []int32{int32(part)}, Err: kerr.TopicAuthorizationFailed, Count: times})
}

func (w *simulation) inBrokers(f kfake.Fault) { w.brokers = append(w.brokers, w.cluster.Fault(f)) }

// mendBrokers forgets the faults that wait for their requests.
func (w *simulation) mendBrokers() {
	for _, f := range w.brokers {
		f.Remove()
	}
}

// unsubscribed says that nobody has subscribed to the metrics of clients (KIP-714), as brokers
// do that are not told otherwise: kfake has subscribed to all, and each client of a simulated
// minute would count, compress and send them.
func (w *simulation) unsubscribed(q kmsg.Request) (kmsg.Response, error, bool) {
	w.cluster.KeepControl()
	req := q.(*kmsg.GetTelemetrySubscriptionsRequest)
	resp := req.ResponseKind().(*kmsg.GetTelemetrySubscriptionsResponse)
	resp.ClientInstanceID, resp.SubscriptionID = [16]byte{15: 1}, 1
	resp.PushIntervalMillis = int32((5 * time.Minute).Milliseconds())
	return resp, nil, true
}
