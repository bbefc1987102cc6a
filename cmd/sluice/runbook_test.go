package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRunbook: each alert has a section of the runbook under its name, and each of these an
// alert; and what a section sends the reader to is there.
func TestRunbook(t *testing.T) {
	text, err := os.ReadFile("../../deploy/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range alerts(t) {
		names = append(names, a.Alert)
	}
	var sections, linked []string
	for _, m := range regexp.MustCompile(`(?m)^## (Sluice\w*)$`).FindAllSubmatch(text, -1) {
		sections = append(sections, string(m[1]))
	}
	if !slices.Equal(names, sections) {
		t.Errorf("alerts  %v\nrunbook %v", names, sections)
	}
	for _, m := range regexp.MustCompile(`\]\(#(\w*)\)`).FindAllSubmatch(text, -1) {
		linked = append(linked, string(m[1]))
	}
	for _, to := range linked {
		if !slices.ContainsFunc(sections, func(s string) bool { return strings.EqualFold(s, to) }) {
			t.Errorf("no section #%s", to)
		}
	}
	sources := code(t, "connector", "connector/intent", "schema", "schema/debezium", "push", "push/feldera")
	for _, row := range regexp.MustCompile("(?m)^\\| (`.*?) \\|").FindAllSubmatch(text, -1) {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllSubmatch(row[1], -1) {
			if !strings.Contains(sources, string(m[1])) {
				t.Errorf("no hold has the reason %q", m[1])
			}
		}
	}
	var reference, errOut strings.Builder
	if code := realMain(t.Context(), []string{"config"}, os.LookupEnv, &reference, &errOut); code != exitOK {
		t.Fatal(errOut.String())
	}
	for _, m := range regexp.MustCompile(`SLUICE_[A-Z_]+`).FindAllString(string(text), -1) {
		if !strings.Contains(reference.String(), m) {
			t.Errorf("no setting %s", m)
		}
	}
}

// code is the text of packages' files, without their tests.
func code(t *testing.T, dirs ...string) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range dirs {
		files, err := filepath.Glob("../../" + dir + "/*.go")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			b.Write(text)
		}
	}
	return b.String()
}
