package connector

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/time/rate"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// deadLettered is the end of a record's way to the dead-letter topic.
type deadLettered struct {
	part   kafka.Partition
	offset int64
	holder Holder
	bytes  int64
	reason debezium.Reason
	err    error
}

// newDeadLetters returns what allows bad records to be put aside, to all decoders
// together: a source that sends nothing but bad records is broken, and its table
// better held.
func newDeadLetters(opt *Options) *rate.Limiter {
	if opt.DeadLetterTopic == "" {
		return rate.NewLimiter(0, 0)
	}
	return rate.NewLimiter(rate.Every(time.Minute/time.Duration(opt.DeadLetterLimit)), opt.DeadLetterLimit)
}

// deadLetter writes a bad record, whole, to the dead-letter topic. The ledger
// holds its offset until that write is acknowledged (I1).
func (c *Connector) deadLetter(p *partition, b badRecord) {
	c.nextHolder++
	id, at := c.nextHolder, b.rec.Offset
	c.ledger.Hold(p.Partition, at, id)
	c.ledger.Took(p.Partition, id, 1, 0)
	p.judge(at, nil)
	c.log.Warn("bad record, put aside", "topic", p.Topic, "partition", p.ID, "offset", at, "reason", b.err.Reason.String(), "error", b.err, "deadletter", c.opt.DeadLetterTopic)
	part := p.Partition
	size := kafka.Size([]*kgo.Record{b.rec})
	c.deadInFlight++
	c.deadBytes += size
	rec, reason := deadLetterRecord(c.opt.DeadLetterTopic, b), b.err.Reason
	c.worker(func() any {
		return deadLettered{part, at, id, size, reason, c.writeDeadLetter(rec, time.Minute)}
	})
}

// maxRequest is what brokers take in a request unless they are told otherwise
// (socket.request.max.bytes), but for what stands in it beside a record.
const maxRequest = 100<<20 - 1<<10

// errCutOff is what becomes of a record above maxRequest: brokers do not answer such a request
// but close the connection, as if they went away.
var errCutOff = errors.New("the brokers answer, but not to a request of its size")

// writeDeadLetter tries for so long at a time until the record is written or a try fails
// for a reason that time does not mend. A broker that is away is none.
func (c *Connector) writeDeadLetter(rec *kgo.Record, try time.Duration) error {
	size := kafka.Size([]*kgo.Record{rec})
	for {
		ctx, cancel := context.WithTimeout(c.hard, try)
		done := make(chan error, 1)
		again := *rec // the client notes in it where it went
		c.consumer.Produce(ctx, &again, func(err error) { done <- err })
		err := <-done
		cancel()
		if err == nil || c.hard.Err() != nil || !(kerr.IsRetriable(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrRecordTimeout)) || errors.Is(err, kerr.UnknownTopicOrPartition) {
			return err
		}
		if size > maxRequest && c.consumer.Ping(c.hard) == nil {
			return fmt.Errorf("%w, %d bytes: %w", errCutOff, size, err)
		}
		c.log.Warn("a bad record cannot be written to the dead-letter topic; trying again", "deadletter", rec.Topic, "error", err)
	}
}

// deadLetterRecord is the record as it came, with where it came from and what was
// wrong in headers named as Kafka Connect names them (KIP-298).
func deadLetterRecord(topic string, b badRecord) *kgo.Record {
	r := b.rec
	stage, class := "VALUE_CONVERTER", "github.com/sluice-cdc/sluice/schema/debezium.Decoder"
	if b.err.Reason == debezium.Refused {
		stage, class = "TASK_PUT", "github.com/sluice-cdc/sluice/push.Sink"
	}
	h := append(make([]kgo.RecordHeader, 0, len(r.Headers)+8), r.Headers...)
	for _, kv := range [][2]string{
		{"topic", r.Topic},
		{"partition", strconv.Itoa(int(r.Partition))},
		{"offset", strconv.FormatInt(r.Offset, 10)},
		{"timestamp", strconv.FormatInt(r.Timestamp.UnixMilli(), 10)},
		{"connector.name", "sluice"},
		{"stage", stage},
		{"class.name", class},
		{"exception.class.name", fmt.Sprintf("%T", b.err.Err)},
		{"exception.message", b.err.Error()},
	} {
		h = append(h, kgo.RecordHeader{Key: "__connect.errors." + kv[0], Value: []byte(kv[1])})
	}
	// The original time is a header: the client counts its delivery timeout from it.
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Headers: h}
}

func (c *Connector) onDeadLettered(d deadLettered) {
	c.deadInFlight--
	c.deadBytes -= d.bytes
	if d.err == nil {
		c.totals.DeadLettered++
		c.metrics.deadLettered(d.part.Topic, d.reason)
		c.ledger.Done(d.holder, DeadLettered)
		c.commits.urgent = true
		return
	}
	// The offset stays held, unless the partition was given away.
	if _, held := c.ledger.First(d.part, d.holder); held && c.hard.Err() == nil {
		remedy := fmt.Sprintf("create the topic %s (SLUICE_DEADLETTER_TOPIC) and allow this client to write to it, then restart", c.opt.DeadLetterTopic)
		switch {
		case errors.Is(d.err, kerr.MessageTooLarge):
			remedy = fmt.Sprintf("raise max.message.bytes of the topic %s (SLUICE_DEADLETTER_TOPIC) above the size of the record with its headers, then restart", c.opt.DeadLetterTopic)
		case errors.Is(d.err, errCutOff):
			remedy = fmt.Sprintf("raise socket.request.max.bytes of the brokers, and max.message.bytes of the topic %s (SLUICE_DEADLETTER_TOPIC), above the size of the record with its headers, then restart", c.opt.DeadLetterTopic)
		}
		c.holdTopic(Hold{Topic: d.part.Topic, Partition: new(d.part.ID), Offset: &d.offset, Remedy: remedy,
			Reason: "a bad record could not be written to the dead-letter topic: " + d.err.Error()})
	}
}
