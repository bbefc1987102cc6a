package debezium

import (
	"errors"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

var (
	errInstant = errors.New("not an ISO 8601 date-time")
	errDate    = errors.New("not an ISO 8601 date")
	errClock   = errors.New("not an ISO 8601 time")
)

// appendISO appends what a text in ISO 8601 stands for.
func (d *Decoder) appendISO(v *schema.Values, text []byte, c *codec) error {
	p := digitsOf{t: text}
	switch string(text) {
	case "infinity", lateISO:
		return d.appendMoment(v, moment{inf: 1}, c)
	case "-infinity", earlyISO:
		return d.appendMoment(v, moment{inf: -1}, c)
	}
	var m moment
	why := errClock
	switch c.temporal {
	case schema.Date:
		if m, why = p.date(), errDate; !p.bad {
			m = plausible(m.day)
		}
		p.take('Z')
	case schema.Time:
		m = p.clock()
		p.take('Z')
	default:
		m, why = p.date(), errInstant
		if !p.take('T') && !p.take(' ') {
			p.bad = true
		}
		at := p.clock()
		unzoned := c.zoned && p.i == len(text)
		east := p.offset() // 0 for a wall clock's Z
		p.bad = p.bad || at.day != 0 || !c.zoned && east != 0
		m.nanos = at.nanos - east*1_000_000_000
		turn := floorDiv(m.nanos, dayNanos)
		m.day, m.nanos = m.day+turn, m.nanos-turn*dayNanos
		if unzoned && !p.bad {
			d.Lost.Unzoned++
		}
	}
	if p.bad || p.i != len(text) {
		return why
	}
	return d.appendMoment(v, m, c)
}

// What PostgreSQL's infinite timestamps come as under time.precision.mode=isostring.
const lateISO, earlyISO = "+294247-01-10T04:00:25.2Z", "-290308-12-21T19:59:27.6Z"

// digitsOf reads the parts of ISO 8601 and remembers a failure. time.Parse would not do:
// the width of a fraction varies from value to value, years beyond 9999 carry a sign, and
// old offsets have seconds.
type digitsOf struct {
	t   []byte
	i   int
	bad bool
}

func (p *digitsOf) take(c byte) bool {
	if p.i < len(p.t) && p.t[p.i] == c {
		p.i++
		return true
	}
	return false
}

// two reads a separator, if one is asked for, and two digits.
func (p *digitsOf) two(sep byte) int64 {
	if sep != 0 && !p.take(sep) {
		p.bad = true
	}
	if p.i+2 > len(p.t) || p.t[p.i]-'0' > 9 || p.t[p.i+1]-'0' > 9 {
		p.bad = true
		return 0
	}
	p.i += 2
	return int64(p.t[p.i-2]-'0')*10 + int64(p.t[p.i-1]-'0')
}

// date reads ±YYYY…-MM-DD.
func (p *digitsOf) date() moment {
	sign := int64(1)
	if p.take('-') {
		sign = -1
	} else {
		p.take('+')
	}
	year, from := int64(0), p.i
	for p.i < len(p.t) && p.t[p.i] >= '0' && p.t[p.i] <= '9' && p.i-from < 10 {
		year = year*10 + int64(p.t[p.i]-'0')
		p.i++
	}
	p.bad = p.bad || p.i-from < 4
	month, day := p.two('-'), p.two('-')
	at, ok := dayOf(sign*year, month, day)
	p.bad = p.bad || !ok
	return moment{day: at}
}

// clock reads HH:MM[:SS[.f…]], up to 24:00.
func (p *digitsOf) clock() (m moment) {
	hour, minute := p.two(0), p.two(':')
	var second, nanos int64
	if p.i < len(p.t) && p.t[p.i] == ':' {
		second = p.two(':')
		if p.take('.') {
			unit, from := int64(100_000_000), p.i
			for p.i < len(p.t) && p.t[p.i] >= '0' && p.t[p.i] <= '9' {
				nanos += int64(p.t[p.i]-'0') * unit
				unit /= 10
				p.i++
			}
			p.bad = p.bad || p.i == from || p.i-from > 9
		}
	}
	p.bad = p.bad || hour > 24 || minute > 59 || second > 59 || hour == 24 && minute+second+nanos > 0
	return moment{day: hour / 24, nanos: (hour%24*3600+minute*60+second)*1_000_000_000 + nanos}
}

// offset reads Z, ±HH[:MM[:SS]] or nothing, in seconds east of UTC.
func (p *digitsOf) offset() int64 {
	if p.i == len(p.t) || p.take('Z') {
		return 0
	}
	sign := int64(1)
	if p.take('-') {
		sign = -1
	} else if !p.take('+') {
		p.bad = true
		return 0
	}
	hours, minutes, seconds := p.two(0), int64(0), int64(0)
	if p.take(':') {
		minutes = p.two(0)
		if p.take(':') {
			seconds = p.two(0)
		}
	}
	p.bad = p.bad || hours > 18 || minutes > 59 || seconds > 59 // as java.time has it
	return sign * (hours*3600 + minutes*60 + seconds)
}

// dayOf returns a day of the proleptic Gregorian calendar as days since 1970-01-01; ok
// is false if there is no such day. Years are counted with a year 0, as ISO 8601 does.
// It counts from a March the first, so that leap days end their year.
func dayOf(year, month, day int64) (days int64, ok bool) {
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	y, m := year, month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	days = 365*y + floorDiv(y, 4) - floorDiv(y, 100) + floorDiv(y, 400) + (153*m+2)/5 + day - 1 - 719468
	if day > 28 {
		_, back, _ := dateOf(days)
		ok = back == month
	}
	return days, ok || day <= 28
}

// dateOf is the inverse of dayOf.
func dateOf(days int64) (year, month, day int64) {
	const years400 = 146097 // days
	days += 719468
	era := floorDiv(days, years400)
	doe := days - era*years400
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	m := (5*doy + 2) / 153
	year, month, day = era*400+yoe, m+3, doy-(153*m+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

// appendText appends a moment in ISO 8601 as c's type is written, with no more digits
// than it needs, so that equal values have equal texts whatever their unit. A time beyond
// its day has as many hours as it takes.
func (m moment) appendText(dst []byte, c *codec) []byte {
	switch {
	case m.inf > 0:
		return append(dst, "infinity"...)
	case m.inf < 0:
		return append(dst, "-infinity"...)
	case c.temporal == schema.Time:
		if m.day < 0 {
			dst = append(dst, '-')
			if m.day = -m.day; m.nanos > 0 {
				m.day, m.nanos = m.day-1, dayNanos-m.nanos
			}
		}
		return appendClock(dst, m.day*24, m.nanos)
	}
	dst = appendDays(dst, m.day)
	if c.temporal == schema.Date {
		return dst
	}
	dst = appendClock(append(dst, 'T'), 0, m.nanos)
	if c.zoned {
		dst = append(dst, 'Z')
	}
	return dst
}

func appendDays(dst []byte, days int64) []byte {
	year, month, day := dateOf(days)
	return appendYMD(dst, year, month, day)
}

// appendYMD appends a date, which need not be one: 2010-00-00.
func appendYMD(dst []byte, year, month, day int64) []byte {
	switch {
	case year < 0:
		dst, year = append(dst, '-'), -year
	case year > 9999:
		dst = append(dst, '+')
	}
	for least := int64(1000); least > 1 && year < least; least /= 10 {
		dst = append(dst, '0')
	}
	dst = strconv.AppendInt(dst, year, 10)
	return appendTwo(append(appendTwo(append(dst, '-'), month), '-'), day)
}

func appendClock(dst []byte, hours, nanos int64) []byte {
	seconds := nanos / 1_000_000_000
	dst = appendTwo(dst, hours+seconds/3600)
	dst = appendTwo(append(dst, ':'), seconds/60%60)
	dst = appendTwo(append(dst, ':'), seconds%60)
	return appendFraction(dst, nanos%1_000_000_000)
}

// appendFraction appends the fraction of a second without trailing zeros.
func appendFraction(dst []byte, nanos int64) []byte {
	if nanos == 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit := int64(100_000_000); nanos > 0; unit /= 10 {
		dst = append(dst, byte('0'+nanos/unit))
		nanos %= unit
	}
	return dst
}

// appendTwo appends a number that is not negative with at least two digits.
func appendTwo(dst []byte, n int64) []byte {
	if n < 10 {
		dst = append(dst, '0')
	}
	return strconv.AppendInt(dst, n, 10)
}
