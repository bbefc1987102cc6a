//go:build e2e

package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
)

var chaosFor = flag.Duration("chaos", 70*time.Second, "how long TestChaos goes on; 10m has at least 20 kills, 5 freezes and 3 restarts of the broker, and the API away for two minutes")

var chaosTables = []table{
	{"chaos_a", 1, []column{{name: "id"}, {name: "version"}, {name: "at"}}},
	{"chaos_b", 1, []column{{name: "id"}, {name: "version"}, {name: "at"}}},
	{"chaos_c", 1, []column{{name: "id"}, {name: "version"}, {name: "at"}}},
}

// witness sees the target as its readers do, and each replica's submissions.
type witness struct {
	mu   sync.Mutex
	api  http.Handler
	away bool
	*versions
	submitted map[string]int           // by replica
	made      map[string]string        // job → the replica that made it
	barred    map[string]freeze        // replica → since when it may not execute what it made before, nor anything until it is a member again
	log       map[string]func() string // of a replica
	madeAt    map[string]time.Time
	jobs      int
}

// freeze is when a replica was frozen, and how long its log was.
type freeze struct {
	at  time.Time
	log int
}

// rejoined reports whether a replica says that it was given partitions, be it none, since a
// freeze. It does so before it can have anything of them to submit.
func (w *witness) rejoined(replica string, since freeze) bool {
	text := w.log[replica]()
	return strings.Contains(text[min(since.log, len(text)):], "partitions assigned")
}

func (w *witness) onRow(table, key string, row []any) {
	w.set(func() { w.versions.onRow(table, key, row) })
}

func (w *witness) onEvent(e emulator.Event) {
	w.set(func() { w.versions.onEvent(e) })
}

// tookOver reports whether a replica says that it was given a job.
func (w *witness) tookOver(replica, job string) bool {
	for line := range strings.Lines(w.log[replica]()) {
		if strings.Contains(line, "taken over") && strings.Contains(line, job) {
			return true // whoever made it has no reason to say so before
		}
	}
	return false
}

// as is the API as one replica reaches it.
func (w *witness) as(replica string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		away := w.away
		path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		if last := path[len(path)-1]; !away && r.Method == http.MethodPost && len(path) > 2 && path[len(path)-2] == "jobs" {
			w.submitted[replica]++
			since, barred := w.barred[replica]
			// A job of before it may execute if it was given the partitions again, and found it there.
			if old := w.made[last] == replica && w.madeAt[last].Before(since.at) && !w.tookOver(replica, last); barred && (old || !w.rejoined(replica, since)) {
				text := w.log[replica]()
				w.wrong = append(w.wrong, fmt.Sprintf("%s executed job %s %v after it was frozen, %v after it had made it; its log ends:\n%s",
					replica, last, time.Since(since.at), time.Since(w.madeAt[last]), text[max(0, len(text)-4000):]))
			}
		}
		w.mu.Unlock()
		if away {
			panic(http.ErrAbortHandler)
		}
		if r.Method != http.MethodPost || path[len(path)-1] != "jobs" {
			w.api.ServeHTTP(rw, r)
			return
		}
		makeJob(w.api, rw, r, func(id string) {
			w.mu.Lock()
			w.made[id], w.madeAt[id] = replica, time.Now()
			w.jobs++
			w.mu.Unlock()
		})
	})
}

func (w *witness) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// chaos is three replicas under a workload that does not stop.
type chaos struct {
	*witness
	turns   *turns
	t       *testing.T
	all     []*pipeline
	version int64 // of the last change
	stop    chan struct{}
	wg      sync.WaitGroup
}

