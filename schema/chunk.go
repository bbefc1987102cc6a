package schema

// Chunk is an encoded file of a batch: rows of one kind of change.
type Chunk struct {
	Op   Op
	Rows int
	Data []byte
	// Without names the table's columns that the file leaves out, for the target to keep
	// what its rows have there.
	Without []string
}
