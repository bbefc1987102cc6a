package connector

import (
	"fmt"
	"strings"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestRepartitionedTopic: after a topic was given another partition, its second one has
// later changes of keys that the first has too. Read in whatever order, and in one batch
// or in several, the table is the source's where it is ordered by position.
func TestRepartitionedTopic(t *testing.T) {
	t.Parallel()
	const topic = "shop.public.a"
	for _, together := range []bool{true, false} {
		t.Run(fmt.Sprint("together ", together), func(t *testing.T) {
			w := newWorld(t, emulator.Options{}, topic)
			lsn := 0
			change := func(part int32, op string, id int64, v string) func() {
				lsn++
				key, value := change(topic, op, id, v)
				source := fmt.Sprintf(`"source":{"connector":"postgresql","name":"shop","sequence":"[\"%d\",\"%d\"]",`, lsn, lsn+1)
				value = strings.Replace(value, `"source":{`, source, 1)
				return func() { w.produce(topic, part, key, value) }
			}
			before := []func(){change(0, "c", 1, "old"), change(0, "c", 2, "old"), change(0, "d", 3, ""), change(0, "c", 4, "old")}
			after := []func(){change(1, "u", 1, "new"), change(1, "d", 2, ""), change(1, "c", 3, "new")}
			w.model["public_a"] = map[int64]string{1: "new", 3: "new", 4: "old"}

			opt := w.options(topic)
			opt.Decoder.ByPosition = func(table string) bool { return table == "public_a" }
			opt.PositionMemory = 1 << 20
			reader := sdkmetric.NewManualReader()
			opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
			age := 50 * time.Millisecond
			if together {
				age = time.Hour
			}
			opt.Policy = func(string) batcher.Policy {
				return batcher.Policy{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: age}
			}
			c, stop := w.run(opt)
			for _, produce := range after {
				produce()
			}
			w.eventually("the later changes", func() bool {
				return c.Status().Totals.Read == 3 && (together || w.lag(topic) == 0)
			})
			for _, produce := range before {
				produce()
			}
			w.eventually("the earlier changes", func() bool { return c.Status().Totals.Read == 7 })
			if together {
				stop() // which delivers what is open
			}
			w.eventually("the source's rows", func() bool { return w.lag(topic) == 0 && w.equal() })
			stop()
			if s := c.Status().Totals; s != (Totals{Read: 7, Upserted: 3, Deleted: 1, Stale: 3}) {
				t.Errorf("totals %+v", s)
			}
			if n := counted(t, reader, "sluice.rows.stale"); n != 3 {
				t.Errorf("%d stale rows are counted", n)
			}
		})
	}
}

// TestPositionsAreForgotten: a key's position that had to make room for others is counted.
func TestPositionsAreForgotten(t *testing.T) {
	t.Parallel()
	const topic = "shop.public.a"
	w := newWorld(t, emulator.Options{}, topic)
	opt := w.options(topic)
	opt.Decoder.ByPosition = func(string) bool { return true }
	opt.PositionMemory = 1 << 10
	reader := sdkmetric.NewManualReader()
	opt.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("")
	for id := range int64(30) {
		key, value := change(topic, "c", id, "x")
		w.produce(topic, 0, key, strings.Replace(value, `"source":{`, fmt.Sprintf(`"source":{"connector":"postgresql","name":"shop","lsn":%d,`, id+1), 1))
	}
	_, stop := w.run(opt)
	w.eventually("lag zero", func() bool { return w.lag(topic) == 0 })
	stop()
	if n := counted(t, reader, "sluice.positions.forgotten"); n < 15 || n > 29 {
		t.Errorf("%d keys are forgotten", n)
	}
}
