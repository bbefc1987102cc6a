package pipeline

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStop: what each way to stop a pipeline leaves of rows that are processed, the first one,
// and of one that waits in a queue.
func TestStop(t *testing.T) {
	for _, tc := range []struct {
		query      string
		enterprise bool
		status     int
		code, want string
	}{
		{"", true, 202, "", `[{"id":1}]`},
		{"?force=false", true, 202, "", `[{"id":1}]`},
		{"?force=true", true, 202, "", `null`},
		{"?force=true", false, 202, "", `null`},
		{"", false, 501, "EnterpriseFeature", `[{"id":1}]`}, // nothing has stopped
	} {
		t.Run(fmt.Sprint(tc.query, " ", tc.enterprise), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := started(t, Options{Enterprise: tc.enterprise, Lag: time.Minute}, "CREATE TABLE t (id INT PRIMARY KEY);")
				post := func(id int) {
					if status, a := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", fmt.Sprintf(`[{"insert":{"id":%d}}]`, id)); status != 200 {
						t.Fatal(status, a)
					}
				}
				post(1)
				time.Sleep(2 * time.Minute)
				post(2)
				status, a := call(t, e, "POST", "/v0/pipelines/p/stop"+tc.query, "")
				if status != tc.status || tc.code != "" && a["error_code"] != tc.code {
					t.Errorf("%d %v", status, a)
				}
				if tc.status == 202 {
					if _, a := call(t, e, "GET", "/v0/pipelines/p", ""); a["deployment_status"] != "Stopped" || a["deployment_id"] != nil || a["deployment_error"] != nil {
						t.Errorf("it is %v", a)
					}
					if status, a := call(t, e, "POST", "/v0/pipelines/p/start", ""); status != 202 {
						t.Fatal(status, a)
					}
					time.Sleep(time.Hour) // what waited does not come
				}
				if got := rows(e, "t"); got != tc.want {
					t.Errorf("it has %s, want %s", got, tc.want)
				}
			})
		})
	}
}

// TestNotDeployed: what needs a pipeline that runs is told by the manager, from 0.330 on with
// when to ask again.
func TestNotDeployed(t *testing.T) {
	for version, after := range map[string]string{"0.329.9": "", "0.330.0": "5"} {
		e := started(t, Options{Version: version, Enterprise: true}, "CREATE TABLE t (id INT PRIMARY KEY);")
		e.Stop("p", true)
		for _, request := range []string{"POST /ingress/t?format=json", "GET /completion_status?token=x", "POST /checkpoint", "GET /checkpoint_status", "GET /stats", "GET /query?sql=x", "POST /activate"} {
			method, path, _ := strings.Cut(request, " ")
			w := httptest.NewRecorder()
			e.ServeHTTP(w, httptest.NewRequest(method, "/v0/pipelines/p"+path, nil))
			var a struct {
				Code    string            `json:"error_code"`
				Details map[string]string `json:"details"`
			}
			json.Unmarshal(w.Body.Bytes(), &a)
			if w.Code != http.StatusServiceUnavailable || a.Code != "PipelineInteractionNotDeployed" || a.Details["pipeline_name"] != "p" || a.Details["status"] != "Stopped" || w.Header().Get("Retry-After") != after {
				t.Errorf("%s of %s: %d %v %s", request, version, w.Code, w.Header(), w.Body)
			}
		}
	}
}

// TestEdition: the open-source one has no checkpoints.
func TestEdition(t *testing.T) {
	for enterprise, want := range map[bool]int{false: 501, true: 200} {
		e := started(t, Options{Enterprise: enterprise}, "CREATE TABLE t (id INT PRIMARY KEY);")
		if status, a := call(t, e, "POST", "/v0/pipelines/p/checkpoint", ""); status != want || !enterprise && a["error_code"] != "EnterpriseFeature" {
			t.Errorf("Enterprise %v: %d %v", enterprise, status, a)
		}
	}
}

// TestQuery: what is there can be read, all of a table or how many rows.
func TestQuery(t *testing.T) {
	e := started(t, Options{}, `CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR); CREATE TABLE "Odd" (id INT PRIMARY KEY);`)
	call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":2,"s":"x"}},{"insert":{"id":1}},{"insert":{"id":3}},{"delete":{"id":3}}]`)
	for sql, want := range map[string]string{
		"SELECT * FROM t":                 `200 {"id":1,"s":null}` + "\n" + `{"id":2,"s":"x"}` + "\n",
		"select count(*) as n from T ;":   `200 {"count(*)":2}` + "\n",
		`SELECT * FROM "Odd"`:             `200 `,
		`SELECT COUNT(*) FROM "T"`:        `400 "AdHocQueryError"`,
		"SELECT id FROM t":                `400 "AdHocQueryError"`,
		"SELECT * FROM t WHERE id = 'it'": `400 "AdHocQueryError"`,
	} {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequest("GET", "/v0/pipelines/p/query?format=json&sql="+url.QueryEscape(sql), nil))
		got := fmt.Sprint(w.Code, " ", w.Body)
		if w.Code != 200 {
			var a map[string]any
			json.Unmarshal(w.Body.Bytes(), &a)
			got = fmt.Sprintf("%d %q", w.Code, a["error_code"])
		}
		if got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}
