//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	feldera "github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// TestFelderaClient has Feldera's own Python client make a pipeline at the emulator, fill it,
// wait for its tokens, read it, and end it; of an Enterprise one also save it, and start it anew
// from there.
func TestFelderaClient(t *testing.T) {
	for edition, enterprise := range map[string]bool{"Open source": false, "Enterprise": true} {
		t.Run(edition, func(t *testing.T) { testClient(t, edition, enterprise) })
	}
}

func testClient(t *testing.T, edition string, enterprise bool) {
	server := httptest.NewServer(feldera.New(feldera.Options{Key: "apikey:secret", Version: "0.369.0", Enterprise: enterprise}))
	defer server.Close()
	cmd := exec.Command(filepath.Join(root(t), "lib", "python", "bin", "python"), "client.py", server.URL, "apikey:secret")
	var told strings.Builder
	cmd.Stderr = &told
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("client.py: %v\n%s", err, told.String())
	}
	var out struct {
		Edition, Version, Paused, Refused, State, Stopped string
		Tables                                            []string
		Endpoints                                         int
		OldToken                                          string `json:"old token"`
		Rows                                              []map[string]any
		Saved                                             []int
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	rows, _ := json.Marshal(out.Rows)
	want := `[{"B":null,"at":null,"d":null,"id":1,"j":null,"v":"c"},{"B":null,"at":null,"d":"-0.99","id":3,"j":null,"v":null},{"B":null,"at":null,"d":null,"id":4,"j":null,"v":null}]`
	if string(rows) != want {
		t.Errorf("it reads %s", rows)
	}
	if saved := map[bool][]int{true: {1, 3, 4}}[enterprise]; !slices.Equal(out.Saved, saved) {
		t.Errorf("it has %v when it is started anew, want %v", out.Saved, saved)
	}
	if out.Edition != edition || out.Version != "0.369.0" || out.Paused != "Paused" || out.State != "Running" || out.Stopped != "Stopped" ||
		out.Endpoints != 2 || len(out.Tables) != 1 || out.Tables[0] != "t" || !strings.Contains(out.Refused, "Errors parsing input data (1 errors)") || out.OldToken == "" {
		t.Errorf("it has seen %s", text)
	}
}
