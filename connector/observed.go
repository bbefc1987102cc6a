package connector

import (
	"context"
	"runtime"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// observe makes a picture the one that gauges are read from, so that the loop is never
// waited for.
func (x *metrics) observe(s *Status) { x.last.Store(s) }

// observed registers what is looked up when it is collected, all of it in one picture.
func (x *metrics) observed(set *instrument.Set, opt *Options) {
	var (
		freshness = set.Gauge("sluice.freshness")
		target    = set.Gauge("sluice.freshness.target")
		lag       = set.Gauge("sluice.lag")
		holds     = set.Gauge("sluice.holds")
		memory    = set.Gauge("sluice.memory")
		limit     = set.Gauge("sluice.memory.limit")
		paused    = set.Gauge("sluice.fetching.paused")
		up        = set.Gauge("sluice.kafka.up")
		member    = set.Gauge("sluice.kafka.member")
		registry  = set.Gauge("sluice.schema_registry.up")
		left      = set.Gauge("sluice.budget.left")
		perHour   = set.Gauge("sluice.budget.limit")
		spent     = set.Total("sluice.budget.spent")
		parts     = set.Gauge("sluice.partitions")
		committed = set.Gauge("sluice.commit.last")
		build     = set.Gauge("sluice.build.info")
	)
	if set.Err != nil {
		return
	}
	version := metric.WithAttributes(attribute.String("version", opt.Version), attribute.String("goversion", runtime.Version()))
	_, set.Err = set.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveFloat64(build, 1, version)
		s := x.last.Load()
		if s == nil {
			return nil
		}
		for state, n := range map[string]int64{"open": s.Memory.Open, "in_flight": s.Memory.InFlight, "waiting": s.Memory.Waiting} {
			o.ObserveFloat64(memory, float64(n), metric.WithAttributes(attribute.String("state", state)))
		}
		o.ObserveFloat64(limit, float64(s.Memory.Limit))
		o.ObserveFloat64(paused, map[bool]float64{true: 1}[s.Memory.Paused])
		o.ObserveFloat64(up, map[bool]float64{true: 1}[s.Kafka == "ok"])
		o.ObserveFloat64(member, map[bool]float64{true: 1}[s.member])
		switch s.SchemaRegistry {
		case "":
		case "ok":
			o.ObserveFloat64(registry, 1)
		default:
			o.ObserveFloat64(registry, 0)
		}
		o.ObserveFloat64(left, float64(s.Budget.Left))
		o.ObserveFloat64(perHour, float64(s.Budget.Limit))
		o.ObserveFloat64(spent, float64(s.Budget.Spent))
		o.ObserveFloat64(parts, float64(s.Partitions))
		if !s.LastCommit.IsZero() {
			o.ObserveFloat64(committed, float64(s.LastCommit.UnixMilli())/1000)
		}
		for name, t := range x.byTable(s) {
			at := metric.WithAttributes(attribute.String(instrument.Table, name))
			o.ObserveFloat64(freshness, t.freshness, at)
			o.ObserveFloat64(target, t.target, at)
			o.ObserveFloat64(lag, t.lag, at)
			o.ObserveFloat64(holds, t.holds, at)
		}
		topics := map[string]float64{}
		for topic, held := range s.topics {
			name := x.topics.Name(topic)
			if topics[name] += 0; held {
				topics[name]++
			}
		}
		for name, held := range topics {
			o.ObserveFloat64(holds, held, metric.WithAttributes(attribute.String(instrument.Topic, name)))
		}
		return nil
	}, freshness, target, lag, holds, memory, limit, paused, up, member, registry, left, perHour, spent, parts, committed, build)
}

// observedTable is what a table's gauges say, or those of all that share a name.
type observedTable struct{ freshness, target, lag, holds float64 }

// byTable sums tables that share a name. Of their freshness it keeps the worst, which is
// the one that is furthest over its target, together with that target.
func (x *metrics) byTable(s *Status) map[string]observedTable {
	tables := map[string]observedTable{}
	for _, t := range s.Tables {
		name := x.tables.Name(t.Table)
		sum, shared := tables[name]
		if !shared || t.Freshness-t.FreshnessTarget > sum.freshness-sum.target {
			sum.freshness, sum.target = t.Freshness, t.FreshnessTarget
		}
		if sum.lag += float64(t.Lag); t.State == "held" {
			sum.holds++
		}
		tables[name] = sum
	}
	return tables
}
