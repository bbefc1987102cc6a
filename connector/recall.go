package connector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// recallAll recalls what rows of partitions look like. It gives up after a while, for not
// to begin would be worse than to begin without.
func (c *Connector) recallAll(parts []*partition, at map[kafka.Partition]kafka.Location) (known []*schema.Rows) {
	ctx, cancel := context.WithTimeout(c.hard, 2*commitTimeout)
	defer cancel()
	var failed error
	last := map[*partition][]*kgo.Record{}
	for _, p := range parts {
		if fetch := at[p.Partition].Earlier; fetch != nil {
			recs, err := fetch(ctx)
			if err != nil {
				failed = fmt.Errorf("%v: %w", p.Partition, err)
			}
			last[p] = recs
			known = append(known, c.recall(ctx, p, recs)...)
		}
	}
	if c.opt.WholeFiles && c.opt.Registry != nil {
		asked := history{}
		for _, p := range parts { // after all the others, in the time that they have left
			rows, err := c.recallVersions(ctx, p, last[p], at[p.Partition].Oldest, asked)
			if err != nil {
				failed = fmt.Errorf("%v: %w", p.Partition, err)
			}
			known = append(known, rows...)
		}
	}
	if failed != nil && c.hard.Err() == nil {
		c.log.Warn("what was delivered before cannot be looked at; the first files may lack columns that the next rows do not have", "error", failed)
	}
	return known
}

// recall decodes records that were delivered before, so that the columns which a table
// has at the target are in its files from the first on, though no row of this process has
// had them yet. It teaches the partition's decoder too. What cannot be decoded, or has a
// schema that cannot be had now, teaches nothing.
func (c *Connector) recall(ctx context.Context, p *partition, recs []*kgo.Record) []*schema.Rows {
	for _, r := range recs {
		rec := recordOf(r, nil)
		for range 3 { // its key's schema and its value's may both be lacking
			_, err := p.decoder.Decode(rec)
			var need *debezium.NeedSchema
			if !errors.As(err, &need) || c.opt.Registry.Fetch(ctx, need.ID) != nil {
				break
			}
		}
	}
	runs := p.decoder.Take(nil)
	for _, rows := range runs {
		rows.Truncate(0) // the columns tell it
	}
	return runs
}

// history is what a registry has said of versions, by what it was asked, which is the same for
// most partitions of a topic.
type history map[string]map[frame.ID][]frame.ID

// recallVersions recalls the columns that the rows of a partition have had under versions of
// their schema which none of the last records is under: those since the oldest record that is
// there. Earlier versions are left alone, for nothing tells whether this group has read a
// record under them, and a column that the target has never had may be one too many there.
func (c *Connector) recallVersions(ctx context.Context, p *partition, last []*kgo.Record, oldest func(context.Context) ([]*kgo.Record, error), asked history) (known []*schema.Rows, err error) {
	of := schemasOf(p, last)
	if len(of) == 0 {
		return nil, nil
	}
	since := of
	if oldest != nil {
		recs, err := oldest(ctx)
		if err != nil {
			return nil, err
		}
		since = schemasOf(p, recs)
	}
	question := fmt.Sprint(of, since)
	versions, told := asked[question]
	if !told {
		if versions, err = c.opt.Registry.Versions(ctx, of, since); err != nil {
			return nil, err
		}
		asked[question] = versions
	}
	for _, id := range of {
		for _, version := range versions[id] {
			if err := c.opt.Registry.Fetch(ctx, version); err != nil {
				return known, err
			}
			if rows := p.decoder.Recall(id, version); rows != nil {
				known = append(known, rows)
			}
		}
	}
	return known, nil
}

// schemasOf returns the schemas that the values of records are under.
func schemasOf(p *partition, recs []*kgo.Record) (ids []frame.ID) {
	for _, r := range recs {
		if id := p.decoder.SchemaOf(recordOf(r, nil)); id.Space != 0 && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
