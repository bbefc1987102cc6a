package debezium

import (
	"github.com/sluice-cdc/sluice/schema"
	"github.com/sluice-cdc/sluice/schema/frame"
)

// Options are the decisions that a record does not carry.
type Options struct {
	// Table names the target table of a source table.
	Table func(Identity) string
	// Keys returns the key columns configured for a target table, nil to take
	// them from the records' keys.
	Keys func(table string) []string
	// Mode says what changes become in a target table; nil: ModeUpsert.
	Mode func(table string) Mode
	// WholeBefore tells the target tables whose source logs whole rows before a delete;
	// nil: none.
	WholeBefore func(table string) bool
	// TopicTable returns the target table configured for a topic, for records
	// that do not say their table; "" if none is.
	TopicTable func(topic string) string
	// Exclude tells the target tables whose records are dropped; nil: none.
	Exclude func(table string) bool
	// Truncate says what becomes of a TRUNCATE of a target table; nil: TruncateHold.
	Truncate func(table string) Truncate
	// ByPosition tells the target tables whose rows are to have their positions at the
	// source; nil: none. Their values must all be known.
	ByPosition func(table string) bool
	// Merge tells the target tables that several source tables become; nil: none.
	Merge func(table string) bool
	// Claim is told of the source table behind a target table, when a decoder meets
	// it first; an error refuses it. See Names.
	Claim func(table string, id Identity) error

	// Column names the target's column of a source column; nil: the same.
	Column func(table, source string) string
	// Rule returns what is done with a source column; nil: all are kept.
	Rule func(table, source string) Rule
	// HashKey is the secret of the columns under Hash.
	HashKey []byte
	// Types returns the kind of a column of plain JSON or of documents that is not to be
	// inferred from values, Unknown for the others; nil: all are. A value that does not fit
	// it is a bad record.
	Types func(table, source string) schema.Kind
	// Columns returns the columns that a table has in any case, whether or not its rows do,
	// under Types or Wire; nil: none. One that a schema has is as the schema says.
	Columns func(table string) []string
	// Wire returns how a column of plain JSON is written, or of documents once extended JSON
	// is plain, nil if its values tell; nil: all do.
	Wire func(table, source string) *WireType
	// Metadata returns the columns that a target table has besides those of its source;
	// nil: none has any.
	Metadata func(table string) []MetadataColumn

	Format Format
	// Framing is how schema ids are written; zero is frame.Confluent.
	Framing frame.Framing
	// Schema returns the writer's schema of an id; nil without an error means that
	// it is not known yet, and Decode returns a *NeedSchema.
	Schema func(frame.ID) (*frame.Schema, error)

	Decimals      Decimals
	Binary        Binary
	MaxLength     int  // of a string without declared length; 0: any
	LengthLimit   int  // the most that a column can be declared with; 0: any
	LengthInBytes bool // lengths count bytes of UTF-8, not characters
	Overflow      Overflow
	// OutOfRange says what becomes of dates, times and floats that the target cannot hold.
	OutOfRange OutOfRange
	// TimeUnit is how many microseconds the files' times are multiples of; finer
	// ones are cut. 0 is 1.
	TimeUnit int64
	// ClockUnit is the same for times of day. 0 is 1000: Parquet's and CSV's are in
	// milliseconds.
	ClockUnit int64

	Events Events
	// FlattenedPrefix begins the names of the fields that ExtractNewRecordState adds to a
	// row (its add.fields.prefix); "" is __.
	FlattenedPrefix string
	// KeepMetadata loads those fields as columns.
	KeepMetadata bool
	BareKeys     BareKeys
	// SkipGone passes over an update of MongoDB that comes without its document; else it
	// is a bad record.
	SkipGone bool

	// Traces has runs tell in which traces their changes were made (schema.Rows.Traces).
	Traces bool
	// TraceColumn is the column in which whoever writes a row can leave the context of its
	// trace, the connector's tracing.span.context.field; "" is tracingspancontext.
	TraceColumn string

	// Placeholder is the connector's unavailable.value.placeholder.
	Placeholder string
	// ObjectText takes text such as java.lang.Object@2c5e36a7 for it too, as some
	// versions of Debezium write.
	ObjectText bool
}

// Format says how keys and values are written.
type Format uint8

const (
	Auto   Format = iota // Framed where a header says so or the first byte is 0 or 1, JSON otherwise
	JSON                 // in no frame
	Framed               // as a registry says, by the id in the record
)

// Decimals says what a decimal with a scale becomes. (Without a scale it is an
// INTEGER where its precision fits, else a STRING.)
type Decimals uint8

const (
	DecimalsFloat Decimals = iota // FLOAT: 15 digits survive
	DecimalsText                  // STRING, exact
	DecimalsExact                 // text with Type.Precision, for files that have decimals
)

// Binary says what bytes become.
type Binary uint8

const (
	BinaryBase64 Binary = iota // STRING
	BinaryHex                  // STRING
	BinaryDrop                 // nothing: the column is left out where a schema declares it
)

// Overflow says what happens to a string longer than its column.
type Overflow uint8

const (
	OverflowHold Overflow = iota // the record is bad
	OverflowCut                  // it is cut
	OverflowGrow                 // its column is declared as long as it is, up to LengthLimit, from then on
	OverflowPass                 // it is sent whole, for the target to do with as it likes
)

// OutOfRange says what happens to a date or time outside the years 1400 to 9999, a time
// outside one day, an infinity, a zero date, and a float that is no number. In a key such
// a value always makes the record bad.
type OutOfRange uint8

const (
	RangeHold  OutOfRange = iota // the record is bad
	RangeNull                    // NULL
	RangeClamp                   // the nearest that the target holds; NULL where there is none
	// RangeText makes every column of dates and times a STRING with ISO 8601, which holds
	// them all. Floats stay what they are, and one that is no number makes the record bad.
	RangeText
)
