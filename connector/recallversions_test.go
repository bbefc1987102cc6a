package connector

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/linkedin/goavro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/sr"

	"github.com/sluice-cdc/sluice/batcher"
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// TestColumnsOfEarlierVersions: a process that starts anew has the columns in its files that
// the table's rows had under earlier schemas, though no record that it looks at again has
// them: as far back as the topic has records, for those it has delivered.
func TestColumnsOfEarlierVersions(t *testing.T) {
	t.Parallel()
	const (
		id   = `{"name":"id","type":"long"}`
		n, o = `,{"name":"n","type":"int"}`, `,{"name":"o","type":["null","string"],"default":null}`
		date = `,{"name":"o","type":["null",{"type":"int","connect.name":"io.debezium.time.Date"}],"default":null}`
	)
	for _, tc := range []struct {
		name     string
		versions []string // of the row, the schemas 3, 4, … of the subject v
		rows     []uint32 // under which there are forty rows each
		deleted  bool     // the first forty are no longer in the topic
		without  bool     // the registry does not say which versions there are
		rule     debezium.Action
		loose    bool // the target wants no whole files
		want     string
	}{
		{"dropped", []string{id + n + o, id + n}, []uint32{3, 4}, false, false, 0, false, "id INTEGER, n INTEGER, o STRING"},
		{"added and dropped again", []string{id + n, id + n + o}, []uint32{3, 4, 3}, false, false, 0, false, "id INTEGER, n INTEGER, o STRING"},
		{"of another type before", []string{id + o, id + n + date, id + n}, []uint32{4, 5}, false, false, 0, false, "id INTEGER, n INTEGER, o DATE"},
		{"none of its records left", []string{id + n + o, id + n}, []uint32{3, 4}, true, false, 0, false, "id INTEGER, n INTEGER"},
		{"never loaded", []string{id + n + o, id + n}, []uint32{4}, false, false, 0, false, "id INTEGER, n INTEGER"},
		{"left out", []string{id + n + o, id + n}, []uint32{3, 4}, false, false, debezium.Exclude, false, "id INTEGER, n INTEGER"},
		{"hashed", []string{id + n + strings.ReplaceAll(date, `"o"`, `"h"`), id + n}, []uint32{3, 4}, false, false, debezium.Hash, false, "h STRING, id INTEGER, n INTEGER"},
		{"not to be had", []string{id + n + o, id + n}, []uint32{3, 4}, false, true, 0, false, "id INTEGER, n INTEGER"},
		{"not wanted", []string{id + n + o, id + n}, []uint32{3, 4}, false, false, 0, true, "id INTEGER, n INTEGER"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, opt := newAvroWorld(t, "shop.public.a")
			a.unversioned.Store(tc.without)
			opt.WholeFiles = !tc.loose
			opt.Decoder.HashKey = []byte("0123456789abcdef")
			opt.Decoder.Rule = func(_, source string) debezium.Rule {
				if source == "o" && tc.rule == debezium.Exclude || source == "h" {
					return debezium.Rule{Action: tc.rule}
				}
				return debezium.Rule{}
			}
			codecs := map[uint32]*goavro.Codec{}
			for i, fields := range tc.versions {
				text := strings.Replace(avroEnvelope, `{"name":"id","type":"long"},{"name":"v","type":"string"}`, fields, 1)
				a.fake.SeedSchema("a-value", i+1, i+3, sr.Schema{Schema: text})
				codec, err := goavro.NewCodec(text)
				if err != nil {
					t.Fatal(err)
				}
				codecs[uint32(i+3)] = codec
			}
			var mu sync.Mutex
			var file string
			encode := opt.Encode
			opt.Encode = func(b *batcher.Batch) ([]schema.Chunk, error) {
				columns := columns(b.Table)
				slices.Sort(columns)
				mu.Lock()
				defer mu.Unlock()
				file = strings.Join(columns, ", ")
				return encode(b)
			}
			put := func(schemaID uint32, id int64) {
				key, err := a.key.BinaryFromNative(nil, map[string]any{"id": id})
				if err != nil {
					t.Fatal(err)
				}
				value, err := codecs[schemaID].BinaryFromNative(nil, map[string]any{"before": nil, "op": "c",
					"after":  goavro.Union("shop.public.a.Value", map[string]any{"id": id, "n": 1, "o": nil, "h": nil}),
					"source": map[string]any{"ts_ms": int64(1), "db": "shop", "schema": "public", "table": "a"}})
				if err != nil {
					t.Fatal(err)
				}
				a.produce("shop.public.a", 0, framed(1, key), framed(schemaID, value))
			}
			run := func() {
				c, stop := a.run(opt)
				a.eventually("lag zero", func() bool { return a.lag("shop.public.a") == 0 })
				if held := c.Status().Holds; len(held) > 0 {
					t.Errorf("on hold: %+v", held)
				}
				stop()
			}
			next := int64(0)
			for _, schemaID := range tc.rows {
				for range 40 {
					put(schemaID, next)
					next++
				}
			}
			run()
			if tc.deleted {
				if _, err := kadm.NewClient(a.client).DeleteRecords(t.Context(), kadm.Offsets{"shop.public.a": {0: kadm.Offset{Topic: "shop.public.a", At: 40}}}); err != nil {
					t.Fatal(err)
				}
			}
			put(tc.rows[len(tc.rows)-1], next)
			run()
			mu.Lock()
			defer mu.Unlock()
			if file != tc.want {
				t.Errorf("the first file has %s, want %s", file, tc.want)
			}
		})
	}
}
