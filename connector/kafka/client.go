// Package kafka is the connector's side of Apache Kafka: a client from settings,
// polls on request, rebalances as messages, and commits of which every partition's
// answer is checked.
package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/plugin/kslog"
	"go.opentelemetry.io/otel/metric"

	"github.com/sluice-cdc/sluice/connector/instrument"
)

// Partition names a partition of a topic.
type Partition struct {
	Topic string
	ID    int32
}

func (p Partition) String() string { return fmt.Sprintf("%s/%d", p.Topic, p.ID) }

// Options configure the client.
type Options struct {
	Brokers    []string
	Group      string
	InstanceID string   // static membership (KIP-345); "" is dynamic
	Topics     []string // names, or one pattern that begins with ^
	Exclude    string   // a topic that a pattern must not match
	TLS        *tls.Config
	SASL       sasl.Mechanism
	// Dial opens connections; nil: TCP, or TLS if that is set.
	Dial func(ctx context.Context, network, host string) (net.Conn, error)

	Balancer Balancer
	// TableOf names the table that a topic feeds, as far as its name tells, "" if not;
	// nil: every topic feeds one of its own. All members must agree.
	TableOf func(topic string) string

	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	MetadataAge      time.Duration // how soon new topics are noticed
	FetchBytes       int32         // of one fetch from one broker
	Logger           *slog.Logger
	Meter            metric.Meter      // nil: nothing is measured
	MetricTopics     *instrument.Limit // which topics have series of their own; nil: all
}

// ClientID is what the brokers, and whoever lists the group's members, know each member by.
const ClientID = "sluice"

// Pattern reports whether the topics are given by a pattern.
func (o *Options) Pattern() bool { return len(o.Topics) == 1 && strings.HasPrefix(o.Topics[0], "^") }

const (
	// largestAnswer is more than any record makes that brokers take without being told to
	// (socket.request.max.bytes, 100 MiB), and less than the first bytes of a TLS alert read
	// as a size, which are so known for one.
	largestAnswer = 0x15 << 24
	// largestRecord is the most that the client writes in a batch.
	largestRecord = 1 << 30
)

// connection is how to reach the brokers and log in.
func (o *Options) connection() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID(ClientID),
		kgo.BrokerMaxReadBytes(largestAnswer),
		kgo.WithLogger(quiet{kslog.New(o.Logger)}),
	}
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS))
	}
	if o.Dial != nil {
		opts = append(opts, kgo.Dialer(o.Dial))
	}
	if o.SASL != nil {
		opts = append(opts, kgo.SASL(o.SASL))
	}
	return opts
}

// NewAdmin makes a client for questions about the cluster. It is in no group, and a
// request that fails is soon given up.
func NewAdmin(opt Options) (*kgo.Client, error) {
	return kgo.NewClient(append(opt.connection(), kgo.RequestRetries(2))...)
}

func (o *Options) kgo() []kgo.Opt {
	opts := append(o.connection(),
		kgo.ConsumerGroup(o.Group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that an offset without a record is seen to be a marker's
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		// A group without offsets starts at the earliest record; offsets that are
		// gone are an error and never a silent reset.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.SessionTimeout(o.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, o.SessionTimeout/3)),
		// Whatever was read can be written as a dead letter, which has some headers more; the
		// brokers have the last word.
		kgo.MaxDecompressBatchBytes(largestRecord-1<<20),
		kgo.ProducerBatchMaxBytes(largestRecord),
		kgo.BrokerMaxWriteBytes(largestRecord),
		// A try to write one ends when it is told to, though the brokers may have got it.
		kgo.AllowIdempotentProduceCancellation(),
		kgo.RebalanceTimeout(o.RebalanceTimeout),
		kgo.MetadataMaxAge(o.MetadataAge),
		kgo.MetadataMinAge(min(o.MetadataAge, time.Second)),
		kgo.FetchMaxBytes(o.FetchBytes),
		kgo.FetchMaxPartitionBytes(min(o.FetchBytes, 1<<20)),
		kgo.ConsumeTopics(o.Topics...),
	)
	if o.Pattern() {
		opts = append(opts, kgo.ConsumeRegex())
		if o.Exclude != "" {
			opts = append(opts, kgo.ConsumeExcludeTopics("^"+regexp.QuoteMeta(o.Exclude)+"$"))
		}
	}
	if o.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(o.InstanceID))
	}
	return opts
}

// quiet lowers the client's chatter: what it calls information is detail here.
type quiet struct{ kgo.Logger }

func (q quiet) Level() kgo.LogLevel {
	if l := q.Logger.Level(); l < kgo.LogLevelInfo || l == kgo.LogLevelDebug {
		return l
	}
	return kgo.LogLevelWarn
}

