// Package emulator is the Data Push API as an http.Handler: for tests, for the
// demo, and for trying Sluice without a tenant. It validates what it is sent,
// applies jobs to tables in memory, keeps the vendor's rate limits, and fails on
// request. Where the vendor's documents leave a behaviour open it takes the
// reading that is hardest on its clients: see openapi.yaml beside this file for
// the calls, and apply.go for what a job does.
package emulator

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// Options configure an Emulator. The zero value takes any credentials and pool,
// ends jobs at once and has no limits.
type Options struct {
	Keys              []string      // accepted values of Authorization, such as "Bearer k"; none: any
	Pools             []string      // that there are; none: any
	Delay             time.Duration // from execution to DONE
	JobsPerHour       int           // submissions in a UTC hour; 0: no limit
	RequestsPerSecond int           // 0: no limit
	FaultRate         float64       // share of calls that fail at random, 0 to 1
	Seed              uint64        // of the random faults
	MaxChunk          int64         // bytes; 0: 1 GB, as the vendor says
	ClientID, Secret  string        // of the OAuth client at /oauth2/token; "" and no Keys: any client
	TokenLife         time.Duration // 0: 15 minutes
	// WholeFiles has a job under UPSERT_WITH_UNCHANGED_METADATA fail whose files lack a
	// column of the table. Otherwise the rows keep what they have there.
	WholeFiles bool
	// KeepLengths has the columns of a table keep the lengths that they were made with, so that
	// longer strings are cut there. Otherwise a job that declares one longer lengthens it: the
	// documents leave that open.
	KeepLengths bool
	// ListRunning has the list of a pool's jobs be of those only that are QUEUED or RUNNING.
	// Otherwise it is of all: the documents say the one and the other.
	ListRunning bool
	// OnChunk is handed each chunk that was taken, under the emulator's lock.
	OnChunk func(table, kind string, data []byte)
	// OnRow is told of each row as readers see it from then on, nil if it is deleted, in
	// order, under the emulator's lock.
	OnRow func(table, key string, row []any)
	// OnEvent is told of each change of a job's state, in order, under the
	// emulator's lock.
	OnEvent func(Event)
	// OnRequest is told of each call when it comes in.
	OnRequest func(*http.Request)
}

// Event is a change of a job's state.
type Event struct {
	At     time.Time
	Job    string
	Target string
	State  string // NEW, QUEUED, RUNNING, DONE, ERROR, CANCELED, DELETED, VANISHED
}

// Emulator serves any number of pools; tables are told apart by name only.
type Emulator struct {
	opt Options
	mux *http.ServeMux

	mu     sync.Mutex
	jobs   map[string]*job
	order  []*job // as created
	tables map[string]*Table
	faults script.Faults[Fault]
	dice   *mathrand.Rand
	tokens map[string]time.Time

	hour      time.Time
	submitted int
	second    time.Time
	requests  int
	Stats     Stats
}

// Stats counts what clients did.
type Stats struct {
	Requests, Jobs, Submitted, Throttled, Conflicts, Faults int
}

// job is the API's DataPushJob with its chunks.
type job struct {
	doc      document
	pool     string
	chunks   []*chunk
	executed time.Time
	script   string // how it is to end: "", error, canceled
	cancel   bool
}

type document struct {
	ID                    string          `json:"id"`
	Status                string          `json:"status"`
	Logs                  []string        `json:"logs"`
	Type                  string          `json:"type,omitempty"`
	FileType              string          `json:"fileType,omitempty"`
	CSVParsingOptions     csvOptions      `json:"csvParsingOptions,omitzero"`
	TargetName            string          `json:"targetName,omitempty"`
	TargetSchema          string          `json:"targetSchema,omitempty"`
	DataPoolID            string          `json:"dataPoolId,omitempty"`
	ConnectionID          string          `json:"connectionId,omitempty"`
	Keys                  []string        `json:"keys,omitempty"`
	TableSchema           *tableTransport `json:"tableSchema,omitempty"`
	UpsertStrategy        string          `json:"upsertStrategy,omitempty"`
	FallbackVarcharLength int             `json:"fallbackVarcharLength,omitempty"`
	AllowDuplicate        *bool           `json:"allowDuplicate,omitempty"`
	ForeignKeys           string          `json:"foreignKeys,omitempty"`
	MirrorTargetNames     []string        `json:"mirrorTargetNames,omitempty"`
	PostExecutionQuery    string          `json:"postExecutionQuery,omitempty"`
	CreationDate          time.Time       `json:"creationDate"`
	ChangeDate            time.Time       `json:"changeDate"`
}

