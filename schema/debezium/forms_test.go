package debezium

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/linkedin/goavro/v2"
	"pgregory.net/rapid"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/jsonschema"
)

// rowChange is a change of a row of id, name and n, which may be NULL.
type rowChange struct {
	op   string // c, r, u or d
	id   int64
	name *string
	n    *int64
}

func quotedOr(s *string) string {
	if s == nil {
		return "null"
	}
	b, _ := json.Marshal(*s)
	return string(b)
}

func (c rowChange) json(id string) string {
	n := "null"
	if c.n != nil {
		n = strconv.FormatInt(*c.n, 10)
	}
	return fmt.Sprintf(`"%s":%d,"name":%s,"n":%s`, id, c.id, quotedOr(c.name), n)
}

// images are before and after; a delete's before is made up but for the key.
func (c rowChange) images() (before, after string) {
	if c.op == "d" {
		return fmt.Sprintf(`{"id":%d,"name":"","n":0}`, c.id), "null"
	}
	return "null", "{" + c.json("id") + "}"
}

func (c rowChange) avro() map[string]any {
	row := map[string]any{"id": c.id, "name": nil, "n": nil}
	if c.name != nil {
		row["name"] = goavro.Union("string", *c.name)
	}
	if c.n != nil {
		row["n"] = goavro.Union("long", *c.n)
	}
	return row
}

func (c rowChange) avroImages() map[string]any {
	if c.op == "d" {
		return map[string]any{"before": nil, "after": nil}
	}
	return map[string]any{"before": nil, "after": goavro.Union("p.public.t.Value", c.avro())}
}

const (
	formColumns = `{"name":"id","type":"long"},{"name":"name","type":["null","string"]},{"name":"n","type":["null","long"]}`
	formFields  = `{"type":"int64","field":"id"},{"type":"string","optional":true,"field":"name"},{"type":"int64","optional":true,"field":"n"}`
)

type fataler interface{ Fatal(...any) }

// form is a way to write a change: its key and its value, "" for null.
type form struct {
	name  string
	opt   func(*Options)
	write func(t fataler, c rowChange) (key, value string)
}

// protobuf writes an event, or with flat the row alone.
func (c rowChange) protobuf(t fataler, r protobufRig, flat bool) (key, value string) {
	row, k := r.message("Value"), r.message("Key")
	setField(row, "id", c.id)
	setField(k, "id", c.id)
	if c.name != nil {
		setField(row, "name", *c.name)
	}
	if c.n != nil {
		setField(row, "n", *c.n)
	}
	var body []byte
	if flat {
		setField(row, "__op", c.op)
		setField(row, "__deleted", strconv.FormatBool(c.op == "d"))
		body = append([]byte{4, 0, 0}, r.bytes(t, row)...)
	} else {
		if c.op == "d" {
			row = nil
		}
		body = r.record(t, c.op, row).Value[5:]
	}
	return string(framedAs(1, append([]byte{2, 2}, r.bytes(t, k)...))), string(framedAs(1, body))
}

