package celonis

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestPing: one GET, whose refusal names the setting that is wrong.
func TestPing(t *testing.T) {
	api := emulator.New(emulator.Options{Keys: []string{"Bearer k"}, Pools: []string{"p"}, ClientID: "me", Secret: "pw"})
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.URL.Path)
		switch r.Header.Get("Authorization") {
		case "Bearer narrow":
			w.WriteHeader(http.StatusForbidden)
			return
		case "Bearer gone":
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(http.StatusNotFound)
			io.WriteString(w, "<html>no such team</html>")
			return
		}
		api.ServeHTTP(w, r)
	}))
	defer server.Close()
	oauth := func(secret string) Auth {
		return &OAuth{TokenURL: TokenURL(server.URL), ClientID: "me", Secret: func() (string, error) { return secret, nil }}
	}
	key := func(k string) Auth {
		return Key{Scheme: "Bearer", Value: func() (string, error) { return k, nil }}
	}
	for _, tc := range []struct {
		name, url, pool string
		auth            Auth
		status, answers int
		hint            string
	}{
		{"right", server.URL, "p", key("k"), 0, 1, ""},
		{"OAuth", server.URL, "p", oauth("pw"), 0, 1, ""},
		{"the older API", server.URL + "/integration", "p", key("k"), 0, 1, ""},
		{"wrong key", server.URL, "p", key("x"), 401, 2, "the platform refuses the key, which is wrong or expired: renew SLUICE_CELONIS_API_KEY"},
		{"without the permission", server.URL, "p", key("narrow"), 403, 2, "permission on the pool of SLUICE_CELONIS_POOL_ID"},
		{"wrong pool", server.URL, "q", key("k"), 404, 1, "no such pool"},
		{"wrong address", server.URL, "p", key("gone"), 404, 1, "check SLUICE_CELONIS_POOL_ID and SLUICE_CELONIS_URL"},
		{"wrong client", server.URL, "p", oauth("x"), 0, 0, "the token endpoint refuses the client: check SLUICE_CELONIS_OAUTH_CLIENT_ID"},
		{"a secret that cannot be read", server.URL, "p", &OAuth{TokenURL: TokenURL(server.URL), Secret: func() (string, error) { return "", &fs.PathError{Op: "open", Err: fs.ErrNotExist} }}, 0, 0,
			"make the secret's file readable: SLUICE_CELONIS_OAUTH_CLIENT_SECRET_FILE"},
		{"no token endpoint", server.URL, "p", &OAuth{TokenURL: "http://127.0.0.1:1", Secret: func() (string, error) { return "pw", nil }}, 0, 0,
			"nothing answers at the token endpoint: check SLUICE_CELONIS_OAUTH_TOKEN_URL"},
		{"nobody there", "http://127.0.0.1:1", "p", key("k"), 0, 0, "nothing answers there: check SLUICE_CELONIS_URL"},
	} {
		asked = nil
		reader := sdkmetric.NewManualReader()
		budget := push.NewBudget(10, 1)
		s, err := New(Options{URL: tc.url, PoolID: tc.pool, Auth: tc.auth, RequestsPerSecond: 1000, Counted: CountAll, Budget: budget,
			Signals: push.Signals{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		answers := 0
		_, err = s.Ping(t.Context(), func(r *http.Response) {
			if answers++; r.Header.Get("Date") == "" {
				t.Errorf("%s: no answer with a date", tc.name)
			}
		})
		var e *push.Error
		if failed := errors.As(err, &e); failed != (tc.hint != "") || failed && (e.Status != tc.status || !strings.Contains(e.Hint, tc.hint)) || answers != tc.answers {
			t.Errorf("%s: %v; %d answers seen", tc.name, err, answers)
		}
		var counted metricdata.ResourceMetrics
		if err := reader.Collect(t.Context(), &counted); err != nil || len(counted.ScopeMetrics) > 0 {
			t.Errorf("%s: counted as a delivery's: %+v, %v", tc.name, counted, err)
		}
		if left, _ := budget.Left(time.Now()); left != 10 {
			t.Errorf("%s: %d submissions left of 10", tc.name, left)
		}
		for _, a := range asked {
			if !strings.HasPrefix(a, "GET ") && a != "POST /oauth2/token" {
				t.Errorf("%s: %s", tc.name, a)
			}
		}
	}
	if api.Stats.Jobs != 0 {
		t.Errorf("%d jobs made", api.Stats.Jobs)
	}
}

// TestPingInTime: a token endpoint that does not answer is waited for no longer than the
// caller has, and the secret of the next try is the one of then.
func TestPingInTime(t *testing.T) {
	asked := make(chan string)
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, secret, _ := r.BasicAuth()
		asked <- secret
		io.Copy(io.Discard, r.Body) // or the server does not see the client go
		<-r.Context().Done()
	}))
	defer hanging.Close()
	secret := "old"
	s, err := New(Options{URL: hanging.URL, PoolID: "p", RequestsPerSecond: 1000,
		Auth: &OAuth{TokenURL: TokenURL(hanging.URL), ClientID: "me", Secret: func() (string, error) { return secret, nil }}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret = range []string{"old", "new"} {
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			if got := <-asked; got != secret {
				t.Errorf("asked with %s, want %s", got, secret)
			}
			cancel()
		}()
		if _, err := s.Ping(ctx, func(*http.Response) { t.Error("an answer") }); !errors.Is(err, context.Canceled) || push.KindOf(err) != push.Unavailable {
			t.Errorf("%v", err)
		}
	}
}
