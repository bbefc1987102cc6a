package connector

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/pushtest"
)

// inVirtualTime reports whether time may be virtual here: the Kafka client's locks stop it
// unless the client is built with a tag. If not, it runs the test once more with that.
func inVirtualTime(t *testing.T, flags ...string) bool {
	t.Helper()
	if strings.Contains(builtWith("-tags"), "synctests") {
		return true
	}
	path, err := virtualTests()
	if err != nil {
		t.Fatal(err)
	}
	var left time.Duration // no limit
	if end, ok := t.Deadline(); ok {
		left = max(time.Second, time.Until(end)-5*time.Second) // it is to say what hangs, and not to outlive us
	}
	cmd := exec.Command(path, append([]string{"-test.timeout=" + left.String(), "-test.run=^" + t.Name() + "$",
		fmt.Sprintf("-test.parallel=%d", runtime.GOMAXPROCS(0)+1)}, flags...)...) // none of them waits
	cmd.Env = append([]string{"GOGC=300"}, os.Environ()...) // what is alive is little
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return false
}

var virtualDir string // has what virtualTests builds, until TestMain removes it

// virtualTests builds these tests once more, with the tag.
var virtualTests = sync.OnceValues(func() (path string, err error) {
	if virtualDir, err = os.MkdirTemp("", "sluice-test"); err != nil {
		return "", err
	}
	path = filepath.Join(virtualDir, "virtual.test")
	return path, buildTests(path, ".", "-tags=synctests", "-race="+cmp.Or(builtWith("-race"), "false"))
})

// buildTests builds a package's tests into path. Those who look at their code are others, and
// no debugger is to come.
func buildTests(path, dir string, flags ...string) error {
	args := append([]string{"test", "-c", "-vet=off", "-ldflags=-s -w", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, "./"+dir)...).CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// builtWith is what this binary was built with under a flag of the go command.
func builtWith(flag string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == flag {
				return s.Value
			}
		}
	}
	return ""
}

// TestInVirtualTime has what takes long, or must not take longer than it may.
func TestInVirtualTime(t *testing.T) {
	t.Parallel()
	if !inVirtualTime(t) {
		return
	}
	t.Run("stop without brokers", testStopWithoutBrokers)
	t.Run("static members", testStaticMembers)
}

// virtual is brokers and a target in virtual time.
type virtual struct {
	t       *testing.T
	network kfake.VirtualNetwork
	cluster *kfake.Cluster
	emu     *emulator.Emulator
	silent  atomic.Bool // the brokers cannot be reached, and nothing says so
}

// inBubble calls f in a world of its own, with two brokers.
func inBubble(t *testing.T, eo emulator.Options, topics []string, f func(*virtual)) {
	synctest.Test(t, func(t *testing.T) {
		v := &virtual{t: t, emu: emulator.New(eo)}
		var err error
		v.cluster, err = kfake.NewCluster(kfake.NumBrokers(2), kfake.Ports(9092, 9093), kfake.ListenFn(v.network.Listen), kfake.SeedTopics(2, topics...))
		if err != nil {
			t.Fatal(err)
		}
		defer v.cluster.Close()
		f(v)
	})
}

// run starts a connector that logs to w; stop ends it as SIGTERM would, and waits for it.
func (v *virtual) run(instance string, log slog.Handler) (c *Connector, opt Options, stop func()) {
	v.t.Helper()
	opt = testOptions(v.t, v.cluster.ListenAddrs(), &pushtest.Transport{Handler: v.emu})
	opt.Logger = slog.New(log)
	opt.Kafka.Topics, opt.Kafka.InstanceID, opt.Kafka.Dial = []string{"^shop.*"}, instance, v.dial
	opt.Kafka.SessionTimeout, opt.Kafka.RebalanceTimeout = 45*time.Second, time.Minute
	c, err := New(opt)
	if err != nil {
		v.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return c, opt, func() {
		v.t.Helper()
		cancel()
		if err := <-done; err != nil {
			v.t.Error(err)
		}
	}
}

// put changes a row at the source.
func (v *virtual) put(topic string, id int64, value string) {
	v.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(v.cluster.ListenAddrs()...), kgo.Dialer(v.network.DialContext))
	if err != nil {
		v.t.Fatal(err)
	}
	defer client.Close()
	key, value := change(topic, "c", id, value)
	if err := client.ProduceSync(v.t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).FirstErr(); err != nil {
		v.t.Fatal(err)
	}
}

// eventually waits, for five minutes of no time.
func (v *virtual) eventually(what string, ok func() bool) {
	v.t.Helper()
	for end := time.Now().Add(5 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			v.t.Fatal(what + ": never")
		}
	}
}

func (v *virtual) dial(ctx context.Context, network, host string) (net.Conn, error) {
	time.Sleep(time.Millisecond)
	if v.silent.Load() {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second) // as the client's own dialer does
		defer cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	conn, err := v.network.DialContext(ctx, network, host)
	if err != nil {
		return nil, err
	}
	return virtualConn{conn, v}, nil
}

type virtualConn struct {
	net.Conn
	v *virtual
}

func (c virtualConn) Write(b []byte) (int, error) {
	time.Sleep(500 * time.Microsecond) // else a client that asks again at once would stop the clock
	if c.v.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}
