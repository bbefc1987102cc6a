package schema

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// State says whether a row has a value in a column. NULL is a state and never
// an empty or zero value, so the two cannot be confused on the way.
type State uint8

const (
	Null State = iota
	Present
	// Unavailable is a value that the source did not send because the change left it as
	// it was: what the row has there at the target is right.
	Unavailable
	// Missing is a value that the source did not send of a row that is new under its key:
	// nothing at the target has it there. A row whose key changed comes so.
	Missing
)

// Known reports whether the state is of a value that the source sent.
func (s State) Known() bool { return s <= Present }

// Values is one column of a run of rows. The fields are exported for the
// encoders, which read them in bulk; everybody else uses the methods.
//
// Every kind has an entry per row in States. Fixed-width kinds have one in Nums
// too; a String has the end of its bytes within Data in Ends. A column of kind
// Unknown has States only.
type Values struct {
	Kind   Kind
	States []State
	Nums   []int64
	Ends   []uint32
	Data   []byte
}

// Len is the number of rows.
func (v *Values) Len() int { return len(v.States) }

// AppendNull appends NULL, whatever the kind.
func (v *Values) AppendNull() { v.AppendAbsent(Null) }

// AppendAbsent appends a state other than Present, whatever the kind.
func (v *Values) AppendAbsent(s State) {
	v.States = append(v.States, s)
	switch v.Kind {
	case Unknown:
	case String:
		v.Ends = append(v.Ends, uint32(len(v.Data)))
	default:
		v.Nums = append(v.Nums, 0)
	}
}

// AppendNum appends a value of a fixed-width kind.
func (v *Values) AppendNum(n int64) {
	v.States = append(v.States, Present)
	v.Nums = append(v.Nums, n)
}

// AppendFloat appends a value of kind Float.
func (v *Values) AppendFloat(f float64) { v.AppendNum(int64(math.Float64bits(f))) }

// AppendString appends a value of kind String and keeps no reference to b.
func (v *Values) AppendString(b []byte) {
	v.Data = append(v.Data, b...)
	v.EndString()
}

// EndString closes a value of kind String whose bytes were appended to Data.
func (v *Values) EndString() {
	v.States = append(v.States, Present)
	v.Ends = append(v.Ends, uint32(len(v.Data)))
}

// Bytes returns the bytes of row i of a String column, empty for NULL. They stay
// valid until the column is truncated or appended to.
func (v *Values) Bytes(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.Ends[i-1]
	}
	return v.Data[start:v.Ends[i]]
}

// Float returns row i of a Float column.
func (v *Values) Float(i int) float64 { return math.Float64frombits(uint64(v.Nums[i])) }

// Truncate keeps the first n rows, which undoes a row that failed half way.
func (v *Values) Truncate(n int) {
	v.States = v.States[:min(n, len(v.States))]
	v.Nums = v.Nums[:min(n, len(v.Nums))]
	v.Ends = v.Ends[:min(n, len(v.Ends))]
	end := uint32(0)
	if len(v.Ends) > 0 {
		end = v.Ends[len(v.Ends)-1]
	}
	v.Data = v.Data[:end]
}

// Reset empties the column, keeps its memory and gives it a kind.
func (v *Values) Reset(k Kind) {
	*v = Values{Kind: k, States: v.States[:0], Nums: v.Nums[:0], Ends: v.Ends[:0], Data: v.Data[:0]}
}

// Become gives a column of kind Unknown, or one without a value, its kind; its rows keep
// their states.
func (v *Values) Become(k Kind) {
	v.Kind = k
	n := len(v.States)
	v.Data = v.Data[:0]
	switch k {
	case Unknown:
		v.Nums, v.Ends = v.Nums[:0], v.Ends[:0]
	case String:
		v.Ends = slices.Grow(v.Ends[:0], n)[:n]
		clear(v.Ends)
	default:
		v.Nums = slices.Grow(v.Nums[:0], n)[:n]
		clear(v.Nums)
	}
}

// Size is the memory held, in bytes.
func (v *Values) Size() int64 {
	return int64(cap(v.States)) + 8*int64(cap(v.Nums)) + 4*int64(cap(v.Ends)) + int64(cap(v.Data))
}

// AppendRows appends the given rows of src, converted to the kind of v where Merge
// allows it. Another pair of kinds is a programming error and panics, for going on would
// change data.
func (v *Values) AppendRows(src *Values, rows []int32) {
	switch {
	case src.Kind == Unknown:
		for _, r := range rows {
			v.AppendAbsent(src.States[r])
		}
	case v.Kind == src.Kind && v.Kind == String:
		for _, r := range rows {
			v.States = append(v.States, src.States[r])
			v.Data = append(v.Data, src.Bytes(int(r))...)
			v.Ends = append(v.Ends, uint32(len(v.Data)))
		}
	case v.Kind == src.Kind, v.Kind == Integer && src.Kind == Boolean, v.Kind == Boolean && src.Kind == Integer:
		for _, r := range rows {
			v.States = append(v.States, src.States[r])
			v.Nums = append(v.Nums, src.Nums[r])
		}
	case v.Kind == Float && src.Kind == Integer:
		for _, r := range rows {
			if s := src.States[r]; s != Present {
				v.AppendAbsent(s)
				continue
			}
			v.AppendFloat(float64(src.Nums[r]))
		}
	case v.Kind == String:
		for _, r := range rows {
			if s := src.States[r]; s != Present {
				v.AppendAbsent(s)
				continue
			}
			v.Data = src.AppendText(v.Data, int(r))
			v.EndString()
		}
	default:
		panic(fmt.Sprintf("schema: %v cannot hold %v", v.Kind, src.Kind))
	}
}

// AppendText appends the text of row i, which must not be NULL: numbers and booleans
// as JSON would write them, dates and times as ISO 8601 does, with as many digits of a
// second as are not zero and no zone.
func (v *Values) AppendText(dst []byte, i int) []byte {
	switch v.Kind {
	case Integer:
		return strconv.AppendInt(dst, v.Nums[i], 10)
	case Float:
		return AppendFloatText(dst, v.Float(i))
	case Boolean:
		return strconv.AppendBool(dst, v.Nums[i] != 0)
	case String:
		return append(dst, v.Bytes(i)...)
	case Date:
		return time.Unix(v.Nums[i]*86400, 0).UTC().AppendFormat(dst, "2006-01-02")
	case Time:
		return time.UnixMicro(v.Nums[i]).UTC().AppendFormat(dst, "15:04:05.999999")
	case DateTime:
		return time.UnixMicro(v.Nums[i]).UTC().AppendFormat(dst, "2006-01-02T15:04:05.999999")
	}
	panic(fmt.Sprintf("schema: %v has no text form", v.Kind))
}

// AppendFloatText appends the text of a number as encoding/json and ECMAScript
// write it.
func AppendFloatText(dst []byte, f float64) []byte {
	form := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, f, form, -1, 64)
}
