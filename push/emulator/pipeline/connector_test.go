package pipeline

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestConnectorToken: each endpoint that the statistics name gives a token for what it has
// received by then, and for nothing that comes later; what they do not name is not there.
func TestConnectorToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := started(t, Options{Lag: time.Minute}, `CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE "TaBle1" (id INT PRIMARY KEY);`)
		post := func(table, params string, id int) {
			t.Helper()
			if code, m := call(t, e, "POST", "/v0/pipelines/p/ingress/"+table+"?format=json&array=true"+params, fmt.Sprintf(`[{"insert":{"id":%d}}]`, id)); code != 200 {
				t.Fatal(code, m)
			}
		}
		ask := func(table, connector string) (int, map[string]any) {
			return call(t, e, "GET", "/v0/pipelines/p/tables/"+table+"/connectors/"+connector+"/completion_token", "")
		}
		status := func(token any) (int, any) {
			code, m := call(t, e, "GET", fmt.Sprintf("/v0/pipelines/p/completion_status?token=%v", token), "")
			return code, m["status"]
		}
		post("t", "", 1)
		post("T", "", 2) // another spelling, and so another queue
		post("%22TaBle1%22", "", 3)
		paths := map[string]string{"t": "T", "TaBle1": "%22TaBle1%22"} // any spelling will do here
		_, stats := call(t, e, "GET", "/v0/pipelines/p/stats", "")
		tokens, connectors := map[string]bool{}, map[string]string{}
		for _, input := range stats["inputs"].([]any) {
			table, connector, _ := strings.Cut(input.(map[string]any)["endpoint_name"].(string), ".")
			code, m := ask(paths[table], connector)
			if code != 200 {
				t.Errorf("%s of %s: %d %v", connector, table, code, m)
			}
			tokens[fmt.Sprint(m["token"])], connectors[table] = true, connector
		}
		if len(tokens) != 3 {
			t.Fatalf("three queues have the tokens %v", tokens)
		}
		for token := range tokens {
			if code, s := status(token); code != 200 || s != "inprogress" {
				t.Errorf("before its rows are processed: %d %v", code, s)
			}
		}
		time.Sleep(59 * time.Second)
		post("t", "", 4)
		time.Sleep(time.Second)
		for token := range tokens {
			if code, s := status(token); code != 200 || s != "complete" {
				t.Errorf("after: %d %v", code, s)
			}
		}
		for _, path := range []string{"t/api-ingress", "t/t", "TaBle1/" + connectors["TaBle1"], "nowhere/api-ingress-0000000000000000"} {
			table, connector, _ := strings.Cut(path, "/")
			code, m := ask(table, connector)
			if details, _ := m["details"].(map[string]any); code != 404 || m["error_code"] != "UnknownInputEndpoint" || details["endpoint_name"] != strings.ToLower(table)+"."+connector {
				t.Errorf("%s: %d %v", path, code, m)
			}
		}
		e.Stop("p", true)
		if code, m := ask("t", "t"); code != 503 || m["error_code"] != "PipelineInteractionNotDeployed" {
			t.Errorf("stopped: %d %v", code, m)
		}
		e.Start("p")
		if code, _ := ask("t", "api-ingress-0000000000000000"); code != 404 {
			t.Errorf("started anew it answers %d for an endpoint that is gone", code)
		}
	})
}
