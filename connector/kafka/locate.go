package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Offset is what is committed for a partition, and the metadata beside it.
type Offset struct {
	At       int64
	Metadata string
	// TopicID is that of the topic to commit it for, where the client may still know an
	// earlier one of the name; "": the one that it knows. Locate leaves it out.
	TopicID string
}

// Location is where an assigned partition stands.
type Location struct {
	// Err is why that is not known yet, which passes: of this partition, or of another one
	// whose topic feeds the same table. It names the partition.
	Err     error
	Start   int64  // the earliest record's offset
	TopicID string // of the topic that now has the name
	// Committed is what is committed for the topic's partitions; those without an offset
	// are not in it. It is the same map for all partitions of a topic, not to be changed.
	Committed map[int32]Offset
	// Group is the same for all topics of the group, of which it may have offsets that are of
	// no interest here any more. One map for all, not to be changed.
	Group    map[Partition]Offset
	NewGroup bool // the group has no offset at all, of any topic
	Empty    bool // the group has no offset of the topic, and no partition of it has had a record
	// Earlier fetches the last records before the committed offset, as far as they are
	// there and have a few megabytes together; nil if there is none.
	Earlier func(context.Context) ([]*kgo.Record, error)
	// Oldest fetches the first records that are there, as Earlier the last ones; nil if
	// Earlier has them.
	Oldest func(context.Context) ([]*kgo.Record, error)
}

// leaderTimeout is how long Locate waits for partitions' leaders, so that one that does not
// answer leaves time for the rest.
const leaderTimeout = 5 * time.Second

// Locate asks the brokers where assigned partitions stand. It may be called
// concurrently; the error is of the brokers, and passes. Where it is that of a partition, it
// is in the Locations of all partitions that feed its table: a job that is noted beside one
// of them goes before whatever the others give.
func (c *Consumer) Locate(ctx context.Context, parts []Partition) (map[Partition]Location, error) {
	var topics []string
	for _, p := range parts {
		topics = append(topics, p.Topic)
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	adm := kadm.NewClient(c.cl)
	details, err := describe(ctx, adm, topics)
	if err != nil {
		return nil, err
	}
	topics = slices.DeleteFunc(topics, func(topic string) bool { return details[topic].Err != nil })
	starts := listOffsets(ctx, adm.ListStartOffsets, topics)
	committed, err := adm.FetchOffsets(ctx, c.opt.Group)
	if err = cmp.Or(err, committed.Error()); err != nil {
		return nil, fmt.Errorf("the offsets of group %s: %w", c.opt.Group, err)
	}
	fresh := true
	group := map[Partition]Offset{}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			fresh, group[Partition{o.Topic, o.Partition}] = false, Offset{At: o.At, Metadata: o.Metadata}
		}
	})
	byTopic := map[string]map[int32]Offset{}
	var without []string // an offset
	for _, topic := range topics {
		byTopic[topic] = map[int32]Offset{}
		for id := range details[topic].Partitions {
			if o, ok := group[Partition{topic, id}]; ok {
				byTopic[topic][id] = o
			}
		}
		if len(byTopic[topic]) == 0 {
			without = append(without, topic)
		}
	}
	ends := listOffsets(ctx, adm.ListEndOffsets, without)
	located, failed := map[Partition]Location{}, map[string]error{}
	for _, p := range parts {
		d := details[p.Topic]
		l := Location{TopicID: id(d), Committed: byTopic[p.Topic], Group: group, NewGroup: fresh}
		if l.Start, err = starts.of(p); err == nil && len(l.Committed) == 0 {
			l.Empty, err = ends.zero(d)
		}
		if err = cmp.Or(d.Err, err); err != nil {
			failed[bundleOf(p.Topic, c.opt.TableOf)] = fmt.Errorf("%v: %w", p, err)
			continue
		}
		if at, ok := l.Committed[p.ID]; ok && at.At > l.Start {
			l.Earlier = func(ctx context.Context) ([]*kgo.Record, error) {
				return c.earlier(ctx, d, p, max(l.Start, at.At-lookBack), at.At)
			}
			if l.Start < at.At-lookBack {
				l.Oldest = func(ctx context.Context) ([]*kgo.Record, error) {
					recs, _, _, err := fetch(ctx, c.cl, c.opt.FetchBytes, d, p, l.Start)
					return recs[:min(len(recs), lookBack)], err
				}
			}
		}
		located[p] = l
	}
	for _, p := range parts {
		if err := failed[bundleOf(p.Topic, c.opt.TableOf)]; err != nil {
			located[p] = Location{Err: err}
		}
	}
	return located, nil
}

// describe is ListTopics, but for one that may not be described, which is not the error of all.
func describe(ctx context.Context, adm *kadm.Client, topics []string) (kadm.TopicDetails, error) {
	details, err := adm.ListTopics(ctx, topics...)
	var denied *kadm.AuthError
	if !errors.As(err, &denied) {
		return details, err
	}
	details = kadm.TopicDetails{}
	for _, topic := range topics {
		one, err := adm.ListTopics(ctx, topic)
		switch {
		case errors.As(err, &denied):
			one = kadm.TopicDetails{topic: {Topic: topic, Err: err}}
		case err != nil:
			return nil, err
		}
		maps.Copy(details, one)
	}
	return details, nil
}

