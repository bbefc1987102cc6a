//go:build e2e

// Package cluster installs the chart on a real Kubernetes, which the script
// deploy/e2e/kubernetes starts, and does to it what operators and clusters do, under
// load. Source and target are in the test's process, which so sees all that a reader
// could.
package cluster

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestCluster is one life of a release; each step goes on from where the last one ended.
func TestCluster(t *testing.T) {
	w := newWorld(t)
	t.Cleanup(func() {
		if t.Failed() {
			tell(t)
		}
		clean(context.Background())
	})
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"restricted namespace", w.restricted},
		{"install", w.install},
		{"what the kernel sees", w.kernel},
		{"helm test", w.helmTest},
		{"rows", w.deliver},
		{"config change", w.configChange},
		{"SIGTERM with jobs in flight", func(t *testing.T) { w.terminate(t, false) }},
		{"SIGTERM of the group's leader", func(t *testing.T) { w.terminate(t, true) }},
		{"SIGKILL with jobs in flight", w.crash},
		{"eviction", w.evict},
		{"three members and back", w.scale},
		{"network policy", w.networkPolicy},
		{"uninstall", w.uninstall},
	} {
		if !t.Run(step.name, step.run) {
			t.FailNow()
		}
	}
}

func (w *world) restricted(t *testing.T) {
	objects := fmt.Sprintf(`{"apiVersion":"v1","kind":"Namespace","metadata":{"name":%q,"labels":{"pod-security.kubernetes.io/enforce":"restricted"}}}
{"apiVersion":"v1","kind":"Secret","metadata":{"name":"keys","namespace":%q},"stringData":{"api-key":"s3cret"}}`, namespace, namespace)
	if _, err := command(t.Context(), objects, "kubectl", "apply", "-f", "-"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the namespace's service account", time.Minute, func() bool {
		_, err := command(t.Context(), "", "kubectl", "-n", namespace, "get", "serviceaccount", "default")
		return err == nil
	})
	_, err := command(t.Context(), "", "kubectl", "-n", namespace, "run", "plain", "--image=localhost/sluice:e2e", "--dry-run=server")
	if err == nil || !strings.Contains(err.Error(), `violates PodSecurity "restricted`) {
		t.Fatalf("a pod without a security context: %v, want it refused", err)
	}
	t.Logf("pod-security.kubernetes.io/enforce=restricted; a plain pod is refused")
}

func (w *world) install(t *testing.T) {
	if err := w.change(t.Context(), 500); err != nil {
		t.Fatal(err)
	}
	took := w.upgrade(t, nil)
	for name, p := range w.members(t, 2) {
		t.Logf("%s is ready at %s", name, p.Status.PodIP)
	}
	t.Logf("helm install --wait: %.1f s; tables shared: %v", took.Seconds(), w.shares(t))
}

func (w *world) kernel(t *testing.T) {
	for name, p := range pods(t) {
		proc := processOf(t, p)
		same(t, "uid", proc.status("Uid"), "65532 65532 65532 65532")
		same(t, "gid", proc.status("Gid"), "65532 65532 65532 65532")
		same(t, "capabilities", strings.Trim(proc.status("CapBnd")+proc.status("CapEff"), "0"), "")
		same(t, "no_new_privs", proc.status("NoNewPrivs"), "1")
		same(t, "seccomp filter", proc.status("Seccomp"), "2")
		if root := proc.mount("/"); !slices.Contains(strings.Split(root, ","), "ro") {
			t.Errorf("the root file system is mounted %q, want ro", root)
		}
		same(t, "mounted service account token", proc.mount("/var/run/secrets/kubernetes.io/serviceaccount"), "")
		same(t, "memory limit", proc.memoryLimit(), 256<<20)
		limit, err := strconv.ParseInt(proc.env("GOMEMLIMIT"), 10, 64)
		if err != nil || limit < 128<<20 || limit >= 256<<20 {
			t.Errorf("GOMEMLIMIT=%q, want most of the memory limit", proc.env("GOMEMLIMIT"))
		}
		proved(t, "%s: uid 65532, no capabilities, no_new_privs, seccomp, root read-only, no token, memory limit 256 MiB, GOMEMLIMIT %d", name, limit)
	}
}

func (w *world) helmTest(t *testing.T) {
	began := time.Now()
	// The log of the check's pod comes on standard error.
	out, err := exec.CommandContext(t.Context(), "helm", "-n", namespace, "test", release, "--timeout", "2m").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Succeeded") {
		t.Fatalf("%v\n%s", err, out)
	}
	report, _, _ := strings.Cut(string(out), "\nNAME:")
	t.Logf("%.1f s\n%s", time.Since(began).Seconds(), report)
}

