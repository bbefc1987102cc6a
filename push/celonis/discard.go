package celonis

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sluice-cdc/sluice/push"
)

// Discard cancels the job if it is not final, and deletes it. One that turns out to be DONE,
// though it is not known for that, stays: it has delivered. So does one that is not over yet,
// which may still deliver.
func (s *Sink) Discard(ctx context.Context, t push.Ticket) error {
	st, err := s.status(ctx, t)
	if err == nil && (st.State == push.Queued || st.State == push.Running) {
		err = s.c.call(ctx, "cancel job", http.MethodPost, url.PathEscape(t.ID)+"/cancel", nil, nil)
		if err == nil || push.KindOf(err) == push.Rejected { // it ended in between
			st, err = s.status(ctx, t)
		}
		if err == nil && st.State != push.Canceled && st.State != push.Failed {
			err = &push.Error{Op: "cancel job", Kind: push.Unavailable, Message: fmt.Sprintf("it is %v after that", st.State)}
		}
	}
	switch {
	case err == nil && st.State == push.Done && !t.Done:
		return &push.Error{Op: "delete job", Kind: push.Unavailable, Message: "it is DONE, and stays for who asks what became of it"}
	case err == nil:
		return s.remove(ctx, t.ID)
	case push.KindOf(err) == push.Lost:
		return nil
	}
	return err
}

// remove deletes a job. One that is gone is no error.
func (s *Sink) remove(ctx context.Context, id string) error {
	err := s.c.call(ctx, "delete job", http.MethodDelete, url.PathEscape(id), nil, nil)
	if push.KindOf(err) == push.Lost {
		return nil
	}
	return err
}

// settle deletes the jobs of a table that nobody has executed, as far as the API lists them:
// an execution that arrives later does not find them. Those that run are over before the
// next one is, for the platform runs one of a table at a time.
func (s *Sink) settle(ctx context.Context, table string) error {
	var listed []jobDocument
	if err := s.c.call(ctx, "list jobs", http.MethodGet, "", nil, &listed); err != nil {
		return err
	}
	for _, d := range listed {
		if d.Status != "NEW" || !strings.EqualFold(d.TargetName, table) {
			continue
		}
		if err := s.remove(ctx, d.ID); err != nil {
			return err
		}
	}
	return nil
}
