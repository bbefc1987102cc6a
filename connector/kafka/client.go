// Package kafka is the connector's side of Apache Kafka: a client from settings,
// polls on request, rebalances as messages, and commits of which every partition's
// answer is checked.
package kafka

import (
	"context"
	"crypto/tls"
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

	SessionTimeout   time.Duration
	RebalanceTimeout time.Duration
	MetadataAge      time.Duration // how soon new topics are noticed
	FetchBytes       int32         // of one fetch from one broker
	Logger           *slog.Logger
}

// Pattern reports whether the topics are given by a pattern.
func (o *Options) Pattern() bool { return len(o.Topics) == 1 && strings.HasPrefix(o.Topics[0], "^") }

func (o *Options) kgo() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(o.Brokers...),
		kgo.ClientID("sluice"),
		kgo.ConsumerGroup(o.Group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		// A group without offsets starts at the earliest record; offsets that are
		// gone are an error and never a silent reset. Without the epoch, which
		// would let the client move to the log's end on its own.
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.AdjustFetchOffsetsFn(withoutEpochs),
		kgo.SessionTimeout(o.SessionTimeout),
		kgo.RebalanceTimeout(o.RebalanceTimeout),
		kgo.MetadataMaxAge(o.MetadataAge),
		kgo.MetadataMinAge(min(o.MetadataAge, time.Second)),
		kgo.FetchMaxBytes(o.FetchBytes),
		kgo.FetchMaxPartitionBytes(min(o.FetchBytes, 1<<20)),
		kgo.ConsumeTopics(o.Topics...),
		kgo.WithLogger(quiet{kslog.New(o.Logger)}),
	}
	if o.Pattern() {
		opts = append(opts, kgo.ConsumeRegex())
		if o.Exclude != "" {
			opts = append(opts, kgo.ConsumeExcludeTopics("^"+regexp.QuoteMeta(o.Exclude)+"$"))
		}
	}
	if o.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(o.InstanceID))
	}
	if o.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(o.TLS))
	}
	if o.SASL != nil {
		opts = append(opts, kgo.SASL(o.SASL))
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

func withoutEpochs(_ context.Context, m map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for _, parts := range m {
		for p, o := range parts {
			if o.EpochOffset().Offset >= 0 {
				parts[p] = o.WithEpoch(-1)
			}
		}
	}
	return m, nil
}

// Reach asks the cluster for its topics, which shows that brokers, TLS, and
// credentials are right. The error names the setting to look at. missing are the
// named topics that do not exist.
func (c *Consumer) Reach(ctx context.Context) (missing []string, err error) {
	if err := c.cl.Ping(ctx); err != nil {
		return nil, explain(err, c.opt.Brokers)
	}
	if c.opt.Pattern() {
		return nil, nil
	}
	details, err := kadm.NewClient(c.cl).ListTopics(ctx, c.opt.Topics...)
	if err != nil {
		return nil, explain(err, c.opt.Brokers)
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

// explain names the setting behind a failure to reach the brokers.
func explain(err error, brokers []string) error {
	var dns *net.DNSError
	var dial *net.OpError
	var cert *tls.CertificateVerificationError
	list := strings.Join(brokers, ",")
	switch {
	case errors.As(err, &cert):
		return fmt.Errorf("SLUICE_KAFKA_TLS_CA_FILE: the certificate of %s is not trusted: %w", list, err)
	case errors.Is(err, kerr.SaslAuthenticationFailed), strings.Contains(err.Error(), "SASL"):
		return fmt.Errorf("SLUICE_KAFKA_SASL_MECHANISM, _USERNAME, _PASSWORD: the brokers at %s refuse the credentials: %w", list, err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("SLUICE_KAFKA_TLS_ENABLED, SLUICE_KAFKA_SASL_*: the brokers at %s close the connection, as they do where TLS or login is not what the listener wants: %w", list, err)
	case errors.As(err, &dns):
		return fmt.Errorf("SLUICE_KAFKA_BROKERS: %s does not resolve; check the host names: %w", list, err)
	case errors.As(err, &dial), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("SLUICE_KAFKA_BROKERS: no broker answers at %s; check addresses, ports and firewalls, and SLUICE_KAFKA_TLS_ENABLED if the listener speaks TLS: %w", list, err)
	}
	return fmt.Errorf("SLUICE_KAFKA_BROKERS: %s: %w", list, err)
}
