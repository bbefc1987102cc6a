package connector

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/sluice-cdc/sluice/connector/kafka"
	"github.com/sluice-cdc/sluice/push/emulator"
)

// TestMembership: members that the group throws out and does not let in again are none,
// say why, and are members again as soon as it does; also the one that has no partition.
func TestMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	var shut atomic.Bool
	w.cluster.ControlKey(int16(kmsg.Heartbeat), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		resp := q.ResponseKind().(*kmsg.HeartbeatResponse)
		resp.ErrorCode = kerr.UnknownMemberID.Code
		return resp, nil, shut.Load()
	})
	w.cluster.ControlKey(int16(kmsg.JoinGroup), func(q kmsg.Request) (kmsg.Response, error, bool) {
		w.cluster.KeepControl()
		resp := q.ResponseKind().(*kmsg.JoinGroupResponse)
		resp.ErrorCode = kerr.GroupAuthorizationFailed.Code
		return resp, nil, shut.Load()
	})
	var members []*Connector
	var gauges []func(string) float64
	for range 2 {
		opt := w.options("shop.public.a")
		opt.Kafka.Balancer = kafka.TopicAffine // one has both partitions
		reader := meter(&opt)
		c, _ := w.run(opt)
		members = append(members, c)
		gauges = append(gauges, func(name string) float64 { return read(t, reader).of(name).value })
	}
	all := func(state State, kafka string, partitions int, up, member float64) bool {
		for i, c := range members {
			s := c.Status()
			partitions -= s.Partitions
			if s.State != state || s.Kafka != kafka || gauges[i]("sluice.kafka.up") != up || gauges[i]("sluice.kafka.member") != member {
				return false
			}
		}
		return partitions == 0
	}
	w.eventually("both are members", func() bool { return all(Running, "ok", 2, 1, 1) })
	if (members[0].Status().Partitions == 0) == (members[1].Status().Partitions == 0) {
		t.Fatal("each has a partition, or none has")
	}
	shut.Store(true)
	why := kafka.Remedy(kerr.GroupAuthorizationFailed, nil) + ": " + (&kgo.ErrGroupSession{Err: kerr.GroupAuthorizationFailed}).Error()
	w.eventually("neither is", func() bool { return all(Joining, why, 0, 0, 0) })
	shut.Store(false)
	w.eventually("both are again", func() bool { return all(Running, "ok", 2, 1, 1) })
}

// sluiceUser is who may read some topics of a guarded cluster.
var sluiceUser = plain.Auth{User: "sluice", Pass: "sluice"}.AsMechanism()

// guarded are brokers with two topics, of which sluiceUser may read these, and root all.
func guarded(t *testing.T, may ...string) *kfake.Cluster {
	t.Helper()
	allow := func(kind kmsg.ACLResourceType, name string) kfake.ACL {
		return kfake.ACL{Resource: kind, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationRead, Allow: true}
	}
	acls := []kfake.ACL{allow(kmsg.ACLResourceTypeGroup, "sluice")}
	for _, topic := range may {
		acls = append(acls, allow(kmsg.ACLResourceTypeTopic, topic))
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "shop.public.a", "shop.public.b"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser("PLAIN", "root", "root"), kfake.User("PLAIN", "sluice", "sluice", acls...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

// TestAccessLost: a topic may not be read any more while records of another come. The
// brokers are not "ok" until it may.
func TestAccessLost(t *testing.T) {
	t.Parallel()
	cluster := guarded(t, "shop.public.a", "shop.public.b")
	root, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.SASL(plain.Auth{User: "root", Pass: "root"}.AsMechanism()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(root.Close)
	w := newWorld(t, emulator.Options{})
	opt := testOptions(t, cluster.ListenAddrs(), w.transport)
	opt.Kafka.Topics = []string{"shop.public.a", "shop.public.b"}
	opt.Kafka.SASL = sluiceUser
	var told atomic.Int64
	opt.Logger = slog.New(lines("fetch failed", func(string) { told.Add(1) }))
	c, _ := w.run(opt)
	insert := func(topic string, id int64) int64 {
		key, value := change(topic, "c", id, "x")
		r, err := root.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(key), Value: []byte(value)}).First()
		if err != nil {
			t.Fatal(err)
		}
		return r.Offset
	}
	rows := func(table string) int {
		if s := w.emu.Snapshot(table); s != nil {
			return len(s.Rows)
		}
		return 0
	}
	insert("shop.public.a", 1)
	insert("shop.public.b", 1)
	w.eventually("a row of each", func() bool { return rows("public_a") == 1 && rows("public_b") == 1 && c.Status().Kafka == "ok" })

	adm := kadm.NewClient(root)
	b := kadm.NewACLs().Topics("shop.public.b").Allow("User:sluice").AllowHosts().Operations(kadm.OpRead).ResourcePatternType(kadm.ACLPatternLiteral)
	if gone, err := adm.DeleteACLs(t.Context(), b); err != nil || len(gone) != 1 || len(gone[0].Deleted) != 1 {
		t.Fatal(gone, err)
	}
	insert("shop.public.b", 2)
	w.eventually("it says so", func() bool { return c.Status().Kafka != "ok" })
	began := time.Now()
	for id := int64(2); id < 10; id++ {
		insert("shop.public.a", id)
		w.eventually("rows of the other", func() bool { return rows("public_a") == int(id) })
		if c.Status().Kafka == "ok" {
			t.Fatal("records of another topic make it forget")
		}
	}
	if n := told.Load(); n > 1+int64(time.Since(began)/time.Minute) {
		t.Errorf("%d lines in the log after %v", n, time.Since(began))
	}
	if _, err := adm.CreateACLs(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	w.eventually("it goes on", func() bool { return rows("public_b") == 2 })
}

// TestBrokersTrouble: what is wrong is over when it was not said again for a while, but only
// for a member; whoever tries to join says it rarely.
func TestBrokersTrouble(t *testing.T) {
	w := newWorld(t, emulator.Options{}, "shop.public.a")
	c := w.idle(w.options("shop.public.a"))
	at := time.Now()
	says := func(member bool, after time.Duration, want string) {
		t.Helper()
		c.now, c.joined = at.Add(after), member
		c.recovered()
		c.picture()
		if got := c.Status().Kafka; got != want {
			t.Errorf("after %v: %q, want %q", after, got, want)
		}
	}
	c.now = at
	c.onEnds(ends{err: errors.New("no broker answers")})
	says(true, time.Second, "no broker answers")
	says(false, time.Hour, "no broker answers")
	says(true, time.Hour, "ok")
	says(true, time.Hour, "ok")
	c.fetched(kafka.Fetched{Errors: map[kafka.Partition]error{{Topic: "shop.public.a", ID: -1}: kerr.TopicAuthorizationFailed}})
	says(true, time.Hour, "topic shop.public.a: "+kerr.TopicAuthorizationFailed.Error())
	done := make(chan struct{})
	c.assign(kafka.Assigned{Done: done})
	says(true, time.Hour, "ok")
}
