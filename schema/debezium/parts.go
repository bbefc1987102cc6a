package debezium

import (
	"errors"
	"math"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// parts says what the members of a struct make together: one value.
type parts uint8

const (
	partsNone parts = iota
	partsDecimal
	partsMoment
	partsZonedTime
	partsDuration
	partsSparse
	partsPoint
	partsGeometry
)

var partsOf = map[string]parts{
	"io.debezium.data.VariableScaleDecimal":     partsDecimal,
	"io.debezium.time.StructuredDate":           partsMoment,
	"io.debezium.time.StructuredTime":           partsMoment,
	"io.debezium.time.StructuredTimestamp":      partsMoment,
	"io.debezium.time.StructuredZonedTimestamp": partsMoment,
	"io.debezium.time.StructuredZonedTime":      partsZonedTime,
	"io.debezium.time.StructuredDuration":       partsDuration,
	"io.debezium.data.SparseDoubleVector":       partsSparse,
	"io.debezium.data.geometry.Point":           partsPoint,
	"io.debezium.data.geometry.Geometry":        partsGeometry,
	"io.debezium.data.geometry.Geography":       partsGeometry,
}

// part is what a member of such a struct is, by its name; partNone is read over.
type part uint8

const (
	partNone part = iota
	partYear
	partMonth
	partDay
	partHour
	partMinute
	partSecond
	partNanos
	partOffset
	partScale
	partSRID
	partDimensions
	partX // a float, by its bits, as partY
	partY
	partNumbers // how many there are

	partSpecial // text: an infinity
	partRaw     // bytes
	partVector  // a map, as the JSON that it becomes
)

var partNames = map[string]part{
	"year": partYear, "month": partMonth, "day": partDay, "hour": partHour, "minute": partMinute, "second": partSecond, "nanos": partNanos,
	"years": partYear, "months": partMonth, "days": partDay, "hours": partHour, "minutes": partMinute, "seconds": partSecond,
	"offsetSeconds": partOffset, "specialValue": partSpecial, "scale": partScale, "value": partRaw, "wkb": partRaw, "srid": partSRID,
	"dimensions": partDimensions, "vector": partVector, "x": partX, "y": partY,
}

// made are the members of one such struct.
type made struct {
	num     [partNumbers]int64
	has     [partNumbers]bool
	inf     int
	raw     []byte // in memory that others write to
	hasRaw  bool
	vector  []byte
	unknown bool // a specialValue that is not known
}

func (m *made) set(p part, n int64) { m.num[p], m.has[p] = n, true }

func (m *made) special(text []byte) {
	switch string(text) {
	case "POSITIVE_INFINITY":
		m.inf = 1
	case "NEGATIVE_INFINITY":
		m.inf = -1
	default:
		m.unknown = true
	}
}

// readParts reads the members of a struct of JSON.
func (d *Decoder) readParts(s *scanner, c *codec) error {
	m := &d.made
	*m = made{vector: m.vector[:0]}
	more, err := s.open()
	for hint := 0; more && err == nil; hint++ {
		var name []byte
		if name, err = s.name(&d.name); err != nil {
			return err
		}
		at := memberAt(c.of.members, name, hint)
		if at < 0 {
			return errors.New("a member that is not in the schema")
		}
		of := &c.of.members[at]
		if hint = at; s.peek() == 'n' || of.part == partNone {
			_, err = s.skip()
		} else if of.part == partVector {
			m.vector, err = d.nestJSON(m.vector, s, &of.codec)
		} else {
			var lit []byte
			var quoted, ok bool
			if lit, quoted, err = d.literal(s); err != nil {
				return err
			}
			switch of.part {
			case partSpecial:
				m.special(lit)
				ok = quoted
			case partRaw:
				d.raw, err = decodeBase64(d.raw[:0], lit)
				m.raw, m.hasRaw, ok = d.raw, true, quoted && err == nil
			case partX, partY:
				var f float64
				f, ok = parseFloat(lit, quoted)
				m.set(of.part, int64(math.Float64bits(f)))
			default:
				var n int64
				n, ok = parseInt(lit)
				m.set(of.part, n)
			}
			if !ok {
				return errors.New("a member " + of.name + " of another type")
			}
		}
		if err == nil {
			more, err = s.next()
		}
	}
	return err
}

// readAvroParts reads the members of a record.
func (d *Decoder) readAvroParts(r *avro.Reader, c *codec) (err error) {
	m := &d.made
	*m = made{vector: m.vector[:0]}
	for i := range c.of.members {
		of := &c.of.members[i]
		if of.part == partVector {
			if m.vector, err = d.nestAvro(m.vector, r, &of.codec, &of.avro); err != nil {
				return err
			}
			continue
		}
		if !of.avro.present(r) {
			continue
		}
		switch kind := of.avro.value.Kind; {
		case of.part == partSpecial && kind == avro.String:
			m.special(r.Bytes())
		case of.part == partRaw && kind == avro.Bytes:
			m.raw, m.hasRaw = r.Bytes(), true
		case (of.part == partX || of.part == partY) && kind == avro.Double:
			m.set(of.part, int64(math.Float64bits(r.Double())))
		case of.part > partNone && of.part < partX && (kind == avro.Int || kind == avro.Long):
			m.set(of.part, r.Long())
		case of.part == partNone:
			r.Skip(of.avro.value)
		default:
			return errors.New("a member " + of.name + " of another type")
		}
		if r.Failed {
			return nil
		}
	}
	return nil
}

// appendMade appends the value that the members just read make.
func (d *Decoder) appendMade(v *schema.Values, c *codec) (err error) {
	m := &d.made
	if c.inner {
		v.Reset(c.kind) // a member may have been read into it
	}
	switch c.parts {
	case partsDecimal:
		if !m.hasRaw || m.num[partScale] != int64(int32(m.num[partScale])) {
			return errDecimal
		}
		if d.text, err = appendDecimal(d.text[:0], m.raw, int(m.num[partScale])); err != nil {
			return err
		}
		return d.appendDecimalText(v, trimFraction(d.text), c)
	case partsMoment:
		return d.appendStructured(v, m, c)
	case partsZonedTime:
		at, err := m.clock()
		if err != nil {
			return err
		}
		d.text = appendOffset(appendClock(d.text[:0], at.day*24, at.nanos), m.num[partOffset])
	case partsDuration:
		d.text = m.appendDuration(d.text[:0])
	case partsSparse:
		// pgvector writes what is not zero, then how many dimensions there are.
		d.text = append(d.text[:0], '{')
		depth := 0
		for _, b := range m.vector {
			switch {
			case b == '[':
				depth++
			case b == ']':
				depth--
			case b == ',' && depth == 2:
				d.text = append(d.text, ':')
			default:
				d.text = append(d.text, b)
			}
		}
		d.text = strconv.AppendInt(append(d.text, '}', '/'), m.num[partDimensions], 10)
	case partsPoint:
		if !m.has[partX] || !m.has[partY] {
			return errors.New("a point without x or y")
		}
		d.text = appendSRID(d.text[:0], m.num[partSRID])
		d.text = schema.AppendFloatText(append(d.text, "POINT("...), math.Float64frombits(uint64(m.num[partX])))
		d.text = schema.AppendFloatText(append(d.text, ' '), math.Float64frombits(uint64(m.num[partY])))
		d.text = append(d.text, ')')
	case partsGeometry:
		if !m.hasRaw {
			return errWKB
		}
		if d.text, err = appendEWKT(d.text[:0], m.raw, m.num[partSRID]); err != nil {
			return err
		}
	}
	return d.appendText(v, d.text, c)
}

var errParts = errors.New("a date or time with a part that is missing or out of its range")

// clock returns the time of day; its day is 1 for 24:00.
func (m *made) clock() (moment, error) {
	hour, minute, second, nanos := m.num[partHour], m.num[partMinute], m.num[partSecond], m.num[partNanos]
	if !m.has[partHour] || hour < 0 || hour > 24 || minute < 0 || minute > 59 || second < 0 || second > 59 || nanos < 0 || nanos > 999_999_999 ||
		hour == 24 && minute+second+nanos > 0 {
		return moment{}, errParts
	}
	return moment{day: hour / 24, nanos: (hour%24*3600+minute*60+second)*1_000_000_000 + nanos}, nil
}

// appendStructured appends a StructuredDate, StructuredTime or StructuredTimestamp
// (io.debezium.time, time.precision.mode=structured).
func (d *Decoder) appendStructured(v *schema.Values, m *made, c *codec) error {
	if m.unknown {
		return errors.New("a specialValue that is not known")
	}
	if m.inf != 0 {
		return d.appendMoment(v, moment{inf: m.inf}, c)
	}
	var at moment
	var err error
	if c.temporal != schema.Date {
		if at, err = m.clock(); err != nil {
			return err
		}
	}
	if c.temporal == schema.Time {
		return d.appendMoment(v, at, c)
	}
	year, month, day := m.num[partYear], m.num[partMonth], m.num[partDay]
	if !m.has[partYear] || at.day != 0 {
		return errParts
	}
	days, ok := dayOf(year, month, day)
	switch {
	case ok:
	case month < 0 || month > 12 || day < 0 || day > 31 || month > 0 && day > 0:
		return errParts
	case v.Kind == schema.String: // 0000-00-00, or 2010-00-00
		d.text = appendYMD(d.text[:0], year, month, day)
		if c.temporal == schema.DateTime {
			d.text = appendClock(append(d.text, 'T'), 0, at.nanos)
		}
		return d.appendText(v, d.text, c)
	default:
		at.day, _ = dayOf(year, max(month, 1), max(day, 1))
		return d.outOfRange(v, at, c, errZeroDate)
	}
	if c.zoned && !m.has[partOffset] {
		d.Lost.Unzoned++
	}
	at.day = days
	at.nanos -= m.num[partOffset] * 1_000_000_000
	turn := floorDiv(at.nanos, dayNanos)
	at.day, at.nanos = at.day+turn, at.nanos-turn*dayNanos
	return d.appendMoment(v, at, c)
}

// appendDuration appends a duration as Debezium writes an Interval: P1Y2M3DT4H5M6.78S,
// each part with its own sign.
func (m *made) appendDuration(dst []byte) []byte {
	dst = append(dst, 'P')
	for _, p := range []struct {
		part part
		unit string
	}{{partYear, "Y"}, {partMonth, "M"}, {partDay, "DT"}, {partHour, "H"}, {partMinute, "M"}} {
		dst = append(strconv.AppendInt(dst, m.num[p.part], 10), p.unit...)
	}
	seconds, nanos := m.num[partSecond]+m.num[partNanos]/1_000_000_000, m.num[partNanos]%1_000_000_000
	switch { // the two have one sign in the end
	case seconds > 0 && nanos < 0:
		seconds, nanos = seconds-1, nanos+1_000_000_000
	case seconds < 0 && nanos > 0:
		seconds, nanos = seconds+1, nanos-1_000_000_000
	}
	if nanos < 0 {
		nanos = -nanos
		if seconds == 0 {
			dst = append(dst, '-')
		}
	}
	return append(appendFraction(strconv.AppendInt(dst, seconds, 10), nanos), 'S')
}

// appendOffset appends an offset from UTC: Z, or ±HH:MM, with seconds where it has some.
func appendOffset(dst []byte, east int64) []byte {
	switch {
	case east == 0:
		return append(dst, 'Z')
	case east < 0:
		dst, east = append(dst, '-'), -east
	default:
		dst = append(dst, '+')
	}
	dst = appendTwo(append(appendTwo(dst, east/3600), ':'), east/60%60)
	if east%60 != 0 {
		dst = appendTwo(append(dst, ':'), east%60)
	}
	return dst
}
