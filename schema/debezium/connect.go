package debezium

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-cdc/sluice/schema/protobuf"
)

// connectSchema is a node of the schema that Kafka Connect's JsonConverter
// sends along (schemas.enable=true).
type connectSchema struct {
	Type       string            `json:"type"`
	Name       string            `json:"name"`
	Field      string            `json:"field"`
	Parameters map[string]string `json:"parameters"`
	Fields     []connectSchema   `json:"fields"`
	Items      *connectSchema    `json:"items"`  // of an array
	Keys       *connectSchema    `json:"keys"`   // of a map
	Values     *connectSchema    `json:"values"` // of a map

	avro    avroField // where Avro has it
	proto   *protobuf.Field
	entries bool // a map that Avro has as an array of records
}

func parseConnectSchema(text []byte) (*connectSchema, error) {
	var s connectSchema
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("schema of the record: %w", err)
	}
	return &s, nil
}

func (s *connectSchema) field(name string) *connectSchema {
	for i := range s.Fields {
		if s.Fields[i].Field == name {
			return &s.Fields[i]
		}
	}
	return nil
}
