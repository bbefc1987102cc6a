package telemetry

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// TestEverySeriesIsServed: the SDK's own limit of 2000 series, beyond which it drops their
// attributes, does not apply: as many tables as a setting allows have several each.
func TestEverySeriesIsServed(t *testing.T) {
	tel, err := New(t.Context(), "v", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tel.Meter().Int64Counter("sluice.many")
	if err != nil {
		t.Fatal(err)
	}
	const most = 5000
	for i := range most {
		c.Add(t.Context(), 1, metric.WithAttributes(attribute.String("sluice.table", fmt.Sprint("t", i))))
	}
	w := httptest.NewRecorder()
	tel.Metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if n := strings.Count(w.Body.String(), "\nsluice_many_total{"); n != most || strings.Contains(w.Body.String(), "overflow") {
		t.Errorf("%d series are served", n)
	}
}
