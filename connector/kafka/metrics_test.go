package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// TestErrorType: the class of an error is one of few: Kafka's name of it, or ours.
func TestErrorType(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{&InDoubtError{kerr.NotCoordinator}, "NOT_COORDINATOR"},
		{fmt.Errorf("commit: %w", kerr.IllegalGeneration), "ILLEGAL_GENERATION"},
		{errFenced, "fenced"},
		{fmt.Errorf("%w", context.DeadlineExceeded), "timeout"},
		{kgo.ErrRecordTimeout, "timeout"},
		{context.Canceled, "canceled"},
		{kgo.ErrClientClosed, "canceled"},
		{&net.OpError{Op: "dial", Err: errors.New("10.0.0.1:9092 refused")}, "_OTHER"},
	} {
		if got := errorType(c.err); got.Key != "error.type" || got.Value.AsString() != c.want {
			t.Errorf("%v: %v, want %s", c.err, got, c.want)
		}
	}
}

// TestMeasurements: operations have the attributes of the messaging conventions, a topic only
// where there is one, and topics beyond the limit share a name.
func TestMeasurements(t *testing.T) {
	reader := sdkmetric.NewManualReader()
	m, err := newMetrics(&Options{Group: "g", Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter(""), MetricTopics: instrument.NewLimit(1)})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	m.OnBrokerE2E(kgo.BrokerMetadata{Host: "b", Port: 9092}, int16(kmsg.Fetch), kgo.BrokerE2E{TimeToWrite: time.Second, ReadWait: time.Second, TimeToRead: time.Second})
	m.OnBrokerE2E(kgo.BrokerMetadata{Host: "b", Port: 9092}, int16(kmsg.Heartbeat), kgo.BrokerE2E{})
	m.committed(ctx, 2*time.Second, map[Partition]error{{"a", 0}: nil, {"a", 1}: nil})
	m.committed(ctx, 2*time.Second, map[Partition]error{{"a", 0}: nil, {"b", 1}: kerr.NotCoordinator})
	m.wrote(ctx, "dead", time.Second, nil)
	m.wrote(ctx, "dead", time.Second, kerr.MessageTooLarge)
	m.received("a", 3)
	m.received("b", 4)
	m.received("c", 5)

	const k = ",messaging.system=kafka"
	want := map[string]float64{
		"messaging.client.operation.duration messaging.consumer.group.name=g,messaging.operation.name=poll,messaging.operation.type=receive" + k + ",server.address=b,server.port=9092": 3,
		"messaging.client.operation.duration messaging.consumer.group.name=g,messaging.destination.name=a,messaging.operation.name=commit,messaging.operation.type=settle" + k:          2,
		"messaging.client.operation.duration error.type=NOT_COORDINATOR,messaging.consumer.group.name=g,messaging.operation.name=commit,messaging.operation.type=settle" + k:            2,
		"messaging.client.operation.duration messaging.destination.name=other,messaging.operation.name=send,messaging.operation.type=send" + k:                                          1,
		"messaging.client.operation.duration error.type=MESSAGE_TOO_LARGE,messaging.destination.name=other,messaging.operation.name=send,messaging.operation.type=send" + k:             1,
		"messaging.client.sent.messages messaging.destination.name=other,messaging.operation.name=send" + k:                                                                             1,
		"messaging.client.sent.messages error.type=MESSAGE_TOO_LARGE,messaging.destination.name=other,messaging.operation.name=send" + k:                                                1,
		"messaging.client.consumed.messages messaging.consumer.group.name=g,messaging.destination.name=a,messaging.operation.name=poll" + k:                                             3,
		"messaging.client.consumed.messages messaging.consumer.group.name=g,messaging.destination.name=other,messaging.operation.name=poll" + k:                                         9,
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &got); err != nil {
		t.Fatal(err)
	}
	check := func(name string, at attribute.Set, value float64) {
		key := name + " " + at.Encoded(attribute.DefaultEncoder())
		if want[key] != value {
			t.Errorf("%s: %v, want %v", key, value, want[key])
		}
		delete(want, key)
	}
	for _, one := range got.ScopeMetrics[0].Metrics {
		switch d := one.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				check(one.Name, p.Attributes, float64(p.Value))
			}
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				check(one.Name, p.Attributes, p.Sum)
			}
		}
	}
	for key := range want {
		t.Errorf("%s is not measured", key)
	}
}
