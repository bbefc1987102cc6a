package pipeline

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/semver"
)

// answer is a response in the making.
type answer struct {
	status int
	body   any
	retry  bool // with Retry-After
}

func (a answer) header() map[string]string {
	if a.retry {
		return map[string]string{"Retry-After": "5"}
	}
	return nil
}

func refuse(status int, code string, details any, format string, args ...any) answer {
	return answer{status: status, body: map[string]any{"message": fmt.Sprintf(format, args...), "error_code": code, "details": details}}
}

func unknown(name string) answer {
	return refuse(http.StatusNotFound, "UnknownPipelineName", map[string]any{"pipeline_name": name}, "Unknown pipeline name %q", name)
}

var (
	unreachable = answer{status: http.StatusServiceUnavailable, retry: true, body: map[string]any{
		"message": "Unable to reach pipeline to interact: timeout (30s) was reached", "error_code": "PipelineInteractionUnreachable", "details": map[string]any{}}}
	terminating = refuse(http.StatusGone, "Terminating", map[string]any{}, "The pipeline is terminating")
)

// notDeployed is the manager's, which says from 0.330 on when to ask again.
func (e *Emulator) notDeployed(p *instance) answer {
	a := refuse(http.StatusServiceUnavailable, "PipelineInteractionNotDeployed", map[string]any{"pipeline_name": p.name, "status": p.status, "desired_status": p.status},
		"Unable to interact with pipeline because the deployment status (%s) indicates it is not (yet) fully provisioned", p.status)
	a.retry = semver.Compare("v"+e.opt.Version, "v0.330.0") >= 0
	return a
}

func (e *Emulator) routes() {
	e.mux.Handle("GET /v0/config", e.api("config", func(*http.Request, []byte) answer {
		edition := "Open source"
		if e.opt.Enterprise {
			edition = "Enterprise"
		}
		return answer{200, map[string]any{"edition": edition, "version": e.opt.Version, "telemetry": "", "revision": "", "changelog_url": "", "license_validity": nil}, false}
	}))
	e.mux.Handle("GET /v0/cluster_healthz", e.api("", func(*http.Request, []byte) answer { return answer{200, map[string]any{}, false} }))
	e.mux.Handle("GET /v0/pipelines", e.api("", func(*http.Request, []byte) answer {
		all := []any{}
		for _, name := range slices.Sorted(maps.Keys(e.pipes)) {
			all = append(all, e.describe(e.pipes[name], true))
		}
		return answer{200, all, false}
	}))
	e.mux.Handle("POST /v0/pipelines", e.api("", e.post))
	e.mux.Handle("PUT /v0/pipelines/{pipeline}", e.api("", e.put))
	of := func(pattern, op string, call func(*instance, *http.Request, []byte) answer) {
		method, path, _ := strings.Cut(pattern, " ")
		e.mux.Handle(method+" /v0/pipelines/{pipeline}"+path, e.api(op, func(r *http.Request, body []byte) answer {
			p := e.pipes[r.PathValue("pipeline")]
			if p == nil {
				return unknown(r.PathValue("pipeline"))
			}
			return call(p, r, body)
		}))
	}
	running := func(call func(*instance, *http.Request, []byte) answer) func(*instance, *http.Request, []byte) answer {
		return func(p *instance, r *http.Request, body []byte) answer {
			if p.status != "Running" && p.status != "Paused" {
				return e.notDeployed(p)
			}
			return call(p, r, body)
		}
	}
	of("GET ", "get", func(p *instance, r *http.Request, _ []byte) answer {
		return answer{200, e.describe(p, r.URL.Query().Get("selector") != "status"), false}
	})
	of("GET /events", "events", func(p *instance, _ *http.Request, _ []byte) answer { return answer{200, p.events, false} })
	of("DELETE ", "", func(p *instance, _ *http.Request, _ []byte) answer {
		if p.status != "Stopped" {
			return refuse(400, "DeleteRestrictedToFullyStopped", map[string]any{}, "Cannot delete a pipeline which is not fully stopped")
		}
		delete(e.pipes, p.name)
		return answer{200, map[string]any{}, false}
	})
	of("POST /start", "", func(p *instance, r *http.Request, _ []byte) answer {
		status := "Running"
		if r.URL.Query().Get("initial") == "paused" {
			status = "Paused"
		}
		e.start(p, status)
		return answer{202, map[string]any{}, false}
	})
	of("POST /stop", "", func(p *instance, r *http.Request, _ []byte) answer {
		force := r.URL.Query().Get("force") == "true"
		if !force && !e.opt.Enterprise {
			return refuse(501, "EnterpriseFeature", map[string]any{"feature": "stop"}, "Cannot use enterprise-only feature")
		}
		if !force {
			p.saved = p.picture() // at once
		}
		e.halt(p, "")
		return answer{202, map[string]any{}, false}
	})
	of("POST /dismiss_error", "", func(p *instance, _ *http.Request, _ []byte) answer {
		p.failed = ""
		return answer{200, map[string]any{}, false}
	})
	of("POST /clear", "", func(p *instance, _ *http.Request, _ []byte) answer {
		p.saved = nil
		return answer{202, map[string]any{}, false}
	})
	for _, turn := range [][4]string{{"pause", "Pause", "Running", "Paused"}, {"resume", "Resume", "Paused", "Running"}} {
		of("POST /"+turn[0], "", func(p *instance, _ *http.Request, _ []byte) answer {
			if p.status == "Stopped" {
				return refuse(400, turn[1]+"WhileNotProvisioned", map[string]any{}, "Cannot %s a pipeline which is not provisioned; start it first", turn[0])
			}
			e.turn(p, turn[2], turn[3])
			return answer{202, map[string]any{}, false}
		})
	}
	of("POST /activate", "", running(func(p *instance, _ *http.Request, _ []byte) answer {
		e.turn(p, "Paused", "Running")
		return answer{202, map[string]any{}, false}
	}))
	of("GET /completion_status", "completion", running(e.completion))
	of("GET /tables/{table}/connectors/{connector}/completion_token", "", running((*instance).connectorToken))
	of("POST /checkpoint", "checkpoint", running(e.checkpoint))
	of("GET /checkpoint_status", "checkpoint_status", running((*instance).checkpointStatus))
	of("GET /stats", "stats", running(func(p *instance, _ *http.Request, _ []byte) answer {
		inputs, waiting := []any{}, 0
		for _, name := range slices.Sorted(maps.Keys(p.endpoints)) {
			ep := p.endpoints[name]
			waiting += ep.buffered()
			inputs = append(inputs, map[string]any{"endpoint_name": ep.name, "config": map[string]any{"stream": ep.segment},
				"metrics": map[string]any{"total_records": ep.received, "buffered_records": ep.buffered()}, "paused": false, "fatal_error": nil}) // that is: by a person
		}
		return answer{200, map[string]any{"global_metrics": map[string]any{"state": p.status, "incarnation_uuid": p.incarnation, "total_completed_steps": p.steps, "total_initiated_steps": p.steps,
			"buffered_input_records": waiting, "pipeline_complete": false, "transaction_status": "NoTransaction"}, "inputs": inputs, "outputs": []any{}}, false}
	}))
	of("GET /query", "", running(e.query))
	e.mux.Handle("POST /v0/pipelines/{pipeline}/ingress/{table}", http.HandlerFunc(e.ingress))
}

