package celonis

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// Sink pushes to one data pool. It is a push.Sink and may be used concurrently.
type Sink struct {
	c   *client
	opt Options

	// Under Options.Spacing: the turn of the one that submits, who owns the time of
	// the last submission.
	turn      chan struct{}
	submitted time.Time
}

// New returns the sink for opt. transport is nil but in tests.
func New(opt Options, transport http.RoundTripper) (*Sink, error) {
	s := &Sink{opt: opt, turn: make(chan struct{}, 1)}
	if s.opt.FileType == "" {
		s.opt.FileType = Parquet
	}
	if s.opt.Table == nil {
		s.opt.Table = func(string) TableOptions { return TableOptions{} }
	}
	if s.opt.MaxNameLength == 0 {
		s.opt.MaxNameLength = 128 // octets, as in the store that is known to be behind the platform
	}
	var err error
	s.c, err = newClient(&s.opt, transport)
	return s, err
}

// The documents of the API, as far as Sluice sends or reads them.
type jobDocument struct {
	ID                    string         `json:"id,omitempty"`
	Status                string         `json:"status,omitempty"`
	Logs                  []string       `json:"logs,omitempty"`
	Type                  string         `json:"type,omitempty"`
	FileType              FileType       `json:"fileType,omitempty"`
	CSVParsingOptions     *csvDocument   `json:"csvParsingOptions,omitempty"`
	TargetName            string         `json:"targetName,omitempty"`
	TargetSchema          string         `json:"targetSchema,omitempty"`
	DataPoolID            string         `json:"dataPoolId,omitempty"`
	ConnectionID          string         `json:"connectionId,omitempty"`
	Keys                  []string       `json:"keys,omitempty"`
	TableSchema           *tableDocument `json:"tableSchema,omitempty"`
	UpsertStrategy        string         `json:"upsertStrategy,omitempty"`
	FallbackVarcharLength int            `json:"fallbackVarcharLength,omitempty"`
	AllowDuplicate        *bool          `json:"allowDuplicate,omitempty"`
	ForeignKeys           string         `json:"foreignKeys,omitempty"`
	MirrorTargetNames     []string       `json:"mirrorTargetNames,omitempty"`
	PostExecutionQuery    string         `json:"postExecutionQuery,omitempty"`
}

type tableDocument struct {
	TableName string           `json:"tableName"`
	Columns   []columnDocument `json:"columns"`
}

type columnDocument struct {
	ColumnName  string `json:"columnName"`
	ColumnType  string `json:"columnType"`
	FieldLength int    `json:"fieldLength,omitempty"`
	Decimals    int    `json:"decimals,omitempty"`
	PKField     bool   `json:"pkField"`
}

type chunkDocument struct {
	ID         string `json:"id"`
	Type       string `json:"type"`
	FileLength int64  `json:"fileLength"`
}

// Prepare creates a job, uploads its chunks and compares what the API lists with
// what was sent. A job of which any of that failed is discarded: an upload whose
// answer was lost may still land after the list was read. Under Settle, jobs of the table
// that were not executed are deleted before.
func (s *Sink) Prepare(ctx context.Context, job *push.Job) (push.Ticket, error) {
	if err := s.checkNames(job.Table); err != nil {
		return push.Ticket{}, err
	}
	b, err := jsonBody(s.document(job))
	if err != nil {
		return push.Ticket{}, &push.Error{Op: "create job", Kind: push.Rejected, Err: err}
	}
	if job.Settle {
		if err := s.settle(ctx, job.Table.Name); err != nil {
			return push.Ticket{}, err
		}
	}
	path := ""
	if s.opt.Validate {
		path = "?validate=true"
	}
	var made jobDocument
	within, span := s.c.requests.Step(ctx, "create", attribute.String("sluice.table", job.Table.Name))
	err = s.c.call(within, opCreate, http.MethodPost, path, b, &made)
	if err == nil && made.ID == "" {
		err = &push.Error{Op: "create job", Kind: push.Rejected, Message: "the answer has no job id"}
	}
	span.SetAttributes(attribute.String("sluice.job.id", made.ID))
	if push.End(span, err); err != nil {
		return push.Ticket{}, err
	}
	t := push.Ticket{ID: made.ID, Table: job.Table.Name, DeletesOnly: len(job.Chunks) > 0 && !slices.ContainsFunc(job.Chunks, func(c schema.Chunk) bool { return c.Op == schema.Upsert })}
	if err := s.upload(ctx, t, job); err != nil {
		if ctx.Err() == nil {
			s.remove(ctx, t.ID) // it expires if this fails
		}
		return push.Ticket{}, err
	}
	return t, nil
}

