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

// The cases are those that the tests of Feldera itself assert
// (https://github.com/feldera/feldera, python/tests/platform), and its documents.

func call(t *testing.T, e *Emulator, method, path, body string) (int, map[string]any) {
	t.Helper()
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	var m map[string]any
	if w.Body.Len() > 0 && json.Unmarshal(w.Body.Bytes(), &m) != nil {
		m = map[string]any{"text": w.Body.String()}
	}
	return w.Code, m
}

func started(t *testing.T, opt Options, program string) *Emulator {
	t.Helper()
	e := New(opt)
	if err := e.Create("p", program); err != nil {
		t.Fatal(err)
	}
	e.Start("p")
	return e
}

func rows(e *Emulator, table string) string {
	b, _ := json.Marshal(e.Table("p", table)) // one row at most, or in the order of nothing
	return string(b)
}

// TestIngress: what is taken, what is refused, and what is there then.
func TestIngress(t *testing.T) {
	const program = `CREATE TABLE t (id INT NOT NULL PRIMARY KEY, s VARCHAR); CREATE TABLE "TaBle1" (id INT PRIMARY KEY); CREATE TABLE table1 (id INT PRIMARY KEY);
		CREATE TABLE two (a INT NOT NULL, "Ünï" INT NOT NULL, v VARIANT, PRIMARY KEY (a, "Ünï")); CREATE TABLE bag (s VARCHAR);`
	for _, tc := range []struct {
		name, table, params, body string
		status                    int
		code                      string
		of, want                  string
	}{
		{"rows with a column left out", "t", "&update_format=raw&array=true", `[{"id":1}]`, 200, "", "t", `[{"id":1,"s":null}]`},
		{"the default is insert_delete", "T", "&array=true", `[{"insert":{"ID":1,"s":"x"}}]`, 200, "", "t", `[{"id":1,"s":"x"}]`},
		{"a row by position", "t", "&update_format=raw&array=true", `[[1,"x"]]`, 200, "", "t", `[{"id":1,"s":"x"}]`},
		{"the last of a key stays", "t", "&array=true", `[{"insert":{"id":1,"s":"x"}},{"delete":{"id":1}},{"insert":{"id":1,"s":"y"}}]`, 200, "", "t", `[{"id":1,"s":"y"}]`},
		{"a delete needs the key only", "t", "&array=true", `[{"insert":{"id":1}},{"delete":{"id":1}},{"delete":{"id":2}}]`, 200, "", "t", `null`},
		{"two bad elements: nothing of the array", "t", "&array=true", `[{"insert":{"id":"x"}},{"insert":{"id":2}},{"insert":{"s":"y"}}]`, 400, "ParseErrors", "t", `null`},
		{"without an array the others stay", "t", "", `{"insert":{"id":"x"}} {"insert":{"id":2}}`, 400, "ParseErrors", "t", `[{"id":2,"s":null}]`},
		{"an unknown column is ignored", "t", "&array=true", `[{"insert":{"id":1,"z":1}}]`, 200, "", "t", `[{"id":1,"s":null}]`},
		{"an unknown step is not", "t", "&array=true", `[{"upsert":{"id":1}}]`, 400, "ParseErrors", "t", `null`},
		{"cut off", "t", "&array=true", `[{"insert":{"id":1}},{"ins`, 400, "ParseErrors", "t", `null`},
		{"nothing", "t", "&array=true", ``, 200, "", "t", `null`},
		{"bare names are folded", "TaBle1", "&array=true", `[{"insert":{"id":1}}]`, 200, "", "table1", `[{"id":1}]`},
		{"names in quotes are exact", "%22TaBle1%22", "&array=true", `[{"insert":{"id":1}}]`, 200, "", "TaBle1", `[{"id":1}]`},
		{"a key of two columns, a VARIANT that is NULL", "two", "&array=true", `[{"insert":{"a":1,"Ünï":2,"v":null}}]`, 200, "", "two", `[{"a":1,"v":null,"Ünï":2}]`},
		{"a name in quotes in another case", "two", "&array=true", `[{"insert":{"a":1,"ünï":2}}]`, 400, "ParseErrors", "two", `null`},
		{"no key: rows add up", "bag", "&array=true", `[{"insert":{"s":"x"}},{"insert":{"s":"x"}}]`, 200, "", "bag", `[{"s":"x"},{"s":"x"}]`},
		{"no such table", "nowhere", "&array=true", `[]`, 404, "UnknownInputStream", "t", `null`},
	} {
		e := started(t, Options{}, program)
		status, answer := call(t, e, "POST", "/v0/pipelines/p/ingress/"+tc.table+"?format=json"+tc.params, tc.body)
		if status != tc.status || fmt.Sprint(answer["error_code"]) != tc.code && tc.code != "" || (answer["token"] == nil) != (status != 200) {
			t.Errorf("%s: %d %v", tc.name, status, answer)
		}
		if got := rows(e, tc.of); got != tc.want {
			t.Errorf("%s: the table has %s, want %s", tc.name, got, tc.want)
		}
	}
	e := started(t, Options{}, program)
	if status, _ := call(t, e, "POST", "/v0/pipelines/q/ingress/t?format=json", ""); status != 404 {
		t.Errorf("of a pipeline that is not there: %d", status)
	}
	if status, a := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":"x"}},{"insert":{}}]`); status != 400 ||
		!strings.HasPrefix(a["message"].(string), "Errors parsing input data (2 errors):") || a["details"].(map[string]any)["num_errors"] != 2.0 {
		t.Errorf("two errors: %v", a)
	}
}

