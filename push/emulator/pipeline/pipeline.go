// Package pipeline is Feldera's pipeline manager with its pipelines as an http.Handler: for
// tests, for the demo, and for trying Sluice without an installation. It keeps the tables of
// a program in memory, takes rows as the HTTP ingress does, hands out completion tokens, and
// fails on request. Views and outputs it has none. What it does follows the public source of
// https://github.com/feldera/feldera, version 0.337.
package pipeline

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"golang.org/x/mod/semver"

	"github.com/sluice-cdc/sluice/push/emulator/script"
)

// Options configure an Emulator. The zero value takes any key, is the open-source edition,
// and completes what it is sent at once.
type Options struct {
	Key        string        // the accepted API key; "": any
	Enterprise bool          // the edition: has checkpoints, and goes on from them
	Version    string        // of the manager; "": 0.337.0
	Platform   string        // that the pipelines were compiled with, "": Version; before 0.275 each worker of their servers has a queue of its own
	Lag        time.Duration // from taking rows to their completion
	Patience   time.Duration // of the manager with a pipeline that does not answer; 0: 30 s
	Backlog    int           // records that wait in a queue, from which on requests to it wait as well; 0: 100 000
	FaultRate  float64       // share of calls that fail at random, 0 to 1
	Seed       uint64        // of the random faults
	// Panic tells of rows that kill the pipeline when they are processed; nil: none does.
	Panic func(table string, row []any) bool
	// Revive starts a pipeline again so long after it has failed; 0: nobody does.
	Revive time.Duration
	// OnRow is told of each row as readers see it from then on, nil if it is deleted, in
	// order, under the emulator's lock.
	OnRow func(table, key string, row []any)
	// OnEvent is told of what happens to pipelines and their requests, in order, under the
	// emulator's lock.
	OnEvent func(Event)
}

// Event is what happened: "rows", "barrier", "complete", "paused", "running", "crash",
// "restarting" before OnRow is told of the rows that a restart has changed, "restart" after
// it, or "checkpoint".
type Event struct {
	At    time.Time
	What  string
	Table string
	Rows  int
	Token string
	Trace string // the traceparent of the request
}

// Emulator serves any number of pipelines.
type Emulator struct {
	opt     Options
	ordered bool // the workers of the server share their queues
	mux     *http.ServeMux

	mu     sync.Mutex
	pipes  map[string]*instance
	faults script.Faults[Fault]
	dice   *rand.Rand
	turns  int // of the workers
	Stats  Stats
}

// Stats counts what clients did.
type Stats struct {
	Requests, Posts, Rows, Faults int
}

// instance is a pipeline.
type instance struct {
	name, id, program string
	version           int64
	relations         map[string]*relation // by name as the program knows it
	status            string
	failed            string // the code of what it died of
	deployment        string
	incarnation       string
	stuck             bool // its outputs take nothing, so that nothing completes
	endpoints         map[string]*endpoint
	tables            map[string]map[string][]any
	steps             int64
	saved             map[string]map[string][]any // of the last checkpoint
	points            checkpoints
	ghosts            []ghost
	created           time.Time
	since             time.Time
	events            []monitorEvent // the latest first
}

// ghost is a request that its sender has given up, and that the pipeline still reads.
type ghost struct {
	at   time.Time // when it is read; zero: some time after it does not wait any more
	post *post
}

// New returns an emulator without pipelines.
func New(opt Options) *Emulator {
	if opt.Version == "" {
		opt.Version = "0.337.0"
	}
	if opt.Platform == "" {
		opt.Platform = opt.Version
	}
	if opt.Patience == 0 {
		opt.Patience = 30 * time.Second
	}
	if opt.Backlog == 0 {
		opt.Backlog = 100_000
	}
	e := &Emulator{opt: opt, ordered: semver.Compare("v"+opt.Platform, "v0.275.0") >= 0, mux: http.NewServeMux(), pipes: map[string]*instance{}, dice: rand.New(rand.NewPCG(opt.Seed, 1))}
	e.routes()
	return e
}

func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) { e.mux.ServeHTTP(w, r) }

// Create makes a pipeline of a program.
func (e *Emulator) Create(name, program string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.create(name, program)
}

func (e *Emulator) create(name, program string) error {
	relations, err := parse(program)
	if err != nil {
		return err
	}
	p := &instance{name: name, id: uuid.NewString(), program: program, version: 1, status: "Stopped", relations: map[string]*relation{}, created: time.Now(), since: time.Now()}
	for _, r := range relations {
		p.relations[r.Name] = &r
	}
	p.note("Stopped", "Stopped")
	e.pipes[name] = p
	return nil
}

// Start deploys a pipeline. The open-source edition begins with empty tables, the other one
// with those of the last checkpoint.
func (e *Emulator) Start(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.start(e.pipes[name], "Running")
}

func (e *Emulator) start(p *instance, status string) {
	if p.status != "Stopped" {
		return
	}
	p.status, p.since, p.failed = status, time.Now(), ""
	p.note("Stopped", "Provisioned")
	p.note("Provisioned", "Provisioned")
	p.deployment, p.incarnation = uuid.NewString(), uuid.NewString()
	p.endpoints, p.ghosts, p.steps = map[string]*endpoint{}, nil, 0
	p.points = checkpoints{}
	tables := map[string]map[string][]any{}
	for t := range p.relations {
		tables[t] = map[string][]any{}
		maps.Copy(tables[t], p.saved[t])
	}
	e.say(Event{What: "restarting"})
	e.told(tables, p.tables)
	p.tables = tables
	e.say(Event{What: "restart"})
}

