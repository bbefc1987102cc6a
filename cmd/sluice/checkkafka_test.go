package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/check"
	"github.com/sluice-cdc/sluice/connector/kafka"
)

// allow is an ACL of a topic, group or cluster.
func allow(kind kmsg.ACLResourceType, name string, op kmsg.ACLOperation) kfake.ACL {
	return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: op, Allow: true}
}

// answerGroups has the brokers describe a group so.
func answerGroups(p *place, change func(*kmsg.DescribeGroupsResponseGroup)) {
	p.cluster.ControlKey(int16(kmsg.DescribeGroups), func(req kmsg.Request) (kmsg.Response, error, bool) {
		p.cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeGroupsResponse)
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group = "sluice"
		change(&g)
		resp.Groups = append(resp.Groups, g)
		return resp, nil, true
	})
}

// join makes a member of the group sluice that stays until the end.
func join(t *testing.T, p *place, opts ...kgo.Opt) {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.cluster.ListenAddrs()...), kgo.ClientID("other"), kgo.ConsumerGroup("sluice"), kgo.ConsumeTopics("shop.a")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := p.cluster.WaitGroupStable(ctx, "sluice", 1); err != nil {
		t.Fatal(err)
	}
}

// commit writes n records to shop.a/0 and commits an offset there.
func commit(t *testing.T, p *place, n, offset int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(p.cluster.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for range n {
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "shop.a", Value: []byte("x")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	var o kadm.Offsets
	o.AddOffset("shop.a", 0, int64(offset), -1)
	if err := kadm.NewClient(cl).CommitAllOffsets(t.Context(), "sluice", o); err != nil {
		t.Fatal(err)
	}
}

// TestCheckKafka provokes each finding about Kafka by itself.
func TestCheckKafka(t *testing.T) {
	ca, ended := newAuthority(t), newAuthorityUntil(t, time.Now().Add(-time.Minute))
	mutual := ca.server.Clone()
	mutual.ClientAuth = tls.RequireAndVerifyClientCert
	secure := func(ca *authority, conf *tls.Config, env map[string]string) ([]kfake.Opt, map[string]string) {
		if env == nil {
			env = map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile}
		}
		return []kfake.Opt{kfake.TLS(conf)}, env
	}
	login := func(acls ...kfake.ACL) []kfake.Opt {
		return []kfake.Opt{kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "admin", "admin"), kfake.User("PLAIN", "sluice", "pw", acls...)}
	}
	as := func(more ...string) map[string]string {
		env := map[string]string{"SLUICE_KAFKA_SASL_MECHANISM": "PLAIN", "SLUICE_KAFKA_SASL_USERNAME": "sluice", "SLUICE_KAFKA_SASL_PASSWORD": "pw"}
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	const topic, group, cluster = kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeCluster
	const read, write, describe, configs = kmsg.ACLOperationRead, kmsg.ACLOperationWrite, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs
	a, b, in := allow(topic, "shop.a", read), allow(topic, "shop.b", read), allow(group, "sluice", read)

	type kase struct {
		name    string
		cluster []kfake.Opt
		env     map[string]string
		prepare func(*testing.T, *place)
		want    []expect
	}
	kases := []kase{
		{name: "no such host", env: map[string]string{"SLUICE_KAFKA_BROKERS": "no.such.host.invalid:9092"},
			want: []expect{{"kafka.bootstrap", check.Problem, "no.such.host.invalid", "SLUICE_KAFKA_BROKERS"}, {"kafka.login", check.Skipped, "needs kafka.bootstrap", ""}, {"kafka.group", check.Skipped, "needs kafka.login", ""}}},
		{name: "nobody there", env: map[string]string{"SLUICE_KAFKA_BROKERS": "127.0.0.1:1"},
			want: []expect{{"kafka.bootstrap", check.Problem, "refused", "SLUICE_KAFKA_BROKERS: no broker answers"}}},
		{name: "one of two there", env: map[string]string{"SLUICE_KAFKA_BROKERS": "<first>,127.0.0.1:1"},
			want: []expect{{"kafka.bootstrap", check.Warning, "127.0.0.1:1: ", "SLUICE_KAFKA_BROKERS"}}},
		{name: "TLS to a plain listener", env: map[string]string{"SLUICE_KAFKA_TLS_ENABLED": "true"},
			want: []expect{{"kafka.bootstrap", check.Problem, "no answer in TLS", "does not speak TLS"}}},
		{name: "login to a listener without", env: as(), want: []expect{{"kafka.login", check.Problem, "", "SLUICE_KAFKA_SASL_"}}},
		{name: "no login", cluster: login(a, b, in), want: []expect{{"kafka.login", check.Problem, "", "SLUICE_KAFKA_SASL_*"}}},
		{name: "wrong password", cluster: login(a, b, in), env: as("SLUICE_KAFKA_SASL_PASSWORD", "hunter2"), prepare: func(_ *testing.T, p *place) {
			// As Apache Kafka does; the fake broker only hangs up.
			p.cluster.ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) {
				p.cluster.KeepControl()
				resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
				resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
				return resp, nil, true
			})
		},
			want: []expect{{"kafka.login", check.Problem, "SASL", "SLUICE_KAFKA_SASL_MECHANISM, _USERNAME, _PASSWORD"}, {"kafka.topics", check.Skipped, "needs kafka.login", ""}}},
		{name: "wrong mechanism", cluster: login(a, b, in), env: as("SLUICE_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"), prepare: func(_ *testing.T, p *place) {
			p.cluster.ControlKey(int16(kmsg.SASLHandshake), func(req kmsg.Request) (kmsg.Response, error, bool) {
				p.cluster.KeepControl()
				resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
				resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
				return resp, nil, true
			})
		},
			want: []expect{{"kafka.login", check.Problem, "SASL", "SLUICE_KAFKA_SASL_MECHANISM"}}},

		{name: "all that is needed", cluster: login(a, b, in, allow(topic, "dead", write), allow(cluster, "kafka-cluster", configs), allow(topic, "shop.a", configs), allow(topic, "shop.b", configs)),
			env: as("SLUICE_DEADLETTER_TOPIC", "dead"), prepare: func(t *testing.T, p *place) { p.cluster.CreateTopic("dead", 1, nil) }},
		{name: "no right to look at configurations", cluster: login(a, b, in), env: as(),
			want: []expect{{"kafka.limits", check.Skipped, "DESCRIBE_CONFIGS on the cluster", ""}, {"kafka.retention", check.Skipped, "DESCRIBE_CONFIGS on the topics", ""}}},
		{name: "a topic that may be seen only", cluster: login(a, allow(topic, "shop.b", describe), in), env: as(),
			want: []expect{{"kafka.topics", check.Problem, "not allowed to read: shop.b", "grant READ and DESCRIBE on the topics of SLUICE_KAFKA_TOPICS to this user: PLAIN as sluice"}}},
		{name: "a topic that may not be seen", cluster: login(a, in), env: as(),
			want: []expect{{"kafka.topics", check.Problem, "not allowed to read: shop.b", "grant READ"}}},
		{name: "a pattern of topics that may not be seen", cluster: login(in), env: as("SLUICE_KAFKA_TOPICS", "^shop.*"),
			want: []expect{{"kafka.topics", check.Problem, "no topic matches ^shop.*", "grant DESCRIBE"}, {"kafka.partitions", check.Skipped, "needs topics", ""}, {"kafka.retention", check.Skipped, "needs topics", ""}, {"kafka.offsets", check.Skipped, "needs topics", ""}}},
		{name: "a dead-letter topic that may not be written", cluster: login(a, b, in, allow(topic, "shop.dead", describe)), env: as("SLUICE_DEADLETTER_TOPIC", "shop.dead"),
			prepare: func(t *testing.T, p *place) { p.cluster.CreateTopic("shop.dead", 1, nil) },
			want:    []expect{{"kafka.deadletter", check.Problem, "not allowed to write shop.dead", "grant WRITE and DESCRIBE on the topic of SLUICE_DEADLETTER_TOPIC"}}},
		{name: "a dead-letter topic that may not be seen", cluster: login(a, b, in), env: as("SLUICE_DEADLETTER_TOPIC", "shop.dead"),
			prepare: func(t *testing.T, p *place) { p.cluster.CreateTopic("shop.dead", 1, nil) },
			want:    []expect{{"kafka.deadletter", check.Problem, "not allowed to see shop.dead", "grant WRITE"}}},
		{name: "a group that may not be seen", cluster: login(a, b), env: as(),
			want: []expect{{"kafka.group", check.Problem, "not allowed to see group sluice", "grant READ on the group of SLUICE_KAFKA_GROUP"}, {"kafka.offsets", check.Skipped, "needs kafka.group", ""}}},
		{name: "a group that may not be joined", cluster: login(a, b, allow(group, "sluice", describe)), env: as(),
			want: []expect{{"kafka.group", check.Problem, "not allowed to join group sluice", "grant READ on the group"}}},

		{name: "missing topics", env: map[string]string{"SLUICE_KAFKA_TOPICS": "shop.a,x1,x2,x3,x4,x5,x6,x7"},
			want: []expect{{"kafka.topics", check.Problem, "no such topic: x1, x2, x3, x4, x5 and 2 more", "SLUICE_KAFKA_TOPICS: correct the names"}}},
		{name: "a pattern that matches the dead letters only", env: map[string]string{"SLUICE_KAFKA_TOPICS": "^dead", "SLUICE_DEADLETTER_TOPIC": "dead"},
			prepare: func(t *testing.T, p *place) { p.cluster.CreateTopic("dead", 1, nil) },
			want:    []expect{{"kafka.topics", check.Problem, "no topic matches ^dead", "SLUICE_KAFKA_TOPICS: correct the pattern"}}},
		{name: "a pattern", env: map[string]string{"SLUICE_KAFKA_TOPICS": "^shop.*"}},
		{name: "a table's topic that is not read", env: map[string]string{"tables": "tables: {t: {topic: elsewhere}, u: {topic: shop.a}}"},
			want: []expect{{"kafka.topics", check.Warning, "table t: its topic elsewhere", "SLUICE_TABLES_FILE"}}},
		{name: "a partition without a leader", prepare: func(_ *testing.T, p *place) {
			p.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Metadata}, Topic: "shop.b", Partitions: []int32{1}, Err: kerr.LeaderNotAvailable, Count: -1})
		}, want: []expect{{"kafka.partitions", check.Problem, "without a leader: shop.b/1", "bring back the brokers"}}},
		{name: "short retention, unclean leaders", env: map[string]string{"SLUICE_KAFKA_TOPICS": "shop.a,brief,kept"}, prepare: func(t *testing.T, p *place) {
			p.cluster.CreateTopic("brief", 1, map[string]string{"retention.ms": "3600000", "unclean.leader.election.enable": "true"})
			p.cluster.CreateTopic("kept", 1, map[string]string{"retention.ms": "3600000", "cleanup.policy": "compact"})
		}, want: []expect{{"kafka.retention", check.Warning, "within a day: brief (1h0m0s)", "retention.ms"}, {"kafka.retention", check.Warning, "vanish: brief", "unclean.leader.election.enable=false"}}},
		{name: "a missing dead-letter topic", env: map[string]string{"SLUICE_DEADLETTER_TOPIC": "dead"},
			want: []expect{{"kafka.deadletter", check.Problem, "no such topic: dead", "create it"}}},

		{name: "a session that is too short", cluster: []kfake.Opt{kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "60000"})},
			want: []expect{{"kafka.limits", check.Problem, "45s is less than the brokers take", "SLUICE_KAFKA_SESSION_TIMEOUT=1m0s at least"}}},
		{name: "a session that is too long", env: map[string]string{"SLUICE_KAFKA_SESSION_TIMEOUT": "10m"},
			want: []expect{{"kafka.limits", check.Problem, "10m0s is more than the brokers take", "SLUICE_KAFKA_SESSION_TIMEOUT=5m0s at most"}}},
		{name: "little room beside offsets", prepare: func(_ *testing.T, p *place) {
			p.cluster.ControlKey(int16(kmsg.DescribeConfigs), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
				p.cluster.KeepControl()
				req := kreq.(*kmsg.DescribeConfigsRequest)
				resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
				for _, r := range req.Resources {
					c := kmsg.NewDescribeConfigsResponseResourceConfig()
					c.Name, c.Value = "offset.metadata.max.bytes", kmsg.StringPtr("1024")
					one := kmsg.NewDescribeConfigsResponseResource()
					one.ResourceName, one.ResourceType, one.Configs = r.ResourceName, r.ResourceType, append(one.Configs, c)
					resp.Resources = append(resp.Resources, one)
				}
				return resp, nil, true
			})
		}, want: []expect{{"kafka.limits", check.Problem, "the brokers take 1024 bytes beside an offset, and the settings count on 4096", "SLUICE_KAFKA_OFFSET_METADATA_MAX_BYTES=1024"}}},

		{name: "members with another way of sharing", prepare: func(t *testing.T, p *place) { join(t, p, kgo.Balancers(kgo.RangeBalancer())) },
			want: []expect{{"kafka.group", check.Problem, "shares partitions by range, which Sluice does not; its members: other at 127.0.0.1", "SLUICE_KAFKA_GROUP"}}},
		{name: "members with ours", prepare: func(t *testing.T, p *place) { join(t, p, kgo.Balancers(kgo.CooperativeStickyBalancer())) }},
		{name: "a cluster that has had no group yet", prepare: func(_ *testing.T, p *place) {
			p.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: 2},
				kfake.Fault{Keys: []kmsg.Key{kmsg.DescribeGroups}, Err: kerr.NotCoordinator, Count: 2})
		}},
		{name: "a cluster that can have no groups", prepare: func(_ *testing.T, p *place) {
			p.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.FindCoordinator}, Err: kerr.CoordinatorNotAvailable, Count: -1})
		}, want: []expect{{"kafka.group", check.Problem, "no broker keeps the offsets", "__consumer_offsets"}}},
		{name: "another kind of group", prepare: func(_ *testing.T, p *place) {
			answerGroups(p, func(g *kmsg.DescribeGroupsResponseGroup) { g.State, g.ProtocolType = "Stable", "connect" })
		}, want: []expect{{"kafka.group", check.Problem, "of another kind, connect", "SLUICE_KAFKA_GROUP"}}},
		{name: "the instance id is another program's", env: map[string]string{"SLUICE_KAFKA_INSTANCE_ID": "sluice-0"},
			prepare: func(t *testing.T, p *place) {
				join(t, p, kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.InstanceID("sluice-0"))
			},
			want: []expect{{"kafka.group", check.Warning, "instance id sluice-0 already, other at 127.0.0.1", "SLUICE_KAFKA_INSTANCE_ID"}}},
		{name: "the instance id is that of another host", env: map[string]string{"SLUICE_KAFKA_INSTANCE_ID": "sluice-0"},
			prepare: func(_ *testing.T, p *place) {
				answerGroups(p, func(g *kmsg.DescribeGroupsResponseGroup) {
					m := kmsg.NewDescribeGroupsResponseGroupMember()
					m.ClientID, m.ClientHost, m.InstanceID = kafka.ClientID, "/192.0.2.1", kmsg.StringPtr("sluice-0") // RFC 5737: nobody's
					g.State, g.ProtocolType, g.Protocol, g.Members = "Stable", "consumer", kafka.Protocols()[0], append(g.Members, m)
				})
			},
			want: []expect{{"kafka.group", check.Warning, "instance id sluice-0 already, sluice at 192.0.2.1", "SLUICE_KAFKA_INSTANCE_ID"}}},
		{name: "the instance id is that of the Sluice that runs here", env: map[string]string{"SLUICE_KAFKA_INSTANCE_ID": "sluice-0"},
			prepare: func(t *testing.T, p *place) {
				join(t, p, kgo.Balancers(kgo.CooperativeStickyBalancer()), kgo.InstanceID("sluice-0"), kgo.ClientID(kafka.ClientID))
			}},
		{name: "offsets whose records are there", prepare: func(t *testing.T, p *place) { commit(t, p, 5, 3) }},
		{name: "offsets whose records are gone", prepare: func(t *testing.T, p *place) {
			commit(t, p, 5, 3)
			p.cluster.DeleteRecords("shop.a", 0, 4)
		}, want: []expect{{"kafka.offsets", check.Problem, "deleted: shop.a/0", "raise the retention"}}},
		{name: "no offsets where some are expected", env: map[string]string{"SLUICE_KAFKA_AUTO_OFFSET_RESET": "none"},
			want: []expect{{"kafka.offsets", check.Warning, "has no offsets", "SLUICE_KAFKA_AUTO_OFFSET_RESET=earliest"}}},
		{name: "brokers before 2.3 do not tell rights", cluster: []kfake.Opt{kfake.MaxVersions(kversion.V2_1_0())}, env: map[string]string{"SLUICE_DEADLETTER_TOPIC": "dead"},
			prepare: func(t *testing.T, p *place) { p.cluster.CreateTopic("dead", 1, nil) },
			want:    []expect{{"kafka.topics", check.Skipped, "do not tell whether this user may read: shop.a, shop.b", ""}, {"kafka.deadletter", check.Skipped, "do not tell", ""}}},
	}
	for _, tc := range []struct {
		name string
		ca   *authority
		conf *tls.Config
		env  map[string]string
		want expect
	}{
		{"a certificate for an hour", ca, ca.server, nil, expect{"kafka.bootstrap", check.Warning, "ends on", "renew the certificate"}},
		{"a broker's certificate for an hour", ca, ca.server, nil, expect{"kafka.brokers", check.Warning, "broker 1 ends on", "renew the certificate"}},
		{"an unknown authority", ca, ca.server, map[string]string{"SLUICE_KAFKA_TLS_ENABLED": "true"}, expect{"kafka.bootstrap", check.Problem, "unknown authority", "SLUICE_KAFKA_TLS_CA_FILE"}},
		{"another name", ca, ca.server, map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile, "SLUICE_KAFKA_TLS_SERVER_NAME": "other"}, expect{"kafka.bootstrap", check.Problem, "other", "SLUICE_KAFKA_TLS_SERVER_NAME"}},
		{"a certificate that has ended", ended, ended.server, nil, expect{"kafka.bootstrap", check.Problem, "expired", "renew the certificate"}},
		{"one that has ended, taken all the same", ended, ended.server, map[string]string{"SLUICE_KAFKA_TLS_INSECURE_SKIP_VERIFY": "true"}, expect{"kafka.bootstrap", check.Warning, "ended on", "renew the certificate"}},
		{"plain to a TLS listener", ca, ca.server, map[string]string{}, expect{"kafka.login", check.Problem, "", "SLUICE_KAFKA_TLS_ENABLED"}},
		{"without a client certificate", ca, mutual, nil, expect{"kafka.login", check.Problem, "certificate required", "SLUICE_KAFKA_TLS_CERT_FILE"}},
		{"a client certificate for an hour", ca, mutual, map[string]string{"SLUICE_KAFKA_TLS_CA_FILE": ca.caFile, "SLUICE_KAFKA_TLS_CERT_FILE": ca.certFile, "SLUICE_KAFKA_TLS_KEY_FILE": ca.keyFile},
			expect{"kafka.bootstrap", check.Warning, "the certificate of this client ends on", "SLUICE_KAFKA_TLS_CERT_FILE"}},
	} {
		opts, env := secure(tc.ca, tc.conf, tc.env)
		kases = append(kases, kase{name: tc.name, cluster: opts, env: env, want: []expect{tc.want}})
	}
	for _, tc := range kases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t, tc.cluster...)
			if tc.prepare != nil {
				tc.prepare(t, p)
			}
			env := p.env(tc.env)
			env["SLUICE_KAFKA_BROKERS"] = strings.ReplaceAll(env["SLUICE_KAFKA_BROKERS"], "<first>", p.cluster.ListenAddrs()[0])
			if text := env["tables"]; text != "" {
				env["SLUICE_TABLES_FILE"] = tablesAt(t, text)
			}
			_, r := checked(t, env)
			for _, w := range tc.want {
				w.test(t, r)
			}
			if len(tc.want) == 0 && (r.Counts[check.Problem] > 0 || r.Counts[check.Warning] > len(found(r, "host.memory"))) {
				t.Errorf("not all well: %+v", r.Findings)
			}
			if strings.Contains(fmt.Sprint(r), "hunter2") {
				t.Errorf("a secret is shown: %+v", r)
			}
		})
	}
}

// TestCheckEveryBroker: a broker that gives an address where it does not answer is named.
func TestCheckEveryBroker(t *testing.T) {
	p := newPlace(t)
	p.cluster.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		p.cluster.KeepControl()
		if m := req.(*kmsg.MetadataRequest); m.Topics == nil || len(m.Topics) > 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.MetadataResponse)
		for i, address := range append(p.cluster.ListenAddrs()[:1:1], "127.0.0.1:1") {
			b := kmsg.NewMetadataResponseBroker()
			b.NodeID, b.Host = int32(i), "127.0.0.1"
			fmt.Sscanf(address, "127.0.0.1:%d", &b.Port)
			resp.Brokers = append(resp.Brokers, b)
		}
		return resp, nil, true
	})
	_, r := checked(t, p.env(nil))
	expect{"kafka.brokers", check.Problem, "broker 1 at 127.0.0.1:1: ", "advertised.listeners of broker 1"}.test(t, r)
}
