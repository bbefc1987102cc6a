package push

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Budget rations job submissions: a fixed number in each UTC hour, paced so that
// no quarter of an hour is spent waiting for the next one, with a reserve that
// only retries may touch. (Data Push: 250 an hour and team, the interval starting
// at the full hour, https://developer.celonis.com/data-ingestion-api/.)
//
// Time is passed in. A Budget may be used concurrently.
type Budget struct {
	mu      sync.Mutex
	perHour int
	reserve int
	pace    *rate.Limiter
	hour    time.Time // start of the hour that spent counts
	spent   int
	all     int64     // spent since the start
	blocked time.Time // the target said: not before
}

// NewBudget allows perHour submissions, reserve of them for retries. A burst of a
// twentieth of the hour's may go at once.
func NewBudget(perHour, reserve int) *Budget {
	burst := max(1, perHour/20)
	return &Budget{
		perHour: perHour,
		reserve: min(reserve, perHour-1),
		pace:    rate.NewLimiter(rate.Limit(float64(perHour)/3600), burst),
	}
}

func (b *Budget) roll(now time.Time) {
	if hour := now.UTC().Truncate(time.Hour); !hour.Equal(b.hour) {
		b.hour, b.spent = hour, 0
	}
}

func (b *Budget) spend() {
	b.spent++
	b.all++
}

// Grant takes a submission for a new batch if the pace allows one now.
func (b *Budget) Grant(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	if now.Before(b.blocked) || b.spent >= b.perHour-b.reserve || !b.pace.AllowN(now, 1) {
		return false
	}
	b.spend()
	return true
}

// Retry takes a submission for a job that needs another one, from the reserve if
// need be. It returns how long to wait if there is none.
func (b *Budget) Retry(now time.Time) (wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	if now.Before(b.blocked) {
		return b.blocked.Sub(now)
	}
	if b.spent >= b.perHour {
		return b.hour.Add(time.Hour).Sub(now)
	}
	b.spend()
	b.pace.AllowN(now, 1)
	return 0
}

// Refused tells the budget that the target answered 429 and asked to wait: the
// target knows best what the whole team has spent.
func (b *Budget) Refused(now time.Time, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if until := now.Add(wait); until.After(b.blocked) {
		b.blocked = until
	}
}

// Next returns when Grant may succeed again, now if it may already.
func (b *Budget) Next(now time.Time) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	next := now
	if missing := 1 - b.pace.TokensAt(now); missing > 0 {
		next = now.Add(time.Duration(missing/float64(b.pace.Limit())*float64(time.Second)) + time.Millisecond)
	}
	if full := b.hour.Add(time.Hour); b.spent >= b.perHour-b.reserve && full.After(next) {
		next = full
	}
	if b.blocked.After(next) {
		next = b.blocked
	}
	return next
}

// Left returns how many submissions the hour still has, and when it ends.
func (b *Budget) Left(now time.Time) (left int, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	return b.perHour - b.spent, b.hour.Add(time.Hour)
}

// Limit returns how many submissions an hour has.
func (b *Budget) Limit() int { return b.perHour }

// Spent returns how many submissions were taken since the start.
func (b *Budget) Spent() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.all
}
