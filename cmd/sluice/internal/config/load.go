package config

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/sethvargo/go-envconfig"

	"github.com/sluice-cdc/sluice/push/celonis"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// leaf is one setting: a field and its full variable name.
type leaf struct {
	name  string
	field reflect.StructField
	value reflect.Value
	sink  string // its tag, or its group's
}

// leaves lists the settings of a Config in order.
func (c *Config) leaves() []leaf { return leavesOf(reflect.ValueOf(c).Elem(), Prefix, "") }

func leavesOf(v reflect.Value, prefix, sink string) (all []leaf) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag := f.Tag.Get("env")
		if tag == "-" {
			continue
		}
		name, rest, _ := strings.Cut(tag, ",")
		only := cmp.Or(f.Tag.Get("sink"), sink)
		if sub, ok := strings.CutPrefix(strings.TrimSpace(rest), "prefix="); ok {
			all = append(all, leavesOf(v.Field(i), prefix+sub, only)...)
			continue
		}
		all = append(all, leaf{prefix + strings.TrimSpace(name), f, v.Field(i), only})
	}
	return all
}

// Error is everything that is wrong with the settings, a line each.
type Error struct{ Problems []string }

func (e *Error) Error() string {
	return fmt.Sprintf("%d problem(s) in the settings:\n  %s\nsluice config prints all settings and what they accept.",
		len(e.Problems), strings.Join(e.Problems, "\n  "))
}

// Load reads the settings from the environment that lookup gives and from the
// tables file. The error is an *Error that lists every problem.
func Load(ctx context.Context, lookup func(string) (string, bool)) (*Config, error) {
	c := &Config{set: map[string]bool{}}
	e := &Error{}
	for _, l := range c.leaves() {
		c.load(ctx, l, lookup, e)
	}
	c.check(e)
	if c.TablesFile != "" {
		var err error
		if c.Tables, err = readTables(c.TablesFile); err != nil {
			for _, one := range each(err) {
				e.Problems = append(e.Problems, fmt.Sprintf("%sTABLES_FILE=%s: %v", Prefix, c.TablesFile, one))
			}
		}
	}
	problem := func(format string, args ...any) { e.Problems = append(e.Problems, fmt.Sprintf(format, args...)) }
	c.checkFelderaTables(problem)
	c.checkHashKey(problem)
	c.checkNames(problem)
	if len(e.Problems) > 0 {
		return nil, e
	}
	return c, nil
}

