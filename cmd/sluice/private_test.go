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

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/otlptest"
	"github.com/sluice-cdc/sluice/push/emulator"
)

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
	t.Parallel()
	ca := newAuthority(t, "tenant.example")
	emu := emulator.New(emulator.Options{ClientID: "me", Secret: "s3cret"})
	api := httptest.NewUnstartedServer(watched(t, emu))
	api.TLS = ca.server.Clone()
	api.StartTLS()
	defer api.Close()
	var asked sync.Map
	proxy := httptest.NewServer(tunnel(api.Listener.Addr().String(), &asked))
	defer proxy.Close()
	traces := otlptest.New(t)
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
		"HTTPS_PROXY": proxy.URL, "OTEL_EXPORTER_OTLP_ENDPOINT": traces.HTTP,
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
			if table.mismatches(poolDemo{emu}.rows(table.target())) > 0 {
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
	names := map[string][]string{} // by trace
	for _, span := range traces.Spans() {
		names[string(span.TraceId)] = append(names[string(span.TraceId)], span.Name)
	}
	for _, topic := range shopTopics {
		batches := 0
		for _, in := range names {
			if !slices.Contains(in, "process "+topic) {
				continue
			}
			batches++
			for _, name := range []string{"seal", "encode", "create", "upload", "commit intent", "execute", "poll", "commit " + topic} {
				if !slices.Contains(in, name) {
					t.Errorf("a batch of %s has no span %q: %q", topic, name, in)
				}
			}
		}
		if batches == 0 {
			t.Errorf("no batch of %s is traced", topic)
		}
	}
}
