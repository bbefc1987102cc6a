// Command sluice carries row changes from databases into ingestion APIs.
//
//	Kafka ─► connector ─► schema/debezium ─► batcher ─► push ─► push/celonis ─► target
//	            ▲   │        (decode)       (fold, encode)        (job, DONE)
//	            └───┴── offsets are committed after DONE
//
// Every subcommand is a thin shell around those packages; run.go does the wiring.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // TZ has to hold where the system has no time zones, as in the image

	"github.com/spf13/cobra"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

// version is set by the linker: -ldflags "-X main.version=v1.2.3".
var version = ""

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(realMain(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// realMain runs a command line and returns its exit code.
func realMain(ctx context.Context, args []string, lookup func(string) (string, bool), out, errOut io.Writer) int {
	root := commands(lookup, out, errOut)
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(errOut, "sluice:", err)
	var settings *config.Error
	var failed failure
	if errors.As(err, &settings) || !errors.As(err, &failed) {
		return exitUsage
	}
	return exitFailure
}

// failure is an error that is not about how the command was called.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

func fail(err error) error {
	var settings *config.Error
	if err == nil || errors.As(err, &settings) {
		return err
	}
	return failure{err}
}

func commands(lookup func(string) (string, bool), out, errOut io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "sluice",
		Short: "Carry row changes from databases into ingestion APIs",
		Long: `Sluice reads Debezium change events from Kafka, folds the changes of each table
into Parquet micro-batches, pushes each batch as a DELTA job to the Celonis Data
Push API, waits for DONE, and only then commits the Kafka offsets. Or it sends the
changes to a pipeline of Feldera (SLUICE_SINK=feldera).

See it work, with nothing to install:   sluice demo
Try it with your own Kafka, no tenant:  sluice emulator, then sluice run
All settings:                           sluice config
Whether a configuration will work:      sluice check
What becomes of a column's type:        sluice types
What /metrics tells:                    sluice metrics`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true

	root.AddCommand(&cobra.Command{
		Use:   "run",
		Short: "Move changes until stopped",
		Long: `Move changes from Kafka to the target until SIGTERM or Ctrl-C. Then Sluice stops
reading, finishes what is in flight within SLUICE_DRAIN_TIMEOUT, commits, leaves
the group and exits 0. Settings come from the environment; see sluice config. The
least that is needed:

  SLUICE_KAFKA_BROKERS=broker:9092
  SLUICE_KAFKA_TOPICS='^shop\.public\..*'
  SLUICE_CELONIS_URL=https://<team>.<cluster>.celonis.cloud
  SLUICE_CELONIS_POOL_ID=<data pool>
  SLUICE_CELONIS_API_KEY_FILE=/run/secrets/celonis-key

Exit codes: 0 stopped, 1 failed, 2 wrong settings or usage.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Context(), lookup)
			if err != nil {
				return err
			}
			log := newLogger(cfg, errOut)
			for _, name := range config.Unknown(os.Environ()) {
				log.Warn("no such setting; sluice config prints all of them", "variable", name)
			}
			for _, w := range cfg.Warnings() {
				log.Warn(w.String())
			}
			return fail(run(cmd.Context(), cfg, log, nil))
		},
	})

	root.AddCommand(checkCommand(lookup, out))

	var demo demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch changes travel from Kafka into tables, with nothing installed",
		Long: `Run Sluice against a Kafka broker and a Data Push API that live in this process.
A small shop changes: customers, orders and order lines are inserted, updated,
deleted, and one in a while gets another key. The API fails now and then, and the
connector is restarted once. At the end every row of every table is compared.
SLUICE_CELONIS_FILE_TYPE is heeded; all other settings are the demo's own.

With --sink feldera the target is a Feldera pipeline instead, also in this process. It is
started anew half-way and has then forgotten its tables, which are filled again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := demo.check(); err != nil {
				return err
			}
			return fail(runDemo(cmd.Context(), demo, out))
		},
	}
	cmd.Flags().IntVar(&demo.events, "events", 50_000, "how many changes the shop makes")
	cmd.Flags().StringVar(&demo.sink, "sink", "celonis", "target: celonis or feldera")
	cmd.Flags().BoolVar(&demo.keep, "keep", false, "keep the status page and tables up at the end, until Ctrl-C")
	root.AddCommand(cmd)

	var emu emulatorOptions
	cmd = &cobra.Command{
		Use:   "emulator",
		Short: "Serve a Data Push API that keeps its tables in memory",
		Long: `Serve the Celonis Data Push API on an address of this machine, to try Sluice with
your own Kafka and no tenant. Any key and pool are taken unless --key is given.
Read the tables at /emulator/tables and /emulator/tables/<name> (?format=csv).

With --api feldera it is a Feldera pipeline instead, with the tables of --program.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := emu.check(cmd.Flags().Changed); err != nil {
				return err
			}
			return fail(runEmulator(cmd.Context(), emu, out))
		},
	}
	cmd.Flags().StringVar(&emu.addr, "addr", "127.0.0.1:8090", "address to listen on")
	cmd.Flags().StringVar(&emu.key, "key", "", "the only accepted API key; empty takes any")
	cmd.Flags().StringVar(&emu.api, "api", "celonis", "what to be: celonis or feldera")
	cmd.Flags().StringVar(&emu.program, "program", "", "of feldera: a file of CREATE TABLE statements; empty has the demo's tables")
	cmd.Flags().StringVar(&emu.pipeline, "pipeline", demoPipeline, "of feldera: the pipeline's name")
	cmd.Flags().BoolVar(&emu.enterprise, "enterprise", false, "of feldera: the edition with checkpoints")
	cmd.Flags().DurationVar(&emu.delay, "delay", emulatorDelay, "how long a job takes")
	cmd.Flags().IntVar(&emu.jobsPerHour, "jobs-per-hour", 250, "of celonis: submissions in a UTC hour before 429; 0 is no limit")
	cmd.Flags().Float64Var(&emu.faults, "faults", 0, "share of calls that fail at random, 0 to 1")
	root.AddCommand(cmd)

	var markdown, metricsMarkdown bool
	cmd = &cobra.Command{
		Use:   "types",
		Short: "Print what becomes of each column type of a source",
		Long: `Print each type that Debezium's connectors and Kafka Connect's converters write,
how it is written, and the type of its column at the target, unless a setting that
the note names says otherwise.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return fail(writeTypes(out, markdown)) },
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "as a table of Markdown")
	root.AddCommand(cmd)

	cmd = &cobra.Command{
		Use:   "metrics",
		Short: "Print all metrics: name, type, unit, attributes, meaning",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return fail(writeMetrics(out, metricsMarkdown)) },
	}
	cmd.Flags().BoolVar(&metricsMarkdown, "markdown", false, "as a table of Markdown")
	root.AddCommand(cmd, &cobra.Command{
		Use:   "config",
		Short: "Print all settings: variable, default, what it accepts, purpose",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return fail(config.Reference(out)) },
	}, &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run:   func(*cobra.Command, []string) { fmt.Fprintln(out, "sluice", buildVersion()) },
	})
	return root
}

// buildVersion is the linker's, else what the Go tool noted.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = s.Value
		}
	}
	return v + " " + info.GoVersion
}
