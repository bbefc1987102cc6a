package emulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// chunk is an uploaded file, validated.
type chunk struct {
	doc  chunkDocument
	file *file
}

type chunkDocument struct {
	ID           string    `json:"id"`
	Type         string    `json:"type"`
	Checksum     string    `json:"checksum"`
	FileLength   int64     `json:"fileLength"`
	CreationDate time.Time `json:"creationDate"`
	PushJobID    string    `json:"pushJobId"`
}

func (e *Emulator) to(j *job, state string) {
	now := time.Now()
	j.doc.Status, j.doc.ChangeDate = state, now
	e.event(j, state, now)
}

func (e *Emulator) event(j *job, state string, now time.Time) {
	if e.opt.OnEvent != nil {
		e.opt.OnEvent(Event{now, j.doc.ID, j.doc.TargetName, state})
	}
}

func (e *Emulator) create(r *http.Request, body []byte) answer {
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return badRequest("INVALID_BODY", "%v", err)
	}
	switch {
	case d.Type != "DELTA" && d.Type != "REPLACE":
		return badRequest("INVALID_JOB", "type must be DELTA or REPLACE")
	case d.FileType != "" && d.FileType != "PARQUET" && d.FileType != "CSV":
		return badRequest("INVALID_JOB", "fileType must be PARQUET or CSV")
	case d.TargetName == "":
		return badRequest("INVALID_JOB", "targetName is missing")
	case d.DataPoolID != r.PathValue("pool"):
		return badRequest("INVALID_JOB", "dataPoolId %q is not the pool of the path, %q", d.DataPoolID, r.PathValue("pool"))
	case d.FallbackVarcharLength < 0 || d.FallbackVarcharLength > 65000:
		return badRequest("INVALID_JOB", "fallbackVarcharLength must be 1 to 65000")
	}
	d.ID, d.Logs, d.CreationDate = newID(), []string{}, time.Now()
	j := &job{doc: d, pool: r.PathValue("pool")}
	e.jobs[d.ID] = j
	e.order = append(e.order, j)
	e.Stats.Jobs++
	e.to(j, "NEW")
	return ok(j.doc)
}

// find returns the job of a request's path.
func (e *Emulator) find(r *http.Request) *job {
	j := e.jobs[r.PathValue("id")]
	if j == nil || j.pool != r.PathValue("pool") {
		return nil
	}
	return j
}

func (j *job) runs() bool { return j.doc.Status == "QUEUED" || j.doc.Status == "RUNNING" }

func (e *Emulator) list(r *http.Request, _ []byte) answer {
	docs := []document{}
	for _, j := range e.order {
		if j.pool == r.PathValue("pool") && (!e.opt.ListRunning || j.runs()) {
			docs = append(docs, j.doc)
		}
	}
	return ok(docs)
}

func (e *Emulator) get(r *http.Request, _ []byte) answer {
	j := e.find(r)
	if j == nil {
		return notFound(r.PathValue("id"))
	}
	return ok(j.doc)
}

func (e *Emulator) listChunks(r *http.Request, _ []byte) answer {
	j := e.find(r)
	if j == nil {
		return notFound(r.PathValue("id"))
	}
	docs := []chunkDocument{}
	for _, c := range j.chunks {
		docs = append(docs, c.doc)
	}
	return ok(docs)
}

// upload takes a chunk from a multipart form, whose field both documents name
// differently, and validates it at once.
func (e *Emulator) upload(kind string) func(*http.Request, []byte) answer {
	return func(r *http.Request, body []byte) answer {
		j := e.find(r)
		if j == nil {
			return notFound(r.PathValue("id"))
		}
		if j.doc.Status != "NEW" {
			return badRequest("JOB_LOCKED", "Job already locked")
		}
		if kind == "DELETE" && j.doc.Type != "DELTA" {
			return badRequest("DELETE_ONLY_POSSIBLE_FOR_DELTA", "deletes need a job of type DELTA")
		}
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil || params["boundary"] == "" {
			return badRequest("INVALID_UPLOAD", "want multipart/form-data")
		}
		parts := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for {
			p, err := parts.NextPart()
			if err != nil {
				return badRequest("INVALID_UPLOAD", "no field named file or chunk: %v", err)
			}
			if p.FormName() != "file" && p.FormName() != "chunk" {
				continue
			}
			data, err := io.ReadAll(p)
			if err != nil {
				return badRequest("INVALID_UPLOAD", "%v", err)
			}
			if int64(len(data)) > e.opt.MaxChunk {
				return badRequest("INVALID_UPLOAD", "a chunk of %d bytes, at most %d are allowed", len(data), e.opt.MaxChunk)
			}
			format, read := "Parquet", readParquet
			if j.doc.FileType == "CSV" {
				format, read = "CSV", j.doc.readCSV
			}
			f, err := read(data)
			if err == nil {
				err = j.accepts(f, kind)
			}
			if err != nil {
				return badRequest("INVALID_"+strings.ToUpper(format), "Internal error while validating the %s: %v", format, err)
			}
			sum := sha256.Sum256(data)
			c := &chunk{doc: chunkDocument{newID(), kind, hex.EncodeToString(sum[:]), int64(len(data)), time.Now(), j.doc.ID}, file: f}
			j.chunks = append(j.chunks, c)
			if e.opt.OnChunk != nil {
				e.opt.OnChunk(j.doc.TargetName, kind, data)
			}
			return ok(c.doc)
		}
	}
}

