package debezium

import (
	"bytes"
	"strings"

	"github.com/sluice-cdc/sluice/schema"
)

// tombstone deletes by key: where log compaction has removed the delete before it,
// it is what is left of it, and a Row. After that delete it changes nothing, and is a
// Tombstone.
func (d *Decoder) tombstone(rec Record, key payload) (Class, *shape, error) {
	follows := len(d.deleted) > 0 && bytes.Equal(d.deleted, rec.Key)
	d.deleted = d.deleted[:0]
	if key.data == nil || follows {
		return Tombstone, nil, nil
	}
	key.document = d.collections || d.isDocumentKey(key) || d.opt.Types != nil && d.opt.Types(d.tableByName(), documentID) != schema.Unknown
	sh, err := d.tableOfTopic(key)
	switch {
	case err != nil:
		return Row, nil, err
	case sh == nil:
		return Row, nil, &fault{"a tombstone does not name its table, and neither does its topic " + d.topic,
			"name the topic under tables.<table>.topic in the tables file and restart"}
	case sh.excluded:
		return Excluded, sh, nil
	case !d.byKey(sh, key):
		return Tombstone, nil, nil // its key names no row
	}
	d.op, d.from, d.stage = 'd', origin{}, ValueMisfit
	if sh.byPosition {
		d.placeTombstone()
	}
	return Row, sh, d.delete(sh, rec.Offset, key, &change{})
}

// tableOfTopic finds the table of a record that does not name it: as configured,
// by the name of its key's schema, or by its topic's name. It is nil if none of
// them tells; a table seen in the topic before proves nothing.
func (d *Decoder) tableOfTopic(key payload) (*shape, error) {
	if d.opt.TopicTable != nil {
		if table := d.opt.TopicTable(d.topic); table != "" {
			return d.learnNamed(table, key)
		}
	}
	name := d.topic
	if key.plan != nil && strings.HasSuffix(key.plan.name, ".Key") {
		name = strings.TrimSuffix(key.plan.name, ".Key")
	}
	id, ok := fromName(d.topic, name)
	if !ok {
		return nil, nil
	}
	if d.opt.Merge != nil && !d.opt.dependsOnDatabase(id) {
		// Which of the sources it is of does not matter: the name of the one that they were
		// routed to tells as well, if it leads there.
		if table := d.opt.Table(id); d.opt.Merge(table) {
			return d.learnNamed(table, key)
		}
	}
	if routed(key) {
		return nil, nil // the name is not that of a table
	}
	for _, sh := range d.order {
		if sh.id.sameTable(id) {
			return sh, nil
		}
	}
	if key.data == nil || len(d.order) > 0 && name == d.topic || d.opt.dependsOnDatabase(id) {
		return nil, nil // tables that came were others, or the database is part of the target's name
	}
	return d.learn(id, key)
}

// routed reports whether a key has the column that keeps the rows of several tables
// apart in one topic (Debezium documentation, "Topic routing", key.field.name). Then
// the names of the topic and of its schemas are that of none of them.
func routed(key payload) bool {
	for _, field := range []string{"__dbz__physicalTableIdentifier", "__dbz__sourceIdentifier"} {
		if key.plan != nil && key.plan.byName != nil {
			if _, ok := key.plan.byName[field]; ok {
				return true
			}
		} else if bytes.Contains(key.data, []byte(`"`+field+`"`)) {
			return true
		}
	}
	return false
}

func (d *Decoder) learnNamed(table string, key payload) (*shape, error) {
	if sh := d.shapes[table]; sh != nil || key.data == nil {
		return sh, nil
	}
	return d.learnAs(table, key)
}

// learnAs returns the shape of a table known by its target's name alone.
func (d *Decoder) learnAs(table string, key payload) (*shape, error) {
	if sh := d.shapes[table]; sh != nil {
		return sh, nil
	}
	named := d.opt.Table
	defer func() { d.opt.Table = named }()
	d.opt.Table = func(Identity) string { return table }
	return d.learn(Identity{Topic: d.topic}, key)
}

// tableByName returns the table that the topic's name tells, for records that do not
// get as far as to tell theirs; "" if it does not tell. Rows are never put into a
// table on its word.
func (d *Decoder) tableByName() string {
	if id, ok := fromName(d.topic, d.topic); ok {
		for _, sh := range d.order {
			if sh.id.sameTable(id) {
				return sh.table
			}
		}
	}
	return d.opt.TableOfTopic(d.topic)
}

// TableOfTopic returns the target table that a topic's records are of, as far as its
// name and the options tell, "" if they do not. The records themselves may say
// otherwise.
func (o *Options) TableOfTopic(topic string) string {
	if o.TopicTable != nil {
		if table := o.TopicTable(topic); table != "" {
			return table
		}
	}
	id, ok := fromName(topic, topic)
	if !ok || o.dependsOnDatabase(id) {
		return ""
	}
	return o.Table(id)
}

// dependsOnDatabase reports whether the target's name needs more than a topic's name
// tells.
func (o *Options) dependsOnDatabase(id Identity) bool {
	other := id
	other.Database = "?"
	return o.Table(id) != o.Table(other)
}