func (s *Sink) upload(ctx context.Context, t push.Ticket, job *push.Job) error {
	want := map[string]int64{}
	for _, c := range job.Chunks {
		kind, path := "UPSERT", "/chunks/upserted"
		if c.Op == schema.Delete {
			kind, path = "DELETE", "/chunks/deleted"
		}
		b, err := fileBody(s.opt.MultipartField, s.opt.MultipartFilename, c.Data, job.Table)
		if err != nil {
			return &push.Error{Op: opUpload, Kind: push.Rejected, Err: err}
		}
		within, span := s.c.requests.Step(ctx, "upload", attribute.String("sluice.table", t.Table), attribute.String("sluice.job.id", t.ID),
			attribute.String("sluice.chunk.type", kind), attribute.Int("sluice.bytes", len(c.Data)))
		err = s.c.call(within, opUpload, http.MethodPost, url.PathEscape(t.ID)+path, b, nil)
		if push.End(span, err); err != nil {
			return err
		}
		want[fmt.Sprintf("%s of %d bytes", kind, len(c.Data))]++
	}
	var listed []chunkDocument
	if err := s.c.call(ctx, "list chunks", http.MethodGet, url.PathEscape(t.ID)+"/chunks", nil, &listed); err != nil {
		return err
	}
	for _, c := range listed {
		want[fmt.Sprintf("%s of %d bytes", c.Type, c.FileLength)]--
	}
	for what, n := range want {
		if n != 0 {
			return &push.Error{Op: "verify chunks", Kind: push.Unavailable,
				Message: fmt.Sprintf("%d chunks sent, %d listed: they differ in %s", len(job.Chunks), len(listed), what)}
		}
	}
	return nil
}

// keepOthers is the strategy of jobs whose files leave columns out. The platform's
// documents name it and do not say what it does: where it keeps the columns that a file
// lacks, such a job is right; where it wants all of them, the job fails and its table is
// held. It is what tables ask for by unavailable: unchanged.
const keepOthers = "UPSERT_WITH_UNCHANGED_METADATA"

// document is the description of a job for a table.
func (s *Sink) document(job *push.Job) *jobDocument {
	t := job.Table
	own := s.opt.Table(t.Name)
	d := &jobDocument{
		Type: "DELTA", FileType: s.opt.FileType,
		TargetName: t.Name, TargetSchema: own.TargetSchema,
		DataPoolID: s.opt.PoolID, ConnectionID: s.opt.ConnectionID,
		Keys: t.Keys(), UpsertStrategy: s.opt.UpsertStrategy,
		FallbackVarcharLength: s.opt.FallbackLength,
		AllowDuplicate:        own.AllowDuplicate, ForeignKeys: own.ForeignKeys,
		MirrorTargetNames: own.MirrorTargetNames, PostExecutionQuery: own.PostExecutionQuery,
	}
	var without []string
	if len(job.Chunks) > 0 { // Split has put the like together
		without = job.Chunks[0].Without
		if job.Chunks[0].Replace {
			d.Type, d.UpsertStrategy = "REPLACE", ""
		}
	}
	if len(without) > 0 {
		d.UpsertStrategy = keepOthers
	}
	if s.opt.FileType == CSV {
		d.CSVParsingOptions = s.csvOptions(t, without)
	}
	if !s.opt.TableSchema {
		return d
	}
	d.TableSchema = &tableDocument{TableName: t.Name}
	for _, c := range t.Columns {
		if c.Type.Kind == schema.Unknown || slices.Contains(without, c.Name) {
			continue
		}
		col := columnDocument{ColumnName: c.Name, ColumnType: c.Type.Kind.String(), PKField: c.Key, Decimals: c.Type.Scale}
		switch {
		case c.Type.Precision > 0:
			col.ColumnType = schema.Float.String() // the platform has no DECIMAL
		case c.Type.Kind == schema.String:
			col.FieldLength = c.Type.Declared(s.opt.FallbackLength)
		}
		d.TableSchema.Columns = append(d.TableSchema.Columns, col)
	}
	return d
}

// Execute submits the job, which any process finds by its id.
func (s *Sink) Execute(ctx context.Context, t push.Ticket) (token string, err error) {
	return "", s.execute(ctx, t)
}

