package main

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/check"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-cdc/sluice/connector"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// felderaRig is an emulator and the settings that lead to it.
func felderaRig(t *testing.T, opt pipeline.Options) (*pipeline.Emulator, map[string]string) {
	t.Helper()
	emu := pipeline.New(opt)
	if err := emu.Create("shop", shopProgram); err != nil {
		t.Fatal(err)
	}
	emu.Start("shop")
	server := httptest.NewServer(emu)
	t.Cleanup(server.Close)
	return emu, map[string]string{"SLUICE_SINK": "feldera", "SLUICE_FELDERA_URL": server.URL, "SLUICE_FELDERA_PIPELINE": "shop"}
}

// TestFelderaWiring: every setting of that target reaches the place where it works.
func TestFelderaWiring(t *testing.T) {
	emu, env := felderaRig(t, pipeline.Options{Key: "apikey:k", Enterprise: true})
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("apikey:k\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env["SLUICE_FELDERA_API_KEY_FILE"] = key
	with := func(name, value string) connector.Options {
		t.Helper()
		all := map[string]string{name: value}
		for k, v := range env {
			all[k] = v
		}
		return wired(t, all)
	}
	o := with("", "")
	if state, err := o.Memory.State(t.Context()); err != nil || state == "" {
		t.Errorf("the pipeline is in state %q: %v", state, err)
	}
	// Whether names that differ in case are one is for the pipeline's program to say.
	for _, table := range []string{"t", "T"} {
		if err := o.Decoder.Claim(table, debezium.Identity{Schema: "s", Table: table}); err != nil {
			t.Error(err)
		}
	}
	if d := o.Decoder; d.Decimals != debezium.DecimalsExact || d.TimeUnit != 0 || d.ClockUnit != 1 || d.MaxLength != 0 || o.Rewind {
		t.Errorf("by default: %+v", d)
	}
	for _, tc := range []struct {
		name, value string
		is          func(connector.Options) bool
	}{
		{"SLUICE_DECIMAL", "string", func(o connector.Options) bool { return o.Decoder.Decimals == debezium.DecimalsText }},
		{"SLUICE_DECIMAL", "double", func(o connector.Options) bool { return o.Decoder.Decimals == debezium.Decimals(0) }},
		{"SLUICE_TIMESTAMP", "millis", func(o connector.Options) bool { return o.Decoder.TimeUnit == 1000 }},
		{"SLUICE_FELDERA_ON_STATE_LOSS", "rewind", func(o connector.Options) bool { return o.Rewind }},
		{"SLUICE_FELDERA_POLL_INTERVAL", "7s", func(o connector.Options) bool {
			return o.Pusher.PollInterval == 7*time.Second && o.Pusher.MaxPollInterval == 7*time.Second
		}},
		{"SLUICE_FELDERA_ATTEMPTS", "9", func(o connector.Options) bool { return o.Pusher.Attempts == 9 }},
	} {
		if !tc.is(with(tc.name, tc.value)) {
			t.Errorf("%s=%s does nothing", tc.name, tc.value)
		}
	}
	patient := map[string]string{"SLUICE_FELDERA_REQUEST_TIMEOUT": "7s"}
	maps.Copy(patient, env)
	if o, err := felderaOptions(settings(t, patient), new(telemetry.Telemetry), nil); err != nil || o.RequestTimeout != 7*time.Second {
		t.Errorf("SLUICE_FELDERA_REQUEST_TIMEOUT=7s: a request has %v, %v", o.RequestTimeout, err)
	}
	for name, value := range map[string]string{"SLUICE_FELDERA_REQUEST_ROWS": "2", "SLUICE_FELDERA_REQUEST_BYTES": "45"} {
		o := with(name, value)
		var rows schema.Rows
		rows.Reset("public_customers", []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}})
		for i := range int64(6) {
			rows.Values[0].AppendNum(i)
			rows.Ops, rows.Offsets = append(rows.Ops, schema.Upsert), append(rows.Offsets, i)
			rows.Keys = schema.AppendKey(rows.Keys, &rows.Values[0], int(i))
			rows.KeyEnds = append(rows.KeyEnds, uint32(len(rows.Keys)))
		}
		b := batcher.New(func(string) batcher.Policy { return batcher.Policy{} })
		batch, err := b.Add(time.Time{}, &rows, 0)
		if err != nil {
			t.Fatal(err)
		}
		b.Seal(batch)
		if chunks, err := o.Encode(batch); err != nil || len(chunks) != 3 {
			t.Errorf("%s=%s: %d requests, %v", name, value, len(chunks), err)
		}
	}
	// A checkpoint is waited for, and a restart loses nothing.
	o = with("SLUICE_FELDERA_CHECKPOINT", "wait")
	state, err := o.Memory.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Memory.Accept(state)
	o.Pusher.MinBackoff = 10 * time.Millisecond
	table := &schema.Table{Name: "public_customers", Columns: []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}, Key: true}}}
	if err := o.Pusher.Run(t.Context(), push.NewDelivery(table, []schema.Chunk{{Rows: 1, Data: []byte(`[{"insert":{"id":1}}]`)}})); err != nil {
		t.Fatal(err)
	}
	emu.Crash("shop")
	emu.Start("shop")
	if n := len(emu.Rows("shop", "public_customers")); n != 1 {
		t.Errorf("after a crash: %d rows", n)
	}
}

