package debezium

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/frame"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// framed is a key or value whose schema is in a registry.
type framed struct {
	id     frame.ID // zero: there is no frame
	data   []byte
	header []byte // what follows the id in its header, nil if the id is a prefix
	json   bool   // a header says that Avro is written as JSON
}

// schemaHeaders are the headers that name the schema of a record's value and key
// (Confluent, HeaderSchemaIdSerializer; Apicurio, DefaultHeadersHandler).
var schemaHeaders = [2]struct{ confluent, apicurio string }{{"__value_schema_id", "apicurio.value."}, {"__key_schema_id", "apicurio.key."}}

// frameOf finds the schema of a key or value: a header's before a prefix, for the bytes
// beside a header are bare.
func (d *Decoder) frameOf(rec *Record, raw []byte, isKey bool) (f framed, err error) {
	f.data = raw
	at := 0
	if isKey {
		at = 1
	}
	names := &schemaHeaders[at]
	named := "" // by a header whose id is not to be had
	for i := range rec.Headers {
		h := &rec.Headers[i]
		if h.Key == names.confluent {
			if d.opt.Framing.Apicurio {
				return f, otherHeader(h.Key, "confluent")
			}
			if f.id, f.header = d.opt.Framing.Prefix(h.Value); f.id == (frame.ID{}) {
				return f, fmt.Errorf("its header %s holds no schema id", h.Key)
			}
			continue
		}
		if len(h.Key) <= len(names.apicurio) || h.Key[:len(names.apicurio)] != names.apicurio {
			continue
		}
		id := frame.ID{}
		switch h.Key[len(names.apicurio):] {
		case "contentId":
			id = longID(frame.ContentID, h.Value)
		case "globalId":
			id = longID(frame.GlobalID, h.Value)
		case "contentHash":
			id = frame.Hash(h.Value)
		case "encoding":
			f.json = bytes.EqualFold(h.Value, []byte("JSON"))
			continue
		case "artifactId":
			named = h.Key
			continue
		default:
			continue
		}
		switch {
		case !d.opt.Framing.Apicurio:
			return f, otherHeader(h.Key, "apicurio-v3")
		case id == (frame.ID{}):
			return f, fmt.Errorf("its header %s holds no schema id", h.Key)
		case f.id.Space == 0 || id.Space == frame.ContentID:
			f.id, f.header = id, []byte{}
		}
	}
	switch {
	case f.id.Space != 0:
		return f, nil
	case named != "" && d.opt.Framing.Apicurio:
		return f, fmt.Errorf("its header %s names an artifact, of which any version may be meant, and no header an id: set apicurio.registry.use-id=contentId at the converter", named)
	case d.opt.Format != Framed && !frame.Framed(raw):
		return f, nil
	}
	if f.id, f.data = d.opt.Framing.Prefix(raw); f.id.Space == 0 {
		return f, d.noFrame(raw)
	}
	return f, nil
}

func (d *Decoder) noFrame(raw []byte) error {
	return fmt.Errorf("not in the frame of a registry: it begins with %#x, where SLUICE_FORMAT and SLUICE_SCHEMA_REGISTRY_FRAMING want %s", raw[:min(len(raw), 9)], wanted(d.opt.Framing))
}

func longID(space frame.Space, value []byte) frame.ID {
	if len(value) != 8 {
		return frame.ID{}
	}
	return frame.Number(space, binary.BigEndian.Uint64(value), 64)
}

func otherHeader(name, framing string) error {
	return &fault{fmt.Sprintf("its header %s names a schema, and SLUICE_SCHEMA_REGISTRY_FRAMING is of other headers", name),
		fmt.Sprintf("set SLUICE_SCHEMA_REGISTRY_FRAMING=%s, and SLUICE_SCHEMA_REGISTRY_URL to that registry's own API, and restart", framing)}
}

func wanted(f frame.Framing) string {
	switch {
	case !f.Apicurio:
		return "00 and an id of four bytes, or 01 and a GUID"
	case f.Long == 0:
		return "00 and an id of four bytes"
	case f.Short == 0:
		return "00 and an id of eight bytes"
	}
	return "00 and an id of four or eight bytes"
}

// framedPlans are the plans of the schemas met so far, the last of them apart: it most
// often is the next one.
type framedPlans struct {
	last  frame.ID
	plan  *plan
	plans map[frame.ID]*plan
}

// openFramed finds the plan of a frame's schema, and the bytes that are under it.
func (d *Decoder) openFramed(f framed, isKey bool) (payload, error) {
	known := &d.framed[0]
	if isKey {
		known = &d.framed[1]
	}
	if known.last != f.id {
		p := known.plans[f.id]
		if p == nil {
			var err error
			if p, err = d.planOf(f.id, isKey); err != nil {
				return payload{}, err
			}
			if known.plans == nil {
				known.plans = map[frame.ID]*plan{}
			}
			known.plans[f.id] = p
		}
		known.last, known.plan = f.id, p
	}
	p := known.plan
	switch {
	case p.avro != nil:
		return d.openAvro(p, f)
	case p.proto != nil:
		return d.openProtobuf(p, f, isKey)
	case isNull(bytes.TrimSpace(f.data)):
		return payload{}, nil
	}
	return payload{plan: p, data: f.data}, nil
}

func (d *Decoder) planOf(id frame.ID, isKey bool) (*plan, error) {
	if d.opt.Schema == nil {
		return nil, errors.New("its schema is in a registry, and SLUICE_SCHEMA_REGISTRY_URL is not set")
	}
	s, err := d.opt.Schema(id)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return nil, &NeedSchema{id}
	}
	switch {
	case s.Avro != nil:
		return d.opt.compileAvro(s.Avro, isKey), nil
	case s.Protobuf != nil:
		return &plan{proto: &protoPlan{file: s.Protobuf, messages: map[*protobuf.Message]*plan{}}}, nil
	}
	root, err := parseConnectSchema(s.Connect)
	if err != nil {
		return nil, err
	}
	return d.opt.compile(root, isKey), nil
}

// openAvro takes the union of a nullable key or value off.
func (d *Decoder) openAvro(p *plan, f framed) (payload, error) {
	if f.json {
		var err error
		if f.data, err = avro.AppendJSON(nil, p.avro.root.all, f.data); err != nil {
			return payload{}, err
		}
	}
	r := avro.Reader{Data: f.data}
	if !p.avro.root.present(&r) {
		return payload{}, nil
	}
	return payload{plan: p, data: r.Data[r.At:]}, nil
}