// accepts checks a chunk against the job: the keys are there, and columns have
// the types that the job declares.
func (j *job) accepts(f *file, kind string) error {
	for _, k := range j.doc.Keys {
		if f.index(k) < 0 {
			return fmt.Errorf("key column %q is not in the file", k)
		}
	}
	if j.doc.TableSchema == nil {
		return nil
	}
	declared := map[string]string{}
	for _, c := range j.doc.TableSchema.Columns {
		declared[c.ColumnName] = c.ColumnType
	}
	for _, c := range f.columns {
		switch want, found := declared[c.name]; {
		case !found:
			return fmt.Errorf("column %q is not in the job's tableSchema", c.name)
		case want != c.typ:
			return fmt.Errorf("column %q holds %s where tableSchema declares %s", c.name, c.typ, want)
		}
	}
	if kind == "UPSERT" && len(f.columns) != len(declared) {
		return fmt.Errorf("%d columns where tableSchema declares %d", len(f.columns), len(declared))
	}
	return nil
}

func (e *Emulator) execute(r *http.Request, _ []byte) answer {
	j := e.find(r)
	if j == nil {
		return notFound(r.PathValue("id"))
	}
	now := time.Now()
	if hour := now.UTC().Truncate(time.Hour); !hour.Equal(e.hour) {
		e.hour, e.submitted = hour, 0
	}
	if e.submitted++; e.opt.JobsPerHour > 0 && e.submitted > e.opt.JobsPerHour {
		next := e.hour.Add(time.Hour)
		return throttled(strconv.Itoa(int(next.Sub(now).Seconds())+1),
			fmt.Sprintf("Rate limit exceeded. Please try again at %s UTC.", next.Format("15:04:05")))
	}
	if j.doc.Status != "NEW" {
		return badRequest("JOB_CLOSED", "Job already closed")
	}
	for _, other := range e.order {
		if other != j && other.doc.TargetName == j.doc.TargetName && other.runs() {
			return answer{status: http.StatusConflict}
		}
	}
	e.Stats.Submitted++
	j.executed = now
	e.to(j, "QUEUED")
	e.advance(now)
	return answer{status: http.StatusNoContent}
}

// SetDelay sets Options.Delay anew, for the jobs that run too.
func (e *Emulator) SetDelay(d time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.opt.Delay = d
}

// advance brings executed jobs to where they are by now.
func (e *Emulator) advance(now time.Time) {
	for _, j := range slices.Clone(e.order) {
		age := now.Sub(j.executed)
		if j.doc.Status == "QUEUED" && (j.cancel || age >= e.opt.Delay/2) {
			e.to(j, "RUNNING")
		}
		if j.doc.Status != "RUNNING" || (!j.cancel && age < e.opt.Delay) {
			continue
		}
		switch {
		case j.cancel, j.script == string(JobCancel):
			j.doc.Logs = append(j.doc.Logs, "Job was canceled")
			e.to(j, "CANCELED")
		case j.script == string(JobError):
			e.apply(j, true)
			j.doc.Logs = append(j.doc.Logs, "Error while loading: connection to the database was lost")
			e.to(j, "ERROR")
		default:
			if err := e.apply(j, false); err != nil {
				j.doc.Logs = append(j.doc.Logs, err.Error())
				e.to(j, "ERROR")
				continue
			}
			e.to(j, "DONE")
		}
		j.chunks = nil
	}
}

func (e *Emulator) cancelJob(r *http.Request, _ []byte) answer {
	j := e.find(r)
	if j == nil {
		return notFound(r.PathValue("id"))
	}
	switch j.doc.Status {
	case "DONE", "ERROR", "CANCELED":
		return badRequest("JOB_CLOSED", "Job already closed")
	case "NEW":
		e.to(j, "CANCELED")
	}
	j.cancel = true
	e.advance(time.Now())
	return ok(nil)
}

func (e *Emulator) remove(r *http.Request, _ []byte) answer {
	j := e.find(r)
	if j == nil {
		return notFound(r.PathValue("id"))
	}
	e.event(j, "DELETED", time.Now())
	e.drop(j)
	return answer{status: http.StatusNoContent}
}

func (e *Emulator) drop(j *job) {
	delete(e.jobs, j.doc.ID)
	e.order = slices.DeleteFunc(e.order, func(x *job) bool { return x == j })
}