// TestFelderaWarnings: the log says once what sluice check does, and only where it is so.
func TestFelderaWarnings(t *testing.T) {
	const warning = "level=WARN msg=\"a crash of the pipeline loses what is in no checkpoint yet, and offsets are committed before one is made\" remedy=\"SLUICE_FELDERA_CHECKPOINT=wait,"
	for _, tc := range []struct {
		enterprise bool
		checkpoint string
		want       int
	}{{true, "never", 1}, {true, "wait", 0}, {false, "never", 0}} {
		_, env := felderaRig(t, pipeline.Options{Enterprise: tc.enterprise})
		env["SLUICE_FELDERA_CHECKPOINT"] = tc.checkpoint
		log := &logBuffer{}
		o := wiredTo(t, env, slog.New(slog.NewTextHandler(log, nil)))
		for range 2 {
			if _, err := o.Memory.State(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if n := strings.Count(log.String(), warning); n != tc.want || strings.Count(log.String(), "level=WARN") != n {
			t.Errorf("%+v: the log has\n%s", tc, log)
		}
	}
}

// ready is what is wired, for a pipeline that is accepted as it is.
func ready(t *testing.T, env map[string]string) connector.Options {
	t.Helper()
	o := wired(t, env)
	state, err := o.Memory.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o.Memory.Accept(state)
	return o
}

// TestFelderaAppends: rows that are only ever added are not sent a second time, a history's
// no more than those of append; a table of others has a key.
func TestFelderaAppends(t *testing.T) {
	t.Parallel()
	for table, want := range map[string]string{"added": "which of its rows are there is not known", "history": "which of its rows are there is not known", "plain": "set tables.plain.append: true"} {
		emu, env := felderaRig(t, pipeline.Options{})
		emu.Stop("shop", true)
		if err := emu.Create("shop", fmt.Sprintf("CREATE TABLE %s (id BIGINT);", table)); err != nil {
			t.Fatal(err)
		}
		emu.Start("shop")
		env["SLUICE_TABLES_FILE"] = tablesAt(t, "tables: {added: {append: true}, history: {mode: history}}")
		o := ready(t, env)
		o.Pusher.MinBackoff, o.Pusher.Attempts = time.Millisecond, 1
		emu.Inject("ingress", pipeline.LostAfter, 1, 1) // after the barrier
		d := push.NewDelivery(&schema.Table{Name: table, Columns: []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}}}}, []schema.Chunk{{Rows: 1, Data: []byte(`[{"insert":{"id":1}}]`)}})
		d.Once = o.Decoder.Appends(table)
		if err := o.Pusher.Run(t.Context(), d); err == nil || push.KindOf(err) != push.Rejected || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: it ends with %v", table, err)
		}
		if n := len(emu.Rows("shop", table)); n > 1 {
			t.Errorf("%s has %d rows", table, n)
		}
	}
}

