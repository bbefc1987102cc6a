package connector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// work changes rows at the source until it is told to stop.
func (w *simulation) work() {
	defer close(w.worked)
	w.anchor()
	r := rand.New(rand.NewPCG(uint64(w.seed), 8))
	for {
		select {
		case <-w.stop:
			return
		case <-time.After(time.Duration(r.Int64N(2 * int64(w.pace)))):
		}
		switch {
		case w.txns && r.IntN(4) == 0:
			w.transaction(r)
		case w.bad && r.IntN(20) == 0:
			w.putBad(r)
		case w.log && r.IntN(5) == 0:
			for range 1 + r.IntN(6) {
				topic := w.topics[len(w.topics)-1]
				w.putAppend(topic, r.Int32N(topic.parts))
			}
		default:
			for range 1 + r.IntN(6) {
				w.put(r, w.client, false)
			}
		}
	}
}

// anchor writes a first record to compacted partitions, of a row that never changes:
// kfake moves a log's start to the first record that compaction leaves, as no broker does.
func (w *simulation) anchor() {
	for i, topic := range w.topics {
		for part := range topic.parts {
			if w.compact {
				w.change(w.client, topic, part, topic.tables[0], 1_000+100*int64(i)+int64(part), false, false)
			}
		}
	}
}

// transaction changes some rows in one, which the source may take back.
func (w *simulation) transaction(r *rand.Rand) {
	back := r.IntN(3) == 0
	end := kgo.TryCommit
	if back {
		end = kgo.TryAbort
	}
	if err := w.txn.BeginTransaction(); err != nil {
		w.t.Errorf("begin: %v", err)
		return
	}
	for range 1 + r.IntN(4) {
		w.put(r, w.txn, back)
	}
	if err := w.txn.EndTransaction(context.Background(), end); err != nil {
		w.t.Errorf("end of a transaction: %v", err)
	}
}

// putBad writes a record that cannot be decoded, or whose row a pipeline does not take.
func (w *simulation) putBad(r *rand.Rand) {
	topics := w.topics
	if w.log { // it may be held before they are put aside
		topics = topics[:len(topics)-1]
	}
	topic := topics[r.IntN(len(topics))]
	w.mu.Lock()
	id := len(w.aside)
	w.mu.Unlock()
	rec := &kgo.Record{Topic: topic.name, Partition: r.Int32N(topic.parts), Key: fmt.Appendf(nil, `{"id":%d}`, 1_000_000+id), Value: []byte(`{"op":`)}
	if w.pipe != nil && r.IntN(2) == 0 {
		rec.Value = fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"v":null},"source":{"ts_ms":1,"db":"shop","schema":"public","table":%q},"op":"c"}`, 1_000_000+id, topic.tables[0])
	}
	if err := w.client.ProduceSync(context.Background(), rec).FirstErr(); err != nil {
		w.t.Errorf("produce: %v", err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := fmt.Sprintf("%s/%d", topic.name, rec.Partition)
	w.aside[fmt.Sprintf("%s@%d", at, rec.Offset)] = &simBad{value: string(rec.Value)}
	w.records[at] = append(w.records[at], simEntry{offset: rec.Offset})
}

const deadLetters = "dead-letters"

// putAside reads which bad records are in the dead-letter topic.
func (w *simulation) putAside() {
	if len(w.aside) == 0 {
		return
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.Dialer(w.net.DialContext), kgo.ConsumeTopics(deadLetters), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(r *kgo.Record) {
			from := map[string]string{}
			for _, h := range r.Headers {
				from[h.Key] = string(h.Value)
			}
			at := fmt.Sprintf("%s/%s@%s", from["__connect.errors.topic"], from["__connect.errors.partition"], from["__connect.errors.offset"])
			bad := w.aside[at]
			if bad == nil || string(r.Value) != bad.value {
				w.t.Errorf("the dead-letter topic has %s: %q", at, r.Value)
				return
			}
			bad.aside = true
		})
	}
}

// put changes a row. If it is taken back, the row stays what it was.
func (w *simulation) put(r *rand.Rand, cl *kgo.Client, back bool) {
	table, id := w.tables[r.IntN(len(w.tables))], r.Int64N(w.keys)
	var homes []simTopic
	for _, t := range w.topics {
		for _, has := range t.tables {
			if has == table {
				homes = append(homes, t)
			}
		}
	}
	topic := homes[id%int64(len(homes))]
	w.change(cl, topic, int32(id)/int32(len(homes))%topic.parts, table, id, r.IntN(5) == 0, back)
}

func (w *simulation) change(cl *kgo.Client, topic simTopic, part int32, table string, id int64, gone, back bool) {
	row := fmt.Sprintf("public_%s int64:%d|", table, id)
	w.mu.Lock()
	if w.history[row] == nil {
		w.history[row], w.home[row] = []string{""}, fmt.Sprintf("%s/%d", topic.name, part)
	}
	version := len(w.history[row])
	value, after, op := strconv.Itoa(version), fmt.Sprintf(`{"id":%d,"v":"%d"}`, id, version), "u"
	if gone {
		value, after, op = "", "null", "d"
	}
	if back {
		after, op = fmt.Sprintf(`{"id":%d,"v":"taken back"}`, id), "u"
	} else {
		w.history[row] = append(w.history[row], value)
	}
	w.mu.Unlock()
	rec := &kgo.Record{Topic: topic.name, Partition: part, Key: fmt.Appendf(nil, `{"id":%d}`, id), Value: fmt.Appendf(nil,
		`{"before":null,"after":%s,"source":{"ts_ms":%d,"db":"shop","schema":"public","table":%q},"op":%q}`, after, time.Now().UnixMilli(), table, op)}
	if err := cl.ProduceSync(context.Background(), rec).FirstErr(); err != nil {
		w.t.Errorf("produce: %v", err)
		return
	}
	if back {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	at := fmt.Sprintf("%s/%d", topic.name, part)
	w.records[at] = append(w.records[at], simEntry{rec.Offset, row, version})
}
