package connector

import (
	"cmp"
	"slices"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// State is where a Connector stands.
type State string

const (
	Joining  State = "joining" // not a member of the group: not yet, or not any more
	Running  State = "running"
	Draining State = "draining"
)

// Totals counts records since the start. Read is upserted, deleted, compacted,
// filtered, skipped, stale and dead-lettered ones, and those still in flight (I7).
type Totals struct {
	Read         int64 `json:"read"`
	Upserted     int64 `json:"upserted"`
	Deleted      int64 `json:"deleted"`
	Compacted    int64 `json:"compacted"`
	Truncated    int64 `json:"truncated"` // TRUNCATEs that emptied a table
	Filtered     int64 `json:"filtered"`
	Skipped      int64 `json:"skipped"`
	Stale        int64 `json:"stale"` // older than a change of their key that came before
	DeadLettered int64 `json:"deadLettered"`
	// Gaps counts offsets, not records: those that give none, for they are transaction
	// markers, or records that were aborted or compacted away.
	Gaps int64 `json:"gaps"`
}

// Status is a picture of the connector, made by the loop and never changed.
type Status struct {
	State      State     `json:"state"`
	At         time.Time `json:"at"`
	Partitions int       `json:"partitions"`
	// Lag is how many records are behind the high watermarks by the committed offsets.
	Lag        int64        `json:"lagRecords"`
	LastCommit time.Time    `json:"lastCommit,omitzero"`
	Memory     MemoryStatus `json:"memory"`
	Budget     BudgetStatus `json:"budget"`
	Kafka      string       `json:"kafka"`  // "ok", or what is wrong with the brokers
	Target     string       `json:"target"` // "ok", or why tables wait for it
	// SchemaRegistry is "ok", or why records wait for it; "" where there is none.
	SchemaRegistry string        `json:"schemaRegistry,omitempty"`
	Totals         Totals        `json:"totals"`
	Tables         []TableStatus `json:"tables"`
	Holds          []Hold        `json:"holds"`

	topics map[string]bool // those of our partitions, and whether they are on hold
	member bool            // of the group, also while draining
}

// MemoryStatus is bytes against SLUICE_MEMORY_LIMIT.
type MemoryStatus struct {
	Open     int64 `json:"open"`
	InFlight int64 `json:"inFlight"`
	Waiting  int64 `json:"waiting"` // records that wait for a decoder, a schema or the dead-letter topic
	Limit    int64 `json:"limit"`
	Paused   bool  `json:"fetchingPaused"`
}

// BudgetStatus is what the UTC hour has left of its limit, and what was spent since the
// start.
type BudgetStatus struct {
	Left   int       `json:"jobsLeft"`
	Limit  int       `json:"jobsPerHour"`
	Spent  int64     `json:"jobsSpent"`
	Resets time.Time `json:"resets"`
}

// TableStatus is one table's lane.
type TableStatus struct {
	Table string `json:"table"`
	// State is idle, filling, due (waiting for its lane or the budget),
	// delivering, waiting (for the credentials) or held.
	State string `json:"state"`
	// Freshness is seconds since the source committed the oldest change that is
	// not DONE yet; 0 if there is none. A held table counts from the oldest change that it
	// has dropped, or from the hold.
	Freshness       float64 `json:"freshnessSeconds"`
	FreshnessTarget float64 `json:"freshnessTargetSeconds"`
	// Lag is that of the partitions which feed the table.
	Lag     int64    `json:"lagRecords"`
	Rows    int      `json:"openRows"`
	Bytes   int64    `json:"openBytes"`
	Columns []string `json:"columns,omitempty"`
	// Changes are the latest changes of the columns, the last one last.
	Changes   []ColumnChange `json:"columnChanges,omitempty"`
	Step      string         `json:"step,omitempty"`
	Job       string         `json:"job,omitempty"`
	Error     string         `json:"error,omitempty"`
	RetryAt   time.Time      `json:"retryAt,omitzero"`
	Batches   int64          `json:"batches"`
	Upserts   int64          `json:"upserts"`
	Deletes   int64          `json:"deletes"`
	Compacted int64          `json:"compacted"`
	LastDone  time.Time      `json:"lastDone,omitzero"`
	LastTook  string         `json:"lastTook,omitempty"`
}

// Status returns the latest picture. It may be called from any goroutine.
func (c *Connector) Status() *Status { return c.status.Load() }

// Alive reports whether the loop has turned lately. A remote fault never stops
// it; only a restart would mend what does.
func (c *Connector) Alive(now time.Time) bool {
	last := c.beat.Load()
	return last == 0 || now.Sub(time.Unix(0, last)) < time.Minute
}

const publishEvery = 250 * time.Millisecond

// publish makes the picture anew if it is old.
func (c *Connector) publish() {
	if old := c.status.Load(); c.now.Sub(old.At) >= publishEvery || old.State != c.state() {
		c.picture()
	}
}

func (c *Connector) picture() {
	budget := c.opt.Pusher.Budget
	left, resets := budget.Left(c.now)
	lag, lags := c.lags()
	s := &Status{
		State: c.state(), At: c.now, Partitions: len(c.parts), Lag: lag, LastCommit: c.commits.done, Kafka: "ok", Target: "ok", Totals: c.totals,
		Memory: MemoryStatus{Open: c.batcher.Bytes(), InFlight: c.inflight, Waiting: c.waiting(), Limit: c.opt.MemoryLimit, Paused: c.paused()},
		Budget: BudgetStatus{Left: left, Limit: budget.Limit(), Spent: budget.Spent(), Resets: resets}, Holds: append([]Hold{}, c.holds...), Tables: []TableStatus{},
		topics: map[string]bool{}, member: c.joined,
	}
	if c.opt.Registry != nil {
		if s.SchemaRegistry = c.opt.Registry.Trouble(); s.SchemaRegistry == "" {
			s.SchemaRegistry = "ok"
		}
	}
	if c.brokers.trouble != "" {
		s.Kafka = c.brokers.trouble
	}
	for p := range c.parts {
		if _, seen := s.topics[p.Topic]; !seen {
			s.topics[p.Topic] = c.topicHeld(p.Topic)
		}
	}
	for _, l := range c.lanes {
		if err := c.sayTrouble(l); err != nil {
			s.Target = err.Error()
		}
		s.Tables = append(s.Tables, c.tableStatus(l, lags[l.table]))
	}
	for table, lag := range lags {
		if c.lanes[table] == nil { // only its topic's name has told of it yet
			s.Tables = append(s.Tables, c.tableStatus(&lane{table: table}, lag))
		}
	}
	if c.amnesia != "" {
		s.Target = c.amnesia
	}
	if c.blocked.err != nil {
		s.Target = c.blocked.err.Error()
	}
	slices.SortFunc(s.Tables, func(a, b TableStatus) int { return cmp.Compare(a.Table, b.Table) })
	c.status.Store(s)
	c.metrics.observe(s)
}

func (c *Connector) state() State {
	switch {
	case c.draining:
		return Draining
	case c.joined:
		return Running
	}
	return Joining
}

func (c *Connector) tableStatus(l *lane, lag int64) TableStatus {
	t := TableStatus{Table: l.table, State: "idle", FreshnessTarget: c.opt.FreshnessTarget(l.table).Seconds(), Lag: lag, Changes: slices.Clone(l.changes),
		Batches: l.done.Batches, Upserts: l.done.Upserts, Deletes: l.done.Deletes, Compacted: l.done.Compacted, LastDone: l.done.Last}
	if l.done.Took > 0 {
		t.LastTook = l.done.Took.Round(time.Millisecond).String()
	}
	oldest := int64(0)
	for _, b := range c.batcher.Of(l.table) {
		t.Rows += b.Len()
		t.Bytes += b.Size()
		oldest = older(oldest, b.Oldest)
		if t.State = "filling"; b.Reason > 0 {
			t.State = "due"
		}
		t.Columns = columns(b.Table)
	}
	if w := l.running; w != nil {
		t.State = "delivering"
		oldest = older(oldest, w.oldest)
	}
	if w := l.waiting; w != nil {
		t.State = "waiting"
		oldest = older(oldest, w.oldest)
	}
	for _, w := range []*work{l.running, l.waiting} {
		if w == nil {
			continue
		}
		t.Step = "encoding"
		if d := w.shown.Load(); d != nil {
			p := d.Progress()
			t.Step, t.Job = string(p.Step), p.JobID
			if p.Err != nil {
				t.Error, t.RetryAt = p.Err.Error(), p.Retry
			}
		}
	}
	if l.held != "" {
		t.State, t.Error = "held", l.held
		oldest = older(oldest, l.oldest)
	}
	if oldest > 0 {
		t.Freshness = max(0, c.now.Sub(time.UnixMilli(oldest)).Seconds())
	}
	return t
}

// older returns the earlier of two times in milliseconds, of which 0 is none.
func older(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// trouble is a failure of a lane's job that the log has told of.
type trouble struct {
	kind push.Kind
	at   time.Time // zero: none
}

const repeatEvery = time.Minute

// sayTrouble logs what keeps a lane's job from going on: the first failure of a kind at
// once, its repetitions once a minute, and that it is over. It returns the failure if
// it is of the target and not of the job.
func (c *Connector) sayTrouble(l *lane) error {
	var p push.Progress
	if l.running != nil {
		if d := l.running.shown.Load(); d != nil {
			p = d.Progress()
		}
	}
	if p.Err == nil {
		switch {
		case l.trouble.at.IsZero(), l.running != nil && p.Step == push.Preparing:
			return nil // in the latter case it may have begun anew because of the failure
		case l.running == nil && !l.done.Last.After(l.trouble.at):
			l.trouble = trouble{} // it ended otherwise: on hold, given away, waiting for credentials
			return nil
		}
		c.log.Info("the job goes on", "table", l.table, "job", p.JobID, "step", string(p.Step))
		l.trouble = trouble{}
		return nil
	}
	kind := push.KindOf(p.Err)
	if l.trouble.at.IsZero() || l.trouble.kind != kind || c.now.Sub(l.trouble.at) >= repeatEvery {
		c.log.WarnContext(l.running.ctx, "a job fails; it is tried again", "table", l.table, "job", p.JobID, "step", string(p.Step), "kind", kind.String(), "error", p.Err, "next_try", p.Retry)
		l.trouble = trouble{kind, c.now}
	}
	if kind == push.Unavailable || kind == push.Throttled {
		return p.Err
	}
	return nil
}

func columns(t *schema.Table) (names []string) {
	for _, col := range t.Columns {
		names = append(names, col.Name+" "+col.Type.Kind.String())
	}
	return names
}
