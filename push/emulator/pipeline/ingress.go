package pipeline

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// change is what an event does to a table.
type change struct {
	delete bool
	key    string
	row    []any // by field; nil for deletes by key
}

// rowError is one of a ParseErrors answer.
type rowError struct {
	Description  string  `json:"description"`
	EventNumber  *int    `json:"event_number"`
	Field        *string `json:"field"`
	InvalidBytes *string `json:"invalid_bytes"`
	InvalidText  *string `json:"invalid_text"`
	Suggestion   *string `json:"suggestion"`
	Tag          string  `json:"tag"`
}

// events cuts a body into the chunks that the engine takes as a whole: the arrays under
// array, single values otherwise. What is not JSON ends it.
func events(body []byte, array bool) (chunks [][]json.RawMessage, bad []rowError) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		switch {
		case err != nil && dec.InputOffset() >= int64(len(bytes.TrimRight(body, " \t\r\n"))) && !strings.Contains(err.Error(), "unexpected"):
			return chunks, bad
		case err != nil:
			text := string(body[dec.InputOffset():])
			return chunks, append(bad, rowError{Description: "failed to parse: " + err.Error(), InvalidText: &text, Tag: "text_envelope_err"})
		}
		chunk := []json.RawMessage{raw}
		if array {
			chunk = nil
			if json.Unmarshal(raw, &chunk) != nil {
				text := string(raw)
				bad = append(bad, rowError{Description: "an array of updates is wanted", InvalidText: &text, Tag: "text_envelope_err"})
				continue
			}
		}
		chunks = append(chunks, chunk)
	}
}

// decode reads the events of a chunk, in the form of update_format.
func (r *relation) decode(chunk []json.RawMessage, format string) (changes []change, bad []rowError) {
	for i, raw := range chunk {
		number := i + 1
		fail := func(text json.RawMessage, tag, name string, err error) {
			s := string(text)
			e := rowError{Description: err.Error(), EventNumber: &number, InvalidText: &s, Tag: tag}
			if name != "" {
				e.Field = &name
			}
			bad = append(bad, e)
		}
		steps := map[string]json.RawMessage{}
		switch format {
		case "raw":
			steps["insert"] = raw
		case "insert_delete":
			if err := json.Unmarshal(raw, &steps); err != nil {
				fail(raw, "text_envelope_err", "", err)
				continue
			}
		}
		if extra := slices.DeleteFunc(slices.Collect(maps.Keys(steps)), func(k string) bool {
			return k == "insert" || k == "delete" || k == "update" || k == "table"
		}); len(extra) > 0 {
			fail(raw, "text_envelope_err", "", fmt.Errorf("unknown field %s", extra[0]))
			continue
		}
		for _, step := range []string{"delete", "insert", "update"} {
			inner, ok := steps[step]
			if !ok || string(inner) == "null" {
				continue
			}
			c, name, err := r.change(inner, step)
			if err != nil {
				fail(inner, "text_event_err", name, err)
				continue
			}
			changes = append(changes, c)
		}
	}
	return changes, bad
}

var errUpdate = errors.New("update operation is not supported on this stream")

func (r *relation) change(raw json.RawMessage, step string) (c change, column string, err error) {
	if step == "update" {
		return c, "", errUpdate // of a patch, which nobody here should send
	}
	given, err := r.given(raw)
	if err != nil {
		return c, "", err
	}
	c.delete = step == "delete"
	row := make([]any, len(r.Fields))
	for i := range r.Fields {
		f := &r.Fields[i]
		key := slices.Contains(r.PrimaryKey, f.Name)
		if c.delete && len(r.PrimaryKey) > 0 && !key {
			continue
		}
		v, ok := given[f.Name]
		switch {
		case ok:
			if row[i], err = value(&f.Type, v); err != nil {
				return c, f.Name, err
			}
		case f.Default != nil && !c.delete:
			row[i] = strings.Trim(*f.Default, "'")
		case !f.Type.Nullable:
			return c, f.Name, fmt.Errorf("missing field %s", f.Name)
		}
	}
	c.row, c.key = row, r.key(row)
	return c, "", nil
}

