package registry

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/schema/frame"
)

// maxVersions is how many of a subject's versions are looked at, the newest ones.
const maxVersions = 20

// Versions returns, for each of some schemas, the ids of its subject's versions from the oldest
// on under which any of since stands, the newest first. A subject that has none of since has
// none. Only Confluent's API numbers the versions of an id; schemas that are named otherwise have
// none either. It asks once: an error may pass.
func (r *Registry) Versions(ctx context.Context, of, since []frame.ID) (map[frame.ID][]frame.ID, error) {
	var err error
	for _, s := range r.servers {
		var versions map[frame.ID][]frame.ID
		if versions, err = s.versions(ctx, of, since); err == nil || ctx.Err() != nil {
			return versions, err
		}
	}
	if err != nil {
		err = fmt.Errorf("the versions of a schema: %s", said(err))
	}
	return nil, err
}

func (s *server) versions(ctx context.Context, of, since []frame.ID) (map[frame.ID][]frame.ID, error) {
	places := map[frame.ID][]sr.SubjectVersion{}
	for _, id := range slices.Concat(of, since) {
		if _, asked := places[id]; asked || id.Space != frame.SchemaID {
			continue
		}
		var err error
		if places[id], err = s.cl.SchemaVersionsByID(ctx, int(id.Number)); err != nil {
			return nil, err
		}
	}
	oldest := map[string]int{}
	for _, id := range since {
		for _, at := range places[id] {
			if have, ok := oldest[at.Subject]; !ok || at.Version < have {
				oldest[at.Subject] = at.Version
			}
		}
	}
	subjects := map[string][]frame.ID{}
	versions := map[frame.ID][]frame.ID{}
	for _, id := range of {
		for _, at := range places[id] {
			from, ok := oldest[at.Subject]
			if !ok {
				continue
			}
			if _, listed := subjects[at.Subject]; !listed {
				var err error
				if subjects[at.Subject], err = s.subject(ctx, at.Subject, from); err != nil {
					return nil, err
				}
			}
			versions[id] = append(versions[id], subjects[at.Subject]...)
		}
	}
	return versions, nil
}

// subject returns the ids of a subject's versions from one on, the newest first.
func (s *server) subject(ctx context.Context, name string, from int) (ids []frame.ID, err error) {
	numbers, err := s.cl.SubjectVersions(ctx, name)
	if err != nil {
		return nil, err
	}
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		if n < from || len(ids) == maxVersions {
			break
		}
		one, err := s.cl.SchemaByVersion(ctx, name, n)
		if err != nil {
			return nil, err
		}
		ids = append(ids, frame.Number(frame.SchemaID, uint64(one.ID), 32))
	}
	return ids, nil
}
