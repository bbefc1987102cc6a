//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	feldera "github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// TestFelderaClient has Feldera's own Python client make a pipeline at the emulator, fill it,
// wait for its tokens, read it, and end it.
func TestFelderaClient(t *testing.T) {
	server := httptest.NewServer(feldera.New(feldera.Options{Key: "apikey:secret", Version: "0.369.0"}))
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
	}
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	rows, _ := json.Marshal(out.Rows)
	want := `[{"B":null,"at":null,"d":null,"id":1,"j":null,"v":"c"},{"B":null,"at":null,"d":"-0.99","id":3,"j":null,"v":null},{"B":null,"at":null,"d":null,"id":4,"j":null,"v":null}]`
	if string(rows) != want {
		t.Errorf("it reads %s", rows)
	}
	if out.Edition != "Open source" || out.Version != "0.369.0" || out.Paused != "Paused" || out.State != "Running" || out.Stopped != "Stopped" ||
		out.Endpoints != 2 || len(out.Tables) != 1 || out.Tables[0] != "t" || !strings.Contains(out.Refused, "Errors parsing input data (1 errors)") || out.OldToken == "" {
		t.Errorf("it has seen %s", text)
	}
}
