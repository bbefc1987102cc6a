package feldera

import (
	"context"
	"net/http"
	"net/url"

	"go.opentelemetry.io/otel/trace"

	"github.com/sluice-cdc/sluice/push"
)

// checkpoints are those of the pipeline, shared by all tables: one at a time is under way.
// They are numbered from 0 in each of its lives.
type checkpoints struct {
	// turn is had by whoever asks the pipeline and changes the rest. No mutex, for the
	// pipeline may take its time, and who waits for a turn may be told to stop.
	turn        chan struct{}
	incarnation string
	asked       int64 // the last one that was asked for
	done        int64 // the last one that succeeded
}

const none = -1

type checkpointDocument struct {
	Sequence    int64  `json:"checkpoint_sequence_number"`
	Incarnation string `json:"incarnation_uuid"`
}

type checkpointStatus struct {
	Success *int64 `json:"success"`
	Failure *struct {
		Sequence int64  `json:"sequence_number"`
		Error    string `json:"error"`
	} `json:"failure"`
}

// checkpoint brings a job whose rows are complete to DONE: by a checkpoint that was asked
// for after they were.
func (s *Sink) checkpoint(ctx context.Context, j *job) (push.Status, error) {
	c := &s.points
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return push.Status{}, ctx.Err()
	}
	if !j.ready {
		trace.SpanFromContext(ctx).AddEvent("complete") // what follows is the wait for the checkpoint
		j.ready = true
	}
	if j.point == none {
		if c.asked > c.done { // that one may have begun before the rows were complete
			if err := s.readCheckpoint(ctx); err != nil {
				return push.Status{}, err
			}
		}
		if c.asked > c.done {
			return push.Status{State: push.Running}, nil
		}
		var made checkpointDocument
		if err := s.c.call(ctx, "make checkpoint", http.MethodPost, s.c.pipeline+"/checkpoint", "/pipelines/{pipeline}/checkpoint", []byte{}, &made); err != nil {
			return push.Status{}, err
		}
		if made.Incarnation != c.incarnation {
			s.unclaim(none)
			c.done = none
		}
		c.asked, c.incarnation = made.Sequence, made.Incarnation
		s.claim(made.Sequence)
	}
	if c.done < j.point {
		if err := s.readCheckpoint(ctx); err != nil {
			return push.Status{}, err
		}
	}
	if c.done < j.point {
		return push.Status{State: push.Running}, nil
	}
	return push.Status{State: push.Done}, nil
}

// claim gives a checkpoint that was just asked for to all jobs whose rows are complete.
func (s *Sink) claim(sequence int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.ready && j.point == none {
			j.point = sequence
		}
	}
}

// readCheckpoint asks what became of the last checkpoint.
func (s *Sink) readCheckpoint(ctx context.Context) error {
	c := &s.points
	var st checkpointStatus
	if err := s.c.call(ctx, "read checkpoint", http.MethodGet, s.c.pipeline+"/checkpoint_status?incarnation_uuid="+url.QueryEscape(c.incarnation), "/pipelines/{pipeline}/checkpoint_status", nil, &st); err != nil {
		if push.KindOf(err) == push.Lost { // with the life it was made in, which says nothing of later rows
			c.asked, c.done = none, none
			s.unclaim(none)
			return &push.Error{Op: "read checkpoint", Kind: push.Unavailable, Err: err, Message: "it went with the pipeline that was to make it"}
		}
		return err
	}
	if st.Success != nil {
		c.done = max(c.done, *st.Success)
	}
	// A failure is never taken back; it counts if it is of the one that is waited for.
	if st.Failure != nil && st.Failure.Sequence >= c.asked && c.done < c.asked {
		c.asked = c.done
		s.unclaim(c.done)
		words := push.Words(st.Failure.Error, func(word string, quoted bool) bool { return !quoted && !push.Numbered(word) }) // of its storage, not of rows
		return &push.Error{Op: "make checkpoint", Kind: push.Unavailable, Message: push.Clip(words), Hint: "it is made again; look at the pipeline's storage"}
	}
	return nil
}

func (s *Sink) unclaim(done int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.point > done {
			j.point = none
		}
	}
}