// Reach asks the cluster for its topics, which shows that brokers, TLS, and
// credentials are right. The error names the setting to look at. missing are the
// named topics that do not exist, or the pattern if it matches none.
func (c *Consumer) Reach(ctx context.Context) (missing []string, err error) {
	if err := c.cl.Ping(ctx); err != nil {
		return nil, explain(err, c.opt.Brokers)
	}
	var named []string
	if !c.opt.Pattern() {
		named = c.opt.Topics
	}
	details, err := kadm.NewClient(c.cl).ListTopics(ctx, named...)
	if err != nil {
		return nil, explain(err, c.opt.Brokers)
	}
	if c.opt.Pattern() {
		pattern, err := regexp.Compile(c.opt.Topics[0])
		if err != nil {
			return nil, fmt.Errorf("SLUICE_KAFKA_TOPICS: %w", err)
		}
		for _, t := range details {
			if pattern.MatchString(t.Topic) && t.Topic != c.opt.Exclude {
				return nil, nil
			}
		}
		return c.opt.Topics, nil
	}
	for _, t := range details {
		if errors.Is(t.Err, kerr.UnknownTopicOrPartition) {
			missing = append(missing, t.Topic)
		} else if t.Err != nil {
			return nil, fmt.Errorf("SLUICE_KAFKA_TOPICS: topic %s: %w", t.Topic, t.Err)
		}
	}
	return missing, nil
}

// CredentialsError says that there is nothing to log in with: a token endpoint or a
// credential chain failed. It names its setting.
type CredentialsError struct{ Err error }

func (e *CredentialsError) Error() string { return e.Err.Error() }
func (e *CredentialsError) Unwrap() error { return e.Err }

// explain names the setting behind a failure to reach the brokers.
func explain(err error, brokers []string) error {
	if errors.As(err, new(*CredentialsError)) {
		return err
	}
	return fmt.Errorf("%s: %w", Remedy(err, brokers), err)
}

// Remedy says which setting to look at after a request to the brokers failed, and why.
func Remedy(err error, brokers []string) string {
	var dns *net.DNSError
	var dial *net.OpError
	var cert *tls.CertificateVerificationError
	var expired x509.CertificateInvalidError
	list := strings.Join(brokers, ",")
	switch {
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return "SLUICE_KAFKA_GROUP: the brokers do not let this user read as that group"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return "SLUICE_KAFKA_TOPICS: the brokers do not let this user read a topic"
	case errors.Is(err, kerr.InvalidSessionTimeout):
		return "SLUICE_KAFKA_SESSION_TIMEOUT: outside of what the brokers allow (group.min.session.timeout.ms, group.max.session.timeout.ms)"
	case errors.Is(err, kerr.FencedInstanceID):
		return "SLUICE_KAFKA_INSTANCE_ID: another process uses the same"
	case errors.As(err, new(*CredentialsError)):
		return "SLUICE_KAFKA_SASL_*: there is nothing to log in with"
	case errors.As(err, &dial) && dial.Op == "remote error": // an alert of TLS
		return fmt.Sprintf("SLUICE_KAFKA_TLS_CERT_FILE, _KEY_FILE: the broker at %s refuses this client's certificate, or wants one", list)
	case errors.As(err, new(tls.RecordHeaderError)):
		return fmt.Sprintf("SLUICE_KAFKA_TLS_ENABLED: the listener at %s does not speak TLS; take another port, or leave out the SLUICE_KAFKA_TLS_ settings", list)
	case errors.As(err, new(x509.HostnameError)):
		return fmt.Sprintf("SLUICE_KAFKA_TLS_SERVER_NAME, SLUICE_KAFKA_TLS_CA_FILE: the certificate of %s is for other names", list)
	case errors.As(err, &expired) && expired.Reason == x509.Expired:
		return fmt.Sprintf("renew the certificate of the broker at %s, or set this machine's clock", list)
	case errors.As(err, &cert):
		return fmt.Sprintf("SLUICE_KAFKA_TLS_CA_FILE: the certificate of %s is not trusted", list)
	case errors.As(err, new(*kgo.ErrFirstReadEOF)), errors.Is(err, io.EOF):
		return fmt.Sprintf("SLUICE_KAFKA_TLS_ENABLED, SLUICE_KAFKA_SASL_*: the brokers at %s close the connection, as they do where TLS or login is not what the listener wants", list)
	case errors.Is(err, kerr.SaslAuthenticationFailed), strings.Contains(err.Error(), "SASL"): // the client's own errors have no type
		return fmt.Sprintf("SLUICE_KAFKA_SASL_MECHANISM, _USERNAME, _PASSWORD: the brokers at %s refuse the credentials", list)
	case errors.As(err, &dns):
		return fmt.Sprintf("SLUICE_KAFKA_BROKERS: %s does not resolve; check the host names", list)
	case errors.As(err, &dial), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("SLUICE_KAFKA_BROKERS: no broker answers at %s; check addresses, ports and firewalls, and SLUICE_KAFKA_TLS_ENABLED if the listener speaks TLS", list)
	}
	return "SLUICE_KAFKA_BROKERS: " + list
}
