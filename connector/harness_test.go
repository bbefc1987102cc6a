package connector

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// world is a broker and a target in this process, with what both saw in one
// timeline, and the model: what the source tables hold.
type world struct {
	t       *testing.T
	cluster *kfake.Cluster
	emu     *emulator.Emulator
	client  *kgo.Client

	transport *pushtest.Transport

	mu       sync.Mutex
	timeline []string
	sent     map[string]map[int64]string // topic/partition → offset → key of the row there
	model    map[string]map[int64]string // table → id → value
	broken   []string                    // commits before DONE

	elsewhere bool // the tables are not in emu
}

// TestMain has more tests run at once than there are processors: most of them wait for the
// group's timeouts and take no time of theirs.
func TestMain(m *testing.M) {
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue && runtime.GOMAXPROCS(0) < 12 {
		n.Value.Set("12")
	}
	code := m.Run()
	os.RemoveAll(virtualDir)
	os.Exit(code)
}

func newWorld(t *testing.T, eo emulator.Options, topics ...string) *world {
	t.Helper()
	w := &world{t: t, sent: map[string]map[int64]string{}, model: map[string]map[int64]string{}}
	var err error
	w.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, topics...), kfake.GroupMinSessionTimeout(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.cluster.Close)
	eo.OnEvent = func(e emulator.Event) { w.note("job %.8s of %s %s", e.Job, e.Target, e.State) }
	w.emu = emulator.New(eo)
	w.transport = &pushtest.Transport{Handler: w.emu}
	if err := w.transport.Describe(emulator.OpenAPI); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, v := range w.transport.Violations() {
			t.Error("contract: " + v)
		}
	})
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.committed(q.(*kmsg.OffsetCommitRequest))
		return nil, nil, false
	})
	return w
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timeline = append(w.timeline, fmt.Sprintf(format, args...))
}

// committed is the broker's hook: at the moment of a commit, every row before the
// offset must be in its table, for there are only inserts in the topics it knows.
func (w *world) committed(r *kmsg.OffsetCommitRequest) {
	for _, t := range r.Topics {
		topic := t.Topic
		if info := w.cluster.TopicIDInfo(t.TopicID); topic == "" && info != nil { // it may be deleted
			topic = info.Topic
		}
		for _, p := range t.Partitions {
			if w.note("commit %s/%d %d", topic, p.Partition, p.Offset); w.elsewhere {
				continue
			}
			w.mu.Lock()
			rows := maps.Clone(w.sent[fmt.Sprintf("%s/%d", topic, p.Partition)])
			w.mu.Unlock()
			table := w.emu.Snapshot(tableOf(topic))
			for offset, key := range rows {
				if offset >= p.Offset {
					continue
				}
				if table == nil || table.Rows[key] == nil {
					w.mu.Lock()
					w.broken = append(w.broken, fmt.Sprintf("%s/%d: %d committed before DONE of offset %d", topic, p.Partition, p.Offset, offset))
					w.mu.Unlock()
					break
				}
			}
		}
	}
}

// commitAnswer is what a broker says to a commit: for each partition an error, nil for OK.
func commitAnswer(req *kmsg.OffsetCommitRequest, of func(kmsg.OffsetCommitRequestTopicPartition) *kerr.Error) *kmsg.OffsetCommitResponse {
	resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewOffsetCommitResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewOffsetCommitResponseTopicPartition()
			rp.Partition = p.Partition
			if err := of(p); err != nil {
				rp.ErrorCode = err.Code
			}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// tooLarge is what brokers say to a commit that has more than so many bytes beside an
// offset, nil if it has not.
func tooLarge(req *kmsg.OffsetCommitRequest, limit int) kmsg.Response {
	large := false
	resp := commitAnswer(req, func(p kmsg.OffsetCommitRequestTopicPartition) *kerr.Error {
		if len(*p.Metadata) > limit {
			large = true
			return kerr.OffsetMetadataTooLarge
		}
		return kerr.CoordinatorLoadInProgress // kfake takes all or none
	})
	if !large {
		return nil
	}
	return resp
}

// cutCommits has no commit arrive from the first submission on, until it is told to.
func (w *world) cutCommits() (mend func()) {
	var mended atomic.Bool
	w.cluster.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		if mended.Load() || w.emu.Counts().Submitted == 0 {
			return nil, nil, false
		}
		return nil, errors.New("the broker is away"), true
	})
	return func() { mended.Store(true) }
}

func tableOf(topic string) string { return "public_" + topic[strings.LastIndexByte(topic, '.')+1:] }

