package main

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

var kills = flag.Int("kills", 20, "how often TestKill kills the program")

// binary builds the program once.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sluice-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sluice")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// TestMain has more tests run at once than there are processors: those that may wait for the
// programs that they start. Port 8080 is taken meanwhile: demos beside each other would try it
// at once, and each find it free.
func TestMain(m *testing.M) {
	flag.Parse()
	if n := flag.Lookup("test.parallel"); n.Value.String() == n.DefValue && runtime.GOMAXPROCS(0) < 6 {
		n.Value.Set("6")
	}
	taken, _ := net.Listen("tcp", "127.0.0.1:8080")          // nil if by another
	os.Setenv("NO_PROXY", os.Getenv("NO_PROXY")+",.invalid") // a proxy would say what it thinks of names that are nobody's
	code := m.Run()
	if taken != nil {
		taken.Close()
	}
	if path, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

type process struct {
	cmd *exec.Cmd
	log *logBuffer
}

type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func start(t testing.TB, env map[string]string) *process {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{exec.Command(path, "run"), &logBuffer{}}
	p.cmd.Stderr = p.log
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "SLUICE_HTTP_ADDR=127.0.0.1:0"}
	for k, v := range env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		p.cmd.Wait()
	})
	return p
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("%s: not after 40 s", what)
}

// watched holds every call of a test against the API's description.
func watched(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	c := new(pushtest.Contract)
	if err := c.Describe(emulator.OpenAPI); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, v := range c.Violations() {
			t.Error("contract: " + v)
		}
		if c.Checked == 0 {
			t.Error("no call was checked")
		}
	})
	return c.Watch(h)
}

// TestKill kills the program with SIGKILL at random moments while a shop changes;
// after the last start every table must equal the shop's. The API fails now and
// then as well.
func TestKill(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, shopTopics...))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	emu := emulator.New(emulator.Options{Delay: 50 * time.Millisecond, FaultRate: 0.02, Seed: 5})
	api := httptest.NewServer(watched(t, emu))
	defer api.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	env := map[string]string{
		"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^shop\..*`,
		// A static member takes its own place again at once.
		"SLUICE_KAFKA_INSTANCE_ID": "one", "SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k",
		"SLUICE_CELONIS_POLL_INTERVAL": "20ms", "SLUICE_CELONIS_JOB_ATTEMPTS": "100", "SLUICE_BATCH_MAX_AGE": "50ms",
		"SLUICE_BUDGET_JOBS_PER_HOUR": "100000", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000", "SLUICE_LOG_LEVEL": "warn",
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	s := newShop(*kills * 300)
	equal := func() bool {
		for _, table := range s.tables {
			if table.mismatches(poolDemo{emu}.rows(table.target())) > 0 {
				return false
			}
		}
		return true
	}
	for range *kills {
		p := start(t, env)
		if dice.IntN(4) == 0 { // catch up now and then, and start with everything delivered
			eventually(t, "tables equal after a restart", equal)
		}
		life := time.Duration(100+dice.IntN(900)) * time.Millisecond
		for end := time.Now().Add(life); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			var recs []*kgo.Record
			for range 5 {
				recs = append(recs, s.next()...)
			}
			if err := client.ProduceSync(t.Context(), recs...).FirstErr(); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		p.cmd.Wait()
	}
	p := start(t, env)
	eventually(t, "tables equal", equal)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("SIGTERM: %v, want exit 0\n%s", err, p.log)
	}
}

