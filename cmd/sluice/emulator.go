package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
)

type emulatorOptions struct {
	addr, key   string
	delay       time.Duration
	jobsPerHour int
	faults      float64
}

const emulatorDelay = 2 * time.Second

func runEmulator(ctx context.Context, opt emulatorOptions, out io.Writer) error {
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
	server := &http.Server{Handler: emulator.New(eo), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