type tableTransport struct {
	TableName string            `json:"tableName"`
	Columns   []columnTransport `json:"columns"`
}

type columnTransport struct {
	ColumnName  string `json:"columnName"`
	ColumnType  string `json:"columnType"`
	FieldLength int    `json:"fieldLength,omitempty"`
	Decimals    int    `json:"decimals,omitempty"`
	PKField     bool   `json:"pkField"`
}

// New returns an emulator without jobs and tables.
func New(opt Options) *Emulator {
	if opt.MaxChunk == 0 {
		opt.MaxChunk = 1 << 30
	}
	if opt.TokenLife == 0 {
		opt.TokenLife = 15 * time.Minute
	}
	e := &Emulator{
		opt: opt, mux: http.NewServeMux(),
		jobs: map[string]*job{}, tables: map[string]*Table{}, tokens: map[string]time.Time{},
		dice: mathrand.New(mathrand.NewPCG(opt.Seed, 1)),
	}
	for _, base := range []string{"/data-ingestion", "/integration"} {
		root := base + "/api/v1/data-push/{pool}/jobs/"
		e.mux.Handle("POST "+root+"{$}", e.api("create", e.create))
		e.mux.Handle("GET "+root+"{$}", e.api("list", e.list))
		e.mux.Handle("GET "+root+"{id}", e.api("get", e.get))
		e.mux.Handle("POST "+root+"{id}", e.api("execute", e.execute))
		e.mux.Handle("POST "+root+"{id}/{$}", e.api("execute", e.execute))
		e.mux.Handle("DELETE "+root+"{id}", e.api("delete", e.remove))
		e.mux.Handle("POST "+root+"{id}/cancel", e.api("cancel", e.cancelJob))
		e.mux.Handle("GET "+root+"{id}/chunks", e.api("chunks", e.listChunks))
		e.mux.Handle("POST "+root+"{id}/chunks/upserted", e.api("upload", e.upload("UPSERT")))
		e.mux.Handle("POST "+root+"{id}/chunks/deleted", e.api("upload", e.upload("DELETE")))
	}
	e.mux.HandleFunc("POST /oauth2/token", e.token)
	e.mux.HandleFunc("GET /emulator/tables", e.serveTables)
	e.mux.HandleFunc("GET /emulator/tables/{name}", e.serveTable)
	e.mux.HandleFunc("GET /emulator/jobs", e.serveJobs)
	return e
}

func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.opt.OnRequest != nil {
		e.opt.OnRequest(r)
	}
	e.mux.ServeHTTP(w, r)
}

