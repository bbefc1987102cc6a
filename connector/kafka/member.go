package kafka

import (
	"errors"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// member is who we are in the group: the member id and generation under which we own
// our partitions. The broker takes a commit from any member of the current generation,
// whoever owns the partition, and a process that was thrown out and rejoined is a
// member of the current generation again. So a commit is held against this before it
// is sent (I2), and a membership that is not the last one's successor loses everything.
type member struct {
	cl *kgo.Client

	mu         sync.Mutex
	owns       bool // partitions, under id and generation
	id         string
	generation int32
	joined     int32 // the generation with which the last join began
	missed     bool  // a generation went by without us
	protocol   string
	partitions map[Partition]bool
}

var (
	errFenced   = errors.New("the member rejoined the group since the partitions were assigned")
	errRejoined = errors.New("thrown out of the group and back: others may have had the partitions meanwhile, so they are read again from what is committed")
)

// OnNewClient implements kgo.HookNewClient.
func (m *member) OnNewClient(cl *kgo.Client) { m.cl = cl }

// assigned notes partitions that are ours from now on.
func (m *member) assigned(parts []Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range parts {
		m.partitions[p] = true
	}
}

// identity returns the membership under which partitions are owned; ok is false if none
// is.
func (m *member) identity() (id string, generation int32, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id, m.generation, m.owns
}

// balancer returns the name of the protocol by which the partitions were shared last.
func (m *member) balancer() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.protocol
}

// gone notes partitions that are not ours any more.
func (m *member) gone(parts []Partition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range parts {
		delete(m.partitions, p)
	}
}

// lost notes that we are no member any more, and reports whether we were.
func (m *member) lost() (was bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was = m.owns
	clear(m.partitions)
	m.owns, m.missed = false, false
	return was
}

// check refuses a commit that is about to be sent under another membership than that
// under which its partitions are owned. The client stamps the request before it asks,
// and it may have waited for a rejoin before that.
func (m *member) check(req *kmsg.OffsetCommitRequest) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.owns || req.MemberID != m.id || req.Generation != m.generation {
		return errFenced
	}
	for _, t := range req.Topics {
		for _, p := range t.Partitions {
			if !m.partitions[Partition{t.Topic, p.Partition}] {
				return errFenced
			}
		}
	}
	return nil
}

// watched is a balancer through which the member sees each join as it happens: the
// client tells nobody when a member that was thrown out, and learns it by a refused
// commit, rejoins and is given its partitions again. The callbacks for assignments come
// later than commits that a rejoin has held up. (A balancer of our own also keeps the
// client from KIP-848's protocol, which stamps a commit anew after the check.)
type watched struct {
	kgo.GroupBalancer
	*member
}

// JoinGroupMetadata is called at the beginning of each join. What is owned is claimed as of the
// generation in which it was given (KIP-792). The client's is that of its last join, also of one
// whose sync failed: a member that was thrown out would claim, that late, what others have now.
func (w watched) JoinGroupMetadata(topics []string, owned map[string][]int32, generation int32) []byte {
	w.mu.Lock()
	if generation != w.joined && generation != w.joined+1 {
		w.missed = true
	}
	w.joined = generation
	if w.owns {
		generation = w.generation
	}
	w.mu.Unlock()
	return w.GroupBalancer.JoinGroupMetadata(topics, owned, generation)
}

// ParseSyncAssignment is called at its end, before any commit can be sent under the new
// generation. An error makes the client give up everything as lost and join anew.
func (w watched) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	id, generation := w.cl.GroupMetadata()
	w.mu.Lock()
	defer w.mu.Unlock()
	successor := id == w.id && (generation == w.joined+1 || generation == w.generation) && !w.missed
	if w.owns && len(w.partitions) > 0 && !successor {
		return nil, errRejoined
	}
	w.protocol = w.ProtocolName()
	w.owns, w.id, w.generation, w.joined, w.missed = true, id, generation, generation, false
	return w.GroupBalancer.ParseSyncAssignment(assignment)
}
