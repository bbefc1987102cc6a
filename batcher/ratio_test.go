//go:build unix

package batcher_test

import (
	"slices"
	"syscall"
	"testing"
	"time"
)

// mostOver is how much more of the processor JSON may take than Parquet.
const mostOver = 1.3

// BenchmarkJSONOverParquet measures the way to Feldera against that to Celonis. An op is a
// batch of 100,000 events each way, in one process and one after the other, so that what else
// the machine does slows both; the medians are of processor time, with what the collector of
// garbage takes.
func BenchmarkJSONOverParquet(b *testing.B) {
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			recs := orders(form.records, form.write(b))
			ways := []*way{toParquet("snappy"), toJSON(b, recs)}
			var took [2][]time.Duration
			for n := 0; b.Loop(); n++ {
				for at := range ways {
					at = (at + n) % 2 // each is first in turn
					before := processorTime(b)
					for i := range batchRows {
						ways[at].event(b, recs, i)
					}
					took[at] = append(took[at], processorTime(b)-before)
				}
			}
			var medians [2]float64
			for at := range took {
				slices.Sort(took[at])
				n := len(took[at])
				medians[at] = float64((took[at][(n-1)/2] + took[at][n/2]).Nanoseconds()) / 2 / batchRows
			}
			over := medians[1] / medians[0]
			b.ReportMetric(0, "ns/op") // of both, with the clock
			b.ReportMetric(medians[0], "parquet-ns/event")
			b.ReportMetric(medians[1], "json-ns/event")
			b.ReportMetric(over, "json/parquet")
			if over > mostOver {
				b.Errorf("JSON takes %.2f times what Parquet takes, at most %v are wanted", over, mostOver)
			}
		})
	}
}

// processorTime is what this process has used of all processors.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
