package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// workflow is of GitHub Actions' format what ours use: a key that is not here is a typing
// error, or is to be thought about.
type workflow struct {
	Name        string
	On          map[string]struct{ Branches, Tags []string }
	Permissions map[string]string
	Concurrency struct {
		Group  string
		Cancel bool `yaml:"cancel-in-progress"`
	}
	Env  map[string]string
	Jobs map[string]struct {
		Needs       any
		RunsOn      string `yaml:"runs-on"`
		Timeout     int    `yaml:"timeout-minutes"`
		Permissions map[string]string
		Steps       []struct {
			ID, Name, Uses, Run string
			With                map[string]any
			Env                 map[string]string
		}
	}
}

func readStrictly(t *testing.T, path string, into any) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, into, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(text)
}

// TestWorkflows: what is published is made by a job with no more rights than it needs, from
// actions that nobody can change under it.
func TestWorkflows(t *testing.T) {
	files, err := filepath.Glob("../../.github/workflows/*.yml")
	if err != nil || len(files) != 2 {
		t.Fatalf("%v: %v", files, err)
	}
	// What a job may write, and where.
	writes := map[string][]string{
		"binaries": {"attestations", "id-token"}, "image": {"attestations", "id-token", "packages"},
		"chart": {"id-token", "packages"}, "release": {"contents"},
	}
	pin := regexp.MustCompile(`uses: ([\w-]+/[\w-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+\n`)
	inRepository := regexp.MustCompile(`(?:^|[\s"'/])((?:\.ci|deploy|helm)/[\w./-]*\w)`)
	pinned := map[string]string{}
	for _, file := range files {
		var w workflow
		text := readStrictly(t, file, &w)
		name := filepath.Base(file)
		if w.Permissions == nil || len(w.Permissions) > 0 {
			t.Errorf("%s: at the top, permissions are {}", name)
		}
		for event := range w.On {
			if !slices.Contains([]string{"push", "pull_request"}, event) {
				t.Errorf("%s runs on %s", name, event)
			}
		}
		if pins := pin.FindAllStringSubmatch(text, -1); len(pins) != strings.Count(text, "uses:") {
			t.Errorf("%s: each action is pinned by commit, with its version behind it", name)
		} else {
			for _, m := range pins {
				if other, ok := pinned[m[1]]; ok && other != m[2] {
					t.Errorf("%s is pinned at %s and at %s", m[1], other, m[2])
				}
				pinned[m[1]] = m[2]
			}
		}
		for id, job := range w.Jobs {
			if job.Timeout == 0 || job.Permissions == nil || job.RunsOn != "ubuntu-24.04" {
				t.Errorf("%s: %s has no time limit, permissions or fixed runner", name, id)
			}
			for what, may := range job.Permissions {
				if may != "read" && !(may == "write" && slices.Contains(writes[id], what)) {
					t.Errorf("%s: %s may %s %s", name, id, may, what)
				}
			}
			switch needs := job.Needs.(type) {
			case string:
				if _, ok := w.Jobs[needs]; !ok {
					t.Errorf("%s: %s needs %s", name, id, needs)
				}
			case []any:
				for _, n := range needs {
					if _, ok := w.Jobs[n.(string)]; !ok {
						t.Errorf("%s: %s needs %s", name, id, n)
					}
				}
			}
			for _, step := range job.Steps {
				if (step.Uses == "") == (step.Run == "") {
					t.Errorf("%s: a step of %s runs a command or an action", name, id)
				}
				if strings.HasPrefix(step.Uses, "actions/checkout@") && step.With["persist-credentials"] != false {
					t.Errorf("%s: %s leaves its token to all later steps", name, id)
				}
				// What comes from outside is a variable, not text of a command.
				if strings.Contains(step.Run, "${{") {
					t.Errorf("%s: an expression within a command: %s", name, step.Run)
				}
				for _, m := range inRepository.FindAllStringSubmatch(step.Run, -1) {
					info, err := os.Stat("../../" + m[1])
					if err != nil || strings.HasPrefix(m[1], ".ci/") && info.Mode()&0o111 == 0 {
						t.Errorf("%s: %s is not there to be run: %v", name, m[1], err)
					}
				}
			}
		}
		if strings.Contains(text, "secrets.") {
			t.Errorf("%s: no secret is needed but the job's own token", name)
		}
	}
	var dependabot struct {
		Version int
		Updates []struct {
			Ecosystem string `yaml:"package-ecosystem"`
			Directory string
			Schedule  struct{ Interval string }
			Groups    map[string]struct{ Patterns []string }
		}
	}
	readStrictly(t, "../../.github/dependabot.yml", &dependabot)
	for _, u := range dependabot.Updates {
		if _, err := os.Stat("../.." + u.Directory); err != nil {
			t.Error(err)
		}
	}
}

// TestToolVersions: a tool that several files install is of one version in all of them.
func TestToolVersions(t *testing.T) {
	version := regexp.MustCompile(`(github\.com/[\w./-]+)@(v[\d.]+)`)
	have := map[string]string{}
	for _, pattern := range []string{".ci/*", "deploy/Dockerfile", ".github/workflows/*"} {
		files, _ := filepath.Glob("../../" + pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range version.FindAllStringSubmatch(string(text), -1) {
				if other, ok := have[m[1]]; ok && other != m[2] {
					t.Errorf("%s is %s in %s, and %s elsewhere", m[1], m[2], file, other)
				}
				have[m[1]] = m[2]
			}
		}
	}
	if len(have) == 0 {
		t.Error("no tool has a version")
	}
}

// TestLinks: what a page links to within the repository is there.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^):#]+)[)#]`)
	links := 0
	for _, pattern := range []string{"*.md", ".github/*.md", "connector/*.md", "deploy/*.md", "deploy/*/*.md", "helm/sluice/*.md"} {
		files, _ := filepath.Glob("../../" + pattern)
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				links++
				if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
	if links < 10 {
		t.Errorf("%d links", links)
	}
}
