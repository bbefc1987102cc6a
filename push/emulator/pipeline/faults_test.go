package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// TestCutOff: of a request that breaks off, at either end, the values that came whole stay,
// and so nothing of an array.
func TestCutOff(t *testing.T) {
	const first = `{"insert":{"id":1}}`
	for _, array := range []bool{false, true} {
		body, want := first+` {"insert":{"id":2}}`, `[{"id":1}]`
		if array {
			body, want = `[`+first+`,{"insert":{"id":2}}]`, `null`
		}
		path := fmt.Sprintf("/v0/pipelines/p/ingress/t?format=json&array=%v", array)
		for name, send := range map[string]func(*Emulator) error{
			"by the server": func(e *Emulator) (err error) {
				e.Inject("ingress", Cut, 0, 1)
				defer func() {
					if recover() == http.ErrAbortHandler {
						err = io.ErrUnexpectedEOF
					}
				}()
				e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", path, strings.NewReader(body)))
				return nil
			},
			"by the client": func(e *Emulator) error {
				w := httptest.NewRecorder()
				e.ServeHTTP(w, httptest.NewRequest("POST", path, io.MultiReader(strings.NewReader(body[:len(first)+5]), iotest.ErrReader(io.ErrUnexpectedEOF))))
				if w.Body.Len() > 0 {
					return nil
				}
				return io.ErrUnexpectedEOF
			},
		} {
			e := started(t, Options{}, "CREATE TABLE t (id INT PRIMARY KEY);")
			if err := send(e); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("cut off %s: it answers", name)
			}
			if got := rows(e, "t"); got != want {
				t.Errorf("array %v, cut off %s: it has %s, want %s", array, name, got, want)
			}
		}
	}
	e := started(t, Options{Key: "k"}, "CREATE TABLE t (id INT PRIMARY KEY);")
	e.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v0/pipelines/p/ingress/t?format=json", io.MultiReader(strings.NewReader(first), iotest.ErrReader(io.ErrUnexpectedEOF))))
	if got := rows(e, "t"); got != "null" {
		t.Errorf("without a key it has %s", got)
	}
}

// TestTurn: a pipeline is paused and resumed where it is deployed, and only there.
func TestTurn(t *testing.T) {
	e := started(t, Options{}, "CREATE TABLE t (id INT PRIMARY KEY);")
	for _, step := range []struct {
		path, code, then string
		status           int
	}{
		{"pause", "", "Paused", 202}, {"pause", "", "Paused", 202}, {"resume", "", "Running", 202}, {"resume", "", "Running", 202}, {"stop?force=true", "", "Stopped", 202},
		{"pause", "PauseWhileNotProvisioned", "Stopped", 400}, {"resume", "ResumeWhileNotProvisioned", "Stopped", 400}, {"start?initial=paused", "", "Paused", 202},
	} {
		status, m := call(t, e, "POST", "/v0/pipelines/p/"+step.path, "")
		code, _ := m["error_code"].(string)
		if _, a := call(t, e, "GET", "/v0/pipelines/p?selector=status", ""); status != step.status || code != step.code || a["deployment_status"] != step.then {
			t.Errorf("%s: %d %v, then it is %v", step.path, status, m, a["deployment_status"])
		}
	}
}

// TestCheckpointFails: one that fails saves nothing, and is told until the deployment ends,
// by its number, beside the last one that has succeeded.
func TestCheckpointFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := started(t, Options{Enterprise: true, Lag: time.Second}, "CREATE TABLE t (id INT PRIMARY KEY);")
		want := func(text string) {
			t.Helper()
			time.Sleep(time.Minute)
			_, m := call(t, e, "GET", "/v0/pipelines/p/checkpoint_status", "")
			f, _ := m["failure"].(map[string]any)
			if f != nil && (f["error"] == "" || f["failed_at"] == nil) {
				t.Errorf("of the failure it tells %v", f)
			}
			if got, _ := json.Marshal([]any{m["success"], f["sequence_number"]}); string(got) != text {
				t.Errorf("it tells %s, want %s", got, text)
			}
		}
		ask := func(faults ...Fault) {
			for _, f := range faults {
				e.Inject("checkpoint", f, 0, 1)
			}
			defer func() { recover() }() // a lost answer
			call(t, e, "POST", "/v0/pipelines/p/checkpoint", "")
		}
		want(`[null,null]`)
		call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":1}}]`)
		time.Sleep(time.Minute)
		e.Rows("p", "t")
		ask()
		want(`[0,null]`)
		call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":2}}]`)
		time.Sleep(time.Minute)
		e.Rows("p", "t")
		ask(Fails)
		want(`[0,1]`)
		ask(FailsLost)
		want(`[0,2]`)
		e.Crash("p")
		e.Start("p")
		if got := rows(e, "t"); got != `[{"id":1}]` {
			t.Errorf("it goes on with %s", got)
		}
		want(`[null,null]`)
		ask(Fails)
		ask()
		want(`[1,0]`)
	})
}
