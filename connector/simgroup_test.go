package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// committing is the broker's side of a commit: faults, whether all before the offset has
// been delivered (I1), and whether who commits owns what it moves on (I2).
func (w *simulation) committing(q kmsg.Request) (kmsg.Response, error, bool) {
	w.cluster.KeepControl()
	req := q.(*kmsg.OffsetCommitRequest)
	w.mu.Lock()
	defer w.mu.Unlock()
	var refusal *kerr.Error
	if len(w.faults) > 0 && (w.faults[0] == "refuse" || w.faults[0] == "time-out") {
		refusal = kerr.RequestTimedOut
		if w.faults[0] == "refuse" {
			refusal = kerr.CoordinatorLoadInProgress
		}
		w.faults = w.faults[1:]
	}
	info := w.cluster.GroupInfo("sluice")
	takes := member(info, req)
	for _, t := range req.Topics {
		topic := t.Topic
		if topic == "" {
			topic = w.cluster.TopicIDInfo(t.TopicID).Topic
		}
		for _, p := range t.Partitions {
			part := fmt.Sprintf("%s/%d", topic, p.Partition)
			w.trace = append(w.trace, fmt.Sprintf("%s commit by %.12s generation %d: %s %d %s", time.Now().Format("04:05.000"), req.MemberID[max(0, len(req.MemberID)-12):], req.Generation, part, p.Offset, *p.Metadata))
			if info != nil && w.pipe != nil {
				w.learn(part, info.Commits[topic][p.Partition].Metadata)
				w.kept[part] = info.Commits[topic][p.Partition].Offset
			}
			if takes && refusal == nil {
				w.owned(info, req.MemberID, topic, p)
			}
			if len(*p.Metadata) > w.metadata {
				w.fail("%d bytes of metadata", len(*p.Metadata))
			}
			w.named(part, *p.Metadata)
			delivered := w.delivered(*p.Metadata)
			for _, e := range w.records[part] {
				if e.offset < p.Offset && delivered[e.row] < e.version && !w.superseded(part, e) {
					w.fail("%s: %d committed, and offset %d, version %d of %s, is not delivered", part, p.Offset, e.offset, e.version, e.row)
					break
				}
			}
		}
	}
	if w.broker > 0 && refusal == nil {
		if resp := tooLarge(req, w.broker); resp != nil {
			return resp, nil, true
		}
	}
	return commitAnswer(req, func(kmsg.OffsetCommitRequestTopicPartition) *kerr.Error { return refusal }), nil, refusal != nil
}

// member reports whether a commit is one that the group takes: by a member, under the
// current generation.
func member(info *kfake.GroupInfo, req *kmsg.OffsetCommitRequest) bool {
	return info != nil && info.Epoch == req.Generation && info.State != "CompletingRebalance" &&
		slices.ContainsFunc(info.Members, func(m kfake.GroupMember) bool { return m.MemberID == req.MemberID })
}

// owned holds a commit that the group takes against what it has: the offset does not go back
// (but for a pipeline that has forgotten what it was sent), and no other member owns the
// partition. (Whoever is to give it up has it still, while it is assigned to nobody.)
func (w *simulation) owned(info *kfake.GroupInfo, by, topic string, p kmsg.OffsetCommitRequestTopicPartition) {
	if have, ok := info.Commits[topic][p.Partition]; ok && p.Offset < have.Offset && !w.forgot(have.Metadata, *p.Metadata) {
		w.fail("%s/%d: the group goes back from %d to %d", topic, p.Partition, have.Offset, p.Offset)
	}
	for _, m := range info.Members {
		if m.MemberID != by && slices.Contains(m.Assignment[topic], p.Partition) {
			w.fail("%s/%d: %s commits, and it is %s's", topic, p.Partition, by, m.MemberID)
		}
	}
}

// forgot reports whether what stands beside an offset is of another life of the pipeline than
// what is to stand there.
func (w *simulation) forgot(have, want string) bool {
	before, _ := intent.Parse(have)
	after, _ := intent.Parse(want)
	return w.pipe != nil && before.Target != after.Target
}