// produce writes a record and returns its offset.
func (w *world) produce(topic string, part int32, key, value string) int64 {
	w.t.Helper()
	rec := &kgo.Record{Topic: topic, Partition: part, Key: []byte(key), Value: []byte(value)}
	if key == "" {
		rec.Key = nil
	}
	if value == "" {
		rec.Value = nil
	}
	if err := w.client.ProduceSync(w.t.Context(), rec).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
	return rec.Offset
}

func change(topic, op string, id int64, v string) (key, value string) {
	table := topic[len("shop.public."):]
	after := "null"
	if op != "d" {
		after = fmt.Sprintf(`{"id":%d,"v":%q}`, id, v)
	}
	return fmt.Sprintf(`{"id":%d}`, id), fmt.Sprintf(
		`{"before":null,"after":%s,"source":{"ts_ms":%d,"db":"shop","schema":"public","table":%q},"op":%q}`, after, time.Now().UnixMilli(), table, op)
}

// put changes a row at the source; its partition is that of its key.
func (w *world) put(topic, op string, id int64, v string) {
	w.t.Helper()
	key, value := change(topic, op, id, v)
	w.produce(topic, int32(id%2), key, value)
	m := w.model[tableOf(topic)]
	if m == nil {
		m = map[int64]string{}
		w.model[tableOf(topic)] = m
	}
	if delete(m, id); op != "d" {
		m[id] = v
	}
}

// insert puts n new rows and remembers their offsets for the commit hook. Rows
// are noted before they are produced, so that no commit can overtake the note.
func (w *world) insert(topic string, from, n int64) {
	w.t.Helper()
	for id := from; id < from+n; id++ {
		part := fmt.Sprintf("%s/%d", topic, id%2)
		w.mu.Lock()
		if w.sent[part] == nil {
			w.sent[part] = map[int64]string{}
		}
		w.sent[part][int64(len(w.sent[part]))] = fmt.Sprintf("int64:%d|", id)
		w.mu.Unlock()
		w.put(topic, "c", id, fmt.Sprint("v", id))
	}
}

// transactions returns what inserts rows into partition 0 of shop.public.a in a transaction
// and ends it. The model does not hear of it.
func (w *world) transactions() func(v string, end kgo.TransactionEndTry, ids ...int64) {
	w.t.Helper()
	producer, err := kgo.NewClient(kgo.SeedBrokers(w.cluster.ListenAddrs()...), kgo.TransactionalID("tx"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(producer.Close)
	return func(v string, end kgo.TransactionEndTry, ids ...int64) {
		w.t.Helper()
		if err := producer.BeginTransaction(); err != nil {
			w.t.Fatal(err)
		}
		for _, id := range ids {
			key, value := change("shop.public.a", "c", id, v)
			if err := producer.ProduceSync(w.t.Context(), &kgo.Record{Topic: "shop.public.a", Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
				w.t.Fatal(err)
			}
		}
		if err := producer.EndTransaction(w.t.Context(), end); err != nil {
			w.t.Fatal(err)
		}
	}
}

// options are those of a connector on this world.
func (w *world) options(topics ...string) Options {
	w.t.Helper()
	opt := testOptions(w.t, w.cluster.ListenAddrs(), w.transport)
	opt.Kafka.Topics = topics
	opt.Kafka.Balancer = kafka.CooperativeSticky // most tests have one table and want its partitions with two members
	opt.Logger = slog.New(slog.NewTextHandler(w.output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	return opt
}

// testOptions are those of a connector with a target behind a transport: small batches
// and short waits.
func testOptions(t *testing.T, brokers []string, transport http.RoundTripper) Options {
	t.Helper()
	budget := push.NewBudget(100_000, 1000)
	sink, err := celonis.New(celonis.Options{
		URL: "https://emulator", PoolID: "pool", Auth: celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return "k", nil }},
		MultipartField: "file", MultipartFilename: "chunk.parquet", TableSchema: true, UpsertStrategy: "UPSERT_WITH_NULLIFICATION",
		FallbackLength: 16250, RequestsPerSecond: 10_000, RequestTimeout: 10 * time.Second, Budget: budget,
	}, transport)
	if err != nil {
		t.Fatal(err)
	}
	enc := &batcher.Encoder{Compression: "snappy", MaxChunkBytes: 1 << 20, PageBytes: 1 << 18}
	return Options{
		Kafka: kafka.Options{Brokers: brokers, Group: "sluice",
			SessionTimeout: 6 * time.Second, RebalanceTimeout: 20 * time.Second, MetadataAge: 500 * time.Millisecond, FetchBytes: 1 << 20},
		Decoder: debezium.Options{Table: func(id debezium.Identity) string { return id.Schema + "_" + id.Table }},
		Policy: func(string) batcher.Policy {
			return batcher.Policy{MaxRows: 50, MaxBytes: 1 << 20, MaxAge: 50 * time.Millisecond}
		},
		Encode: enc.Encode, Split: celonis.SingleJob.Split, DeleteJobs: true,
		Pusher: &push.Pusher{Sink: sink, Budget: budget, Tracer: tracenoop.NewTracerProvider().Tracer(""),
			PollInterval: 5 * time.Millisecond, MaxPollInterval: 20 * time.Millisecond, Attempts: 3,
			MinBackoff: 5 * time.Millisecond, MaxBackoff: 50 * time.Millisecond},
		MemoryLimit: 64 << 20, DrainTimeout: 5 * time.Second, MetadataLimit: 4096, MetricTables: 500,
		FreshnessTarget: func(string) time.Duration { return time.Minute },
		Tracer:          tracenoop.NewTracerProvider().Tracer(""), Meter: metricnoop.NewMeterProvider().Meter(""),
	}
}

func (w *world) output() io.Writer {
	if testing.Verbose() {
		return w.t.Output()
	}
	return io.Discard
}

// run starts a connector; stop ends it as SIGTERM would.
func (w *world) run(opt Options) (c *Connector, stop func()) {
	w.t.Helper()
	c, err := New(opt)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					w.t.Error(err)
				}
			case <-time.After(time.Minute):
				w.t.Error("the connector did not stop")
			}
		})
	}
	w.t.Cleanup(stop)
	return c, stop
}

