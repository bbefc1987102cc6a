//go:build e2e

// Package e2e runs the real binary against real servers: Apache Kafka, Debezium,
// PostgreSQL, MariaDB and a schema registry, which the script stack installs and
// starts. The target is the emulator; what it holds in the end is compared with what
// the databases answer.
package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
)

var keep = flag.Bool("keep", false, "leave the servers running at the end")

const (
	broker   = "127.0.0.1:19092"
	sasl     = "127.0.0.1:19093"
	registry = "http://127.0.0.1:18081/apis/ccompat/v7"
)

var program string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "sluice-e2e")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "sluice")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/sluice").CombinedOutput(); err != nil {
		return 1, fmt.Errorf("%w: %s", err, out)
	}
	for _, what := range []string{"clean", "up"} { // topics of an earlier run would mix with ours
		cmd := exec.Command("./stack", what)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return 1, fmt.Errorf("stack %s: %w", what, err)
		}
	}
	if !*keep {
		defer exec.Command("./stack", "clean").Run()
	}
	return m.Run(), nil
}

// stack runs the script.
func stack(t *testing.T, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	// Not through pipes: a server that it starts would keep them open.
	out, err := os.CreateTemp(t.TempDir(), "stack")
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cmd := exec.CommandContext(ctx, "./stack", args...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		t.Fatalf("stack %s: %v\n%s", strings.Join(args, " "), err, text)
	}
}

// sql runs statements and returns the output.
func sql(t *testing.T, db, text string) string {
	t.Helper()
	cmd := exec.Command("./stack", "sql", db)
	cmd.Stdin = strings.NewReader(text)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s\n%.2000s", db, err, &problem, text)
	}
	return out.String()
}

func eventually(t *testing.T, what string, within time.Duration, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not after %v", what, within)
}

// pipeline is a connector of Debezium and a Sluice that carries its topics into an
// emulator.
type pipeline struct {
	t                  *testing.T
	db, format, prefix string
	settings           string // of the connector, members of JSON
	emu                *emulator.Emulator
	held               func(tb table) (rows map[string][]string, problem string) // what the target has
	env                map[string]string
	cmd                *exec.Cmd
	log                *os.File

	mu     sync.Mutex
	chunks []chunk
}

// chunk is an uploaded file, in the order in which they came.
type chunk struct {
	table, kind string
	data        []byte
}

func newPipeline(t *testing.T, db, format, prefix string) *pipeline {
	t.Helper()
	p := &pipeline{t: t, db: db, format: format, prefix: prefix}
	p.emu = emulator.New(emulator.Options{Delay: 100 * time.Millisecond, OnChunk: func(table, kind string, data []byte) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.chunks = append(p.chunks, chunk{table, kind, bytes.Clone(data)})
	}})
	api := httptest.NewServer(p.emu)
	t.Cleanup(api.Close)
	p.env = map[string]string{
		"SLUICE_KAFKA_BROKERS": broker, "SLUICE_KAFKA_TOPICS": "^" + prefix + `\.(public|shop)\..*`, "SLUICE_KAFKA_GROUP": prefix, "SLUICE_KAFKA_INSTANCE_ID": "one",
		"SLUICE_KAFKA_METADATA_MAX_AGE": "1s", "SLUICE_SCHEMA_REGISTRY_URL": registry, "SLUICE_TARGET_TABLE": "{table}", "SLUICE_DECIMAL": "string", "SLUICE_TIMESTAMP": "micros",
		"SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k", "SLUICE_CELONIS_POLL_INTERVAL": "50ms",
		"SLUICE_BATCH_MAX_AGE": "200ms", "SLUICE_BUDGET_JOBS_PER_HOUR": "100000", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000", "SLUICE_HTTP_ADDR": "127.0.0.1:0",
	}
	p.held = p.uploaded
	p.logTo("sluice.log")
	return p
}

