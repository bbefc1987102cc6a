package kafka

import (
	"cmp"
	"encoding/json"
	"maps"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Balancer names how the group's members share the partitions.
type Balancer string

const (
	// TopicAffine gives all partitions of a topic, and of all topics that feed one
	// table, to one member: the target takes one job of a table at a time.
	TopicAffine Balancer = "topic-affine" // also ""
	// CooperativeSticky is Kafka's own (KIP-429). It spreads the partitions of a topic.
	CooperativeSticky Balancer = "cooperative-sticky"
)

// balancers are the protocols that this member takes part in, the wanted one first.
// Both are listed, so that a group can be changed from one to the other member by
// member: the brokers choose one that all know.
func (o *Options) balancers(a *affine, m *member) []kgo.GroupBalancer {
	both := []kgo.GroupBalancer{watched{a, m}, watched{kgo.CooperativeStickyBalancer(), m}}
	if o.Balancer == CooperativeSticky {
		slices.Reverse(both)
	}
	return both
}

// Protocols are the ways of sharing partitions that a member knows, as brokers name them.
func Protocols() []string {
	return []string{(*affine)(nil).ProtocolName(), kgo.CooperativeStickyBalancer().ProtocolName()}
}

// affine is the topic-affine balancer. It is cooperative and sticky, even by
// partitions and by the bytes that members have seen, and gives a topic to its new
// owner only when every partition of it is free.
type affine struct {
	table func(topic string) string // that a topic feeds

	mu    sync.Mutex
	since time.Time
	bytes map[string]int64 // by topic, since then
	rates map[string]int   // by topic, see rateClass
	// unplanned says that this member leads the group, and the brokers had it go on
	// with the plan that there was.
	unplanned bool
}

func newAffine(table func(string) string) *affine {
	return &affine{table: table, since: time.Now(), bytes: map[string]int64{}, rates: map[string]int{}}
}

// observe notes what was fetched.
func (a *affine) observe(topic string, n int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bytes[topic] += n
}

// rateWindow is how long bytes are counted before they make a rate.
const rateWindow = 30 * time.Second

// rateClass is a rate as a power of four of kilobytes a second, 0 below one. It is
// coarse, for a member whose metadata changes makes the brokers rebalance.
func rateClass(bytesPerSecond int64) int { return (bits.Len64(uint64(bytesPerSecond)>>10) + 1) / 2 }

// report is what a member tells the leader, as the user data of its metadata.
type report struct {
	Rates map[string]int `json:"rates,omitempty"`
}

func (*affine) ProtocolName() string { return "sluice-topic-affine" }
func (*affine) IsCooperative() bool  { return true }

func (a *affine) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	a.mu.Lock()
	if took := time.Since(a.since); took >= rateWindow {
		clear(a.rates)
		for topic, n := range a.bytes {
			if class := rateClass(int64(float64(n) / took.Seconds())); class > 0 {
				a.rates[topic] = class
			}
		}
		clear(a.bytes)
		a.since = time.Now()
	}
	data, _ := json.Marshal(report{a.rates})
	a.mu.Unlock()
	m := kmsg.NewConsumerMemberMetadata()
	m.Version, m.Topics, m.Generation, m.UserData = 3, topics, generation, data
	for _, topic := range slices.Sorted(maps.Keys(owned)) {
		o := kmsg.NewConsumerMemberMetadataOwnedPartition()
		o.Topic, o.Partitions = topic, owned[topic]
		m.OwnedPartitions = append(m.OwnedPartitions, o)
	}
	return m.AppendTo(nil)
}

func (*affine) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	return kgo.ParseConsumerSyncAssignment(assignment)
}

func (a *affine) MemberBalancer(members []kmsg.JoinGroupResponseMember) (kgo.GroupMemberBalancer, map[string]struct{}, error) {
	a.mu.Lock()
	a.unplanned = true // until Balance is called
	a.mu.Unlock()
	b, err := kgo.NewConsumerBalancer(a, members)
	return b, b.MemberTopics(), err
}

// Balance implements kgo.ConsumerBalancerBalance: the leader calls it for all.
func (a *affine) Balance(b *kgo.ConsumerBalancer, topics map[string]int32) kgo.IntoSyncAssignment {
	a.mu.Lock()
	a.unplanned = false
	a.mu.Unlock()
	rates := map[string]int{}
	var members []claimant
	b.EachMember(func(m *kmsg.JoinGroupResponseMember, meta *kmsg.ConsumerMemberMetadata) {
		c := claimant{id: m.MemberID, topics: meta.Topics, generation: meta.Generation}
		for _, o := range meta.OwnedPartitions {
			for _, p := range o.Partitions {
				c.owned = append(c.owned, Partition{o.Topic, p})
			}
		}
		members = append(members, c)
		var r report
		json.Unmarshal(meta.UserData, &r) // of another protocol's member: nothing is known
		for topic, class := range r.Rates {
			rates[topic] = max(rates[topic], class)
		}
	})
	given := share(members, bundles(topics, rates, a.table))
	plan := b.NewPlan()
	for i := range members {
		m, _ := b.MemberAt(i)
		for _, p := range given[i] {
			plan.AddPartition(m, p.Topic, p.ID)
		}
	}
	return plan
}

