package connector

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// badRecords are what a partition may hold between good records. TABLE stands for the
// table's name; AFTER is a row image of it.
var badRecords = []struct {
	name, key, value string
	want             string // in the reason
	column           string // that it names
	ofTable          bool   // it is held whatever the settings say
}{
	{name: "not JSON", value: `nonsense`, want: "invalid JSON"},
	{name: "empty object", value: `{}`, want: "not a Debezium change event"},
	{name: "UTF-16", value: "\xff\xfe{\x00}\x00", want: "invalid JSON"},
	{name: "a byte order mark", value: "\xef\xbb\xbf" + badEvent(`{"id":1}`), want: "invalid JSON"},
	{name: "cut short", value: badEvent(`{"id":1,"v":"x"}`)[:60], want: "invalid JSON"},
	{name: "a NaN literal", value: badEvent(`{"id":1,"v":NaN}`), want: "unknown literal"},
	{name: "broken UTF-8 in a value", value: badEvent("{\"id\":1,\"v\":\"a\xff\"}"), want: "not valid UTF-8", column: "v"},
	{name: "broken UTF-8 in a name", value: badEvent("{\"id\":1,\"v\xc3\":1}"), want: `"v\xc3" is not valid UTF-8`},
	{name: "half a surrogate pair", value: badEvent(`{"id":1,"v":"\ud83d"}`), want: "half of a surrogate pair", column: "v"},
	{name: "a column twice", value: badEvent(`{"id":1,"v":"x","v":"y"}`), want: "twice in the row", column: "v"},
	{name: "a comma too many", value: badEvent(`{"id":1,"v":[1,]}`), want: "invalid JSON", column: "v"},
	{name: "a bomb of brackets", value: badEvent(`{"id":1,"v":` + strings.Repeat("[", 100_000) + `}`), want: "nested deeper than 512 levels"},
	{name: "a string that is too long", value: badEvent(`{"id":1,"v":"` + strings.Repeat("é", 20_000) + `"}`), want: "20000 characters where 16250 are declared", column: "v"},
	{name: "no key column", key: `{}`, value: badEvent(`{"id":1,"v":"x"}`), want: "a key column without a value", column: "id"},
	{name: "NULL in the key", key: `{"id":null}`, value: badEvent(`{"id":1,"v":"x"}`), want: "a key column without a value", column: "id"},
	{name: "a key cut short", key: `{"id":`, value: badEvent(`{"id":1,"v":"x"}`), want: "value missing", column: "id"},
	{name: "another table's key", key: `{"order":1}`, value: badEvent(`{"order":1}`), want: `column "order" is new in it`, ofTable: true},
	{name: "a key of forty digits", key: `{"id":1234567890123456789012345678901234567890}`, value: badEvent(`{"v":"x"}`), want: "the type of a key column changed", column: "id", ofTable: true},
	{name: "no after image", value: badEvent(`null`), want: "without an after image"},
	{name: "an unknown op", value: strings.Replace(badEvent(`{"id":1}`), `"op":"c"`, `"op":"z"`, 1), want: `unknown op "z"`},
	{name: "no table", value: strings.Replace(badEvent(`{"id":1}`), `"TABLE"`, `""`, 1), want: "does not name a table"},
	{name: "an integer out of its range", value: badTyped(`{"type":"int8","field":"n"}`, `128`), want: "does not fit into 8 bits", column: "n"},
	{name: "an integer of forty digits", value: badTyped(`{"type":"int64","field":"n"}`, `1234567890123456789012345678901234567890`), want: "not a valid int64", column: "n"},
	{name: "a wrong scale", value: badTyped(`{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{"scale":"2"},"field":"n"}`, `1.234`), want: "more fraction digits than its scale", column: "n"},
	{name: "broken base64", value: badTyped(`{"type":"bytes","field":"n"}`, `"A"`), want: "not a valid bytes", column: "n"},
	{name: "a day that no file has", value: badTyped(`{"type":"int32","name":"io.debezium.time.Date","field":"n"}`, `2932897`), want: "outside the years", column: "n"},
	{name: "a column that its schema has not", value: badTyped(`{"type":"int32","field":"other"}`, `1`), want: "is not in the record's schema"},
	{name: "a schema that is none", value: `{"schema":{"type":7},"payload":{}}`, want: "schema of the record"},
	{name: "an unknown schema", key: badAvroKey, value: framed(77, []byte{0}), want: "schema 77 is not in the registry"},
	{name: "a schema of no id", key: badAvroKey, value: "\x00\xff\xff\xff\xff\x00", want: "not in the frame of a registry"},
	{name: "Avro cut short", key: badAvroKey, value: framed(2, []byte{0, 2, 2}), want: "do not fit their Avro schema"},
	{name: "broken UTF-8 in Avro", key: badAvroKey, value: framed(2, bytes.Replace(badAvroRow, []byte("x"), []byte{0xff}, 1)), want: "not valid UTF-8", column: "v"},
	{name: "an integer of 33 bits in Avro", key: badAvroKey, value: framed(4, bytes.Replace(badAvroRow, []byte("x"), []byte("x\x80\x80\x80\x80\x20"), 1)), want: "does not fit into 32 bits", column: "n"},
	{name: "a union's branch below zero", key: badAvroKey, value: framed(2, []byte{0, 1, 2, 0}), want: "do not fit their Avro schema"},
	{name: "a length beyond the record", key: badAvroKey, value: framed(2, []byte{0, 2, 2, 0xfe, 0xff, 0xff, 0xff, 0x0f}), want: "do not fit their Avro schema"},
	{name: "an array's block of a negative size", key: badAvroKey, value: framed(3, []byte{1, 1}), want: "do not fit their Avro schema"},
	{name: "an Avro key of no bytes", key: framed(1, nil), value: framed(2, badAvroRow), want: "do not fit their Avro schema", column: "id"},
}