// TestFelderaHistory: versions of a row do not replace each other: a PRIMARY KEY of the pipeline
// has the column that tells them apart, whatever its name.
func TestFelderaHistory(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"id": "those with the same PRIMARY KEY (id) would replace each other", "id, at": ""} {
		emu, env := felderaRig(t, pipeline.Options{})
		emu.Stop("shop", true)
		if err := emu.Create("shop", "CREATE TABLE t (id BIGINT NOT NULL, at VARCHAR NOT NULL, PRIMARY KEY ("+key+"));"); err != nil {
			t.Fatal(err)
		}
		emu.Start("shop")
		env["SLUICE_TABLES_FILE"] = tablesAt(t, "tables: {t: {mode: history, metadataColumns: {kafka_position: at}}}")
		o := ready(t, env)
		o.Pusher.Attempts = 1
		d := push.NewDelivery(&schema.Table{Name: "t", Columns: []schema.Column{{Name: "id", Type: schema.Type{Kind: schema.Integer}}, {Name: "at", Type: schema.Type{Kind: schema.String}}}},
			[]schema.Chunk{{Rows: 2, Data: []byte(`[{"insert":{"id":1,"at":"t-0@1"}},{"insert":{"id":1,"at":"t-0@2"}}]`)}})
		switch err := o.Pusher.Run(t.Context(), d); {
		case want == "" && (err != nil || len(emu.Rows("shop", "t")) != 2):
			t.Errorf("PRIMARY KEY (%s): %v, and %d rows", key, err, len(emu.Rows("shop", "t")))
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("PRIMARY KEY (%s): %v, and %d rows", key, err, len(emu.Rows("shop", "t")))
		}
	}
}

// TestFelderaSettings: what that target cannot do is said at the start, and the other
// target's settings are not asked for.
func TestFelderaSettings(t *testing.T) {
	tables := tablesAt(t, "tables: {a: {truncate: replace}, b: {unavailable: unchanged}, c: {append: true}}")
	base := map[string]string{"SLUICE_KAFKA_BROKERS": "b:9092", "SLUICE_KAFKA_TOPICS": "t", "SLUICE_SINK": "feldera", "SLUICE_FELDERA_URL": "http://f:8080", "SLUICE_FELDERA_PIPELINE": "p"}
	load := func(name, value string) string {
		_, err := config.Load(t.Context(), func(n string) (string, bool) {
			if n == name {
				return value, true
			}
			v, ok := base[n]
			return v, ok
		})
		if err == nil {
			return ""
		}
		return err.Error()
	}
	if text := load("", ""); text != "" {
		t.Error(text)
	}
	folded := tablesAt(t, "tables: {a: {keys: [id]}, A: {keys: [id]}}")
	if text := load("SLUICE_TABLES_FILE", folded); text != "" {
		t.Errorf("tables that the pipeline may tell apart: %s", text)
	}
	base["SLUICE_CELONIS_NAME_CASE"] = "keep" // does nothing here
	for _, tc := range [][3]string{
		{"SLUICE_FELDERA_URL", "", "SLUICE_FELDERA_URL: not set"},
		{"SLUICE_FELDERA_URL", "f:8080", "SLUICE_FELDERA_URL=f:8080: want the address"},
		{"SLUICE_FELDERA_URL", "http://u:hunter2@f", "SLUICE_FELDERA_URL=http://u:xxxxx@f: want the address of a pipeline manager without user"},
		{"SLUICE_FELDERA_PIPELINE", "", "SLUICE_FELDERA_PIPELINE: not set"},
		{"SLUICE_FELDERA_CHECKPOINT", "soon", "want one of never, wait"},
		{"SLUICE_FELDERA_ON_STATE_LOSS", "ignore", "want one of hold, rewind"},
		{"SLUICE_FELDERA_CA_FILE", tables, "no certificate in it"},
		{"SLUICE_TIMESTAMP", "int96", "SLUICE_TIMESTAMP=int96: want auto, millis or micros under SLUICE_SINK=feldera"},
		{"SLUICE_UNAVAILABLE", "unchanged", "SLUICE_UNAVAILABLE=unchanged: want hold or null under SLUICE_SINK=feldera"},
		{"SLUICE_TABLES_FILE", tables, "tables.a.truncate: want hold or ignore under SLUICE_SINK=feldera"},
		{"SLUICE_TABLES_FILE", tables, "tables.b.unavailable: want hold or null under SLUICE_SINK=feldera"},
		{"SLUICE_METADATA_COLUMNS", "op=x,deleted=X", "op and deleted are both named X at the target"},
		{"SLUICE_SINK", "celonis", "SLUICE_CELONIS_URL: not set"},
	} {
		if text := load(tc[0], tc[1]); !strings.Contains(text, tc[2]) {
			t.Errorf("%s=%s: %s", tc[0], tc[1], text)
		}
	}
}