// skipped reports, once, that this member leads the group without having made its plan.
// A static member that restarts as the leader is given the old assignment and told not
// to make a new one (KIP-814). The client checks the plan of Kafka's own balancers all
// the same, and not ours: topics made meanwhile would be with nobody.
func (a *affine) skipped() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.unplanned
	a.unplanned = false
	return was
}

// claimant is a member with the partitions that it says it owns.
type claimant struct {
	id         string
	topics     []string // subscribed, sorted
	owned      []Partition
	generation int32 // in which it was given them
}

// bundle is the partitions that go to one member together.
type bundle struct {
	topics     []string
	partitions []Partition
	weight     float64
}

// partitionWeight is what a partition weighs in the unit of rates, kilobytes a second.
const partitionWeight = 64

// bundleOf names the bundle that a topic is in.
func bundleOf(topic string, table func(string) string) string {
	if table != nil {
		if t := table(topic); t != "" {
			return "table " + t
		}
	}
	return "topic " + topic
}

// bundles puts the topics of a table together, the heaviest first.
func bundles(topics map[string]int32, rates map[string]int, table func(string) string) []bundle {
	of := map[string]*bundle{}
	for _, topic := range slices.Sorted(maps.Keys(topics)) {
		name := bundleOf(topic, table)
		b := of[name]
		if b == nil {
			b = &bundle{}
			of[name] = b
		}
		b.topics = append(b.topics, topic)
		for p := range topics[topic] {
			b.partitions = append(b.partitions, Partition{topic, p})
		}
		b.weight += partitionWeight * float64(topics[topic])
		if class := rates[topic]; class > 0 {
			b.weight += float64(int64(1) << (2*class - 1))
		}
	}
	all := make([]bundle, 0, len(of))
	for _, name := range slices.Sorted(maps.Keys(of)) {
		all = append(all, *of[name])
	}
	slices.SortStableFunc(all, func(a, b bundle) int { return cmp.Compare(b.weight, a.weight) })
	return all
}

// share decides which partitions each member gets. A bundle goes to one member. What
// another still claims is given to nobody until that one has let go of it: it loses
// it by this plan, and rejoins, which makes the next.
func share(members []claimant, all []bundle) [][]Partition {
	given := make([][]Partition, len(members))
	claims := claimed(members)
	owner := make([]int, len(all)) // by bundle; -1: nobody can read it
	load := make([]float64, len(members))
	able := func(m int, b *bundle) bool {
		return !slices.ContainsFunc(b.topics, func(t string) bool { _, ok := slices.BinarySearch(members[m].topics, t); return !ok })
	}
	least := func(b *bundle) int {
		best := -1
		for m := range members {
			if able(m, b) && (best < 0 || load[m] < load[best]) {
				best = m
			}
		}
		return best
	}
	for i := range all { // sticky: whoever has most of it
		owner[i] = -1
		has := make([]int, len(members))
		for _, p := range all[i].partitions {
			if m, ok := claims[p]; ok && m >= 0 {
				has[m]++
			}
		}
		for m, n := range has {
			if n > 0 && able(m, &all[i]) && (owner[i] < 0 || n > has[owner[i]]) {
				owner[i] = m
			}
		}
		if owner[i] >= 0 {
			load[owner[i]] += all[i].weight
		}
	}
	for i := range all { // the heaviest first, to whom has least
		if owner[i] < 0 {
			if owner[i] = least(&all[i]); owner[i] >= 0 {
				load[owner[i]] += all[i].weight
			}
		}
	}
	even(all, owner, load, able)
	for i := range all {
		to := owner[i]
		if to < 0 {
			continue
		}
		free := !slices.ContainsFunc(all[i].partitions, func(p Partition) bool { m, ok := claims[p]; return ok && m != to })
		for _, p := range all[i].partitions {
			if m, ok := claims[p]; free || ok && m == to {
				given[to] = append(given[to], p)
			}
		}
	}
	return given
}

// claimed returns who owns each partition: of several who say so, the one of the
// latest generation, for the others have lost it since (KIP-792); -1 if that is not
// clear.
func claimed(members []claimant) map[Partition]int {
	claims := map[Partition]int{}
	when := map[Partition]int32{}
	for m := range members {
		for _, p := range members[m].owned {
			g, before := when[p]
			switch generation := members[m].generation; {
			case !before || generation > g:
				claims[p], when[p] = m, generation
			case generation == g:
				claims[p] = -1
			}
		}
	}
	return claims
}

// evenEnough is the share of the mean load by which a member must remain busier than
// the one that it hands a bundle to: a smaller gain is not worth handing a table over.
const evenEnough = 0.1

// even moves bundles from busier to less busy members as long as that helps. Each move
// brings the loads nearer to one another, so it ends.
func even(all []bundle, owner []int, load []float64, able func(int, *bundle) bool) {
	mean := 0.0
	for _, l := range load {
		mean += l / float64(len(load))
	}
	for {
		move, to, best := -1, -1, 0.0
		for i := range all {
			from := owner[i]
			if from < 0 {
				continue
			}
			for m := range load {
				left := load[from] - load[m] - all[i].weight
				if gain := left * all[i].weight; m != from && left > evenEnough*mean && gain > best && able(m, &all[i]) {
					move, to, best = i, m, gain
				}
			}
		}
		if move < 0 {
			return
		}
		load[owner[move]] -= all[move].weight
		load[to] += all[move].weight
		owner[move] = to
	}
}