func allForms(t *testing.T) []form {
	proto := newProtobufRig(t, protobufText(`int64 id = 1; optional string name = 2; optional int64 n = 3; string __op = 4; string __deleted = 5;`))
	protoRow := newProtobufRig(t, protobufText(`int64 id = 1; optional string name = 2; optional int64 n = 3;`))
	registered := func(id frame.ID) (*frame.Schema, error) {
		image := `{"oneOf":[{"type":"null"},{"type":"object","title":"p.public.t.Value","properties":{"id":{"type":"integer","connect.type":"int64"},
			"name":{"oneOf":[{"type":"null"},{"type":"string"}]},"n":{"oneOf":[{"type":"null"},{"type":"integer","connect.type":"int64"}]}}}]}`
		connect, err := jsonschema.Connect(map[uint64]string{1: `{"type":"object","title":"p.public.t.Key","properties":{"id":{"type":"integer","connect.type":"int64"}}}`,
			2: `{"type":"object","title":"p.public.t.Envelope","properties":{"before":` + image + `,"after":` + image + `}}`}[id.Number], nil)
		return &frame.Schema{Connect: connect}, err
	}
	rows := newAvroRig(t, keySchema, avroEnvelope(formColumns))
	flat := newAvroRig(t, keySchema, `{"type":"record","name":"Value","namespace":"p.public.t","fields":[`+formColumns+`,{"name":"__op","type":"string"},{"name":"__deleted","type":"string"}]}`)
	data := newAvroRig(t, keySchema, `{"type":"record","name":"Data","namespace":"p.public.t","fields":[
		{"name":"before","type":["null",{"type":"record","name":"Value","fields":[`+formColumns+`]}]},{"name":"after","type":["null","Value"]}]}`)
	key := func(c rowChange) string { return fmt.Sprintf(`{"id":%d}`, c.id) }
	keyed := func(o *Options) { o.Keys = func(string) []string { return []string{"id"} } }
	envelope := func(c rowChange) string {
		before, after := c.images()
		return event(c.op, before, after)
	}
	return []form{
		{"JSON", nil, func(_ fataler, c rowChange) (string, string) { return key(c), envelope(c) }},
		{"JSON with schema", nil, func(_ fataler, c rowChange) (string, string) {
			image := `{"type":"struct","optional":true,"name":"p.public.t.Value","fields":[` + formFields + `]`
			return `{"schema":{"type":"struct","name":"p.public.t.Key","fields":[{"type":"int64","field":"id"}]},"payload":` + key(c) + `}`,
				`{"schema":{"type":"struct","name":"p.public.t.Envelope","fields":[` + image + `,"field":"before"},` + image + `,"field":"after"}]},"payload":` + envelope(c) + `}`
		}},
		{"Avro", func(o *Options) { o.Schema = rows.options().Schema }, func(t fataler, c rowChange) (string, string) {
			value := c.avroImages()
			value["source"], value["transaction"], value["op"], value["ts_ms"] = avroSource(), nil, c.op, nil
			rec := rows.record(t, c.id, value)
			return string(rec.Key), string(rec.Value)
		}},
		{"JSON of a registry", func(o *Options) { o.Schema = registered }, func(_ fataler, c rowChange) (string, string) {
			return string(framedAs(1, []byte(key(c)))), string(framedAs(2, []byte(envelope(c))))
		}},
		{"Protobuf", func(o *Options) { o.Schema = protoRow.opt.Schema }, func(t fataler, c rowChange) (string, string) { return c.protobuf(t, protoRow, false) }},
		{"flattened Protobuf", func(o *Options) { o.Schema = proto.opt.Schema }, func(t fataler, c rowChange) (string, string) { return c.protobuf(t, proto, true) }},
		{"flattened", nil, func(_ fataler, c rowChange) (string, string) {
			return key(c), fmt.Sprintf(`{%s,"__op":%q,"__deleted":"%v"}`, c.json("id"), c.op, c.op == "d")
		}},
		{"flattened with tombstones", func(o *Options) { o.Events = EventsFlattened }, func(_ fataler, c rowChange) (string, string) {
			if c.op == "d" {
				return key(c), "null"
			}
			return key(c), "{" + c.json("id") + "}"
		}},
		{"flattened with schema", nil, func(_ fataler, c rowChange) (string, string) {
			return key(c), `{"schema":{"type":"struct","name":"p.public.t.Value","fields":[` + formFields + `,{"type":"string","field":"__deleted"}]},"payload":{` +
				fmt.Sprintf(`%s,"__deleted":"%v"}}`, c.json("id"), c.op == "d")
		}},
		{"flattened Avro", func(o *Options) { o.Schema = flat.options().Schema }, func(t fataler, c rowChange) (string, string) {
			row := c.avro()
			row["__op"], row["__deleted"] = c.op, strconv.FormatBool(c.op == "d")
			rec := flat.record(t, c.id, row)
			return string(rec.Key), string(rec.Value)
		}},
		{"CloudEvent", nil, func(_ fataler, c rowChange) (string, string) {
			before, after := c.images()
			return key(c), cloud(c.op, `{"before":`+before+`,"after":`+after+`}`)
		}},
		{"CloudEvent of Avro", func(o *Options) { o.Schema = data.options().Schema }, func(t fataler, c rowChange) (string, string) {
			return key(c), cloud(c.op, `"`+base64.StdEncoding.EncodeToString(data.record(t, c.id, c.avroImages()).Value)+`"`)
		}},
		{"document", nil, func(_ fataler, c rowChange) (string, string) {
			if c.op == "d" {
				return mongoKey(strconv.FormatInt(c.id, 10)), mongo("d", "null", "null")
			}
			return mongoKey(fmt.Sprintf(`{"$numberLong":"%d"}`, c.id)), mongo(c.op, "null", "{"+c.json("_id")+"}")
		}},
		{"bare key", keyed, func(_ fataler, c rowChange) (string, string) { return strconv.FormatInt(c.id, 10), envelope(c) }},
		{"text key", func(o *Options) {
			keyed(o)
			o.BareKeys, o.Types = BareText, func(_, source string) schema.Kind { return map[string]schema.Kind{"id": schema.Integer}[source] }
		}, func(_ fataler, c rowChange) (string, string) { return strconv.FormatInt(c.id, 10), envelope(c) }},
		{"long key", func(o *Options) { keyed(o); o.BareKeys = BareLong }, func(_ fataler, c rowChange) (string, string) {
			return string(binary.BigEndian.AppendUint64(nil, uint64(c.id))), envelope(c)
		}},
		{"text key of Protobuf", func(o *Options) {
			keyed(o)
			o.Schema, o.BareKeys, o.Types = protoRow.opt.Schema, BareText, func(_, source string) schema.Kind { return map[string]schema.Kind{"id": schema.Integer}[source] }
		}, func(t fataler, c rowChange) (string, string) {
			_, value := c.protobuf(t, protoRow, false)
			return strconv.FormatInt(c.id, 10), value
		}},
		{"configured key", keyed, func(_ fataler, c rowChange) (string, string) { return "", envelope(c) }},
	}
}

