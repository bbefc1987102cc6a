package main

import (
	"os"
	"strings"
	"testing"
)

// TestReadmeTypes: README has the table that sluice types prints.
func TestReadmeTypes(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- printed by: go run ./cmd/sluice types --markdown -->\n", "<!-- end -->\n"
	_, rest, ok := strings.Cut(string(text), begin)
	got, _, closed := strings.Cut(rest, end)
	var want strings.Builder
	if err := writeTypes(&want, true); err != nil {
		t.Fatal(err)
	}
	if !ok || !closed || got != want.String() {
		t.Errorf("README's table of types is not what go run ./cmd/sluice types --markdown prints; put that between %q and %q", begin, end)
	}
	var plain strings.Builder
	if code := realMain(t.Context(), []string{"types"}, os.LookupEnv, &plain, &plain); code != exitOK {
		t.Fatal(plain.String())
	}
	for _, says := range []string{"io.debezium.time.MicroTimestamp", "number or \"NaN\"", "SLUICE_OUT_OF_RANGE", "sluice.columns.unknown"} {
		if !strings.Contains(plain.String(), says) || strings.Contains(plain.String(), "`") {
			t.Errorf("sluice types does not say %q plainly", says)
		}
	}
}
