package debezium

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/avro"
)

// link notes the context in which a change was made: that in the record's headers, which
// Debezium's ActivateTracingSpan and every instrumented producer write, else that in the
// row (Debezium documentation, "Distributed Tracing"), else a CloudEvent's own. What is
// malformed counts as not there.
func (d *Decoder) link(run *schema.Rows, sh *shape, rec *Record, e *change) {
	parent, state := rec.trace()
	if run.Traces.Beyond(parent) {
		return
	}
	c, ok := schema.ParseTraceparent(parent)
	if !ok && e.after.data != nil {
		if text := d.traceText(sh.planOf(e.after.plan), e.after.data); text != nil {
			parent, state = d.properties(text)
			c, ok = schema.ParseTraceparent(parent)
		}
	}
	if !ok && e.from.trace != nil {
		c, ok = schema.ParseTraceparent(e.from.trace)
		state = nil
	}
	if ok {
		c.Partition, c.Offset = rec.Partition, rec.Offset
		run.Traces.Add(c, state)
	}
}

// trace returns the last headers of their names. The names have no case, for they are
// HTTP's, and Connect's JSON header converter puts the values in quotes.
func (r *Record) trace() (parent, state []byte) {
	for i := range r.Headers {
		switch h := &r.Headers[i]; {
		case h.Key == "traceparent", strings.EqualFold(h.Key, "traceparent"):
			parent = bytes.Trim(h.Value, `"`)
		case h.Key == "tracestate", strings.EqualFold(h.Key, "tracestate"):
			state = bytes.Trim(h.Value, `"`)
		}
	}
	return parent, state
}

// traceText returns the text in a row's TraceColumn, nil if it has none. It is read off
// the image, for the target's column may be left out, hashed, or cut.
func (d *Decoder) traceText(p *plan, image []byte) []byte {
	at, ok := p.byName[d.opt.TraceColumn]
	if !ok {
		return nil
	}
	switch {
	case p.avro != nil:
		r := avro.Reader{Data: image}
		for i := range p.fields[:at] {
			if f := &p.fields[i].avro; f.present(&r) {
				r.Skip(f.value)
			}
		}
		if f := &p.fields[at].avro; f.value.Kind == avro.String && f.present(&r) {
			return r.Bytes()
		}
	case p.proto != nil:
		m := p.proto.message
		values := d.fields(m)
		if m.Split(image, values) {
			_, v := scalar(&m.Fields[at], &values[at])
			return v.Bytes
		}
	default:
		s := scanner{b: image}
		more, err := s.open()
		for more && err == nil {
			name, err := s.name(&d.name)
			if err != nil {
				return nil
			}
			found := string(name) == d.opt.TraceColumn
			val, err := s.skip()
			if err != nil || found && val[0] != '"' {
				return nil
			}
			if found {
				if d.text, err = unescape(d.text[:0], val[1:len(val)-1]); err != nil {
					return nil
				}
				return d.text
			}
			if more, err = s.next(); err != nil {
				return nil
			}
		}
	}
	return nil
}

// properties finds a context in the text of a java.util.Properties (Java SE API,
// Properties.load): a name and a value a line, with = or : or white space between and
// escapes in both.
func (d *Decoder) properties(text []byte) (parent, state []byte) {
	d.raw = d.raw[:0]
	for line := range bytes.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\r' }) {
		line = bytes.TrimLeft(line, " \t\f")
		if len(line) == 0 || line[0] == '#' || line[0] == '!' {
			continue
		}
		end := 0
		for ; end < len(line) && !bytes.ContainsRune([]byte("=: \t\f"), rune(line[end])); end++ {
			if line[end] == '\\' {
				end++
			}
		}
		end = min(end, len(line))
		value := bytes.TrimLeft(line[end:], " \t\f")
		if len(value) > 0 && (value[0] == '=' || value[0] == ':') {
			value = bytes.TrimLeft(value[1:], " \t\f")
		}
		from := len(d.raw)
		switch string(line[:end]) {
		case "traceparent":
			d.raw = appendProperty(d.raw, value)
			parent = d.raw[from:]
		case "tracestate":
			d.raw = appendProperty(d.raw, value)
			state = d.raw[from:]
		}
	}
	return parent, state
}

// appendProperty appends a value without its escapes.
func appendProperty(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		b := text[i]
		if b != '\\' || i+1 == len(text) {
			dst = append(dst, b)
			continue
		}
		i++
		if text[i] == 'u' && i+4 < len(text) {
			if r, err := strconv.ParseUint(string(text[i+1:i+5]), 16, 16); err == nil {
				dst = utf8.AppendRune(dst, rune(r))
				i += 4
				continue
			}
		}
		dst = append(dst, text[i])
	}
	return dst
}