func (s *Sink) execute(ctx context.Context, t push.Ticket) error {
	if s.opt.Spacing > 0 {
		// One at a time, for a request may wait for its turn among others.
		select {
		case s.turn <- struct{}{}:
			defer func() { <-s.turn }()
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := push.Sleep(ctx, time.Until(s.submitted.Add(s.opt.Spacing))); err != nil {
			return err
		}
		defer func() { s.submitted = time.Now() }()
	}
	path := url.PathEscape(t.ID)
	if s.opt.ExecuteSlash {
		path += "/"
	}
	column := s.opt.Table(t.Table).DuplicateRemovalColumn
	if column == "" {
		column = s.opt.OrderColumn
	}
	if column != "" && !t.DeletesOnly { // whose files have the key columns only
		path += "?duplicateRemovalColumn=" + url.QueryEscape(column)
	}
	return s.c.call(ctx, opExecute, http.MethodPost, path, nil, nil)
}

var states = map[string]push.State{
	"NEW": push.New, "QUEUED": push.Queued, "RUNNING": push.Running,
	"DONE": push.Done, "ERROR": push.Failed, "CANCELED": push.Canceled,
}

// Status reads the job.
// What answers 404 for another reason must not have the batch sent a second time, beside a
// job that runs or after one that is DONE. So a job is believed to be gone only if it is not
// among those that are listed, which may be but those that run; if it is not found again, now
// that the list has been answered; and once a DELETE has been, too.
func (s *Sink) Status(ctx context.Context, t push.Ticket) (push.Status, error) {
	st, err := s.status(ctx, t)
	if err == nil || push.KindOf(err) != push.Lost {
		return st, err
	}
	doubt := func(format string, args ...any) (push.Status, error) {
		return push.Status{}, &push.Error{Op: "read job", Kind: push.Unavailable, Status: http.StatusNotFound, Message: fmt.Sprintf(format, args...)}
	}
	var listed []jobDocument
	if err := s.c.call(ctx, "list jobs", http.MethodGet, "", nil, &listed); err != nil {
		return doubt("not found, and it cannot be told whether it is gone: %v", err)
	}
	if slices.ContainsFunc(listed, func(d jobDocument) bool { return d.ID == t.ID }) {
		return doubt("not found, though it is listed")
	}
	if st, err := s.status(ctx, t); err == nil || push.KindOf(err) != push.Lost {
		return st, err
	}
	// A DELETE that finds it after all makes it gone as well.
	if err := s.remove(ctx, t.ID); err != nil {
		return doubt("not found, and it cannot be told whether it is gone: %v", err)
	}
	return push.Status{}, err
}

func (s *Sink) status(ctx context.Context, t push.Ticket) (push.Status, error) {
	var d jobDocument
	if err := s.c.call(ctx, "read job", http.MethodGet, url.PathEscape(t.ID), nil, &d); err != nil {
		return push.Status{}, err
	}
	state, ok := states[d.Status]
	if !ok {
		return push.Status{}, &push.Error{Op: "read job", Kind: push.Unavailable, Message: fmt.Sprintf("unknown status %.80q", d.Status)}
	}
	return push.Status{State: state, Logs: d.Logs}, nil
}

// Reserved reports whether the platform keeps the name of a column or table for itself:
// it adds _CELONIS_CHANGE_DATE and loads by way of tables _CELONIS_TMP_… .
func Reserved(name string) bool {
	return strings.HasPrefix(strings.ToLower(name), "_celonis_")
}

// checkNames refuses tables that the platform would mangle: it folds case, has a
// limit on the length of names, and columns of its own.
func (s *Sink) checkNames(t *schema.Table) error {
	most := s.opt.MaxNameLength
	refuse := func(format string, args ...any) error {
		return &push.Error{Op: "check names", Kind: push.Rejected, Message: fmt.Sprintf("table %s: ", t.Name) + fmt.Sprintf(format, args...),
			Hint: "give it another name under tables." + t.Name + ".columns in the tables file"}
	}
	if t.Name == "" || Reserved(t.Name) {
		return &push.Error{Op: "check names", Kind: push.Rejected, Hint: "give it another name by SLUICE_TARGET_TABLE, SLUICE_CELONIS_NAME_REPLACE or tables.<table>.from in the tables file",
			Message: fmt.Sprintf("a table cannot be named %q at the target, which keeps the prefix _CELONIS_ for itself", t.Name)}
	}
	if len(t.Name) > most || !utf8.ValidString(t.Name) {
		return &push.Error{Op: "check names", Kind: push.Rejected, Hint: "give it another name by SLUICE_TARGET_TABLE or tables.<table>.from in the tables file, or raise SLUICE_CELONIS_NAME_MAX_LENGTH",
			Message: fmt.Sprintf("the name of table %s is longer than %d bytes or not UTF-8", t.Name, most)}
	}
	seen := map[string]string{}
	for _, c := range t.Columns {
		folded := c.Name
		if !s.opt.KeepCase {
			folded = strings.ToLower(c.Name)
		}
		switch other, dup := seen[folded]; {
		case dup:
			return refuse("columns %q and %q are one name to the target, which ignores case", other, c.Name)
		case c.Name == "" || !utf8.ValidString(c.Name):
			return refuse("column %q has no name that the target takes", c.Name)
		case len(c.Name) > most:
			return refuse("column %.40q… is longer than %d bytes", c.Name, most)
		case Reserved(c.Name):
			return refuse("column %q has a prefix that the platform keeps for itself", c.Name)
		}
		seen[folded] = c.Name
	}
	return nil
}
