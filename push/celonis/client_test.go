package celonis

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 1, 11, 0, 0, 200_000_000, time.UTC)
	for _, tc := range []struct {
		op, header, value, text string
		want                    time.Duration
	}{
		{"execute job", "X-Ratelimit-Reset", "7", "", 7 * time.Second},
		{"execute job", "Retry-After", "Thu, 01 Jan 2026 11:01:00 GMT", "", 59800 * time.Millisecond},
		{"execute job", "", "", "Please try again at 11:10:41 UTC.", 10*time.Minute + 41800*time.Millisecond},
		{"execute job", "", "", "Please try again at 11:00:00 UTC.", time.Second}, // a moment ago
		{"execute job", "", "", "", time.Hour + 800*time.Millisecond},
		{"upload chunk", "", "", "", 2 * time.Second},
	} {
		h := http.Header{}
		if tc.header != "" {
			h.Set(tc.header, tc.value)
		}
		if got := retryAfter(tc.op, h, []byte(tc.text), now); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	late := time.Date(2026, 1, 1, 23, 59, 59, 0, time.UTC)
	if got := retryAfter("execute job", http.Header{}, []byte("try again at 00:00:05 UTC"), late); got != 7*time.Second {
		t.Errorf("over midnight: %v", got)
	}
}
