package kafka

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestMissedGeneration: who joins from a generation that is neither the last one it knew of nor
// the next has missed one, in which others may have had its partitions: it loses them all,
// though its id and generation are those under which it owns them.
func TestMissedGeneration(t *testing.T) {
	c, _ := owner(t)
	_, generation, ok := c.member.identity()
	if !ok {
		t.Fatal("it owns nothing")
	}
	w := watched{kgo.CooperativeStickyBalancer(), &c.member}
	empty := kmsg.NewConsumerMemberAssignment()
	for from, want := range map[int32]error{generation: nil, generation + 3: errRejoined} {
		w.JoinGroupMetadata([]string{"t"}, nil, from)
		if _, err := w.ParseSyncAssignment(empty.AppendTo(nil)); !errors.Is(err, want) {
			t.Errorf("joined from generation %d, owning under %d: %v, want %v", from, generation, err, want)
		}
		c.member.mu.Lock()
		c.member.joined, c.member.missed = generation, false
		c.member.mu.Unlock()
	}
}

// TestClaimedGeneration: a member claims partitions as of the generation in which they were given
// to it (KIP-792), also after joins that brought no assignment: to the leader, else, who was
// thrown out and back has them as late as their new owner.
func TestClaimedGeneration(t *testing.T) {
	c, _ := owner(t)
	_, given, ok := c.member.identity()
	if !ok {
		t.Fatal("it owns nothing")
	}
	for _, b := range []kgo.GroupBalancer{kgo.CooperativeStickyBalancer(), newAffine(nil)} {
		w := watched{b, &c.member}
		for later := range int32(3) { // the client counts the generation of a join whose sync failed
			var m kmsg.ConsumerMemberMetadata
			if err := m.ReadFrom(w.JoinGroupMetadata([]string{"t"}, map[string][]int32{"t": {0}}, given+later)); err != nil {
				t.Fatal(err)
			}
			if len(m.OwnedPartitions) != 1 || m.Generation != given {
				t.Errorf("%s, %d generations later: %v claimed of generation %d, want %d", b.ProtocolName(), later, m.OwnedPartitions, m.Generation, given)
			}
		}
	}
}
