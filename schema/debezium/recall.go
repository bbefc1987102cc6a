package debezium

import (
	"maps"
	"slices"

	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// SchemaOf returns the id of the schema that a record's value is under, the zero ID if that is
// not in a registry.
func (d *Decoder) SchemaOf(rec Record) frame.ID {
	if d.opt.Format == JSON || len(rec.Value) == 0 {
		return frame.ID{}
	}
	f, err := d.frameOf(&rec, rec.Value, false)
	if err != nil {
		return frame.ID{}
	}
	return f.id
}

// Recall gives the table whose rows came under one schema the columns that it lacks and that
// another version of the schema has, and returns a run without rows if it has any new one. The
// columns that it has stay as they are. What cannot be read, or would have the name of another
// column, gives nothing: the version is history, and no record that waits is under it.
func (d *Decoder) Recall(of, version frame.ID) *schema.Rows {
	known := d.framed[0].plans[of]
	if known == nil || of == version {
		return nil
	}
	then, err := d.planOf(version, false)
	if err != nil {
		return nil
	}
	var sh *shape
	before := 0
	for _, p := range known.values() {
		for _, image := range p.images() {
			if image.shape == nil {
				continue
			}
			if sh == nil {
				sh, before = image.shape, len(image.shape.cols)
			}
			for _, earlier := range d.named(then, p.name).images() {
				d.addColumns(sh, earlier)
			}
		}
	}
	if sh == nil || len(sh.cols) == before {
		return nil
	}
	rows := runs.Get().(*schema.Rows)
	rows.Reset(sh.table, sh.cols)
	return rows
}

// addColumns gives a table the columns of a row image that it does not have.
func (d *Decoder) addColumns(sh *shape, image *plan) {
	for i := range image.fields {
		f := &image.fields[i]
		switch f.codec.wire {
		case wireMetadata, wireDropped, wireRefused:
			continue
		}
		if sh.index(f.name) < 0 && !d.leaves(sh, f.name) {
			d.add(sh, f.name, schema.Column{Type: f.codec.typ()})
		}
	}
}

// values returns the plans of the values that have been met under a schema: of Protobuf's,
// those of its messages.
func (p *plan) values() []*plan {
	if p.proto != nil {
		return slices.Collect(maps.Values(p.proto.messages))
	}
	return []*plan{p}
}

// named returns the plan of the value that has a name under a schema, nil if it has none.
func (d *Decoder) named(p *plan, name string) *plan {
	if p.proto != nil {
		for _, m := range p.proto.file.Messages {
			if m.Name == name {
				return d.opt.compileProtobuf(m, false)
			}
		}
		return nil
	}
	if p.name != name {
		return nil
	}
	return p
}

// images returns the plans of a value's rows.
func (p *plan) images() (images []*plan) {
	switch {
	case p == nil:
	case p.proto != nil && p.proto.envelope:
		images = []*plan{p.proto.before, p.proto.after}
	case p.avro != nil && p.avro.form != formRow:
		for i := range p.avro.members {
			images = append(images, p.avro.members[i].plan)
		}
	default:
		images = []*plan{p}
	}
	return slices.DeleteFunc(images, func(p *plan) bool { return p == nil || p == document })
}
