package pushtest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestBrokenAnswers: an answer that breaks off comes with its status and what there is of its
// body, as over a network; a connection that breaks before it is no answer; and a caller that
// has given up is told so, whatever the handler does then.
func TestBrokenAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ask := func(h http.HandlerFunc) (*http.Response, error) {
			c := &http.Client{Transport: &Transport{Handler: h}, Timeout: time.Minute}
			return c.Get("http://target/")
		}
		resp, err := ask(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusAccepted)
			io.WriteString(w, "ha")
			panic(http.ErrAbortHandler)
		})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted || string(text) != "ha" || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d %q %v", resp.StatusCode, text, err)
		}
		if _, err := ask(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Error(err)
		}
		if _, err := ask(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