// TestValues: what a value of each type may be.
func TestValues(t *testing.T) {
	for _, tc := range []struct{ kind, value, want string }{
		{"BOOLEAN", `true`, `true`}, {"BOOLEAN", `1`, ""}, {"BOOLEAN", `"true"`, ""},
		{"TINYINT", `-128`, `-128`}, {"TINYINT", `128`, ""}, {"BIGINT UNSIGNED", `18446744073709551615`, `"18446744073709551615"`}, {"BIGINT UNSIGNED", `-1`, ""},
		{"BIGINT", `9223372036854775807`, `9223372036854775807`}, {"BIGINT", `"1"`, ""}, {"BIGINT", `1.5`, ""},
		{"DOUBLE", `1e300`, `1e+300`}, {"DOUBLE", `"1"`, ""}, {"DOUBLE", `1e999`, ""},
		{"DECIMAL(5, 2)", `"123.459"`, `"123.45"`}, {"DECIMAL(5, 2)", `-1.5e1`, `"-15.00"`}, {"DECIMAL(5, 2)", `"1000"`, ""}, {"DECIMAL(5, 2)", `"NaN"`, ""},
		{"VARCHAR(2)", `"longer"`, `"longer"`}, {"VARCHAR", `1`, ""},
		{"DATE", `" 2024-02-29 "`, `"2024-02-29"`}, {"DATE", `"2023-02-29"`, ""}, {"DATE", `19000`, ""},
		{"TIME", `"23:59:59.5"`, `"23:59:59.500000"`}, {"TIME", `"24:00:00"`, ""},
		{"TIMESTAMP", `"2024-01-02 03:04:05.000006"`, `"2024-01-02 03:04:05.000006"`}, {"TIMESTAMP", `"2024-01-02T03:04:05+01:00"`, `"2024-01-02 02:04:05.000000"`}, {"TIMESTAMP", `"10000-01-01 00:00:00"`, ""},
		{"TIMESTAMP WITH TIME ZONE", `"2024-01-02T03:04:05Z"`, `"2024-01-02 03:04:05.000000"`}, {"TIMESTAMP WITH TIME ZONE", `"2024-01-02 03:04:05"`, ""},
		{"VARBINARY", `[0,255]`, `"00ff"`}, {"VARBINARY", `[256]`, ""}, {"VARBINARY", `"00"`, ""},
		{"UUID", `"0F0E0D0C-0000-4000-8000-000000000000"`, `"0f0e0d0c-0000-4000-8000-000000000000"`}, {"UUID", `"x"`, ""},
		{"VARIANT", `{"a" : [1, null]}`, `"{\"a\":[1,null]}"`}, {"INT ARRAY", `[1]`, `"[1]"`}, {"INT ARRAY", `1`, ""},
		{"INT ARRAY", `["1"]`, ""}, {"INT ARRAY", `{}`, ""}, {"VARCHAR ARRAY", `["<\"",null]`, `"[\"\u003c\\\"\",null]"`}, {"DECIMAL(5, 2) ARRAY ARRAY", `[["1.5"],null,[]]`, `"[[\"1.50\"],null,[]]"`},
		{"VARBINARY ARRAY", `["AA=="]`, ""}, {"VARIANT ARRAY", `[{"a":1},"x"]`, `"[{\"a\":1},\"x\"]"`},
		{"MAP<VARCHAR, DATE>", `{"b":"2024-02-29","a":null}`, `"{\"a\":null,\"b\":\"2024-02-29\"}"`}, {"MAP<VARCHAR, INT>", `{"a":"1"}`, ""}, {"MAP<VARCHAR, INT>", `[]`, ""},
		{"ROW(a INT NOT NULL, b MAP<VARCHAR, INT>)", `{"a":1,"b":{"x":2}}`, `"{\"a\":1,\"b\":{\"x\":2}}"`}, {"ROW(a INT NOT NULL, b VARCHAR)", `[1,"x"]`, `"{\"a\":1,\"b\":\"x\"}"`}, {"ROW(a INT NOT NULL)", `{}`, ""},
		{"INTERVAL DAY TO SECOND", `"1"`, ""},
	} {
		e := started(t, Options{}, "CREATE TABLE t (id INT PRIMARY KEY, c "+tc.kind+");")
		status, answer := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":1,"c":`+tc.value+`}}]`)
		want := fmt.Sprintf(`[{"c":%s,"id":1}]`, tc.want)
		if tc.want == "" {
			want = "null"
		}
		if got := rows(e, "t"); got != want || (status == 200) != (tc.want != "") {
			t.Errorf("%s %s: %d %v, the table has %s", tc.kind, tc.value, status, answer, got)
		}
	}
}

