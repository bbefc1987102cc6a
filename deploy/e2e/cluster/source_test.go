//go:build e2e

package cluster

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/push/emulator"
)

var tables = []string{"a", "b", "c"}

const (
	partitions = 4
	ids        = 300 // rows of a table, at most
)

func topicOf(table string) string { return "shop.public." + table }

func topics() (all []string) {
	for _, table := range tables {
		all = append(all, topicOf(table))
	}
	return all
}

// source is a database of three tables that tells its changes as Debezium would.
type source struct {
	client *kgo.Client
	group  string // that reads its topics
	dice   *rand.Rand

	mu      sync.Mutex
	changes int64
	rows    map[string]map[int64]int64 // table → id → version
}

// text is the other column of a row.
func text(version int64) string { return fmt.Sprintf("Zoë %d", version) }

// change makes n changes: one row in seven goes, the others come or get a new version.
func (s *source) change(ctx context.Context, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var recs []*kgo.Record
	for range n {
		s.changes++
		table, id := tables[s.dice.IntN(len(tables))], int64(s.dice.IntN(ids))
		row := s.rows[table]
		image := func(version int64) string {
			return fmt.Sprintf(`{"id":%d,"version":%d,"text":%q}`, id, version, text(version))
		}
		op, before, after := "c", "null", "null"
		if old, there := row[id]; there {
			op, before = "u", image(old)
		}
		if op == "u" && s.dice.IntN(7) == 0 {
			op = "d"
			delete(row, id)
		} else {
			after = image(s.changes)
			row[id] = s.changes
		}
		now := time.Now().UnixMilli()
		topic, key := topicOf(table), fmt.Appendf(nil, `{"id":%d}`, id)
		recs = append(recs, &kgo.Record{Topic: topic, Key: key, Value: fmt.Appendf(nil,
			`{"before":%s,"after":%s,"source":{"version":"3.0.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"snapshot":"false","db":"shop","schema":"public","table":%q,"txId":%d,"lsn":%d},"op":%q,"ts_ms":%d}`,
			before, after, now, table, s.changes, s.changes*8, op, now)})
		if op == "d" {
			recs = append(recs, &kgo.Record{Topic: topic, Key: key})
		}
	}
	return s.client.ProduceSync(ctx, recs...).FirstErr()
}

// live changes rows, until stop is called or the test ends.
func (s *source) live(t *testing.T) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-end:
				return
			case <-time.After(100 * time.Millisecond):
				if err := s.change(context.Background(), 20); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	stop = sync.OnceFunc(func() { close(end); <-done })
	t.Cleanup(stop)
	return stop
}

// differences compares the target's tables with the source's, row by row.
func (s *source) differences(api *emulator.Emulator) (diff []string, rows int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, table := range tables {
		have := map[int64]bool{}
		if snapshot := api.Snapshot("public_" + table); snapshot != nil {
			at := map[string]int{}
			for i, c := range snapshot.Columns {
				at[c.Name] = i
			}
			for _, row := range snapshot.Rows {
				id := row[at["id"]].(int64)
				have[id] = true
				if want, ok := s.rows[table][id]; !ok || row[at["version"]] != any(want) || row[at["text"]] != any(text(want)) {
					diff = append(diff, fmt.Sprintf("%s %d is %v, want version %d", table, id, row, want))
				}
			}
		}
		for id := range s.rows[table] {
			if !have[id] {
				diff = append(diff, fmt.Sprintf("%s %d is missing", table, id))
			}
		}
		rows += len(have)
	}
	return diff, rows
}

// lag is how many records the group has not committed.
func (s *source) lag(t *testing.T) (lag int64) {
	t.Helper()
	adm := kadm.NewClient(s.client)
	ends, err := adm.ListEndOffsets(t.Context(), topics()...)
	if err != nil {
		t.Fatal(err)
	}
	at, err := adm.FetchOffsets(t.Context(), s.group)
	if err != nil {
		t.Fatal(err)
	}
	ends.Each(func(e kadm.ListedOffset) {
		lag += e.Offset
		if o, ok := at.Lookup(e.Topic, e.Partition); ok {
			lag -= max(0, o.At)
		}
	})
	return lag
}

// shares are the tables of each member, by its static name, as the group's coordinator
// knows them.
func (s *source) shares(t *testing.T) map[string][]string {
	t.Helper()
	groups, err := kadm.NewClient(s.client).DescribeGroups(t.Context(), s.group)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, m := range groups[s.group].Members {
		if m.InstanceID == nil {
			t.Fatalf("member %s has no static name", m.MemberID)
		}
		assigned, ok := m.Assigned.AsConsumer()
		if !ok { // it joins just now
			continue
		}
		for _, topic := range assigned.Topics {
			all[*m.InstanceID] = append(all[*m.InstanceID], strings.TrimPrefix(topic.Topic, topicOf("")))
		}
		slices.Sort(all[*m.InstanceID])
	}
	return all
}

// generation is that of the group, and the static name of its leader, as its coordinator
// has written them down last.
func (s *source) generation(t *testing.T) (generation int32, leader string) {
	t.Helper()
	const topic = "__consumer_offsets"
	ends, err := kadm.NewClient(s.client).ListEndOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(e kadm.ListedOffset) { left[e.Partition] = e.Offset })
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.ConsumeTopics(topic), kgo.KeepControlRecords(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for maps.DeleteFunc(left, func(_ int32, n int64) bool { return n == 0 }); len(left) > 0; {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			var key kmsg.GroupMetadataKey
			var value kmsg.GroupMetadataValue
			if len(r.Key) > 1 && r.Key[1] == 2 && key.ReadFrom(r.Key) == nil && key.Group == s.group && value.ReadFrom(r.Value) == nil {
				generation, leader = value.Generation, ""
				for _, m := range value.Members {
					if value.Leader != nil && m.MemberID == *value.Leader && m.InstanceID != nil {
						leader = *m.InstanceID
					}
				}
			}
			if r.Offset >= left[r.Partition]-1 {
				delete(left, r.Partition)
			}
		})
	}
	return generation, leader
}
