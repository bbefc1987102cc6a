package kafka

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// owner is the only member of a group, with all partitions of topic t.
func owner(t *testing.T) (*Consumer, *kfake.Cluster) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	c, err := NewConsumer(Options{Brokers: cluster.ListenAddrs(), Group: "g", Topics: []string{"t"}, SessionTimeout: time.Minute,
		RebalanceTimeout: time.Minute, MetadataAge: time.Minute, FetchBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ours, closed := make(chan struct{}), make(chan struct{})
	go func() {
		assigned := false
		for {
			select {
			case e := <-c.Events():
				if a, ok := e.(Assigned); ok && len(a.Partitions) > 0 && !assigned {
					assigned = true
					close(ours)
				}
				Done(e)
			case <-closed:
				return
			}
		}
	}()
	t.Cleanup(func() {
		c.Close()
		close(closed)
	})
	c.Start(t.Context())
	<-ours
	return c, cluster
}

// commitOne commits an offset of the only partition, by the topic's name or by its id, which
// are two ways to the broker.
func commitOne(t *testing.T, c *Consumer, cluster *kfake.Cluster, byID bool) error {
	t.Helper()
	o := Offset{At: 3}
	if byID {
		id := cluster.TopicInfo("t").TopicID
		o.TopicID = base64.RawURLEncoding.EncodeToString(id[:])
	}
	return c.Commit(t.Context(), map[Partition]Offset{{"t", 0}: o})[Partition{"t", 0}]
}

// TestCommitOfAnotherMembership: a commit is not sent under another membership than that
// under which the partition is owned (I2). What the client does not stamp is of ours.
func TestCommitOfAnotherMembership(t *testing.T) {
	for name, q := range map[string]struct {
		rejoin func(*member)
		byID   bool
	}{
		"given to another":           {func(m *member) { m.gone([]Partition{{"t", 0}}) }, false},
		"given to another, by id":    {func(m *member) { m.gone([]Partition{{"t", 0}}) }, true},
		"owned as another member":    {func(m *member) { m.id = "earlier" }, false},
		"owned in a past generation": {func(m *member) { m.generation-- }, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, cluster := owner(t)
			if err := commitOne(t, c, cluster, q.byID); err != nil {
				t.Fatal(err)
			}
			var sent atomic.Int64
			cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
				cluster.KeepControl()
				sent.Add(1)
				return nil, nil, false
			})
			q.rejoin(&c.member)
			if err := commitOne(t, c, cluster, q.byID); !errors.Is(err, errFenced) || sent.Load() != 0 {
				t.Errorf("%d commits were sent of a partition that is not ours: %v", sent.Load(), err)
			}
		})
	}
}

// TestRefusalOfARepetition: the answer to a commit is lost, the client repeats it, and that
// is refused. The first may have been accepted, so it is in doubt; a refusal of a commit
// that was sent once is not.
func TestRefusalOfARepetition(t *testing.T) {
	for _, lost := range []int64{0, 1} {
		c, cluster := owner(t)
		var sent atomic.Int64
		cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
			cluster.KeepControl()
			if sent.Add(1) <= lost {
				return nil, errors.New("the connection is cut"), true
			}
			req := q.(*kmsg.OffsetCommitRequest)
			resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
			topic, part := kmsg.NewOffsetCommitResponseTopic(), kmsg.NewOffsetCommitResponseTopicPartition()
			topic.Topic, topic.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
			part.ErrorCode = kerr.TopicAuthorizationFailed.Code
			topic.Partitions = append(topic.Partitions, part)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
		err := commitOne(t, c, cluster, false)
		var doubt *InDoubtError
		if !errors.Is(err, kerr.TopicAuthorizationFailed) || sent.Load() != lost+1 {
			t.Fatalf("sent %d times: %v", sent.Load(), err)
		}
		if got := errors.As(err, &doubt); got != (lost > 0) {
			t.Errorf("in doubt: %v, after %d lost answers", got, lost)
		}
	}
}
