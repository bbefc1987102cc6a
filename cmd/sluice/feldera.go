package main

import (
	"errors"
	"math"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-cdc/sluice/connector"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// maxPollFeldera is the longest wait for a completion; a question costs nothing.
const maxPollFeldera = 5 * time.Second

// toFeldera directs the options at a pipeline. Submissions are not rationed there.
func toFeldera(opt *connector.Options, cfg *config.Config, t *telemetry.Telemetry) error {
	sink, err := newFeldera(cfg, t, func(text, remedy string) { opt.Logger.Warn(text, "remedy", remedy) })
	if err != nil {
		return err
	}
	f := cfg.Feldera
	encode := &batcher.JSONEncoder{MaxChunkRows: f.RequestRows, MaxChunkBytes: int(f.RequestBytes), Form: sink.Form}
	opt.Encode = encode.Encode
	opt.Split = func(chunks []schema.Chunk) [][]schema.Chunk { return [][]schema.Chunk{chunks} }
	opt.Pusher = &push.Pusher{
		Sink: sink, Budget: push.NewBudget(math.MaxInt32, 0), Tracer: t.Tracer(),
		PollInterval: f.PollInterval, MaxPollInterval: max(f.PollInterval, maxPollFeldera),
		Attempts: f.Attempts, MinBackoff: time.Second, MaxBackoff: time.Minute,
	}
	opt.Exclusive, opt.DeleteJobs = false, true // what a finished job holds here is let go
	opt.Memory, opt.Rewind = sink, f.OnStateLoss == "rewind"
	d := &opt.Decoder
	d.MaxLength, d.LengthLimit, d.Overflow = 0, 0, debezium.OverflowPass // no length is enforced
	if cfg.Decimal == "auto" {
		d.Decimals = debezium.DecimalsExact // its DECIMAL is told by its digits
	}
	d.ClockUnit = 1 // the JSON of times has microseconds
	if cfg.Timestamp == "auto" {
		d.TimeUnit = 0
	}
	return nil
}

func newFeldera(cfg *config.Config, t *telemetry.Telemetry, warn func(text, remedy string)) (*feldera.Sink, error) {
	opt, err := felderaOptions(cfg, t, warn)
	if err != nil {
		return nil, err
	}
	sink, err := feldera.New(opt, nil)
	if err != nil {
		return nil, errors.Join(errors.New("SLUICE_FELDERA_URL"), err)
	}
	return sink, nil
}

func felderaOptions(cfg *config.Config, t *telemetry.Telemetry, warn func(text, remedy string)) (feldera.Options, error) {
	f := cfg.Feldera
	opt := feldera.Options{
		URL: f.URL, Pipeline: f.Pipeline, Checkpoint: f.Checkpoint == "wait", RequestTimeout: f.RequestTimeout,
		Append: (&debezium.Options{Mode: cfg.ModeOf}).Appends,
		Position: func(table string) string {
			for _, m := range cfg.MetadataOf(table) {
				if m.What == debezium.KafkaPosition {
					return m.Name
				}
			}
			return ""
		},
		Hex:     cfg.Binary == "hex",
		Warn:    warn,
		Signals: push.Signals{Tracer: t.Tracer(), Meter: t.Meter(), Propagator: t.Propagator()},
	}
	if !f.APIKey.IsZero() {
		opt.Key = f.APIKey.Value
	}
	if f.CAFile != "" {
		var err error
		if opt.TLS, err = tlsConfig("SLUICE_FELDERA_", f.CAFile, "", "", "", false); err != nil {
			return opt, err
		}
	}
	return opt, nil
}
