package connector

import (
	"maps"
	"time"
)

// brokers is what is wrong with them, as far as the loop has heard.
type brokers struct {
	trouble string // what was said last, "" if nothing is wrong
	at      time.Time
	logged  map[string]time.Time // what the log has told, and when
}

// fail notes a failure. It reports whether to log it.
func (b *brokers) fail(now time.Time, text string) bool {
	b.trouble, b.at = text, now
	return b.news(now, text)
}

// news reports whether to log a failure: once a minute, for it is said at each try.
func (b *brokers) news(now time.Time, text string) bool {
	maps.DeleteFunc(b.logged, func(_ string, at time.Time) bool { return now.Sub(at) >= repeatEvery })
	if _, told := b.logged[text]; told {
		return false
	}
	if b.logged == nil {
		b.logged = map[string]time.Time{}
	}
	b.logged[text] = now
	return true
}

// well forgets what was wrong.
func (b *brokers) well() { b.trouble = "" }

// recovered forgets a failure that was not said for a while. Nothing says that it is over:
// a fetch may bring nothing for hours, and records of one topic say nothing of another. Who
// is no member says it at each try to join, which may be long apart.
func (c *Connector) recovered() {
	if c.joined && c.now.Sub(c.brokers.at) > 2*c.opt.Kafka.MetadataAge+commitTimeout {
		c.brokers.well()
	}
}
