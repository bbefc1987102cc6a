package kafka

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Offset is what is committed for a partition, -1 if nothing is, and the metadata
// beside it.
type Offset struct {
	At       int64
	Metadata string
}

// Location is where an assigned partition stands.
type Location struct {
	Committed Offset
	Start     int64  // the earliest record's offset
	TopicID   string // of the topic that now has the name
	// Siblings is what is committed for the topic's other partitions.
	Siblings map[int32]Offset
}

// Locate asks the brokers where assigned partitions stand. It may be called
// concurrently; the error is of the brokers, and passes.
func (c *Consumer) Locate(ctx context.Context, parts []Partition) (map[Partition]Location, error) {
	var topics []string
	seen := map[string]bool{}
	for _, p := range parts {
		if !seen[p.Topic] {
			seen[p.Topic] = true
			topics = append(topics, p.Topic)
		}
	}
	adm := kadm.NewClient(c.cl)
	details, err := adm.ListTopics(ctx, topics...)
	if err != nil {
		return nil, err
	}
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	committed, err := adm.FetchOffsetsForTopics(ctx, c.opt.Group, topics...)
	if err != nil {
		return nil, err
	}
	at := func(topic string, id int32) (Offset, error) {
		o, ok := committed.Lookup(topic, id)
		if !ok || o.Err == nil && o.At < 0 {
			return Offset{At: -1}, nil
		}
		return Offset{o.At, o.Metadata}, o.Err
	}
	located := map[Partition]Location{}
	for _, p := range parts {
		d := details[p.Topic]
		if d.Err != nil {
			return nil, fmt.Errorf("topic %s: %w", p.Topic, d.Err)
		}
		l := Location{TopicID: base64.RawURLEncoding.EncodeToString(d.ID[:]), Siblings: map[int32]Offset{}}
		if d.ID == (kadm.TopicID{}) { // brokers before 2.8 have no ids
			l.TopicID = ""
		}
		if l.Committed, err = at(p.Topic, p.ID); err != nil {
			return nil, fmt.Errorf("%v: %w", p, err)
		}
		start, _ := starts.Lookup(p.Topic, p.ID)
		if start.Err != nil {
			return nil, fmt.Errorf("%v: %w", p, start.Err)
		}
		l.Start = start.Offset
		for id := range d.Partitions {
			if o, err := at(p.Topic, id); err == nil && o.At >= 0 && id != p.ID {
				l.Siblings[id] = o
			}
		}
		located[p] = l
	}
	return located, nil
}

// Next asks a partition's leader for the first record at or behind an offset that a
// reader of committed records gets to see. none says that there is nothing up to the
// last stable offset, only transaction markers, aborted records and what the log's
// compaction has taken away.
func (c *Consumer) Next(ctx context.Context, p Partition, from int64) (next int64, none bool, err error) {
	adm := kadm.NewClient(c.cl)
	for {
		details, err := adm.ListTopics(ctx, p.Topic)
		if err != nil {
			return 0, false, err
		}
		d, ok := details[p.Topic].Partitions[p.ID]
		if !ok || d.Err != nil {
			return 0, false, fmt.Errorf("%v: %w", p, errors.Join(d.Err, kerr.UnknownTopicOrPartition))
		}
		req := kmsg.NewPtrFetchRequest()
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 100, 1, c.opt.FetchBytes, 1
		t := kmsg.NewFetchRequestTopic()
		t.Topic, t.TopicID = p.Topic, details[p.Topic].ID
		part := kmsg.NewFetchRequestTopicPartition()
		part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.ID, from, 1<<20
		t.Partitions = append(t.Partitions, part)
		req.Topics = append(req.Topics, t)
		raw, err := c.cl.Broker(int(d.Leader)).Request(ctx, req)
		if err != nil {
			return 0, false, err
		}
		resp := raw.(*kmsg.FetchResponse)
		if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
			return 0, false, err
		}
		if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
			return 0, false, fmt.Errorf("%v: the leader did not answer for it", p)
		}
		rp := &resp.Topics[0].Partitions[0]
		opts := kgo.ProcessFetchPartitionOpts{Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: p.Topic, Partition: p.ID}
		got, after := kgo.ProcessFetchPartition(opts, rp, kgo.DefaultDecompressor(), nil)
		switch {
		case got.Err != nil:
			return 0, false, got.Err
		case len(got.Records) > 0:
			return got.Records[0].Offset, false, nil
		case after > from:
			from = after // a stretch without records
		default:
			return from, from >= rp.LastStableOffset, nil
		}
	}
}
