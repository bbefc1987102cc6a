package connector

import (
	"testing"

	"github.com/sluice-cdc/sluice/connector/kafka"
)

// FuzzLedger holds the ledger against a naive model that keeps every record: an
// offset may be committed if all before it are done.
func FuzzLedger(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 0x81, 5, 0x82, 9, 0xc1})
	f.Add([]byte{0x10, 0x21, 0x32, 0x80, 0x10, 0x90, 0xa0, 0xff})
	f.Fuzz(func(t *testing.T, steps []byte) {
		p := kafka.Partition{Topic: "t"}
		l := NewLedger()
		l.Assign(p)
		type record struct {
			offset int64
			holder Holder // 0: nothing holds it
		}
		var records []record
		next := int64(0)
		done := map[Holder]bool{}
		for _, b := range steps {
			h := Holder(b>>4&3) + 1
			switch {
			case b&0x80 != 0 && b&0x40 == 0: // a holder is done and may be used no more
				done[h] = true
				l.Done(h)
			case b&0xc0 == 0xc0: // a record that is skipped
				next += int64(b&3) + 1 // with a gap before it
				records = append(records, record{offset: next - 1})
				l.Advance(p, next)
			default:
				if done[h] {
					continue
				}
				next += int64(b&3) + 1
				records = append(records, record{next - 1, h})
				l.Hold(p, next-1, h)
				l.Advance(p, next)
			}
			want, ok := next, len(records) > 0
			for _, r := range records {
				if r.holder != 0 && !done[r.holder] {
					want = r.offset
					break
				}
			}
			got, gotOK := l.Committable(p)
			if gotOK != ok || (ok && got != want) {
				t.Fatalf("after %d records: %d %v, want %d %v", len(records), got, gotOK, want, ok)
			}
		}
	})
}
