package kafka

import (
	"context"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// starts is of which partitions the client has been told where the group stands in them, and
// whether it has an offset there. Until then it takes no other offset for a partition: it drops
// that without a word, and begins where the group stands.
type starts struct {
	mu   sync.Mutex
	told map[Partition]bool
}

// assigned forgets what was told of partitions when they were ours before.
func (s *starts) assigned(parts []Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range parts {
		delete(s.told, p)
	}
}

// adjust is called with the offsets from which the client is about to begin. It takes their
// epochs away, which would let the client move to the log's end on its own.
func (s *starts) adjust(_ context.Context, m map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for topic, parts := range m {
		for id, o := range parts {
			has := o.EpochOffset().Offset >= 0
			if has {
				parts[id] = o.WithEpoch(-1)
			}
			s.told[Partition{topic, id}] = has
		}
	}
	return m, nil
}

// first reports whether the client is to begin with a partition's first record.
func (s *starts) first(p Partition) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	has, told := s.told[p]
	return told && !has
}