// Unknown returns the variables of an environment that begin with Prefix and are no
// settings, each with the setting that was perhaps meant. Kubernetes sets some of its
// own for a service of that name, which are left out.
func Unknown(environ []string) (all []string) {
	known := map[string]bool{}
	for _, l := range new(Config).leaves() {
		known[l.name] = true
		if _, secret := l.value.Interface().(Secret); secret {
			known[l.name+"_FILE"] = true
		}
	}
	for _, kv := range environ {
		name, _, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, Prefix) || known[name] || strings.HasPrefix(name, Prefix+"SERVICE_") || strings.HasPrefix(name, Prefix+"PORT") {
			continue
		}
		near, most := "", 4 // edits
		for k := range known {
			if d := distance(name, k); d < most || d == most && k < near {
				near, most = k, d
			}
		}
		if near != "" {
			name += ", perhaps " + near
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// distance is how many letters must be added, left out or changed to make a of b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := corner
			if a[i] != b[j] {
				change++
			}
			corner, row[j+1] = row[j+1], min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// load sets one field. Each is processed by itself, so that all problems come at
// once and each names its variable.
func (c *Config) load(ctx context.Context, l leaf, lookup func(string) (string, bool), e *Error) {
	problem := func(format string, args ...any) {
		e.Problems = append(e.Problems, l.name+fmt.Sprintf(format, args...))
	}
	raw, set := lookup(l.name)
	set = set && raw != "" // an empty variable is none, as templates often leave one
	c.set[l.name] = set
	_, isSecret := l.value.Interface().(Secret)
	if isSecret {
		file, fromFile := lookup(l.name + "_FILE")
		fromFile = fromFile && file != ""
		switch {
		case set && fromFile:
			problem(": set it or %s_FILE, not both", l.name)
			l.value.Set(reflect.ValueOf(Secret{file: file})) // it is set, so nothing else complains
			return
		case fromFile:
			s := Secret{file: file}
			if _, err := s.Value(); err != nil {
				problem("_FILE=%s: %v", file, err)
			}
			l.value.Set(reflect.ValueOf(s))
			return
		}
	}
	one := reflect.New(reflect.StructOf([]reflect.StructField{{Name: l.field.Name, Type: l.field.Type, Tag: reflect.StructTag(`env:"` + l.field.Tag.Get("env") + `"`)}}))
	name, _, _ := strings.Cut(l.field.Tag.Get("env"), ",")
	lookuper := envconfig.MapLookuper(map[string]string{})
	if set {
		lookuper = envconfig.MapLookuper(map[string]string{strings.TrimSpace(name): raw})
	}
	if err := envconfig.ProcessWith(ctx, &envconfig.Config{Target: one.Interface(), Lookuper: lookuper}); err != nil {
		if isSecret {
			raw = "(not shown)"
		}
		problem("=%s: want %s", raw, accepted(l))
		return
	}
	l.value.Set(one.Elem().Field(0))
	if r := l.field.Tag.Get("required"); (r == "true" || r != "" && r == c.Sink) && l.value.IsZero() {
		problem(": not set; want %s", l.field.Tag.Get("help"))
		return
	}
	if options := l.field.Tag.Get("oneof"); options != "" && !l.value.IsZero() && !slices.Contains(strings.Split(options, ","), fmt.Sprint(l.value.Interface())) {
		if l.name == Prefix+"KAFKA_SASL_MECHANISM" && (l.value.String() == "GSSAPI" || strings.EqualFold(l.value.String(), "kerberos")) {
			problem("=%s: Kerberos is not supported; want %s", raw, accepted(l))
			return
		}
		problem("=%s: want %s", raw, accepted(l))
		return
	}
	if least := l.field.Tag.Get("min"); least != "" {
		var floor, got float64
		fmt.Sscan(least, &floor)
		fmt.Sscan(fmt.Sprint(l.value.Interface()), &got)
		if d, err := time.ParseDuration(least); err == nil {
			floor, got = float64(d), float64(l.value.Int())
		}
		if size, ok := l.value.Interface().(Bytes); ok {
			var b Bytes
			b.EnvDecode(least)
			floor, got = float64(b), float64(size)
		}
		if !(got >= floor) { // NaN is not
			problem("=%s: want %s, at least %s", raw, accepted(l), least)
		}
	}
	if d, ok := l.value.Interface().(time.Duration); ok && d < 0 {
		problem("=%s: want a duration that is not negative", raw)
	}
}

// accepted says in words what a setting takes.
func accepted(l leaf) string {
	if options := l.field.Tag.Get("oneof"); options != "" {
		return "one of " + strings.ReplaceAll(options, ",", ", ")
	}
	switch l.value.Interface().(type) {
	case time.Duration:
		return "a duration such as 30s, 5m or 1h"
	case Bytes:
		return "a size such as 64MiB, 1GiB or a number of bytes"
	case bool:
		return "true or false"
	case int:
		return "a whole number"
	case float64:
		return "a number"
	case Replace:
		return "from=to separated by commas, such as .=_,$=USD"
	case []string:
		return "a list separated by commas"
	case Metadata:
		return "what=column separated by commas, such as op=_op,source_ts=_source_ts; what is one of " + strings.Join(debezium.MetadataNames[:], ", ")
	case Pattern:
		return "a regular expression for the whole name, such as public_(orders|items)"
	case Topics:
		return "topic names separated by commas, or one regular expression that begins with ^"
	}
	return "text"
}

// Redacted hides the password of an address.
func Redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return "(not shown)"
}

// checkAddresses looks at the settings that are addresses or files.
func (c *Config) checkAddresses(problem func(string, ...any)) {
	for _, b := range c.Kafka.Brokers {
		if host, port, err := net.SplitHostPort(b); err != nil || host == "" || port == "" {
			problem("SLUICE_KAFKA_BROKERS=%s: want host:port, separated by commas", strings.Join(c.Kafka.Brokers, ","))
			break
		}
	}
	if _, port, err := net.SplitHostPort(c.HTTPAddr); err != nil || port == "" {
		problem("SLUICE_HTTP_ADDR=%s: want host:port, or :port for every address", c.HTTPAddr)
	}
	for name, address := range map[string]string{"SLUICE_KAFKA_SASL_TOKEN_URL": c.Kafka.SASL.TokenURL, "SLUICE_CELONIS_OAUTH_TOKEN_URL": c.Celonis.OAuth.TokenURL} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
			problem("%s=%s: want https://host/path", name, Redacted(address))
		}
	}
	for name, path := range map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": c.Kafka.TLS.CAFile, "SLUICE_CELONIS_CA_FILE": c.Celonis.CAFile, "SLUICE_FELDERA_CA_FILE": c.Feldera.CAFile, "SLUICE_SCHEMA_REGISTRY_CA_FILE": c.Registry.CAFile} {
		if path == "" {
			continue
		}
		if text, err := os.ReadFile(path); err != nil {
			problem("%s: %v", name, err)
		} else if !x509.NewCertPool().AppendCertsFromPEM(text) {
			problem("%s=%s: no certificate in it; want a PEM file", name, path)
		}
	}
	for _, address := range c.Registry.URL {
		if u, err := url.Parse(address); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
			problem("SLUICE_SCHEMA_REGISTRY_URL=%s: want https://host:port/path, without user and password", Redacted(address))
		}
	}
	if t := c.Kafka.TLS; t.CertFile != "" && t.KeyFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			problem("SLUICE_KAFKA_TLS_CERT_FILE, SLUICE_KAFKA_TLS_KEY_FILE: %v", err)
		}
	}
}