// TestForms: the same changes make the same rows, whatever form they come in, and they
// are those of a map that the changes are made in.
func TestForms(t *testing.T) {
	forms := allForms(t)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.Just((*string)(nil)), rapid.Ptr(rapid.StringOf(rapid.RuneFrom([]rune("aé\"\\\n😀5"))), false))
		number := rapid.Ptr(rapid.Int64(), true)
		changes := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) rowChange {
			return rowChange{rapid.SampledFrom([]string{"c", "r", "u", "u", "d"}).Draw(t, "op"), rapid.Int64Range(-2, 3).Draw(t, "id"), text.Draw(t, "name"), number.Draw(t, "n")}
		}), 1, 12).Draw(t, "changes")
		tombstones := rapid.Bool().Draw(t, "tombstones")
		want := map[string]map[string]string{}
		for _, c := range changes {
			id := strconv.FormatInt(c.id, 10)
			if delete(want, id); c.op == "d" {
				continue
			}
			want[id] = map[string]string{}
			if c.name != nil {
				want[id]["name"] = *c.name
			}
			if c.n != nil {
				want[id]["n"] = strconv.FormatInt(*c.n, 10)
			}
		}
		for _, f := range forms {
			opt := testOptions()
			if f.opt != nil {
				f.opt(&opt)
			}
			d := NewDecoder("p.public.t", opt)
			tables := target{}
			decode := func(rec Record) {
				if _, err := d.Decode(rec); err != nil {
					t.Fatalf("%s: %v\n%s", f.name, err, rec.Value)
				}
				for _, rows := range d.Take(nil) {
					for i := range rows.Len() {
						tables.fold(rows, i)
					}
				}
			}
			for i, c := range changes {
				key, value := f.write(t, c)
				decode(Record{Offset: int64(2 * i), Key: []byte(key), Value: []byte(value)})
				if c.op == "d" && tombstones {
					decode(Record{Offset: int64(2*i + 1), Key: []byte(key)})
				}
			}
			got := map[string]map[string]string{}
			for _, table := range tables {
				maps.Copy(got, table.rows)
			}
			if len(got) != len(want) || len(tables) > 1 {
				t.Fatalf("%s: %v, want %v", f.name, tables, want)
			}
			for id, row := range want {
				have := got[id]
				delete(have, "id")
				delete(have, "_id")
				if !maps.Equal(have, row) {
					t.Fatalf("%s: %s is %v, want %v", f.name, id, have, row)
				}
			}
		}
	})
}

// TestFormsAllocateNothing: rows of any form cost no memory of their own, documents
// and their values apart.
func TestFormsAllocateNothing(t *testing.T) {
	forms := allForms(t)
	name, n := "a name", int64(7)
	for _, f := range forms {
		if strings.HasPrefix(f.name, "document") {
			continue
		}
		opt := testOptions()
		if f.opt != nil {
			f.opt(&opt)
		}
		d := NewDecoder("p.public.t", opt)
		key, value := f.write(t, rowChange{"u", 1, &name, &n})
		rec := Record{Key: []byte(key), Value: []byte(value)}
		once := func() {
			for range 100 {
				if _, err := d.Decode(rec); err != nil {
					t.Fatal(f.name, err)
				}
			}
			d.order[0].run.Truncate(0) // which keeps its memory
		}
		if per := testing.AllocsPerRun(10, once); per > 0 {
			t.Errorf("%s: %.0f allocations in 100 rows", f.name, per)
		}
	}
}
