package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-cdc/sluice/connector"
	"github.com/sluice-cdc/sluice/connector/admin"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/connector/registry"
	"github.com/sluice-cdc/sluice/schema/debezium"
	"github.com/sluice-cdc/sluice/schema/frame"
)

func newLogger(cfg *config.Config, w io.Writer) *slog.Logger {
	var level slog.Level
	level.UnmarshalText([]byte(cfg.LogLevel)) // one of four, as Load has checked
	opt := &slog.HandlerOptions{Level: level}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opt))
	}
	return slog.New(slog.NewTextHandler(w, opt))
}

// lastTelemetry is how long a collector may take for what is left, after the drain and the
// last commit. A grace period must have room for all of them.
const lastTelemetry = 5 * time.Second

// run is the product: it builds what cfg says and moves changes until ctx ends.
// started is told of the connector once it exists; it may be nil.
func run(ctx context.Context, cfg *config.Config, log *slog.Logger, started func(*connector.Connector)) error {
	t, err := telemetry.New(ctx, buildVersion(), log)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), lastTelemetry)
		defer cancel()
		t.Shutdown(ctx)
	}()
	log = t.Logger()
	opt, err := options(cfg, log, t)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.HTTPAddr)
	if err != nil {
		return fmt.Errorf("SLUICE_HTTP_ADDR=%s: %w; set another address, such as 127.0.0.1:0 for any free port", cfg.HTTPAddr, err)
	}
	defer listener.Close()
	c, err := connector.New(opt)
	if err != nil {
		return err
	}
	if started != nil {
		started(c)
	}
	server := &http.Server{Handler: admin.Handler(admin.Source{Status: c.Status, Alive: c.Alive}, t.Metrics()), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener)
	defer server.Close()
	log.Info("sluice", "version", buildVersion(), "status", "http://"+listener.Addr().String()+"/status", "group", cfg.Kafka.Group)

	reach(ctx, c, log)
	return c.Run(ctx)
}