// given are a row's values by column: of an object, or of a list in their order.
func (r *relation) given(raw json.RawMessage) (map[string]json.RawMessage, error) {
	given := map[string]json.RawMessage{}
	if raw[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil || len(list) != len(r.Fields) {
			return nil, fmt.Errorf("%d values for %d columns", len(list), len(r.Fields))
		}
		for i, v := range list {
			given[r.Fields[i].Name] = v
		}
		return given, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(raw, &m); err != nil {
		return nil, err
	}
	for k, v := range m {
		if f := r.field(k); f != nil { // what is unknown is ignored, in silence
			given[f.Name] = v
		}
	}
	return given, nil
}

// key is a row's place: its primary key, or all of it.
func (r *relation) key(row []any) string {
	var parts []any
	for i := range r.Fields {
		if len(r.PrimaryKey) == 0 || slices.Contains(r.PrimaryKey, r.Fields[i].Name) {
			parts = append(parts, row[i])
		}
	}
	b, _ := json.Marshal(parts)
	return string(b)
}

// ingress takes rows. While the pipeline is paused, or has too many of the table that wait, the
// request lies in its hands, and is read when it goes on, whether somebody still waits for the
// answer or not. With force it is read at once.
func (e *Emulator) ingress(w http.ResponseWriter, r *http.Request) {
	body, cut := io.ReadAll(r.Body)
	query := r.URL.Query()
	q := &post{segment: r.PathValue("table"), format: query.Get("format"), update: cmp.Or(query.Get("update_format"), "insert_delete"), array: query.Get("array") == "true",
		force: query.Get("force") == "true", body: body, trace: r.Header.Get("Traceparent")}
	give := time.Now().Add(e.opt.Patience)
	e.mu.Lock()
	e.advance(time.Now())
	if e.Stats.Requests++; !e.ordered {
		e.turns++
		q.worker = e.turns % workers
	}
	p := e.pipes[r.PathValue("pipeline")]
	if cut != nil { // its sender is gone; what came whole of it is taken
		e.dispatch("", r, func(Fault) (a answer) {
			if p != nil && p.status == "Running" && !e.waits(p, q) {
				a = e.take(p, q)
			}
			return a
		})
		e.mu.Unlock()
		return
	}
	for p != nil && e.waits(p, q) {
		if !time.Now().Before(give) || r.Context().Err() != nil {
			p.ghosts = append(p.ghosts, ghost{post: q})
			e.mu.Unlock()
			write(w, unreachable)
			return
		}
		e.mu.Unlock()
		time.Sleep(100 * time.Millisecond)
		e.mu.Lock()
		e.advance(time.Now())
	}
	a, reply := e.dispatch("ingress", r, func(f Fault) answer {
		if p == nil {
			return unknown(r.PathValue("pipeline"))
		}
		if p.status != "Running" && !(p.status == "Paused" && q.force) {
			return e.notDeployed(p)
		}
		if f.later() {
			p.ghosts = append(p.ghosts, ghost{at: time.Now().Add(ghostDelay), post: q})
			return answer{}
		}
		if f == Cut {
			q.body = body[:len(body)/2]
		}
		return e.take(p, q)
	})
	e.mu.Unlock()
	if !reply.Write(w, r, a.status, a.header(), a.body) {
		write(w, a)
	}
}

// workers is how many the server has; requests come to one after the other.
const workers = 4

// maxErrors is how many rows an answer tells of: the last ones.
const maxErrors = 1000

// take reads a body into a queue, and answers with a token.
func (e *Emulator) take(p *instance, q *post) answer {
	name, _ := identifier(q.segment)
	rel := p.relations[name]
	if rel == nil {
		return refuse(404, "UnknownInputStream", map[string]any{"endpoint_name": q.segment, "stream_name": name}, "unknown input table %q", name)
	}
	if q.format != "json" || q.update != "insert_delete" && q.update != "raw" {
		return refuse(400, "UnknownInputFormat", map[string]any{"endpoint_name": q.segment, "format_name": q.format}, "only format=json with insert_delete or raw is here")
	}
	ep := p.endpoint(q, rel)
	chunks, bad := events(q.body, q.array)
	e.Stats.Posts++
	rows := 0
	for _, chunk := range chunks {
		changes, wrong := rel.decode(chunk, q.update)
		bad = append(bad, wrong...)
		if q.array && len(wrong) > 0 {
			continue // all of it or nothing
		}
		ep.received += int64(len(changes))
		rows += len(changes)
		ep.queue = append(ep.queue, queued{changes: changes, upto: ep.received, post: e.Stats.Posts, due: time.Now().Add(e.opt.Lag)})
	}
	if q.force {
		ep.forced = ep.received
	}
	e.Stats.Rows += rows
	if len(bad) > 0 {
		all := len(bad)
		text := fmt.Sprintf("Errors parsing input data (%d errors):", all)
		if bad = bad[max(0, all-maxErrors):]; len(bad) < all {
			text = fmt.Sprintf("Errors parsing input data (reporting %d out of %d total errors):", len(bad), all)
		}
		for _, b := range bad {
			text += "\n" + b.Description
			if b.InvalidText != nil {
				text += "\nInvalid fragment: " + *b.InvalidText
			}
		}
		return refuse(400, "ParseErrors", map[string]any{"num_errors": all, "errors": bad}, "%s", text)
	}
	what := "rows"
	if rows == 0 {
		what = "barrier"
	}
	t := token{p.incarnation, ep.id, ep.received}.String()
	e.say(Event{What: what, Table: rel.Name, Rows: rows, Token: t, Trace: q.trace})
	e.advance(time.Now())
	return answer{200, map[string]any{"token": t}, false}
}
