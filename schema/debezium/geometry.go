package debezium

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

var errWKB = errors.New("not a geometry in well-known binary")

// geometryNames are the types of well-known binary (OGC 06-103r4, 8.2.3).
var geometryNames = map[uint32]string{1: "POINT", 2: "LINESTRING", 3: "POLYGON", 4: "MULTIPOINT", 5: "MULTILINESTRING", 6: "MULTIPOLYGON",
	7: "GEOMETRYCOLLECTION", 8: "CIRCULARSTRING", 9: "COMPOUNDCURVE", 10: "CURVEPOLYGON", 11: "MULTICURVE", 12: "MULTISURFACE",
	15: "POLYHEDRALSURFACE", 16: "TIN", 17: "TRIANGLE"}

// bareMembers are the members that stand without their type's name in a collection,
// whose type tells it already.
var bareMembers = map[uint32]uint32{4: 1, 5: 2, 6: 3, 9: 2, 10: 2, 11: 2, 12: 3, 15: 3, 16: 17}

// appendEWKT appends the text of a geometry as PostGIS's ST_AsEWKT has it: SRID=4326; in
// front where one is known, M only where there is a measure without a height. raw is
// well-known binary as OGC or PostGIS write it; an SRID beside it goes before one in it.
func appendEWKT(dst, raw []byte, srid int64) ([]byte, error) {
	w := wkb{b: raw}
	order, kind := w.header()
	if srid == 0 {
		srid = w.srid
	}
	dst = w.geometry(appendSRID(dst, srid), order, kind, true, 0)
	if w.bad || w.i != len(raw) {
		return dst, errWKB
	}
	return dst, nil
}

func appendSRID(dst []byte, srid int64) []byte {
	if srid == 0 {
		return dst
	}
	return append(strconv.AppendInt(append(dst, "SRID="...), srid, 10), ';')
}

// wkb reads well-known binary and remembers a failure.
type wkb struct {
	b    []byte
	i    int
	bad  bool
	srid int64
	dims int // coordinates of a point
	m    bool
}

func (w *wkb) take(n int) []byte {
	if w.bad || n > len(w.b)-w.i {
		w.bad = true
		return make([]byte, n)
	}
	w.i += n
	return w.b[w.i-n : w.i]
}

// header reads the byte order and the type, whose dimensions PostGIS has in flags and
// OGC in thousands.
func (w *wkb) header() (order binary.ByteOrder, kind uint32) {
	order = binary.BigEndian
	switch w.take(1)[0] {
	case 0:
	case 1:
		order = binary.LittleEndian
	default:
		w.bad = true
	}
	kind = order.Uint32(w.take(4))
	z, m := kind&0x80000000 != 0, kind&0x40000000 != 0
	if kind&0x20000000 != 0 {
		w.srid = int64(int32(order.Uint32(w.take(4))))
	}
	kind &= 0x1fffffff
	switch kind / 1000 {
	case 1:
		z = true
	case 2:
		m = true
	case 3:
		z, m = true, true
	}
	kind %= 1000
	w.dims, w.m = 2, m && !z
	if z {
		w.dims++
	}
	if m {
		w.dims++
	}
	return order, kind
}

// geometry appends what stands behind a header.
func (w *wkb) geometry(dst []byte, order binary.ByteOrder, kind uint32, named bool, depth int) []byte {
	name := geometryNames[kind]
	if name == "" || depth > 32 {
		w.bad = true
		return dst
	}
	if named {
		if dst = append(dst, name...); w.m {
			dst = append(dst, 'M')
		}
	}
	n := 1
	if kind != 1 {
		n = int(order.Uint32(w.take(4)))
	}
	// What there are n of takes four bytes at the least.
	if w.bad = w.bad || n < 0 || n > len(w.b); w.bad {
		return dst
	}
	at := len(dst)
	dst = append(dst, '(')
	for i := 0; i < n && !w.bad; i++ {
		if i > 0 {
			dst = append(dst, ',')
		}
		switch kind {
		case 1, 2, 8: // points
			var ok bool
			if dst, ok = w.point(dst, order); !ok && kind == 1 {
				n = 0
			}
		case 3, 17: // rings
			dst = append(dst, '(')
			for j, points := 0, int(order.Uint32(w.take(4))); j < points && !w.bad; j++ {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst, _ = w.point(dst, order)
			}
			dst = append(dst, ')')
		default:
			o, member := w.header()
			dst = w.geometry(dst, o, member, member != bareMembers[kind], depth+1)
		}
	}
	if n == 0 {
		dst = dst[:at]
		if named {
			dst = append(dst, ' ')
		}
		return append(dst, "EMPTY"...)
	}
	return append(dst, ')')
}

// point appends coordinates; an empty point has NaN in their place.
func (w *wkb) point(dst []byte, order binary.ByteOrder) (_ []byte, ok bool) {
	for i := range w.dims {
		f := math.Float64frombits(order.Uint64(w.take(8)))
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = schema.AppendFloatText(dst, f)
		ok = ok || !math.IsNaN(f)
	}
	return dst, ok
}