// TestFileTypes: the same changes make the same tables as Parquet and as CSV, and also where
// the declared lengths begin too short and grow.
func TestFileTypes(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, shopTopics...))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := newShop(2000)
	for range 2000 {
		if err := client.ProduceSync(t.Context(), s.next()...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	emus := map[string]*emulator.Emulator{}
	for name, env := range map[string]map[string]string{
		"parquet": {}, "csv": {"SLUICE_CELONIS_FILE_TYPE": "csv"},
		"grow": {"SLUICE_STRING_OVERFLOW": "grow", "SLUICE_CELONIS_FALLBACK_VARCHAR_LENGTH": "1"},
	} {
		emu := emulator.New(emulator.Options{})
		emus[name] = emu
		api := httptest.NewServer(watched(t, emu))
		defer api.Close()
		maps.Copy(env, map[string]string{
			"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^shop\..*`, "SLUICE_KAFKA_GROUP": name,
			"SLUICE_CELONIS_URL": api.URL, "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "k",
			"SLUICE_CELONIS_POLL_INTERVAL": "20ms", "SLUICE_BATCH_MAX_ROWS": "200", "SLUICE_BATCH_MAX_AGE": "50ms",
			"SLUICE_CHUNK_BYTES": "4KiB", "SLUICE_BUDGET_JOBS_PER_HOUR": "100000", "SLUICE_BUDGET_REQUESTS_PER_SECOND": "1000",
		})
		p := start(t, env)
		for _, table := range s.tables {
			eventually(t, name+" in "+table.target(), func() bool { return table.mismatches(poolDemo{emu}.rows(table.target())) == 0 })
		}
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("SIGTERM: %v\n%s", err, p.log)
		}
	}
	for _, table := range s.tables {
		a, b, c := emus["parquet"].Snapshot(table.target()), emus["csv"].Snapshot(table.target()), emus["grow"].Snapshot(table.target())
		if !reflect.DeepEqual(a.Columns, b.Columns) || !reflect.DeepEqual(a.Rows, b.Rows) || !reflect.DeepEqual(a.Rows, c.Rows) {
			t.Errorf("%s differs: %v, %v and %v", table.target(), a.Columns, b.Columns, c.Columns)
		}
		for i, col := range c.Columns {
			longest := 1
			for _, row := range c.Rows {
				if text, ok := row[i].(string); ok {
					longest = max(longest, len([]rune(text)))
				}
			}
			if col.Type == "STRING" && (col.Length < longest || col.Length > 100) {
				t.Errorf("%s.%s has length %d for texts of up to %d characters", table.target(), col.Name, col.Length, longest)
			}
		}
	}
}

// TestMessages runs the program as someone does who got something wrong: each
// message names setting, cause and remedy.
func TestMessages(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, shopTopics...))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	api := httptest.NewServer(watched(t, emulator.New(emulator.Options{Keys: []string{"Bearer right"}})))
	defer api.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(t.Context(), newShop(1).next()...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	with := func(m map[string]string) map[string]string {
		all := map[string]string{"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^shop\..*`, "SLUICE_CELONIS_URL": api.URL,
			"SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "hunter2", "SLUICE_BATCH_MAX_AGE": "10ms"}
		for k, v := range m {
			all[k] = v
		}
		return all
	}
	for _, tc := range []struct {
		name string
		env  map[string]string
		want []string
		exit int // -1: it goes on and tries again
	}{
		{"nothing set", nil, []string{"SLUICE_KAFKA_BROKERS: not set", "SLUICE_KAFKA_TOPICS: not set", "SLUICE_CELONIS_URL: not set", "SLUICE_CELONIS_POOL_ID: not set", "SLUICE_CELONIS_API_KEY: not set"}, exitUsage},
		{"three wrong", with(map[string]string{"SLUICE_SINK": "x", "SLUICE_BATCH_MAX_AGE": "soon", "SLUICE_MEMORY_LIMIT": "much"}),
			[]string{"3 problem(s)", "SLUICE_SINK=x: want one of celonis", "SLUICE_BATCH_MAX_AGE=soon: want a duration", "SLUICE_MEMORY_LIMIT=much: want a size"}, exitUsage},
		{"broker away", with(map[string]string{"SLUICE_KAFKA_BROKERS": "127.0.0.1:1"}), []string{"SLUICE_KAFKA_BROKERS: no broker answers at 127.0.0.1:1", "check addresses", "connection refused"}, -1},
		{"wrong key", with(nil), []string{"401", "Unauthorized", "SLUICE_CELONIS_API_KEY"}, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := start(t, tc.env)
			eventually(t, "the message", func() bool {
				for _, w := range tc.want {
					if !strings.Contains(p.log.String(), w) {
						return false
					}
				}
				return true
			})
			if strings.Contains(p.log.String(), "hunter2") {
				t.Errorf("a secret was printed:\n%s", p.log)
			}
			if tc.exit < 0 {
				p.cmd.Process.Signal(syscall.SIGTERM)
				if err := p.cmd.Wait(); err != nil {
					t.Errorf("SIGTERM: %v, want exit 0", err)
				}
				return
			}
			p.cmd.Wait()
			if got := p.cmd.ProcessState.ExitCode(); got != tc.exit {
				t.Errorf("exit %d, want %d", got, tc.exit)
			}
		})
	}
}