// api wraps a call with what all have in common.
func (e *Emulator) api(op string, call func(*http.Request, []byte) answer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		e.mu.Lock()
		e.advance(time.Now())
		e.Stats.Requests++
		a, reply := e.dispatch(op, r, func(f Fault) answer {
			if !f.later() {
				return call(r, body)
			}
			time.AfterFunc(ghostDelay, func() {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.advance(time.Now())
				call(r, body)
			})
			return answer{}
		})
		e.mu.Unlock()
		if !reply.Write(w, r, a.status, a.header(), a.body) {
			write(w, a)
		}
	})
}

func write(w http.ResponseWriter, a answer) {
	for k, v := range a.header() {
		w.Header().Set(k, v)
	}
	if text, ok := a.body.(string); ok {
		w.WriteHeader(a.status)
		io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	json.NewEncoder(w).Encode(a.body)
}

func (e *Emulator) describe(p *instance, all bool) map[string]any {
	inputs := []relation{}
	for _, name := range slices.Sorted(maps.Keys(p.relations)) {
		inputs = append(inputs, *p.relations[name])
	}
	desired, resources, storage := "Running", "Provisioned", "InUse"
	if p.status == "Stopped" {
		desired, resources = "Stopped", "Stopped"
	} else if p.status == "Paused" {
		desired = "Paused"
	}
	if p.saved == nil && p.status == "Stopped" {
		storage = "Cleared"
	}
	d := map[string]any{
		"id": p.id, "name": p.name, "description": "", "created_at": p.created, "version": p.version, "platform_version": e.opt.Platform,
		"program_version": p.version, "program_status": "Success", "program_status_since": p.created, "refresh_version": p.version, "storage_status": storage,
		"deployment_status": p.status, "deployment_status_since": p.since, "deployment_desired_status": desired, "deployment_desired_status_since": p.since,
		"deployment_resources_status": resources, "deployment_resources_status_since": p.since, "deployment_resources_desired_status": resources,
		"deployment_resources_desired_status_since": p.since, "deployment_error": nil, "deployment_id": nil, "tags": []string{},
		"deployment_runtime_status": p.status, "deployment_runtime_status_since": p.since, "deployment_runtime_desired_status": desired,
		"deployment_runtime_desired_status_since": p.since, "deployment_initial": "Running",
	}
	if p.status != "Stopped" {
		d["deployment_id"] = p.deployment
	}
	if p.failed != "" {
		d["deployment_error"] = map[string]any{"message": "the pipeline has failed", "error_code": p.failed, "details": map[string]any{}}
	}
	if all {
		d["program_code"], d["udf_rust"], d["udf_toml"], d["runtime_config"], d["program_config"] = p.program, "", "", map[string]any{}, map[string]any{}
		d["program_info"] = map[string]any{"schema": map[string]any{"inputs": inputs, "outputs": []any{}}, "input_connectors": map[string]any{}, "output_connectors": map[string]any{}, "udf_stubs": ""}
		d["program_error"] = map[string]any{"sql_compilation": map[string]any{"exit_code": 0, "messages": []any{}}, "rust_compilation": map[string]any{"exit_code": 0, "stdout": "", "stderr": ""}, "system_error": nil}
	}
	return d
}

func (e *Emulator) post(_ *http.Request, body []byte) answer {
	var d struct {
		Name    string `json:"name"`
		Program string `json:"program_code"`
	}
	if err := json.Unmarshal(body, &d); err != nil || d.Name == "" {
		return refuse(400, "InvalidRequest", map[string]any{}, "name and program_code are wanted")
	}
	if e.pipes[d.Name] != nil {
		return refuse(409, "DuplicateName", map[string]any{}, "An entity with this name already exists")
	}
	if err := e.create(d.Name, d.Program); err != nil {
		return refuse(400, "InvalidProgram", map[string]any{}, "%v", err)
	}
	return answer{201, e.describe(e.pipes[d.Name], true), false}
}

func (e *Emulator) put(r *http.Request, body []byte) answer {
	var d struct {
		Program string `json:"program_code"`
	}
	name := r.PathValue("pipeline")
	if err := json.Unmarshal(body, &d); err != nil {
		return refuse(400, "InvalidRequest", map[string]any{}, "%v", err)
	}
	old := e.pipes[name]
	if old != nil && old.status != "Stopped" {
		return refuse(400, "UpdateRestrictedToStopped", map[string]any{}, "Pipeline can only be updated while stopped")
	}
	if err := e.create(name, d.Program); err != nil {
		return refuse(400, "InvalidProgram", map[string]any{}, "%v", err)
	}
	if old == nil {
		return answer{201, e.describe(e.pipes[name], true), false}
	}
	e.pipes[name].id, e.pipes[name].version, e.pipes[name].saved = old.id, old.version+1, old.saved
	return answer{200, e.describe(e.pipes[name], true), false}
}

func (e *Emulator) completion(p *instance, r *http.Request, _ []byte) answer {
	t, err := readToken(r.URL.Query().Get("token"))
	if err != nil {
		return refuse(400, "InvalidParam", map[string]any{"error": err.Error()}, "invalid completion token")
	}
	if t.Incarnation != p.incarnation {
		return refuse(410, "PipelineRestarted", map[string]any{"error": "the pipeline was restarted"}, "The pipeline was restarted; the token is no longer valid")
	}
	for _, ep := range p.endpoints {
		if ep.id != t.Endpoint {
			continue
		}
		if ep.done >= t.Count {
			e.say(Event{What: "complete", Table: ep.table.Name, Token: r.URL.Query().Get("token")})
			return answer{200, map[string]any{"status": "complete", "step": p.steps}, false}
		}
		return answer{200, map[string]any{"status": "inprogress", "step": nil}, false}
	}
	return refuse(410, "UnknownEndpointInCompletionToken", map[string]any{"endpoint_id": t.Endpoint}, "unknown endpoint")
}

var selects = regexp.MustCompile(`(?is)^\s*SELECT\s+(\*|COUNT\(\*\)(?:\s+AS\s+\w+)?)\s+FROM\s+("[^"]+"|\w+)\s*;?\s*$`)

// query answers SELECT * and SELECT COUNT(*) of a table, a JSON object a line.
func (e *Emulator) query(p *instance, r *http.Request, _ []byte) answer {
	m := selects.FindStringSubmatch(r.URL.Query().Get("sql"))
	if m == nil {
		return refuse(400, "AdHocQueryError", map[string]any{}, "only SELECT * or COUNT(*) of one table")
	}
	name, _ := identifier(m[2])
	rel := p.relations[name]
	if rel == nil {
		return refuse(400, "AdHocQueryError", map[string]any{}, "table %q not found", name)
	}
	var out strings.Builder
	if m[1] != "*" {
		fmt.Fprintf(&out, "{\"count(*)\":%d}\n", len(p.tables[name]))
		return answer{200, out.String(), false}
	}
	for _, key := range slices.Sorted(maps.Keys(p.tables[name])) {
		row := map[string]any{}
		for i, v := range p.tables[name][key] {
			row[rel.Fields[i].Name] = v
		}
		line, _ := json.Marshal(row)
		out.Write(append(line, '\n'))
	}
	return answer{200, out.String(), false}
}
