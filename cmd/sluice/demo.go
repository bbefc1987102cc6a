package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/connector"
)

type demoOptions struct {
	events int
	keep   bool
	sink   string
}

// check refuses what is out of range.
func (opt demoOptions) check() error {
	if opt.events < 1 {
		return fmt.Errorf("--events %d: want at least 1", opt.events)
	}
	return checkTarget("--sink", opt.sink)
}

// demoTarget is what the demo delivers to, in its process.
type demoTarget interface {
	http.Handler
	// settings are those that lead there.
	settings(base string) map[string]string
	// rows are those of a table, by column.
	rows(table string) []map[string]any
	// counts are the jobs and the calls that failed on purpose.
	counts() (jobs, faults int)
	// upset does what goes wrong once, as soon as so many rows are there, and says so. It
	// reports false until then; "": nothing goes wrong.
	upset(rows int) (what string, done bool)
	// words are those of the demo for it.
	words(base string) demoWords
}

// demoWords tells of a target.
type demoWords struct {
	differs  string // from what it is in earnest
	target   string // what it is
	tables   string // where to look at them
	jobs     string // what carries the changes
	restarts string // what was restarted, and the verb
	next     string // what to try after it
}

// demoDrain is how long a connector of the demo may take to stop.
const demoDrain = 10 * time.Second

// runDemo runs the product, wired as `sluice run` wires it, against a broker and
// an API of its own, and compares every row at the end.
func runDemo(ctx context.Context, opt demoOptions, out io.Writer) error {
	started := time.Now()
	var target demoTarget
	if opt.sink == "feldera" {
		var err error
		if target, err = newPipelineDemo(); err != nil {
			return err
		}
	} else {
		target = newPoolDemo()
	}
	fmt.Fprintf(out, "sluice demo: %d changes of a small shop, from Kafka into tables\n(%s)\n\n", opt.events, target.words("").differs)
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, shopTopics...))
	if err != nil {
		return err
	}
	defer cluster.Close()
	api, base, err := serve("127.0.0.1:0", target)
	if err != nil {
		return err
	}
	defer api.Close()

	logFile, err := os.Create(filepath.Join(os.TempDir(), fmt.Sprintf("sluice-demo-%d.log", os.Getpid())))
	if err != nil {
		return err
	}
	defer logFile.Close()
	httpAddr := freeAddr("127.0.0.1:8080")
	words := target.words(base)
	fmt.Fprintf(out, "broker   %s (in this process)\ntarget   %s (%s, in this process)\nstatus   http://%s/status\ntables   %s\nlog      %s\n\n",
		cluster.ListenAddrs()[0], base, words.target, httpAddr, words.tables, logFile.Name())

	d := &demo{out: out, target: target, words: words, httpAddr: httpAddr, log: slog.New(slog.NewTextHandler(logFile, nil)), started: started}
	if d.client, err = kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...)); err != nil {
		return err
	}
	defer d.client.Close()
	settings := target.settings(base)
	maps.Copy(settings, map[string]string{
		"SLUICE_KAFKA_BROKERS": cluster.ListenAddrs()[0], "SLUICE_KAFKA_TOPICS": `^shop\.public\..*`,
		"SLUICE_BATCH_MAX_AGE": "1s", "SLUICE_HTTP_ADDR": httpAddr, "SLUICE_DRAIN_TIMEOUT": demoDrain.String(),
	})
	d.cfg, err = config.Load(ctx, func(name string) (string, bool) { v, ok := settings[name]; return v, ok })
	if err != nil {
		return err
	}
	return d.run(ctx, opt)
}

// demo is a run of it.
type demo struct {
	out      io.Writer
	target   demoTarget
	words    demoWords
	half     int  // of the rows in the end, about
	upset    bool // what goes wrong has gone wrong
	forgot   bool // and the target has forgotten what was delivered
	rewound  bool // which the connector has noticed
	client   *kgo.Client
	cfg      *config.Config
	log      *slog.Logger
	httpAddr string
	started  time.Time
	produced atomic.Int64
	current  atomic.Pointer[connector.Connector]
	restarts int

	committed int64 // as last seen
}

func (d *demo) run(ctx context.Context, opt demoOptions) error {
	shop := newShop(opt.events)
	preload := opt.events * 3 / 5
	if err := d.produce(ctx, shop, preload); err != nil {
		return err
	}
	d.half = shop.rows() * opt.events / max(1, preload) / 2
	d.say("%d changes wait in Kafka; sluice starts", preload)
	stop, failed := d.start(ctx)
	defer func() { stop() }()
	fed := make(chan error, 1)
	feedCtx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { fed <- d.feed(feedCtx, shop, opt.events) }()

	progress := time.NewTicker(2 * time.Second)
	defer progress.Stop()
	check := time.NewTicker(200 * time.Millisecond)
	defer check.Stop()
	deadline := time.After(5 * time.Minute)
	done := false
	for {
		select {
		case <-ctx.Done():
			if !done {
				<-fed
			}
			d.say("stopped")
			return errors.New("stopped before it was verified")
		case err := <-failed:
			return err
		case err := <-fed:
			if err != nil && ctx.Err() != nil { // it was interrupted as well, and heard of it first
				fed <- err
				continue
			}
			if err != nil {
				return err
			}
			done, fed = true, nil
			d.say("the shop has closed: %d changes were made", opt.events)
		case <-progress.C:
			d.progress(opt.events)
		case <-deadline:
			d.report(shop)
			return errors.New("not verified within five minutes; the log says why")
		case <-check.C:
			end, committed, err := offsets(ctx, d.client, d.cfg.Kafka.Group)
			if err != nil {
				continue
			}
			d.disturb(end, committed)
			if d.restarts == 0 && d.upset && d.rewound == d.forgot && d.produced.Load() > int64(opt.events)*4/5 {
				d.restarts++
				d.say("the connector is stopped and started again")
				stop()
				stop, failed = d.start(ctx)
				continue // for what was committed then, and after it
			}
			if !done || d.restarts == 0 || committed < end {
				continue
			}
			stop()
			return d.finish(ctx, shop, opt)
		}
	}
}

