package pipeline

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestForce: a paused pipeline leaves a request unread until the manager gives up, but with force
// it takes the rows and processes them, and the token becomes complete
// (python/tests/platform/test_pipeline_lifecycle.py). What others sent waits on.
func TestForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := started(t, Options{Lag: time.Second}, "CREATE TABLE t (id INT PRIMARY KEY); CREATE TABLE u (id INT PRIMARY KEY);")
		post := func(path string) (int, any, any) {
			status, a := call(t, e, "POST", "/v0/pipelines/p/ingress/"+path+"&format=json&array=true", `[{"insert":{"id":1}}]`)
			return status, a["token"], a["error_code"]
		}
		if status, _, code := post("u?force=false"); status != 200 {
			t.Fatal(status, code)
		}
		e.Pause("p")
		if status, _, code := post("t?force=false"); status != 503 || code != "PipelineInteractionUnreachable" {
			t.Errorf("without force: %d %v", status, code)
		}
		status, token, code := post("t?force=true")
		if status != 200 {
			t.Fatalf("with force: %d %v", status, code)
		}
		complete := func() any {
			_, a := call(t, e, "GET", "/v0/pipelines/p/completion_status?token="+token.(string), "")
			return a["status"]
		}
		if got := complete(); got != "inprogress" {
			t.Errorf("at once it is %v", got)
		}
		time.Sleep(time.Minute)
		if got := complete(); got != "complete" || rows(e, "t") != `[{"id":1}]` || rows(e, "u") != "null" {
			t.Errorf("after a minute it is %v, t has %s and u %s", got, rows(e, "t"), rows(e, "u"))
		}
		e.Stop("p", true)
		if status, _, code := post("t?force=true"); status != 503 || code != "PipelineInteractionNotDeployed" {
			t.Errorf("of a pipeline that is stopped: %d %v", status, code)
		}
	})
}
