package debezium

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/sluice-cdc/sluice/schema/avro"
)

// extensionPrefix begins the attributes in which a CloudEvent of Debezium's
// CloudEventsConverter carries op and source block (Debezium documentation,
// "CloudEvents"): one a field, without the characters that CloudEvents does not allow.
const extensionPrefix = "iodebezium"

// cloudRole returns what an attribute of a CloudEvent says.
func cloudRole(name []byte) role {
	switch string(name) {
	case "data":
		return roleData
	case "traceparent": // CloudEvents' extension "Distributed Tracing"
		return roleTrace
	case extensionPrefix + "op":
		return roleOp
	case extensionPrefix + "tsms":
		return roleMillis
	}
	if field, ok := bytes.CutPrefix(name, []byte(extensionPrefix)); ok {
		return sourceRole(field)
	}
	return roleOther
}

// cloudEvent reads a CloudEvent of JSON: its extension attributes are op and source,
// its data the row images, as JSON, or as framed Avro in base64.
func (d *Decoder) cloudEvent(e *envelope, value payload) (ev change, err error) {
	ev.from.json = true
	s := scanner{b: value.data}
	more, err := s.open()
	for more && err == nil {
		var name, val []byte
		if name, err = s.name(&d.name); err != nil {
			break
		}
		r := cloudRole(name)
		if val, err = s.skip(); err != nil {
			break
		}
		ev.from.setJSON(r, val)
		more, err = s.next()
	}
	switch {
	case err != nil:
		return ev, err
	case string(e.cloudOp) == `"m"` || string(e.cloudOp) == `"M"`:
		return change{class: Message}, nil
	case len(e.data) == 0:
		return ev, errors.New("a CloudEvent without data")
	case e.data[0] != '"':
		rows, text, err := d.unwrap(e.data, &d.valuePlans, false)
		if err != nil {
			return ev, fmt.Errorf("data of the CloudEvent: %w", err)
		}
		images, err := d.parseEnvelope(text)
		if err != nil {
			return ev, fmt.Errorf("data of the CloudEvent: %w", err)
		}
		return d.imagesOf(ev, &images, e.cloudOp, rows)
	}
	if ev, err = d.imagesOf(ev, &envelope{}, e.cloudOp, nil); err != nil {
		return ev, err
	}
	if d.data, err = base64.StdEncoding.AppendDecode(d.data[:0], e.data[1:len(e.data)-1]); err != nil {
		return ev, errors.New("data of the CloudEvent: neither an object nor base64")
	}
	return d.avroData(ev, d.data)
}

// avroData reads the row images from the data of a CloudEvent, which is framed Avro of
// before and after.
func (d *Decoder) avroData(ev change, data []byte) (change, error) {
	if len(data) == 0 {
		return ev, errors.New("a CloudEvent without data")
	}
	id, body := d.opt.Framing.Prefix(data)
	if id.Space == 0 {
		return ev, fmt.Errorf("data of the CloudEvent: %w", d.noFrame(data))
	}
	value, err := d.openFramed(framed{id: id, data: body}, false)
	if err != nil {
		return ev, err
	}
	if value.plan == nil || value.plan.avro == nil || value.plan.avro.form != formImages {
		return ev, errors.New("data of the CloudEvent: no record of before and after")
	}
	r := avro.Reader{Data: value.data}
	for i := range value.plan.avro.members {
		switch m := &value.plan.avro.members[i]; m.role {
		case roleBefore, roleAfter:
			ev.readImage(&r, m)
		default:
			r.Skip(m.all)
		}
	}
	if r.Failed || r.Left() > 0 {
		return ev, errAvro
	}
	return ev, nil
}
