package connector

import (
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestOffsetsDoNotGoBack: whatever is held below what the group has, nothing below that is
// committed (I2).
func TestOffsetsDoNotGoBack(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	p := w.hold(c, kafka.Partition{Topic: "shop.public.a"}, w.batch(c, "public_a", 1), 5)
	p.plain = true
	c.commits.acked = map[kafka.Partition]content{p.Partition: {at: 7, text: "job"}} // and the batch holds 0
	if n, ok := c.news()[p.Partition]; !ok || n.at != 7 {
		t.Errorf("what is committed goes back from 7 to %d", n.at)
	}
}

// TestDoubtIsSentAgain: it is not known whether the group has a commit. More is done by now,
// and yet the same goes out again until it is acknowledged.
func TestDoubtIsSentAgain(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	c.now = time.Now()
	p := w.hold(c, kafka.Partition{Topic: "shop.public.a"}, w.batch(c, "public_a", 1), 5)
	p.plain = true
	c.ledger.Done(1, Delivered)
	c.ledger.Advance(p.Partition, 5)
	sent := c.news()
	c.onCommitted(committed{contents: sent, errs: map[kafka.Partition]error{p.Partition: &kafka.InDoubtError{Err: kerr.RequestTimedOut}}})
	c.ledger.Advance(p.Partition, 9)
	if n := c.news()[p.Partition]; n.at != 5 {
		t.Errorf("%d is committed after a doubt about 5", n.at)
	}
	c.onCommitted(committed{contents: sent, errs: map[kafka.Partition]error{p.Partition: nil}})
	if n := c.news()[p.Partition]; n.at != 9 {
		t.Errorf("%d is committed when 5 is acknowledged, want 9", n.at)
	}
}

// lateAnswers are what a commit can be told when what it was of is no more.
var lateAnswers = map[string]error{"in doubt": &kafka.InDoubtError{Err: kerr.RequestTimedOut}, "acknowledged": nil}

// TestAnswerOfAnEarlierAssignment: a commit is under way when its partition is lost, and
// answered when the partition is back, further on than the commit. What it was told is of
// the assignment before: nothing goes back to it (I2).
func TestAnswerOfAnEarlierAssignment(t *testing.T) {
	for name, answer := range lateAnswers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			c := w.idle(w.options("shop.public.a"))
			c.now = time.Now()
			id := kafka.Partition{Topic: "shop.public.a"}
			before := w.hold(c, id, w.batch(c, "public_a", 1), 5)
			before.plain = true
			c.ledger.Done(1, Delivered)
			c.ledger.Advance(id, 5)
			sent := c.news()
			c.release(kafka.Revoked{Partitions: []kafka.Partition{id}, Lost: true, Done: make(chan struct{})})

			back := w.hold(c, id, w.batch(c, "public_a", 2), 9)
			back.plain = true
			c.ledger.Done(2, Delivered)
			c.ledger.Advance(id, 9)
			c.commits.acked[id] = content{at: 9}
			c.onCommitted(committed{contents: sent, errs: map[kafka.Partition]error{id: answer}})
			c.ledger.Advance(id, 12)
			if n := c.news()[id]; n.at != 12 {
				t.Errorf("%d is committed next, want 12", n.at)
			}
			if have := c.commits.acked[id]; have.at != 9 {
				t.Errorf("%d counts as acknowledged, want 9", have.at)
			}
		})
	}
}

// delivered makes an idle connector own a partition, all of whose rows are DONE and none
// committed.
func (w *world) delivered(c *Connector) *partition {
	p := w.hold(c, kafka.Partition{Topic: "shop.public.a"}, w.batch(c, "public_a", 1), 5)
	c.ledger.Done(1, Delivered)
	c.ledger.Advance(p.Partition, 5)
	return p
}

// TestOffsetOfADeletedTopic: a commit is under way when its topic is deleted and made anew.
// Whatever it is answered, beside the new one's offset nothing stands yet.
func TestOffsetOfADeletedTopic(t *testing.T) {
	for name, answer := range lateAnswers {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			c := w.idle(w.options("shop.public.a"))
			p := w.delivered(c)
			id := p.Partition
			sent := c.news()
			c.keep(p, kafka.Location{TopicID: "other"})
			c.onCommitted(committed{contents: sent, errs: map[kafka.Partition]error{id: answer}})
			if n, ok := c.news()[id]; !ok || n.from == sent[id].from {
				t.Errorf("what is to be committed for the new topic: %+v", n)
			}
		})
	}
}

// TestTopicMadeAnewWithoutRoom: beside the offsets of a topic that was made anew there is no
// room to say that it is another one. None is committed: the next process would read it from
// where the old one was.
func TestTopicMadeAnewWithoutRoom(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	p := w.delivered(c)
	id := p.Partition
	c.keep(p, kafka.Location{TopicID: "other"})
	if n := c.news()[id]; n.text == "" {
		t.Error("nothing says which topic was read")
	}
	p.plain = true
	if n, ok := c.news()[id]; ok {
		t.Errorf("%d is committed beside %q", n.at, n.text)
	}
}