// answer is a response in the making; a nil body sends none.
type answer struct {
	status int
	body   any
	header map[string]string
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

// badRequest has the vendor's FrontendHandledBackendError.
func badRequest(key, format string, args ...any) answer {
	return answer{status: http.StatusBadRequest, body: map[string]any{
		"frontendErrorKey": key, "errorInformation": map[string]any{"message": fmt.Sprintf(format, args...)}}}
}

func notFound(id string) answer {
	return answer{status: http.StatusNotFound, body: "Data push job " + id + " not found"}
}

// api wraps a call with what all have in common: credentials, the limit on
// requests, faults, the lock, and the time that passed for running jobs. The
// body is read before the lock is taken.
func (e *Emulator) api(op string, call func(r *http.Request, body []byte) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.opt.MaxChunk+1<<20))
		if err != nil {
			write(w, answer{status: http.StatusRequestEntityTooLarge, body: "chunk too large"})
			return
		}
		e.mu.Lock()
		now := time.Now()
		e.advance(now)
		e.Stats.Requests++
		fault := e.fault(op, r)
		effect, reply := fault.parts()
		var a answer
		switch {
		case effect == script.Never:
		case effect == script.Later:
			defer func() {
				time.AfterFunc(lateEffect, func() {
					e.mu.Lock()
					defer e.mu.Unlock()
					e.advance(time.Now())
					call(r, body)
				})
			}()
		case !e.allowed(r, now):
			a = answer{status: http.StatusUnauthorized, body: map[string]string{"error": "Unauthorized"}}
		case !e.underRequestLimit(now):
			a = throttled("1", "Rate limit exceeded")
		case len(e.opt.Pools) > 0 && !slices.Contains(e.opt.Pools, r.PathValue("pool")):
			a = answer{status: http.StatusNotFound, body: "Data pool " + r.PathValue("pool") + " not found"}
		default:
			a = call(r, body)
		}
		if fault != "" {
			e.Stats.Faults++
		}
		if a.status == http.StatusTooManyRequests {
			e.Stats.Throttled++
		}
		if a.status == http.StatusConflict {
			e.Stats.Conflicts++
		}
		e.mu.Unlock()
		if reply.Write(w, r, a.status, a.header, a.body) {
			return
		}
		switch reply {
		case script.Says500:
			a = answer{status: 500, body: map[string]string{"reference": "ref-1", "message": "An unexpected error occurred", "shortMessage": "Internal error"}}
		case script.Says404:
			a = notFound(r.PathValue("id"))
		case script.Says401:
			a = answer{status: http.StatusUnauthorized, body: map[string]string{"error": "Unauthorized"}}
		case delayed:
			select {
			case <-r.Context().Done():
			case <-time.After(slowAnswer):
			}
		}
		write(w, a)
	})
}

const (
	slowAnswer = 2 * time.Second
	lateEffect = 10 * time.Second
)

func throttled(reset, text string) answer {
	return answer{status: http.StatusTooManyRequests, body: text, header: map[string]string{"X-Ratelimit-Reset": reset}}
}

func write(w http.ResponseWriter, a answer) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	json.NewEncoder(w).Encode(a.body)
}

func (e *Emulator) allowed(r *http.Request, now time.Time) bool {
	got := r.Header.Get("Authorization")
	if len(e.opt.Keys) == 0 && e.opt.ClientID == "" {
		return got != ""
	}
	if bearer, found := strings.CutPrefix(got, "Bearer "); found {
		if until, found := e.tokens[bearer]; found {
			return now.Before(until)
		}
	}
	return slices.Contains(e.opt.Keys, got)
}

func (e *Emulator) underRequestLimit(now time.Time) bool {
	if second := now.Truncate(time.Second); !second.Equal(e.second) {
		e.second, e.requests = second, 0
	}
	e.requests++
	return e.opt.RequestsPerSecond == 0 || e.requests <= e.opt.RequestsPerSecond
}

// token is the OAuth 2.0 client credentials grant.
func (e *Emulator) token(w http.ResponseWriter, r *http.Request) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	known := id == e.opt.ClientID && secret == e.opt.Secret || e.opt.ClientID == "" && len(e.opt.Keys) == 0
	if r.FormValue("grant_type") != "client_credentials" || id == "" || !known {
		write(w, answer{status: http.StatusUnauthorized, body: map[string]string{"error": "invalid_client"}})
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	token := newID()
	e.tokens[token] = time.Now().Add(e.opt.TokenLife)
	write(w, ok(map[string]any{"access_token": token, "token_type": "Bearer", "scope": r.FormValue("scope"),
		"expires_in": int(math.Ceil(e.opt.TokenLife.Seconds()))}))
}

// ExpireTokens makes every token invalid.
func (e *Emulator) ExpireTokens() {
	e.mu.Lock()
	defer e.mu.Unlock()
	clear(e.tokens)
}

func newID() string {
	var b [16]byte
	rand.Read(b[:])
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}
