package celonis_test

import (
	"testing"
	"time"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/script"
	"github.com/sluice-cdc/sluice/push/pushtest"
	"github.com/sluice-cdc/sluice/schema"
)

// TestConform holds the sink against what all sinks promise, under every failure of its calls.
func TestConform(t *testing.T) {
	pushtest.Conform(t, func(t *testing.T) pushtest.Target {
		secret := "secret"
		r := newRig(t, emulator.Options{Delay: 3 * time.Second}, func(o *celonis.Options) {
			o.Auth = celonis.Key{Scheme: "Bearer", Value: func() (string, error) { return secret, nil }}
		})
		faults := map[string]func(){}
		for op, effect := range map[string]bool{"create": true, "upload": true, "execute": true, "chunks": false, "get": false} {
			for _, f := range append(script.All[emulator.Fault](effect), emulator.Slow) {
				faults[op+" "+string(f)] = func() { r.emu.Inject(op, f, 0, 1) }
				faults[op+" "+string(f)+" twice"] = func() { r.emu.Inject(op, f, 0, 2) }
			}
		}
		for _, f := range []emulator.Fault{emulator.JobError, emulator.JobCancel, emulator.Vanish} {
			faults["execute "+string(f)] = func() { r.emu.Inject("execute", f, 0, 1) }
		}
		return pushtest.Target{Sink: r.sink, Again: func() push.Sink {
			again, err := celonis.New(r.opt, r.transport)
			if err != nil {
				t.Fatal(err)
			}
			return again
		}, Encode: func(table string, rows map[int64]string, deleted []int64) []schema.Chunk {
			return conformFiles(t, table, rows, deleted)
		},
			Rows: func(table string) map[int64]string {
				got := map[int64]string{}
				if s := r.emu.Snapshot(table); s != nil {
					for _, row := range s.Rows {
						got[row[0].(int64)] = row[1].(string)
					}
				}
				return got
			},
			Faults: faults, Refuse: func() { secret = "wrong" }, Accept: func() { secret = "secret" }}
	})
}

func conformFiles(t *testing.T, table string, rows map[int64]string, deleted []int64) []schema.Chunk {
	var r schema.Rows
	r.Reset(table, pushtest.ConformTable(table).Columns)
	add := func(op schema.Op, id int64, v string) {
		r.Values[0].AppendNum(id)
		if op == schema.Delete {
			r.Values[1].AppendNull()
		} else {
			r.Values[1].AppendString([]byte(v))
		}
		r.Ops, r.Offsets = append(r.Ops, op), append(r.Offsets, int64(r.Len()))
		r.Keys = schema.AppendKey(r.Keys, &r.Values[0], r.Len()-1)
		r.KeyEnds = append(r.KeyEnds, uint32(len(r.Keys)))
	}
	for id, v := range rows {
		add(schema.Upsert, id, v)
	}
	for _, id := range deleted {
		add(schema.Delete, id, "")
	}
	b := batcher.New(func(string) batcher.Policy { return batcher.Policy{} })
	batch, err := b.Add(time.Time{}, &r, 0)
	if err != nil {
		t.Fatal(err)
	}
	b.Seal(batch)
	chunks, err := (&batcher.Encoder{MaxChunkBytes: 1 << 20, PageBytes: 1 << 16}).Encode(batch)
	if err != nil {
		t.Fatal(err)
	}
	return chunks
}