// badEvent is a change event around a row image.
func badEvent(after string) string {
	return `{"before":null,"after":` + after + `,"source":{"ts_ms":1,"db":"shop","schema":"public","table":"TABLE"},"op":"c"}`
}

// badTyped is a change event under a schema, with one column beside the key.
func badTyped(field, value string) string {
	return `{"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[{"type":"int64","field":"id"},` + field + `]}]},"payload":` +
		badEvent(`{"id":1,"n":`+value+`}`) + `}`
}

var (
	badAvroKey = framed(1, []byte{2})
	// after with id 1 and the text x, and a source whose table has a name of three letters
	badAvroRow = append([]byte{0, 2, 2, 2, 'x', 2, 0, 12}, "public\x06TABLE\x02c"...)
)

// TestReadmeBadRecords: README tells as many kinds as TestBadRecords has.
func TestReadmeBadRecords(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if want := fmt.Sprintf("| %d kinds of bad records, ", len(badRecords)); err != nil || !strings.Contains(string(text), want) {
		t.Errorf("README does not say %q: %v", want, err)
	}
}

// TestBadRecords sends each bad record between two good ones of a table of its own. Where
// nothing says what to do with it, it holds its table; with a dead-letter topic it is put
// aside whole. Either way what it is and where is in the status and the log, and all
// other records arrive, within the memory limit.
func TestBadRecords(t *testing.T) {
	topics := []string{"shop.public.good", "dead"}
	for i := range badRecords {
		topics = append(topics, fmt.Sprintf("shop.public.b%02d", i))
	}
	a, opt := newAvroWorld(t, topics...)
	a.fake.SeedSchema("list", 1, 3, sr.Schema{Schema: strings.Replace(avroEnvelope, `[{"name":"before"`, `[{"name":"list","type":{"type":"array","items":"string"}},{"name":"before"`, 1)})
	a.fake.SeedSchema("int", 1, 4, sr.Schema{Schema: strings.Replace(avroEnvelope, `"type":"string"}]}]`, `"type":"string"},{"name":"n","type":"int"}]}]`, 1)})
	opt.Kafka.Topics = slices.Delete(slices.Clone(topics), 1, 2)
	opt.Decoder.MaxLength = 16250
	var log lockedBuffer
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	sent := map[string]*kgo.Record{}
	for i, b := range badRecords {
		topic := topics[2+i]
		table := strings.TrimPrefix(topic, "shop.public.")
		rec := &kgo.Record{Topic: topic, Key: []byte(b.key), Value: []byte(strings.ReplaceAll(b.value, "TABLE", table)),
			Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte{0, 0xff}}, {Key: "trace", Value: nil}}}
		if b.key == "" {
			rec.Key = []byte(`{"id":1}`)
		}
		a.put(topic, "c", 0, "before")
		if err := a.client.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
			t.Fatal(err)
		}
		a.put(topic, "c", 2, "after")
		sent[topic] = rec
	}
	a.insert("shop.public.good", 0, 10)

	c, stop := a.run(opt)
	a.eventually("all held", func() bool { return len(c.Status().Holds) == len(badRecords) && a.rows("public_good") == 10 })
	holds := map[string]Hold{}
	for _, h := range c.Status().Holds {
		holds[h.Topic] = h
	}
	for i, b := range badRecords {
		topic := topics[2+i]
		h := holds[topic]
		at := fmt.Sprintf("table %s, at %s/0 offset 1", tableOf(topic), topic)
		if h.Where() != at || !strings.Contains(h.Reason, b.want) || b.column != "" && !strings.Contains(h.Reason, "column "+b.column+":") || h.Remedy == "" {
			t.Errorf("%s: the hold is of %s, says %.300q, and to %.100q", b.name, h.Where(), h.Reason, h.Remedy)
		}
		if !strings.Contains(log.String(), `what="`+at+`"`) {
			t.Errorf("%s: the log does not say %s", b.name, at)
		}
		if lag := a.lag(topic); lag < 2 {
			t.Errorf("%s: lag %d, it was passed", b.name, lag)
		}
	}
	stop()

	opt.DeadLetterTopic, opt.DeadLetterLimit = "dead", 1000
	opt.Logger = slog.New(slog.NewTextHandler(&log, nil))
	faults := int64(0)
	for i, b := range badRecords {
		if b.ofTable {
			faults++
			delete(a.model, tableOf(topics[2+i]))
		}
	}
	c, stop = a.run(opt)
	most := int64(0)
	a.eventually("all others put aside", func() bool {
		m := c.Status().Memory
		most = max(most, m.Open+m.InFlight+m.Waiting)
		return c.Status().Totals.DeadLettered == int64(len(badRecords))-faults
	})
	a.eventually("all good rows", a.equal)
	if s := c.Status(); int64(len(s.Holds)) != faults {
		t.Errorf("on hold: %+v", s.Holds)
	}
	stop()
	a.check()
	if limit := opt.MemoryLimit + int64(opt.Kafka.FetchBytes); most > limit {
		t.Errorf("held %d bytes, the limit is %d and a fetch", most, opt.MemoryLimit)
	}
	dead := map[string]*kgo.Record{}
	for _, r := range a.deadLetters(int(int64(len(badRecords)) - faults)) {
		dead[header(r, "topic")] = r
	}
	for i, b := range badRecords {
		topic := topics[2+i]
		if b.ofTable {
			if lag := a.lag(topic); lag < 2 {
				t.Errorf("%s: lag %d, it was passed", b.name, lag)
			}
			continue
		}
		if lag := a.lag(topic); lag != 0 {
			t.Errorf("%s: lag %d", b.name, lag)
		}
		got, want := dead[topic], sent[topic]
		if got == nil || !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) ||
			len(got.Headers) < 2 || fmt.Sprint(got.Headers[:2]) != fmt.Sprint(want.Headers) {
			t.Errorf("%s: it is not whole: %.500v", b.name, got)
			continue
		}
		reason := header(got, "exception.message")
		if header(got, "offset") != "1" || header(got, "partition") != "0" || header(got, "timestamp") != fmt.Sprint(want.Timestamp.UnixMilli()) ||
			!strings.Contains(reason, b.want) || !strings.HasPrefix(reason, "table "+tableOf(topic)) || b.column != "" && !strings.Contains(reason, "column "+b.column+":") {
			t.Errorf("%s: its headers say %.500q", b.name, got.Headers)
		}
	}
}

