package instrument

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
)

// TestPrometheus: Prometheus's own linter has nothing to say of the page that the whole
// list makes, and every metric stands there under the name, type, text and buckets that
// the list says.
func TestPrometheus(t *testing.T) {
	registry := prometheus.NewRegistry()
	reader, err := otelprom.New(otelprom.WithRegisterer(registry), otelprom.WithoutTargetInfo(), otelprom.WithoutScopeInfo())
	if err != nil {
		t.Fatal(err)
	}
	set := &Set{Meter: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")}
	want := map[string]Instrument{}
	for _, i := range List {
		want[i.Prometheus()] = i
		switch i.Kind {
		case Counter:
			set.Counter(i.Name).Add(t.Context(), 1)
		case Histogram:
			set.Histogram(i.Name).Record(t.Context(), 1)
		case Gauge:
			g := set.Gauge(i.Name)
			set.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error { o.ObserveFloat64(g, 1); return nil }, g)
		case Total:
			c := set.Total(i.Name)
			set.Meter.RegisterCallback(func(_ context.Context, o metric.Observer) error { o.ObserveFloat64(c, 1); return nil }, c)
		}
	}
	if set.Err != nil || len(want) != len(List) {
		t.Fatalf("%d names of %d: %v", len(want), len(List), set.Err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		i, ok := want[f.GetName()]
		if !ok {
			t.Errorf("%s is on the page and not in the list", f.GetName())
			continue
		}
		delete(want, f.GetName())
		if got := strings.ToLower(f.GetType().String()); got != i.Kind.String() || f.GetHelp() != i.Meaning {
			t.Errorf("%s is a %s, %q", f.GetName(), got, f.GetHelp())
		}
		var bounds []float64
		for _, b := range f.GetMetric()[0].GetHistogram().GetBucket() {
			bounds = append(bounds, b.GetUpperBound())
		}
		if i.Kind == Histogram && (!slices.Equal(bounds, i.Buckets) || !slices.IsSorted(bounds) || len(bounds) < 5) {
			t.Errorf("%s has buckets %v", f.GetName(), bounds)
		}
	}
	for name := range want {
		t.Errorf("%s is in the list and not on the page", name)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
}

// TestConventionBuckets: the messaging conventions ask for these boundaries.
func TestConventionBuckets(t *testing.T) {
	n := 0
	for _, i := range List {
		if strings.HasPrefix(i.Name, "messaging.") && i.Kind == Histogram {
			n++
			if !slices.Equal(i.Buckets, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}) {
				t.Errorf("%s: %v", i.Name, i.Buckets)
			}
		}
	}
	if n != 2 {
		t.Errorf("%d histograms", n)
	}
}

// TestSet: what is not in the list, or of another kind, is not made.
func TestSet(t *testing.T) {
	for _, make := range []func(*Set){
		func(s *Set) { s.Counter("sluice.nothing") },
		func(s *Set) { s.Histogram("sluice.rows") },
		func(s *Set) { s.Gauge("sluice.rows") },
		func(s *Set) { s.Total("sluice.rows") },
	} {
		s := &Set{Meter: sdkmetric.NewMeterProvider().Meter("")}
		if make(s); s.Err == nil {
			t.Error("it was made")
		}
	}
}

func TestLimit(t *testing.T) {
	l := NewLimit(2)
	for _, c := range [][2]string{{"a", "a"}, {"b", "b"}, {"c", Other}, {"a", "a"}, {"d", Other}, {"b", "b"}} {
		if got := l.Name(c[0]); got != c[1] {
			t.Errorf("%s is %s, want %s", c[0], got, c[1])
		}
	}
}
