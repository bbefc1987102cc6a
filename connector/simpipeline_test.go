package connector

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/intent"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/schema"
)

// A scenario may have a pipeline for its target, of one edition or the other. What is not
// to be had there: readers see rows go back when a pipeline is started anew, for what had
// no checkpoint is lost with it; and a batch is sent again whose process died before it had
// noted the token.

// pipeFaults is what the emulator may be told to do to a call: what is a pipeline's own, and
// whatever leaves open what happened.
var pipeFaults = func() map[string][]pipeline.Fault {
	all := map[string][]pipeline.Fault{
		"ingress":           {pipeline.AnswerHTML, pipeline.Answer429, pipeline.Unreachable, pipeline.After503, pipeline.Late, pipeline.Cut, pipeline.Terminating},
		"completion":        {pipeline.AnswerHTML, pipeline.Unreachable, pipeline.Terminating, pipeline.Accepted},
		"get":               {pipeline.AnswerHTML, pipeline.Pausing},
		"config":            {pipeline.AnswerHTML},
		"stats":             {pipeline.AnswerHTML, pipeline.Unreachable},
		"checkpoint":        {pipeline.Unreachable, pipeline.Fails, pipeline.FailsLost},
		"checkpoint_status": {pipeline.Unreachable},
	}
	for op := range all {
		all[op] = append(all[op], script.All[pipeline.Fault](op == "ingress" || op == "checkpoint")...)
	}
	return all
}()

// turns are what is done to a pipeline, and for how long in milliseconds. Of deaths a script
// has one at most, for what seems to kill it twice is held. (In the open-source edition a
// process that is replaced within a deployment would lose all, and nothing would tell.)
var (
	turns  = []string{"pause %d", "stick %d", "restart %d forced", "restart %d saved"}
	deaths = []string{"restart %d failed", "panic %d", "respawn %d"}
)

// newPipelineScenario is newScenario's with a pipeline.
func newPipelineScenario(seed int64) *scenario {
	s := newScenario(seed)
	s.pipeline, s.enterprise, s.deadline = true, seed%2 == 1, 0
	if s.log {
		s.log, s.topics = false, s.topics[:len(s.topics)-1]
	}
	ops := []string{"ingress", "ingress", "ingress", "completion", "completion", "get", "config", "checkpoint", "checkpoint_status", "stats"}
	names := map[string]string{"create": "get", "upload": "ingress", "chunks": "completion", "execute": "ingress", "get": "completion", "list": "stats", "delete": "completion", "cancel": "checkpoint"}
	r := rand.New(rand.NewPCG(uint64(seed), 9))
	for range 1 + r.IntN(3) {
		s.add(time.Duration(r.Int64N(int64(s.length))).Round(time.Millisecond), "compact", "now")
	}
	slices.SortStableFunc(s.script, func(a, b fault) int { return int(a.at - b.at) })
	died := false
	for i := range s.script {
		f := &s.script[i]
		n := int(seed)*31 + i
		switch f.words[0] {
		case "api":
			op := ops[n%len(ops)]
			f.words[1], f.words[2] = op, string(pipeFaults[op][n/len(ops)%len(pipeFaults[op])])
		case "crash-on":
			if name := names[f.words[2]]; name != "" {
				f.words[2] = name
			}
		case "compact":
			what := turns[r.IntN(len(turns))]
			if kills := deaths; r.IntN(4) == 0 && !died {
				if died = true; !s.enterprise {
					kills = kills[:2]
				}
				what = kills[r.IntN(len(kills))]
			}
			f.words = strings.Fields(fmt.Sprintf(what, 500+r.IntN(7000)))
		}
	}
	return s
}

func (w *simulation) newPipe() {
	var program strings.Builder
	for _, t := range w.tables {
		fmt.Fprintf(&program, "CREATE TABLE public_%s (id BIGINT NOT NULL PRIMARY KEY, v VARCHAR NOT NULL);\n", t)
	}
	version := ""
	if w.seed%4 == 1 {
		version = "0.274.9" // whose requests overtake each other
	}
	backlog := 0
	if w.seed%5 == 0 {
		backlog = 10 // so that requests wait, and are given up
	}
	w.pipe = pipeline.New(pipeline.Options{Version: version, Enterprise: w.enterprise, Lag: w.delay, Patience: 5 * time.Second, Backlog: backlog, Seed: uint64(w.seed),
		OnRow: func(table, key string, row []any) { w.onRow(table, pipeKey(key), row) }, Panic: w.kills,
		OnEvent: func(e pipeline.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.lived(e)
			w.trace = append(w.trace, fmt.Sprintf("%s pipeline: %s %s %d rows", time.Now().Format("04:05.000"), e.What, e.Table, e.Rows))
		}})
	if err := w.pipe.Create("shop", program.String()); err != nil {
		w.t.Fatal(err)
	}
	w.deploy()
}