// reach tries the brokers until they answer. It says at once what is wrong: a
// client on its own would retry in silence.
func reach(ctx context.Context, c *connector.Connector, log *slog.Logger) {
	for pause := time.Second; ctx.Err() == nil; pause = min(2*pause, time.Minute) {
		try, cancel := context.WithTimeout(ctx, 15*time.Second)
		missing, err := c.Reach(try)
		cancel()
		if err == nil {
			for _, t := range missing {
				log.Warn("SLUICE_KAFKA_TOPICS: no such topic yet; it is read once it exists", "topic", t)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		log.Error("kafka is out of reach", "error", err, "next_try", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// options wires the packages together.
func options(cfg *config.Config, log *slog.Logger, t *telemetry.Telemetry) (connector.Options, error) {
	var none connector.Options
	k, err := kafkaOptions(cfg)
	if err != nil {
		return none, err
	}
	schemas, err := newRegistry(cfg, log)
	if err != nil {
		return none, err
	}
	hashKey, err := cfg.HashKey.Value()
	if err != nil {
		return none, fmt.Errorf("SLUICE_HASH_KEY_FILE: %w", err)
	}
	table := func(name string) config.Table { return cfg.Tables.Tables[name] }
	byTopic := map[string]string{}
	for name, one := range cfg.Tables.Tables {
		if one.Topic != "" {
			byTopic[one.Topic] = name
		}
	}
	names := &debezium.Names{Fold: cfg.FoldsTables(), Merge: cfg.Merges, Targets: cfg.TableNames}
	opt := connector.Options{
		Kafka:    k,
		Registry: schemas,
		Decoder: debezium.Options{
			Table:           cfg.TableName,
			Column:          cfg.ColumnName,
			Types:           cfg.ColumnType,
			Wire:            cfg.ColumnWire,
			Columns:         cfg.TypedColumns,
			Rule:            cfg.ColumnRule,
			HashKey:         []byte(hashKey),
			Format:          map[string]debezium.Format{"json": debezium.JSON, "registry": debezium.Framed}[cfg.Format],
			Framing:         framing(cfg.Registry.Framing, cfg.Registry.ID),
			Events:          map[string]debezium.Events{"envelope": debezium.EventsEnvelope, "flattened": debezium.EventsFlattened}[cfg.Events],
			FlattenedPrefix: cfg.FlattenedPrefix,
			KeepMetadata:    cfg.FlattenedMetadata == "keep",
			BareKeys:        map[string]debezium.BareKeys{"string": debezium.BareText, "long": debezium.BareLong, "ignore": debezium.BareIgnored}[cfg.BareKeys],
			SkipGone:        cfg.MongoDBGone == "skip",
			Metadata:        cfg.MetadataOf,
			Keys:            func(name string) []string { return table(name).Keys },
			Mode:            cfg.ModeOf,
			WholeBefore:     func(name string) bool { return table(name).FullBefore },
			TopicTable:      func(topic string) string { return byTopic[topic] },
			Exclude:         cfg.Excluded,
			Merge:           cfg.Merges,
			ByPosition:      cfg.ByPosition,
			Truncate:        func(name string) debezium.Truncate { return debezium.Truncate(table(name).Truncate) },
			Claim:           names.Claim,
			Decimals:        map[string]debezium.Decimals{"string": debezium.DecimalsText, "decimal": debezium.DecimalsExact}[cfg.Decimal],
			OutOfRange:      map[string]debezium.OutOfRange{"null": debezium.RangeNull, "clamp": debezium.RangeClamp, "string": debezium.RangeText}[cfg.OutOfRange],
			Binary:          map[string]debezium.Binary{"hex": debezium.BinaryHex, "drop": debezium.BinaryDrop}[cfg.Binary],
			MaxLength:       cfg.Celonis.FallbackVarcharLength,
			LengthLimit:     cfg.LengthLimit(),
			LengthInBytes:   cfg.Celonis.LengthUnit == "bytes",
			Overflow:        map[string]debezium.Overflow{"cut": debezium.OverflowCut, "grow": debezium.OverflowGrow, "pass": debezium.OverflowPass}[cfg.StringOverflow],
			TimeUnit:        map[string]int64{"auto": 1000, "millis": 1000}[cfg.Timestamp],
			Placeholder:     cfg.Placeholder,
			ObjectText:      cfg.ObjectText,
			TraceColumn:     cfg.TraceColumn,
		},
		Policy: func(name string) batcher.Policy {
			p := batcher.Policy{MaxRows: cfg.Batch.MaxRows, MaxBytes: int64(cfg.Batch.MaxBytes), MaxAge: cfg.Batch.MaxAge, Unavailable: cfg.UnavailableOf(name), Loose: cfg.Loose(name)}
			own := table(name)
			if own.MaxRows > 0 {
				p.MaxRows = own.MaxRows
			}
			if own.MaxBytes > 0 {
				p.MaxBytes = int64(own.MaxBytes)
			}
			if own.MaxAge > 0 {
				p.MaxAge = own.MaxAge
			}
			return p
		},
		DeadLetterTopic: cfg.DeadLetter.Topic,
		DeadLetterLimit: cfg.DeadLetter.Limit,
		MemoryLimit:     int64(cfg.MemoryLimit),
		PositionMemory:  int64(cfg.PositionMemory),
		DrainTimeout:    cfg.DrainTimeout,
		MetadataLimit:   cfg.Kafka.MetadataMaxBytes,
		HoldNewGroup:    cfg.Kafka.AutoOffsetReset == "none",
		Logger:          log,
		FreshnessTarget: cfg.FreshnessTargetOf,
		Version:         buildVersion(),
		MetricTables:    cfg.Metrics.MaxTables,
		Tracer:          t.Tracer(),
		Meter:           t.Meter(),
	}
	opt.Kafka.TableOf = opt.Decoder.TableOfTopic
	to := toCelonis
	if cfg.Sink == "feldera" {
		to = toFeldera
	}
	return opt, to(&opt, cfg, t)
}

func kafkaOptions(cfg *config.Config) (kafka.Options, error) {
	k := cfg.Kafka
	opt := kafka.Options{
		Brokers: k.Brokers, Group: k.Group, InstanceID: k.InstanceID, Topics: k.Topics,
		Balancer: kafka.Balancer(k.Balancer), SessionTimeout: k.SessionTimeout, RebalanceTimeout: k.RebalanceTimeout,
		MetadataAge: k.MetadataMaxAge, FetchBytes: int32(min(int64(k.FetchMaxBytes), 100<<20)),
	}
	if t := k.TLS; t.Enabled || t.CAFile != "" || t.CertFile != "" || t.ServerName != "" || t.Insecure {
		var err error
		if opt.TLS, err = tlsConfig("SLUICE_KAFKA_TLS_", t.CAFile, t.CertFile, t.KeyFile, t.ServerName, t.Insecure); err != nil {
			return opt, err
		}
	}
	var err error
	opt.SASL, err = saslMechanism(cfg)
	return opt, err
}

// framing says what the ids are that a registry's serializers write: as Apicurio's do by
// default, its version 3 in four bytes and those before in eight.
func framing(name, id string) frame.Framing {
	f := map[string]frame.Framing{
		"confluent":      frame.Confluent,
		"apicurio":       {Apicurio: true, Long: frame.GlobalID},
		"apicurio-v3":    {Apicurio: true, Short: frame.ContentID},
		"apicurio-mixed": {Apicurio: true, Short: frame.ContentID, Long: frame.GlobalID},
	}[name]
	space := map[string]frame.Space{"globalId": frame.GlobalID, "contentId": frame.ContentID}[id]
	if space != 0 && f.Short != 0 {
		f.Short = space
	}
	if space != 0 && f.Long != 0 {
		f.Long = space
	}
	return f
}

// newRegistry returns the schema registry, nil if none is set.
func newRegistry(cfg *config.Config, log *slog.Logger) (*registry.Registry, error) {
	r := cfg.Registry
	if len(r.URL) == 0 {
		return nil, nil
	}
	opt := registry.Options{URLs: r.URL, Username: r.Username, Password: r.Password.Value, Logger: log}
	if !r.Token.IsZero() {
		opt.Token = r.Token.Value
	}
	if r.CAFile != "" {
		var err error
		if opt.TLS, err = tlsConfig("SLUICE_SCHEMA_REGISTRY_", r.CAFile, "", "", "", false); err != nil {
			return nil, err
		}
	}
	return registry.New(opt)
}