func newChaos(t *testing.T, prefix string) *chaos {
	w := &witness{versions: newVersions(), submitted: map[string]int{},
		made: map[string]string{}, madeAt: map[string]time.Time{}, barred: map[string]freeze{}, log: map[string]func() string{}}
	drop, create := "", ""
	for _, tb := range chaosTables {
		drop += fmt.Sprintf("drop table if exists %s;\n", tb.name)
		create += fmt.Sprintf("create table %s(id bigint primary key, version bigint, at bigint);\n", tb.name)
	}
	sql(t, "postgres", drop+create)
	t.Cleanup(func() { sql(t, "postgres", drop) }) // every connector reads all tables that are there
	p := newPipeline(t, "postgres", "json", prefix)
	p.emu = emulator.New(emulator.Options{Delay: 700 * time.Millisecond, OnRow: w.onRow, OnEvent: w.onEvent})
	w.api = p.emu
	// The tombstone after a delete is one more delete to whoever reads on from between the two.
	p.settings = `"tombstones.on.delete":"false"`
	p.env["SLUICE_KAFKA_TOPICS"] = "^" + prefix + `\.public\.chaos_.*`
	p.env["SLUICE_KAFKA_SESSION_TIMEOUT"] = "6s"
	p.env["SLUICE_DRAIN_TIMEOUT"] = "5s"
	c := &chaos{witness: w, turns: newTurns(w.log), t: t, all: []*pipeline{p, p.sibling("two"), p.sibling("three")}, stop: make(chan struct{})}
	for i, one := range c.all {
		delete(one.env, "SLUICE_KAFKA_INSTANCE_ID") // members come back as new ones
		api := httptest.NewServer(c.turns.as(fmt.Sprint("replica ", i), w.as(fmt.Sprint("replica ", i))))
		t.Cleanup(api.Close)
		one.env["SLUICE_CELONIS_URL"] = api.URL
		w.log[fmt.Sprint("replica ", i)] = func() string {
			text, _ := os.ReadFile(one.log.Name())
			return string(text)
		}
	}
	c.change(rand.New(rand.NewPCG(1, 1)), 20)
	p.connect()
	for _, one := range c.all {
		one.start()
	}
	p.settle(2*time.Minute, chaosTables...)
	return c
}

// change changes n rows at the source. Only one at a time may call it.
func (c *chaos) change(r *rand.Rand, n int) {
	var b strings.Builder
	for range n {
		tb, version := chaosTables[r.IntN(len(chaosTables))].name, int64(0)
		id := r.IntN(60)
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "delete from %s where id=%d;\n", tb, id)
		} else {
			c.version++
			version = c.version
			fmt.Fprintf(&b, "insert into %s values (%d, %d, (extract(epoch from clock_timestamp())*1000)::bigint) "+
				"on conflict (id) do update set version=excluded.version, at=excluded.at;\n", tb, id, version)
		}
		c.set(func() { c.changed(tb, fmt.Sprintf("int64:%d|", id), version) })
	}
	sql(c.t, "postgres", b.String())
}

// work changes rows until end, or until the test fails.
func (c *chaos) work() {
	c.t.Cleanup(c.wg.Wait)
	c.wg.Go(func() {
		r := rand.New(rand.NewPCG(2, 2))
		for {
			select {
			case <-c.stop:
				return
			case <-c.t.Context().Done():
				return
			case <-time.After(150 * time.Millisecond):
				c.change(r, 10)
			}
		}
	})
}

func (c *chaos) end(within time.Duration) {
	close(c.stop)
	c.wg.Wait()
	c.all[0].settle(within, chaosTables...)
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, text := range c.wrong {
		if i < 10 {
			c.t.Error(text)
		}
	}
	if len(c.wrong) == 0 {
		c.t.Logf("%d jobs made, %v submitted, %d rows seen; 0 backward steps, 0 rows of DONE jobs sent again", c.jobs, c.submitted, len(c.seen))
	}
}

func (c *chaos) owned() (n int) {
	for _, one := range c.all {
		n += c.partitions(one)
	}
	return n
}

func (c *chaos) partitions(one *pipeline) (n int) {
	var s struct{ Partitions int }
	if one.cmd != nil {
		json.Unmarshal([]byte(one.status("/status")), &s)
	}
	return s.Partitions
}