// sibling is another replica of the same pipeline.
func (p *pipeline) sibling(name string) *pipeline {
	p.t.Helper()
	other := &pipeline{t: p.t, db: p.db, format: p.format, prefix: p.prefix, emu: p.emu, held: p.held, env: maps.Clone(p.env)}
	other.env["SLUICE_KAFKA_INSTANCE_ID"] = name
	other.logTo("sluice-" + name + ".log")
	return other
}

// logTo opens the log of the program, which a failed test shows, and ends the program
// with the test.
func (p *pipeline) logTo(name string) {
	p.t.Helper()
	var err error
	if p.log, err = os.Create(filepath.Join(p.t.TempDir(), name)); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		p.stop()
		if p.t.Failed() {
			text, _ := os.ReadFile(p.log.Name())
			p.t.Logf("%s:\n%s", name, text[max(0, len(text)-6000):])
		}
		p.log.Close()
	})
}

// connect starts the connector, and ends it with the test.
func (p *pipeline) connect() {
	p.t.Helper()
	stack(p.t, "connect", p.db, p.format, p.prefix, p.settings)
	p.t.Cleanup(func() { exec.Command("./stack", "disconnect", p.prefix).Run() })
}

func (p *pipeline) start() {
	p.t.Helper()
	p.cmd = exec.Command(program, "run")
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	for k, v := range p.env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends Sluice without a chance to finish anything.
func (p *pipeline) kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.cmd = nil
}

// stop ends Sluice as Kubernetes would.
func (p *pipeline) stop() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("SIGTERM: %v, want exit 0", err)
	}
	p.cmd = nil
}

// lag is how many records of the pipeline's topics are not committed; -1 if Kafka
// does not answer.
func (p *pipeline) lag() int64 {
	cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		p.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	adm := kadm.NewClient(cl)
	topics, err := adm.ListTopics(ctx)
	if err != nil {
		return -1
	}
	var mine []string
	for _, t := range topics.Names() {
		if strings.HasPrefix(t, p.prefix+".") {
			mine = append(mine, t)
		}
	}
	if len(mine) == 0 {
		return -1
	}
	ends, err := adm.ListEndOffsets(ctx, mine...)
	if err != nil {
		return -1
	}
	at, err := adm.FetchOffsets(ctx, p.prefix)
	if err != nil {
		return -1
	}
	lag := int64(0)
	ends.Each(func(e kadm.ListedOffset) {
		o, ok := at.Lookup(e.Topic, e.Partition)
		if !ok {
			o.At = 0
		}
		lag += e.Offset - max(0, o.At)
	})
	return lag
}

// differences compares a table with what its database answers, row by row and column
// by column; it returns the first few.
func (p *pipeline) differences(tb table) (diff []string, rows int) {
	p.t.Helper()
	want := p.ask(tb)
	got, problem := p.held(tb)
	if problem != "" && len(want)+len(got) > 0 {
		return []string{problem}, 0
	}
	return compare(tb, got, want), len(want)
}

// uploaded is what the emulator of the Data Push API has of a table, by key.
func (p *pipeline) uploaded(tb table) (rows map[string][]string, problem string) {
	snapshot := p.emu.Snapshot(tb.name)
	if snapshot == nil {
		return nil, tb.name + " does not exist in the target"
	}
	at := make([]int, len(tb.columns))
	for i, c := range tb.columns {
		if at[i] = slices.IndexFunc(snapshot.Columns, func(have emulator.Column) bool { return have.Name == c.name }); at[i] < 0 {
			return nil, tb.name + "." + c.name + " does not exist in the target"
		}
	}
	rows = map[string][]string{}
	for _, row := range snapshot.Rows {
		var cells []string
		for i := range tb.columns {
			cells = append(cells, cellText(row[at[i]]))
		}
		rows[tb.key(cells)] = cells
	}
	return rows, ""
}

// null is what stands for NULL among texts.
const null = "\x00NULL"

func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return null
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

