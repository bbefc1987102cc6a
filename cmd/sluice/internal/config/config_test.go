package config

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/schema/debezium"
)

func good() map[string]string {
	return map[string]string{
		"SLUICE_KAFKA_BROKERS": "b:9092", "SLUICE_KAFKA_TOPICS": `^shop\.(a|b){1,2}$`,
		"SLUICE_CELONIS_URL": "https://t.c.celonis.cloud", "SLUICE_CELONIS_POOL_ID": "p", "SLUICE_CELONIS_API_KEY": "hunter2",
	}
}

func load(m map[string]string) (*Config, error) {
	return Load(context.Background(), func(n string) (string, bool) { v, ok := m[n]; return v, ok })
}

func TestDefaults(t *testing.T) {
	c, err := load(good())
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Kafka.Topics) != 1 || c.HTTPAddr != "127.0.0.1:8080" || c.TargetTable != "{schema}_{table}" || c.Budget.JobsPerHour != 250 || c.Batch.MaxBytes != 128<<20 {
		t.Errorf("%+v", c)
	}
}

func TestProblems(t *testing.T) {
	dir := t.TempDir()
	tables := filepath.Join(dir, "tables.yaml")
	if err := os.WriteFile(tables, []byte("tables:\n  a:\n    key: [id]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, value, want string }{
		{"SLUICE_BATCH_MAX_AGE", "soon", "SLUICE_BATCH_MAX_AGE=soon: want a duration"},
		{"SLUICE_BATCH_MAX_ROWS", "0", "SLUICE_BATCH_MAX_ROWS=0: want a whole number, at least 1"},
		{"SLUICE_MEMORY_LIMIT", "much", "SLUICE_MEMORY_LIMIT=much: want a size"},
		{"SLUICE_MEMORY_LIMIT", "1", "SLUICE_MEMORY_LIMIT=1: want a size such as 64MiB, 1GiB or a number of bytes, at least 1MiB"},
		{"SLUICE_MEMORY_LIMIT", "1023KiB", "at least 1MiB"},
		{"SLUICE_CELONIS_POLL_MAX_INTERVAL", "1s", "SLUICE_CELONIS_POLL_MAX_INTERVAL=1s: want at least SLUICE_CELONIS_POLL_INTERVAL=2s"},
		{"SLUICE_SINK", "snowflake", "SLUICE_SINK=snowflake: want one of celonis"},
		{"SLUICE_CELONIS_URL", "ftp://x", "SLUICE_CELONIS_URL=ftp://x: want https://"},
		{"SLUICE_KAFKA_TOPICS", "a b", "SLUICE_KAFKA_TOPICS=a b: want topic names"},
		{"SLUICE_KAFKA_SASL_MECHANISM", "GSSAPI", "Kerberos is not supported"},
		{"SLUICE_KAFKA_SASL_MECHANISM", "PLAIN", "SLUICE_KAFKA_SASL_USERNAME, SLUICE_KAFKA_SASL_PASSWORD: not set"},
		{"SLUICE_CELONIS_APP_KEY", "x", "set only one of them"},
		{"SLUICE_CELONIS_API_KEY_FILE", "/nowhere", "SLUICE_CELONIS_API_KEY: set it or SLUICE_CELONIS_API_KEY_FILE, not both"},
		{"SLUICE_KAFKA_SASL_PASSWORD_FILE", "/nowhere", "SLUICE_KAFKA_SASL_PASSWORD_FILE=/nowhere"},
		{"SLUICE_DRAIN_TIMEOUT", "10m", "SLUICE_DRAIN_TIMEOUT=10m0s: want at least 30s less than SLUICE_KAFKA_REBALANCE_TIMEOUT=2m0s"},
		{"SLUICE_DRAIN_TIMEOUT", "91s", "SLUICE_DRAIN_TIMEOUT=1m31s: want at least 30s less than SLUICE_KAFKA_REBALANCE_TIMEOUT=2m0s"},
		{"SLUICE_TARGET_TABLE", "x", "want {table} or {topic} in it"},
		{"SLUICE_TARGET_TABLE", "{table}{shema}", "in braces"},
		{"SLUICE_BUDGET_RESERVE", "250", "less than SLUICE_BUDGET_JOBS_PER_HOUR"},
		{"SLUICE_CELONIS_NAME_REPLACE", ".=_,x", "SLUICE_CELONIS_NAME_REPLACE=.=_,x: want from=to separated by commas"},
		{"SLUICE_CELONIS_URL", "https://u:hunter2@x/", "SLUICE_CELONIS_URL=https://u:xxxxx@x/: want an address without user"},
		{"SLUICE_KAFKA_BROKERS", ",", "SLUICE_KAFKA_BROKERS"},
		{"SLUICE_KAFKA_BROKERS", "b", "SLUICE_KAFKA_BROKERS=b: want host:port"},
		{"SLUICE_KAFKA_SESSION_TIMEOUT", "0s", "SLUICE_KAFKA_SESSION_TIMEOUT=0s: want a duration such as 30s, 5m or 1h, at least 1s"},
		{"SLUICE_KAFKA_TLS_CA_FILE", "/nowhere", "SLUICE_KAFKA_TLS_CA_FILE: open /nowhere"},
		{"SLUICE_CELONIS_CA_FILE", tables, "no certificate in it"},
		{"SLUICE_CELONIS_OAUTH_TOKEN_URL", "junk", "SLUICE_CELONIS_OAUTH_TOKEN_URL=junk: want https://"},
		{"SLUICE_BUDGET_REQUESTS_PER_SECOND", "NaN", "SLUICE_BUDGET_REQUESTS_PER_SECOND=NaN: want a number, at least 0.1"},
		{"SLUICE_HTTP_ADDR", "8080", "SLUICE_HTTP_ADDR=8080: want host:port"},
		{"SLUICE_TABLES_FILE", tables, `unknown field "key"`},
		{"SLUICE_KAFKA_SASL_USERNAME", "me", "SLUICE_KAFKA_SASL_MECHANISM: not set, but other"},
		{"SLUICE_KAFKA_TOPICS", "^a,^b", "SLUICE_KAFKA_TOPICS=^a,^b: want topic names"},
		{"SLUICE_DEADLETTER_TOPIC", good()["SLUICE_KAFKA_TOPICS"], "it would feed itself"},
		{"SLUICE_SCHEMA_REGISTRY_TOKEN", "hunter2", "SLUICE_SCHEMA_REGISTRY_URL: not set, but other"},
		{"SLUICE_SCHEMA_REGISTRY_FRAMING", "apicurio", "SLUICE_SCHEMA_REGISTRY_URL: not set, but other"},
		{"SLUICE_CELONIS_URL", "https://t.eu.celonis.cloud/api/v1/data-push/p/jobs/", "without /v1/data-push"},
		{"SLUICE_CELONIS_POOL_ID", "p/jobs", "want the id alone"},
		{"SLUICE_CELONIS_ORDER_COLUMN", "_CELONIS_n", "without the prefix _CELONIS_"},
		{"SLUICE_METADATA_COLUMNS", "op", "SLUICE_METADATA_COLUMNS=op: want what=column separated by commas"},
		{"SLUICE_METADATA_COLUMNS", "op=a,source_ts=A", "op and source_ts are both named A at the target"},
		{"SLUICE_TABLES_INCLUDE", "(", "SLUICE_TABLES_INCLUDE=(: want a regular expression"},
		{"SLUICE_CELONIS_POLL_INTERVAL", "0s", "at least 10ms"},
		{"SLUICE_STRING_OVERFLOW", "truncate", "SLUICE_STRING_OVERFLOW=truncate: want one of hold, cut, grow, pass"},
		{"SLUICE_CHUNK_BYTES", "1GiB", "SLUICE_CHUNK_BYTES=1GiB: want at most 900MiB"},
		{"SLUICE_CELONIS_REQUEST_TIMEOUT", "0s", "at least 1s"},
	} {
		m := good()
		m[tc.name] = tc.value
		_, err := load(m)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s=%s: got %v, want %q", tc.name, tc.value, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error shows a secret: %v", tc.name, err)
		}
	}
	csv := good()
	csv["SLUICE_CELONIS_FILE_TYPE"], csv["SLUICE_TIMESTAMP"], csv["SLUICE_CELONIS_TABLE_SCHEMA"] = "csv", "int96", "false"
	for _, want := range []string{"SLUICE_TIMESTAMP=int96: want millis or micros", "SLUICE_CELONIS_TABLE_SCHEMA=false: want true"} {
		if _, err := load(csv); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("csv: got %v, want %q", err, want)
		}
	}
	grow := good()
	grow["SLUICE_STRING_OVERFLOW"], grow["SLUICE_CELONIS_TABLE_SCHEMA"] = "grow", "false"
	if _, err := load(grow); err == nil || !strings.Contains(err.Error(), "SLUICE_CELONIS_TABLE_SCHEMA=false: want true") {
		t.Errorf("grow: %v", err)
	}
	both := good()
	both["SLUICE_SCHEMA_REGISTRY_URL"], both["SLUICE_SCHEMA_REGISTRY_FRAMING"] = "http://apicurio:8080/apis/ccompat/v7", "apicurio"
	if _, err := load(both); err == nil || !strings.Contains(err.Error(), "want Apicurio's own API") {
		t.Errorf("Apicurio's framing at the other API: %v", err)
	}
	mixed := good()
	mixed["SLUICE_SCHEMA_REGISTRY_URL"], mixed["SLUICE_SCHEMA_REGISTRY_ID"] = "http://registry:8081", "contentId"
	if _, err := load(mixed); err == nil || !strings.Contains(err.Error(), "SLUICE_SCHEMA_REGISTRY_ID=contentId: it is for Apicurio's ids") {
		t.Errorf("Apicurio's ids in Confluent's framing: %v", err)
	}
	empty := good() // as a template leaves it
	empty["SLUICE_CELONIS_APP_KEY_FILE"], empty["SLUICE_KAFKA_SASL_PASSWORD"] = "", ""
	if _, err := load(empty); err != nil {
		t.Errorf("empty variables: %v", err)
	}
	_, err := load(nil)
	for _, want := range []string{"KAFKA_BROKERS", "KAFKA_TOPICS: not set", "CELONIS_URL", "POOL_ID", "API_KEY"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with nothing set: %v, want %s", err, want)
		}
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("first\n")
	m := good()
	delete(m, "SLUICE_CELONIS_API_KEY")
	m["SLUICE_CELONIS_API_KEY_FILE"] = path
	c, err := load(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"first", "second"} {
		write(want + "\n")
		if got, err := c.Celonis.APIKey.Value(); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c.Celonis.APIKey); strings.Contains(s, "second") {
		t.Error("printing the settings shows a secret")
	}
}