// TestFelderaCheck: sluice check asks the pipeline, and changes nothing there.
func TestFelderaCheck(t *testing.T) {
	emu, env := felderaRig(t, pipeline.Options{Key: "apikey:k"})
	target := func(change map[string]string) (seen, remedy string) {
		t.Helper()
		all := map[string]string{"SLUICE_FELDERA_API_KEY": "apikey:k", "SLUICE_KAFKA_BROKERS": "127.0.0.1:1", "SLUICE_KAFKA_TOPICS": "t"}
		for _, m := range []map[string]string{env, change} {
			for k, v := range m {
				all[k] = v
			}
		}
		_, r := checked(t, all)
		for _, f := range r.Findings {
			if f.ID == "target" {
				return string(f.Status) + " " + f.Seen, f.Remedy
			}
		}
		return "", ""
	}
	if seen, _ := target(nil); !strings.HasPrefix(seen, string(check.OK)) || !strings.Contains(seen, "pipeline shop runs and has 3 tables") {
		t.Error(seen)
	}
	for _, tc := range []struct {
		change       map[string]string
		seen, remedy string
	}{
		{map[string]string{"SLUICE_FELDERA_API_KEY": "apikey:x"}, "401", "SLUICE_FELDERA_API_KEY"},
		{map[string]string{"SLUICE_FELDERA_PIPELINE": "other"}, "UnknownPipelineName", "SLUICE_FELDERA_PIPELINE"},
		{map[string]string{"SLUICE_FELDERA_URL": "http://127.0.0.1:1"}, "refused", "nothing answers there: check SLUICE_FELDERA_URL, the network and HTTPS_PROXY"},
		{map[string]string{"SLUICE_FELDERA_CHECKPOINT": "wait"}, "has no checkpoints", "SLUICE_FELDERA_CHECKPOINT=never"},
	} {
		if seen, remedy := target(tc.change); !strings.HasPrefix(seen, string(check.Problem)) || !strings.Contains(seen, tc.seen) || !strings.Contains(remedy, tc.remedy) {
			t.Errorf("%v: %s; to do: %s", tc.change, seen, remedy)
		}
	}
	_, enterprise := felderaRig(t, pipeline.Options{Enterprise: true})
	if seen, remedy := target(enterprise); !strings.HasPrefix(seen, string(check.Warning)) || !strings.Contains(seen, "no checkpoint yet") || !strings.Contains(remedy, "SLUICE_FELDERA_CHECKPOINT=wait") {
		t.Errorf("without checkpoints: %s; to do: %s", seen, remedy)
	}
	enterprise["SLUICE_FELDERA_CHECKPOINT"] = "wait"
	if seen, _ := target(enterprise); !strings.HasPrefix(seen, string(check.OK)) {
		t.Errorf("with checkpoints: %s", seen)
	}
	_, old := felderaRig(t, pipeline.Options{Platform: "0.296.0"})
	if seen, remedy := target(old); !strings.HasPrefix(seen, string(check.Warning)) || !strings.Contains(seen, "Feldera 0.296.0") || !strings.Contains(remedy, "upgrade to 0.297") {
		t.Errorf("of an old version: %s; to do: %s", seen, remedy)
	}
	emu.Pause("shop")
	if seen, remedy := target(nil); !strings.Contains(seen, "is Paused") || !strings.Contains(remedy, "resume") {
		t.Errorf("paused: %s; to do: %s", seen, remedy)
	}
	if n := emu.Counts().Posts; n != 0 {
		t.Errorf("%d requests of rows", n)
	}
}
