package check

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/kafka"
)

// cluster is Kafka, with what earlier checks have learnt for later ones.
type cluster struct {
	*Subject
	cl      *kgo.Client
	brokers []kmsg.MetadataResponseBroker
	topics  []kmsg.MetadataResponseTopic // that are there and to be read
}

func (c *cluster) checks() []Check {
	return []Check{
		{"kafka", "kafka.bootstrap", nil, c.bootstrap},
		{"kafka", "kafka.login", []string{"kafka.bootstrap"}, c.login},
		{"kafka", "kafka.brokers", []string{"kafka.login"}, c.everyBroker},
		{"kafka", "kafka.limits", []string{"kafka.login"}, c.limits},
		{"kafka", "kafka.topics", []string{"kafka.login"}, c.lookUp},
		{"kafka", "kafka.partitions", []string{"kafka.login"}, c.partitions},
		{"kafka", "kafka.retention", []string{"kafka.login"}, c.retention},
		{"kafka", "kafka.deadletter", []string{"kafka.login"}, c.deadLetter},
		{"kafka", "kafka.group", []string{"kafka.login"}, c.group},
		{"kafka", "kafka.offsets", []string{"kafka.group"}, c.offsets},
	}
}

// expiresSoon is how long before its end a certificate is worth a warning.
const expiresSoon = 14 * 24 * time.Hour

// open makes a connection and, where the settings want it, TLS. certificate is the
// server's, nil without TLS.
func (c *cluster) open(ctx context.Context, address string) (certificate *x509.Certificate, err error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if c.Kafka.TLS == nil {
		return nil, nil
	}
	conf := c.Kafka.TLS.Clone()
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(address)
	}
	secure := tls.Client(conn, conf)
	switch err := secure.HandshakeContext(ctx); {
	case errors.Is(err, io.EOF), errors.Is(err, context.DeadlineExceeded):
		// A plain listener waits for the rest of what it takes for a request, or hangs up.
		return nil, fmt.Errorf("%w: %w", tls.RecordHeaderError{Msg: "no answer in TLS"}, err)
	case err != nil:
		return nil, err
	}
	return secure.ConnectionState().PeerCertificates[0], nil
}

// expiry warns of a certificate that ends soon. One that has ended was accepted all the
// same, or the connection would have failed.
func expiry(f *Findings, now time.Time, certificate *x509.Certificate, whose, remedy string) {
	switch end := certificate.NotAfter; {
	case !end.After(now):
		f.Warn(remedy, "the certificate of %s ended on %s", whose, end.UTC().Format(time.RFC3339))
	case end.Sub(now) < expiresSoon:
		f.Warn(remedy, "the certificate of %s ends on %s", whose, end.UTC().Format(time.RFC3339))
	}
}

// bootstrap: DNS, TCP and TLS of each address in the settings. One that answers is enough
// to start.
func (c *cluster) bootstrap(ctx context.Context, f *Findings) {
	c.ownCertificate(f)
	var wg sync.WaitGroup
	certificates, errs := make([]*x509.Certificate, len(c.Kafka.Brokers)), make([]error, len(c.Kafka.Brokers))
	for i, address := range c.Kafka.Brokers {
		wg.Go(func() { certificates[i], errs[i] = c.open(ctx, address) })
	}
	wg.Wait()
	answer := 0
	for _, err := range errs {
		if err == nil {
			answer++
		}
	}
	for i, address := range c.Kafka.Brokers {
		switch {
		case errs[i] != nil && answer > 0:
			f.Warn(kafka.Remedy(errs[i], []string{address}), "%s: %v", address, errs[i])
		case errs[i] != nil:
			f.Problem(kafka.Remedy(errs[i], []string{address}), "%s: %v", address, errs[i])
		case certificates[i] != nil:
			expiry(f, c.Now(), certificates[i], address, "renew the certificate of the broker")
		}
	}
	if answer > 0 {
		how := "without TLS"
		if c.Kafka.TLS != nil {
			how = "by TLS"
		}
		f.OK("%d of %d bootstrap brokers answer, %s", answer, len(c.Kafka.Brokers), how)
	}
}

func (c *cluster) ownCertificate(f *Findings) {
	path := c.Config.Kafka.TLS.CertFile
	if path == "" {
		return
	}
	text, err := os.ReadFile(path)
	if block, _ := pem.Decode(text); err == nil && block != nil {
		var own *x509.Certificate
		if own, err = x509.ParseCertificate(block.Bytes); err == nil {
			expiry(f, c.Now(), own, "this client", "SLUICE_KAFKA_TLS_CERT_FILE: renew it; the file is read at each connection")
		}
	}
	if err != nil {
		f.Problem("SLUICE_KAFKA_TLS_CERT_FILE", "%v", err)
	}
}

// aboutBrokers asks for them, and for no topics.
func aboutBrokers() *kmsg.MetadataRequest {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{}
	return req
}

