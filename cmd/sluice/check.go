package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/check"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-cdc/sluice/push"
)

type checkOptions struct {
	timeout time.Duration
	json    bool
}

func checkCommand(lookup func(string) (string, bool), out io.Writer) *cobra.Command {
	var opt checkOptions
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find what is wrong with a configuration before the first record is read",
		Long: `Ask everything that sluice run would depend on, with the same settings, and say of
each whether it is as it must be:

  settings   all are understood, and none contradicts another; the tables file
  kafka      bootstrap addresses (DNS, TCP, TLS, certificates that end soon), login,
             every broker at its own address, what the brokers allow (offset
             metadata, session timeout), topics and the right to read them,
             partitions without a leader, retention, the dead-letter topic, the
             group: rights, other members, committed offsets
  registry   it answers, and takes the credentials
  target     address, credentials and data pool, by listing the pool's jobs; or the
             pipeline, its version and tables
  host       clock, memory limits, the OpenTelemetry collector

A finding is ok, a warning (it runs, and something is likely to surprise), a problem
(it does not run, or holds tables), or skipped, with why. Warnings and problems say
what to do, and name the setting. Nothing is written anywhere: no group is joined, no
offset committed, no topic or job created. (A cluster that has had no group yet makes
its own __consumer_offsets when it is asked about one.)

  sluice check                     a line each, as they come
  sluice check --json              one document: version, status, counts, findings
                                   (id, area, status, seen, remedy)

Exit codes: 0 fine, perhaps with warnings; 1 problems; 2 wrong settings or usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if opt.timeout <= 0 {
				return fmt.Errorf("--timeout=%v: want a time such as 10s", opt.timeout)
			}
			return runCheck(cmd.Context(), opt, lookup, out)
		},
	}
	cmd.Flags().DurationVar(&opt.timeout, "timeout", 10*time.Second, "how long each check may take")
	cmd.Flags().BoolVar(&opt.json, "json", false, "print one JSON document at the end")
	return cmd
}

// runCheck returns a failure if there are problems, and a *config.Error if it does not
// come to checking.
func runCheck(ctx context.Context, opt checkOptions, lookup func(string) (string, bool), out io.Writer) error {
	subject, err := newSubject(ctx, lookup)
	if err != nil {
		if opt.json {
			return errors.Join(err, check.JSON(out, check.NewReport(buildVersion(), wrongSettings(err))))
		}
		return err
	}
	checks, done, err := subject.Checks()
	if err != nil {
		return fail(err)
	}
	defer done()
	text := &check.Text{W: out, Color: colored(out, lookup), Checks: checks}
	each := text.Finding
	if opt.json {
		each = func(check.Finding) {}
	}
	report := check.NewReport(buildVersion(), check.Run(ctx, checks, opt.timeout, each))
	if opt.json {
		err = check.JSON(out, report)
	} else {
		text.Summary(report)
	}
	if err == nil && report.Status == check.Problem {
		err = fmt.Errorf("%d problem(s)", report.Counts[check.Problem])
	}
	return fail(err)
}

// newSubject builds what a run would, of the same settings. The error is a *config.Error.
func newSubject(ctx context.Context, lookup func(string) (string, bool)) (*check.Subject, error) {
	cfg, err := config.Load(ctx, lookup)
	if err != nil {
		return nil, err
	}
	wrong := func(err error) (*check.Subject, error) {
		return nil, &config.Error{Problems: []string{err.Error()}}
	}
	log := slog.New(slog.DiscardHandler) // the findings say it all
	get := func(name string) string { v, _ := lookup(name); return v }
	s := &check.Subject{Config: cfg, Unknown: config.Unknown(os.Environ()), Warnings: append(cfg.Warnings(), telemetry.Warnings(get)...), Now: time.Now}
	if s.Collectors, err = telemetry.Collectors(get); err != nil {
		return nil, err
	}
	if s.Kafka, err = kafkaOptions(cfg); err != nil {
		return wrong(err)
	}
	s.Kafka.Logger = log
	if s.Registry, err = newRegistry(cfg, log); err != nil {
		return wrong(err)
	}
	// Without telemetry: what is checked is no delivery.
	if cfg.Sink == "feldera" {
		sink, err := newFeldera(cfg, new(telemetry.Telemetry), nil)
		if err != nil {
			return wrong(err)
		}
		s.Target = check.Target{URL: config.Redacted(cfg.Feldera.URL), What: "pipeline " + cfg.Feldera.Pipeline,
			Ping: func(ctx context.Context, seen func(*http.Response), warn func(text, remedy string)) (string, error) {
				tables, err := sink.Ping(ctx, seen, warn)
				return fmt.Sprintf("pipeline %s runs and has %d tables", cfg.Feldera.Pipeline, tables), err
			}}
		return s, nil
	}
	sink, err := newCelonis(cfg, push.NewBudget(cfg.Budget.JobsPerHour, cfg.Budget.Reserve), new(telemetry.Telemetry))
	if err != nil {
		return wrong(err)
	}
	s.Target = check.Target{URL: config.Redacted(cfg.Celonis.URL), What: "pool " + cfg.Celonis.PoolID,
		Ping: func(ctx context.Context, seen func(*http.Response), _ func(text, remedy string)) (string, error) {
			jobs, err := sink.Ping(ctx, seen)
			return fmt.Sprintf("pool %s lists %d jobs", cfg.Celonis.PoolID, jobs), err
		}}
	return s, nil
}

// wrongSettings is a report's findings where the settings do not load.
func wrongSettings(err error) (all []check.Finding) {
	var settings *config.Error
	if !errors.As(err, &settings) {
		settings = &config.Error{Problems: []string{err.Error()}}
	}
	for _, p := range settings.Problems {
		all = append(all, check.Finding{ID: "settings", Area: "settings", Status: check.Problem, Seen: p, Remedy: "sluice config prints all settings and what they accept"})
	}
	return all
}

// colored reports whether w is a terminal whose user wants colors
// (https://no-color.org).
func colored(w io.Writer, lookup func(string) (string, bool)) bool {
	if no, _ := lookup("NO_COLOR"); no != "" {
		return false
	}
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
