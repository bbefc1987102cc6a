package connector

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/instrument"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// metrics are the connector's instruments; package instrument says what each is. What is
// told here is told for a batch, a poll or a commit, never for a record.
type metrics struct {
	tables, topics *instrument.Limit
	group          string

	record, batch, row, compacted, late, forgotten, gap, unread, residual, deadLetter, commit, fence, noMetadata metric.Int64Counter
	dropped, truncated, rounded, nulled, clamped, unzoned, unknown, absent, change, jobs, intent, rebalance      metric.Int64Counter
	duration, delay, rows, size, took, wait, process                                                             metric.Float64Histogram

	last atomic.Pointer[Status]
}

func newMetrics(opt *Options, topics *instrument.Limit) (*metrics, error) {
	x := &metrics{tables: instrument.NewLimit(opt.MetricTables), topics: topics, group: opt.Kafka.Group}
	set := &instrument.Set{Meter: opt.Meter}
	for name, c := range map[string]*metric.Int64Counter{
		"sluice.records":                  &x.record,
		"sluice.batches":                  &x.batch,
		"sluice.rows":                     &x.row,
		"sluice.rows.compacted":           &x.compacted,
		"sluice.rows.stale":               &x.late,
		"sluice.positions.forgotten":      &x.forgotten,
		"sluice.offsets.skipped":          &x.gap,
		"sluice.offsets.unverified":       &x.unread,
		"sluice.residuals":                &x.residual,
		"sluice.dead_letters":             &x.deadLetter,
		"sluice.commits":                  &x.commit,
		"sluice.commits.fenced":           &x.fence,
		"sluice.commits.without_metadata": &x.noMetadata,
		"sluice.values.dropped":           &x.dropped,
		"sluice.values.rounded":           &x.rounded,
		"sluice.values.nulled":            &x.nulled,
		"sluice.values.clamped":           &x.clamped,
		"sluice.values.unzoned":           &x.unzoned,
		"sluice.values.unavailable":       &x.absent,
		"sluice.strings.truncated":        &x.truncated,
		"sluice.columns.unknown":          &x.unknown,
		"sluice.schema.changes":           &x.change,
		"sluice.jobs":                     &x.jobs,
		"sluice.intents":                  &x.intent,
		"sluice.rebalances":               &x.rebalance,
	} {
		*c = set.Counter(name)
	}
	for name, h := range map[string]*metric.Float64Histogram{
		"sluice.batch.duration":      &x.duration,
		"sluice.batch.rows":          &x.rows,
		"sluice.batch.size":          &x.size,
		"sluice.delay":               &x.delay,
		"sluice.job.duration":        &x.took,
		"sluice.budget.wait":         &x.wait,
		"messaging.process.duration": &x.process,
	} {
		*h = set.Histogram(name)
	}
	x.observed(set, opt)
	if set.Err != nil {
		return nil, set.Err
	}
	// What is counted from 0 on is seen to rise by the first of it.
	for _, c := range []metric.Int64Counter{x.residual, x.forgotten, x.fence} {
		add(c, 0)
	}
	for _, outcome := range []string{"adopted", "replayed"} {
		add(x.intent, 0, attribute.String("outcome", outcome))
	}
	for _, event := range []string{"assigned", "revoked", "lost"} {
		add(x.rebalance, 0, attribute.String("event", event))
	}
	return x, nil
}

func add(c metric.Int64Counter, n int64, attrs ...attribute.KeyValue) {
	c.Add(context.Background(), n, metric.WithAttributes(attrs...))
}

func (x *metrics) table(name string) attribute.KeyValue {
	return attribute.String(instrument.Table, x.tables.Name(name))
}

func (x *metrics) topic(name string) attribute.KeyValue {
	return attribute.String(instrument.Topic, x.topics.Name(name))
}

// assigned begins a topic's counters of losses at 0.
func (x *metrics) assigned(topic string) {
	t := x.topic(topic)
	for _, c := range []metric.Int64Counter{x.gap, x.unread, x.noMetadata, x.dropped, x.truncated, x.rounded, x.nulled, x.clamped, x.unzoned, x.unknown} {
		add(c, 0, t)
	}
	for _, reason := range debezium.Reasons() {
		add(x.deadLetter, 0, t, attribute.String("reason", reason.String()))
	}
}