// check finds what is wrong between settings.
func (c *Config) check(e *Error) {
	problem := func(format string, args ...any) { e.Problems = append(e.Problems, fmt.Sprintf(format, args...)) }
	c.checkAddresses(problem)
	c.checkFeldera(problem)
	c.checkIntervals(problem)
	if c.Celonis.URL != "" {
		if err := celonis.CheckURL(c.Celonis.URL); err != nil {
			problem("SLUICE_CELONIS_URL=%s: %v", Redacted(c.Celonis.URL), err)
		}
	}
	ways := 0
	for _, set := range []bool{!c.Celonis.APIKey.IsZero(), !c.Celonis.AppKey.IsZero(), c.Celonis.OAuth.ClientID != ""} {
		if set {
			ways++
		}
	}
	switch {
	case c.Sink != "celonis":
	case ways == 0:
		problem("SLUICE_CELONIS_API_KEY: not set; set it, SLUICE_CELONIS_APP_KEY, or SLUICE_CELONIS_OAUTH_CLIENT_ID with its secret (each secret also as …_FILE)")
	case ways > 1:
		problem("SLUICE_CELONIS_API_KEY, SLUICE_CELONIS_APP_KEY and SLUICE_CELONIS_OAUTH_CLIENT_ID: set only one of them")
	}
	if c.Celonis.OAuth.ClientID != "" && c.Celonis.OAuth.ClientSecret.IsZero() {
		problem("SLUICE_CELONIS_OAUTH_CLIENT_SECRET: not set; SLUICE_CELONIS_OAUTH_CLIENT_ID needs it")
	}
	if c.Celonis.FallbackVarcharLength > celonis.MaxLength {
		problem("SLUICE_CELONIS_FALLBACK_VARCHAR_LENGTH=%d: want at most %d", c.Celonis.FallbackVarcharLength, celonis.MaxLength)
	}
	if c.StringOverflow == "grow" && !c.Celonis.TableSchema {
		problem("SLUICE_CELONIS_TABLE_SCHEMA=false: want true under SLUICE_STRING_OVERFLOW=grow, which declares the lengths there")
	}
	if slices.Contains(c.Kafka.Topics, c.DeadLetter.Topic) && c.DeadLetter.Topic != "" {
		problem("SLUICE_DEADLETTER_TOPIC=%s: want a topic that is not among SLUICE_KAFKA_TOPICS, or it would feed itself", c.DeadLetter.Topic)
	}
	if p := c.Celonis.PoolID; strings.ContainsAny(p, "/?# ") {
		problem("SLUICE_CELONIS_POOL_ID=%s: want the id alone, such as 5b1f0a9e-0000-4000-8000-000000000000", p)
	}
	if c.ChunkBytes > 900<<20 {
		problem("SLUICE_CHUNK_BYTES=%v: want at most 900MiB; the API takes 1 GB", c.ChunkBytes)
	}
	if c.Celonis.FileType == "csv" {
		if c.Timestamp == "int96" {
			problem("SLUICE_TIMESTAMP=int96: want millis or micros under SLUICE_CELONIS_FILE_TYPE=csv")
		}
		if !c.Celonis.TableSchema {
			problem("SLUICE_CELONIS_TABLE_SCHEMA=false: want true under SLUICE_CELONIS_FILE_TYPE=csv, whose files do not carry their types")
		}
	}
	if c.Budget.Reserve >= c.Budget.JobsPerHour {
		if c.Budget.JobsPerHour <= 25 && c.Budget.Reserve == 25 {
			c.Budget.Reserve = c.Budget.JobsPerHour / 10
		} else {
			problem("SLUICE_BUDGET_RESERVE=%d: want less than SLUICE_BUDGET_JOBS_PER_HOUR=%d", c.Budget.Reserve, c.Budget.JobsPerHour)
		}
	}
	// After the wait comes the commit that is under way, and one more where its answer is lost.
	if margin := 30 * time.Second; c.DrainTimeout+margin > c.Kafka.RebalanceTimeout {
		problem("SLUICE_DRAIN_TIMEOUT=%v: want at least %v less than SLUICE_KAFKA_REBALANCE_TIMEOUT=%v, or a rebalance throws this member out while it waits or commits", c.DrainTimeout, margin, c.Kafka.RebalanceTimeout)
	}
	sasl := &c.Kafka.SASL
	switch sasl.Mechanism {
	case "":
		if sasl.Username != "" || !sasl.Password.IsZero() || sasl.TokenURL != "" || sasl.ClientID != "" {
			problem("SLUICE_KAFKA_SASL_MECHANISM: not set, but other SLUICE_KAFKA_SASL_ settings are; want one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER, AWS_MSK_IAM")
		}
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if sasl.Username == "" || sasl.Password.IsZero() {
			problem("SLUICE_KAFKA_SASL_USERNAME, SLUICE_KAFKA_SASL_PASSWORD: not set; %s needs both", sasl.Mechanism)
		}
	case "OAUTHBEARER":
		if sasl.TokenURL == "" || sasl.ClientID == "" || sasl.ClientSecret.IsZero() {
			problem("SLUICE_KAFKA_SASL_TOKEN_URL, _CLIENT_ID, _CLIENT_SECRET: not set; OAUTHBEARER needs all three")
		}
	}
	if c.Format == "registry" && len(c.Registry.URL) == 0 {
		problem("SLUICE_SCHEMA_REGISTRY_URL: not set; SLUICE_FORMAT=registry needs it")
	}
	if r := c.Registry; len(r.URL) == 0 {
		if r.Username != "" || !r.Password.IsZero() || !r.Token.IsZero() || r.CAFile != "" || r.Framing != "confluent" || r.ID != "" {
			problem("SLUICE_SCHEMA_REGISTRY_URL: not set, but other SLUICE_SCHEMA_REGISTRY_ settings are")
		}
	} else if r.Framing != "confluent" && strings.Contains(r.URL[0], "/ccompat/") {
		problem("SLUICE_SCHEMA_REGISTRY_URL=%s: want Apicurio's own API, such as http://apicurio:8080/apis/registry/v3, for SLUICE_SCHEMA_REGISTRY_FRAMING=%s", Redacted(r.URL[0]), r.Framing)
	} else if r.Framing == "confluent" && r.ID != "" {
		problem("SLUICE_SCHEMA_REGISTRY_ID=%s: it is for Apicurio's ids; set SLUICE_SCHEMA_REGISTRY_FRAMING to one of apicurio's, or leave it out", r.ID)
	}
	if r := c.Registry; (r.Username == "") != r.Password.IsZero() || r.Username != "" && !r.Token.IsZero() {
		problem("SLUICE_SCHEMA_REGISTRY_USERNAME, _PASSWORD, _TOKEN: set the first two, or the third, or none")
	}
	if (c.Kafka.TLS.CertFile == "") != (c.Kafka.TLS.KeyFile == "") {
		problem("SLUICE_KAFKA_TLS_CERT_FILE, SLUICE_KAFKA_TLS_KEY_FILE: set both or none")
	}
	if !strings.Contains(c.TargetTable, "{table}") && !strings.Contains(c.TargetTable, "{topic}") {
		problem("SLUICE_TARGET_TABLE=%s: want {table} or {topic} in it, or all tables would become one", c.TargetTable)
	}
	if rest := placeholders.Replace(c.TargetTable); strings.ContainsAny(rest, "{}") {
		problem("SLUICE_TARGET_TABLE=%s: want only {database}, {schema}, {table} and {topic} in braces", c.TargetTable)
	}
}

var placeholders = strings.NewReplacer("{database}", "", "{schema}", "", "{table}", "", "{topic}", "")
