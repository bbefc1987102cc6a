package kafka

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetching is a consumer that has been answered polls of records of one size.
func fetching(t *testing.T, topic string, size int) *Consumer {
	m, err := newMetrics(&Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := &Consumer{affine: newAffine(nil), metrics: m}
	for range 10 {
		c.collect(kgo.Fetches{{Topics: []kgo.FetchTopic{{Topic: topic, Partitions: []kgo.FetchPartition{
			{Partition: 1, Records: []*kgo.Record{{Value: make([]byte, size)}}}}}}}})
	}
	return c
}

// TestRates: what a member has fetched gets by its metadata into the plan of the leader, which
// shares by bytes, not by partitions alone: the busy topic is alone with one of two members.
// Before a rate of it is known each has two of the four topics.
func TestRates(t *testing.T) {
	topics := map[string]int32{"busy": 2, "quiet1": 2, "quiet2": 2, "quiet3": 2}
	names := []string{"busy", "quiet1", "quiet2", "quiet3"}
	for took, beside := range map[time.Duration]int{rateWindow - time.Second: 1, rateWindow: 0} {
		synctest.Test(t, func(t *testing.T) {
			// Who makes the plan is not who has seen the busy topic.
			leader, reader := fetching(t, "quiet1", 1<<10).affine, fetching(t, "busy", 3<<20).affine
			time.Sleep(took)
			members := []kmsg.JoinGroupResponseMember{
				{MemberID: "leader", ProtocolMetadata: leader.JoinGroupMetadata(names, nil, 1)},
				{MemberID: "reader", ProtocolMetadata: reader.JoinGroupMetadata(names, nil, 1)},
			}
			b, _, err := leader.MemberBalancer(members)
			if err != nil {
				t.Fatal(err)
			}
			plan, err := b.(kgo.GroupMemberBalancerOrError).BalanceOrError(topics)
			if err != nil {
				t.Fatal(err)
			}
			given := plan.(*kgo.BalancePlan).AsMemberIDMap()
			with := given["leader"]
			if len(with["busy"]) == 0 {
				with = given["reader"]
			}
			if len(with["busy"]) != 2 || len(with) != 1+beside {
				t.Errorf("after %v: %v, want %d topics beside the busy one", took, given, beside)
			}
			if beside > 0 {
				return
			}
			// A member whose metadata changes has the brokers rebalance.
			reader.observe("busy", 3<<30)
			if time.Sleep(rateWindow - time.Second); !bytes.Equal(reader.JoinGroupMetadata(names, nil, 1), members[1].ProtocolMetadata) {
				t.Error("it tells of another rate before its window is over")
			}
			time.Sleep(time.Second)
			reader.JoinGroupMetadata(names, nil, 1)
			if time.Sleep(rateWindow); !bytes.Equal(reader.JoinGroupMetadata(names, nil, 1), newAffine(nil).JoinGroupMetadata(names, nil, 1)) {
				t.Error("it tells of what it fetched in an earlier window")
			}
		})
	}
}