func (w *world) deliver(t *testing.T) {
	if err := w.change(t.Context(), 2000); err != nil {
		t.Fatal(err)
	}
	t.Log(w.settle(t))
	said := kubectl(t, "logs", "-l", selector, "--tail=-1")
	for _, private := range []string{"s3cret", "Zoë"} {
		if strings.Contains(said, private) {
			t.Errorf("the log has %q, of a key or a row", private)
		}
	}
}

// A changed setting, or a line of the tables file, rolls the pods and reaches them.
func (w *world) configChange(t *testing.T) {
	before := w.members(t, 2)
	stop := w.live(t)
	took := w.upgrade(t, map[string]string{"env.SLUICE_BATCH_MAX_AGE": "400ms", "tables.public_a.maxRows": "5000"})
	for name, p := range w.members(t, 2) {
		if p.Metadata.UID == before[name].Metadata.UID {
			t.Errorf("%s was not replaced", name)
		}
		proc := processOf(t, p)
		same(t, name+" SLUICE_BATCH_MAX_AGE", proc.env("SLUICE_BATCH_MAX_AGE"), "400ms")
		if file := proc.read("root/etc/sluice/tables/tables.yaml"); !strings.Contains(file, "maxRows: 5000") {
			t.Errorf("%s reads the tables file\n%s", name, file)
		}
	}
	proved(t, "helm upgrade --wait: both pods replaced, with the new setting and tables file, after %.1f s", took.Seconds())
	stop()
	t.Log(w.settle(t))
}

// busy waits until a member has jobs in flight.
func (w *world) busy(t *testing.T, member string) (jobs []string) {
	t.Helper()
	eventually(t, "jobs of "+member+" in flight", time.Minute, func() bool {
		for _, table := range w.shares(t)[member] {
			jobs = append(jobs, w.inFlight("public_"+table)...)
		}
		return len(jobs) > 0
	})
	return jobs
}

// A pod that is deleted finishes its jobs, and the one that takes its name takes its place
// in the group: no rebalance. Only the leader has one made when it is back, which moves
// nothing, for it cannot know otherwise whether topics have come meanwhile.
func (w *world) terminate(t *testing.T, leads bool) {
	all := w.members(t, 2)
	before, leader := w.generation(t)
	shares := w.shares(t)
	name := leader
	for other := range all {
		if !leads && other != leader {
			name = other
		}
	}
	p := all[name]
	stop := w.live(t)
	jobs := w.busy(t, name)
	log := exec.CommandContext(t.Context(), "kubectl", "-n", namespace, "logs", "-f", name)
	lines, err := log.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Start(); err != nil {
		t.Fatal(err)
	}
	said := make(chan []string, 1)
	go func() {
		var stops []string
		for s := bufio.NewScanner(lines); s.Scan(); {
			if strings.Contains(s.Text(), "stop") {
				stops = append(stops, s.Text())
			}
		}
		log.Wait()
		said <- stops
	}()
	end := w.watchDelete(t, p).Status.ContainerStatuses[0].State.Terminated
	same(t, "exit code", end.ExitCode, 0)
	for _, job := range jobs {
		// The API server keeps whole seconds.
		if at := w.doneAt(job); at.IsZero() || at.After(end.FinishedAt.Add(time.Second)) {
			t.Errorf("job %s was in flight at SIGTERM and DONE at %v; the process ended at %v", job, at, end.FinishedAt)
		}
	}
	for _, line := range <-said {
		t.Logf("%s says %s", name, line)
	}
	again := w.members(t, 2)[name]
	after, _ := w.generation(t)
	if after != before && (!leads || after != before+1) {
		t.Errorf("generation %d of the group, was %d", after, before)
	}
	same(t, "tables of each", w.shares(t), shares)
	stop()
	proved(t, "%s: %d jobs in flight at SIGTERM, DONE before it ended with exit code %d, in a grace period of %d s", name, len(jobs), end.ExitCode, p.Spec.TerminationGracePeriodSeconds)
	proved(t, "another pod %s (uid %.8s, was %.8s): generation %d, was %d; %v as before", name, again.Metadata.UID, p.Metadata.UID, after, before, shares)
	t.Log(w.settle(t))
}

