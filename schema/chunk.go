package schema

// Chunk is an encoded file of a batch: rows of one kind of change.
type Chunk struct {
	Op   Op
	Rows int
	Data []byte
	// Replace says that the table is to hold the rows of this file and of the batch's other
	// ones of upserts, and nothing else.
	Replace bool
	// Without names the table's columns that the file leaves out, for the target to keep
	// what its rows have there.
	Without []string
	// Records names what each row came from, in their order, for targets that refuse single
	// rows; nil: it is not kept.
	Records []Record
}

// Size is the memory held, in bytes.
func (c *Chunk) Size() int64 { return int64(len(c.Data)) + 16*int64(len(c.Records)) }

// Record names the record that a row came from.
type Record struct {
	Offset int64  // in its partition; -1: not known
	Source uint32 // see Rows
}