// kills has a row kill the pipeline if one is to.
func (w *simulation) kills(string, []any) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	after := w.deadly
	if w.deadly = 0; after > 0 {
		time.AfterFunc(after, w.deploy)
	}
	return after > 0
}

// pipeKey is a row's key as the histories have it.
func pipeKey(key string) string { return "int64:" + strings.Trim(key, "[]") + "|" }

// applyPipe does a line of the script that is about the pipeline.
func (w *simulation) applyPipe(words []string) {
	pause := time.Duration(number(words[1])) * time.Millisecond
	switch words[0] {
	case "api":
		w.pipe.Inject(words[1], pipeline.Fault(words[2]), number(words[3]), number(words[4]))
		if words[2] == string(pipeline.Pausing) {
			time.AfterFunc(20*time.Second, func() { w.pipe.Resume("shop") })
		}
	case "pause":
		w.pipe.Pause("shop")
		time.AfterFunc(pause, func() { w.pipe.Resume("shop") })
	case "stick":
		w.pipe.Stick("shop", true)
		time.AfterFunc(pause, func() { w.pipe.Stick("shop", false) })
	case "restart":
		if how := words[2]; how == "failed" {
			w.pipe.Crash("shop")
		} else {
			w.pipe.Stop("shop", how == "forced")
		}
		time.AfterFunc(pause, w.deploy)
	case "respawn":
		w.mu.Lock()
		down := w.down
		w.mu.Unlock()
		if !down {
			w.pipe.Respawn("shop")
		}
	case "panic":
		w.mu.Lock()
		w.deadly = pause
		w.mu.Unlock()
	}
}

func (w *simulation) pipeOptions(m *simMember, opt *Options, transport http.RoundTripper) {
	sink, err := feldera.New(feldera.Options{URL: "http://feldera:8080", Pipeline: "shop", RequestTimeout: 10 * time.Second, Checkpoint: w.enterprise}, transport)
	if err != nil {
		w.t.Fatal(err)
	}
	opt.Encode = (&batcher.JSONEncoder{MaxChunkRows: 7, MaxChunkBytes: 1 << 20}).Encode
	opt.Split = func(c []schema.Chunk) [][]schema.Chunk { return [][]schema.Chunk{c} }
	opt.Pusher.Sink, opt.Memory, opt.Rewind, opt.DeleteJobs = sink, sink, true, true
}

// learn takes notice of the tokens that stand beside a partition's committed offset: all rows up to
// there have been posted.
func (w *simulation) learn(part, metadata string) {
	m, err := intent.Parse(metadata)
	if err != nil {
		w.fail("%s: %v", part, err)
	}
	for table, e := range m.Tables {
		if w.tokens[e.Token] {
			w.noted[table+" "+part] = e.End
		}
	}
}

// posting is told of a request with rows of a table: none of them may have been posted by a
// job whose token is noted, in one life of the pipeline.
func (w *simulation) posting(table string, body []byte) {
	var events []struct {
		Insert *struct {
			ID int64  `json:"id"`
			V  string `json:"v"`
		} `json:"insert"`
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := json.Unmarshal(body, &events); err != nil {
		w.fail("%.80q is posted: %v", body, err)
	}
	for _, e := range events {
		if e.Insert == nil {
			continue
		}
		row, version := fmt.Sprintf("%s int64:%d|", table, e.Insert.ID), number(e.Insert.V)
		for part, records := range w.records {
			end := w.noted[table+" "+part]
			for _, r := range records {
				if r.offset < end && r.version == version && r.row == row {
					w.fail("version %s of %s is posted again, and the job that did it stands beside the offset of %s up to %d", e.Insert.V, r.row, part, end)
				}
			}
		}
	}
}

// pipeOperation names a call as the emulator does. Rows are posted under the same rules as
// jobs are executed.
func pipeOperation(req *http.Request) string {
	switch path := req.URL.Path; {
	case strings.Contains(path, "/ingress/"):
		return "ingress"
	case strings.HasSuffix(path, "/completion_status"):
		return "completion"
	case strings.Contains(path, "checkpoint"):
		return "checkpoint"
	case strings.HasSuffix(path, "/config"):
		return "config"
	case strings.HasSuffix(path, "/stats"):
		return "stats"
	}
	return "get"
}
