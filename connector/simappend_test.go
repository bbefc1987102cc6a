package connector

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// A scenario may have a table whose rows have no key. None of them may be there twice, also
// where a job has added half of its rows and failed: then the table is held.

const appendTopic, appendTable = "shop.public.log", "public_log"

func appendMode(table string) debezium.Mode {
	if table == appendTable {
		return debezium.ModeAppend
	}
	return debezium.ModeUpsert
}

// putAppend adds a row to the table without a key.
func (w *simulation) putAppend(topic simTopic, part int32) {
	w.mu.Lock()
	w.appends++
	id := w.appends
	row := fmt.Sprintf("%s %d", appendTable, id)
	at := fmt.Sprintf("%s/%d", topic.name, part)
	w.home[row] = at
	w.mu.Unlock()
	rec := &kgo.Record{Topic: topic.name, Partition: part, Value: fmt.Appendf(nil,
		`{"before":null,"after":{"id":%d,"v":"1"},"source":{"ts_ms":1,"db":"shop","schema":"public","table":"log"},"op":"c"}`, id)}
	if err := w.client.ProduceSync(context.Background(), rec).FirstErr(); err != nil {
		w.t.Errorf("produce: %v", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records[at] = append(w.records[at], simEntry{rec.Offset, row, 1})
}

func (w *simulation) onAppend(row []any) {
	id := fmt.Sprintf("%s %d", appendTable, row[0])
	if w.seen[id]++; w.seen[id] > 1 && !w.plain[appendTable] {
		w.fail("%s is there %d times", id, w.seen[id])
	}
	w.applied = append(w.applied, simRow{id: id, version: 1, upTo: 1})
}

// appendEnded notes that a job may have left rows of which nobody knows whether they are
// there: then the table may be held, and only then.
func (w *simulation) appendEnded(e emulator.Event) {
	switch {
	case e.Target != appendTable:
	case e.State == "ERROR", e.State == "CANCELED", e.State == "VANISHED":
		w.unsure = true
	}
}

// appendHeld reports whether the table without a key is held, and may be.
func (w *simulation) appendHeld() bool {
	w.mu.Lock()
	unsure := w.unsure
	w.mu.Unlock()
	return unsure && slices.ContainsFunc(w.all, func(m *simMember) bool {
		return !m.over() && slices.ContainsFunc(m.conn.Status().Holds, heldAppend)
	})
}

func heldAppend(h Hold) bool {
	return h.Table == appendTable && strings.Contains(h.Reason, "is not known")
}

// lacksAppends says which row of the table without a key is not there.
func (w *simulation) lacksAppends() string {
	for at, records := range w.records {
		for _, e := range records {
			if strings.HasPrefix(at, appendTopic+"/") && e.row != "" && w.seen[e.row] == 0 {
				return e.row + " is not there"
			}
		}
	}
	return ""
}
