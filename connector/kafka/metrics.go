package kafka

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// metrics are the client's, by OpenTelemetry's conventions
// (https://opentelemetry.io/docs/specs/semconv/messaging/kafka/). Nothing is measured by
// the record.
type metrics struct {
	took           metric.Float64Histogram
	consumed, sent metric.Int64Counter
	topics         *instrument.Limit
	group          attribute.KeyValue
}

func newMetrics(opt *Options) (*metrics, error) {
	set := &instrument.Set{Meter: opt.Meter}
	if set.Meter == nil {
		set.Meter = noop.NewMeterProvider().Meter("")
	}
	m := &metrics{
		took:     set.Histogram("messaging.client.operation.duration"),
		consumed: set.Counter("messaging.client.consumed.messages"),
		sent:     set.Counter("messaging.client.sent.messages"),
		topics:   opt.MetricTopics,
		group:    semconv.MessagingConsumerGroupName(opt.Group),
	}
	return m, set.Err
}

// The operations of the conventions that a consumer with a dead-letter topic has.
var (
	poll   = []attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationName("poll"), semconv.MessagingOperationTypeReceive}
	commit = []attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationName("commit"), semconv.MessagingOperationTypeSettle}
	send   = []attribute.KeyValue{semconv.MessagingSystemKafka, semconv.MessagingOperationName("send"), semconv.MessagingOperationTypeSend}
)

// OnBrokerE2E implements kgo.HookBrokerE2E. Of the client's requests it counts fetches,
// which nobody else sees.
func (m *metrics) OnBrokerE2E(b kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	if key == int16(kmsg.Fetch) {
		m.did(context.Background(), poll, e.DurationE2E(), e.Err(), m.group, semconv.ServerAddress(b.Host), semconv.ServerPort(int(b.Port)))
	}
}

func (m *metrics) did(ctx context.Context, op []attribute.KeyValue, took time.Duration, err error, at ...attribute.KeyValue) {
	at = append(slices.Clip(op), at...)
	if err != nil {
		at = append(at, errorType(err))
	}
	m.took.Record(ctx, took.Seconds(), metric.WithAttributes(at...))
}

func (m *metrics) topic(name string) attribute.KeyValue {
	return semconv.MessagingDestinationName(m.topics.Name(name))
}

// received counts records that a poll returned.
func (m *metrics) received(topic string, n int) {
	m.consumed.Add(context.Background(), int64(n), metric.WithAttributes(append(slices.Clip(poll[:2]), m.group, m.topic(topic))...))
}

// committed tells of a commit, which fails where any partition of it does.
func (m *metrics) committed(ctx context.Context, took time.Duration, results map[Partition]error) {
	at, topics := []attribute.KeyValue{m.group}, map[string]bool{}
	var failed error
	for p, err := range results {
		if err != nil {
			failed = err
		}
		if topics[p.Topic] = true; len(topics) == 1 {
			at = append(at[:1], m.topic(p.Topic))
		} else {
			at = at[:1]
		}
	}
	m.did(ctx, commit, took, failed, at...)
}

// wrote tells of a record that was sent, or could not be.
func (m *metrics) wrote(ctx context.Context, topic string, took time.Duration, err error) {
	m.did(ctx, send, took, err, m.topic(topic))
	at := append(slices.Clip(send[:2]), m.topic(topic))
	if err != nil {
		at = append(at, errorType(err))
	}
	m.sent.Add(ctx, 1, metric.WithAttributes(at...))
}

// errorType is the class of an error: Kafka's name of it where it is one of Kafka's.
func errorType(err error) attribute.KeyValue {
	var k *kerr.Error
	switch {
	case errors.As(err, &k):
		return semconv.ErrorTypeKey.String(k.Message)
	case errors.Is(err, errFenced):
		return semconv.ErrorTypeKey.String("fenced")
	case errors.Is(err, context.Canceled), errors.Is(err, kgo.ErrClientClosed):
		return semconv.ErrorTypeKey.String("canceled")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrRecordTimeout):
		return semconv.ErrorTypeKey.String("timeout")
	}
	return semconv.ErrorTypeOther
}
