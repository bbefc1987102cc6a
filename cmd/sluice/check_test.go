package main

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/check"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// command runs sluice check in this process.
func command(t *testing.T, env map[string]string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = realMain(t.Context(), append([]string{"check"}, args...), func(n string) (string, bool) { v, ok := env[n]; return v, ok }, &o, &e)
	return code, o.String(), e.String()
}

func checked(t *testing.T, env map[string]string) (int, check.Report) {
	t.Helper()
	code, out, errOut := command(t, env, "--json", "--timeout", "5s")
	var r check.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s%s", err, out, errOut)
	}
	if (r.Status == check.Problem) != (code != exitOK) {
		t.Errorf("exit code %d of status %s", code, r.Status)
	}
	return code, r
}

// found returns the findings of a check that are not ok.
func found(r check.Report, id string) (all []check.Finding) {
	for _, f := range r.Findings {
		if f.ID == id && f.Status != check.OK {
			all = append(all, f)
		}
	}
	return all
}

// expect is one finding that a case must have.
type expect struct {
	id     string
	status check.Status
	seen   string
	remedy string
}

func (e expect) test(t *testing.T, r check.Report) {
	t.Helper()
	for _, f := range found(r, e.id) {
		if f.Status == e.status && strings.Contains(f.Seen, e.seen) && strings.Contains(f.Remedy, e.remedy) {
			return
		}
	}
	t.Errorf("want %+v, got %+v", e, found(r, e.id))
}

// place is a cluster and a target that are as they must be.
type place struct {
	cluster *kfake.Cluster
	api     *httptest.Server
}

func newPlace(t *testing.T, opts ...kfake.Opt) *place {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(3, "shop.a", "shop.b")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	api := httptest.NewServer(emulator.New(emulator.Options{Keys: []string{"Bearer k"}, Pools: []string{"p"}}))
	t.Cleanup(api.Close)
	return &place{cluster, api}
}

func (p *place) env(more map[string]string) map[string]string {
	env := map[string]string{"SLUICE_KAFKA_BROKERS": strings.Join(p.cluster.ListenAddrs(), ","), "SLUICE_KAFKA_TOPICS": "shop.a,shop.b",
		"SLUICE_CELONIS_URL": p.api.URL, "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k"}
	maps.Copy(env, more)
	return env
}

// TestCheck: all is well. The document is compared whole, but for what differs from run
// to run and from machine to machine.
func TestCheck(t *testing.T) {
	p := newPlace(t, kfake.ClusterID("c1"), kfake.SeedTopics(1, "dead"))
	env := p.env(map[string]string{"SLUICE_DEADLETTER_TOPIC": "dead"})
	code, out, errOut := command(t, env, "--json")
	if code != exitOK || errOut != "" {
		t.Fatalf("%d %s", code, errOut)
	}
	var r check.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	r.Findings = slices.DeleteFunc(r.Findings, func(f check.Finding) bool { return f.ID == "host.memory" })
	r = check.NewReport("v0", r.Findings)
	var doc bytes.Buffer
	if err := check.JSON(&doc, r); err != nil {
		t.Fatal(err)
	}
	got := strings.ReplaceAll(doc.String(), p.api.URL, "http://target")
	want, err := os.ReadFile(filepath.Join("testdata", "check.json"))
	if err != nil || got != string(want) {
		t.Errorf("%v; got\n%s", err, got)
	}
	code, out, _ = command(t, env)
	if code != exitOK || !regexp.MustCompile(`(?m)^kafka\n  ok       kafka.bootstrap   2 of 2 .*\n`).MatchString(out) || strings.Contains(out, "\x1b") {
		t.Errorf("%d\n%s", code, out)
	}
}

// TestCheckWritesNothing: the brokers see questions only, the target and the registry no
// method but GET.
func TestCheckWritesNothing(t *testing.T) {
	p := newPlace(t, kfake.SeedTopics(1, "dead"), kfake.AllowAutoTopicCreation())
	var mu sync.Mutex
	asked := map[string]int{}
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		asked[what]++
	}
	p.cluster.Control(func(req kmsg.Request) (kmsg.Response, error, bool) {
		p.cluster.KeepControl()
		if m, ok := req.(*kmsg.MetadataRequest); ok && m.AllowAutoTopicCreation {
			t.Error("a request that may make topics")
		}
		note(kmsg.NameForKey(req.Key()))
		return nil, nil, false
	})
	watch := func(next http.Handler) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			note(r.Method)
			next.ServeHTTP(w, r)
		}))
		t.Cleanup(s.Close)
		return s
	}
	api := watch(p.api.Config.Handler)
	registry := watch(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, `[]`) }))
	for _, topics := range []string{"shop.a,shop.missing", "^shop.*"} {
		checked(t, p.env(map[string]string{"SLUICE_KAFKA_TOPICS": topics, "SLUICE_DEADLETTER_TOPIC": "none", "SLUICE_CELONIS_URL": api.URL, "SLUICE_SCHEMA_REGISTRY_URL": registry.URL}))
	}
	questions := []string{"ApiVersions", "Metadata", "DescribeConfigs", "FindCoordinator", "DescribeGroups", "OffsetFetch", "ListOffsets", "GET"}
	if got := slices.Sorted(maps.Keys(asked)); !slices.Equal(got, slices.Sorted(slices.Values(questions))) {
		t.Errorf("asked %v, want %v", asked, questions)
	}
	if p.cluster.TopicInfo("shop.missing") != nil || p.cluster.TopicInfo("none") != nil || p.cluster.GroupInfo("sluice") != nil {
		t.Error("a topic or the group was made")
	}
}

