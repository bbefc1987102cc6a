package debezium

import (
	"bytes"
	"strconv"

	"github.com/sluice-cdc/sluice/schema/avro"
)

// positions are the members of the source block that tell where a change stands in the
// log of its database, by connector, most significant first (Debezium documentation,
// "source" under "Data change events" of each connector). Of several lists the first
// applies whose last member is there, or else the last list.
var positions = map[string][][]string{
	"postgresql":  {{"sequence"}, {"lsn"}},
	"mysql":       {{"file", "pos", "row"}},
	"mariadb":     {{"file", "pos", "row"}},
	"sqlserver":   {{"commit_lsn", "change_lsn", "event_serial_no"}},
	"oracle":      {{"lcr_position"}, {"commit_scn", "txId", "txSeq"}, {"commit_scn", "scn", "rs_id", "ssn"}},
	"db2":         {{"commit_lsn", "change_lsn"}},
	"informix":    {{"commit_lsn", "change_lsn"}},
	"mongodb":     {{"ts_ms", "ord"}},
	"vitess":      {{"vgtid"}},
	"spanner":     {{"ts_ms", "server_transaction_id", "sequence", "mod_number"}},
	"cockroachdb": {{"ts_hlc"}},
}

// positionMembers numbers the members that position and place read, from 1 on.
var positionMembers = func() map[string]int {
	all := map[string]int{"connector": 1, "name": 2, "snapshot": 3, "server_id": 4, "gtid": 5, "redo_thread": 6, "ts_us": 7}
	for _, lists := range positions {
		for _, list := range lists {
			for _, name := range list {
				if all[name] == 0 {
					all[name] = len(all) + 1
				}
			}
		}
	}
	return all
}()

// positionPart is a member of a source block, as text or as a number.
type positionPart struct {
	text   []byte // in JSON with its escapes
	number int64
	is     byte // 't', 'n' or 0: not there
}

// position appends where the change at hand stands: the members of positions, joined by
// slashes, empty where the block has none. Nothing is appended if it has none of them
// or its connector is not known.
func (d *Decoder) position(dst []byte) []byte {
	var parts [32]positionPart
	d.positionParts(&parts)
	lists := positions[string(parts[positionMembers["connector"]].text)]
	for i, list := range lists {
		if i < len(lists)-1 && parts[positionMembers[list[len(list)-1]]].is == 0 {
			continue
		}
		start, any := len(dst), false
		for j, name := range list {
			if j > 0 {
				dst = append(dst, '/')
			}
			p := &parts[positionMembers[name]]
			any = any || p.is != 0
			switch p.is {
			case 'n':
				dst = strconv.AppendInt(dst, p.number, 10)
			case 't':
				dst = d.appendPart(dst, p.text)
			}
		}
		if !any {
			return dst[:start]
		}
		return dst
	}
	return dst
}

// positionParts finds the parts in the source block, which has been read before.
func (d *Decoder) positionParts(parts *[32]positionPart) {
	switch {
	case d.from.json:
		d.jsonPosition(parts)
	case d.from.proto != nil:
		d.protobufPosition(parts)
	default:
		avroPosition(d.from.block, d.from.members, parts)
	}
}

// appendPart appends a member's text. A list, as PostgreSQL's sequence is one
// (["24023128","24023160"], either may be null), becomes its elements.
func (d *Decoder) appendPart(dst, text []byte) []byte {
	if d.from.json && bytes.IndexByte(text, '\\') >= 0 {
		var err error
		if d.text, err = unescape(d.text[:0], text); err == nil {
			text = d.text
		}
	}
	text = bytes.TrimSpace(text)
	if len(text) == 0 || text[0] != '[' {
		return append(dst, text...)
	}
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			dst = append(dst, c)
		case c == ',':
			dst = append(dst, '/')
		}
	}
	return dst
}

func (d *Decoder) jsonPosition(parts *[32]positionPart) {
	s := scanner{b: d.from.block}
	more, err := s.open()
	for more && err == nil {
		var name, val []byte
		if name, err = s.name(&d.name); err != nil {
			return
		}
		at := positionMembers[string(name)]
		if val, err = s.skip(); err != nil {
			return
		}
		if n := len(val); at > 0 && !isNull(val) {
			if n > 1 && val[0] == '"' {
				val = val[1 : n-1]
			}
			parts[at] = positionPart{text: val, is: 't'}
		}
		more, err = s.next()
	}
}

func avroPosition(block []byte, members []avroMember, parts *[32]positionPart) {
	r := avro.Reader{Data: block}
	for i := range members {
		m := &members[i]
		if m.part == 0 {
			r.Skip(m.all)
			continue
		}
		if !m.present(&r) {
			continue
		}
		switch m.value.Kind {
		case avro.String:
			parts[m.part] = positionPart{text: r.Bytes(), is: 't'}
		case avro.Int, avro.Long:
			parts[m.part] = positionPart{number: r.Long(), is: 'n'}
		default:
			r.Skip(m.value)
		}
	}
}
