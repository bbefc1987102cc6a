package feldera

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema"
)

// columnType is a type of the pipeline's program.
type columnType struct {
	Type      string      `json:"type"`
	Nullable  bool        `json:"nullable"`
	Precision int         `json:"precision"`
	Scale     int         `json:"scale"`
	Component *columnType `json:"component"` // of an ARRAY
	Key       *columnType `json:"key"`       // of a MAP
	Value     *columnType `json:"value"`
	Fields    []field     `json:"fields"` // of a ROW
}

// String and kindOf name the types of a column there and here in the same words.
func (t *columnType) String() string {
	switch {
	case t.Type == "DECIMAL":
		return fmt.Sprintf("DECIMAL(%d, %d)", t.Precision, t.Scale)
	case t.Component != nil:
		return t.Component.String() + " ARRAY"
	case t.Key != nil && t.Value != nil:
		return fmt.Sprintf("MAP<%v, %v>", t.Key, t.Value)
	case len(t.Fields) > 0:
		var fields []string
		for i := range t.Fields {
			fields = append(fields, t.Fields[i].Name+" "+t.Fields[i].Type.String())
		}
		return "ROW(" + strings.Join(fields, ", ") + ")"
	}
	return t.Type
}

func kindOf(t schema.Type) string {
	switch n := t.Nested; {
	case n != nil && n.Elem != nil && n.Map:
		return "MAP<STRING, " + kindOf(*n.Elem) + ">"
	case n != nil && n.Elem != nil:
		return kindOf(*n.Elem) + " ARRAY"
	case n != nil && n.Fields != nil:
		var fields []string
		for _, f := range n.Fields {
			fields = append(fields, f.Name+" "+kindOf(f.Type))
		}
		return "ROW(" + strings.Join(fields, ", ") + ")"
	case n != nil:
		return "JSON"
	case t.Bytes:
		return "BYTES"
	case t.Kind == schema.String && t.Precision > 0:
		return fmt.Sprintf("DECIMAL(%d, %d)", t.Precision, t.Scale)
	}
	return t.Kind.String()
}

// form is how a column's values are written for the type that the pipeline has, false if they
// are not values of that type (https://docs.feldera.com/formats/json/#types). A text that is
// no bytes, no decimal and no JSON by its schema may hold any JSON, date, time or UUID: what
// it does not hold the pipeline refuses row by row.
func (s *Sink) form(t *columnType, from schema.Type) (batcher.JSONForm, bool) {
	form := batcher.JSONPlain
	switch strings.ToUpper(t.Type) {
	case "CHAR", "VARCHAR":
		return batcher.JSONText, true
	case "BINARY", "VARBINARY":
		// Another text may look like one of bytes, and would arrive as others in silence.
		if !from.Bytes {
			return form, false
		}
		if s.opt.Hex {
			return batcher.JSONHex, true
		}
		return batcher.JSONBase64, true
	case "VARIANT", "ARRAY", "MAP", "STRUCT", "ROW":
		switch {
		case from.Kind != schema.String:
		case from.Bytes:
			form = batcher.JSONText
		default:
			form = batcher.JSONInline
		}
		if plain(from) {
			from.Nested = &schema.Nested{}
		}
	case "TIMESTAMP_TZ", "TIMESTAMP WITH TIME ZONE":
		form = batcher.JSONZoned
	case "DOUBLE":
		form = batcher.JSONDouble
	case "REAL":
		form = batcher.JSONReal
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT":
		if from.Kind == schema.String {
			form = batcher.JSONInline // the digits, more of them than fit an INTEGER
		}
	}
	if !t.takes(from) {
		return batcher.JSONPlain, false // the table is refused, and not its rows
	}
	return form, true
}

// plain reports whether a type is that of any text.
func plain(t schema.Type) bool {
	return t.Kind == schema.String && t.Precision == 0 && !t.Bytes && t.Nested == nil
}

// takes reports whether JSON of a type is of one that the pipeline has, all of it. Within an
// array, map or row it is as schema.Nested says.
func (t *columnType) takes(from schema.Type) bool {
	k := from.Kind
	decimal := k == schema.String && from.Precision > 0
	switch strings.ToUpper(t.Type) {
	case "VARIANT":
		return true
	case "BOOLEAN":
		return k == schema.Boolean
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT":
		return k == schema.Integer || decimal && from.Scale == 0
	case "REAL", "DOUBLE":
		return k == schema.Float || k == schema.Integer
	case "DECIMAL":
		// Digits beyond its scale the pipeline cuts in silence, those of a FLOAT as well.
		return k == schema.Integer || decimal && from.Scale <= t.Scale
	case "CHAR", "VARCHAR":
		return plain(from) || from.Bytes || k == schema.Date || k == schema.Time || k == schema.DateTime
	case "UUID":
		return plain(from) || from.Bytes
	case "DATE":
		return k == schema.Date || plain(from)
	case "TIME":
		return k == schema.Time || plain(from)
	case "TIMESTAMP", "TIMESTAMP_TZ", "TIMESTAMP WITH TIME ZONE":
		return k == schema.DateTime || plain(from)
	case "ARRAY", "MAP", "STRUCT", "ROW":
		return from.Nested != nil && t.holds(from.Nested)
	}
	return false
}

// holds reports whether JSON of many values fits an ARRAY, a MAP or a ROW. Of a source that
// has names of its own in each value, a ROW has those that its program wants.
func (t *columnType) holds(n *schema.Nested) bool {
	switch {
	case n.Elem == nil && n.Fields == nil:
		return !t.cuts()
	case t.Component != nil:
		return n.Elem != nil && !n.Map && t.Component.takes(*n.Elem)
	case t.Key != nil && t.Value != nil:
		return t.Key.takes(schema.Type{Kind: schema.String}) && (n.Elem == nil || n.Map && t.Value.takes(*n.Elem)) &&
			!slices.ContainsFunc(n.Fields, func(m schema.Column) bool { return !t.Value.takes(m.Type) })
	case n.Map:
		return !slices.ContainsFunc(t.Fields, func(f field) bool { return !f.Type.takes(*n.Elem) })
	}
	// A member that the ROW has not the pipeline would drop in silence, as one of two twins.
	r := relation{Fields: t.Fields}
	one, _, _ := twins(n.Fields, t.Fields)
	return n.Fields != nil && one == "" && !slices.ContainsFunc(n.Fields, func(m schema.Column) bool {
		f := r.field(m.Name)
		return f == nil || !f.Type.takes(m.Type)
	})
}

// cuts reports whether some of what JSON of any form may have would be cut in silence: the
// digits beyond a scale.
func (t *columnType) cuts() bool {
	if t == nil {
		return false
	}
	return strings.EqualFold(t.Type, "DECIMAL") || t.Component.cuts() || t.Key.cuts() || t.Value.cuts() ||
		slices.ContainsFunc(t.Fields, func(f field) bool { return f.Type.cuts() })
}

// misfit is what to do about a column of a table that a type does not take.
func misfit(table string, t *columnType) string {
	switch strings.ToUpper(t.Type) {
	case "BINARY", "VARBINARY":
		return "it takes columns whose schema says that they are bytes, for any other text may look like theirs: set binary.handling.mode=bytes at the connector or, of JSON without schema, tables." + table +
			".types to bytes-base64 in the tables file; or make it VARCHAR in the pipeline's program"
	case "ARRAY", "MAP", "STRUCT", "ROW":
		return "give it the elements that the source has in the pipeline's program, or make it VARIANT or VARCHAR there; of JSON whose schema does not tell its digits a DECIMAL would cut some in silence"
	}
	return "give the column another type in the pipeline's program, or in the tables file"
}
