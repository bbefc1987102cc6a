package registry

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestPing: one GET to each server, of the API that its ids belong to; what is wrong is
// told with its setting.
func TestPing(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, password, _ := r.BasicAuth()
		switch {
		case r.Method != http.MethodGet:
			t.Errorf("%s %s", r.Method, r.URL)
		case password != "pw":
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error_code":40101,"message":"Unauthorized"}`)
		case r.URL.RequestURI() == "/subjects", r.URL.RequestURI() == "/apis/registry/v3/search/artifacts?limit=1":
			io.WriteString(w, `[]`)
		case r.URL.Path == "/page/subjects":
			io.WriteString(w, `<html>hello</html>`)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	defer server.Close()
	for _, tc := range []struct {
		name, path, password string
		apicurio             bool
		trouble, remedy      string
	}{
		{"Confluent", "", "pw", false, "", ""},
		{"Apicurio", "/apis/registry/v3", "pw", true, "", ""},
		{"wrong password", "", "x", false, "Unauthorized", "SLUICE_SCHEMA_REGISTRY_USERNAME and _PASSWORD"},
		{"Apicurio's ids, another's address", "", "pw", true, "404", "SLUICE_SCHEMA_REGISTRY_URL, _FRAMING"},
		{"a web page", "/page", "pw", false, "not a registry's", "SLUICE_SCHEMA_REGISTRY_URL"},
	} {
		r, err := New(Options{URLs: []string{server.URL + tc.path, "http://127.0.0.1:1"}, Username: "me", Password: func() (string, error) { return tc.password, nil }, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		got := r.Ping(t.Context(), tc.apicurio)
		if a := got[0]; (a.Trouble == "") != (tc.trouble == "") || !strings.Contains(a.Trouble, tc.trouble) || !strings.Contains(a.Remedy, tc.remedy) || a.Response == nil || a.URL != server.URL+tc.path {
			t.Errorf("%s: %+v", tc.name, a)
		}
		if a := got[1]; a.Response != nil || !strings.Contains(a.Trouble, "refused") || a.Remedy != "SLUICE_SCHEMA_REGISTRY_URL" {
			t.Errorf("%s, at a closed port: %+v", tc.name, a)
		}
	}
}
