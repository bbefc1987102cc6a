package instrument

// Attribute keys that are shared by metrics, traces and logs.
const (
	Table = "sluice.table"               // the target table, or Other
	Topic = "messaging.destination.name" // or Other
)

// Attributes of the messaging conventions
// (https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/).
const (
	system    = "messaging.system=kafka"
	operation = "messaging.operation.name"
	opType    = "messaging.operation.type"
	group     = "messaging.consumer.group.name"
	failure   = "error.type"
	broker    = "server.address"
	port      = "server.port"
)

var (
	// seconds are the boundaries of the messaging conventions. The SDK's own are for
	// milliseconds.
	seconds = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
	// long are those of what a job takes.
	long  = []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600}
	rows  = []float64{1, 10, 100, 1000, 10_000, 50_000, 100_000, 250_000, 500_000, 1_000_000}
	bytes = []float64{1 << 10, 16 << 10, 128 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 128 << 20, 256 << 20, 1 << 30}
)

// List is every metric that Sluice makes itself.
var List = []Instrument{
	{"sluice.freshness", Gauge, "s", []string{Table}, "Age of the oldest source change that is not DONE. A table on hold counts from the oldest change that it has dropped, or from the hold.", nil},
	{"sluice.freshness.target", Gauge, "s", []string{Table}, "What the freshness should stay below: SLUICE_FRESHNESS_TARGET, or the table's own.", nil},
	{"sluice.lag", Gauge, "{record}", []string{Table}, "Records that are not delivered: high watermark less committed offset, over the partitions that feed the table; a topic that feeds several counts for each.", nil},
	{"sluice.delay", Histogram, "s", []string{Table}, "From the source's commit of a batch's oldest change to DONE.", long},
	{"sluice.holds", Gauge, "{hold}", []string{Table + " or " + Topic}, "1 for a table or topic on hold, else 0.", nil},

	{"sluice.records", Counter, "{record}", []string{"class"}, "Records decoded, by class.", nil},
	{"sluice.rows", Counter, "{row}", []string{Table, "op=upsert|delete"}, "Rows delivered, by kind of change.", nil},
	{"sluice.rows.compacted", Counter, "{row}", []string{Table}, "Rows that a later one of their key replaced before they were sent.", nil},
	{"sluice.rows.stale", Counter, "{row}", []string{Table}, "Rows skipped as older than a change of their key that came before.", nil},
	{"sluice.positions.forgotten", Counter, "{key}", nil, "Keys whose position was forgotten for want of memory.", nil},
	{"sluice.offsets.skipped", Counter, "{offset}", []string{Topic}, "Offsets that the brokers skipped: transaction markers, aborted and compacted records.", nil},
	{"sluice.offsets.unverified", Counter, "{offset}", []string{Topic}, "Offsets that gave no record and were taken for compacted, for the topic's cleanup.policy cannot be read.", nil},
	{"sluice.residuals", Counter, "{residual}", nil, "Batches and partitions whose records were not all accounted for; each is on hold. It must stay 0.", nil},
	{"sluice.dead_letters", Counter, "{record}", []string{Topic, "reason=unreadable|event|table|value|refused"}, "Records written to the dead-letter topic, by source topic: their bytes cannot be read; they are no change event; they do not fit their table; a value does not fit its column; or the target refuses the row.", nil},

	{"sluice.values.dropped", Counter, "{value}", []string{Topic}, "Values left out under a setting.", nil},
	{"sluice.values.rounded", Counter, "{value}", []string{Topic}, "Decimals and times of which the files do not hold every digit.", nil},
	{"sluice.values.nulled", Counter, "{value}", []string{Topic}, "Values out of the target's range that a setting makes NULL.", nil},
	{"sluice.values.clamped", Counter, "{value}", []string{Topic}, "Values out of the target's range that a setting makes the nearest in it.", nil},
	{"sluice.values.unzoned", Counter, "{value}", []string{Topic}, "Timestamps with a time zone that come without an offset and are taken for UTC.", nil},
	{"sluice.values.unavailable", Counter, "{value}", []string{Table, "outcome=filled|null|kept"}, "Values that the source did not send: filled from an earlier change, null, or kept as the target has them.", nil},
	{"sluice.strings.truncated", Counter, "{string}", []string{Topic}, "Strings longer than their column that a setting lets be cut.", nil},
	{"sluice.columns.unknown", Counter, "{column}", []string{Topic}, "Columns of a type that is not known, read as its base type; each schema counts.", nil},
	{"sluice.schema.changes", Counter, "{change}", []string{Table}, "Changes of a table's columns that its readers can see.", nil},

	{"sluice.batches", Counter, "{batch}", []string{"reason"}, "Batches sealed, by what made them due.", nil},
	{"sluice.batch.rows", Histogram, "{row}", []string{Table}, "Rows of a batch that was delivered.", rows},
	{"sluice.batch.size", Histogram, "By", []string{Table}, "Size of the files of a batch that was delivered.", bytes},
	{"sluice.batch.duration", Histogram, "s", []string{Table}, "From sealing a batch to DONE.", long},
	{"sluice.jobs", Counter, "{job}", []string{Table, "outcome=done|error|canceled|lost|refused"}, "Jobs that came to an end, as the target says; lost is gone, refused is not executed.", nil},
	{"sluice.job.duration", Histogram, "s", []string{Table, "outcome=done|error|canceled|lost"}, "From a job's accepted execution to its end; of a job that was taken over, from then.", long},
	{"sluice.budget.limit", Gauge, "{job}", nil, "Job submissions in a UTC hour: SLUICE_BUDGET_JOBS_PER_HOUR.", nil},
	{"sluice.budget.left", Gauge, "{job}", nil, "Job submissions left in this UTC hour.", nil},
	{"sluice.budget.spent", Total, "{job}", nil, "Job submissions spent.", nil},
	{"sluice.budget.wait", Histogram, "s", nil, "How long a due batch waited for a submission; 0 where one was there.", long},

	{"sluice.commits", Counter, "{commit}", []string{Topic, "outcome=ok|refused"}, "Offset commits, a partition each.", nil},
	{"sluice.commits.fenced", Counter, "{refusal}", nil, "Commits, a partition each, and submissions that were refused because this member no longer was the owner.", nil},
	{"sluice.commits.without_metadata", Counter, "{partition}", []string{Topic}, "Partitions for which the brokers take no metadata, so that a batch may be sent twice after a crash.", nil},
	{"sluice.commit.last", Gauge, "s", nil, "When a commit last succeeded, in seconds since 1970; nothing before the first.", nil},
	{"sluice.intents", Counter, "{job}", []string{"outcome=adopted|replayed"}, "Jobs of earlier owners: taken over, or ended without effect so that their rows were read again.", nil},
	{"sluice.partitions", Gauge, "{partition}", nil, "Partitions assigned to this member.", nil},
	{"sluice.rebalances", Counter, "{rebalance}", []string{"event=assigned|revoked|lost"}, "Times that the group gave or took partitions; a rebalance that leaves all where they are counts as assigned.", nil},
	{"sluice.memory", Gauge, "By", []string{"state=open|in_flight|waiting"}, "Bytes in batches, and of records that wait for a decoder, a schema or the dead-letter topic.", nil},
	{"sluice.memory.limit", Gauge, "By", nil, "Bytes at which no more is fetched: SLUICE_MEMORY_LIMIT.", nil},
	{"sluice.fetching.paused", Gauge, "", nil, "1 if nothing is fetched because the memory limit is reached, else 0.", nil},
	{"sluice.kafka.up", Gauge, "", nil, "1 if the brokers answer and let this member read, 0 if not: kafka in /status says why.", nil},
	{"sluice.kafka.member", Gauge, "", nil, "1 while this process is a member of the consumer group, else 0.", nil},
	{"sluice.schema_registry.up", Gauge, "", nil, "1 if the schema registry answers, 0 if records wait for it; nothing without a registry.", nil},
	{"sluice.build.info", Gauge, "", []string{"version", "goversion"}, "1, with the program's version and that of Go.", nil},

	{"messaging.client.operation.duration", Histogram, "s", []string{operation + "=poll|commit|send", opType, system, group, Topic, broker, port, failure}, "Requests to the brokers: a fetch, with the broker and without a topic, which waits there for records; a commit; a dead letter.", seconds},
	{"messaging.client.consumed.messages", Counter, "{message}", []string{operation + "=poll", system, group, Topic}, "Records that came in.", nil},
	{"messaging.client.sent.messages", Counter, "{message}", []string{operation + "=send", system, Topic, failure}, "Dead letters sent, also where that failed.", nil},
	{"messaging.process.duration", Histogram, "s", []string{operation + "=process", opType, system, group, Topic, failure}, "From sealing a batch to DONE, or to the failure that held it; with the topic where that is one.", seconds},
}