// finish verifies and tells what to try next.
func (d *demo) finish(ctx context.Context, shop *shop, opt demoOptions) error {
	rows, mismatches := d.report(shop)
	jobs, faults := d.target.counts()
	fmt.Fprintf(d.out, "%d %s carried %d changes; %d calls failed on purpose and %s survived, in %v.\n\n",
		jobs, d.words.jobs, opt.events, faults, d.words.restarts, time.Since(d.started).Round(100*time.Millisecond))
	fmt.Fprintf(d.out, "demo: verified %d rows in %d tables, %d mismatches\n", rows, len(shopTopics), mismatches)
	if mismatches > 0 {
		return fmt.Errorf("%d mismatches", mismatches)
	}
	fmt.Fprint(d.out, "\nTry it with your own Kafka:\n\n", d.words.next)
	if !opt.keep {
		return nil
	}
	stop, failed := d.start(ctx)
	defer func() { stop() }()
	fmt.Fprintf(d.out, "\nStill up: http://%s/status. Ctrl-C ends it.\n", d.httpAddr)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// start runs the product; stop ends it as SIGTERM would.
func (d *demo) start(ctx context.Context) (stop func(), failed chan error) {
	ctx, cancel := context.WithCancel(ctx)
	failed, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		if err := run(ctx, d.cfg, d.log, func(c *connector.Connector) { d.current.Store(c) }); err != nil {
			failed <- err
		}
	}()
	return func() { cancel(); <-ended }, failed
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

func (d *demo) progress(events int) {
	c := d.current.Load()
	if c == nil {
		return
	}
	s := c.Status()
	jobs, faults := d.target.counts()
	d.say("made %d of %d, read %d since the start (tombstones too), %s done %d, calls failed %d", d.produced.Load(), events, s.Totals.Read, d.words.jobs, jobs, faults)
	for _, h := range s.Holds {
		d.say("ON HOLD %s: %s; to do: %s", h.Table, h.Reason, h.Remedy)
	}
}

// produce writes the shop's next n changes.
func (d *demo) produce(ctx context.Context, s *shop, n int) error {
	var recs []*kgo.Record
	before := s.made
	for s.made-before < n && s.made < s.total {
		recs = append(recs, s.next()...)
	}
	if err := d.client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return err
	}
	d.produced.Store(int64(s.made))
	return nil
}

// feed makes the rest of the changes live, over some seconds.
func (d *demo) feed(ctx context.Context, s *shop, events int) error {
	const steps = 80
	left := events - s.made
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for s.made < s.total {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if err := d.produce(ctx, s, max(1, left/steps)); err != nil {
				return err
			}
		}
	}
	return nil
}

// disturb has go wrong what goes wrong once something is committed. Where the target has
// forgotten it, the connector notices sooner or later and takes its offsets back.
func (d *demo) disturb(end, committed int64) {
	if what := ""; !d.upset && committed > 0 {
		if what, d.upset = d.target.upset(d.half); what != "" {
			d.forgot = true
			d.say("%s; of %d records %d were committed", what, end, committed)
		}
	}
	if d.forgot && !d.rewound && committed < d.committed {
		d.rewound = true
		d.say("the connector has noticed: its offsets are back from %d to %d", d.committed, committed)
	}
	d.committed = committed
}

// offsets are how many records there are, and up to how many a group has committed them.
func offsets(ctx context.Context, client *kgo.Client, group string) (end, committed int64, err error) {
	adm := kadm.NewClient(client)
	ends, err := adm.ListEndOffsets(ctx, shopTopics...)
	if err != nil {
		return 0, 0, err
	}
	at, err := adm.FetchOffsets(ctx, group)
	if err != nil {
		return 0, 0, err
	}
	ends.Each(func(e kadm.ListedOffset) {
		o, _ := at.Lookup(e.Topic, e.Partition)
		end, committed = end+e.Offset, committed+max(0, o.At)
	})
	return end, committed, nil
}

// report compares every row and column of every table.
func (d *demo) report(s *shop) (rows, mismatches int) {
	fmt.Fprintf(d.out, "\n%-22s %12s %12s %12s\n", "table", "source rows", "target rows", "mismatches")
	for _, topic := range shopTopics {
		t := s.tables[topic]
		target := d.target.rows(t.target())
		have, wrong := len(target), t.mismatches(target)
		fmt.Fprintf(d.out, "%-22s %12d %12d %12d\n", t.target(), len(t.rows), have, wrong)
		rows, mismatches = rows+len(t.rows), mismatches+wrong
	}
	fmt.Fprintln(d.out)
	return rows, mismatches
}

func serve(addr string, h http.Handler) (*http.Server, string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, "", err
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	return s, "http://" + l.Addr().String(), nil
}

// freeAddr returns addr, or a free port beside it if that is taken.
func freeAddr(addr string) string {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return addr
		}
	}
	defer l.Close()
	return l.Addr().String()
}
