package debezium

import (
	"fmt"
	"strings"
	"sync"
)

// Names sees to it that no two source tables become one at the target without
// anybody having asked for that. It serves all decoders of a process and is safe for
// concurrent use.
type Names struct {
	// Fold says that the target takes names that differ in case only for one.
	Fold bool
	// Merge tells the target tables that are meant to have several sources; nil: none.
	Merge func(table string) bool
	// Targets returns the target tables that the settings name for a source table, more
	// than one if they contradict each other; nil: none do.
	Targets func(Identity) []string

	mu     sync.Mutex
	owners map[string]owner // by target name, folded where the target folds
}

type owner struct {
	table string
	id    Identity
}

// Claim notes the source of a target table. The error names both where another one
// has it; it is one of the whole table.
func (n *Names) Claim(table string, id Identity) error {
	if n.Targets != nil {
		if all := n.Targets(id); len(all) > 1 {
			return &fault{fmt.Sprintf("the source table %v becomes %s by the settings", id, strings.Join(all, " and ")),
				fmt.Sprintf("narrow tables.%s.from in the tables file and restart", strings.Join(all, ".from or tables."))}
		}
	}
	if n.Merge != nil && n.Merge(table) {
		return nil
	}
	name := table
	if n.Fold {
		name = strings.ToLower(table)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	have, ok := n.owners[name]
	switch {
	case !ok:
		if n.owners == nil {
			n.owners = map[string]owner{}
		}
		n.owners[name] = owner{table, id}
		return nil
	case have.table == table && have.id.sameTable(id):
		if have.id.Database == "" { // what was read off a topic's name knows less
			n.owners[name] = owner{table, id}
		}
		return nil
	}
	return &fault{fmt.Sprintf("the source tables %v and %v are both named %s at the target", have.id, id, table),
		fmt.Sprintf("tell them apart by SLUICE_TARGET_TABLE, SLUICE_CELONIS_NAME_REPLACE or tables.<table>.from, or set tables.%s.merge: true in the tables file if they are meant to be one, and no key is in both; then restart", table)}
}

// String returns the name as a database would print it.
func (id Identity) String() string {
	parts := []string{}
	for _, p := range []string{id.Database, id.Schema, id.Table} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ".")
}
