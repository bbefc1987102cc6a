// Package celonis is the push.Sink of the Celonis Data Push API
// (https://developer.celonis.com/data-ingestion-api/): a job of type DELTA with
// primary keys, chunks of Parquet or CSV, asynchronous execution.
package celonis

import (
	"crypto/tls"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// Options are what the API leaves to its user. What its documentation leaves
// open is an option too, whose default is the reading that works under most of
// the others.
type Options struct {
	// URL is the team's address. Without a path it means the current flavour,
	// /data-ingestion; the older one is /integration. A trailing /api is allowed.
	URL          string
	PoolID       string
	ConnectionID string // "" is the pool's global schema
	Auth         Auth
	TLS          *tls.Config

	FileType          FileType // of the chunks
	Micros            bool     // CSV has times to the microsecond, not the millisecond
	MultipartField    string   // file, or chunk as the older documentation has it
	MultipartFilename string
	ExecuteSlash      bool // execute at the alias with a trailing slash, as older servers do
	Validate          bool // ask the API to validate at creation
	TableSchema       bool // send the column types with each job
	UpsertStrategy    string
	FallbackLength    int // VARCHAR length of strings without a declared one

	// OrderColumn is the duplicateRemovalColumn of tables that name none, "" is none.
	OrderColumn   string
	MaxNameLength int  // of tables and columns, in bytes; 0 is 128
	KeepCase      bool // the platform tells names apart that differ in case only

	RequestsPerSecond float64
	// Counted says which calls take from Budget; executions do in any case, by the
	// pusher's hand.
	Counted Counted
	// Spacing is the least time between two submissions.
	Spacing time.Duration
	Budget  *push.Budget

	RequestTimeout time.Duration
	// Table returns a target table's own settings.
	Table func(name string) TableOptions

	push.Signals // of the requests
}

// MaxLength is the longest that a STRING column can be: "65000 bytes ... is the maximum
// length of a VARCHAR field" (https://docs.celonis.com/en/record-flattening.html), and the
// most that the API takes for fallbackVarcharLength.
const MaxLength = 65000

// FileType is the API's UploadFileType.
type FileType string

const (
	Parquet FileType = "PARQUET" // also ""
	CSV     FileType = "CSV"
)

// Counted says which calls the platform counts toward the hour's submissions.
type Counted string

const (
	CountExecute Counted = "execute" // also ""
	CountCreate  Counted = "create"  // creations too
	CountAll     Counted = "all"
)

// has reports whether an operation other than an execution counts.
func (c Counted) has(op string) bool {
	return op != opExecute && (c == CountAll || c == CountCreate && op == opCreate)
}

// TableOptions are the settings of one table, sent as they are.
type TableOptions struct {
	AllowDuplicate         *bool
	DuplicateRemovalColumn string
	TargetSchema           string
	ForeignKeys            string
	MirrorTargetNames      []string
	PostExecutionQuery     string
}

// Order says whether deletes and upserts of a batch share a job.
type Order string

const (
	SingleJob    Order = "single-job"
	DeletesFirst Order = "deletes-then-upserts"
	UpsertsFirst Order = "upserts-then-deletes"
)

// Split arranges a batch's chunks in jobs. Keys are disjoint between the kinds,
// so every order gives the same table; a platform that wants a kind a job can
// have it, at the price of two submissions. Chunks that leave columns out come after
// all others, in a job for each set of columns: it has an upsert strategy of its own.
func (o Order) Split(chunks []schema.Chunk) (jobs [][]schema.Chunk) {
	if len(chunks) == 0 {
		return nil
	}
	whole, partial := chunks, [][]schema.Chunk(nil)
	if slices.ContainsFunc(chunks, isPartial) {
		whole = nil
		for _, c := range chunks {
			at := slices.IndexFunc(partial, func(job []schema.Chunk) bool { return slices.Equal(job[0].Without, c.Without) })
			switch {
			case !isPartial(c):
				whole = append(whole, c)
			case at < 0:
				partial = append(partial, []schema.Chunk{c})
			default:
				partial[at] = append(partial[at], c)
			}
		}
	}
	if len(whole) > 0 {
		jobs = o.split(whole)
	}
	return append(jobs, partial...)
}

func isPartial(c schema.Chunk) bool { return len(c.Without) > 0 }

func (o Order) split(chunks []schema.Chunk) [][]schema.Chunk {
	var by [2][]schema.Chunk
	for _, c := range chunks {
		by[c.Op] = append(by[c.Op], c)
	}
	up, del := by[schema.Upsert], by[schema.Delete]
	switch {
	case o != DeletesFirst && o != UpsertsFirst, len(up) == 0, len(del) == 0:
		return [][]schema.Chunk{chunks}
	case o == DeletesFirst:
		return [][]schema.Chunk{del, up}
	}
	return [][]schema.Chunk{up, del}
}

// baseURL returns the address in front of /v1/data-push.
func baseURL(raw string) (string, error) {
	u, err := url.Parse(strings.TrimRight(raw, "/"))
	if err != nil {
		return "", err
	}
	if (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return "", errors.New("want https://<team>.<cluster>.celonis.cloud")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("want an address without user, query or fragment")
	}
	switch {
	case strings.Contains(u.Path, "/v1/"):
		return "", errors.New("want the address up to the host, or to /integration, without /v1/data-push and the pool")
	case u.Path == "":
		u.Path = "/data-ingestion/api"
	case !strings.HasSuffix(u.Path, "/api"):
		u.Path += "/api"
	}
	return u.String(), nil
}

// CheckURL returns why an address cannot be Options.URL, nil if it can.
func CheckURL(raw string) error {
	_, err := baseURL(raw)
	return err
}

// TokenURL returns the token endpoint of the team at an address.
func TokenURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host + "/oauth2/token"
}
