package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var integers = map[string][2]*big.Int{}

func init() {
	for i, name := range []string{"TINYINT", "SMALLINT", "INTEGER", "BIGINT"} {
		bits := uint(8) << i
		half := new(big.Int).Lsh(big.NewInt(1), bits-1)
		integers[name] = [2]*big.Int{new(big.Int).Neg(half), new(big.Int).Sub(half, big.NewInt(1))}
		all := new(big.Int).Lsh(big.NewInt(1), bits)
		integers["U"+name] = [2]*big.Int{big.NewInt(0), all.Sub(all, big.NewInt(1))}
	}
}

var (
	dateForm  = regexp.MustCompile(`^\d{4}-\d\d-\d\d$`)
	uuidForm  = regexp.MustCompile(`^[0-9a-fA-F]{8}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{4}-?[0-9a-fA-F]{12}$`)
	stampForm = []string{"2006-01-02 15:04:05.999999", "2006-01-02T15:04:05.999999", "2006-01-02T15:04:05.999999Z07:00", "2006-01-02 15:04:05.999999Z07:00"}
)

// value reads a JSON value as a column's, in the flavour "default"
// (https://docs.feldera.com/formats/json/#types). It is nil for NULL, and else a bool, an
// int64, a float64 or a text: of decimals and dates in their shortest form, of times and
// timestamps to the microsecond in UTC, of bytes in hexadecimal digits, of all else the JSON.
func value(of *columnType, raw json.RawMessage) (any, error) {
	t := of.Type
	if bytes.Equal(raw, []byte("null")) {
		if !of.Nullable {
			return nil, fmt.Errorf("NULL in a column that is NOT NULL")
		}
		return nil, nil
	}
	if bounds, ok := integers[t]; ok {
		n, ok := new(big.Int).SetString(string(raw), 10)
		if !ok || n.Cmp(bounds[0]) < 0 || n.Cmp(bounds[1]) > 0 {
			return nil, fmt.Errorf("invalid %s", t)
		}
		if n.IsInt64() {
			return n.Int64(), nil
		}
		return n.String(), nil
	}
	switch t {
	case "BOOLEAN":
		b, err := strconv.ParseBool(string(raw))
		if err != nil || len(raw) < 4 {
			return nil, fmt.Errorf("invalid BOOLEAN")
		}
		return b, nil
	case "REAL", "DOUBLE":
		n, err := strconv.ParseFloat(string(raw), 64)
		if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
			return nil, fmt.Errorf("invalid %s", t)
		}
		return n, nil
	case "VARIANT":
		var b bytes.Buffer
		err := json.Compact(&b, raw)
		return b.String(), err
	case "ARRAY", "MAP", "STRUCT":
		return composite(of, raw)
	case "BINARY", "VARBINARY":
		var list []uint8
		var wide []int
		if json.Unmarshal(raw, &wide) != nil {
			return nil, fmt.Errorf("invalid %s: an array of numbers is wanted", t)
		}
		for _, n := range wide {
			if n < 0 || n > 255 {
				return nil, fmt.Errorf("invalid %s: %d is not a byte", t, n)
			}
			list = append(list, uint8(n))
		}
		return fmt.Sprintf("%x", list), nil
	case "DECIMAL":
		return decimal(of, raw)
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, fmt.Errorf("invalid %s: a string is wanted", t)
	}
	trimmed := strings.TrimSpace(s)
	switch t {
	case "CHAR", "VARCHAR":
		return s, nil
	case "UUID":
		if !uuidForm.MatchString(s) {
			return nil, fmt.Errorf("invalid UUID")
		}
		return strings.ToLower(s), nil
	case "DATE":
		if _, err := time.Parse(time.DateOnly, trimmed); err != nil || !dateForm.MatchString(trimmed) {
			return nil, fmt.Errorf("invalid DATE")
		}
		return trimmed, nil
	case "TIME":
		at, err := time.Parse("15:04:05.999999999", trimmed)
		if err != nil {
			return nil, fmt.Errorf("invalid TIME")
		}
		return at.Format("15:04:05.000000"), nil
	case "TIMESTAMP", "TIMESTAMP_TZ":
		for i, form := range stampForm {
			if at, err := time.Parse(form, trimmed); err == nil && (t == "TIMESTAMP" || i > 1) {
				return at.UTC().Format("2006-01-02 15:04:05.000000"), nil
			}
		}
		return nil, fmt.Errorf("invalid %s", t)
	}
	return nil, fmt.Errorf("values of type %s cannot be read", t)
}

// decimal reads a number or its text: fraction digits beyond the scale are cut, and too many
// before the point are an error.
func decimal(t *columnType, raw json.RawMessage) (any, error) {
	text := string(raw)
	if raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
	}
	n, ok := new(big.Rat).SetString(strings.TrimSpace(text))
	if !ok || strings.Contains(text, "/") {
		return nil, fmt.Errorf("invalid DECIMAL")
	}
	precision, scale := 38, 0
	if t.Precision != nil {
		precision = *t.Precision
	}
	if t.Scale != nil {
		scale = *t.Scale
	}
	ten := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)
	unscaled := new(big.Int).Quo(new(big.Int).Mul(n.Num(), ten), n.Denom())
	if most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(precision)), nil); new(big.Int).Abs(unscaled).Cmp(most) >= 0 {
		return nil, fmt.Errorf("DECIMAL(%d, %d) is exceeded", precision, scale)
	}
	return new(big.Rat).SetFrac(unscaled, ten).FloatString(scale), nil
}