// TestChaos kills and freezes replicas, restarts the broker and takes the API away,
// while rows change all the time. Nothing is lost, no reader sees a row go back, nothing
// that was DONE is sent again, and a replica that wakes up submits nothing until it is a
// member again, and then nothing of before.
func TestChaos(t *testing.T) {
	c := newChaos(t, "chaos")
	c.work()
	r := rand.New(rand.NewPCG(3, uint64(*chaosFor)))
	kills, freezes, restarts := 0, 0, 0
	pause := func(least, more int) { time.Sleep(time.Duration(least+r.IntN(more)) * time.Millisecond) }
	kill := func() {
		i := r.IntN(len(c.all))
		c.all[i].kill()
		kills++
		pause(500, 3000)
		c.all[i].start()
		pause(1000, 6000)
	}
	halt := func() {
		i := max(0, slices.IndexFunc(c.all, func(one *pipeline) bool { return c.partitions(one) > 0 }))
		one := c.all[i]
		replica := fmt.Sprint("replica ", i)
		one.cmd.Process.Signal(syscall.SIGSTOP)
		since := freeze{time.Now(), len(c.log[replica]())}
		c.set(func() { c.barred[replica] = since })
		freezes++
		pause(8000, 4000)
		// The group keeps whoever it waits for in a rebalance. Only one that it has thrown
		// out, so that others own all, must submit nothing more.
		eventually(t, "the others have its partitions", time.Minute, func() bool {
			n := 0
			for _, other := range c.all {
				if other != one {
					n += c.partitions(other)
				}
			}
			return n == 6
		})
		one.cmd.Process.Signal(syscall.SIGCONT)
		eventually(t, "it is a member again", time.Minute, func() bool { return c.rejoined(replica, since) })
		pause(4000, 4000) // what it made before must not come now either
		c.set(func() { delete(c.barred, replica) })
	}
	restart := func() {
		stack(t, "kill", "kafka")
		restarts++
		pause(500, 2500)
		stack(t, "start", "kafka")
		pause(5000, 5000)
	}
	away := func(d time.Duration) {
		c.set(func() { c.away = true })
		time.Sleep(d)
		c.set(func() { c.away = false })
	}
	outage := min(2*time.Minute, *chaosFor/5)
	for end := time.Now().Add(*chaosFor); time.Now().Before(end); {
		for _, do := range []func(){kill, kill, halt, kill, restart, kill, func() {
			away(outage)
			outage = 5 * time.Second
		}} {
			do()
		}
	}
	c.end(3 * time.Minute)
	t.Logf("%d kills, %d freezes, %d restarts of the broker", kills, freezes, restarts)
	part := min(1, chaosFor.Minutes()/10)
	if kills < int(20*part) || freezes < int(5*part) || restarts < int(3*part) {
		t.Errorf("want %d, %d and %d at least in %v", int(20*part), int(5*part), int(3*part), *chaosFor)
	}
}

// even reports whether each replica has a table's two partitions.
func (c *chaos) even() bool {
	for _, one := range c.all {
		if c.partitions(one) != 2 {
			return false
		}
	}
	return true
}

// TestRollingRestart replaces replicas one after the other under load: no partition is
// with two at once, and no table is older than its batches plus a restart. A restart ends
// when what the group has moved for it is where it stays.
func TestRollingRestart(t *testing.T) {
	c := newChaos(t, "rolling")
	eventually(t, "each has a table", time.Minute, c.even)
	c.work()
	time.Sleep(3 * time.Second)
	c.set(func() { clear(c.stale) })
	time.Sleep(8 * time.Second)
	var calm map[string]float64
	c.set(func() { calm = maps.Clone(c.stale); clear(c.stale) })
	worst, longest := map[string]float64{}, time.Duration(0)
	for i, one := range c.all {
		began := time.Now()
		one.stop()
		if i == 1 { // the others come back before the group has noticed, and get what they had
			eventually(t, "the others have its table", time.Minute, func() bool { return c.owned() == 6 })
			time.Sleep(3 * time.Second)
		}
		one.start()
		eventually(t, "each has a table again", time.Minute, c.even)
		took := time.Since(began)
		time.Sleep(3 * time.Second) // what it has delayed arrives
		longest = max(longest, took)
		c.set(func() {
			t.Logf("a restart of %v; freshness of rows as they arrived, in seconds: %v at rest, %v meanwhile", took, calm, c.stale)
			for tb, s := range c.stale {
				worst[tb] = max(worst[tb], s)
			}
			clear(c.stale)
		})
	}
	for tb, s := range worst {
		if bound := calm[tb] + longest.Seconds(); s > bound {
			t.Errorf("%s was %.1f s old, more than %.1f s at rest and a restart of %v", tb, s, calm[tb], longest)
		}
	}
	c.end(time.Minute)
	for _, text := range c.turns.wrong {
		t.Error(text)
	}
	if c.turns.moved < 2 {
		t.Errorf("tables went from one replica to another %d times; one goes away and one comes back at least", c.turns.moved)
	}
	if n := c.all[0].emu.Counts().Conflicts; n > 0 {
		t.Errorf("%d jobs met another one of their table: a partition was with two replicas", n)
	}
	t.Logf("tables changed hands %d times", c.turns.moved)
}