// TestDemo runs the demo in its own process, as a stranger does: it says what it is before
// it starts anything, takes another port if 8080 is taken, as TestMain has it, restarts the connector, and
// ends with its line.
func TestDemo(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "demo", "--events", "3000").CombinedOutput()
	text := string(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, want := range []string{"demo: verified ", " rows in 3 tables, 0 mismatches\n", "restart", "status   http://127.0.0.1:", "sluice emulator", "SLUICE_KAFKA_BROKERS"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "127.0.0.1:8080/") {
		t.Errorf("on a port that is taken:\n%s", text)
	}
	if !strings.HasPrefix(text, "sluice demo: 3000 changes ") {
		t.Errorf("something comes before what it is:\n%s", text)
	}
}

// TestDemoOfCSV: the demo sends CSV files where it is told to.
func TestDemoOfCSV(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for files, want := range map[string]string{"csv": " rows in 3 tables, 0 mismatches\n", "xlsx": "SLUICE_CELONIS_FILE_TYPE=xlsx: want one of parquet, csv"} {
		cmd := exec.Command(path, "demo", "--events", "600")
		cmd.Env = append(os.Environ(), "SLUICE_CELONIS_FILE_TYPE="+files)
		if out, _ := cmd.CombinedOutput(); !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// TestDemoOfFeldera: the demo fills a pipeline that forgets everything on the way, of which
// the connector takes notice while it runs: it reads again what it has committed.
func TestDemoOfFeldera(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for sink, wants := range map[string][]string{
		"feldera": {" rows in 3 tables, 0 mismatches\n", "has forgotten all its tables", "requests carried 2000 changes", "SLUICE_SINK=feldera"},
		"file":    {"--sink file: want celonis or feldera"},
	} {
		cmd := exec.Command(path, "demo", "--events", "2000", "--sink", sink)
		dir := t.TempDir()
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		out, _ := cmd.CombinedOutput()
		for _, want := range wants {
			if !strings.Contains(string(out), want) {
				t.Errorf("no %q in\n%s", want, out)
			}
		}
		if sink != "feldera" {
			continue
		}
		var log []byte
		if files, _ := filepath.Glob(filepath.Join(dir, "sluice-demo-*.log")); len(files) == 1 {
			log, _ = os.ReadFile(files[0])
		}
		for _, want := range []string{`level=ERROR msg="the target was started anew and has lost what was delivered to it"`, `msg="a partition is read again from its earliest record, .* committed=[1-9]\d* from=0`} {
			if !regexp.MustCompile(want).Match(log) {
				t.Errorf("no %s in what the connector logs:\n%s", want, log)
			}
		}
	}
}

// TestDemoInterrupted: Ctrl-C ends the demo soon and with a word, whatever it is at.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, moment := range []string{"sluice starts", "made ", "the shop has closed"} {
		t.Run(moment, func(t *testing.T) {
			t.Parallel()
			out := &logBuffer{}
			cmd := exec.Command(path, "demo", "--events", "1500")
			cmd.Stdout, cmd.Stderr = out, out
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			eventually(t, moment, func() bool { return strings.Contains(out.String(), moment) })
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			select {
			case err := <-ended:
				if (err == nil) != strings.Contains(out.String(), "0 mismatches") || err != nil && !strings.Contains(out.String(), "stopped before it was verified") {
					t.Errorf("%v\n%s", err, out)
				}
			case <-time.After(20 * time.Second):
				t.Errorf("it goes on:\n%s", out)
			}
		})
	}
}

// TestDemoKept: with --keep the pages stay up, and an interrupt ends it cleanly.
func TestDemoKept(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	out := &logBuffer{}
	cmd := exec.Command(path, "demo", "--events", "600", "--keep")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	eventually(t, "verified", func() bool { return strings.Contains(out.String(), "demo: verified ") })
	tables := regexp.MustCompile(`http://\S+/emulator/tables`).FindString(out.String())
	resp, err := http.Get(tables + "/public_orders?format=csv")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("%s: %s", tables, resp.Status)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted after the verification: %v\n%s", err, out)
	}
}
