package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
)

// troubled runs a pipeline in which much goes wrong, and returns its metrics.
func troubled(t *testing.T) string {
	t.Helper()
	const dead = "dead"
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "shop.public.sorted"), kfake.SeedTopics(1, append([]string{"shop.public.odd", "shop.public.bad", "nameless", dead}, shopTopics...)...))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	emu := emulator.New(emulator.Options{Delay: 10 * time.Millisecond})
	emu.Inject("execute", emulator.JobError, 1, 1)
	api := httptest.NewServer(emu)
	defer api.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("marks"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	tables := tablesAt(t, "tables:\n  public_sorted:\n    order: position\n")
	cfg := settings(t, map[string]string{
		"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^(shop\.public\..*|nameless)$`, "SLUICE_TABLES_FILE": tables,
		"SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POLL_INTERVAL": "20ms", "SLUICE_CELONIS_JOB_ATTEMPTS": "10",
		"SLUICE_BUDGET_JOBS_PER_HOUR": "100000", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000", "SLUICE_BATCH_MAX_AGE": "50ms",
		"SLUICE_DEADLETTER_TOPIC": dead, "SLUICE_DEADLETTER_LIMIT": "1", "SLUICE_OUT_OF_RANGE": "clamp", "SLUICE_BINARY": "drop",
		"SLUICE_STRING_OVERFLOW": "cut", "SLUICE_UNAVAILABLE": "null", "SLUICE_SCHEMA_REGISTRY_URL": api.URL, "SLUICE_HTTP_ADDR": "127.0.0.1:0",
	})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	log := &logBuffer{}
	go func() { ended <- run(ctx, cfg, slog.New(slog.NewTextHandler(log, nil)), nil) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	var addr string
	eventually(t, "its address", func() bool {
		addr = regexp.MustCompile(`127\.0\.0\.1:\d+/status`).FindString(log.String())
		return addr != ""
	})
	addr = strings.TrimSuffix(addr, "/status")

	produce := func(recs ...*kgo.Record) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	s := newShop(300)
	for range 30 {
		for range 10 {
			produce(s.next()...)
		}
	}
	produce(sorted(0, 200), odd(1))
	for _, table := range s.tables {
		eventually(t, table.topic, func() bool { return table.mismatches(poolDemo{emu}.rows(table.target())) == 0 })
	}
	eventually(t, "the first rows", func() bool { return emu.Snapshot("public_sorted") != nil && emu.Snapshot("public_odd") != nil })
	// An older change from another partition; a further column; a record that is put aside; two
	// more than are allowed, one of which tells its table.
	produce(sorted(1, 100), odd(2, "more"))
	nonsense := func(topic string) *kgo.Record { return &kgo.Record{Topic: topic, Value: []byte("nonsense")} }
	produce(nonsense("shop.public.bad"))
	eventually(t, "a dead letter", func() bool { return strings.Contains(get(t, addr), "sluice_dead_letters_total{") })
	produce(nonsense("nameless"), nonsense("shop.public.bad"))
	held := regexp.MustCompile(`(?m)^sluice_holds\{.*(sluice_table|messaging_destination_name)=.* 1$`)
	eventually(t, "a table and a topic on hold, and the older change skipped", func() bool {
		page := get(t, addr)
		return len(held.FindAllString(page, -1)) == 2 && strings.Contains(page, "sluice_rows_stale_total{") && strings.Contains(page, "sluice_schema_changes_total{")
	})
	return get(t, addr)
}

func get(t *testing.T, addr string) string {
	t.Helper()
	resp, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sorted is a change of one row at a position of the source's log.
func sorted(partition int32, lsn int) *kgo.Record {
	return &kgo.Record{Topic: "shop.public.sorted", Partition: partition, Key: []byte(`{"id":1}`), Value: fmt.Appendf(nil,
		`{"before":null,"after":{"id":1,"at":%d},"source":{"version":"3.0.0.Final","connector":"postgresql","name":"shop","ts_ms":%d,"snapshot":"false","db":"shop","schema":"public","table":"sorted","sequence":"[null,\"%d\"]","lsn":%[3]d},"op":"u","ts_ms":1}`,
		lsn, time.Now().UnixMilli(), lsn)}
}

// odd is a row of values that lose something, each in its way, and of further ones.
func odd(id int, further ...string) *kgo.Record {
	fields, values := `{"type":"int32","field":"id"},
		{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"},"field":"rounded"},
		{"type":"int32","name":"io.debezium.time.Date","version":1,"field":"clamped"},
		{"type":"double","field":"nulled"},
		{"type":"string","name":"io.debezium.time.ZonedTimestamp","version":1,"field":"unzoned"},
		{"type":"bytes","field":"dropped"},
		{"type":"string","field":"cut"},
		{"type":"string","field":"unavailable"},
		{"type":"string","name":"com.example.Unknown","field":"unknown"}`,
		fmt.Sprintf(`"id":%d,"rounded":"ASNFZ4mrze8BI0VniavN7w==","clamped":99999999,"nulled":"NaN","unzoned":"2026-01-15T10:30:00","dropped":"AAAA","cut":%q,"unavailable":"__debezium_unavailable_value","unknown":"x"`,
			id, strings.Repeat("x", 20_000))
	for _, name := range further {
		fields += fmt.Sprintf(`,{"type":"int32","field":%q}`, name)
		values += fmt.Sprintf(`,%q:1`, name)
	}
	const source = `{"type":"string","field":"connector"},{"type":"int64","field":"ts_ms"},{"type":"string","field":"db"},{"type":"string","field":"schema"},{"type":"string","field":"table"}`
	return &kgo.Record{Topic: "shop.public.odd",
		Key: fmt.Appendf(nil, `{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},"payload":{"id":%d}}`, id),
		Value: fmt.Appendf(nil, `{"schema":{"type":"struct","name":"shop.public.odd.Envelope","fields":[
			{"type":"struct","optional":true,"fields":[%s],"field":"after"},{"type":"struct","fields":[%s],"field":"source"},{"type":"string","field":"op"}]},
			"payload":{"after":{%s},"source":{"connector":"postgresql","ts_ms":%d,"db":"shop","schema":"public","table":"odd"},"op":"u"}}`,
			fields, source, values, time.Now().UnixMilli())}
}
