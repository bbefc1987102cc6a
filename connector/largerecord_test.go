package connector

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestLargeDeadLetter: a record larger than what clients write by default is put aside
// whole where the topic takes it, and else held with the setting that would.
func TestLargeDeadLetter(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]string{"taken": "16000000", "refused": "1000000"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.other")
			for topic, most := range map[string]string{"shop.public.a": "16000000", "dead": limit} {
				if err := w.cluster.CreateTopic(topic, 1, map[string]string{"max.message.bytes": most}); err != nil {
					t.Fatal(err)
				}
			}
			cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ProducerBatchMaxBytes(16_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			text := make([]byte, 6_000_000)
			rand.NewChaCha8([32]byte{}).Read(text) // which hardly shrinks
			_, value := change("shop.public.a", "c", 1, base64.StdEncoding.EncodeToString(text))
			rec := &kgo.Record{Topic: "shop.public.a", Key: []byte(`{"id":1}`), Value: []byte(value)}
			if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
				t.Fatal(err)
			}
			w.insert("shop.public.other", 0, 10)
			opt := w.options("shop.public.a", "shop.public.other")
			opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 5
			opt.Decoder.MaxLength = 16250
			c, _ := w.run(opt)
			if name == "taken" {
				w.eventually("put aside", func() bool { return w.lag("shop.public.a") == 0 && c.Status().Totals.DeadLettered == 1 })
				got := w.deadLetters(1)[0]
				if string(got.Value) != value || !strings.Contains(header(got, "exception.message"), "table public_a, column v: a string of 8000000 characters") {
					t.Errorf("%d bytes, %s", len(got.Value), header(got, "exception.message"))
				}
				return
			}
			w.eventually("held", func() bool { return len(c.Status().Holds) == 1 && w.equal() })
			if h := c.Status().Holds[0]; !strings.Contains(h.Remedy, "max.message.bytes") {
				t.Errorf("the hold says %+v", h)
			}
		})
	}
}

// TestHugeRecord: a record of 100 MB, more than brokers take in a request unless they are
// told otherwise, holds its table; with a dead-letter topic it is put aside whole. Either
// way all others arrive. The race detector's memory is many times what it watches, so that
// it gets 10 MB.
func TestHugeRecord(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.other")
	for _, topic := range []string{"shop.public.a", "dead"} {
		if err := w.cluster.CreateTopic(topic, 2, map[string]string{"max.message.bytes": "200000000"}); err != nil {
			t.Fatal(err)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.BrokerMaxWriteBytes(200_000_000), kgo.ProducerBatchMaxBytes(200_000_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	size := 100
	if builtWith("-race") == "true" {
		size = 10
	}
	noise := make([]byte, 3<<18)
	rand.NewChaCha8([32]byte{}).Read(noise) // which hardly shrinks
	_, value := change("shop.public.a", "c", 2, "TEXT")
	value = strings.Replace(value, "TEXT", strings.Repeat(base64.StdEncoding.EncodeToString(noise), size), 1)
	w.put("shop.public.a", "c", 0, "before")
	if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "shop.public.a", Key: []byte(`{"id":2}`), Value: []byte(value)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	w.put("shop.public.a", "c", 4, "after")
	w.put("shop.public.a", "c", 1, "beside")
	w.insert("shop.public.other", 0, 10)

	opt := w.options("shop.public.a", "shop.public.other")
	opt.Decoder.MaxLength = 16250
	reason := fmt.Sprintf("table public_a, column v: a string of %d characters where 16250 are declared", size<<20)
	c, stop := w.run(opt)
	w.eventually("held", func() bool { return len(c.Status().Holds) == 1 && w.rows("public_other") == 10 })
	if h := c.Status().Holds[0]; h.Where() != "table public_a, at shop.public.a/0 offset 1" || !strings.HasPrefix(h.Reason, reason) || !strings.Contains(h.Remedy, "SLUICE_DEADLETTER_TOPIC") {
		t.Errorf("the hold is of %s, says %.300q, and to %q", h.Where(), h.Reason, h.Remedy)
	}
	stop()
	if lag := w.lag("shop.public.a"); lag < 2 {
		t.Errorf("lag %d: the record was passed", lag)
	}

	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 5
	c, stop = w.run(opt)
	w.eventually("put aside", func() bool {
		return c.Status().Totals.DeadLettered == 1 && w.equal() && w.lag("shop.public.a") == 0
	})
	if s := c.Status(); len(s.Holds) > 0 {
		t.Errorf("on hold: %+v", s.Holds)
	}
	stop()
	w.check()
	if got := w.deadLetters(1)[0]; string(got.Key) != `{"id":2}` || string(got.Value) != value || !strings.HasPrefix(header(got, "exception.message"), reason) {
		t.Errorf("%d bytes of %d, %.300q", len(got.Value), len(value), header(got, "exception.message"))
	}
}

// TestDeadLetterCutOff: a request that the brokers hang up on is tried again, for they may
// be away; one that is so large that it is the reason is given up, with the remedy.
func TestDeadLetterCutOff(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a", "dead")
	var produced atomic.Int64
	w.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if produced.Add(1) > 3 {
			return nil, nil, false
		}
		return nil, errors.New("larger than socket.request.max.bytes"), true
	})
	opt := w.options("shop.public.a")
	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 5
	c := w.idle(opt)
	if err := c.writeDeadLetter(&kgo.Record{Topic: "dead", Value: []byte("small")}, 50*time.Millisecond); err != nil {
		t.Errorf("a small one: %v", err)
	}
	produced.Store(-1_000_000)
	p := &partition{Partition: kafka.Partition{Topic: "shop.public.a"}}
	c.parts[p.Partition] = p
	c.ledger.Assign(p.Partition)
	c.ledger.Hold(p.Partition, 0, 1)
	err := c.writeDeadLetter(&kgo.Record{Topic: "dead", Value: make([]byte, 100<<20)}, 50*time.Millisecond)
	c.onDeadLettered(deadLettered{part: p.Partition, holder: 1, err: err})
	if h := c.holds; len(h) != 1 || h[0].Where() != "topic shop.public.a, at shop.public.a/0 offset 0" || !strings.Contains(h[0].Remedy, "socket.request.max.bytes") {
		t.Errorf("%v: the holds say %+v", err, h)
	}
}

// TestDecompressionBomb: a batch that the client does not unpack stops its topic by name,
// for the client does not fetch its partition again.
func TestDecompressionBomb(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	p := &partition{Partition: kafka.Partition{Topic: "shop.public.a", ID: 1}}
	c.parts[p.Partition] = p
	c.ledger.Assign(p.Partition)
	c.fetched(kafka.Fetched{Errors: map[kafka.Partition]error{p.Partition: &kgo.ErrDecompressTooLarge{Topic: p.Topic, Partition: 1, Offset: 7, NextOffset: 9}}})
	if h := c.holds; len(h) != 1 || h[0].Where() != "topic shop.public.a, at shop.public.a/1 offset 7" || !strings.Contains(h[0].Reason, "1 GiB") || !strings.Contains(h[0].Remedy, "to 9, behind the batch") {
		t.Errorf("the holds say %+v", h)
	}
}