// told tells OnRow of the rows that a restart changes.
func (e *Emulator) told(now, before map[string]map[string][]any) {
	if e.opt.OnRow == nil {
		return
	}
	for t, rows := range before {
		for key := range rows {
			if _, ok := now[t][key]; !ok {
				e.opt.OnRow(t, key, nil)
			}
		}
		for key, row := range now[t] {
			if fmt.Sprint(rows[key]) != fmt.Sprint(row) {
				e.opt.OnRow(t, key, row)
			}
		}
	}
}

// Stop ends a deployment. With force, and in the open-source edition, nothing is saved.
func (e *Emulator) Stop(name string, force bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pipes[name]
	e.advance(time.Now())
	if !force && e.opt.Enterprise {
		p.saved = p.picture()
	}
	e.halt(p, "")
}

// Crash ends a deployment as a failure does.
func (e *Emulator) Crash(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.halt(e.pipes[name], "RuntimeError.WorkerPanic")
}

func (e *Emulator) halt(p *instance, failed string) {
	p.status, p.failed, p.since = "Stopped", failed, time.Now()
	p.note("Stopping", "Stopped")
	p.note("Stopped", "Stopped")
	p.endpoints, p.ghosts, p.points.saving = nil, nil, nil
	e.say(Event{What: "crash"})
}

// Respawn ends a pipeline's process as a failure does, in whose place the same deployment
// gets another one, with the tables that a start would find.
func (e *Emulator) Respawn(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := e.pipes[name]
	e.advance(time.Now())
	events, deployment := p.events, p.deployment
	e.halt(p, "")
	e.start(p, "Running")
	p.events, p.deployment = events, deployment
}

// Pause and Resume stop and go on reading what is posted.
func (e *Emulator) Pause(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance(time.Now())
	e.turn(e.pipes[name], "Running", "Paused")
}

func (e *Emulator) Resume(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance(time.Now())
	e.turn(e.pipes[name], "Paused", "Running")
}

func (e *Emulator) turn(p *instance, from, to string) {
	if p.status == from {
		p.status, p.since = to, time.Now()
		e.say(Event{What: strings.ToLower(to)})
	}
}

// Stick has nothing complete any more, as an output that takes nothing does; and again.
func (e *Emulator) Stick(name string, stuck bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance(time.Now())
	e.pipes[name].stuck = stuck
}

func (e *Emulator) say(ev Event) {
	if e.opt.OnEvent != nil {
		ev.At = time.Now()
		e.opt.OnEvent(ev)
	}
}

// Rows returns a copy of a table by primary key, nil if there is no such table. Rows are in
// the order of the table's columns, their values as value returns them.
func (e *Emulator) Rows(name, table string) map[string][]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.advance(time.Now())
	if p := e.pipes[name]; p != nil {
		return maps.Clone(p.tables[table])
	}
	return nil
}

// Counts returns what clients did so far.
func (e *Emulator) Counts() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Stats
}

// advance does what has become due.
func (e *Emulator) advance(now time.Time) {
	for _, p := range e.pipes {
		if p.failed != "" && e.opt.Revive > 0 && now.Sub(p.since) >= e.opt.Revive {
			e.start(p, "Running")
		}
		if p.status == "Running" {
			e.readLate(p, now)
			p.made(now)
		}
		for _, ep := range p.inTurn() {
			for (p.status == "Running" || p.status == "Paused") && !p.stuck {
				q, ok := ep.next(now, p.status == "Paused")
				if !ok {
					break
				}
				p.steps++
				if e.apply(p, ep.table, q.changes) {
					ep.done = q.upto
				}
			}
		}
		for i := range p.ghosts {
			if g := &p.ghosts[i]; g.at.IsZero() && p.status == "Running" && !e.waits(p, g.post) {
				g.at = now.Add(ghostDelay)
			}
		}
	}
}

// readLate reads the requests whose time has come, though their senders have given them up.
func (e *Emulator) readLate(p *instance, now time.Time) {
	late := p.ghosts
	p.ghosts = nil
	for _, g := range late {
		if e.waits(p, g.post) {
			g.at = time.Time{}
		}
		if g.at.IsZero() || g.at.After(now) {
			p.ghosts = append(p.ghosts, g)
			continue
		}
		e.take(p, g.post)
	}
}

// ghostDelay is how soon a pipeline reads what waited for it, after it is resumed or has room.
const ghostDelay = 500 * time.Millisecond

// apply processes a chunk as a whole. It reports false if that was the pipeline's end.
func (e *Emulator) apply(p *instance, r *relation, changes []change) bool {
	if e.opt.Panic != nil && slices.ContainsFunc(changes, func(c change) bool { return !c.delete && e.opt.Panic(r.Name, c.row) }) {
		e.halt(p, "RuntimeError.WorkerPanic")
		return false
	}
	rows := p.tables[r.Name]
	for i, c := range changes {
		key := c.key
		if len(r.PrimaryKey) == 0 && !c.delete { // a row more each time
			key = fmt.Sprintf("%s#%d.%d", key, p.steps, i)
		}
		if c.delete {
			delete(rows, key)
		} else {
			rows[key] = c.row
		}
		if e.opt.OnRow != nil {
			row := c.row
			if c.delete {
				row = nil
			}
			e.opt.OnRow(r.Name, key, row)
		}
	}
	return true
}

// Table returns a table's rows by column, as Rows has their values.
func (e *Emulator) Table(name, table string) (rows []map[string]any) {
	have := e.Rows(name, table)
	if len(have) == 0 {
		return nil
	}
	e.mu.Lock()
	fields := e.pipes[name].relations[table].Fields
	e.mu.Unlock()
	for _, values := range have {
		row := map[string]any{}
		for i, f := range fields {
			row[f.Name] = values[i]
		}
		rows = append(rows, row)
	}
	return rows
}
