package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// writeMetrics prints the metrics, as columns or as the document deploy/METRICS.md.
func writeMetrics(w io.Writer, markdown bool) error {
	if !markdown {
		out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(out, "METRIC\tPROMETHEUS\tTYPE\tUNIT\tATTRIBUTES\tMEANING")
		for _, i := range instrument.List {
			fmt.Fprintf(out, "%s\t%s\t%v\t%s\t%s\t%s\n", i.Name, i.Prometheus(), i.Kind, i.Unit, strings.Join(i.Attributes, ", "), i.Meaning)
		}
		if err := out.Flush(); err != nil {
			return err
		}
		_, err := fmt.Fprint(w, "\n", strings.ReplaceAll(otherMetrics, "`", ""))
		return err
	}
	fmt.Fprint(w, metricsTitle, "| metric | Prometheus | type | unit | attributes | meaning |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, i := range instrument.List {
		var at []string
		for _, a := range i.Attributes {
			key, values, _ := strings.Cut(a, "=")
			key = strings.ReplaceAll("`"+key+"`", " or ", "` or `")
			if values != "" {
				key += ": " + strings.ReplaceAll(values, "|", ", ")
			}
			at = append(at, key)
		}
		fmt.Fprintf(w, "| `%s` | `%s` | %v | %s | %s | %s |\n", i.Name, i.Prometheus(), i.Kind, i.Unit, strings.Join(at, "; "), i.Meaning)
	}
	_, err := fmt.Fprint(w, "\n", otherMetrics)
	return err
}

const metricsTitle = `# Metrics

Printed by ` + "`go run ./cmd/sluice metrics --markdown`" + `. ` + "`/metrics`" + ` has them under Prometheus's
names, with the dots of attribute keys as underscores (` + "`sluice_table`" + `); a histogram is
` + "`_bucket`, `_sum` and `_count`" + `. OTLP has them under OpenTelemetry's.

`

const otherMetrics = `At most SLUICE_METRICS_MAX_TABLES tables and as many topics have series of their own, the
first that are met. The others share the name ` + "`other`" + `: sums, and of freshness that of the
table which is furthest over its target, with that target.

Besides: ` + "`http.client.request.duration`" + `, the requests to the target, by OpenTelemetry's
conventions for HTTP; and what the Go runtime and the process tell of themselves.
`
