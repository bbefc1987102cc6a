package connector

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// refusing is a stream whose pipeline takes no NULL for a value.
func refusing(t *testing.T) (*stream, func() Options) {
	t.Helper()
	s := newStream(t, pipeline.Options{})
	s.program(strings.ReplaceAll(shopProgram, "v VARCHAR", "v VARCHAR NOT NULL"))
	if err := s.cluster.CreateTopic("dead", 1, nil); err != nil {
		t.Fatal(err)
	}
	return s, func() Options {
		opt := s.options(false, false)
		opt.Policy = func(string) batcher.Policy {
			return batcher.Policy{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: 2 * time.Second} // what is there at the start is one batch
		}
		opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 100
		return opt
	}
}

// program gives the pipeline another one.
func (s *stream) program(text string) {
	s.t.Helper()
	if err := s.pipe.Create("shop", text); err != nil {
		s.t.Fatal(err)
	}
	s.pipe.Start("shop")
}

// refuse puts a change of a row that the pipeline does not take. The model does not hear of it.
func (s *stream) refuse(topic string, id int64) *kgo.Record {
	s.t.Helper()
	return s.spoil(topic, id, "null")
}

// spoil puts a change of a row, which the model does not hear of, with any JSON for its value.
func (s *stream) spoil(topic string, id int64, v string) *kgo.Record {
	s.t.Helper()
	key, value := change(topic, "c", id, "SPOILT")
	rec := &kgo.Record{Topic: topic, Partition: int32(id % 2), Key: []byte(key), Value: []byte(strings.Replace(value, `"SPOILT"`, v, 1)),
		Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte{0, 0xff}}, {Key: "trace", Value: nil}}}
	if err := s.client.ProduceSync(s.t.Context(), rec).FirstErr(); err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// arrived waits until all is as the source has it, and committed, and so many records were
// put aside; all records must be accounted for.
func (s *stream) arrived(c *Connector, aside int64) {
	s.t.Helper()
	s.eventually("all but the refused rows, and the totals", func() bool {
		n := c.Status().Totals
		return s.equal() && s.lag("shop.public.a")+s.lag("shop.public.b") == 0 && n.DeadLettered == aside && n.Read == n.Upserted+n.Deleted+n.Compacted+n.DeadLettered
	})
	if len(c.Status().Holds) > 0 {
		s.t.Errorf("on hold: %+v", c.Status().Holds)
	}
}

// putAside holds two dead letters, of partitions 0 and 1, against what was sent there, and what
// they say against the reason.
func (s *stream) putAside(sent []*kgo.Record, reason string) {
	s.t.Helper()
	for _, got := range s.deadLetters(2) {
		want := sent[0]
		if header(got, "partition") == "1" {
			want = sent[1]
		}
		if !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) || fmt.Sprint(got.Headers[:2]) != fmt.Sprint(want.Headers) || header(got, "offset") != fmt.Sprint(want.Offset) {
			s.t.Errorf("it is not whole: %+v", got)
		}
		if m := header(got, "exception.message"); m != reason || header(got, "stage") != "TASK_PUT" {
			s.t.Errorf("it says %q at %s", m, header(got, "stage"))
		}
	}
}

// TestRefusedRows: the records of rows that the target refuses are put aside, whole, from
// two partitions that feed a batch, and all others arrive.
func TestRefusedRows(t *testing.T) {
	t.Parallel()
	s, options := refusing(t)
	opt := options()
	var log lockedBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	s.insert("shop.public.a", 0, 10)
	sent := []*kgo.Record{s.refuse("shop.public.a", 42)}
	s.insert("shop.public.a", 10, 6)
	sent = append(sent, s.refuse("shop.public.a", 17))
	s.insert("shop.public.b", 0, 3)
	c, stop := s.run(opt)
	s.arrived(c, 2)
	stop()
	s.putAside(sent, "table public_a, column v: the target refuses its row: NULL in a column that is NOT NULL")
	if text := log.String(); strings.Count(text, "read and sent again") != 1 || !strings.Contains(text, "2 rows that the pipeline does not take, for their columns v; the first: NULL in") {
		t.Errorf("the log says %s", text)
	}
}

// TestUnfitRows: so are the records of rows with a value that has no form in JSON under its
// column's type; where none may be put aside, their table stops at the first.
func TestUnfitRows(t *testing.T) {
	t.Parallel()
	s, options := refusing(t)
	s.program(strings.Replace(shopProgram, "v VARCHAR", "v INT ARRAY", 1))
	opt := options()
	var log lockedBuffer
	opt.Logger, opt.DeadLetterTopic, opt.DeadLetterLimit = slog.New(slog.NewTextHandler(&log, nil)), "", 0
	for id := range int64(30) {
		s.put("shop.public.a", "c", id, fmt.Sprintf("[%d]", id))
	}
	sent := []*kgo.Record{s.spoil("shop.public.a", 42, `"secret"`), s.spoil("shop.public.a", 17, `"[17"`)}
	s.put("shop.public.a", "u", 2, "[22,23]")
	s.insert("shop.public.b", 0, 3)
	c, stop := s.run(opt)
	s.eventually("held", func() bool { return len(c.Status().Holds) > 0 && len(s.pipe.Rows("shop", "public_b")) == 3 })
	const reason = "table public_a, column v: the target refuses its row: a text that is not JSON cannot be sent as INTEGER ARRAY"
	if h := c.Status().Holds[0]; !strings.HasPrefix(h.Reason, reason) || !strings.Contains(h.Remedy, "SLUICE_DEADLETTER_TOPIC") {
		t.Errorf("the hold says %+v", h)
	}
	stop()

	opt = options()
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c, stop = s.run(opt)
	s.arrived(c, 2)
	s.put("shop.public.a", "u", 17, "[]")
	s.arrived(c, 2)
	stop()
	s.putAside(sent, reason)
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log has a row's value: %s", log.String())
	}
}