// TestCommitsSayWhichOffsetsThereAre: once those of two partitions are acknowledged, one more of
// each says so, and that is the last. Of one that was refused nothing is said, nor where there is
// no room.
func TestCommitsSayWhichOffsetsThereAre(t *testing.T) {
	for name, q := range map[string]struct {
		refused error // of the second one, the first time
		limit   int
		want    []int32 // of how many the commits of the first one say so
	}{
		"both are taken":     {nil, 4096, []int32{0, 2}},
		"one is refused":     {kerr.TopicAuthorizationFailed, 4096, []int32{0, 1, 2}},
		"there is just room": {nil, len(`{"sluice":1,"partitions":2}`), []int32{0, 2}},
		"there is none":      {nil, len(`{"sluice":1,"partitions":2}`) - 1, []int32{0}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, "shop.public.a")
			c := w.idle(w.options("shop.public.a"))
			c.opt.MetadataLimit = q.limit
			batch := w.batch(c, "public_a", 1)
			first := w.hold(c, kafka.Partition{Topic: "shop.public.a"}, batch, 5)
			second := w.hold(c, kafka.Partition{Topic: "shop.public.a", ID: 1}, batch, 5)
			errs := map[kafka.Partition]error{second.Partition: q.refused}
			var said []int32
			for news := c.news(); len(news) > 0; news, errs = c.news(), nil {
				said = append(said, news[first.Partition].meta.Partitions)
				c.onCommitted(committed{contents: news, errs: errs})
			}
			if !slices.Equal(said, q.want) {
				t.Errorf("commits say that so many partitions have offsets: %v, want %v", said, q.want)
			}
		})
	}
}

// TestLostOffsetsKeepTheirJob: a commit's answer comes when the partitions of a batch that
// is DONE have been lost. Their offsets may name its job, which must stay for their next
// owner to find.
func TestLostOffsetsKeepTheirJob(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	batch := w.batch(c, "public_a", 1)
	batch.delivery, batch.ends[kafka.Partition{Topic: "shop.public.a"}] = push.NewDelivery(nil), 5
	c.commits.settle = []*work{batch}
	c.onCommitted(committed{})
	if c.discarding > 0 || len(c.commits.settle) > 0 {
		t.Errorf("%d jobs deleted, %d batches still wait", c.discarding, len(c.commits.settle))
	}
}

// TestJobRefusedBesideOneOffset: the brokers take a commit of one of a table's topics and not
// of the other. The job waits until both are taken, and what is taken says that it is not all.
func TestJobRefusedBesideOneOffset(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "shop.public.b")
	c := w.idle(w.options("shop.public.a", "shop.public.b"))
	batch := w.batch(c, "t", 1)
	a, b := kafka.Partition{Topic: "shop.public.a"}, kafka.Partition{Topic: "shop.public.b"}
	for _, id := range []kafka.Partition{a, b} {
		w.hold(c, id, batch, 5)
	}
	wish := &bind{work: batch, job: "job", part: 1, parts: 1, reply: make(chan error, 1)}
	c.onBind(wish)
	c.admit()
	for id, n := range c.news() {
		if e := n.meta.Tables["t"]; e.Job != "job" || e.Of != 2 {
			t.Errorf("beside %v is to stand %+v", id, e)
		}
	}
	for _, refused := range []error{kerr.TopicAuthorizationFailed, kerr.TopicAuthorizationFailed, nil} {
		news := c.news()
		c.onCommitted(committed{contents: news, errs: map[kafka.Partition]error{a: nil, b: refused}})
		c.admit()
		if n := c.news()[b].meta.Tables["t"]; refused != nil && (n.Job != "job" || len(wish.reply) > 0 || batch.bound) {
			t.Errorf("half of it is noted, the other half is to be %+v, answers %d, bound %v", n, len(wish.reply), batch.bound)
		}
	}
	if len(wish.reply) != 1 || !batch.bound {
		t.Errorf("all of it is noted: answers %d, bound %v", len(wish.reply), batch.bound)
	}
}

// TestNotedBesideFewer: a partition of a job turns out to take no metadata, before the job is
// executed or after. The others then say that it is noted beside so many fewer.
func TestNotedBesideFewer(t *testing.T) {
	for _, before := range []bool{true, false} {
		w := newWorld(t, emulator.Options{}, "shop.public.a")
		c := w.idle(w.options("shop.public.a"))
		batch := w.batch(c, "t", 1)
		var ids [3]kafka.Partition
		for i := range ids {
			ids[i] = kafka.Partition{Topic: "shop.public.a", ID: int32(i)}
			w.hold(c, ids[i], batch, 5)
		}
		wish := &bind{work: batch, job: "job", part: 1, parts: 1, settled: true, reply: make(chan error, 1)}
		c.onBind(wish)
		c.admit()
		commit := func(errs map[kafka.Partition]error) {
			c.onCommitted(committed{contents: c.news(), errs: errs})
		}
		if before {
			commit(map[kafka.Partition]error{ids[2]: kerr.OffsetMetadataTooLarge})
			if len(wish.reply) > 0 {
				t.Error("the job may be executed while it is said to be noted beside three")
			}
		} else {
			commit(nil)
			c.plain(c.parts[ids[2]], "another table's entry")
		}
		commit(nil)
		if len(wish.reply) != 1 {
			t.Errorf("%d answers", len(wish.reply))
		}
		of := func(id kafka.Partition) int { return c.commits.acked[id].meta.Tables["t"].Of }
		if of(ids[0]) != 2 || of(ids[1]) != 2 {
			t.Errorf("before %v: it is said to be noted beside %d and %d, want 2", before, of(ids[0]), of(ids[1]))
		}
		c.plain(c.parts[ids[1]], "another table's entry")
		if commit(nil); of(ids[0]) != 0 {
			t.Errorf("before %v: it is said to be noted beside %d, want this one", before, of(ids[0]))
		}
	}
}
