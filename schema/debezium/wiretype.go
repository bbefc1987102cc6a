package debezium

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

// WireType is how a column of plain JSON is written where its values do not tell: a
// number of microseconds looks like any other. The column is read as if the record's schema
// said so.
type WireType struct{ of connectSchema }

var wireTypes = map[string]connectSchema{
	"bytes-base64":     {Type: "bytes"},
	"date-days":        {Type: "int32", Name: "io.debezium.time.Date"},
	"date-iso":         {Type: "string", Name: "io.debezium.time.IsoDate"},
	"time-millis":      {Type: "int32", Name: "io.debezium.time.Time"},
	"time-micros":      {Type: "int64", Name: "io.debezium.time.MicroTime"},
	"time-nanos":       {Type: "int64", Name: "io.debezium.time.NanoTime"},
	"time-iso":         {Type: "string", Name: "io.debezium.time.IsoTime"},
	"timestamp-millis": {Type: "int64", Name: "io.debezium.time.Timestamp"},
	"timestamp-micros": {Type: "int64", Name: "io.debezium.time.MicroTimestamp"},
	"timestamp-nanos":  {Type: "int64", Name: "io.debezium.time.NanoTimestamp"},
	"timestamp-iso":    {Type: "string", Name: "io.debezium.time.IsoTimestamp"},
	"timestamp-zoned":  {Type: "string", Name: "io.debezium.time.ZonedTimestamp"},
}

// WireTypes are the names that ParseWireType takes, but for decimal(precision,scale): a
// Decimal as JsonConverter writes it, in base64 or as a number.
func WireTypes() []string { return slices.Sorted(maps.Keys(wireTypes)) }

var decimalType = regexp.MustCompile(`^decimal\(([0-9]{1,5}), *(-?[0-9]{1,4})\)$`)

// ParseWireType reads the name of a wire type.
func ParseWireType(name string) (*WireType, error) {
	if of, ok := wireTypes[name]; ok {
		return &WireType{of}, nil
	}
	m := decimalType.FindStringSubmatch(name)
	if m == nil {
		return nil, errors.New("not a wire type")
	}
	if precision, _ := strconv.Atoi(m[1]); precision == 0 {
		return nil, errors.New("a decimal without digits")
	}
	return &WireType{connectSchema{Type: "bytes", Name: decimalName, Parameters: map[string]string{"scale": m[2], "connect.decimal.precision": m[1]}}}, nil
}

// given returns how a column of plain JSON is read, if that is set.
func (d *Decoder) given(sh *shape, source string, key bool) (c codec, ok bool) {
	if d.opt.Types != nil {
		c.kind = d.opt.Types(sh.table, source)
	}
	if c.kind == schema.Unknown && d.opt.Wire != nil {
		if w := d.opt.Wire(sh.table, source); w != nil {
			c = d.opt.codecOf(&w.of)
			if c.wire == wireDropped { // without a schema, a column is left out by its name alone
				c.wire = wireBytes
			}
		}
	}
	if key {
		c = c.asKey()
	}
	return c, c.kind != schema.Unknown
}

// giveMember returns how a new member of plain JSON or a document is read.
func (d *Decoder) giveMember(sh *shape, p *plan, name string, col int) (codec, error) {
	if col < 0 {
		return codec{wire: p.member}, nil
	}
	c, ok := d.given(sh, name, sh.isKey(col))
	if !ok {
		return codec{wire: p.member}, nil
	}
	if have := sh.cols[col].Type.Kind; have != c.kind && sh.rules[col].Action < Hash {
		return c, &fault{fmt.Sprintf("column %.80s is %v under types in the tables file and was %v under a schema", name, c.kind, have),
			fmt.Sprintf("give it another type under tables.%s.types, or none, and restart", sh.table)}
	}
	switch {
	case c.wire == wireInferred:
		c.wire = p.member
	case p.member == wireDocument:
		return codec{wire: p.member, kind: c.kind, plain: &c}, nil
	}
	return c, nil
}

// givenType returns the type of a column of plain JSON, if that is set.
func (d *Decoder) givenType(sh *shape, source string, key bool) schema.Type {
	c, _ := d.given(sh, source, key)
	return c.typ()
}

// blameTypes says of a value that could not be read that its column's type was given. A key
// of another type ails the table.
func (d *Decoder) blameTypes(sh *shape, col int, bad *BadRecord) {
	if d.givenType(sh, sh.sources[col], false).Kind == schema.Unknown {
		return
	}
	bad.Remedy = fmt.Sprintf("mend what writes the value, or the column's type under tables.%s.types in the tables file (STRING holds any), and restart", sh.table)
	var m misfit
	if !errors.As(bad.Err, &m) {
		return
	}
	if bad.Err = fmt.Errorf("a value of type %v, and tables.%s.types gives %v", m.value, sh.table, m.given); sh.isKey(col) {
		bad.Err = &fault{bad.Err.Error(), bad.Remedy}
	}
}
