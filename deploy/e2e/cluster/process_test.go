//go:build e2e

package cluster

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// process is a container's process as the kernel knows it, whatever the chart and the
// API server say of it.
type process struct {
	dir string // below /proc
	t   *testing.T
}

// processOf finds the process of a pod's only container by its cgroup.
func processOf(t *testing.T, p *pod) process {
	t.Helper()
	_, id, ok := strings.Cut(p.Status.ContainerStatuses[0].ContainerID, "://")
	if !ok {
		t.Fatalf("%s has no container", p.Metadata.Name)
	}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if text, err := os.ReadFile(dir + "/cgroup"); err == nil && strings.Contains(string(text), id) {
			return process{dir, t}
		}
	}
	t.Fatalf("no process is in container %s of %s", id, p.Metadata.Name)
	return process{}
}

func (p process) read(name string) string {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

// status is a line of /proc/<pid>/status.
func (p process) status(name string) string {
	p.t.Helper()
	for line := range strings.Lines(p.read("status")) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	p.t.Fatalf("no %s in %s/status", name, p.dir)
	return ""
}

func (p process) env(name string) string {
	p.t.Helper()
	for entry := range strings.SplitSeq(p.read("environ"), "\x00") {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// mount is the options of what is mounted at a path, "" if nothing is.
func (p process) mount(path string) string {
	p.t.Helper()
	for line := range strings.Lines(p.read("mountinfo")) {
		if f := strings.Fields(line); f[4] == path {
			return f[5]
		}
	}
	return ""
}

// memoryLimit is the limit of the container's cgroup, in bytes.
func (p process) memoryLimit() string {
	p.t.Helper()
	for line := range strings.Lines(p.read("cgroup")) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, name := range []string{"/sys/fs/cgroup/memory" + f[2] + "/memory.limit_in_bytes", "/sys/fs/cgroup" + f[2] + "/memory.max"} {
			if f[1] != "memory" && f[1] != "" {
				continue
			}
			if text, err := os.ReadFile(name); err == nil {
				return strings.TrimSpace(string(text))
			}
		}
	}
	p.t.Fatalf("no memory limit in the cgroups of %s", p.dir)
	return ""
}

// kill ends the process without a chance to finish anything.
func (p process) kill() error {
	pid, err := strconv.Atoi(filepath.Base(p.dir))
	if err != nil {
		return err
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}
