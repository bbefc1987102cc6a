// Package instrument is the list of Sluice's metrics: instruments are made from it, and
// its reference is printed from it.
package instrument

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/metric"
)

// Kind is what an instrument does.
type Kind uint8

const (
	Counter Kind = iota
	Total        // a counter whose sum is looked up when it is collected
	Gauge        // looked up when it is collected
	Histogram
)

var kindNames = [...]string{"counter", "counter", "gauge", "histogram"}

func (k Kind) String() string { return kindNames[k] }

// Instrument is one metric, under OpenTelemetry's name and unit (UCUM).
type Instrument struct {
	Name       string
	Kind       Kind
	Unit       string
	Attributes []string // their keys, and after = what they may be, if that is little
	Meaning    string
	Buckets    []float64 // of a histogram: upper bounds, in the unit
}

// Prometheus returns the name under which Prometheus gets it; a histogram's series have
// _bucket, _sum and _count behind it.
func (i Instrument) Prometheus() string {
	name := strings.ReplaceAll(i.Name, ".", "_")
	switch i.Unit {
	case "s":
		name += "_seconds"
	case "By":
		name += "_bytes"
	}
	if i.Kind == Counter || i.Kind == Total {
		name += "_total"
	}
	return name
}

// Set makes instruments of the list. Err tells the first one that failed.
type Set struct {
	Meter metric.Meter
	Err   error
}

func (s *Set) look(name string, kind Kind) Instrument {
	at := slices.IndexFunc(List, func(i Instrument) bool { return i.Name == name && i.Kind == kind })
	if at < 0 {
		s.note(fmt.Errorf("instrument %s: no such %v in the list", name, kind))
		return Instrument{Name: name}
	}
	return List[at]
}

func (s *Set) note(err error) {
	if s.Err == nil {
		s.Err = err
	}
}

func (s *Set) Counter(name string) metric.Int64Counter {
	i := s.look(name, Counter)
	c, err := s.Meter.Int64Counter(name, metric.WithUnit(i.Unit), metric.WithDescription(i.Meaning))
	s.note(err)
	return c
}

func (s *Set) Histogram(name string) metric.Float64Histogram {
	i := s.look(name, Histogram)
	h, err := s.Meter.Float64Histogram(name, metric.WithUnit(i.Unit), metric.WithDescription(i.Meaning), metric.WithExplicitBucketBoundaries(i.Buckets...))
	s.note(err)
	return h
}

func (s *Set) Gauge(name string) metric.Float64ObservableGauge {
	i := s.look(name, Gauge)
	g, err := s.Meter.Float64ObservableGauge(name, metric.WithUnit(i.Unit), metric.WithDescription(i.Meaning))
	s.note(err)
	return g
}

func (s *Set) Total(name string) metric.Float64ObservableCounter {
	i := s.look(name, Total)
	c, err := s.Meter.Float64ObservableCounter(name, metric.WithUnit(i.Unit), metric.WithDescription(i.Meaning))
	s.note(err)
	return c
}

// Other stands for all names beyond a limit.
const Other = "other"

// Limit bounds the series of metrics by name: the first names that it is asked for have
// series of their own, the rest shares Other. It may be used concurrently.
type Limit struct {
	most  int
	mu    sync.Mutex
	names map[string]bool
}

// NewLimit lets so many names have series of their own.
func NewLimit(most int) *Limit { return &Limit{most: most, names: map[string]bool{}} }

// Name returns the name, or Other.
func (l *Limit) Name(name string) string {
	if l == nil {
		return name
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.names[name] {
		if len(l.names) >= l.most {
			return Other
		}
		l.names[name] = true
	}
	return name
}
