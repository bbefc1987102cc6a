// Package frame reads what a serializer puts in front of a key or value, or beside it in
// a header, to say which schema of a registry it was written under (Confluent, "Wire
// format"; Apicurio Registry, "Kafka serializers and deserializers").
package frame

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/sluice-cdc/sluice/schema/avro"
	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// Space is one of the spaces from which registries take the names of their schemas. One
// number means different schemas in two of them.
type Space uint8

const (
	SchemaID    Space = iota + 1 // Confluent's id
	GUID                         // Confluent's, the same in all its registries
	GlobalID                     // Apicurio's, of a version of an artifact
	ContentID                    // Apicurio's, of a text
	ContentHash                  // Apicurio's: SHA-256
)

// ID names a schema. It is comparable, and the zero ID names none.
type ID struct {
	Space  Space
	Number uint64   // of a SchemaID, GlobalID or ContentID
	Hash   [32]byte // of a ContentHash; the first 16 bytes of a GUID
}

// String returns the ID as the registry's API spells it, behind the name of its space
// where that is not plain.
func (id ID) String() string {
	switch id.Space {
	case GUID:
		g := hex.EncodeToString(id.Hash[:16])
		return g[:8] + "-" + g[8:12] + "-" + g[12:16] + "-" + g[16:20] + "-" + g[20:]
	case ContentHash:
		return hex.EncodeToString(id.Hash[:])
	case GlobalID:
		return fmt.Sprintf("globalId %d", id.Number)
	case ContentID:
		return fmt.Sprintf("contentId %d", id.Number)
	}
	return fmt.Sprint(id.Number)
}

// Schema is what a registry has under an ID: one of its fields is set.
type Schema struct {
	Avro     *avro.Type
	Protobuf *protobuf.File
	Connect  []byte // of JSON: Connect's schema as JsonConverter writes it
}

// Framing is how ids are written in a topic. Both of Apicurio's lengths may be in use;
// then an id whose first four bytes are zero is a long one, for none is zero.
type Framing struct {
	Apicurio    bool  // Confluent's otherwise
	Short, Long Space // of ids of four and of eight bytes; 0: there are none
}

// Confluent is the framing of Confluent's serializers, and of those that follow them.
var Confluent = Framing{Short: SchemaID}

// Framed reports whether a key or value may be in a frame. No JSON begins so.
func Framed(raw []byte) bool { return len(raw) > 0 && raw[0] <= 1 }

// Prefix reads the id in front of data, or one that a header holds in the same form, and
// returns what follows it. The zero ID says that there is none in this framing.
func (f Framing) Prefix(data []byte) (id ID, rest []byte) {
	size := 0
	switch {
	case len(data) < 5:
	case data[0] == 1 && !f.Apicurio && len(data) >= 17:
		id.Space, size = GUID, 17
		copy(id.Hash[:], data[1:17])
	case data[0] != 0:
	case f.Short != 0 && (f.Long == 0 || binary.BigEndian.Uint32(data[1:]) != 0):
		id, size = Number(f.Short, uint64(binary.BigEndian.Uint32(data[1:])), 32), 5
	case f.Long != 0 && len(data) >= 9:
		id, size = Number(f.Long, binary.BigEndian.Uint64(data[1:]), 64), 9
	}
	if id.Space == 0 {
		return ID{}, data
	}
	return id, data[size:]
}

// Number returns the ID of a number of so many bits, which registries give out from 1 on
// and as signed integers; the zero ID for any other.
func Number(space Space, n uint64, bits int) ID {
	if n == 0 || n>>(bits-1) != 0 {
		return ID{}
	}
	return ID{Space: space, Number: n}
}

// Hash returns the ID of a content hash in hexadecimal, the zero ID if it is none.
func Hash(text []byte) (id ID) {
	if len(text) != 2*len(id.Hash) {
		return ID{}
	}
	if _, err := hex.Decode(id.Hash[:], text); err != nil {
		return ID{}
	}
	id.Space = ContentHash
	return id
}
