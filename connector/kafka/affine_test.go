package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// TestShare plays a group through joins, leaves, lost members and new topics. In every
// generation no partition has two owners and none moves before it is free; a table is
// never with two members unless it was before; and the group comes to rest with every
// table whole, at one member, and the load even.
func TestShare(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := func(topic string) string { return strings.TrimRight(topic, "0123456789") } // a1 and a2 feed a
		topics, rates := map[string]int32{}, map[string]int{}
		more := func() {
			topic := fmt.Sprintf("%c%d", 'a'+rapid.IntRange(0, 7).Draw(t, "table"), rapid.IntRange(0, 2).Draw(t, "topic"))
			topics[topic] = max(topics[topic], rapid.Int32Range(1, 6).Draw(t, "partitions"))
			rates[topic] = rapid.IntRange(0, 8).Draw(t, "rate")
		}
		more()
		var members []claimant
		generation, next := int32(0), 0
		owners := map[Partition]string{} // who may be reading a partition
		round := func() (lost bool) {
			generation++
			for i := range members {
				members[i].topics = slices.Sorted(func(yield func(string) bool) {
					for topic := range topics {
						if !yield(topic) {
							return
						}
					}
				})
			}
			given := share(members, bundles(topics, rates, table))
			seen := map[Partition]string{}
			reads := map[string]map[string]bool{} // table → who had some of it before
			for p, at := range owners {
				if reads[table(p.Topic)] == nil {
					reads[table(p.Topic)] = map[string]bool{}
				}
				reads[table(p.Topic)][at] = true
			}
			for i := range members {
				for _, p := range given[i] {
					if other, ok := seen[p]; ok {
						t.Fatalf("%v is given to %s and %s", p, other, members[i].id)
					}
					seen[p] = members[i].id
					if at, ok := owners[p]; ok && at != members[i].id {
						t.Fatalf("%v is given to %s while %s reads it", p, members[i].id, at)
					}
					for other := range reads[table(p.Topic)] {
						if had := reads[table(p.Topic)]; other != members[i].id && !had[members[i].id] {
							t.Fatalf("%v is given to %s while %s has others of its table", p, members[i].id, other)
						}
					}
				}
			}
			for i := range members {
				for _, p := range members[i].owned {
					if seen[p] != members[i].id {
						lost = true
						delete(owners, p)
					}
				}
				members[i].owned, members[i].generation = given[i], generation
				for _, p := range given[i] {
					owners[p] = members[i].id
				}
			}
			return lost
		}
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0, 1:
				next++
				members = append(members, claimant{id: fmt.Sprintf("m%d", next)})
			case 2:
				more()
			case 3:
				if len(members) > 0 { // it leaves, or the group takes it for dead
					i := rapid.IntRange(0, len(members)-1).Draw(t, "who")
					for _, p := range members[i].owned {
						delete(owners, p)
					}
					members = slices.Delete(members, i, i+1)
				}
			}
			if len(members) == 0 || rapid.Bool().Draw(t, "the next event comes first") {
				continue
			}
			settled := false
			for range 4 {
				if !round() {
					settled = true
					break
				}
			}
			if !settled {
				t.Fatalf("the group does not come to rest")
			}
			whose, load := map[string]string{}, map[string]float64{}
			for topic, n := range topics {
				for p := range n {
					at, ok := owners[Partition{topic, p}]
					if !ok {
						t.Fatalf("%s/%d is given to nobody", topic, p)
					}
					if other, ok := whose[table(topic)]; ok && other != at {
						t.Fatalf("table %s is with %s and %s", table(topic), other, at)
					}
					whose[table(topic)] = at
				}
			}
			all := bundles(topics, rates, table)
			for _, b := range all {
				load[whose[table(b.topics[0])]] += b.weight
			}
			// Nobody could hand a bundle to another one and still be much the busier.
			mean := 0.0
			for _, l := range load {
				mean += l / float64(len(members))
			}
			for _, b := range all {
				at := whose[table(b.topics[0])]
				for _, m := range members {
					if m.id != at && load[at]-b.weight > load[m.id]+0.11*mean {
						t.Fatalf("uneven: %v, and %v could move to %s", load, b.topics, m.id)
					}
				}
			}
		}
	})
}

// TestClaims: a member that comes back with partitions which others were given since
// keeps nobody from them.
func TestClaims(t *testing.T) {
	p := Partition{"a", 0}
	members := []claimant{
		{id: "back", topics: []string{"a"}, owned: []Partition{p}, generation: 3},
		{id: "owner", topics: []string{"a"}, owned: []Partition{p}, generation: 5},
	}
	if given := share(members, bundles(map[string]int32{"a": 1}, nil, nil)); len(given[0]) != 0 || len(given[1]) != 1 {
		t.Errorf("given %v", given)
	}
	members[0].generation = 5 // nobody can tell whose it is: first both let go of it
	if given := share(members, bundles(map[string]int32{"a": 1}, nil, nil)); len(given[0])+len(given[1]) != 0 {
		t.Errorf("given %v", given)
	}
	members[1].owned = nil
	members[0].topics = nil // it does not read the topic any more
	if given := share(members, bundles(map[string]int32{"a": 1}, nil, nil)); len(given[0])+len(given[1]) != 0 {
		t.Errorf("given %v before it is free", given)
	}
	members[0].owned = nil
	if given := share(members, bundles(map[string]int32{"a": 1}, nil, nil)); len(given[1]) != 1 {
		t.Errorf("given %v", given)
	}
}

// TestGrownTable: a topic has grown, and its table moves to a member that has just come. That
// one gets nothing of it, the partitions that nobody has either, until all of it is free.
func TestGrownTable(t *testing.T) {
	all := bundles(map[string]int32{"a": 2, "b": 1}, nil, nil)
	both := []string{"a", "b"}
	members := []claimant{
		{id: "has all", topics: both, owned: []Partition{{"a", 0}, {"b", 0}}, generation: 1},
		{id: "came", topics: both},
	}
	if given := share(members, all); len(given[0]) != 1 || given[0][0].Topic != "b" || len(given[1]) != 0 {
		t.Fatalf("given %v: partitions of a table that another reads", given)
	}
	members[0].owned, members[0].generation = []Partition{{"b", 0}}, 2
	if given := share(members, all); len(given[1]) != 2 {
		t.Errorf("given %v, want all of the table", given)
	}
}

// TestSkipped: a leader that was not asked for a plan asks for a rebalance, once.
func TestSkipped(t *testing.T) {
	a := newAffine(nil)
	join := func(plan bool) {
		meta := a.JoinGroupMetadata([]string{"t"}, nil, 1)
		b, _, err := a.MemberBalancer([]kmsg.JoinGroupResponseMember{{MemberID: "m", ProtocolMetadata: meta}})
		if err != nil {
			t.Fatal(err)
		}
		if plan {
			if _, err := b.(kgo.GroupMemberBalancerOrError).BalanceOrError(map[string]int32{"t": 1}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if join(true); a.skipped() {
		t.Error("it made a plan")
	}
	if join(false); !a.skipped() || a.skipped() {
		t.Error("it made none")
	}
}

func TestRateClass(t *testing.T) {
	for rate, want := range map[int64]int{0: 0, 1023: 0, 1024: 1, 4095: 1, 4096: 2, 16 << 10: 3, 1 << 20: 6, 1 << 40: 16} {
		if got := rateClass(rate); got != want {
			t.Errorf("%d bytes a second: class %d, want %d", rate, got, want)
		}
	}
}
