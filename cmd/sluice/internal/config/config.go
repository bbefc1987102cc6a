// Package config is Sluice's settings: environment variables with the prefix
// SLUICE_, and an optional YAML file with the settings of single tables. The
// struct tags are the reference that `sluice config` prints.
package config

import (
	"time"
)

// Prefix stands in front of every variable.
const Prefix = "SLUICE_"

// Config is all settings. A field's tags say its variable and default (env), its
// purpose (help), the values it takes if they are few (oneof), its least number
// (min), whether it must be set (required: always, or for that target), and the only target
// that goes by it (sink, also of a group).
type Config struct {
	Kafka struct {
		Brokers          []string      `env:"BROKERS" required:"true" help:"bootstrap brokers, host:port, separated by commas"`
		Group            string        `env:"GROUP, default=sluice" help:"consumer group; its committed offsets are where a start goes on"`
		Topics           Topics        `env:"TOPICS" required:"true" help:"topics separated by commas, or one regular expression that begins with ^"`
		AutoOffsetReset  string        `env:"AUTO_OFFSET_RESET, default=earliest" oneof:"earliest,none" help:"where a group without any offsets begins, or a topic that has records; none holds their tables, for the offsets may have expired, or the topic was made anew: set it once the group has committed"`
		InstanceID       string        `env:"INSTANCE_ID" help:"static membership (group.instance.id): a restart within the session timeout keeps its partitions"`
		Balancer         string        `env:"BALANCER, default=topic-affine" oneof:"topic-affine,cooperative-sticky" help:"how replicas share the partitions: topic-affine gives all of a table's to one; cooperative-sticky spreads them, for a topic that one replica cannot keep up with"`
		SessionTimeout   time.Duration `env:"SESSION_TIMEOUT, default=45s" min:"1s" help:"after this long without a heartbeat the group takes the member for dead"`
		RebalanceTimeout time.Duration `env:"REBALANCE_TIMEOUT, default=2m" help:"how long a rebalance waits for this member; at least 30s more than SLUICE_DRAIN_TIMEOUT"`
		MetadataMaxAge   time.Duration `env:"METADATA_MAX_AGE, default=1m" min:"1s" help:"how soon a new topic that matches the pattern is noticed"`
		MetadataMaxBytes int           `env:"OFFSET_METADATA_MAX_BYTES, default=4096" min:"256" help:"how much the brokers take beside a committed offset (their offset.metadata.max.bytes), where Sluice notes each job before it is executed"`
		FetchMaxBytes    Bytes         `env:"FETCH_MAX_BYTES, default=8MiB" help:"size of one fetch from one broker"`

		TLS struct {
			Enabled    bool   `env:"ENABLED" help:"speak TLS to the brokers; implied by the other SLUICE_KAFKA_TLS_ settings"`
			CAFile     string `env:"CA_FILE" help:"PEM file of the authority that signed the brokers' certificates"`
			CertFile   string `env:"CERT_FILE" help:"PEM file of the client's certificate, for mutual TLS"`
			KeyFile    string `env:"KEY_FILE" help:"PEM file of the client's private key"`
			ServerName string `env:"SERVER_NAME" help:"name that the brokers' certificates must carry, if not that of the address"`
			Insecure   bool   `env:"INSECURE_SKIP_VERIFY" help:"accept any certificate; for tests"`
		} `env:", prefix=TLS_"`
		SASL struct {
			Mechanism    string `env:"MECHANISM" oneof:"PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER,AWS_MSK_IAM" help:"how to log in; AWS_MSK_IAM takes the AWS default credential chain"`
			Username     string `env:"USERNAME" help:"user of PLAIN and SCRAM"`
			Password     Secret `env:"PASSWORD" help:"password of PLAIN and SCRAM"`
			TokenURL     string `env:"TOKEN_URL" help:"token endpoint of OAUTHBEARER"`
			ClientID     string `env:"CLIENT_ID" help:"OAuth client of OAUTHBEARER"`
			ClientSecret Secret `env:"CLIENT_SECRET" help:"secret of the OAuth client"`
			Scope        string `env:"SCOPE" help:"scopes of OAUTHBEARER, separated by spaces"`
		} `env:", prefix=SASL_"`
	} `env:", prefix=KAFKA_"`

	Format            string `env:"FORMAT, default=auto" oneof:"auto,json,registry" help:"of keys and values: json without a registry, registry under the schema whose id is in front or in a header, auto by what each has"`
	Events            string `env:"EVENTS, default=auto" oneof:"auto,envelope,flattened" help:"what a change is: a Debezium envelope or CloudEvent; with auto also a row that ExtractNewRecordState took out of its envelope, where its schema's name or its fields __op or __deleted show that; with flattened every record that is nothing else"`
	FlattenedPrefix   string `env:"FLATTENED_PREFIX, default=__" help:"the transform's add.fields.prefix"`
	FlattenedMetadata string `env:"FLATTENED_METADATA, default=drop" oneof:"drop,keep" help:"whether the fields that the transform adds to a row, such as __op, become columns"`
	BareKeys          string `env:"BARE_KEYS, default=auto" oneof:"auto,string,long,ignore" help:"record keys that are one value without a name, whose column is the one under keys in the tables file: auto reads them as SLUICE_FORMAT says, string as text, long as eight bytes; ignore leaves them and takes the key from the rows"`
	MongoDBGone       string `env:"MONGODB_GONE, default=hold" oneof:"hold,skip" help:"an update of MongoDB without its document: hold its table; or, under capture.mode=change_streams_update_full, skip it, for its document is deleted and the delete follows"`
	Registry          struct {
		URL      []string `env:"URL" help:"schema registries, separated by commas, with the path of their API, such as http://registry:8081 or http://apicurio:8080/apis/ccompat/v7"`
		Framing  string   `env:"FRAMING, default=confluent" oneof:"confluent,apicurio,apicurio-v3,apicurio-mixed" help:"confluent: an id of four bytes or a GUID, in front or in the header __value_schema_id; apicurio: eight bytes, apicurio-v3: four, apicurio-mixed: eight where the first four are zero, or each in Apicurio's headers, with URL Apicurio's own API, such as http://apicurio:8080/apis/registry/v3"`
		ID       string   `env:"ID" oneof:"globalId,contentId" help:"the ids that Apicurio's converter puts in front (apicurio.registry.use-id); not set: contentId of four bytes, globalId of eight"`
		Username string   `env:"USERNAME" help:"user of basic authentication"`
		Password Secret   `env:"PASSWORD" help:"password of basic authentication"`
		Token    Secret   `env:"TOKEN" help:"bearer token, instead of user and password"`
		CAFile   string   `env:"CA_FILE" help:"PEM file of a private authority in front of the registry"`
	} `env:", prefix=SCHEMA_REGISTRY_"`

	Sink    string  `env:"SINK, default=celonis" oneof:"celonis,feldera" help:"target: the Celonis Data Push API, or the HTTP ingress of a Feldera pipeline"`
	Feldera Feldera `env:", prefix=FELDERA_" sink:"feldera"`
	Celonis struct {
		URL          string `env:"URL" required:"celonis" help:"https://<team>.<cluster>.celonis.cloud; with the path /integration for the older API"`
		PoolID       string `env:"POOL_ID" required:"celonis" help:"data pool"`
		ConnectionID string `env:"CONNECTION_ID" help:"data connection that the tables belong to; empty is the pool's global schema"`
		APIKey       Secret `env:"API_KEY" help:"a user's API key; one of API_KEY, APP_KEY and OAUTH_CLIENT_ID must be set"`
		AppKey       Secret `env:"APP_KEY" help:"an application key"`
		OAuth        struct {
			ClientID     string `env:"CLIENT_ID" help:"OAuth client; it also needs the Data Push permission on the pool"`
			ClientSecret Secret `env:"CLIENT_SECRET" help:"secret of the OAuth client"`
			TokenURL     string `env:"TOKEN_URL" help:"token endpoint; default /oauth2/token at SLUICE_CELONIS_URL"`
			Scope        string `env:"SCOPE, default=integration.data-pools:data_push" help:"scopes, separated by spaces"`
			AuthStyle    string `env:"AUTH_STYLE, default=basic" oneof:"basic,post" help:"how the client authenticates, as it was registered"`
		} `env:", prefix=OAUTH_"`
		CAFile string `env:"CA_FILE" help:"PEM file of a private authority in front of the API; HTTPS_PROXY is honoured"`

		UpsertStrategy        string        `env:"UPSERT_STRATEGY, default=UPSERT_WITH_NULLIFICATION" oneof:"UPSERT_WITH_NULLIFICATION,UPSERT_WITH_UNCHANGED_METADATA,none" help:"upsertStrategy of the jobs; none leaves it out"`
		TableSchema           bool          `env:"TABLE_SCHEMA, default=true" help:"send column types and lengths with each job"`
		FallbackVarcharLength int           `env:"FALLBACK_VARCHAR_LENGTH, default=16250" min:"1" help:"length of strings whose source tells none, at most 65000; the platform's own default of 80 cuts silently"`
		LengthUnit            string        `env:"LENGTH_UNIT, default=chars" sink:"any" oneof:"chars,bytes" help:"what string lengths count; under bytes a source's length is declared fourfold, the most that UTF-8 takes"`
		OrderColumn           string        `env:"ORDER_COLUMN" sink:"any" help:"name of a column to add to every table, with the Kafka offset of the row's last change; it is the duplicateRemovalColumn of tables that set none"`
		NameMaxLength         int           `env:"NAME_MAX_LENGTH, default=128" min:"1" help:"longest name of a table or column in bytes; a longer one holds the table"`
		NameReplace           Replace       `env:"NAME_REPLACE" sink:"any" help:"characters to replace in names of tables and columns, as from=to separated by commas, such as .=_,$=USD"`
		NameCase              string        `env:"NAME_CASE, default=fold" oneof:"fold,keep" help:"whether the platform ignores case: fold holds a table with two columns that differ in case only"`
		JobOrder              string        `env:"JOB_ORDER, default=single-job" oneof:"single-job,deletes-then-upserts,upserts-then-deletes" help:"whether the deletes and upserts of a batch share a job"`
		DeleteColumns         string        `env:"DELETE_COLUMNS, default=keys" oneof:"keys,full" help:"columns of delete chunks; full sends all, the others NULL"`
		FileType              string        `env:"FILE_TYPE, default=parquet" oneof:"parquet,csv" help:"of the chunks; csv is for a platform that does not take the Parquet files, which are smaller and carry their types"`
		MultipartField        string        `env:"MULTIPART_FIELD, default=file" oneof:"file,chunk" help:"name of the form field of a chunk"`
		MultipartFilename     string        `env:"MULTIPART_FILENAME" help:"file name in the form; default chunk.parquet or chunk.csv, by the file type"`
		ExecuteSlash          bool          `env:"EXECUTE_TRAILING_SLASH" help:"execute at the older alias with a trailing slash"`
		Validate              bool          `env:"VALIDATE" help:"have the API validate each job at creation"`
		ConflictScope         string        `env:"CONFLICT_SCOPE, default=table" oneof:"table,connection,pool,team" help:"what the platform takes for one target: more than table runs one job at a time"`
		SubmitSpacing         time.Duration `env:"SUBMIT_SPACING, default=0s" help:"least time between two submissions"`
		CountedCalls          string        `env:"COUNTED_CALLS, default=execute" oneof:"execute,create,all" help:"what counts as a submission: executions; the creation of jobs too; or every call"`
		CountConflict         bool          `env:"COUNT_CONFLICT, default=true" help:"count a submission that is answered with 409"`
		PollInterval          time.Duration `env:"POLL_INTERVAL, default=2s" min:"10ms" help:"first wait for a job's status; it grows by half each time"`
		PollMaxInterval       time.Duration `env:"POLL_MAX_INTERVAL, default=30s" min:"10ms" help:"longest wait for a job's status"`
		JobDeadline           time.Duration `env:"JOB_DEADLINE, default=2h" help:"how long a job may take from its execution; 0s is no limit"`
		JobDeadlineAction     string        `env:"JOB_DEADLINE_ACTION, default=wait" oneof:"wait,cancel,hold" help:"what happens then: wait on, cancel and repeat it, or hold its table"`
		JobAttempts           int           `env:"JOB_ATTEMPTS, default=3" min:"1" help:"how often a batch that the target rejects or fails is tried before its table is held"`
		DeleteJobs            bool          `env:"DELETE_JOBS, default=true" help:"delete jobs that are DONE and committed; failed ones are kept for a look"`
		RequestTimeout        time.Duration `env:"REQUEST_TIMEOUT, default=5m" min:"1s" help:"of one request, an upload included"`
	} `env:", prefix=CELONIS_" sink:"celonis"`

	Batch struct {
		MaxRows  int           `env:"MAX_ROWS, default=500000" min:"1" help:"a batch is due at this many rows"`
		MaxBytes Bytes         `env:"MAX_BYTES, default=128MiB" help:"a batch is due at this much memory"`
		MaxAge   time.Duration `env:"MAX_AGE, default=1m" help:"a batch is due when its oldest row is this old; scarce submissions make it wait longer"`
	} `env:", prefix=BATCH_"`
	ChunkBytes Bytes `env:"CHUNK_BYTES, default=64MiB" sink:"celonis" help:"files are cut below this; the API's limit is 1 GB"`
	Parquet    struct {
		Compression  string `env:"COMPRESSION, default=snappy" oneof:"snappy,zstd,none" help:"of the files; snappy is known to be taken"`
		PageBytes    Bytes  `env:"PAGE_BYTES, default=1MiB" help:"data pages are cut at this"`
		RowGroupRows int    `env:"ROW_GROUP_ROWS, default=1000000" min:"1" help:"rows of a row group"`
		PageVersion  int    `env:"PAGE_VERSION, default=1" oneof:"1,2" help:"version of data pages; 1 is known to be taken"`
		Dictionary   bool   `env:"DICTIONARY, default=true" help:"dictionary encoding for strings that repeat"`
	} `env:", prefix=PARQUET_" sink:"celonis"`
	Timestamp      string   `env:"TIMESTAMP, default=auto" oneof:"auto,millis,micros,int96" help:"form of DATETIME columns in the files; auto is millis for Celonis and micros for Feldera, int96 is for Parquet"`
	Decimal        string   `env:"DECIMAL, default=auto" oneof:"auto,double,string,decimal" help:"decimals with a scale; auto is double for Celonis and decimal for Feldera: FLOAT, exact to 15 digits; STRING, exact; or DECIMAL where the source declares its digits (else STRING), which Celonis' documentation says it does not take in files"`
	OutOfRange     string   `env:"OUT_OF_RANGE, default=hold" oneof:"hold,null,clamp,string" help:"dates outside the years 1400 to 9999, infinities, zero dates, times outside a day, NaN: a bad record; NULL; the nearest value (of NaN, NULL); or, with string, every column of dates and times is a STRING in ISO 8601, and a float that is no number a bad record. In a key such a value is always a bad record"`
	Binary         string   `env:"BINARY, default=base64" oneof:"base64,hex,drop" help:"text form of bytes; drop leaves such columns out, except of the key, where a schema declares them"`
	StringOverflow string   `env:"STRING_OVERFLOW, default=hold" sink:"celonis" oneof:"hold,cut,grow,pass" help:"a string longer than its column: a bad record, which goes to the dead-letter topic or holds its table; cut and counted; sent under a length declared to fit it, up to 65000, which is to be tried on your platform first where the column exists; or passed on whole and counted, for the target to cut"`
	TypeChange     string   `env:"TYPE_CHANGE, default=hold" oneof:"hold,string" help:"what becomes of a column whose type changes to one that does not include the old one: hold the table; or STRING from then on, but for columns of the key"`
	Unavailable    string   `env:"UNAVAILABLE, default=hold" oneof:"hold,null,unchanged" help:"what becomes of a large value that the source did not log because it was unchanged, where no earlier change in the batch tells it: hold the table; NULL; or leave it as the target has it, by a job without that column under UPSERT_WITH_UNCHANGED_METADATA, which is to be tried on your platform first"`
	Placeholder    string   `env:"UNAVAILABLE_PLACEHOLDER, default=__debezium_unavailable_value" help:"the connector's unavailable.value.placeholder"`
	ObjectText     bool     `env:"UNAVAILABLE_OBJECTS, default=false" help:"take text such as java.lang.Object@2c5e36a7 for the placeholder too: some versions of Debezium write it instead"`
	TraceColumn    string   `env:"TRACE_COLUMN, default=tracingspancontext" help:"the source column in which an application leaves the context of its trace, the connector's tracing.span.context.field; a batch's trace is linked to it"`
	Metadata       Metadata `env:"METADATA_COLUMNS" help:"columns to add to every table: op (c, u, r or d), deleted, source_ts, source_position, kafka_position, kafka_partition, kafka_offset, delivered_at; the tables file may say otherwise"`
	HashKey        Secret   `env:"HASH_KEY" help:"secret of the columns that the tables file has hashed, at least 16 bytes; another key makes other hashes"`
	TargetTable    string   `env:"TARGET_TABLE, default={schema}_{table}" help:"name of target tables from {database}, {schema}, {table} and {topic}; where a database has no schemas, {schema} is the database"`
	TablesFile     string   `env:"TABLES_FILE" help:"YAML file with the settings of single tables"`
	TablesFilter   struct {
		Include Pattern `env:"INCLUDE" help:"only target tables with such a name; records of others are read, dropped and counted"`
		Exclude Pattern `env:"EXCLUDE" help:"no target tables with such a name, also where INCLUDE has them"`
	} `env:", prefix=TABLES_"`

	Budget struct {
		JobsPerHour       int     `env:"JOBS_PER_HOUR, default=250" min:"1" help:"job submissions of this process in a UTC hour; the platform's limit is 250 for the whole team, so replicas and other clients must share it"`
		Reserve           int     `env:"RESERVE, default=25" min:"0" help:"of these, kept for retries"`
		RequestsPerSecond float64 `env:"REQUESTS_PER_SECOND, default=10" min:"0.1" help:"requests to the API in a second"`
	} `env:", prefix=BUDGET_" sink:"celonis"`
	MemoryLimit Bytes `env:"MEMORY_LIMIT, default=1GiB" min:"1MiB" help:"bytes in batches; at this, no more is fetched"`
	// PositionMemory is besides MemoryLimit.
	PositionMemory Bytes `env:"POSITION_MEMORY, default=64MiB" help:"bytes for the positions of keys that changed lately, of tables with order: position in the tables file; when they are full the oldest are forgotten, and counted"`
	DeadLetter     struct {
		Topic string `env:"TOPIC" help:"topic for records that cannot be applied; without it such a record holds its table"`
		Limit int    `env:"LIMIT, default=100" min:"1" help:"such records in a minute; more hold the table"`
	} `env:", prefix=DEADLETTER_"`
	DrainTimeout time.Duration `env:"DRAIN_TIMEOUT, default=30s" help:"time for what is in flight at a stop or rebalance"`
	// FreshnessTarget is only told of: it changes nothing in how batches are made.
	FreshnessTarget time.Duration `env:"FRESHNESS_TARGET, default=5m" min:"1s" help:"how old the oldest change of a table that is not delivered may be before the alerts and /status call it late; more than SLUICE_BATCH_MAX_AGE"`
	HTTPAddr        string        `env:"HTTP_ADDR, default=127.0.0.1:8080" help:"where /livez, /readyz, /status and /metrics are served"`
	LogFormat       string        `env:"LOG_FORMAT, default=text" oneof:"text,json" help:"of the log on standard error"`
	LogLevel        string        `env:"LOG_LEVEL, default=info" oneof:"debug,info,warn,error" help:"least level that is logged"`

	Metrics struct {
		MaxTables int `env:"MAX_TABLES, default=500" min:"1" help:"so many tables, and topics, have metrics of their own; all others are counted together under the name other"`
	} `env:", prefix=METRICS_"`

	Tables Tables `env:"-"`

	set map[string]bool `env:"-"` // the variables that are set
}