// withTables are good settings with a tables file.
func withTables(t *testing.T, text string) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tables.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	m := good()
	m["SLUICE_TABLES_FILE"] = path
	return m
}

func TestTables(t *testing.T) {
	c, err := load(withTables(t, "tables:\n  a_b:\n    topic: x\n    keys: [id, line]\n    maxAge: 10m\n    maxBytes: 1MiB\n    allowDuplicate: false\n"))
	if err != nil {
		t.Fatal(err)
	}
	if a := c.Tables.Tables["a_b"]; len(a.Keys) != 2 || a.MaxAge.Minutes() != 10 || a.MaxBytes != 1<<20 || a.AllowDuplicate == nil || *a.AllowDuplicate {
		t.Errorf("%+v", a)
	}
}

func TestAppendWithKeys(t *testing.T) {
	if _, err := load(withTables(t, "tables:\n  a:\n    append: true\n    keys: [id]\n")); err == nil || !strings.Contains(err.Error(), "leave out tables.a.append or tables.a.keys") {
		t.Errorf("got %v", err)
	}
}

// TestNames: what names become at the target.
func TestNames(t *testing.T) {
	m := withTables(t, "tables:\n  s_a_b:\n    columns: {Id: id2}\n")
	m["SLUICE_CELONIS_NAME_REPLACE"] = ` =_,$=USD,==is,ß=ss`
	c, err := load(m)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.TableName(debezium.Identity{Schema: "s", Table: "a b"}); got != "s_a_b" {
		t.Errorf("table %s", got)
	}
	for source, want := range map[string]string{"Id": "id2", "a=b $": "aisb_USD", "Straße": "Strasse", "plain": "plain"} {
		if got := c.ColumnName("s_a_b", source); got != want {
			t.Errorf("column %q became %q, want %q", source, got, want)
		}
	}
}

