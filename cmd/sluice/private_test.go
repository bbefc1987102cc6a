package main

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/scram"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// spans is a collector for OTLP over HTTP.
type spans struct {
	mu     sync.Mutex
	byName map[string][]string // trace ids
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var in collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &in)
	}
	if err != nil || r.URL.Path != "/v1/traces" {
		http.Error(w, "not a trace export", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, rs := range in.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, span := range ss.Spans {
				name, _, _ := strings.Cut(span.Name, " shop.") // the topic
				s.byName[name] = append(s.byName[name], string(span.TraceId))
			}
		}
	}
}

// tunnel is a proxy for HTTPS that leads every host to one address.
func tunnel(to string, asked *sync.Map) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "only CONNECT", http.StatusMethodNotAllowed)
			return
		}
		asked.Store(r.Host, true)
		out, err := net.Dial("tcp", to)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		in, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			out.Close()
			return
		}
		io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { io.Copy(out, in); out.Close() }()
		go func() { io.Copy(in, out); in.Close() }()
	})
}

// TestPrivateNetwork runs the program as in a closed network: brokers behind TLS
// and SCRAM, the API behind a proxy and a private authority, OAuth, traces to a
// collector. Tables must arrive, and the health pages say what they should.
func TestPrivateNetwork(t *testing.T) {
	ca := newAuthority(t, "tenant.example")
	emu := emulator.New(emulator.Options{ClientID: "me", Secret: "s3cret"})
	api := httptest.NewUnstartedServer(watched(t, emu))
	api.TLS = ca.server.Clone()
	api.StartTLS()
	defer api.Close()
	var asked sync.Map
	proxy := httptest.NewServer(tunnel(api.Listener.Addr().String(), &asked))
	defer proxy.Close()
	traces := &spans{byName: map[string][]string{}}
	otlp := httptest.NewServer(traces)
	defer otlp.Close()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, shopTopics...),
		kfake.TLS(ca.server), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "sluice", "open sesame"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	env := map[string]string{
		"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^shop\..*`,
		"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile, "SLUICE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
		"SLUICE_KAFKA_SASL_USERNAME": "sluice", "SLUICE_KAFKA_SASL_PASSWORD": "open sesame",
		"SLUICE_CELONIS_URL": "https://tenant.example", "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_CA_FILE": ca.caFile,
		"SLUICE_CELONIS_OAUTH_CLIENT_ID": "me", "SLUICE_CELONIS_OAUTH_CLIENT_SECRET": "s3cret",
		"SLUICE_CELONIS_POLL_INTERVAL": "20ms", "SLUICE_BATCH_MAX_AGE": "50ms", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000",
		"HTTPS_PROXY": proxy.URL, "OTEL_EXPORTER_OTLP_ENDPOINT": otlp.URL, "OTEL_BSP_SCHEDULE_DELAY": "100",
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DialTLSConfig(&tls.Config{RootCAs: ca.server.ClientCAs}),
		kgo.SASL(scram.Auth{User: "sluice", Pass: "open sesame"}.AsSha512Mechanism()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := newShop(100)
	for range 100 {
		if err := client.ProduceSync(t.Context(), s.next()...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	p := start(t, env)
	eventually(t, "tables equal", func() bool {
		for _, table := range s.tables {
			if table.mismatches(emu.Snapshot(table.target())) > 0 {
				return false
			}
		}
		return true
	})
	if _, ok := asked.Load("tenant.example:443"); !ok {
		t.Error("the proxy was not used")
	}

	at := regexp.MustCompile(`http://127\.0\.0\.1:\d+`).FindString(p.log.String())
	for path, want := range map[string]string{"/livez": "ok", "/readyz": "running, 3 partitions\nkafka: ok\ntarget: ok", "/metrics": "sluice_rows", "/status": `"state": "running"`, "/": "/status"} {
		// The tables may be right a moment before Sluice has heard of it.
		eventually(t, path+" says "+want, func() bool {
			resp, err := http.Get(at + path)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return err == nil && resp.StatusCode == http.StatusOK && strings.Contains(string(body), want)
		})
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, p.log)
	}
	traces.mu.Lock()
	defer traces.mu.Unlock()
	for _, name := range []string{"seal", "encode", "create", "upload", "commit intent", "execute", "poll", "commit"} {
		ids := traces.byName[name]
		for _, id := range traces.byName["process"] {
			if !slices.Contains(ids, id) {
				t.Errorf("a batch's trace has no span %q", name)
				break
			}
		}
	}
	if len(traces.byName["process"]) < 3 {
		t.Errorf("%d batches traced, want one a table at least", len(traces.byName["process"]))
	}
}
