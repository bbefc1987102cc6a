package push

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestBudget asks at random times for a simulated day: no UTC hour may see more
// than its submissions, new batches may not touch the reserve, and Next must not
// send a caller to sleep for nothing or wake it late.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perHour := rapid.IntRange(2, 300).Draw(t, "perHour")
		reserve := rapid.IntRange(0, perHour-1).Draw(t, "reserve")
		b := NewBudget(perHour, reserve)
		now := time.Date(2026, 1, 1, 0, rapid.IntRange(0, 59).Draw(t, "minute"), 0, 0, time.UTC)
		spent := map[time.Time]int{}
		for range 500 {
			hour := now.Truncate(time.Hour)
			if rapid.IntRange(0, 9).Draw(t, "retry") == 0 {
				if b.Retry(now) == 0 {
					spent[hour]++
				}
			} else if b.Grant(now) {
				if spent[hour] >= perHour-reserve {
					t.Fatalf("granted the reserve: %d spent of %d − %d", spent[hour], perHour, reserve)
				}
				spent[hour]++
			} else if next := b.Next(now); !next.After(now) {
				t.Fatalf("refused at %v and says to ask at %v", now, next)
			} else if rapid.Bool().Draw(t, "wait") {
				now = next
				if !b.Grant(now) {
					t.Fatalf("refused at %v, as it had announced", now)
				}
				spent[now.Truncate(time.Hour)]++
			}
			if spent[hour] > perHour {
				t.Fatalf("%d submissions in an hour of %d", spent[hour], perHour)
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 120_000).Draw(t, "ms")) * time.Millisecond)
		}
	})
}