// TestProgram: types within types are described, and what is no type is refused.
func TestProgram(t *testing.T) {
	e := started(t, Options{}, `CREATE TABLE t (id INT NOT NULL PRIMARY KEY, a DECIMAL(5, 2) ARRAY NOT NULL, m MAP<VARCHAR, ROW(x INT, y VARCHAR)>);`)
	_, answer := call(t, e, "GET", "/v0/pipelines/p", "")
	input := answer["program_info"].(map[string]any)["schema"].(map[string]any)["inputs"].([]any)[0].(map[string]any)
	var types []any
	for _, f := range input["fields"].([]any) {
		types = append(types, f.(map[string]any)["columntype"])
	}
	got, _ := json.Marshal(types)
	const inField = `{"case_sensitive":false,"columntype":{"nullable":true,"type":"%s"},"default":null,"name":"%s"}`
	want := `[{"nullable":false,"type":"INTEGER"},{"component":{"nullable":true,"precision":5,"scale":2,"type":"DECIMAL"},"nullable":false,"type":"ARRAY"},` +
		`{"key":{"nullable":false,"type":"VARCHAR"},"nullable":true,"type":"MAP","value":{"fields":[` + fmt.Sprintf(inField, "INTEGER", "x") + "," + fmt.Sprintf(inField, "VARCHAR", "y") + `],"nullable":true,"type":"STRUCT"}}]`
	if string(got) != want {
		t.Errorf("it describes %s", got)
	}
	for _, bad := range []string{"MAP", "MAP<INT>", "MAP<INT, 1>", "ROW(a)", "ROW(a INT", "5"} {
		if err := e.Create("q", "CREATE TABLE t (id INT PRIMARY KEY, c "+bad+");"); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

// TestTokens: they are complete when their rows are processed, and die with a restart.
func TestTokens(t *testing.T) {
	e := started(t, Options{Enterprise: true}, "CREATE TABLE t (id INT PRIMARY KEY);")
	_, answer := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":1}}]`)
	ask := func() (int, map[string]any) {
		return call(t, e, "GET", "/v0/pipelines/p/completion_status?token="+url.QueryEscape(answer["token"].(string)), "")
	}
	if status, a := ask(); status != 200 || a["status"] != "complete" {
		t.Errorf("%d %v", status, a)
	}
	e.Stick("p", true)
	_, answer = call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":2}}]`)
	if status, a := ask(); status != 200 || a["status"] != "inprogress" {
		t.Errorf("of an output that takes nothing: %d %v", status, a)
	}
	e.Stick("p", false)
	e.Stop("p", false)
	if status, a := ask(); status != 503 || a["error_code"] != "PipelineInteractionNotDeployed" {
		t.Errorf("stopped: %d %v", status, a)
	}
	e.Start("p")
	if status, a := ask(); status != http.StatusGone || a["error_code"] != "PipelineRestarted" {
		t.Errorf("started anew: %d %v", status, a)
	}
	if n := len(e.Rows("p", "t")); n != 2 {
		t.Errorf("a graceful stop kept %d rows", n)
	}
	if status, a := call(t, e, "GET", "/v0/pipelines/p/completion_status?token=%21", ""); status != 400 || a["error_code"] != "InvalidParam" {
		t.Errorf("no token: %d %v", status, a)
	}
}

// TestPanic: rows that are taken may kill the pipeline.
func TestPanic(t *testing.T) {
	e := started(t, Options{Panic: func(_ string, row []any) bool { return row[0] == int64(13) }, Lag: time.Nanosecond}, "CREATE TABLE t (id INT PRIMARY KEY);")
	if status, _ := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", `[{"insert":{"id":13}}]`); status != 200 {
		t.Fatal(status)
	}
	_, a := call(t, e, "GET", "/v0/pipelines/p?selector=status", "")
	if a["deployment_status"] != "Stopped" || a["deployment_error"].(map[string]any)["error_code"] != "RuntimeError.WorkerPanic" {
		t.Errorf("%v", a)
	}
}

// TestEvents: what became of a deployment is told after it is over, the latest first.
func TestEvents(t *testing.T) {
	e := started(t, Options{}, "CREATE TABLE t (id INT PRIMARY KEY);")
	e.Stop("p", true)
	e.Start("p")
	e.Crash("p")
	e.Start("p")
	e.Respawn("p") // tells nothing
	w := httptest.NewRecorder()
	e.ServeHTTP(w, httptest.NewRequest("GET", "/v0/pipelines/p/events?selector=status", nil))
	var events []struct {
		Status  string `json:"deployment_resources_status"`
		Desired string `json:"deployment_resources_desired_status"`
		Failed  bool   `json:"deployment_has_error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &events); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, e := range events {
		got += fmt.Sprintln(e.Status, e.Desired, e.Failed)
	}
	const run = "Provisioned Provisioned false\nStopped Provisioned false\n"
	if want := run + "Stopped Stopped true\nStopping Stopped true\n" + run + "Stopped Stopped false\nStopping Stopped false\n" + run + "Stopped Stopped false\n"; got != want {
		t.Errorf("it tells\n%s", got)
	}
}

// TestRevive: a pipeline that has failed is started again, one that was stopped is not.
func TestRevive(t *testing.T) {
	e := started(t, Options{Revive: time.Nanosecond}, "CREATE TABLE t (id INT PRIMARY KEY);")
	for _, want := range []string{"Running", "Stopped"} {
		if want == "Running" {
			e.Crash("p")
		} else {
			e.Stop("p", true)
		}
		time.Sleep(time.Microsecond)
		if _, a := call(t, e, "GET", "/v0/pipelines/p?selector=status", ""); a["deployment_status"] != want || a["deployment_error"] != nil {
			t.Errorf("it is %v, want %s", a["deployment_status"], want)
		}
	}
}

// TestBacklog: where too many records wait, a request waits as well, is given up by the
// manager, and is read all the same.
func TestBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := started(t, Options{Lag: time.Minute, Backlog: 2}, "CREATE TABLE t (id INT PRIMARY KEY);")
		post := func(body string) int {
			code, _ := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", body)
			return code
		}
		if code := post(`[{"insert":{"id":1}},{"insert":{"id":2}}]`); code != 200 {
			t.Fatal(code)
		}
		began := time.Now()
		if code := post(`[{"insert":{"id":3}}]`); code != 503 || time.Since(began) < 30*time.Second {
			t.Errorf("%d after %v", code, time.Since(began))
		}
		if time.Sleep(29 * time.Second); len(e.Rows("p", "t")) != 0 {
			t.Error("they did not wait")
		}
		if time.Sleep(time.Minute); len(e.Rows("p", "t")) != 2 {
			t.Errorf("it has %v", e.Rows("p", "t"))
		}
		e.Rows("p", "t") // now it has room for it
		time.Sleep(time.Second)
		e.Rows("p", "t") // and has read it
		if time.Sleep(time.Minute); len(e.Rows("p", "t")) != 3 {
			t.Errorf("it has %v at the end", e.Rows("p", "t"))
		}
	})
}

// TestOrder: before 0.275 a request may overtake those before it that are not complete, and
// its token says nothing of them.
func TestOrder(t *testing.T) {
	for version, want := range map[string]string{"0.274.9": `[{"id":1,"s":"first"}]`, "0.275.0": `[{"id":1,"s":"last"}]`} {
		synctest.Test(t, func(t *testing.T) {
			e := started(t, Options{Version: version, Lag: time.Minute}, "CREATE TABLE t (id INT PRIMARY KEY, s VARCHAR);")
			post := func(body string) (token string) {
				_, m := call(t, e, "POST", "/v0/pipelines/p/ingress/t?format=json&array=true", body)
				return m["token"].(string)
			}
			status := func(token string) any {
				_, m := call(t, e, "GET", "/v0/pipelines/p/completion_status?token="+token, "")
				return m["status"]
			}
			var tokens []string
			for _, s := range []string{"first", "last"} {
				tokens = append(tokens, post(fmt.Sprintf(`[{"insert":{"id":1,"s":%q}}]`, s)))
			}
			if got := status(post("")); (got == "complete") != (version == "0.274.9") {
				t.Errorf("%s: the token of an empty body is %v", version, got)
			}
			_, m := call(t, e, "GET", "/v0/pipelines/p/stats", "")
			waiting := 0.0
			for _, input := range m["inputs"].([]any) {
				waiting += input.(map[string]any)["metrics"].(map[string]any)["buffered_records"].(float64)
			}
			if waiting != 2 || m["global_metrics"].(map[string]any)["buffered_input_records"] != 2.0 {
				t.Errorf("%s: %v", version, m)
			}
			time.Sleep(2 * time.Minute)
			if got := rows(e, "t"); got != want {
				t.Errorf("%s: %s, want %s", version, got, want)
			}
			for _, token := range tokens {
				if got := status(token); got != "complete" {
					t.Errorf("%s: %v", version, got)
				}
			}
		})
	}
}
