package connector

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-cdc/sluice/batcher"
)

// metrics are the connector's instruments, under OpenTelemetry's names.
type metrics struct {
	record, batch, row, deadLetter, commit, truncated, dropped, rounded, nulled, clamped, unknown, noMetadata, compacted, gap, residual, absent, late, forgotten metric.Int64Counter
	holds                                                                                                                                                        metric.Int64UpDownCounter
	duration                                                                                                                                                     metric.Float64Histogram
	last                                                                                                                                                         atomic.Pointer[Status]
}

func newMetrics(m metric.Meter) (*metrics, error) {
	x := &metrics{}
	var err error
	note := func(e error) {
		if err == nil {
			err = e
		}
	}
	counter := func(name, unit, text string) metric.Int64Counter {
		c, e := m.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(text))
		note(e)
		return c
	}
	x.record = counter("sluice.records", "{record}", "Records decoded, by class.")
	x.batch = counter("sluice.batches", "{batch}", "Batches sealed, by reason.")
	x.row = counter("sluice.rows", "{row}", "Rows delivered, by table and kind of change.")
	x.compacted = counter("sluice.rows.compacted", "{row}", "Rows that a later one of their key replaced before they were sent, by table.")
	x.late = counter("sluice.rows.stale", "{row}", "Rows skipped as older than a change of their key that came before, by table.")
	x.forgotten = counter("sluice.positions.forgotten", "{key}", "Keys whose position was forgotten for want of memory.")
	x.gap = counter("sluice.offsets.skipped", "{offset}", "Offsets that the brokers skipped, by topic: transaction markers, aborted and compacted records.")
	x.residual = counter("sluice.residuals", "{residual}", "Batches and partitions whose records were not all accounted for; each is on hold.")
	x.deadLetter = counter("sluice.dead_letters", "{record}", "Records written to the dead-letter topic, by source topic.")
	x.commit = counter("sluice.commits", "{commit}", "Offset commits, a partition each, by outcome.")
	x.noMetadata = counter("sluice.commits.without_metadata", "{partition}", "Partitions for which the brokers take no metadata, so that a batch may be sent twice after a crash.")
	x.dropped = counter("sluice.values.dropped", "{value}", "Values left out under a setting, by source topic.")
	x.truncated = counter("sluice.strings.truncated", "{string}", "Strings longer than their column that a setting lets be cut, by source topic.")
	x.absent = counter("sluice.values.unavailable", "{value}", "Values that the source did not send, by table and outcome: filled from an earlier change, null, or kept as the target has them.")
	x.rounded = counter("sluice.values.rounded", "{value}", "Decimals and times of which the files do not hold every digit, by source topic.")
	x.nulled = counter("sluice.values.nulled", "{value}", "Values out of the target's range that a setting makes NULL, by source topic.")
	x.clamped = counter("sluice.values.clamped", "{value}", "Values out of the target's range that a setting makes the nearest in it, by source topic.")
	x.unknown = counter("sluice.columns.unknown", "{column}", "Columns of a type that is not known, read as its base type, by source topic; each schema counts.")
	var e error
	x.holds, e = m.Int64UpDownCounter("sluice.holds", metric.WithUnit("{hold}"), metric.WithDescription("Tables and partitions on hold."))
	note(e)
	x.duration, e = m.Float64Histogram("sluice.batch.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from sealing a batch to DONE, by table."),
		metric.WithExplicitBucketBoundaries(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600))
	note(e)
	gauge := func(name, unit, text string, read func(*Status, metric.Float64Observer)) {
		_, e := m.Float64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(text),
			metric.WithFloat64Callback(func(_ context.Context, o metric.Float64Observer) error {
				if s := x.last.Load(); s != nil {
					read(s, o)
				}
				return nil
			}))
		note(e)
	}
	gauge("sluice.memory", "By", "Bytes in batches, and of records that wait for a decoder or a schema, by state.", func(s *Status, o metric.Float64Observer) {
		o.Observe(float64(s.Memory.Open), metric.WithAttributes(attribute.String("state", "open")))
		o.Observe(float64(s.Memory.InFlight), metric.WithAttributes(attribute.String("state", "in_flight")))
		o.Observe(float64(s.Memory.Waiting), metric.WithAttributes(attribute.String("state", "waiting")))
	})
	gauge("sluice.schema_registry.up", "1", "1 if the schema registry answers, 0 if records wait for it; nothing without a registry.", func(s *Status, o metric.Float64Observer) {
		switch s.SchemaRegistry {
		case "":
		case "ok":
			o.Observe(1)
		default:
			o.Observe(0)
		}
	})
	gauge("sluice.budget.left", "{job}", "Job submissions left in this UTC hour.", func(s *Status, o metric.Float64Observer) {
		o.Observe(float64(s.Budget.Left))
	})
	gauge("sluice.freshness", "s", "Age of the oldest source change that is not DONE, by table.", func(s *Status, o metric.Float64Observer) {
		for _, t := range s.Tables {
			o.Observe(t.Freshness, metric.WithAttributes(attribute.String("sluice.table", t.Table)))
		}
	})
	return x, err
}

func add(c metric.Int64Counter, n int64, attrs ...attribute.KeyValue) {
	c.Add(context.Background(), n, metric.WithAttributes(attrs...))
}

func (x *metrics) records(class string, n int64) { add(x.record, n, attribute.String("class", class)) }
func (x *metrics) sealed(reason string)          { add(x.batch, 1, attribute.String("reason", reason)) }
func (x *metrics) held(n int64)                  { x.holds.Add(context.Background(), n) }
func (x *metrics) observe(s *Status)             { x.last.Store(s) }

func (x *metrics) unbalanced() { x.residual.Add(context.Background(), 1) }

func (x *metrics) gaps(topic string, n int64) {
	add(x.gap, n, attribute.String("messaging.destination.name", topic))
}

func (x *metrics) stale(table string, rows, forgotten int64) {
	if rows > 0 {
		add(x.late, rows, attribute.String("sluice.table", table))
	}
	if forgotten > 0 {
		add(x.forgotten, forgotten)
	}
}

func (x *metrics) deadLettered(topic string) {
	add(x.deadLetter, 1, attribute.String("messaging.destination.name", topic))
}

// lost counts what a setting allows to be lost (I6).
func (x *metrics) lost(c metric.Int64Counter, topic string, n int64) {
	add(c, n, attribute.String("messaging.destination.name", topic))
}

// unavailable counts what became of values that the source did not send.
func (x *metrics) unavailable(table string, b *batcher.Batch) {
	for outcome, n := range map[string]int{"filled": b.Filled, "null": b.Nulled, "kept": b.Kept} {
		if n > 0 {
			add(x.absent, int64(n), attribute.String("sluice.table", table), attribute.String("outcome", outcome))
		}
	}
}

func (x *metrics) plain(topic string) {
	add(x.noMetadata, 1, attribute.String("messaging.destination.name", topic))
}

func (x *metrics) commits(topic, outcome string) {
	add(x.commit, 1, attribute.String("messaging.destination.name", topic), attribute.String("outcome", outcome))
}

func (x *metrics) delivered(table string, w *work, now time.Time) {
	t := attribute.String("sluice.table", table)
	add(x.row, int64(w.upserts), t, attribute.String("op", "upsert"))
	add(x.row, int64(w.deletes), t, attribute.String("op", "delete"))
	add(x.compacted, int64(w.compacted), t)
	x.duration.Record(context.Background(), now.Sub(w.sealed).Seconds(), metric.WithAttributes(t))
}