// counted returns what an instrument has counted, over all its attributes.
func counted(t *testing.T, reader *sdkmetric.ManualReader, name string) (n int64) {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, p := range sum.DataPoints {
					n += p.Value
				}
			}
		}
	}
	return n
}

// lines returns a log that tells f of each line that says what.
func lines(what string, f func(line string)) slog.Handler {
	return slog.NewTextHandler(writerFunc(func(line []byte) (int, error) {
		if strings.Contains(string(line), what) {
			f(string(line))
		}
		return len(line), nil
	}), nil)
}

// idle is a connector that does nothing but what the test, in place of its loop, has it do.
func (w *world) idle(opt Options) *Connector { return w.idleBut(opt, func(any) {}) }

// idleBut is one whose workers' results the test gets.
func (w *world) idleBut(opt Options, result func(any)) *Connector {
	w.t.Helper()
	c, err := New(opt)
	if err != nil {
		w.t.Fatal(err)
	}
	hard, cancel := context.WithCancel(context.Background())
	c.hard = hard
	closed := make(chan struct{})
	go func() { // what a loop would take
		for {
			select {
			case e := <-c.consumer.Events():
				kafka.Done(e)
			case r := <-c.results:
				result(r)
			case <-closed:
				return
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		c.consumer.Close()
		c.workers.Wait()
		close(closed)
	})
	return c
}

func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	patience := time.Minute
	if os.Getenv("SLUICE_MUTANT") != "" {
		patience = 15 * time.Second // to fail is what it is there for
	}
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range append(w.timeline, w.broken...) {
		w.t.Log(l)
	}
	w.t.Fatalf("%s: not after %v", what, patience)
}

// equal reports whether every table holds what the model says.
func (w *world) equal() bool {
	for name, want := range w.model {
		t := w.emu.Snapshot(name)
		if t == nil {
			return len(want) == 0
		}
		if len(t.Rows) != len(want) {
			return false
		}
		for _, row := range t.Rows {
			if v, ok := want[row[0].(int64)]; !ok || v != row[1] {
				return false
			}
		}
	}
	return true
}

// lag is how many records of a topic the group has not committed.
func (w *world) lag(topic string) (lag int64) {
	adm := kadm.NewClient(w.client)
	ends, err := adm.ListEndOffsets(w.t.Context(), topic)
	if err != nil {
		w.t.Fatal(err)
	}
	at, err := adm.FetchOffsets(w.t.Context(), "sluice")
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		w.t.Fatal(err)
	}
	ends.Each(func(e kadm.ListedOffset) {
		o, _ := at.Lookup(e.Topic, e.Partition)
		lag += e.Offset - max(0, o.At)
	})
	return lag
}

func (w *world) check() {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.broken {
		w.t.Error(b)
	}
}
