package frame

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/schematest"
)

// framings are all that can be set.
var framings = map[string]Framing{
	"confluent":      Confluent,
	"apicurio":       {Apicurio: true, Long: GlobalID},
	"apicurio-v3":    {Apicurio: true, Short: ContentID},
	"apicurio-mixed": {Apicurio: true, Short: ContentID, Long: GlobalID},
}

// TestPrefix: bytes as the documents draw them, under every framing; "" is no frame.
func TestPrefix(t *testing.T) {
	guid := "0189791762233641f496a2c6ed0b4be2c1ff" // magic byte and 17 more
	for _, tc := range []struct {
		data, framing, id, rest string
	}{
		{"0000000007ff", "confluent", "7", "ff"},
		{"0000000007", "confluent", "7", ""},
		{"007fffffff02", "confluent", "2147483647", "02"},
		{"0080000000ff", "confluent", "", "0080000000ff"},
		{"0000000000ff", "confluent", "", "0000000000ff"},
		{"000000000000000007ff", "confluent", "", "000000000000000007ff"},
		{"00000007", "confluent", "", "00000007"},
		{"0200000007ff", "confluent", "", "0200000007ff"},
		{guid, "confluent", "89791762-2336-41f4-96a2-c6ed0b4be2c1", "ff"},
		{guid[:32], "confluent", "", guid[:32]},
		{guid, "apicurio-mixed", "", guid},
		{"000000000000000007ff", "apicurio", "globalId 7", "ff"},
		{"000000000100000002", "apicurio", "globalId 4294967298", ""},
		{"00000000010000", "apicurio", "", "00000000010000"},
		{"008000000000000007ff", "apicurio", "", "008000000000000007ff"},
		{"0000000007ff", "apicurio-v3", "contentId 7", "ff"},
		{"000000000000000007ff", "apicurio-v3", "", "000000000000000007ff"},
		{"0000000007ff", "apicurio-mixed", "contentId 7", "ff"},
		{"000000000000000007ff", "apicurio-mixed", "globalId 7", "ff"},
		{"0000000000000007", "apicurio-mixed", "", "0000000000000007"},
		{"7b7d202020202020", "apicurio-mixed", "", "7b7d202020202020"},
	} {
		data, err := hex.DecodeString(tc.data)
		if err != nil {
			t.Fatal(err)
		}
		id, rest := framings[tc.framing].Prefix(data)
		got := ""
		if id != (ID{}) {
			got = id.String()
		}
		if got != tc.id || hex.EncodeToString(rest) != tc.rest {
			t.Errorf("%s under %s: %q and %x, want %q and %s", tc.data, tc.framing, got, rest, tc.id, tc.rest)
		}
	}
}

func TestHash(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 4)
	if id := Hash([]byte(text)); id.Space != ContentHash || id.String() != text {
		t.Errorf("%v", id)
	}
	for _, bad := range []string{"", text[1:], strings.Repeat("zz", 32)} {
		if id := Hash([]byte(bad)); id != (ID{}) {
			t.Errorf("%q is taken for %v", bad, id)
		}
	}
}

// FuzzPrefix: what a frame is read as, written again, is what was there; and reading
// allocates nothing.
func FuzzPrefix(f *testing.F) {
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, framing := range framings {
			var id ID
			var rest []byte
			schematest.Within(t, 0, 0, len(data), func() { id, rest = framing.Prefix(data) })
			var again []byte
			switch n := len(data) - len(rest); {
			case id == (ID{}):
				again = rest
			case id.Space == GUID:
				again = append(append([]byte{1}, id.Hash[:16]...), rest...)
			case n == 5:
				again = append(binary.BigEndian.AppendUint32([]byte{0}, uint32(id.Number)), rest...)
			default:
				again = append(binary.BigEndian.AppendUint64([]byte{0}, id.Number), rest...)
			}
			if !bytes.Equal(again, data) {
				t.Errorf("%s: %x is read as %v and %x", name, data, id, rest)
			}
		}
	})
}

// FuzzHash holds the reader of content hashes against encoding/hex.
func FuzzHash(f *testing.F) {
	f.Fuzz(func(t *testing.T, text []byte) {
		var id ID
		schematest.Within(t, 0, 0, len(text), func() { id = Hash(text) })
		want, err := hex.DecodeString(string(text))
		if err != nil || len(want) != 32 {
			if id != (ID{}) {
				t.Errorf("%q is taken for %v", text, id)
			}
			return
		}
		if id.Space != ContentHash || !bytes.Equal(id.Hash[:], want) {
			t.Errorf("%q is read as %v", text, id)
		}
	})
}