// listed is what partitions' leaders have said of offsets.
type listed struct {
	offsets kadm.ListedOffsets
	err     error // of the leaders that did not answer
}

func listOffsets(ctx context.Context, ask func(context.Context, ...string) (kadm.ListedOffsets, error), topics []string) (l listed) {
	if len(topics) == 0 {
		return l // no topics would be all
	}
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	l.offsets, l.err = ask(ctx, topics...)
	return l
}

func (l listed) of(p Partition) (int64, error) {
	o, ok := l.offsets.Lookup(p.Topic, p.ID)
	if !ok {
		return 0, cmp.Or(l.err, error(kerr.UnknownTopicOrPartition))
	}
	return o.Offset, o.Err
}

// zero reports whether all offsets of a topic are, and an error if that is not known.
func (l listed) zero(d kadm.TopicDetail) (bool, error) {
	var failed error
	for id := range d.Partitions {
		at, err := l.of(Partition{d.Topic, id})
		if err == nil && at > 0 {
			return false, nil
		}
		failed = cmp.Or(failed, err)
	}
	return failed == nil, failed
}

// Ends asks the brokers for the high watermarks of topics' partitions, as far as they
// tell them.
func (c *Consumer) Ends(ctx context.Context, topics []string) (map[Partition]int64, error) {
	listed, err := kadm.NewClient(c.cl).ListEndOffsets(ctx, topics...)
	at := map[Partition]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			at[Partition{o.Topic, o.Partition}] = o.Offset
		}
	})
	if err != nil {
		err = explain(err, c.opt.Brokers)
	}
	return at, err
}

// lookBack is how many offsets before the committed one are read again for what they look
// like.
const lookBack = 32

// earlier returns records between two offsets that a reader of committed records gets to
// see: those of one fetch, and where that does not get to the end, those of the last offset.
func (c *Consumer) earlier(ctx context.Context, d kadm.TopicDetail, p Partition, from, to int64) (recs []*kgo.Record, err error) {
	for range 2 {
		got, after, _, err := fetch(ctx, c.cl, c.opt.FetchBytes, d, p, from)
		if err != nil && !errors.Is(err, kerr.OffsetOutOfRange) {
			return nil, err
		}
		for _, r := range got {
			if r.Offset < to {
				recs = append(recs, r)
			}
		}
		if after >= to {
			break
		}
		from = to - 1
	}
	return recs, nil
}

// fetch asks a partition's leader for records from an offset on, for so many bytes. It
// returns those that a reader of committed records gets to see, the offset behind what was
// looked at, and the last stable one.
func fetch(ctx context.Context, cl *kgo.Client, most int32, d kadm.TopicDetail, p Partition, from int64) (recs []*kgo.Record, after, stable int64, err error) {
	detail, ok := d.Partitions[p.ID]
	if !ok || detail.Err != nil {
		return nil, 0, 0, fmt.Errorf("%v: %w", p, errors.Join(detail.Err, kerr.UnknownTopicOrPartition))
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.IsolationLevel = 100, 1, most, 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = p.Topic, d.ID
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = p.ID, from, 1<<20
	t.Partitions = append(t.Partitions, part)
	req.Topics = append(req.Topics, t)
	raw, err := cl.Broker(int(detail.Leader)).Request(ctx, req)
	if err != nil {
		return nil, 0, 0, err
	}
	resp := raw.(*kmsg.FetchResponse)
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, 0, 0, err
	}
	if resp.ThrottleMillis > 0 { // such an answer is empty, whatever is there (KIP-219)
		return nil, 0, 0, fmt.Errorf("%v: a quota of the brokers holds up fetches for %d ms", p, resp.ThrottleMillis)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, 0, 0, fmt.Errorf("%v: the leader did not answer for it", p)
	}
	rp := &resp.Topics[0].Partitions[0]
	opts := kgo.ProcessFetchPartitionOpts{Offset: from, IsolationLevel: kgo.ReadCommitted(), Topic: p.Topic, Partition: p.ID}
	got, after := kgo.ProcessFetchPartition(opts, rp, kgo.DefaultDecompressor(), nil)
	return got.Records, after, rp.LastStableOffset, got.Err
}

// Exhausted asks a partition's leader whether a reader of committed records that has come
// to an offset gets to see nothing more before another, where there are only transaction
// markers, aborted records and what the log's compaction has taken away. A leader whose last
// stable offset is before that, as after a failover, cannot know.
func (c *Consumer) Exhausted(ctx context.Context, p Partition, from, upTo int64) (bool, error) {
	details, err := kadm.NewClient(c.cl).ListTopics(ctx, p.Topic)
	if err != nil {
		return false, err
	}
	for {
		recs, after, stable, err := fetch(ctx, c.cl, c.opt.FetchBytes, details[p.Topic], p, from)
		switch {
		case err != nil:
			return false, err
		case len(recs) > 0:
			return false, nil
		case after > from:
			from = after // a stretch without records
		default:
			return stable >= upTo, nil
		}
	}
}