// met begins a table's counters at 0.
func (x *metrics) met(table string) {
	t := x.table(table)
	for _, c := range []metric.Int64Counter{x.compacted, x.late, x.change} {
		add(c, 0, t)
	}
	for _, op := range []string{"upsert", "delete"} {
		add(x.row, 0, t, attribute.String("op", op))
	}
	for _, outcome := range []string{"filled", "null", "kept"} {
		add(x.absent, 0, t, attribute.String("outcome", outcome))
	}
}

func (x *metrics) rebalanced(event string)          { add(x.rebalance, 1, attribute.String("event", event)) }
func (x *metrics) records(class string, n int64)    { add(x.record, n, attribute.String("class", class)) }
func (x *metrics) sealed(reason string)             { add(x.batch, 1, attribute.String("reason", reason)) }
func (x *metrics) intents(outcome string)           { add(x.intent, 1, attribute.String("outcome", outcome)) }
func (x *metrics) unbalanced()                      { add(x.residual, 1) }
func (x *metrics) fenced()                          { add(x.fence, 1) }
func (x *metrics) changed(table string)             { add(x.change, 1, x.table(table)) }
func (x *metrics) gaps(topic string, n int64)       { add(x.gap, n, x.topic(topic)) }
func (x *metrics) unverified(topic string, n int64) { add(x.unread, n, x.topic(topic)) }
func (x *metrics) plain(topic string)               { add(x.noMetadata, 1, x.topic(topic)) }

func (x *metrics) waited(ctx context.Context, d time.Duration) { x.wait.Record(ctx, d.Seconds()) }

func (x *metrics) stale(table string, rows, forgotten int64) {
	if rows > 0 {
		add(x.late, rows, x.table(table))
	}
	add(x.forgotten, forgotten)
}

func (x *metrics) deadLettered(topic string, why debezium.Reason) {
	add(x.deadLetter, 1, x.topic(topic), attribute.String("reason", why.String()))
}

// lost counts what a setting allows to be lost (I6).
func (x *metrics) lost(c metric.Int64Counter, topic string, n int64) { add(c, n, x.topic(topic)) }

// unavailable counts what became of values that the source did not send.
func (x *metrics) unavailable(table string, b *batcher.Batch) {
	for outcome, n := range map[string]int{"filled": b.Filled, "null": b.Nulled, "kept": b.Kept} {
		if n > 0 {
			add(x.absent, int64(n), x.table(table), attribute.String("outcome", outcome))
		}
	}
}

func (x *metrics) commits(topic, outcome string) {
	add(x.commit, 1, x.topic(topic), attribute.String("outcome", outcome))
}

// ended counts a job of a table. Workers call it.
func (x *metrics) ended(ctx context.Context, table string, outcome push.Outcome, took time.Duration) {
	at := metric.WithAttributes(x.table(table), attribute.String("outcome", string(outcome)))
	x.jobs.Add(ctx, 1, at)
	if took > 0 {
		x.took.Record(ctx, took.Seconds(), at)
	}
}

// delivered books a batch that is DONE.
func (x *metrics) delivered(w *work, now time.Time) {
	t := x.table(w.lane.table)
	add(x.row, int64(w.upserts), t, attribute.String("op", "upsert"))
	add(x.row, int64(w.deletes), t, attribute.String("op", "delete"))
	add(x.compacted, int64(w.compacted), t)
	at := metric.WithAttributes(t)
	x.rows.Record(w.ctx, float64(w.upserts+w.deletes), at)
	x.size.Record(w.ctx, float64(w.files), at)
	x.duration.Record(w.ctx, now.Sub(w.sealed).Seconds(), at)
	if w.oldest > 0 {
		x.delay.Record(w.ctx, max(0, now.Sub(time.UnixMilli(w.oldest)).Seconds()), at)
	}
}

// processed tells how long a batch took, or an adopted job, to DONE or to its failure.
func (x *metrics) processed(w *work, now time.Time, err error) {
	at := []attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationName("process"),
		semconv.MessagingOperationTypeProcess, semconv.MessagingConsumerGroupName(x.group)}
	topics := map[string]bool{}
	for p := range w.ends {
		topics[p.Topic] = true
	}
	if len(topics) == 1 {
		for name := range topics {
			at = append(at, x.topic(name))
		}
	}
	if err != nil {
		at = append(at, semconv.ErrorTypeKey.String(push.KindOf(err).String()))
	}
	x.process.Record(w.ctx, now.Sub(w.sealed).Seconds(), metric.WithAttributes(at...))
}
