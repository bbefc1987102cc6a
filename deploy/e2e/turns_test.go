//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// turns tells by what replicas ask of the API whose each table is, and holds that it is of
// one at a time: another one begins only when every request of the last is answered, and
// the last comes back only when it says that it was given partitions again. Since a table's
// partitions are all of one replica, so it is with each of them.
type turns struct {
	logs map[string]func() string // of a replica

	mu    sync.Mutex
	table map[string]string // of a job
	whose map[string]*turn  // by table
	lost  map[[2]string]int // replica and table → how long its log was when another one began
	wrong []string
	moved int
}

// turn is a replica's time with a table.
type turn struct {
	replica string
	open    int // requests that are not answered
}

func newTurns(logs map[string]func() string) *turns {
	return &turns{logs: logs, table: map[string]string{}, whose: map[string]*turn{}, lost: map[[2]string]int{}}
}

// as is next, the API, as one replica reaches it.
func (s *turns) as(replica string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, rest, _ := strings.Cut(r.URL.Path, "/jobs/")
		job, _, _ := strings.Cut(rest, "/")
		if job == "" && r.Method == http.MethodPost { // it is made here
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			var want struct{ TargetName string }
			json.Unmarshal(body, &want)
			defer s.begin(replica, want.TargetName)()
			makeJob(next, rw, r, func(id string) {
				s.mu.Lock()
				s.table[id] = want.TargetName
				s.mu.Unlock()
			})
			return
		}
		s.mu.Lock()
		table := s.table[job]
		s.mu.Unlock()
		if table != "" {
			defer s.begin(replica, table)()
		}
		next.ServeHTTP(rw, r)
	})
}

// begin notes a request for a table, and returns what notes its answer.
func (s *turns) begin(replica, table string) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.whose[table]
	if now == nil || now.replica != replica {
		if now != nil {
			s.moved++
			s.lost[[2]string{now.replica, table}] = len(s.logs[now.replica]())
			if now.open > 0 {
				s.wrong = append(s.wrong, fmt.Sprintf("%s works on %s while %s has %d requests for it under way", replica, table, now.replica, now.open))
			}
		}
		if since, ok := s.lost[[2]string{replica, table}]; ok {
			if text := s.logs[replica](); !strings.Contains(text[min(since, len(text)):], "partitions assigned") {
				s.wrong = append(s.wrong, fmt.Sprintf("%s works on %s after %s took it over, and was given nothing since", replica, table, now.replica))
			}
		}
		now = &turn{replica: replica}
		s.whose[table] = now
	}
	now.open++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now.open--
	}
}

// makeJob passes a request on that makes a job, and tells the job's id, "" if none was made,
// before it answers.
func makeJob(next http.Handler, rw http.ResponseWriter, r *http.Request, made func(id string)) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	var job struct{ ID string }
	json.Unmarshal(rec.Body.Bytes(), &job)
	made(job.ID)
	maps.Copy(rw.Header(), rec.Header())
	rw.WriteHeader(rec.Code)
	rw.Write(rec.Body.Bytes())
}
