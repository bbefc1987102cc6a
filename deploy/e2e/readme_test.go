//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestReadme does what README.md tells a user to do, word by word, but the last
// command: other tests need the servers.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(text), "\n## The tests")
	var commands []string
	for _, m := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1) {
		commands = append(commands, m[1])
	}
	if len(commands) != 5 {
		t.Fatalf("the page has %d commands", len(commands))
	}
	shell := func(command string) *exec.Cmd {
		cmd := exec.Command("bash", "-c", command)
		cmd.Dir = "../.."
		return cmd
	}
	sql(t, "postgres", "drop table if exists greetings;")
	if out, err := shell(commands[0] + " >/dev/null 2>&1").CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands[0], err, out)
	}
	log, err := os.CreateTemp(t.TempDir(), "run")
	if err != nil {
		t.Fatal(err)
	}
	run := shell(commands[1])
	run.Stdout, run.Stderr = log, log
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C goes to the group
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		syscall.Kill(-run.Process.Pid, syscall.SIGINT)
		run.Wait()
		stack(t, "disconnect", "postgres_avro")
		if t.Failed() {
			said, _ := os.ReadFile(log.Name())
			t.Logf("%s", said)
		}
	}()
	eventually(t, "sluice runs", 2*time.Minute, func() bool {
		said, _ := os.ReadFile(log.Name())
		return strings.Contains(string(said), "partitions assigned") || strings.Contains(string(said), "status=http")
	})
	if out, err := shell(commands[2]).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", commands[2], err, out)
	}
	begun := time.Now()
	var out []byte
	eventually(t, "the row is in the target", 30*time.Second, func() bool {
		out, _ = shell(commands[3]).Output()
		return strings.Contains(string(out), "hello")
	})
	t.Logf("after %v: %s", time.Since(begun).Round(100*time.Millisecond), out)
}