// TestCheckUsage: what is wrong with the call or the settings is exit code 2, in the form
// that was asked for, and no secret is in it.
func TestCheckUsage(t *testing.T) {
	if code, _, errOut := command(t, nil, "--timeout", "0s"); code != exitUsage || !strings.Contains(errOut, "--timeout") {
		t.Errorf("%d %s", code, errOut)
	}
	if code, _, _ := command(t, nil, "--nonsense"); code != exitUsage {
		t.Errorf("an unknown flag: %d", code)
	}
	p := newPlace(t)
	empty := filepath.Join(t.TempDir(), "empty.yaml")
	if err := os.WriteFile(empty, []byte("tables: {a: {keys: 7}}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]map[string]string{
		"SLUICE_KAFKA_TOPICS":             {"SLUICE_KAFKA_TOPICS": ""},
		"SLUICE_KAFKA_SASL_MECHANISM":     {"SLUICE_KAFKA_SASL_PASSWORD": "hunter2"},
		"SLUICE_TABLES_FILE=" + empty:     {"SLUICE_TABLES_FILE": empty},
		"OTEL_EXPORTER_OTLP_ENDPOINT=c:1": {"OTEL_EXPORTER_OTLP_ENDPOINT": "c:1"},
		"SLUICE_CELONIS_API_KEY_FILE=/no": {"SLUICE_CELONIS_API_KEY": "", "SLUICE_CELONIS_API_KEY_FILE": "/no"},
	} {
		code, out, errOut := command(t, p.env(env))
		if code != exitUsage || out != "" || !strings.Contains(errOut, name) {
			t.Errorf("%s: %d %s%s", name, code, out, errOut)
		}
		code, r := checked(t, p.env(env))
		if code != exitUsage {
			t.Errorf("%s: %d", name, code)
		}
		expect{"settings", check.Problem, name, "sluice config"}.test(t, r)
		if strings.Contains(fmt.Sprint(r, errOut), "hunter2") {
			t.Error("a secret is shown")
		}
	}
	t.Setenv("SLUICE_KAFKA_TOPIC", "x")
	code, r := checked(t, p.env(nil))
	if code != exitOK {
		t.Errorf("an unknown setting: %d", code)
	}
	expect{"settings", check.Warning, "SLUICE_KAFKA_TOPIC, perhaps SLUICE_KAFKA_TOPICS", "sluice config"}.test(t, r)
	hardly := p.env(map[string]string{"SLUICE_FRESHNESS_TARGET": "30s", "OTEL_TRACES_SAMPLER": "jaeger_remote"})
	_, r = checked(t, hardly)
	expect{"settings", check.Warning, "SLUICE_FRESHNESS_TARGET=30s: every table is late", "raise the target"}.test(t, r)
	expect{"settings", check.Warning, "OTEL_TRACES_SAMPLER=jaeger_remote: no such sampler", "want one of always_off"}.test(t, r)
	if _, out, _ := command(t, hardly); !regexp.MustCompile(`(?m)^  warning  settings +SLUICE_FRESHNESS_TARGET=30s: .*\n +-> raise the target`).MatchString(out) {
		t.Error(out)
	}
}

// TestCheckServices: what can be wrong with the target, the registry, the clock and the
// collector, each by itself.
func TestCheckServices(t *testing.T) {
	p := newPlace(t)
	serve := func(h http.HandlerFunc) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	status := func(code int, body string) string {
		return serve(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		})
	}
	dated := func(ahead time.Duration) string {
		return serve(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			fmt.Fprint(w, `[]`)
		})
	}
	secure := httptest.NewTLSServer(p.api.Config.Handler)
	t.Cleanup(secure.Close)
	ca := newAuthority(t)
	soon := httptest.NewUnstartedServer(p.api.Config.Handler)
	soon.TLS = ca.server
	soon.StartTLS()
	t.Cleanup(soon.Close)
	trusted := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(trusted, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	const url, registry, otlp = "SLUICE_CELONIS_URL", "SLUICE_SCHEMA_REGISTRY_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, tc := range []struct {
		name string
		env  map[string]string
		want []expect // none: nothing but ok and skipped
	}{
		{"wrong key", map[string]string{"SLUICE_CELONIS_API_KEY": "hunter2"}, []expect{{"target", check.Problem, "401", "SLUICE_CELONIS_API_KEY"}}},
		{"wrong client", map[string]string{"SLUICE_CELONIS_API_KEY": "", "SLUICE_CELONIS_OAUTH_CLIENT_ID": "me", "SLUICE_CELONIS_OAUTH_CLIENT_SECRET": "hunter2"},
			[]expect{{"target", check.Problem, "get a token", "SLUICE_CELONIS_OAUTH_CLIENT_ID"}, {"host.clock", check.Skipped, "no server", ""}}},
		{"no permission", map[string]string{url: status(403, `{"message":"Forbidden"}`)}, []expect{{"target", check.Problem, "403 Forbidden", "permission on the pool of SLUICE_CELONIS_POOL_ID"}}},
		{"wrong pool", map[string]string{"SLUICE_CELONIS_POOL_ID": "q"}, []expect{{"target", check.Problem, "pool q: list jobs: 404", "no such pool"}}},
		{"another server", map[string]string{url: status(200, `<html>`)}, []expect{{"target", check.Problem, "not the API's", url}}},
		{"its gateway is down", map[string]string{url: status(503, ``)}, []expect{{"target", check.Problem, "503", url}}},
		{"too many requests", map[string]string{url: status(429, ``)}, []expect{{"target", check.Problem, "429", "try again later"}}},
		{"gone", map[string]string{url: "http://127.0.0.1:1"}, []expect{{"target", check.Problem, "refused", "nothing answers there: check SLUICE_CELONIS_URL, the network and HTTPS_PROXY"}, {"host.clock", check.Skipped, "no server", ""}}},
		{"no such name", map[string]string{url: "http://no.such.host.invalid"}, []expect{{"target", check.Problem, "no.such.host.invalid", url}}},
		{"unknown authority", map[string]string{url: secure.URL}, []expect{{"target", check.Problem, "certificate", "SLUICE_CELONIS_CA_FILE"}}},
		{"known authority", map[string]string{url: secure.URL, "SLUICE_CELONIS_CA_FILE": trusted}, nil},
		{"certificate for an hour", map[string]string{url: soon.URL, "SLUICE_CELONIS_CA_FILE": ca.caFile}, []expect{{"target", check.Warning, "ends on", "renew the certificate of the target"}}},

		{"slow clock", map[string]string{url: dated(30 * time.Second)}, []expect{{"host.clock", check.Warning, "behind that of http://127", "NTP"}}},
		{"fast clock", map[string]string{url: dated(-2 * time.Minute)}, []expect{{"host.clock", check.Problem, "ahead of that of http://127", "NTP"}}},
		{"a refusal has a date too", map[string]string{"SLUICE_CELONIS_API_KEY": "x", registry: dated(-2 * time.Minute)},
			[]expect{{"target", check.Problem, "401", ""}, {"host.clock", check.Problem, "ahead", "NTP"}}},

		{"registry", map[string]string{registry: status(200, `["a"]`)}, nil},
		{"registry, wrong password", map[string]string{registry: status(401, `{"error_code":40101,"message":"Unauthorized"}`), "SLUICE_SCHEMA_REGISTRY_USERNAME": "me", "SLUICE_SCHEMA_REGISTRY_PASSWORD": "hunter2"},
			[]expect{{"registry", check.Problem, "401", "SLUICE_SCHEMA_REGISTRY_USERNAME"}}},
		{"registry, wrong path", map[string]string{registry: status(404, ``), "SLUICE_SCHEMA_REGISTRY_FRAMING": "apicurio"}, []expect{{"registry", check.Problem, "404", "SLUICE_SCHEMA_REGISTRY_URL, _FRAMING"}}},
		{"registry, one of two gone", map[string]string{registry: status(200, `[]`) + ",http://127.0.0.1:1"}, []expect{{"registry", check.Warning, "refused", "SLUICE_SCHEMA_REGISTRY_URL"}}},
		{"registry gone", map[string]string{registry: "http://127.0.0.1:1"}, []expect{{"registry", check.Problem, "refused", "SLUICE_SCHEMA_REGISTRY_URL"}}},

		{"collector", map[string]string{otlp: "http://" + listener.Addr().String()}, nil},
		{"collector gone", map[string]string{otlp: "http://127.0.0.1:1"}, []expect{{"host.telemetry", check.Warning, "refused", otlp}}},
		{"collector of logs gone", map[string]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:1/v1/logs"}, []expect{{"host.telemetry", check.Warning, "refused", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"}}},
		{"collector gone, telemetry off", map[string]string{otlp: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, []expect{{"host.telemetry", check.Skipped, "nothing sent", ""}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, r := checked(t, p.env(tc.env))
			for _, w := range tc.want {
				w.test(t, r)
			}
			for _, f := range r.Findings {
				if (f.Status == check.Problem || f.Status == check.Warning) && f.ID != "host.memory" && !slices.ContainsFunc(tc.want, func(w expect) bool { return w.id == f.ID && w.status == f.Status }) {
					t.Errorf("unexpected: %+v", f)
				}
				if strings.Contains(f.Seen+f.Remedy, "hunter2") {
					t.Errorf("a secret is shown: %+v", f)
				}
			}
		})
	}
}

func tablesAt(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tables.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
