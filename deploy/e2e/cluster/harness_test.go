//go:build e2e

package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
)

const (
	host      = "10.99.0.1" // the node's address, where pods reach what is beside the cluster
	broker    = host + ":19092"
	namespace = "shop"
	release   = "sluice"
	selector  = "app.kubernetes.io/component=connector,app.kubernetes.io/instance=" + release
	jobDelay  = 3 * time.Second // so that there are jobs in flight
)

// world is the source and the target, both in this process, and the chart's release in
// the cluster, which joins them.
type world struct {
	api *emulator.Emulator
	*source
	*witness
	values string            // file
	set    map[string]string // values that the steps have changed
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clean(t.Context()) // what a run that was cut off has left
	w := &world{witness: newWitness(), set: map[string]string{}}
	listener, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatalf("%v; deploy/e2e/kubernetes test runs this where the cluster is", err)
	}
	w.api = emulator.New(emulator.Options{Delay: jobDelay, Keys: []string{"Bearer s3cret"}, OnRow: w.onRow, OnEvent: w.onEvent})
	server := &http.Server{Handler: w.api}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	w.source = &source{client: client, group: fmt.Sprint("shop-", time.Now().Unix()), dice: rand.New(rand.NewPCG(6, 6)), rows: map[string]map[int64]int64{}}
	adm := kadm.NewClient(client)
	if _, err := adm.DeleteTopics(t.Context(), topics()...); err != nil { // an earlier run's
		t.Fatal(err)
	}
	eventually(t, "new topics", time.Minute, func() bool {
		made, err := adm.CreateTopics(t.Context(), partitions, 1, nil, topics()...)
		return err == nil && made.Error() == nil
	})
	for _, table := range tables {
		w.rows[table] = map[int64]int64{}
	}
	w.values = filepath.Join(t.TempDir(), "values.yaml")
	text, err := os.ReadFile("values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	replaced := os.Expand(string(text), func(name string) string {
		return map[string]string{"BROKER": broker, "API": "http://" + listener.Addr().String(), "GROUP": w.group}[name]
	})
	if err := os.WriteFile(w.values, []byte(replaced), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// clean takes away the release and its namespace.
func clean(ctx context.Context) {
	command(ctx, "", "helm", "-n", namespace, "uninstall", release, "--wait", "--ignore-not-found")
	command(ctx, "", "kubectl", "delete", "namespace", namespace, "--timeout=60s", "--ignore-not-found")
}

// command runs a program and returns its standard output.
func command(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &out, &problem)
	}
	return out.String(), nil
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t.Context(), "", "kubectl", append([]string{"-n", namespace}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func helm(t *testing.T, args ...string) string {
	t.Helper()
	out, err := command(t.Context(), "", "helm", append([]string{"-n", namespace}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// upgrade changes values of the release and waits until its pods run under them.
func (w *world) upgrade(t *testing.T, set map[string]string) time.Duration {
	t.Helper()
	maps.Copy(w.set, set)
	args := []string{"upgrade", "--install", release, "../../../helm/sluice", "--values", w.values, "--wait", "--timeout", "3m"}
	for k, v := range w.set {
		args = append(args, "--set", k+"="+v)
	}
	began := time.Now()
	helm(t, args...)
	return time.Since(began)
}

// pod is what this test needs of one.
type pod struct {
	Metadata struct {
		Name, UID         string
		DeletionTimestamp string
	}
	Spec struct {
		TerminationGracePeriodSeconds int
	}
	Status struct {
		PodIP             string
		Phase             string
		Conditions        []struct{ Type, Status string }
		ContainerStatuses []struct {
			ContainerID  string
			RestartCount int
			State        struct {
				Terminated *struct {
					ExitCode   int
					Reason     string
					FinishedAt time.Time
				}
			}
		}
	}
}

func (p *pod) ready() bool {
	return p.Metadata.DeletionTimestamp == "" && slices.ContainsFunc(p.Status.Conditions, func(c struct{ Type, Status string }) bool {
		return c.Type == "Ready" && c.Status == "True"
	})
}

// pods are the members of the release, by name.
func pods(t *testing.T) map[string]*pod {
	t.Helper()
	var list struct{ Items []*pod }
	if err := json.Unmarshal([]byte(kubectl(t, "get", "pods", "-l", selector, "-o", "json")), &list); err != nil {
		t.Fatal(err)
	}
	byName := map[string]*pod{}
	for _, p := range list.Items {
		byName[p.Metadata.Name] = p
	}
	return byName
}

// partitions is how many a member says it has.
func (p *pod) partitions() int {
	var s struct{ Partitions int }
	resp, err := http.Get("http://" + p.Status.PodIP + ":8080/status")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	json.NewDecoder(resp.Body).Decode(&s)
	return s.Partitions
}

// proved says what a step has seen, unless it has seen something else.
func proved(t *testing.T, format string, args ...any) {
	t.Helper()
	if !t.Failed() {
		t.Logf(format, args...)
	}
}

func same(t *testing.T, what string, have, want any) {
	t.Helper()
	if fmt.Sprint(have) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, have, want)
	}
}

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not after %v", what, within)
}

// members waits until n pods are ready and share all partitions, none without any.
func (w *world) members(t *testing.T, n int) map[string]*pod {
	t.Helper()
	var all map[string]*pod
	eventually(t, fmt.Sprintf("%d members with partitions each", n), 2*time.Minute, func() bool {
		all = pods(t)
		sum := 0
		for _, p := range all {
			have := p.partitions()
			if !p.ready() || have == 0 {
				return false
			}
			sum += have
		}
		return len(all) == n && sum == len(tables)*partitions
	})
	return all
}

// settle waits until all tables equal the source's and nothing is left in Kafka.
func (w *world) settle(t *testing.T) string {
	t.Helper()
	var diff []string
	var rows int
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		diff, rows = w.differences(w.api)
		if n := w.lag(t); len(diff) == 0 && n != 0 {
			diff = []string{fmt.Sprintf("lag %d", n)}
		}
		if len(diff) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d differences after 2 minutes: %s", len(diff), strings.Join(diff[:min(8, len(diff))], "\n"))
		}
	}
	w.witness.mu.Lock()
	defer w.witness.mu.Unlock()
	if len(w.wrong) > 0 {
		t.Fatal(strings.Join(w.wrong[:min(8, len(w.wrong))], "\n"))
	}
	stats := w.api.Counts()
	if stats.Conflicts > 0 {
		t.Fatalf("%d jobs met another one of their table: a partition was with two members", stats.Conflicts)
	}
	return fmt.Sprintf("%d changes made, %d rows, 0 mismatches; %d jobs submitted, %d DONE, no row sent again, none went back",
		w.changes, rows, stats.Submitted, len(w.done))
}

// tell shows what the cluster knows of a failure.
func tell(t *testing.T) {
	for _, args := range [][]string{
		{"get", "all,pdb,networkpolicy", "-o", "wide"},
		{"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "--all-containers", "--prefix", "--tail=60", "-l", "app.kubernetes.io/instance=" + release},
		{"logs", "--all-containers", "--prefix", "--tail=30", "--previous", "-l", "app.kubernetes.io/instance=" + release},
	} {
		out, err := command(context.Background(), "", "kubectl", append([]string{"-n", namespace}, args...)...)
		if err != nil {
			out = err.Error()
		}
		t.Logf("kubectl %s\n%s", strings.Join(args, " "), out[max(0, len(out)-8000):])
	}
}
