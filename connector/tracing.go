package connector

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// A batch is one trace, from its first record to the commit of its offsets, with links to
// those in which its changes were made
// (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/). Its span is
// made when it is sealed, for only then is known what a sampler asks for.

// traces reports whether a tracer is there to be told anything.
func traces(t trace.Tracer) bool {
	_, none := t.(noop.Tracer)
	return !none
}

// operation is what the spans of a batch begin with: the convention's name of what is done,
// with the topic where that is one, and the attributes to it.
func (c *Connector) operation(name string, parts map[kafka.Partition]int64) (string, []attribute.KeyValue) {
	at := []attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationName(name), semconv.MessagingConsumerGroupName(c.opt.Kafka.Group)}
	topics := map[string]bool{}
	for p := range parts {
		topics[p.Topic] = true
	}
	for p := range parts {
		if len(parts) == 1 {
			at = append(at, semconv.MessagingDestinationPartitionID(strconv.Itoa(int(p.ID))))
		}
		if len(topics) == 1 {
			return name + " " + p.Topic, append(at, semconv.MessagingDestinationName(p.Topic))
		}
	}
	return name, at
}

// trace starts the trace of a sealed batch, or of an adopted job.
func (c *Connector) trace(w *work, opened time.Time, at ...attribute.KeyValue) {
	name, common := c.operation("process", w.ends)
	at = append(at, semconv.MessagingOperationTypeProcess, attribute.String("sluice.table", w.lane.table),
		attribute.String("sluice.batch.reason", w.reason), attribute.StringSlice("sluice.offsets", c.offsets(w)))
	opt := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithTimestamp(opened)}
	if b := w.batch; b != nil {
		at = append(at, semconv.MessagingBatchMessageCount(int(c.ledger.Records(w.holder))), attribute.Int("sluice.rows", b.Len()),
			attribute.Int("sluice.upserts", w.upserts), attribute.Int("sluice.deletes", w.deletes))
		if b.Traces.Left > 0 {
			at = append(at, attribute.Int64("sluice.links.left", b.Traces.Left))
		}
		opt = append(opt, trace.WithLinks(links(&b.Traces, w.ends)...))
	}
	ctx, cancel := context.WithCancel(c.hard)
	w.cancel = cancel
	w.ctx, w.span = c.opt.Tracer.Start(ctx, name, append(opt, trace.WithAttributes(append(common, at...)...))...)
}

// links are to the contexts in which the changes of a batch were made, each with the place of its
// first record as far as the batch's own span leaves it open: of several topics it is not known.
func links(t *schema.Traces, parts map[kafka.Partition]int64) []trace.Link {
	topics := map[string]bool{}
	for p := range parts {
		topics[p.Topic] = true
	}
	var links []trace.Link
	for _, c := range t.Contexts {
		state, _ := trace.ParseTraceState(c.State) // a malformed one is none
		link := trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: c.TraceID, SpanID: c.SpanID, TraceFlags: trace.TraceFlags(c.Flags), TraceState: state, Remote: true})}
		if len(topics) == 1 {
			link.Attributes = append(link.Attributes, semconv.MessagingKafkaOffset(int(c.Offset)))
			if len(parts) > 1 {
				link.Attributes = append(link.Attributes, semconv.MessagingDestinationPartitionID(strconv.Itoa(int(c.Partition))))
			}
		}
		links = append(links, link)
	}
	return links
}

// maxOffsets is how many partitions' offsets a trace names.
const maxOffsets = 32

// offsets says which records a batch stands for, as topic/partition:first-last.
func (c *Connector) offsets(w *work) []string {
	var all []string
	for _, p := range slices.SortedFunc(maps.Keys(w.ends), func(a, b kafka.Partition) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	}) {
		if len(all) == maxOffsets {
			return append(all, fmt.Sprintf("and of %d partitions more", len(w.ends)-maxOffsets))
		}
		first, _ := c.ledger.First(p, w.holder)
		all = append(all, fmt.Sprintf("%v:%d-%d", p, first, w.ends[p]-1))
	}
	return all
}

// past adds a span that is over to a batch's trace.
func (c *Connector) past(w *work, name string, from, to time.Time, opt ...trace.SpanStartOption) {
	_, span := c.opt.Tracer.Start(w.ctx, name, append(opt, trace.WithTimestamp(from))...)
	span.End(trace.WithTimestamp(to))
}

// budgetWait is since when a lane's batch, which is due, waits for a submission.
type budgetWait struct {
	batch uint64
	since time.Time
}

// await notes that a batch is due and there is no submission for it.
func (l *lane) await(b *batcher.Batch, now time.Time) {
	if l.waits.batch != b.ID {
		l.waits = budgetWait{b.ID, now}
	}
}

// waited returns how long a batch that now has a submission has waited for it.
func (l *lane) waited(b *batcher.Batch, now time.Time) time.Duration {
	if l.waits.batch != b.ID {
		return 0
	}
	return now.Sub(l.waits.since)
}

// traceCommit ends a batch's trace with the commit that covers it.
func (c *Connector) traceCommit(w *work, started time.Time) {
	name, at := c.operation("commit", w.ends)
	c.past(w, name, started, time.Now(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(append(at, semconv.MessagingOperationTypeSettle)...))
	w.span.End()
}

// traceRevoked says in a batch's trace that it ends here without a commit.
func traceRevoked(w *work) {
	w.span.SetAttributes(semconv.ErrorTypeKey.String("revoked"))
	w.span.SetStatus(codes.Error, "its partitions were given away")
}

// traceStop ends the traces of what a stop leaves unfinished.
func (c *Connector) traceStop() {
	for _, l := range c.lanes {
		for _, w := range append([]*work{l.running, l.waiting}, l.adopted...) {
			if w != nil {
				push.End(w.span, context.Canceled)
			}
		}
	}
	for _, w := range c.commits.settle {
		w.span.End()
	}
}
