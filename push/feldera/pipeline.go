package feldera

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/sluice-cdc/sluice/push"
)

// pipeline is what was last read of the pipeline.
type pipeline struct {
	openSource bool   // the edition, which has no checkpoints and keeps nothing over a restart
	events     bool   // it tells how its deployments have ended
	ordered    bool   // requests one after the other reach one queue; else only what is complete is before what follows
	platform   string // the version that it was compiled with; "": it is not told
	state      string // what its tables are remembered under
	program    string // the version of its program, and with it of its tables
	tables     map[string]*relation
}

// Versions, by https://github.com/feldera/feldera: the manager has the events; the rest is
// also the pipeline's, which stays of the version that it was compiled with when the manager
// gets newer.
const (
	firstWithTokens    = "v0.48.0"  // before it there are no completion tokens
	firstWithCleanCuts = "v0.227.0" // before it what is left of a request that was cut off, or goes on beside, is read with the next
	firstWithOneLine   = "v0.275.0" // before it each worker of the server had a queue of its own
	firstWithEvents    = "v0.292.0" // before it nothing tells how a deployment that is over has ended
	firstWithCommits   = "v0.297.0" // before it rows are complete without their transaction, if the pipeline has no outputs
)

type configDocument struct {
	Edition string `json:"edition"`
	Version string `json:"version"`
}

type pipelineDocument struct {
	ID             string `json:"id"`
	Platform       string `json:"platform_version"`
	ProgramVersion int64  `json:"program_version"`
	Status         string `json:"deployment_status"`
	Desired        string `json:"deployment_desired_status"`
	Deployment     string `json:"deployment_id"`
	Error          *struct {
		Code string `json:"error_code"`
	} `json:"deployment_error"`
	Info *struct {
		Schema struct {
			Inputs []relation `json:"inputs"`
		} `json:"schema"`
	} `json:"program_info"`
}

// look reads where the pipeline stands. It is an error of kind Unavailable unless it runs:
// what is posted to a pipeline that is paused lies there, and may land after what is posted
// later (I8).
func (s *Sink) look(ctx context.Context, selector string) (*pipelineDocument, error) {
	var d pipelineDocument
	if err := s.c.call(ctx, "read pipeline", http.MethodGet, s.c.pipeline+"?selector="+selector, "/pipelines/{pipeline}", nil, &d); err != nil {
		return nil, err
	}
	if d.Status == "Running" || d.Status == "ConcurrentBootstrapping" {
		return &d, s.alive(ctx, d.Deployment)
	}
	e := &push.Error{Op: "read pipeline", Kind: push.Unavailable, Message: fmt.Sprintf("pipeline %s is %s", s.opt.Pipeline, d.Status), Hint: "start or resume it"}
	failure := ""
	if d.Error != nil && d.Error.Code != "" {
		failure = d.Error.Code
		e.Message += ", it has failed with " + failure
	}
	if failure != "" || d.Status == "Stopping" || d.Status == "Stopped" {
		s.ended(failure)
	}
	return nil, e
}

// open reads the pipeline, and its tables where those may be others than before.
func (s *Sink) open(ctx context.Context) (*pipeline, error) {
	d, err := s.look(ctx, "status")
	if err != nil {
		return nil, err
	}
	old := s.pipe.Load()
	if old != nil && old.state == stateOf(old.openSource, d) && old.program == programOf(d) && old.platform == d.Platform {
		return old, nil
	}
	var c configDocument
	if err := s.c.call(ctx, "read configuration", http.MethodGet, "/config", "/config", nil, &c); err != nil {
		return nil, err
	}
	version := versionOf(c.Version)
	if !semver.IsValid(version) {
		return nil, &push.Error{Op: "read configuration", Kind: push.Unavailable, Message: fmt.Sprintf("%.80q is not a version", c.Version), Hint: "no Feldera at that address: check SLUICE_FELDERA_URL"}
	}
	platform, older := d.Platform, version
	if v := versionOf(platform); semver.IsValid(v) && semver.Compare(v, version) < 0 {
		older = v
	}
	if semver.Compare(older, firstWithTokens) < 0 {
		return nil, &push.Error{Op: "read configuration", Kind: push.Rejected, Message: "Feldera " + older[1:] + " has no completion tokens", Hint: "0.48 or newer is needed, of the manager and of the pipeline"}
	}
	if d, err = s.look(ctx, "all"); err != nil {
		return nil, err
	}
	if d.Info == nil {
		return nil, &push.Error{Op: "read pipeline", Kind: push.Unavailable, Message: "it does not tell its tables", Hint: "have its program compiled, or check SLUICE_FELDERA_PIPELINE"}
	}
	if c.Edition != "Enterprise" && d.Deployment == "" {
		return nil, &push.Error{Op: "read pipeline", Kind: push.Rejected, Message: "Feldera " + c.Version + " does not tell one deployment of a pipeline from the next", Hint: "a newer one is needed"}
	}
	p := &pipeline{openSource: !strings.EqualFold(c.Edition, "Enterprise"), events: semver.Compare(version, firstWithEvents) >= 0, ordered: semver.Compare(older, firstWithOneLine) >= 0, platform: platform, program: programOf(d), tables: map[string]*relation{}}
	p.state = stateOf(p.openSource, d)
	if p.openSource && s.opt.Checkpoint {
		return nil, &push.Error{Op: "read configuration", Kind: push.Rejected, Message: "edition " + c.Edition + " has no checkpoints", Hint: "set SLUICE_FELDERA_CHECKPOINT=never"}
	}
	if s.opt.Warn != nil {
		s.warn.Do(func() { s.wary(p, older) })
	}
	for _, r := range d.Info.Schema.Inputs {
		p.tables[r.canonical()] = &r
	}
	s.pipe.Store(p)
	return p, nil
}

// wary warns of what may lose rows or mix them up though all works.
func (s *Sink) wary(p *pipeline, version string) {
	if !p.openSource && !s.opt.Checkpoint {
		s.opt.Warn("a crash of the pipeline loses what is in no checkpoint yet, and offsets are committed before one is made", "SLUICE_FELDERA_CHECKPOINT=wait, for this edition of Feldera has checkpoints")
	}
	if semver.Compare(version, firstWithCleanCuts) < 0 {
		s.opt.Warn("Feldera "+version[1:]+" mixes what is left of a request that was cut off into the next one", "upgrade to 0.227 or newer, the manager and the pipeline")
	}
	if semver.Compare(version, firstWithCommits) < 0 {
		s.opt.Warn("Feldera "+version[1:]+" says complete of rows whose transaction is not committed, where the pipeline has no outputs, and their offsets are committed then", "upgrade to 0.297 or newer, the manager and the pipeline; until then let nobody begin a transaction there")
	}
}

func versionOf(text string) string { return "v" + strings.TrimPrefix(text, "v") }

func programOf(d *pipelineDocument) string { return fmt.Sprint(d.ID, "/", d.ProgramVersion) }

// stateOf names what the pipeline remembers. The open-source edition begins each deployment
// with nothing; the other one goes on from a checkpoint
// (https://docs.feldera.com/pipelines/fault-tolerance/).
func stateOf(openSource bool, d *pipelineDocument) string {
	if openSource && d.Deployment != "" {
		return d.Deployment
	}
	return d.ID
}
