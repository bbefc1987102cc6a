package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var shopTopics = []string{"shop.public.customers", "shop.public.orders", "shop.public.order_lines"}

// shop is the demo's source database: it keeps its tables and tells each change
// as Debezium would.
type shop struct {
	total, made int
	dice        *rand.Rand
	tables      map[string]*shopTable
	lsn         int
}

// shopTable is a table of the source. Its rows are what the target must hold in
// the end.
type shopTable struct {
	topic   string
	keys    []string
	columns []string
	rows    map[string]map[string]any // by key text
	order   []string                  // keys, to pick from
	serial  int
}

func newShop(total int) *shop {
	s := &shop{total: total, dice: rand.New(rand.NewPCG(3, 4)), tables: map[string]*shopTable{}}
	for topic, t := range map[string]*shopTable{
		shopTopics[0]: {keys: []string{"id"}, columns: []string{"id", "name", "email", "vip", "credit"}},
		shopTopics[1]: {keys: []string{"id"}, columns: []string{"id", "customer_id", "status", "total", "note", "created_at"}},
		shopTopics[2]: {keys: []string{"order_id", "line_no"}, columns: []string{"order_id", "line_no", "sku", "quantity", "price"}},
	} {
		t.topic, t.rows = topic, map[string]map[string]any{}
		s.tables[topic] = t
	}
	return s
}

func (t *shopTable) target() string { return targetOf(t.topic) }

func targetOf(topic string) string {
	parts := strings.Split(topic, ".")
	return parts[1] + "_" + parts[2]
}

// rows is how many rows all tables have.
func (s *shop) rows() (n int) {
	for _, t := range s.tables {
		n += len(t.rows)
	}
	return n
}

// next makes one change and returns its records: a delete is followed by its
// tombstone, and a key change is a delete and an insert.
func (s *shop) next() []*kgo.Record {
	s.made++
	topic := shopTopics[[]int{0, 1, 1, 2, 2, 2}[s.dice.IntN(6)]]
	t := s.tables[topic]
	p := s.dice.IntN(100)
	if len(t.order) < 20 || p < 45 {
		return s.emit(t, "c", nil, s.insert(t))
	}
	at := s.dice.IntN(len(t.order))
	key := t.order[at]
	row := t.rows[key]
	switch {
	case p < 88:
		changed := s.values(t, row)
		t.rows[key] = changed
		return s.emit(t, "u", row, changed)
	case p < 97:
		t.remove(at)
		return s.emit(t, "d", row, nil)
	}
	// The key changes: what Debezium makes a delete of the old and an insert.
	t.remove(at)
	recs := s.emit(t, "d", row, nil)
	moved := map[string]any{}
	for k, v := range row {
		moved[k] = v
	}
	t.serial++
	moved[t.keys[len(t.keys)-1]] = int64(1_000_000 + t.serial)
	t.put(moved)
	return append(recs, s.emit(t, "c", nil, moved)...)
}

func (s *shop) insert(t *shopTable) map[string]any {
	t.serial++
	row := s.values(t, map[string]any{t.keys[0]: int64(t.serial)})
	if len(t.keys) == 2 {
		row["order_id"], row["line_no"] = int64(t.serial/3), int64(t.serial%3)
	}
	t.put(row)
	return row
}

func (t *shopTable) key(row map[string]any) string {
	k := make([]any, len(t.keys))
	for i, c := range t.keys {
		k[i] = row[c]
	}
	return fmt.Sprint(k...)
}

func (t *shopTable) put(row map[string]any) {
	k := t.key(row)
	if _, had := t.rows[k]; !had {
		t.order = append(t.order, k)
	}
	t.rows[k] = row
}

// remove deletes the row whose key is the at-th of order.
func (t *shopTable) remove(at int) {
	delete(t.rows, t.order[at])
	last := len(t.order) - 1
	t.order[at] = t.order[last]
	t.order = t.order[:last]
}

// values makes a row's other columns anew; NULL, empty and zero are among them.
func (s *shop) values(t *shopTable, old map[string]any) map[string]any {
	row := map[string]any{}
	for _, k := range t.keys {
		row[k] = old[k]
	}
	r := s.dice
	maybe := func(v any) any {
		if r.IntN(4) == 0 {
			return nil
		}
		return v
	}
	switch t.topic {
	case shopTopics[0]:
		row["name"] = []string{"Ada", "Émile", "李雷", "Zoë \"Z\"", ""}[r.IntN(5)]
		row["email"] = maybe(fmt.Sprintf("c%d@example.org", r.IntN(1e6)))
		row["vip"] = r.IntN(10) == 0
		row["credit"] = r.Int64()
	case shopTopics[1]:
		row["customer_id"] = int64(r.IntN(5000))
		row["status"] = []string{"new", "paid", "shipped", "returned"}[r.IntN(4)]
		row["total"] = float64(r.IntN(1e6)) + 0.25
		row["note"] = maybe([]string{"", "leave at the door", "line\nbreak"}[r.IntN(3)])
		row["created_at"] = time.Now().UnixMicro()
	case shopTopics[2]:
		row["sku"] = fmt.Sprintf("SKU-%05d", r.IntN(1e5))
		row["quantity"] = maybe(int64(r.IntN(10)))
		row["price"] = float64(r.IntN(1e4)) + 0.5
	}
	return row
}

func (s *shop) emit(t *shopTable, op string, before, after map[string]any) []*kgo.Record {
	s.lsn += 8
	row := after
	if row == nil {
		row = before
	}
	key := object(t.keys, row)
	image := "null"
	if after != nil {
		image = object(t.columns, after)
	}
	old := "null"
	if op == "d" {
		old = object(t.columns, before)
	}
	parts := strings.Split(t.topic, ".")
	now := time.Now().UnixMilli()
	value := fmt.Sprintf(`{"before":%s,"after":%s,"source":{"version":"3.0.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"snapshot":"false","db":"shop","schema":%q,"table":%q,"txId":%d,"lsn":%d},"transaction":null,"op":%q,"ts_ms":%d}`,
		old, image, now, parts[1], parts[2], s.made, s.lsn, op, now)
	recs := []*kgo.Record{{Topic: t.topic, Key: []byte(key), Value: []byte(value)}}
	if op == "d" {
		recs = append(recs, &kgo.Record{Topic: t.topic, Key: []byte(key)})
	}
	return recs
}

// object writes columns as a JSON object, in order.
func object(columns []string, row map[string]any) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		v, _ := json.Marshal(row[c]) // strings, numbers, booleans and nil
		fmt.Fprintf(&b, "%q:%s", c, v)
	}
	b.WriteByte('}')
	return b.String()
}

// mismatches counts rows that are missing, too many, or differ in a column.
func (t *shopTable) mismatches(target []map[string]any) int {
	wrong, found := 0, 0
	for _, row := range target {
		want, ok := t.rows[t.key(row)]
		if !ok {
			wrong++
			continue
		}
		found++
		for _, c := range t.columns {
			if want[c] != row[c] {
				wrong++
				break
			}
		}
	}
	return wrong + len(t.rows) - found
}
