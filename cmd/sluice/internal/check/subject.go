package check

import (
	"context"
	"net/http"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/connector/registry"
)

// Target is how to ask the target, without changing anything there.
type Target struct {
	URL  string // as it may be shown
	What string // what it has to have: "pool p"
	// Ping says what it has found. seen is told of every answer, warn of what works and could
	// be better. The error is a *push.Error.
	Ping func(ctx context.Context, seen func(*http.Response), warn func(text, remedy string)) (found string, err error)
}

// Subject is what is checked: settings that have been loaded, and what a run would build
// of them.
type Subject struct {
	Config   *config.Config
	Unknown  []string // variables that begin as settings do and are none
	Warnings []config.Warning
	Kafka    kafka.Options
	Registry *registry.Registry // nil: none is set
	Target   Target
	// Collectors are where telemetry is to be sent, each with the variable that says so.
	Collectors map[string]string
	Now        func() time.Time
}

// Checks returns the questions about it, in the order in which they are to be asked, and
// what to call at the end.
func (s *Subject) Checks() (all []Check, done func(), err error) {
	var cl *kgo.Client
	if cl, err = kafka.NewAdmin(s.Kafka); err != nil {
		return nil, nil, err
	}
	services := &services{Subject: s}
	all = append(all, Check{"settings", "settings", nil, s.settings})
	all = append(all, (&cluster{Subject: s, cl: cl}).checks()...)
	all = append(all,
		Check{"registry", "registry", nil, services.registry},
		Check{"target", "target", nil, services.target},
		Check{"host", "host.clock", nil, services.clock},
		Check{"host", "host.memory", nil, s.memory},
		Check{"host", "host.telemetry", nil, s.telemetry},
	)
	return all, cl.Close, nil
}

// settings: they were loaded, or there would be no subject.
func (s *Subject) settings(_ context.Context, f *Findings) {
	for _, name := range s.Unknown {
		f.Warn("correct or remove it; sluice config prints all of them", "no such setting: %s", name)
	}
	for _, w := range s.Warnings {
		f.Warn(w.Remedy, "%s", w.Seen)
	}
	if s.Config.TablesFile == "" {
		f.OK("all are understood; no SLUICE_TABLES_FILE")
		return
	}
	f.OK("all are understood; %d tables in %s", len(s.Config.Tables.Tables), s.Config.TablesFile)
}
