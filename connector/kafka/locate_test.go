package kafka

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// TestListOffsets: a leader that does not answer takes a bounded time, and leaves what the
// others have said.
func TestListOffsets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		l := listOffsets(t.Context(), func(ctx context.Context, _ ...string) (kadm.ListedOffsets, error) {
			<-ctx.Done()
			return kadm.ListedOffsets{"t": {0: {Offset: 7}, 1: {Offset: -1, Err: kerr.LeaderNotAvailable}}}, ctx.Err()
		}, []string{"t"})
		if took := time.Since(began); took != leaderTimeout {
			t.Errorf("it took %v", took)
		}
		for id, want := range []error{nil, kerr.LeaderNotAvailable, context.DeadlineExceeded} {
			if at, err := l.of(Partition{"t", int32(id)}); !errors.Is(err, want) || err == nil && at != 7 {
				t.Errorf("partition %d: %d, %v; want %v", id, at, err, want)
			}
		}
	})
	l := listOffsets(t.Context(), nil, nil) // no topics would be all of them
	if _, err := l.of(Partition{"t", 0}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("of a partition that nobody knows: %v", err)
	}
}

// TestEmptyTopic: a topic is empty when all of its leaders say so, and is not as soon as one
// does; else it is not known.
func TestEmptyTopic(t *testing.T) {
	unled := kadm.ListedOffset{Offset: -1, Err: kerr.LeaderNotAvailable}
	for _, c := range []struct {
		name  string
		ends  map[int32]kadm.ListedOffset
		empty bool
		err   error
	}{
		{"empty", map[int32]kadm.ListedOffset{0: {}, 1: {}}, true, nil},
		{"filled", map[int32]kadm.ListedOffset{0: {}, 1: {Offset: 3}}, false, nil},
		{"filled, and one has no leader", map[int32]kadm.ListedOffset{0: unled, 1: {Offset: 3}}, false, nil},
		{"perhaps empty", map[int32]kadm.ListedOffset{0: {}, 1: unled}, false, kerr.LeaderNotAvailable},
		{"one is not answered for", map[int32]kadm.ListedOffset{0: {}}, false, context.DeadlineExceeded},
	} {
		d := kadm.TopicDetail{Topic: "t", Partitions: kadm.PartitionDetails{0: {}, 1: {}}}
		empty, err := listed{kadm.ListedOffsets{"t": c.ends}, context.DeadlineExceeded}.zero(d)
		if empty != c.empty || !errors.Is(err, c.err) {
			t.Errorf("%s: %v, %v; want %v, %v", c.name, empty, err, c.empty, c.err)
		}
	}
}
