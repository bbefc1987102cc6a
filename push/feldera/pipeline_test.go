package feldera_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// untold is a pipeline that does not say what it was compiled with.
func untold(next http.Handler) http.Handler {
	platform := regexp.MustCompile(`"platform_version":"[^"]*",`)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		seen := httptest.NewRecorder()
		next.ServeHTTP(seen, req)
		w.WriteHeader(seen.Code)
		w.Write(platform.ReplaceAll(seen.Body.Bytes(), nil))
	})
}

// TestVersions: what is too old is refused, and what does not keep the order of requests
// gets one at a time: a pipeline is of the version that it was compiled with, be the manager
// newer.
func TestVersions(t *testing.T) {
	for _, tc := range []struct {
		manager, platform string
		most              int // requests under way at once
	}{{"0.47.3", "0.47.3", 0}, {"0.337.0", "0.47.3", 0}, {"0.274.0", "0.274.0", 1}, {"0.337.0", "0.274.0", 1}, {"0.274.0", "0.337.0", 1}, {"0.275.0", "0.337.0", 2}, {"0.337.0", "", 2}, {"0.274.0", "", 1}} {
		t.Run(tc.manager+" and "+tc.platform, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var under, most int
				r := newRig(t, pipeline.Options{Version: tc.manager, Platform: tc.platform, Lag: time.Minute, OnEvent: func(e pipeline.Event) {
					switch e.What {
					case "rows":
						under++
						most = max(most, under)
					case "complete":
						under = 0
					}
				}}, nil)
				if tc.platform == "" {
					r.open(t, untold(r.emu), nil)
				}
				if _, err := r.sink.State(t.Context()); tc.most == 0 {
					if push.KindOf(err) != push.Rejected || !strings.Contains(fmt.Sprint(err), "Feldera 0.47.3 has no completion tokens (0.48") {
						t.Error(err)
					}
					return
				}
				two := append(chunks(map[int64]string{1: "a"}, nil), chunks(map[int64]string{1: "b"}, nil)...)
				if err := r.pusher().Run(t.Context(), push.NewDelivery(pushtest.ConformTable("t"), two)); err != nil {
					t.Fatal(err)
				}
				if most != tc.most {
					t.Errorf("%d requests under way at once", most)
				}
				if r.rows("t")[1] != "b" {
					t.Errorf("it has %v", r.rows("t"))
				}
			})
		})
	}
}

// TestStatus: rows are posted to a pipeline that takes them, and to no other: what it does not
// read at once may land after what is posted later.
func TestStatus(t *testing.T) {
	runs := []string{"Running", "ConcurrentBootstrapping"}
	for _, status := range append(runs, "Provisioning", "Unavailable", "Coordination", "Standby", "AwaitingApproval", "Initializing", "Bootstrapping", "Synchronizing", "Replaying", "Paused", "Suspended", "Stopping", "Stopped", "") {
		t.Run(status, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, pipeline.Options{}, nil)
				state, err := r.sink.State(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				r.open(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					seen := httptest.NewRecorder()
					r.emu.ServeHTTP(seen, req)
					w.WriteHeader(seen.Code)
					w.Write(bytes.Replace(seen.Body.Bytes(), []byte(`"deployment_status":"Running"`), []byte(`"deployment_status":"`+status+`"`), 1))
				}), nil)
				r.sink.Accept(state)
				_, err = r.post(t, "t", 0, one)
				if posts := r.emu.Counts().Posts; slices.Contains(runs, status) {
					if err != nil || posts == 0 {
						t.Errorf("%d requests were posted: %v", posts, err)
					}
				} else if push.KindOf(err) != push.Unavailable || !strings.Contains(fmt.Sprint(err), "pipeline shop is "+status+" (start or resume it)") || posts != 0 {
					t.Errorf("%d requests were posted: %v", posts, err)
				}
			})
		})
	}
}

// TestWarnings: what works, and may lose rows or mix them up, is told once, with the version and
// what to do.
func TestWarnings(t *testing.T) {
	const (
		mixes     = "Feldera %s mixes what is left of a request that was cut off into the next one; upgrade to 0.227"
		commits   = "Feldera %s says complete of rows whose transaction is not committed; upgrade to 0.297"
		safeguard = "a crash of the pipeline loses what is in no checkpoint yet%.0s; SLUICE_FELDERA_CHECKPOINT=wait"
	)
	for _, tc := range []struct {
		manager, platform string
		enterprise        bool
		about             string // the version
		want              []string
	}{
		{"0.297.0", "0.297.0", false, "", nil},
		{"0.296.9", "0.296.9", false, "0.296.9", []string{commits}},
		{"0.337.0", "0.227.0", false, "0.227.0", []string{commits}},
		{"0.226.9", "0.337.0", false, "0.226.9", []string{mixes, commits}},
		{"0.337.0", "0.48.0", true, "0.48.0", []string{safeguard, mixes, commits}},
	} {
		t.Run(tc.manager+" and "+tc.platform, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []string
				warn := func(text, remedy string) { told = append(told, text+"; "+remedy) }
				r := newRig(t, pipeline.Options{Version: tc.manager, Platform: tc.platform, Enterprise: tc.enterprise}, func(o *feldera.Options) { o.Warn = warn })
				for i := range 2 {
					if i == 1 { // another deployment is read anew, and told of no more
						r.emu.Stop("shop", true)
						r.emu.Start("shop")
					}
					if _, err := r.sink.State(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				logged := told
				told = nil
				if _, err := r.sink.Ping(t.Context(), func(*http.Response) {}, warn); err != nil {
					t.Fatal(err)
				}
				for who, told := range map[string][]string{"the log": logged, "sluice check": told} {
					same := len(told) == len(tc.want)
					for i := range min(len(told), len(tc.want)) {
						text, remedy, _ := strings.Cut(fmt.Sprintf(tc.want[i], tc.about), "; ")
						same = same && strings.HasPrefix(told[i], text) && strings.Contains(told[i], "; "+remedy)
					}
					if !same {
						t.Errorf("%s has %q", who, told)
					}
				}
			})
		})
	}
}