// header returns what a dead letter says of itself.
func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == "__connect.errors."+name {
			return string(h.Value)
		}
	}
	return ""
}

// deadLetters reads so many records of the dead-letter topic.
func (w *world) deadLetters(n int) (all []*kgo.Record) {
	w.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.ConsumeTopics("dead"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.BrokerMaxReadBytes(200_000_000))
	if err != nil {
		w.t.Fatal(err)
	}
	defer cl.Close()
	for len(all) < n {
		all = append(all, cl.PollFetches(w.t.Context()).Records()...)
	}
	return all
}

// TestDeadLettersCountAsMemory: records on their way to a dead-letter topic that does not
// answer keep others from being read once they fill the memory (I5).
func TestDeadLettersCountAsMemory(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a", "dead")
	opt := w.options("shop.public.a")
	opt.DeadLetterTopic, opt.DeadLetterLimit, opt.MemoryLimit = "dead", 5, 1<<20
	c := w.idle(opt)
	p := &partition{Partition: kafka.Partition{Topic: "shop.public.a"}}
	c.ledger.Assign(p.Partition)
	bad := badRecord{&kgo.Record{Topic: p.Topic, Value: make([]byte, 600_000)}, &debezium.BadRecord{Err: errors.New("bad")}}
	c.deadLetter(p, bad)
	if c.full() {
		t.Error("full of one")
	}
	bad.rec.Offset = 1
	c.deadLetter(p, bad)
	if !c.full() {
		t.Error("more than the limit are on their way, and others are read")
	}
	c.onDeadLettered(deadLettered{part: p.Partition, offset: 1, holder: 2, bytes: 600_000})
	if c.full() {
		t.Error("full of what was written")
	}
}