// TestUnknown: a name that is no setting is told, with the one that it resembles.
func TestUnknown(t *testing.T) {
	got := Unknown([]string{"SLUICE_KAFKA_TOPIC=x", "SLUICE_KAFKA_TOPICS=x", "SLUICE_KAFKA_SASL_PASSWORD_FILE=x", "SLUICE_COLOUR=blue", "PATH=x", "OTEL_SERVICE_NAME=x",
		"SLUICE_SERVICE_HOST=10.0.0.1", "SLUICE_PORT_8080_TCP=tcp://10.0.0.1:8080"})
	if want := []string{"SLUICE_COLOUR", "SLUICE_KAFKA_TOPIC, perhaps SLUICE_KAFKA_TOPICS"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestReference: every setting that Load knows is in what `sluice config` prints.
func TestReference(t *testing.T) {
	var out bytes.Buffer
	if err := Reference(&out); err != nil {
		t.Fatal(err)
	}
	for _, l := range new(Config).leaves() {
		if !strings.Contains(out.String(), l.name+" ") || l.field.Tag.Get("help") == "" {
			t.Errorf("%s is not explained", l.name)
		}
	}
}

// TestTablesHelp: the example of the tables file names every key, and can be read.
func TestTablesHelp(t *testing.T) {
	_, example, _ := strings.Cut(tablesHelp, "\ntables:\n")
	example, _, _ = strings.Cut(example, "\nOpenTelemetry")
	path := filepath.Join(t.TempDir(), "tables.yaml")
	if err := os.WriteFile(path, []byte("tables:\n"+example), 0o600); err != nil {
		t.Fatal(err)
	}
	tables, err := readTables(path)
	if err != nil || len(tables.Tables) != 1 {
		t.Errorf("%v, %v", tables, err)
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Table]()) {
		if key := f.Tag.Get("yaml"); key != "" && !f.Anonymous && !strings.Contains(example, "\n    "+key+":") && !strings.HasPrefix(example, "    "+key+":") {
			t.Errorf("the example has no %s", key)
		}
	}
}
