package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/kafka"
)

// may reads a set of operations, which is empty where the brokers do not tell: whoever
// sees a topic may at least describe it.
func may(operations int32, op kmsg.ACLOperation) (allowed, known bool) {
	known = operations > 0
	return operations&(1<<op) != 0, known
}

// describe asks for topics, all if none are named, and makes none.
func (c *cluster) describe(ctx context.Context, names ...string) ([]kmsg.MetadataResponseTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, c.cl)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(resp.Topics, func(a, b kmsg.MetadataResponseTopic) int { return cmp.Compare(*a.Topic, *b.Topic) })
	return resp.Topics, nil
}

// lookUp: the topics are there, and may be read.
func (c *cluster) lookUp(ctx context.Context, f *Findings) {
	var names []string
	wanted := func(t kmsg.MetadataResponseTopic) bool { return true }
	if c.Kafka.Pattern() {
		pattern := regexp.MustCompile(c.Kafka.Topics[0]) // as Load has tried
		wanted = func(t kmsg.MetadataResponseTopic) bool {
			return !t.IsInternal && *t.Topic != c.Config.DeadLetter.Topic && pattern.MatchString(*t.Topic)
		}
	} else {
		names = c.Kafka.Topics
	}
	found, err := c.describe(ctx, names...)
	if err != nil {
		f.Problem(kafka.Remedy(err, c.Kafka.Brokers), "%v", err)
		return
	}
	var missing, denied, untold []string
	partitions := 0
	for _, t := range found {
		if !wanted(t) {
			continue
		}
		allowed, known := may(t.AuthorizedOperations, kmsg.ACLOperationRead)
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, *t.Topic)
			continue
		case errors.Is(err, kerr.TopicAuthorizationFailed), err == nil && known && !allowed:
			denied = append(denied, *t.Topic)
			continue
		case err != nil:
			f.Problem("SLUICE_KAFKA_TOPICS", "%s: %v", *t.Topic, err)
			continue
		case !known:
			untold = append(untold, *t.Topic)
		}
		c.topics = append(c.topics, t)
		partitions += len(t.Partitions)
	}
	if len(missing) > 0 {
		f.Problem("SLUICE_KAFKA_TOPICS: correct the names, or let the connector make the topics; Sluice reads them once they exist", "no such topic: %s", some(missing))
	}
	if len(denied) > 0 {
		f.Problem("grant READ and DESCRIBE on the topics of SLUICE_KAFKA_TOPICS to this user: "+c.user()+"; the brokers also say so of topics that do not exist", "not allowed to read: %s", some(denied))
	}
	if len(untold) > 0 {
		f.Skip("the brokers do not tell whether this user may read: %s", some(untold))
	}
	if len(c.topics) > 0 {
		f.OK("topics: %d, partitions: %d", len(c.topics), partitions)
	} else if c.Kafka.Pattern() && len(denied) == 0 {
		f.Problem("SLUICE_KAFKA_TOPICS: correct the pattern, or grant DESCRIBE, without which the brokers hide a topic, to this user: "+c.user(),
			"no topic matches %s", c.Kafka.Topics[0])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Config.Tables.Tables)) {
		topic := c.Config.Tables.Tables[name].Topic
		if topic != "" && !slices.ContainsFunc(c.topics, func(t kmsg.MetadataResponseTopic) bool { return *t.Topic == topic }) {
			f.Warn("SLUICE_TABLES_FILE: topic of this table, or SLUICE_KAFKA_TOPICS", "table %s: its topic %s is not among those that are read", name, topic)
		}
	}
}

// partitions: each has a broker that leads it.
func (c *cluster) partitions(_ context.Context, f *Findings) {
	var offline []string
	all := 0
	for _, t := range c.topics {
		for _, p := range t.Partitions {
			if all++; p.Leader < 0 || p.ErrorCode != 0 {
				offline = append(offline, fmt.Sprintf("%s/%d", *t.Topic, p.Partition))
			}
		}
	}
	switch {
	case len(c.topics) == 0:
		f.Skip("needs topics that may be read")
	case len(offline) > 0:
		f.Problem("bring back the brokers that hold them; until then their records are not read", "without a leader: %s", some(offline))
	default:
		f.OK("each of %d has a leader", all)
	}
}

// leastRetention is how long records should outlive an outage of Sluice or the target.
const leastRetention = 24 * time.Hour

// retention: what makes records vanish before they are delivered.
func (c *cluster) retention(ctx context.Context, f *Findings) {
	if len(c.topics) == 0 {
		f.Skip("needs topics that may be read")
		return
	}
	var names, short, unclean []string
	for _, t := range c.topics {
		names = append(names, *t.Topic)
	}
	all, err := kadm.NewClient(c.cl).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		f.Skip("not to be read: %v; DESCRIBE_CONFIGS on the topics would let it be", err)
		return
	}
	for _, topic := range all {
		set := map[string]string{}
		for _, conf := range topic.Configs {
			if conf.Value != nil {
				set[conf.Key] = *conf.Value
			}
		}
		ms, err := strconv.ParseInt(set["retention.ms"], 10, 64)
		if kept := time.Duration(ms) * time.Millisecond; err == nil && ms >= 0 && kept < leastRetention && strings.Contains(cmp.Or(set["cleanup.policy"], "delete"), "delete") {
			short = append(short, fmt.Sprintf("%s (%v)", topic.Name, kept))
		}
		if set["unclean.leader.election.enable"] == "true" {
			unclean = append(unclean, topic.Name)
		}
	}
	slices.Sort(short)
	slices.Sort(unclean)
	if len(short) > 0 {
		f.Warn("raise retention.ms of the topics above the longest outage that is to be survived; tables are held whose records are gone", "records are deleted within a day: %s", some(short))
	}
	if len(unclean) > 0 {
		f.Warn("unclean.leader.election.enable=false on the topics", "a broker that is behind may become leader, and acknowledged records vanish: %s", some(unclean))
	}
	if len(short)+len(unclean) == 0 {
		f.OK("records are kept for a day or longer, and no unclean leaders are allowed")
	}
}

// deadLetter: it is there, and may be written.
func (c *cluster) deadLetter(ctx context.Context, f *Findings) {
	name := c.Config.DeadLetter.Topic
	if name == "" {
		f.Skip("SLUICE_DEADLETTER_TOPIC is not set: a bad record holds its table")
		return
	}
	found, err := c.describe(ctx, name)
	if err == nil {
		err = kerr.ErrorForCode(found[0].ErrorCode)
	}
	grant := "grant WRITE and DESCRIBE on the topic of SLUICE_DEADLETTER_TOPIC to this user: " + c.user()
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		f.Problem("SLUICE_DEADLETTER_TOPIC: create it; Sluice makes no topics", "no such topic: %s", name)
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		f.Problem(grant, "not allowed to see %s", name)
	case err != nil:
		f.Problem("SLUICE_DEADLETTER_TOPIC", "%s: %v", name, err)
	default:
		switch allowed, known := may(found[0].AuthorizedOperations, kmsg.ACLOperationWrite); {
		case !known:
			f.Skip("the brokers do not tell whether this user may write %s", name)
		case !allowed:
			f.Problem(grant, "not allowed to write %s", name)
		default:
			f.OK("%s may be written", name)
		}
	}
}
