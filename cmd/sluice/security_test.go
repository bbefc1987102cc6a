package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// authority is a private certificate authority with one certificate for a server
// and one for a client.
type authority struct {
	caFile, certFile, keyFile string
	server                    *tls.Config
}

func newAuthority(t *testing.T, hosts ...string) *authority {
	t.Helper()
	return newAuthorityUntil(t, time.Now().Add(time.Hour), hosts...)
}

func newAuthorityUntil(t *testing.T, end time.Time, hosts ...string) *authority {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	issue := func(template, parent *x509.Certificate, signer *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if signer == nil {
			signer = key
		}
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), end
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
		if err != nil {
			t.Fatal(err)
		}
		return der, key
	}
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, rootKey := issue(root, root, nil)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "leaf"}, DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, key := issue(leaf, root, rootKey)
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	parsed, err := x509.ParseCertificate(rootDER)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return &authority{
		caFile:   write("ca.pem", "CERTIFICATE", rootDER),
		certFile: write("cert.pem", "CERTIFICATE", der),
		keyFile:  write("key.pem", "EC PRIVATE KEY", keyDER),
		server:   &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, ClientCAs: pool},
	}
}

func settings(t *testing.T, env map[string]string) *config.Config {
	t.Helper()
	cfg, err := loadSettings(t, env)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func loadSettings(t *testing.T, env map[string]string) (*config.Config, error) {
	all := map[string]string{"SLUICE_KAFKA_BROKERS": "b:1", "SLUICE_KAFKA_TOPICS": "t", "SLUICE_CELONIS_URL": "https://t.c.celonis.cloud",
		"SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k"}
	for k, v := range env {
		all[k] = v
	}
	return config.Load(t.Context(), func(n string) (string, bool) { v, ok := all[n]; return v, ok })
}

// reachBroker asks a broker for its topics under the given settings.
func reachBroker(t *testing.T, env map[string]string) error {
	t.Helper()
	opt, err := kafkaOptions(settings(t, env))
	if err != nil {
		return err
	}
	opt.Logger = slog.New(slog.DiscardHandler)
	c, err := kafka.NewConsumer(opt)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	go func() { // the group's doings are of no interest here
		for {
			select {
			case e := <-c.Events():
				switch e := e.(type) {
				case kafka.Assigned:
					close(e.Done)
				case kafka.Revoked:
					close(e.Done)
				}
			case <-closed:
				return
			}
		}
	}()
	defer close(closed)
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err = c.Reach(ctx)
	return err
}

// TestKafkaSecurity logs in to brokers by TLS, mutual TLS and each mechanism that
// the fake broker knows, and is refused with the setting's name.
func TestKafkaSecurity(t *testing.T) {
	ca := newAuthority(t)
	mutual := ca.server.Clone()
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := func(mechanism string) map[string]string {
		return map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile, "SLUICE_KAFKA_SASL_MECHANISM": mechanism,
			"SLUICE_KAFKA_SASL_USERNAME": "sluice", "SLUICE_KAFKA_SASL_PASSWORD_FILE": password}
	}
	wrong := func(m map[string]string) map[string]string {
		delete(m, "SLUICE_KAFKA_SASL_PASSWORD_FILE")
		m["SLUICE_KAFKA_SASL_PASSWORD"] = "hunter2"
		return m
	}
	sasl := func(mechanism string) []kfake.Opt {
		return []kfake.Opt{kfake.TLS(ca.server), kfake.EnableSASL(), kfake.Superuser(mechanism, "sluice", "open sesame")}
	}
	for _, tc := range []struct {
		name   string
		broker []kfake.Opt
		env    map[string]string
		want   string // of the error, "" for none
	}{
		{"TLS", []kfake.Opt{kfake.TLS(ca.server)}, map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile}, ""},
		{"TLS, any certificate", []kfake.Opt{kfake.TLS(ca.server)}, map[string]string{"SLUICE_KAFKA_TLS_INSECURE_SKIP_VERIFY": "true"}, ""},
		{"TLS, unknown authority", []kfake.Opt{kfake.TLS(ca.server)}, map[string]string{"SLUICE_KAFKA_TLS_ENABLED": "true"}, "SLUICE_KAFKA_TLS_CA_FILE"},
		{"TLS, another name", []kfake.Opt{kfake.TLS(ca.server)}, map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile, "SLUICE_KAFKA_TLS_SERVER_NAME": "other"}, "SLUICE_KAFKA_TLS_CA_FILE"},
		{"TLS, spoken to plainly", []kfake.Opt{kfake.TLS(ca.server)}, nil, "SLUICE_KAFKA_TLS_ENABLED"},
		{"mutual TLS", []kfake.Opt{kfake.TLS(mutual)}, map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile, "SLUICE_KAFKA_TLS_CERT_FILE": ca.certFile, "SLUICE_KAFKA_TLS_KEY_FILE": ca.keyFile}, ""},
		{"PLAIN", sasl("PLAIN"), login("PLAIN"), ""},
		{"PLAIN, wrong password", sasl("PLAIN"), wrong(login("PLAIN")), "SLUICE_KAFKA_SASL_"},
		{"SCRAM-SHA-256", sasl("SCRAM-SHA-256"), login("SCRAM-SHA-256"), ""},
		{"SCRAM-SHA-512", sasl("SCRAM-SHA-512"), login("SCRAM-SHA-512"), ""},
		{"SCRAM-SHA-512, wrong password", sasl("SCRAM-SHA-512"), wrong(login("SCRAM-SHA-512")), "SLUICE_KAFKA_SASL_"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(append(tc.broker, kfake.NumBrokers(1), kfake.SeedTopics(1, "t"))...)
			if err != nil {
				t.Fatal(err)
			}
			defer cluster.Close()
			env := map[string]string{"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0]}
			for k, v := range tc.env {
				env[k] = v
			}
			err = reachBroker(t, env)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("got %v, want %s in it", err, tc.want)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("a secret in the error: %v", err)
			}
		})
	}
}

