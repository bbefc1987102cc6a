package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

type emulatorOptions struct {
	addr, key   string
	api         string // celonis or feldera
	program     string // a file with a pipeline's CREATE TABLE statements
	pipeline    string
	enterprise  bool
	delay       time.Duration
	jobsPerHour int
	faults      float64
}

const emulatorDelay = 2 * time.Second

// check refuses what is out of range, and flags that were given and would do nothing.
func (opt emulatorOptions) check(given func(flag string) bool) error {
	if err := checkTarget("--api", opt.api); err != nil {
		return err
	}
	for _, of := range []struct{ flag, api string }{
		{"program", "feldera"}, {"pipeline", "feldera"}, {"enterprise", "feldera"}, {"jobs-per-hour", "celonis"},
	} {
		if given(of.flag) && opt.api != of.api {
			return fmt.Errorf("--%s: only with --api %s", of.flag, of.api)
		}
	}
	switch {
	case !(opt.faults >= 0 && opt.faults <= 1): // NaN is not
		return fmt.Errorf("--faults %v: want 0 to 1", opt.faults)
	case opt.delay < 0:
		return fmt.Errorf("--delay %v: want a time such as 2s", opt.delay)
	case opt.jobsPerHour < 0:
		return fmt.Errorf("--jobs-per-hour %d: want at least 0", opt.jobsPerHour)
	}
	return nil
}

// checkTarget refuses the value of a flag that is no target.
func checkTarget(flag, name string) error {
	if name != "celonis" && name != "feldera" {
		return fmt.Errorf("%s %s: want celonis or feldera", flag, name)
	}
	return nil
}

func runEmulator(ctx context.Context, opt emulatorOptions, out io.Writer) error {
	if opt.api == "feldera" {
		return runPipeline(ctx, opt, out)
	}
	eo := emulator.Options{Delay: opt.delay, JobsPerHour: opt.jobsPerHour, RequestsPerSecond: 10, FaultRate: opt.faults, Seed: uint64(time.Now().UnixNano())}
	if opt.key != "" {
		eo.Keys = []string{"Bearer " + opt.key, "AppKey " + opt.key}
	}
	eo.OnEvent = func(e emulator.Event) {
		fmt.Fprintf(out, "%s  job %.8s  %-24s %s\n", e.At.Format("15:04:05"), e.Job, e.Target, e.State)
	}
	listener, err := net.Listen("tcp", opt.addr)
	if err != nil {
		return fmt.Errorf("--addr %s: %w; give another address", opt.addr, err)
	}
	base := "http://" + listener.Addr().String()
	fmt.Fprintf(out, `Data Push API emulator at %s, tables at %s/emulator/tables

Point Sluice at it, in another terminal:

  SLUICE_KAFKA_BROKERS=localhost:9092 SLUICE_KAFKA_TOPICS='<topics>' \
  SLUICE_CELONIS_URL=%s SLUICE_CELONIS_POOL_ID=any SLUICE_CELONIS_API_KEY=any \
  go run ./cmd/sluice run

`, base, base, base)
	return serveUntil(ctx, listener, emulator.New(eo))
}

// runPipeline serves a Feldera pipeline.
func runPipeline(ctx context.Context, opt emulatorOptions, out io.Writer) error {
	program := shopProgram
	if opt.program != "" {
		text, err := os.ReadFile(opt.program)
		if err != nil {
			return fmt.Errorf("--program: %w", err)
		}
		program = string(text)
	}
	emu := pipeline.New(pipeline.Options{Key: opt.key, Enterprise: opt.enterprise, Lag: opt.delay, FaultRate: opt.faults, Seed: uint64(time.Now().UnixNano()),
		OnEvent: func(e pipeline.Event) {
			fmt.Fprintf(out, "%s  %-10s %-24s %d rows\n", e.At.Format("15:04:05"), e.What, e.Table, e.Rows)
		}})
	if err := emu.Create(opt.pipeline, program); err != nil {
		return fmt.Errorf("--program %s: %w", opt.program, err)
	}
	listener, err := net.Listen("tcp", opt.addr)
	if err != nil {
		return fmt.Errorf("--addr %s: %w; give another address", opt.addr, err)
	}
	emu.Start(opt.pipeline)
	base := "http://" + listener.Addr().String()
	fmt.Fprintf(out, `Feldera pipeline %s, an emulator, at %s; its tables:

  curl -G %s/v0/pipelines/%s/query --data-urlencode 'sql=SELECT * FROM <table>'

Point Sluice at it, in another terminal:

  SLUICE_KAFKA_BROKERS=localhost:9092 SLUICE_KAFKA_TOPICS='<topics>' \
  SLUICE_SINK=feldera SLUICE_FELDERA_URL=%s SLUICE_FELDERA_PIPELINE=%s \
  go run ./cmd/sluice run

`, opt.pipeline, base, base, opt.pipeline, base, opt.pipeline)
	return serveUntil(ctx, listener, emu)
}

func serveUntil(ctx context.Context, listener net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
