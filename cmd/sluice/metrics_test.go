package main

import (
	"os"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// TestMetricsDocument: deploy/METRICS.md is what sluice metrics prints.
func TestMetricsDocument(t *testing.T) {
	var want strings.Builder
	if err := writeMetrics(&want, true); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("../../deploy/METRICS.md"); err != nil || string(got) != want.String() {
		t.Errorf("deploy/METRICS.md is not what it says: go run ./cmd/sluice metrics --markdown > deploy/METRICS.md (%v)", err)
	}
	var plain strings.Builder
	if code := realMain(t.Context(), []string{"metrics"}, os.LookupEnv, &plain, &plain); code != exitOK {
		t.Fatal(plain.String())
	}
	for _, i := range instrument.List {
		if !strings.Contains(plain.String(), i.Name+" ") || strings.ContainsAny(i.Meaning, "|`") {
			t.Errorf("sluice metrics does not print %s, or not plainly", i.Name)
		}
	}
	if strings.Contains(plain.String(), "`") {
		t.Error("sluice metrics prints marks of Markdown")
	}
}
