package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// InDoubtError is a commit of which it is not known whether the group has it: the
// answer is lost, or a refusal may be that of a repetition. Until the same is committed
// again and acknowledged, anything else could be overtaken by it or build on what is
// not there.
type InDoubtError struct{ Err error }

func (e *InDoubtError) Error() string {
	return "it is not known whether the commit was accepted: " + e.Err.Error()
}
func (e *InDoubtError) Unwrap() error { return e.Err }

// definite are the refusals after which nothing has been written, by what the group's
// coordinator does before and after it appends to its log (GroupMetadataManager and
// OffsetMetadataManager in Kafka; NOT_COORDINATOR and COORDINATOR_NOT_AVAILABLE also
// stand for failures of the append).
var definite = []error{
	errFenced, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.FencedInstanceID, kerr.RebalanceInProgress,
	kerr.OffsetMetadataTooLarge, kerr.InvalidCommitOffsetSize, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID,
	kerr.CoordinatorLoadInProgress, kerr.InvalidGroupID, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed,
}

// writes counts commit requests that were sent. It is a kgo.HookBrokerWrite.
type writes struct{ atomic.Int64 }

// OnBrokerWrite implements kgo.HookBrokerWrite. An error leaves open how much of the
// request has reached the broker.
func (w *writes) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	if key == int16(kmsg.OffsetCommit) {
		w.Add(1)
	}
}

// Commit commits offsets with their metadata and returns each partition's error, nil
// for those that the broker acknowledged; an *InDoubtError is no answer, any other is a
// refusal. It waits for a rebalance in progress, at most until ctx ends. One commit runs
// at a time.
func (c *Consumer) Commit(ctx context.Context, offsets map[Partition]Offset) map[Partition]error {
	results := make(map[Partition]error, len(offsets))
	defer func(start time.Time) { c.metrics.committed(ctx, time.Since(start), results) }(time.Now())
	ask := map[string]map[int32]kgo.EpochOffset{}
	others := map[Partition]Offset{}
	for p, o := range offsets {
		results[p] = fmt.Errorf("the broker did not answer for %v", p)
		if o.TopicID != "" {
			others[p] = o
			continue
		}
		if ask[p.Topic] == nil {
			ask[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		ask[p.Topic][p.ID] = kgo.EpochOffset{Epoch: -1, Offset: o.At}
	}
	before := c.writes.Load()
	ctx = kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				// The client's own metadata is one string for all partitions: not to be written to.
				t.Partitions[j].Metadata = new(offsets[Partition{t.Topic, t.Partitions[j].Partition}].Metadata)
			}
		}
		return c.member.check(req) // I2
	})
	c.cl.CommitOffsetsSync(ctx, ask, func(_ *kgo.Client, req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			for p := range results {
				results[p] = err
			}
			return
		}
		answers(req, resp, results)
	})
	if len(others) > 0 {
		c.commitFor(ctx, others, results)
	}
	sent := c.writes.Load() - before
	for p, err := range results {
		if err != nil && sent > 0 && (sent > 1 || !refusal(err)) {
			results[p] = &InDoubtError{err}
		}
	}
	return results
}

// answers notes each partition's error in results.
func answers(req *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, results map[Partition]error) {
	names := map[[16]byte]string{} // newer brokers answer by topic id
	for _, t := range req.Topics {
		names[t.TopicID] = t.Topic
	}
	for _, t := range resp.Topics {
		name := t.Topic
		if name == "" {
			name = names[t.TopicID]
		}
		for _, p := range t.Partitions {
			results[Partition{name, p.Partition}] = kerr.ErrorForCode(p.ErrorCode)
		}
	}
}

// commitFor commits offsets for topics of which the client knows earlier ones under their
// names: it refuses to commit for those by itself.
func (c *Consumer) commitFor(ctx context.Context, offsets map[Partition]Offset, results map[Partition]error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group = c.opt.Group
	req.MemberID, req.Generation, _ = c.member.identity()
	if c.opt.InstanceID != "" {
		req.InstanceID = &c.opt.InstanceID
	}
	for p, o := range offsets {
		t := kmsg.NewOffsetCommitRequestTopic()
		raw, err := base64.RawURLEncoding.DecodeString(o.TopicID)
		if err != nil || len(raw) != len(t.TopicID) {
			results[p] = fmt.Errorf("%q is no topic id", o.TopicID)
			continue
		}
		t.Topic, t.TopicID = p.Topic, [16]byte(raw)
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset, part.Metadata = p.ID, o.At, &o.Metadata
		t.Partitions = append(t.Partitions, part)
		req.Topics = append(req.Topics, t)
	}
	err := c.member.check(req) // I2
	var resp *kmsg.OffsetCommitResponse
	if err == nil {
		resp, err = req.RequestWith(ctx, c.cl)
	}
	if err != nil {
		for p := range offsets {
			results[p] = err
		}
		return
	}
	answers(req, resp, results)
}

func refusal(err error) bool {
	for _, d := range definite {
		if errors.Is(err, d) {
			return true
		}
	}
	return false
}
