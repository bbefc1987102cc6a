package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Hole is a run of a partition's offsets, from From to before To, of which no record came.
type Hole struct{ From, To int64 }

// Proof is what explains a hole.
type Proof int

const (
	Asked     Proof = iota // the leader was asked for it again
	Compacted              // the topic is compacted, at each replica at its own time: asking proves nothing
	Unread                 // whether it is compacted may not be read (DescribeConfigs), or the log begins behind it now
)

// Missing asks what holes of a topic's partition are: how many records the leader has in
// them that a reader of committed records should have got. The error passes.
func (c *Consumer) Missing(ctx context.Context, p Partition, topicID string, holes []Hole) (lost int64, proof Proof, err error) {
	policy, err := c.cleanupPolicy(ctx, p.Topic)
	if err != nil {
		return 0, Unread, err
	}
	switch {
	case policy == "":
		return 0, Unread, nil
	case strings.Contains(policy, "compact"):
		return 0, Compacted, nil
	}
	// Not by the member's connection, on which a fetch waits for the one before it.
	cl, err := NewAdmin(c.opt)
	if err != nil {
		return 0, Asked, err
	}
	defer cl.Close()
	details, err := kadm.NewClient(cl).ListTopics(ctx, p.Topic)
	if err != nil {
		return 0, Asked, err
	}
	d := details[p.Topic]
	if d.Err == nil && topicID != "" && id(d) != topicID {
		d.Err = kerr.UnknownTopicID // its records are others
	}
	if d.Err != nil {
		return 0, Asked, fmt.Errorf("topic %s: %w", p.Topic, d.Err)
	}
	var recs []*kgo.Record
	after := int64(0) // where what was fetched ends
	for _, h := range holes {
		for from := h.From; from < h.To; from = after {
			if from < after {
				lost += within(recs, Hole{from, h.To})
				continue
			}
			recs, after, _, err = fetch(ctx, cl, c.opt.FetchBytes, d, p, from)
			switch {
			case errors.Is(err, kerr.OffsetOutOfRange):
				return lost, Unread, nil
			case err != nil:
				return 0, Asked, err
			case after <= from:
				return 0, Asked, fmt.Errorf("%v: the leader has nothing at offset %d, behind which there were records", p, from)
			}
			lost += within(recs, h)
		}
	}
	return lost, Asked, nil
}

// cleanupPolicy returns a topic's cleanup.policy, "" where the brokers do not show it. The
// error passes.
func (c *Consumer) cleanupPolicy(ctx context.Context, topic string) (string, error) {
	set, err := kadm.NewClient(c.cl).DescribeTopicConfigs(ctx, topic)
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	var one kadm.ResourceConfig
	if err == nil {
		one, err = set.On(topic, nil)
	}
	if err == nil {
		err = one.Err
	}
	if err != nil {
		// Kafka says which of its errors pass, but of the one that it does not know itself.
		if refusal := (*kerr.Error)(nil); errors.As(err, &refusal) && !refusal.Retriable && refusal != kerr.UnknownServerError {
			return "", nil
		}
		return "", fmt.Errorf("topic %s: its configuration: %w", topic, err)
	}
	for _, o := range one.Configs {
		if o.Key == "cleanup.policy" {
			return o.MaybeValue(), nil
		}
	}
	return "", nil
}

func within(recs []*kgo.Record, h Hole) (n int64) {
	for _, r := range recs {
		if h.From <= r.Offset && r.Offset < h.To {
			n++
		}
	}
	return n
}

// id is a topic's id as text, "" from brokers before 2.8, which have none.
func id(d kadm.TopicDetail) string {
	if d.ID == (kadm.TopicID{}) {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(d.ID[:])
}