func compare(tb table, got, want map[string][]string) (diff []string) {
	note := func(format string, args ...any) {
		if len(diff) < 8 {
			diff = append(diff, fmt.Sprintf(format, args...))
		}
	}
	for k, w := range want {
		g, ok := got[k]
		if !ok {
			note("%s %s is missing", tb.name, k)
			continue
		}
		for i, c := range tb.columns {
			if g[i] == w[i] {
				continue
			}
			if c.float {
				x, err1 := strconv.ParseFloat(g[i], 64)
				y, err2 := strconv.ParseFloat(w[i], 64)
				if err1 == nil && err2 == nil && x == y {
					continue
				}
			}
			if c.json && g[i] != null && w[i] != null && sameJSON(g[i], w[i]) {
				continue
			}
			note("%s %s, %s: %q, the database has %q", tb.name, k, c.name, g[i], w[i])
		}
	}
	for k := range got {
		if want[k] == nil {
			note("%s %s should not be there", tb.name, k)
		}
	}
	return diff
}

// sameJSON reports whether two texts are one value in JSON, with all digits of its numbers.
func sameJSON(a, b string) bool {
	read := func(text string) (v any) {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if dec.Decode(&v) != nil || dec.More() {
			return fmt.Errorf("%q", text)
		}
		return v
	}
	return reflect.DeepEqual(read(a), read(b))
}

// ask reads a table from its database, every value as hexadecimal text, which no
// client escapes or shortens.
func (p *pipeline) ask(tb table) map[string][]string {
	p.t.Helper()
	var exprs []string
	for _, c := range tb.columns {
		expr := c.in(p.db, p.format)
		if p.db == "postgres" {
			exprs = append(exprs, "coalesce(encode(convert_to(("+expr+")::text,'UTF8'),'hex'),'-')")
		} else {
			exprs = append(exprs, "ifnull(lower(hex(cast("+expr+" as char character set utf8mb4))),'-')")
		}
	}
	out := sql(p.t, p.db, "select concat_ws(',',"+strings.Join(exprs, ",")+") from "+tb.name+";")
	rows := map[string][]string{}
	for line := range strings.Lines(out) {
		var cells []string
		for cell := range strings.SplitSeq(strings.TrimSpace(line), ",") {
			text := []byte(null)
			if cell != "-" {
				var err error
				if text, err = hex.DecodeString(cell); err != nil {
					p.t.Fatalf("%s: %v in %q", tb.name, err, line)
				}
			}
			cells = append(cells, string(text))
		}
		rows[tb.key(cells)] = cells
	}
	return rows
}

// settle waits until every table equals its database and nothing is left in Kafka.
func (p *pipeline) settle(within time.Duration, tables ...table) {
	p.t.Helper()
	var diff []string
	rows := 0
	for end := time.Now().Add(within); ; time.Sleep(500 * time.Millisecond) {
		diff, rows = nil, 0
		for _, tb := range tables {
			d, n := p.differences(tb)
			diff, rows = append(diff, d...), rows+n
		}
		if lag := p.lag(); len(diff) == 0 && lag != 0 {
			diff = []string{fmt.Sprintf("lag %d", lag)}
		}
		if len(diff) == 0 {
			p.t.Logf("%s, %s: %d rows in %d tables, 0 mismatches", p.db, p.format, rows, len(tables))
			return
		}
		if time.Now().After(end) {
			p.t.Fatalf("after %v:\n%s", within, strings.Join(diff, "\n"))
		}
	}
}

// status reads a page of the running program.
func (p *pipeline) status(path string) string {
	text, err := os.ReadFile(p.log.Name())
	if err != nil {
		return ""
	}
	at := strings.LastIndex(string(text), "status=http://")
	if at < 0 {
		return ""
	}
	base, _, _ := strings.Cut(string(text[at+len("status="):]), "/status")
	resp, err := http.Get(base + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	return string(body)
}