// TestRefusedVersion: only the change that is refused is put aside. The one before it takes
// its place, and later ones arrive as ever.
func TestRefusedVersion(t *testing.T) {
	t.Parallel()
	s, options := refusing(t)
	s.put("shop.public.a", "c", 1, "first")
	s.refuse("shop.public.a", 1)
	s.refuse("shop.public.a", 2)
	s.put("shop.public.a", "u", 2, "later in the same batch")
	c, stop := s.run(options())
	s.arrived(c, 1)
	s.put("shop.public.a", "u", 1, "later")
	s.arrived(c, 1)
	stop()
	if got := s.deadLetters(1); header(got[0], "offset") != "1" {
		t.Errorf("put aside: %v", got[0].Headers)
	}
}

// TestRefusedAlone: a batch of nothing but refused rows, the first of their table, leaves
// nothing to be sent.
func TestRefusedAlone(t *testing.T) {
	t.Parallel()
	s, options := refusing(t)
	for id := range int64(3) {
		s.refuse("shop.public.a", id)
	}
	c, _ := s.run(options())
	s.arrived(c, 3)
	s.put("shop.public.a", "c", 1, "later")
	s.arrived(c, 3)
}

// TestRefusedRowHolds: without a dead-letter topic, or with more of them than it may have,
// the table stops at a refused row's record, and the other tables go on.
func TestRefusedRowHolds(t *testing.T) {
	t.Parallel()
	s, options := refusing(t)
	opt := options()
	opt.DeadLetterTopic, opt.DeadLetterLimit = "", 0
	s.insert("shop.public.a", 0, 6)
	for i := range int64(4) {
		s.refuse("shop.public.a", 100+2*i)
	}
	s.insert("shop.public.b", 0, 6)
	held := func(c *Connector, offset int64, aside int64, remedy string) {
		t.Helper()
		s.eventually("held", func() bool { return len(c.Status().Holds) > 0 && len(s.pipe.Rows("shop", "public_b")) == 6 })
		h := c.Status().Holds[0]
		if h.Where() != fmt.Sprintf("table public_a, at shop.public.a/0 offset %d", offset) || !strings.Contains(h.Reason, "column v: the target refuses its row") || !strings.Contains(h.Remedy, remedy) {
			t.Errorf("the hold says %s: %+v", h.Where(), h)
		}
		if n := len(s.pipe.Rows("shop", "public_a")); n > 0 || s.lag("shop.public.a") < 4-aside {
			t.Errorf("%d rows arrived, lag %d", n, s.lag("shop.public.a"))
		}
		s.eventually("put aside", func() bool { return c.Status().Totals.DeadLettered == aside })
	}
	c, stop := s.run(opt)
	held(c, 3, 0, "SLUICE_DEADLETTER_TOPIC")
	stop()
	opt = options()
	opt.DeadLetterLimit = 2
	c, stop = s.run(opt)
	held(c, 5, 2, "SLUICE_DEADLETTER_LIMIT")
	stop()
	c, _ = s.run(options())
	s.eventually("all but the refused rows", func() bool { return s.equal() && s.lag("shop.public.a") == 0 && len(c.Status().Holds) == 0 })
}

// TestRefusedInLaterArray: of a batch of several arrays the rows of some may be there when
// those of another are refused. They are sent again, unless they have no key.
func TestRefusedInLaterArray(t *testing.T) {
	t.Parallel()
	for _, appends := range []bool{false, true} {
		t.Run(fmt.Sprint("appends ", appends), func(t *testing.T) {
			t.Parallel()
			s, options := refusing(t)
			if s.appends = appends; appends {
				s.program(strings.ReplaceAll(shopProgram, "id BIGINT NOT NULL PRIMARY KEY, v VARCHAR", "id BIGINT, v VARCHAR NOT NULL"))
			}
			s.insert("shop.public.a", 0, 9)
			s.refuse("shop.public.a", 9)
			c, stop := s.run(options())
			s.arrived(c, 1)
			stop()
			if n := len(s.pipe.Rows("shop", "public_a")); n != 9 {
				t.Fatalf("%d rows arrived, want 9", n)
			}
			// Three arrays of one partition, the last two with a row that is refused.
			for id := range int64(50) {
				if s.put("shop.public.a", "c", 100+2*id, "x"); id == 30 || id == 45 {
					s.refuse("shop.public.a", 1000+2*id)
				}
			}
			c, stop = s.run(options())
			if !appends {
				s.arrived(c, 2)
				return
			}
			s.eventually("held", func() bool { return len(c.Status().Holds) > 0 })
			if h := c.Status().Holds[0]; !strings.Contains(h.Reason, "is not known") || !strings.Contains(h.Remedy, "--reset-offsets") {
				t.Errorf("the hold says %+v", h)
			}
			stop()
			if n := len(s.pipe.Rows("shop", "public_a")); n != 29 {
				t.Errorf("%d rows arrived, want those of the first array", n-9)
			}
		})
	}
}
