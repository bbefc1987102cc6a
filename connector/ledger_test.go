package connector

import (
	"testing"

	"pgregory.net/rapid"

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
				l.Done(h, Delivered)
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

// TestLedgerModel drives the ledger as the connector does, over several partitions,
// with rewinds and revocations, against a model that keeps every record.
func TestLedgerModel(t *testing.T) {
	type record struct {
		holder Holder // 0: skipped
		done   bool
	}
	rapid.Check(t, func(t *rapid.T) {
		l := NewLedger()
		model := map[kafka.Partition]map[int64]*record{} // of assigned partitions
		next := map[kafka.Partition]int64{}              // -1: nothing seen
		done := map[Holder]bool{}
		serial := Holder(0)
		part := func() kafka.Partition {
			return kafka.Partition{Topic: "t", ID: rapid.Int32Range(0, 2).Draw(t, "partition")}
		}
		seen := func(p kafka.Partition, h Holder) {
			if model[p] == nil {
				l.Hold(p, 0, h) // of a partition that is not ours: ignored
				return
			}
			at := max(next[p], 0) + rapid.Int64Range(0, 2).Draw(t, "gap")
			model[p][at] = &record{holder: h}
			if h != 0 {
				l.Hold(p, at, h)
			}
			l.Advance(p, at+1)
			next[p] = at + 1
		}
		live := func() Holder {
			if serial == 0 || rapid.Bool().Draw(t, "new") {
				serial++
			}
			for done[serial] {
				serial++
			}
			return serial
		}
		t.Repeat(map[string]func(*rapid.T){
			"assign": func(*rapid.T) {
				p := part()
				l.Assign(p)
				model[p], next[p] = map[int64]*record{}, -1
			},
			"revoke": func(*rapid.T) {
				p := part()
				l.Revoke(p)
				delete(model, p)
			},
			"hold": func(*rapid.T) { seen(part(), live()) },
			"skip": func(*rapid.T) { seen(part(), 0) },
			"done": func(t *rapid.T) {
				if serial == 0 {
					return
				}
				h := Holder(rapid.Uint64Range(1, uint64(serial)).Draw(t, "holder"))
				done[h] = true
				l.Done(h, Delivered)
				for _, records := range model {
					for _, r := range records {
						r.done = r.done || r.holder == h
					}
				}
			},
			"rewind": func(t *rapid.T) { // what was held from there on is dropped first
				p := part()
				if model[p] == nil || next[p] < 1 {
					return
				}
				at := rapid.Int64Range(0, next[p]-1).Draw(t, "at")
				for offset, r := range model[p] {
					if offset < at {
						continue
					}
					if r.holder != 0 && !r.done {
						if first, ok := l.First(p, r.holder); ok && first < at {
							continue // its batch goes on: it still holds earlier rows
						}
						l.Done(r.holder, Dropped)
						done[r.holder] = true
						for _, records := range model {
							for _, x := range records {
								x.done = x.done || x.holder == r.holder
							}
						}
					}
					delete(model[p], offset)
				}
				l.Rewind(p, at)
				next[p] = at
			},
			"": func(t *rapid.T) {
				for id := range int32(3) {
					p := kafka.Partition{Topic: "t", ID: id}
					want, ok := next[p], model[p] != nil && next[p] >= 0
					for offset, r := range model[p] {
						if r.holder != 0 && !r.done && offset < want {
							want = offset
						}
					}
					if got, gotOK := l.Committable(p); gotOK != ok || (ok && got != want) {
						t.Fatalf("partition %d: committable %d %v, want %d %v", id, got, gotOK, want, ok)
					}
				}
			},
		})
	})
}