// lag is what is not committed, but for a table that may be held.
func (w *simulation) lag() (lag int64) {
	held := w.appendHeld()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	at, err := kadm.NewClient(w.client).FetchOffsets(ctx, "sluice")
	if err != nil {
		return -1
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for part, records := range w.records {
		topic, id, _ := strings.Cut(part, "/")
		if held && topic == appendTopic {
			continue
		}
		o, _ := at.Lookup(topic, int32(number(id)))
		lag += max(0, records[len(records)-1].offset+1-max(0, o.At))
	}
	return lag
}

// kick has the group throw out a member, which learns it by itself.
func (w *simulation) kick(n int) {
	if members := w.group(); len(members) > 0 {
		w.throwOut(members[n%len(members)].MemberID)
	}
}

// exorcise has the group throw out members whose process is no more: kfake keeps one for
// ever that died while it joined; a broker does not.
func (w *simulation) exorcise() {
	for _, m := range w.group() {
		if n := number(strings.TrimPrefix(m.ClientID, "sim")); w.all[n].over() {
			w.note("%s, whose process is no more, is thrown out", m.MemberID)
			w.throwOut(m.MemberID)
		}
	}
}

func (w *simulation) group() []kadm.DescribedGroupMember {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	d, _ := kadm.NewClient(w.client).DescribeGroups(ctx, "sluice")
	return d["sluice"].Members
}

func (w *simulation) throwOut(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = "sluice"
	lm := kmsg.NewLeaveGroupRequestMember()
	lm.MemberID = id
	req.Members = append(req.Members, lm)
	req.RequestWith(ctx, w.client)
}

// TestOwned: a commit that goes back, or moves on what another member owns, is found; one
// that a pipeline that has forgotten asks for, or that the group refuses, is not.
func TestOwned(t *testing.T) {
	lives := func(target string) *string { return new(intent.Metadata{Target: target}.String()) }
	info := &kfake.GroupInfo{Epoch: 3, State: "Stable", Members: []kfake.GroupMember{{MemberID: "a"}, {MemberID: "b", Assignment: map[string][]int32{"t": {1}}}},
		Commits: map[string]map[int32]kfake.GroupCommit{"t": {0: {Offset: 7, Metadata: *lives("first")}, 1: {Offset: 7}}}}
	for name, c := range map[string]struct {
		by         string
		generation int32
		part       int32
		at         int64
		metadata   *string
		pipe       bool
		wrong      int
	}{
		"on":                           {"a", 3, 0, 8, lives("first"), false, 0},
		"the same":                     {"a", 3, 0, 7, lives("first"), false, 0},
		"the first":                    {"a", 3, 2, 0, lives("first"), false, 0},
		"back":                         {"a", 3, 0, 6, lives("first"), false, 1},
		"back, the pipeline is anew":   {"a", 3, 0, 6, lives("second"), true, 0},
		"back, the pipeline remembers": {"a", 3, 0, 6, lives("first"), true, 1},
		"another's":                    {"a", 3, 1, 8, lives("first"), false, 1},
		"its own":                      {"b", 3, 1, 8, lives("first"), false, 0},
		"in an earlier generation":     {"a", 2, 1, 6, lives("first"), false, 0},
		"by nobody":                    {"c", 3, 1, 6, lives("first"), false, 0},
	} {
		w := &simulation{t: t}
		if c.pipe {
			w.pipe = &pipeline.Emulator{}
		}
		req := &kmsg.OffsetCommitRequest{MemberID: c.by, Generation: c.generation}
		if member(info, req) {
			w.owned(info, c.by, "t", kmsg.OffsetCommitRequestTopicPartition{Partition: c.part, Offset: c.at, Metadata: c.metadata})
		}
		if len(w.wrong) != c.wrong {
			t.Errorf("%s: %q", name, w.wrong)
		}
	}
}
