package debezium

import (
	"errors"
	"math"

	"github.com/sluice-cdc/sluice/schema"
)

// The years that the target's query engine keeps; it turns others into NULL, so what
// is outside of them is for Options.OutOfRange before it gets there.
const (
	minDay    = -208188 // 1400-01-01
	maxDay    = 2932896 // 9999-12-31
	dayMicros = 24 * 60 * 60 * 1_000_000
	dayNanos  = dayMicros * 1000
	minMicros = minDay * dayMicros
	maxMicros = (maxDay+1)*dayMicros - 1
)

var (
	errDateRange = errors.New("outside the years 1400 to 9999; SLUICE_OUT_OF_RANGE says what becomes of such values")
	errTimeRange = errors.New("not a time of day (0 ≤ t < 24 h); SLUICE_OUT_OF_RANGE says what becomes of such values")
	errInfinite  = errors.New("infinite, which the target cannot hold; SLUICE_OUT_OF_RANGE says what becomes of such values")
	errZeroDate  = errors.New("a date with a month or day of zero; SLUICE_OUT_OF_RANGE says what becomes of such values")
	errUnsure    = errors.New("an infinite date that may be the early or the late one; SLUICE_OUT_OF_RANGE=null makes it NULL")
	errNoNumber  = errors.New("NaN or infinite, which the target cannot hold; SLUICE_OUT_OF_RANGE says what becomes of such values")
)

// moment is a date, a time of day, or both, as wide as any that a database has.
type moment struct {
	day   int64 // since 1970-01-01; of a time that leaves its day, how many days
	nanos int64 // since midnight, less than a day
	inf   int   // −1 or 1: infinitely early or late
	dual  bool  // infinite, one or the other
}

// The numbers that PostgreSQL's infinities come as (pgjdbc, PGStatement, in the unit of
// the type).
const (
	lateMillis, earlyMillis = 9223372036825200, -9223372036832400
	lateMicros, earlyMicros = lateMillis * 1000, earlyMillis * 1000
)

// momentOf returns what the number on the wire stands for.
func (c *codec) momentOf(n int64) (m moment) {
	second := int64(1000) // how many units it has
	late, early := int64(lateMillis), int64(earlyMillis)
	switch c.wire {
	case wireDays:
		return plausible(n)
	case wireMicroTime, wireMicros:
		second, late, early = 1_000_000, lateMicros, earlyMicros
	case wireNanoTime, wireNanos:
		second, late, early = 1_000_000_000, math.MaxInt64, math.MinInt64
	}
	if c.temporal == schema.DateTime && n == late {
		return moment{inf: 1}
	}
	if c.temporal == schema.DateTime && n == early {
		return moment{inf: -1}
	}
	day := 86400 * second
	m.day = floorDiv(n, day)
	m.nanos = (n - m.day*day) * (1_000_000_000 / second)
	return m
}

// The days that PostgreSQL's dates can have ("Date/Time Types": 4713 BC to 5874897 AD),
// and other databases' too.
const leastDate, mostDate = -2_440_588, 2_145_042_905

// plausible returns what a number of days stands for. Infinite dates overflow on their way
// through a connector, to numbers that no date has. Which ones depends on its version, its
// time zone, and whether the row was read or streamed: −2147472692 is the late one of
// Debezium 3.5 and has been the early one of others. So only two are told apart.
func plausible(n int64) moment {
	switch {
	case n == -2147472693:
		return moment{inf: 1}
	case n == -2147472691:
		return moment{inf: -1}
	case n < leastDate || n > mostDate:
		return moment{dual: true}
	}
	return moment{day: n}
}

// appendTemporal appends what the number on the wire stands for. Nearly all are in
// range, and for those no moment is made.
func (d *Decoder) appendTemporal(v *schema.Values, n int64, c *codec) error {
	switch {
	case v.Kind == schema.String:
	case c.wire == wireDays:
		if n >= minDay && n <= maxDay {
			v.AppendNum(n)
			return nil
		}
	default:
		us, cut := n, false
		switch c.wire {
		case wireMilliTime, wireMillis:
			if n < minMicros/1000 || n > maxMicros/1000 {
				return d.appendMoment(v, c.momentOf(n), c)
			}
			us = n * 1000
		case wireNanoTime, wireNanos:
			us, cut = floorDiv(n, 1000), n%1000 != 0
		}
		if c.temporal == schema.Time && us >= 0 && us < dayMicros || c.temporal == schema.DateTime && us >= minMicros && us <= maxMicros {
			if n != math.MinInt64 && n != math.MaxInt64 || c.wire != wireNanos {
				d.appendTime(v, us, cut)
				return nil
			}
		}
	}
	return d.appendMoment(v, c.momentOf(n), c)
}

// appendMoment appends a moment to a column that c says is temporal, or text.
func (d *Decoder) appendMoment(v *schema.Values, m moment, c *codec) error {
	var err error
	switch {
	case m.dual:
		err = errUnsure
	case v.Kind == schema.String:
		d.text = m.appendText(d.text[:0], c)
		return d.appendText(v, d.text, c)
	case m.inf != 0:
		err = errInfinite
	case v.Kind == schema.Time && m.day != 0:
		err = errTimeRange
	case v.Kind != schema.Time && (m.day < minDay || m.day > maxDay):
		err = errDateRange
	case v.Kind == schema.Date:
		v.AppendNum(m.day)
		return nil
	default:
		d.appendTime(v, m.day*dayMicros+m.nanos/1000, m.nanos%1000 != 0)
		return nil
	}
	return d.outOfRange(v, m, c, err)
}

// outOfRange appends what Options.OutOfRange makes of a moment that the column cannot
// hold, or returns why it cannot. A key is never changed, for two rows would be one.
func (d *Decoder) outOfRange(v *schema.Values, m moment, c *codec, why error) error {
	switch {
	case c.key || d.opt.OutOfRange == RangeHold || d.opt.OutOfRange == RangeText:
		return why
	case d.opt.OutOfRange == RangeNull || m.dual:
		d.Lost.Nulled++
		v.AppendNull()
		return nil
	}
	d.Lost.Clamped++
	least, most := moment{day: minDay}, moment{day: maxDay, nanos: dayNanos - 1000}
	if v.Kind == schema.Time {
		least.day, most.day = 0, 0
	}
	switch {
	case m.inf < 0 || m.inf == 0 && m.day < least.day:
		m = least
	case m.inf > 0 || m.day > most.day:
		m = most
	}
	if v.Kind == schema.Date {
		v.AppendNum(m.day)
	} else {
		v.AppendNum(m.day*dayMicros + m.nanos/1000)
	}
	return nil
}

// appendTime appends microseconds and counts those that the files will not hold
// whole. cut says that something finer was cut off already, by floor: −1 ns is
// 23:59:59.999999.
func (d *Decoder) appendTime(v *schema.Values, us int64, cut bool) {
	unit := d.opt.TimeUnit
	if v.Kind == schema.Time {
		unit = d.opt.ClockUnit
	}
	if cut || us%unit != 0 {
		d.Lost.Digits++
	}
	v.AppendNum(us)
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
