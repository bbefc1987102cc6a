package debezium

import (
	"errors"
	"time"
)

// The years that the target's query engine keeps; it turns others into NULL, so
// they are refused before they get there.
const (
	minDay    = -208188 // 1400-01-01
	maxDay    = 2932896 // 9999-12-31
	dayMicros = 24 * 60 * 60 * 1_000_000
	minMicros = minDay * dayMicros
	maxMicros = (maxDay+1)*dayMicros - 1
)

var (
	errDateRange = errors.New("outside the years 1400 to 9999")
	errTimeRange = errors.New("not a time of day (0 ≤ t < 24 h)")
	errInstant   = errors.New("not an ISO 8601 date-time")
	errInfinite  = errors.New("an infinite timestamp, which the target cannot hold")
)

func checkDay(d int64) error {
	if d < minDay || d > maxDay {
		return errDateRange
	}
	return nil
}

func checkMicros(us int64) error {
	if us < minMicros || us > maxMicros {
		return errDateRange
	}
	return nil
}

func checkTime(us int64) error {
	if us < 0 || us >= dayMicros {
		return errTimeRange
	}
	return nil
}

// millis returns ms as microseconds, refusing what would overflow.
func millis(ms int64) (int64, error) {
	if ms < minMicros/1000 || ms > maxMicros/1000 {
		return 0, errDateRange
	}
	return ms * 1000, nil
}

// nanos returns ns as microseconds by floor, so that −1 ns is 23:59:59.999999.
func nanos(ns int64) int64 {
	us := ns / 1000
	if ns%1000 < 0 {
		us--
	}
	return us
}

// parseInstant reads an ISO 8601 date-time with or without offset into
// microseconds since the epoch, UTC. A missing offset means UTC. Fractions beyond
// microseconds are cut by floor; cut tells whether there were any. Debezium's ZonedTimestamp keeps the source's
// offset for some databases and varies the width of the fraction from value to
// value, and years beyond 9999 carry a sign, which time.Parse refuses.
func parseInstant(t []byte) (us int64, cut bool, err error) {
	switch string(t) {
	case "infinity", "-infinity":
		return 0, false, errInfinite
	}
	p := digitsOf{t: t}
	sign := int64(1)
	if p.take('-') {
		sign = -1
	} else {
		p.take('+')
	}
	yearDigits := 0
	var year int64
	for p.i < len(t) && t[p.i] >= '0' && t[p.i] <= '9' && yearDigits < 10 {
		year = year*10 + int64(t[p.i]-'0')
		p.i++
		yearDigits++
	}
	if yearDigits < 4 {
		return 0, false, errInstant
	}
	month := p.two('-')
	day := p.two('-')
	if !p.take('T') && !p.take(' ') {
		return 0, false, errInstant
	}
	hour, minute := p.two(0), p.two(':')
	var second, micros int64
	if p.i < len(t) && t[p.i] == ':' {
		second = p.two(':')
		if p.take('.') {
			unit, from := int64(100_000), p.i
			for p.i < len(t) && t[p.i] >= '0' && t[p.i] <= '9' {
				micros += int64(t[p.i]-'0') * unit
				cut = cut || unit == 0 && t[p.i] != '0'
				unit /= 10
				p.i++
			}
			if p.i == from || p.i-from > 9 {
				return 0, false, errInstant
			}
		}
	}
	offset := p.offset()
	if p.bad || p.i != len(t) || month < 1 || month > 12 || day < 1 || day > 31 ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false, errInstant
	}
	if year *= sign; year < 1399 || year > 10000 {
		return 0, false, errDateRange
	}
	at := time.Date(int(year), time.Month(month), int(day), int(hour), int(minute), int(second), 0, time.UTC)
	if at.Day() != int(day) {
		return 0, false, errInstant
	}
	us = at.Unix()*1_000_000 + micros - offset*1_000_000
	return us, cut, checkMicros(us)
}

// digitsOf reads fixed-width numbers and remembers a failure.
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
	s := p.two(0) * 3600
	if p.take(':') {
		s += p.two(0) * 60
		if p.take(':') {
			s += p.two(0)
		}
	}
	return sign * s
}
