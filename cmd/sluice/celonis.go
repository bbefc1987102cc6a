package main

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/cmd/sluice/internal/telemetry"
	"github.com/sluice-cdc/sluice/connector"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
)

// toCelonis directs the options at a data pool.
func toCelonis(opt *connector.Options, cfg *config.Config, t *telemetry.Telemetry) error {
	budget := push.NewBudget(cfg.Budget.JobsPerHour, cfg.Budget.Reserve)
	sink, err := newCelonis(cfg, budget, t)
	if err != nil {
		return err
	}
	opt.Encode = (&batcher.Encoder{
		Compression:    cfg.Parquet.Compression,
		Timestamps:     map[string]batcher.Timestamps{"millis": batcher.Millis, "micros": batcher.Micros, "int96": batcher.Int96}[cfg.Timestamp],
		FullDeletes:    cfg.Celonis.DeleteColumns == "full",
		MaxChunkBytes:  int(cfg.ChunkBytes),
		RowGroupRows:   cfg.Parquet.RowGroupRows,
		PageBytes:      int(cfg.Parquet.PageBytes),
		CreatedBy:      buildVersion(),
		WithDictionary: cfg.Parquet.Dictionary,
		PageVersion:    cfg.Parquet.PageVersion,
	}).Encode
	if cfg.Celonis.FileType == "csv" {
		opt.Encode = (&batcher.CSVEncoder{
			Micros:        cfg.Timestamp == "micros",
			FullDeletes:   cfg.Celonis.DeleteColumns == "full",
			MaxChunkBytes: int(cfg.ChunkBytes),
		}).Encode
	}
	opt.Split = celonis.Order(cfg.Celonis.JobOrder).Split
	opt.Pusher = &push.Pusher{
		Sink: sink, Budget: budget, Tracer: t.Tracer(),
		PollInterval: cfg.Celonis.PollInterval, MaxPollInterval: max(cfg.Celonis.PollInterval, cfg.Celonis.PollMaxInterval),
		Deadline: cfg.Celonis.JobDeadline, Overdue: map[string]push.Overdue{"cancel": push.OverdueCancel, "hold": push.OverdueHold}[cfg.Celonis.JobDeadlineAction],
		FreeConflicts: !cfg.Celonis.CountConflict,
		Attempts:      cfg.Celonis.JobAttempts, MinBackoff: time.Second, MaxBackoff: time.Minute,
	}
	opt.WholeFiles = true
	opt.Exclusive, opt.DeleteJobs = cfg.Celonis.ConflictScope != "table", cfg.Celonis.DeleteJobs
	return nil
}

func newCelonis(cfg *config.Config, budget *push.Budget, t *telemetry.Telemetry) (*celonis.Sink, error) {
	c := cfg.Celonis
	opt := celonis.Options{
		URL: c.URL, PoolID: c.PoolID, ConnectionID: c.ConnectionID,
		FileType: celonis.FileType(strings.ToUpper(c.FileType)), Micros: cfg.Timestamp == "micros",
		MultipartField: c.MultipartField, MultipartFilename: cmp.Or(c.MultipartFilename, "chunk."+c.FileType), ExecuteSlash: c.ExecuteSlash,
		Validate: c.Validate, TableSchema: c.TableSchema, FallbackLength: c.FallbackVarcharLength,
		OrderColumn: c.OrderColumn, MaxNameLength: c.NameMaxLength, KeepCase: c.NameCase == "keep",
		RequestsPerSecond: cfg.Budget.RequestsPerSecond,
		Counted:           celonis.Counted(c.CountedCalls), Spacing: c.SubmitSpacing, Budget: budget, RequestTimeout: c.RequestTimeout,
		Signals: push.Signals{Tracer: t.Tracer(), Meter: t.Meter(), Propagator: t.Propagator()},
		Table: func(name string) celonis.TableOptions {
			own := cfg.Tables.Tables[name]
			return celonis.TableOptions{
				AllowDuplicate: own.AllowDuplicate, DuplicateRemovalColumn: own.DuplicateRemovalColumn,
				TargetSchema: own.TargetSchema, ForeignKeys: own.ForeignKeys,
				MirrorTargetNames: own.MirrorTargetNames, PostExecutionQuery: own.PostExecutionQuery,
			}
		},
	}
	if c.UpsertStrategy != "none" {
		opt.UpsertStrategy = c.UpsertStrategy
	}
	if c.CAFile != "" {
		var err error
		if opt.TLS, err = tlsConfig("SLUICE_CELONIS_", c.CAFile, "", "", "", false); err != nil {
			return nil, err
		}
	}
	switch {
	case c.OAuth.ClientID != "":
		o := &celonis.OAuth{TokenURL: c.OAuth.TokenURL, ClientID: c.OAuth.ClientID, Secret: c.OAuth.ClientSecret.Value,
			Scopes: strings.Fields(c.OAuth.Scope), Post: c.OAuth.AuthStyle == "post"}
		if o.TokenURL == "" {
			o.TokenURL = celonis.TokenURL(c.URL)
		}
		if opt.TLS != nil {
			transport := http.DefaultTransport.(*http.Transport).Clone()
			transport.TLSClientConfig = opt.TLS
			o.Client = &http.Client{Transport: transport, Timeout: time.Minute}
		}
		opt.Auth = o
	case !c.AppKey.IsZero():
		opt.Auth = celonis.Key{Scheme: "AppKey", Value: c.AppKey.Value}
	default:
		opt.Auth = celonis.Key{Scheme: "Bearer", Value: c.APIKey.Value}
	}
	sink, err := celonis.New(opt, nil)
	if err != nil {
		return nil, errors.Join(errors.New("SLUICE_CELONIS_URL"), err)
	}
	return sink, nil
}
