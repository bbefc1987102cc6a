package config

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Reference prints every setting: its variable, default, what it accepts and what
// it is for, from the tags that Load goes by.
func Reference(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(t, "VARIABLE\tDEFAULT\tACCEPTS\tPURPOSE")
	for _, l := range new(Config).leaves() {
		_, def, _ := strings.Cut(l.field.Tag.Get("env"), "default=")
		switch r := l.field.Tag.Get("required"); r {
		case "":
		case "true":
			def = "(required)"
		default:
			def = "(required for " + r + ")"
		}
		accepts := accepted(l)
		if least := l.field.Tag.Get("min"); least != "" {
			accepts += ", at least " + least
		}
		name := l.name
		if _, secret := l.value.Interface().(Secret); secret {
			accepts = "text; or " + l.name + "_FILE, a file that is read again when it changes"
			if l.name == Prefix+"HASH_KEY" { // another one would make other hashes of the same values
				accepts = "text; or " + l.name + "_FILE, a file that is read at the start"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, def, accepts, whose(l)+l.field.Tag.Get("help"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, tablesHelp)
	return err
}

// whose says which target goes by a setting, where its name does not.
func whose(l leaf) string {
	switch named := strings.HasPrefix(l.name, Prefix+"CELONIS_"); {
	case l.sink == anySink:
		return "any target: "
	case l.sink == "celonis" && !named:
		return "Celonis only: "
	}
	return ""
}

const tablesHelp = `
SLUICE_TABLES_FILE is a YAML file with settings of single target tables, all optional:

tables:
  public_orders:
    from: public_orders_[0-9]+  # what SLUICE_TARGET_TABLE names so becomes this table; with merge also several
    topic: shop.public.orders   # for records that do not name their table (tombstones of a compacted topic)
    keys: [order_id, line]      # key columns, read from the rows, for a table whose records have no key; or the column
                                # of a key that is one value without a name
    append: false               # rows have no key and are only ever added; an update or delete holds the table
    mode: upsert                # history: every change is a row of its own, without a key, with _op, _kafka_position and
                                # _kafka_offset; soft-delete: deleted rows stay, with _deleted true
    fullBefore: false           # the database logs whole rows before a delete (REPLICA IDENTITY FULL), for these two modes;
                                # else a history has only the key of what was deleted, and a soft delete needs unavailable
    columns: {Name: name2}      # other names at the target, as where two columns would be one to it
    includeColumns: []          # only these columns of the source and the key; empty: all
    excludeColumns: [note]      # not these; whatever is in them is skipped
    hashColumns: [email]        # HMAC-SHA-256 in hex, under SLUICE_HASH_KEY; a key may be hashed; NULL stays NULL
    maskColumns: {phone: "***"} # a fixed text in the place of every value, or null for NULL
    metadataColumns: {op: _op}  # instead of SLUICE_METADATA_COLUMNS; {} is none
    types: {price: FLOAT}       # INTEGER, FLOAT, BOOLEAN or STRING for columns of JSON without schema and of
                                # documents, which else have the type of the values since the start; a value that
                                # does not fit is a bad record (true and 1 are one to INTEGER and BOOLEAN, and
                                # STRING takes all); or how they are written, where values do not tell:
                                # bytes-base64, date-days, date-iso, time-millis, time-micros, time-nanos, time-iso,
                                # timestamp-millis, timestamp-micros, timestamp-nanos, timestamp-iso,
                                # timestamp-zoned, decimal(10,2); a column that stands here is in each file, also
                                # if it was dropped at the source
    exclude: false              # read and drop the table's records
    merge: false                # several source tables become this one, each with keys of its own (or with the
                                # column that Debezium's ByLogicalTableRouter adds to the keys)
    typeChange: hold            # as SLUICE_TYPE_CHANGE: hold or string
    truncate: hold              # what becomes of a TRUNCATE: hold; ignore; or replace empties the target table too,
                                # where the topic has one partition
    order: offset               # of a key's changes: as they are in Kafka; or position, as their source blocks say, where a
                                # key has changes in several partitions, as after a topic was given more; see README
    unavailable: hold           # as SLUICE_UNAVAILABLE: hold, "null" or unchanged
    maxRows: 100000             # as SLUICE_BATCH_MAX_ROWS, _MAX_BYTES and _MAX_AGE
    maxBytes: 64MiB
    maxAge: 10m
    freshnessTarget: 30m        # as SLUICE_FRESHNESS_TARGET
    allowDuplicate: false       # Celonis only: these are sent with the table's jobs as they are
    duplicateRemovalColumn: ""
    targetSchema: ""
    foreignKeys: ""
    mirrorTargetNames: []
    postExecutionQuery: ""

OpenTelemetry: its own variables are heeded. Where one of exporters, endpoints, propagators or the resource cannot be
followed Sluice does not start; of a sampler that is not known, and of OTEL_CONFIG_FILE, which is not read, it warns.
  OTEL_EXPORTER_OTLP_ENDPOINT       traces and metrics go there; unset: nowhere. Also _TRACES_ENDPOINT, _METRICS_ENDPOINT
                                    and, for the log, only _LOGS_ENDPOINT, as what collects standard error has it already
  OTEL_TRACES_EXPORTER              otlp, console, none, or several separated by commas; unset: otlp where an endpoint is set
  OTEL_METRICS_EXPORTER             the same; prometheus may be among them, as /metrics is served in any case
  OTEL_LOGS_EXPORTER                the same; otlp sends the log, also by OTEL_EXPORTER_OTLP_ENDPOINT
  OTEL_EXPORTER_OTLP_PROTOCOL       http/protobuf (default) or grpc, and for one signal _TRACES_, _METRICS_ and _LOGS_PROTOCOL
  OTEL_EXPORTER_OTLP_*              HEADERS, TIMEOUT, COMPRESSION, CERTIFICATE, CLIENT_CERTIFICATE, CLIENT_KEY, INSECURE; also for one signal
  OTEL_SDK_DISABLED                 true: nothing is sent; traces of others are still handed on, and /metrics is served
  OTEL_PROPAGATORS                  default tracecontext,baggage; also b3, b3multi, jaeger, xray, ottrace, none
  OTEL_SERVICE_NAME                 default sluice
  OTEL_RESOURCE_ATTRIBUTES          goes before what Sluice sets: service.name, service.version, service.instance.id
  OTEL_TRACES_SAMPLER               default parentbased_always_on; also parentbased_always_off, parentbased_traceidratio, always_on,
                                    always_off, traceidratio; OTEL_TRACES_SAMPLER_ARG is the ratio, from 0 to 1
  OTEL_BSP_*, OTEL_BLRP_*, OTEL_METRIC_EXPORT_*, OTEL_METRICS_EXEMPLAR_FILTER, OTEL_SPAN_*_LIMIT
                                    as the SDK for Go has them
`