// TestKeyPair: a certificate of another key is told before anything starts.
func TestKeyPair(t *testing.T) {
	ca := newAuthority(t)
	_, err := loadSettings(t, map[string]string{"SLUICE_KAFKA_TLS_CERT_FILE": ca.caFile, "SLUICE_KAFKA_TLS_KEY_FILE": ca.keyFile})
	if err == nil || !strings.Contains(err.Error(), "SLUICE_KAFKA_TLS_CERT_FILE, SLUICE_KAFKA_TLS_KEY_FILE: ") {
		t.Errorf("a certificate of another key: %v", err)
	}
}

// TestOAuthBearer: the first message to the broker carries a token from the token
// endpoint (RFC 7628, section 3.1), which is asked anew only when it is old.
func TestOAuthBearer(t *testing.T) {
	asked, life := 0, 3600
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, pass, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka read" || user != "me" || pass != "s3cret" {
			http.Error(w, `{"error":"invalid_client"}`, http.StatusUnauthorized)
			return
		}
		asked++
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":%d}`, asked, life)
	}))
	defer endpoint.Close()
	env := map[string]string{"SLUICE_KAFKA_SASL_MECHANISM": "OAUTHBEARER", "SLUICE_KAFKA_SASL_TOKEN_URL": endpoint.URL,
		"SLUICE_KAFKA_SASL_CLIENT_ID": "me", "SLUICE_KAFKA_SASL_CLIENT_SECRET": "s3cret", "SLUICE_KAFKA_SASL_SCOPE": "kafka read"}
	m, err := saslMechanism(settings(t, env))
	if err != nil || m.Name() != "OAUTHBEARER" {
		t.Fatal(m, err)
	}
	for _, want := range []string{"token-1", "token-1"} {
		_, first, err := m.Authenticate(t.Context(), "b:1")
		if err != nil || !strings.Contains(string(first), "auth=Bearer "+want+"\x01") {
			t.Errorf("%q, %v; want %s", first, err, want)
		}
	}
	life = 30 // less than the minute by which tokens are renewed early
	if m, err = saslMechanism(settings(t, env)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"token-2", "token-3"} {
		if _, first, err := m.Authenticate(t.Context(), "b:1"); err != nil || !strings.Contains(string(first), want) {
			t.Errorf("%q, %v; want %s", first, err, want)
		}
	}
	env["SLUICE_KAFKA_SASL_CLIENT_SECRET"] = "hunter2"
	if m, err = saslMechanism(settings(t, env)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Authenticate(t.Context(), "b:1"); err == nil || !strings.Contains(err.Error(), "SLUICE_KAFKA_SASL_TOKEN_URL") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong secret: %v", err)
	}
}

// TestMSKIAM: the first message is the signed request that MSK's library sends
// (https://github.com/aws/aws-msk-iam-auth), with the keys of AWS's own chain.
func TestMSKIAM(t *testing.T) {
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_SESSION_TOKEN": "session",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nowhere", "AWS_SHARED_CREDENTIALS_FILE": "/nowhere"} {
		t.Setenv(k, v)
	}
	m, err := saslMechanism(settings(t, map[string]string{"SLUICE_KAFKA_SASL_MECHANISM": "AWS_MSK_IAM"}))
	if err != nil || m.Name() != "AWS_MSK_IAM" {
		t.Fatal(m, err)
	}
	const host = "b-1.demo.abc123.c2.kafka.eu-central-1.amazonaws.com"
	_, first, err := m.Authenticate(t.Context(), host+":9098")
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"host": host, "action": "kafka-cluster:Connect", "x-amz-security-token": "session",
		"x-amz-credential": "AKIDEXAMPLE/" + time.Now().UTC().Format("20060102") + "/eu-central-1/kafka-cluster/aws4_request"} {
		if got[k] != want {
			t.Errorf("%s = %q, want %q", k, got[k], want)
		}
	}
	if len(got["x-amz-signature"]) != 64 {
		t.Errorf("signature %q", got["x-amz-signature"])
	}
	for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} {
		t.Setenv(k, "")
	}
	if _, _, err := m.Authenticate(t.Context(), host+":9098"); err == nil || !strings.Contains(err.Error(), "SLUICE_KAFKA_SASL_MECHANISM=AWS_MSK_IAM: no AWS credentials") {
		t.Errorf("without credentials: %v", err)
	}
}