// watchDelete deletes a pod and returns what the API server says of its end.
func (w *world) watchDelete(t *testing.T, p *pod) *pod {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	watch := exec.CommandContext(ctx, "kubectl", "-n", namespace, "get", "pod", p.Metadata.Name, "--watch", "-o", "json")
	out, err := watch.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := watch.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cancel(); watch.Wait() }()
	for d, deleted := json.NewDecoder(out), false; ; {
		now := new(pod)
		if err := d.Decode(now); err != nil {
			t.Fatalf("%s has not ended: %v", p.Metadata.Name, err)
		}
		if !deleted {
			kubectl(t, "delete", "pod", p.Metadata.Name, "--wait=false")
			deleted = true
		}
		if now.Metadata.UID != p.Metadata.UID {
			t.Fatalf("%s was replaced before it was seen to end", p.Metadata.Name)
		}
		if c := now.Status.ContainerStatuses; len(c) > 0 && c[0].State.Terminated != nil {
			return now
		}
	}
}

// A process that is killed is started again in its pod; its jobs are taken over.
func (w *world) crash(t *testing.T) {
	w.members(t, 2)
	stop := w.live(t)
	_, leader := w.generation(t)
	p, jobs := pods(t)[leader], w.busy(t, leader)
	if err := processOf(t, p).kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the container is started again", time.Minute, func() bool {
		again := pods(t)[p.Metadata.Name]
		return again.Metadata.UID == p.Metadata.UID && again.Status.ContainerStatuses[0].RestartCount == p.Status.ContainerStatuses[0].RestartCount+1
	})
	w.members(t, 2)
	stop()
	t.Logf("%s killed with %d jobs in flight and started again in its pod", p.Metadata.Name, len(jobs))
	t.Log(w.settle(t))
}

// The disruption budget lets one pod go at a time.
func (w *world) evict(t *testing.T) {
	names := slices.Sorted(maps.Keys(w.members(t, 2)))
	before := pods(t)
	stop := w.live(t)
	evict := func(name string) (string, error) {
		body := fmt.Sprintf(`{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":%q,"namespace":%q}}`, name, namespace)
		return command(t.Context(), body, "kubectl", "create", "--raw", "/api/v1/namespaces/"+namespace+"/pods/"+name+"/eviction", "-f", "-")
	}
	out, err := evict(names[0])
	if err != nil || !strings.Contains(out, `"code":201`) {
		t.Fatalf("the first eviction: %v %s, want 201", err, out)
	}
	_, err = evict(names[1]) // TooManyRequests is 429
	if err == nil || !strings.Contains(err.Error(), "TooManyRequests") || !strings.Contains(err.Error(), "violate the pod's disruption budget") {
		t.Fatalf("the second eviction: %v, want 429 by the disruption budget", err)
	}
	refused := strings.TrimSpace(err.Error()[strings.LastIndex(strings.TrimSpace(err.Error()), "\n")+1:])
	eventually(t, "another pod", time.Minute, func() bool {
		p := pods(t)[names[0]]
		return p != nil && p.Metadata.UID != before[names[0]].Metadata.UID && p.ready()
	})
	same(t, names[1], pods(t)[names[1]].Metadata.UID, before[names[1]].Metadata.UID)
	stop()
	proved(t, "%s evicted (201) and replaced; %s meanwhile (429): %s", names[0], names[1], refused)
	t.Log(w.settle(t))
}

func (w *world) scale(t *testing.T) {
	stop := w.live(t)
	for _, n := range []int{3, 2} {
		began := time.Now()
		took := w.upgrade(t, map[string]string{"replicas": fmt.Sprint(n)})
		w.members(t, n)
		t.Logf("%d replicas: helm upgrade --wait %.1f s, all tables shared after %.1f s: %v", n, took.Seconds(), time.Since(began).Seconds(), w.shares(t))
	}
	stop()
	t.Log(w.settle(t))
}

func (w *world) networkPolicy(t *testing.T) {
	w.upgrade(t, map[string]string{"networkPolicy.enabled": "true"})
	name := strings.TrimSpace(kubectl(t, "get", "networkpolicy", "-o", "name"))
	if name == "" {
		t.Fatal("no network policy was made")
	}
	t.Logf("%s accepted by the API server; the network of this cluster enforces none", name)
}

func (w *world) uninstall(t *testing.T) {
	helm(t, "uninstall", release, "--wait")
	eventually(t, "no pod is left", time.Minute, func() bool { return len(pods(t)) == 0 })
	left := strings.TrimSpace(kubectl(t, "get", "all,configmap,secret,pdb,networkpolicy,serviceaccount", "-l", "app.kubernetes.io/instance="+release, "-o", "name"))
	same(t, "what is left", left, "")
	proved(t, "nothing of the release is left; %s", w.settle(t))
}
