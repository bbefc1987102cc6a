package connector

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// standing is a process's membership as the group has confirmed it in answers to its
// heartbeats.
type standing struct {
	mu         sync.Mutex
	until      time.Time // so long
	generation int32     // under which it was confirmed last
}

// mute are the answers that say nothing of the generation that is held: a broker that does
// not know the group now, and a group that has the member in a later generation than the
// request's. (Into that only its own join brings it; another's id is UNKNOWN_MEMBER_ID.)
var mute = []error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.CoordinatorLoadInProgress, kerr.IllegalGeneration}

// hears takes the answer to a heartbeat: a confirmation, or what takes the last one back, if
// it is of that membership or a later one.
func (s *standing) hears(generation int32, sent time.Time, answer error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case generation < s.generation || slices.Contains(mute, answer):
	case answer == nil || errors.Is(answer, kerr.RebalanceInProgress):
		s.until, s.generation = sent.Add(simSession), generation
	default:
		s.until = time.Time{}
	}
}

func (s *standing) confirmed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.until
}

// TestStanding: a confirmation is taken back by what the group says of the generation that
// is held, and by nothing else.
func TestStanding(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		generation int32
		answer     error
		stands     bool
	}{
		"the member is unknown":                     {6, kerr.UnknownMemberID, false},
		"the member is unknown, as a later one":     {7, kerr.UnknownMemberID, false},
		"the member is unknown, as an earlier one":  {5, kerr.UnknownMemberID, true},
		"another process has its instance id":       {6, kerr.FencedInstanceID, false},
		"it may not read the group":                 {6, kerr.GroupAuthorizationFailed, false},
		"it has joined the next generation":         {6, kerr.IllegalGeneration, true},
		"the broker is not the coordinator":         {6, kerr.NotCoordinator, true},
		"the broker reads what the group has noted": {6, kerr.CoordinatorLoadInProgress, true},
	} {
		var s standing
		s.hears(6, now, nil)
		s.hears(c.generation, now.Add(time.Second), c.answer)
		want := time.Time{}
		if c.stands {
			want = now.Add(simSession)
		}
		if got := s.confirmed(); !got.Equal(want) {
			t.Errorf("%s: confirmed until %v, want %v", name, got, want)
		}
	}
	var s standing
	s.hears(6, now, kerr.RebalanceInProgress)
	if s.hears(7, now.Add(time.Second), nil); !s.confirmed().Equal(now.Add(time.Second + simSession)) {
		t.Error("the next generation confirms nothing")
	}
}
