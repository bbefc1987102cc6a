package debezium

import (
	"errors"
	"strconv"

	"github.com/sluice-cdc/sluice/schema"
)

// Metadata is something known of a change that is not in its row.
type Metadata uint8

const (
	Operation      Metadata = iota // STRING: c (create), u (update), d (delete) or r (snapshot read)
	Deleted                        // BOOLEAN: whether the change deleted the row
	SourceTime                     // DATETIME: source.ts_ms, when the database made the change; no order
	SourcePosition                 // STRING: where the change stands in the database's log, see position
	KafkaPosition                  // STRING: topic-partition@offset
	KafkaPartition                 // INTEGER
	KafkaOffset                    // INTEGER: grows with each change of a key, for a key stays in its partition
	DeliveredAt                    // DATETIME: when the batch was sealed
)

// MetadataNames are the names of all Metadata in settings, by value.
var MetadataNames = [...]string{"op", "deleted", "source_ts", "source_position", "kafka_position", "kafka_partition", "kafka_offset", "delivered_at"}

// MetadataColumn is a column that a table has besides those of its source. It is NULL
// in the rows of deletes, which have the key only.
type MetadataColumn struct {
	What Metadata
	Name string // at the target
}

// column returns the column as it is at the target.
func (m MetadataColumn) column() schema.Column {
	c := schema.Column{Name: m.Name, Stamp: m.What == DeliveredAt}
	switch m.What {
	case Operation:
		c.Type = schema.Type{Kind: schema.String, Length: 1}
	case Deleted:
		c.Type.Kind = schema.Boolean
	case SourceTime, DeliveredAt:
		c.Type.Kind = schema.DateTime
	case SourcePosition:
		c.Type.Kind = schema.String
	case KafkaPosition: // a topic's name has at most 249 characters
		c.Type = schema.Type{Kind: schema.String, Length: 249 + len("-2147483647@9223372036854775807")}
	default:
		c.Type.Kind = schema.Integer
	}
	return c
}

// metadata is a MetadataColumn in a shape.
type metadata struct {
	what Metadata
	col  int
}

// addMetadata gives a table its columns of metadata, behind those of its first row.
func (d *Decoder) addMetadata(sh *shape) error {
	if sh.mode == ModeSoftDelete && sh.index("(rest)") < 0 {
		if _, err := d.add(sh, "(rest)", schema.Column{Name: "(rest)", Rest: true}); err != nil {
			return err
		}
	}
	if d.opt.Metadata == nil {
		return nil
	}
	all := d.opt.Metadata(sh.table)
	for _, m := range all[len(sh.metadata):] {
		col, err := d.add(sh, "("+MetadataNames[m.What]+")", m.column())
		if err != nil {
			return err
		}
		sh.metadata = append(sh.metadata, metadata{m.What, col})
	}
	return nil
}

// fillMetadata appends the metadata of the change at hand to the run.
func (d *Decoder) fillMetadata(sh *shape, run *schema.Rows, offset int64) (col int, err error) {
	n := run.Len()
	for _, m := range sh.metadata {
		v := &run.Values[m.col]
		if v.Len() != n {
			return m.col, errors.New("twice in the row")
		}
		switch m.what {
		case Operation:
			if d.op == 0 { // a flattened row need not tell it
				v.AppendNull()
				break
			}
			v.Data = append(v.Data, d.op)
			v.EndString()
		case Deleted:
			deleted := int64(0)
			if d.op == 'd' {
				deleted = 1
			}
			v.AppendNum(deleted)
		case SourceTime:
			if ms := d.from.millis; ms > 0 && ms <= maxMicros/1000 {
				v.AppendNum(ms * 1000)
			} else {
				v.AppendNull()
			}
		case SourcePosition:
			d.raw = d.position(d.raw[:0])
			if len(d.raw) == 0 {
				v.AppendNull()
			} else if err := d.appendText(v, d.raw, &plainText); err != nil {
				return m.col, err
			}
		case KafkaPosition:
			v.Data = append(v.Data, d.topic...)
			v.Data = strconv.AppendInt(append(v.Data, '-'), int64(d.part), 10)
			v.Data = strconv.AppendInt(append(v.Data, '@'), offset, 10)
			v.EndString()
		case KafkaPartition:
			v.AppendNum(int64(d.part))
		case KafkaOffset:
			v.AppendNum(offset)
		case DeliveredAt:
			v.AppendNull() // until the batch is sealed
		}
	}
	return -1, nil
}
