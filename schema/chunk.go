package schema

// Chunk is an encoded file of a batch: rows of one kind of change.
type Chunk struct {
	Op   Op
	Rows int
	Data []byte
}
