package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluice-cdc/sluice/connector/kafka"
)

// unsettled reports whether brokers have yet to agree on who keeps a group.
func unsettled(err error) bool {
	return errors.Is(err, kerr.CoordinatorNotAvailable) || errors.Is(err, kerr.CoordinatorLoadInProgress) || errors.Is(err, kerr.NotCoordinator)
}

// describeGroup waits for a coordinator. A cluster that has had no group yet makes its
// topic for them only when it is asked for one.
func (c *cluster) describeGroup(ctx context.Context, name string) (kadm.DescribedGroup, error) {
	var last error
	for {
		described, err := kadm.NewClient(c.cl).DescribeGroups(ctx, name)
		g := described[name]
		if err == nil && !errors.Is(g.Err, kerr.GroupIDNotFound) { // newer brokers say so of a group that nobody has used
			err = g.Err
		}
		if last != nil && ctx.Err() != nil { // which says more than that the time is over
			return g, last
		}
		if !unsettled(err) {
			return g, err
		}
		last = err
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// group: this user may be in it, and who is there gets on with us.
func (c *cluster) group(ctx context.Context, f *Findings) {
	name := c.Kafka.Group
	g, err := c.describeGroup(ctx, name)
	grant := "grant READ on the group of SLUICE_KAFKA_GROUP to this user: " + c.user()
	if errors.Is(err, kerr.GroupAuthorizationFailed) {
		f.Problem(grant, "not allowed to see group %s", name)
		return
	}
	if unsettled(err) {
		f.Problem("look into the logs of the brokers: __consumer_offsets has no leader, or they cannot make it", "no broker keeps the offsets of group %s: %v", name, err)
		return
	}
	if err != nil {
		f.Problem(kafka.Remedy(err, c.Kafka.Brokers), "%v", err)
		return
	}
	if len(g.AuthorizedOperations) > 0 && !slices.Contains(g.AuthorizedOperations, kmsg.ACLOperationRead) {
		f.Problem(grant, "not allowed to join group %s", name)
		return
	}
	var clients []string
	for _, m := range g.Members {
		host := strings.TrimPrefix(m.ClientHost, "/")
		client := fmt.Sprintf("%s at %s", m.ClientID, host)
		clients = append(clients, client)
		switch {
		case c.Kafka.InstanceID == "" || m.InstanceID == nil || *m.InstanceID != c.Kafka.InstanceID:
		case m.ClientID == kafka.ClientID && atHome(host):
			f.OK("the member with the instance id %s is the one of this host", c.Kafka.InstanceID)
		default:
			f.Warn("SLUICE_KAFKA_INSTANCE_ID: fine if that member is the one that this replaces, or that runs here behind another address; else give each replica its own, or they throw each other out",
				"group %s has a member with the instance id %s already, %s", name, c.Kafka.InstanceID, client)
		}
	}
	slices.Sort(clients)
	const other = "SLUICE_KAFKA_GROUP: take a group of its own, or stop those members"
	switch {
	case g.ProtocolType != "" && g.ProtocolType != "consumer":
		f.Problem(other, "group %s is of another kind, %s", name, g.ProtocolType)
	case len(g.Members) > 0 && g.Protocol != "" && !slices.Contains(kafka.Protocols(), g.Protocol):
		f.Problem(other, "group %s shares partitions by %s, which Sluice does not; its members: %s", name, g.Protocol, some(clients))
	case len(g.Members) > 0:
		f.OK("group %s with %s", name, some(clients))
	default:
		f.OK("group %s has no members now", name)
	}
}

// atHome reports whether a member is on this host, or in this pod. Brokers name where it is
// as Java does, after the name if they know that, and some with the port.
func atHome(host string) bool {
	host = host[strings.LastIndex(host, "/")+1:]
	if bare, _, err := net.SplitHostPort(host); err == nil {
		host = bare
	}
	ip := net.ParseIP(host)
	own, _ := net.InterfaceAddrs() // of which none is known, none is ours
	return slices.ContainsFunc(own, func(a net.Addr) bool {
		n, ok := a.(*net.IPNet)
		return ok && n.IP.Equal(ip)
	})
}

// offsets: where a start would go on is still there.
func (c *cluster) offsets(ctx context.Context, f *Findings) {
	if len(c.topics) == 0 {
		f.Skip("needs topics that may be read")
		return
	}
	var names []string
	for _, t := range c.topics {
		names = append(names, *t.Topic)
	}
	cl := kadm.NewClient(c.cl)
	committed, err := cl.FetchOffsets(ctx, c.Kafka.Group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		f.Problem(kafka.Remedy(err, c.Kafka.Brokers), "%v", err)
		return
	}
	starts, err := cl.ListStartOffsets(ctx, names...)
	if err != nil {
		f.Problem(kafka.Remedy(err, c.Kafka.Brokers), "%v", err)
		return
	}
	n := 0
	var gone []string
	starts.Each(func(start kadm.ListedOffset) {
		at, found := committed.Lookup(start.Topic, start.Partition)
		if !found || at.Err != nil || start.Err != nil {
			return
		}
		if n++; at.At < start.Offset {
			gone = append(gone, kafka.Partition{Topic: start.Topic, ID: start.Partition}.String())
		}
	})
	slices.Sort(gone)
	switch {
	case len(gone) > 0:
		f.Problem("raise the retention of the topics; load those tables anew, as the hold at the start of sluice run says", "records after the committed offsets are deleted: %s", some(gone))
	case n == 0 && c.Config.Kafka.AutoOffsetReset == "none":
		f.Warn("SLUICE_KAFKA_AUTO_OFFSET_RESET=earliest for the first start", "group %s has no offsets, and its tables would be held", c.Kafka.Group)
	case n == 0:
		f.OK("none yet: a start begins at the earliest records")
	default:
		f.OK("of %d partitions, and their records are there", n)
	}
}