// login: the first request that needs credentials. Its answer names all brokers.
func (c *cluster) login(ctx context.Context, f *Findings) {
	resp, err := aboutBrokers().RequestWith(ctx, c.cl)
	if err != nil {
		f.Problem(kafka.Remedy(err, c.Kafka.Brokers), "%v", err)
		return
	}
	c.brokers = resp.Brokers
	id := "without an id"
	if resp.ClusterID != nil {
		id = *resp.ClusterID
	}
	f.OK("cluster %s, brokers: %d; %s", id, len(c.brokers), c.user())
}

// user says as whom the brokers know us.
func (c *cluster) user() string {
	switch s := c.Config.Kafka.SASL; {
	case s.Mechanism == "" && c.Config.Kafka.TLS.CertFile != "":
		return "the subject of SLUICE_KAFKA_TLS_CERT_FILE"
	case s.Mechanism == "":
		return "no login"
	case s.Username != "":
		return s.Mechanism + " as " + s.Username
	case s.ClientID != "":
		return s.Mechanism + " as " + s.ClientID
	default:
		return s.Mechanism
	}
}

// everyBroker: the addresses that the brokers give for themselves are other than the
// bootstrap's, and partitions are read there.
func (c *cluster) everyBroker(ctx context.Context, f *Findings) {
	var wg sync.WaitGroup
	certificates, errs := make([]*x509.Certificate, len(c.brokers)), make([]error, len(c.brokers))
	address := func(b kmsg.MetadataResponseBroker) string {
		return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
	}
	for i, b := range c.brokers {
		wg.Go(func() {
			if certificates[i], errs[i] = c.open(ctx, address(b)); errs[i] == nil {
				_, errs[i] = c.cl.Broker(int(b.NodeID)).Request(ctx, aboutBrokers())
			}
		})
	}
	wg.Wait()
	answer := 0
	for i, b := range c.brokers {
		if errs[i] != nil {
			f.Problem(fmt.Sprintf("advertised.listeners of broker %d must be an address that resolves and answers from here; %s", b.NodeID, kafka.Remedy(errs[i], []string{address(b)})),
				"broker %d at %s: %v", b.NodeID, address(b), errs[i])
			continue
		}
		answer++
		if certificates[i] != nil {
			expiry(f, c.Now(), certificates[i], fmt.Sprintf("broker %d", b.NodeID), "renew the certificate of the broker")
		}
	}
	if answer > 0 {
		f.OK("%d of %d brokers answer at their own addresses", answer, len(c.brokers))
	}
}

// limits: what the brokers allow, against what the settings count on.
func (c *cluster) limits(ctx context.Context, f *Findings) {
	var ids []int32
	for _, b := range c.brokers {
		ids = append(ids, b.NodeID)
	}
	all, err := kadm.NewClient(c.cl).DescribeBrokerConfigs(ctx, ids...)
	if err != nil {
		f.Skip("not to be read: %v; DESCRIBE_CONFIGS on the cluster would let it be", err)
		return
	}
	read := 0
	seen := map[string]bool{}
	once := func(remedy, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); !seen[text] {
			seen[text] = true
			f.Problem(remedy, "%s", text)
		}
	}
	for _, broker := range all {
		for _, conf := range broker.Configs {
			if conf.Value == nil {
				continue
			}
			v, err := strconv.ParseInt(*conf.Value, 10, 64)
			if err != nil {
				continue
			}
			limit, session := time.Duration(v)*time.Millisecond, c.Config.Kafka.SessionTimeout
			switch conf.Key {
			case "offset.metadata.max.bytes":
				if read++; int64(c.Config.Kafka.MetadataMaxBytes) > v {
					once(fmt.Sprintf("SLUICE_KAFKA_OFFSET_METADATA_MAX_BYTES=%d, or raise %s of the brokers", v, conf.Key),
						"the brokers take %d bytes beside an offset, and the settings count on %d", v, c.Config.Kafka.MetadataMaxBytes)
				}
			case "group.min.session.timeout.ms":
				if read++; session < limit {
					once(fmt.Sprintf("SLUICE_KAFKA_SESSION_TIMEOUT=%v at least", limit), "the session timeout of %v is less than the brokers take (%s)", session, conf.Key)
				}
			case "group.max.session.timeout.ms":
				if read++; session > limit {
					once(fmt.Sprintf("SLUICE_KAFKA_SESSION_TIMEOUT=%v at most", limit), "the session timeout of %v is more than the brokers take (%s)", session, conf.Key)
				}
			}
		}
	}
	switch {
	case read == 0:
		f.Skip("the brokers do not tell")
	case len(seen) == 0:
		f.OK("%d bytes beside an offset, session timeout %v", c.Config.Kafka.MetadataMaxBytes, c.Config.Kafka.SessionTimeout)
	}
}

// some lists a few names of many.
func some(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
