//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// history is a pipeline whose topics are changed behind its back.
type history struct {
	*pipeline
	seed uint64
}

// newHistory is a pipeline that has come to rest.
func newHistory(t *testing.T, prefix string) *history {
	t.Helper()
	create(t, "postgres")
	p := &history{newPipeline(t, "postgres", "json", prefix), 900}
	delete(p.env, "SLUICE_KAFKA_INSTANCE_ID") // a group that awaits its static member takes offsets from nobody else
	t.Cleanup(p.erase)
	p.change(50)
	p.connect()
	p.start()
	p.settle(time.Minute, customers, items)
	return p
}

// erase forgets the pipeline's topics, and its replication slot, of which PostgreSQL has
// few.
func (p *history) erase() {
	p.stop()
	p.retry("the slot has no reader any more", func(context.Context, *kadm.Client) error {
		cmd := exec.Command("./stack", "sql", p.db)
		cmd.Stdin = strings.NewReader(fmt.Sprintf("select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name='%s';", p.prefix))
		return cmd.Run()
	})
	p.retry("the topics are deleted", func(ctx context.Context, adm *kadm.Client) error {
		all, err := adm.ListTopics(ctx)
		if err != nil {
			return err
		}
		mine := slices.DeleteFunc(all.Names(), func(name string) bool { return !strings.HasPrefix(name, p.prefix+".") })
		done, err := adm.DeleteTopics(ctx, mine...)
		return errors.Join(err, done.Error())
	})
}

// retry asks the cluster until it answers well, each time with a client that does not
// remember topics as they were.
func (p *history) retry(what string, ask func(context.Context, *kadm.Client) error) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second) // the test's own ends before its cleanup
	defer cancel()
	for {
		cl, err := kgo.NewClient(kgo.SeedBrokers(broker))
		if err != nil {
			p.t.Fatal(err)
		}
		err = ask(ctx, kadm.NewClient(cl))
		cl.Close()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			p.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (p *history) topic(tb table) string { return p.prefix + ".public." + tb.name }

// change changes rows of both tables at the source.
func (p *history) change(n int) {
	p.t.Helper()
	p.seed++
	sql(p.t, p.db, workload(p.db, p.seed, n))
}

// ends returns where the partitions of a table's topic end.
func (p *history) ends(tb table) (ends map[int32]kadm.Offset) {
	p.t.Helper()
	p.retry("the ends of "+tb.name, func(ctx context.Context, adm *kadm.Client) error {
		all, err := adm.ListEndOffsets(ctx, p.topic(tb))
		if err == nil {
			err = all.Error()
		}
		ends = all.Offsets()[p.topic(tb)]
		return err
	})
	return ends
}

// committed returns the group's offsets of a table's topic with what stands beside them.
func (p *history) committed(tb table) (at map[int32]kadm.Offset) {
	p.t.Helper()
	p.retry("the group's offsets of "+tb.name, func(ctx context.Context, adm *kadm.Client) error {
		all, err := adm.FetchOffsets(ctx, p.prefix)
		at = all.Offsets()[p.topic(tb)]
		for id, o := range at {
			o.TopicID = kadm.TopicID{} // that of the topic there now, which kadm adds
			at[id] = o
		}
		return err
	})
	return at
}

// outgrow changes rows until every partition of a table's topic goes beyond the offsets.
func (p *history) outgrow(tb table, offsets map[int32]kadm.Offset) {
	p.t.Helper()
	eventually(p.t, "records beyond the offsets", 30*time.Second, func() bool {
		p.change(50)
		ends := p.ends(tb)
		for id, o := range offsets {
			if ends[id].At <= o.At {
				return false
			}
		}
		return len(offsets) > 0
	})
}

// makeAnew deletes a table's topic and makes another one under its name, after a while.
func (p *history) makeAnew(tb table, pause time.Duration) {
	p.t.Helper()
	partitions := int32(len(p.ends(tb)))
	p.retry("the topic is deleted", func(ctx context.Context, adm *kadm.Client) error {
		_, err := adm.DeleteTopic(ctx, p.topic(tb))
		return err
	})
	time.Sleep(pause)
	p.retry("its name is free", func(ctx context.Context, adm *kadm.Client) error {
		_, err := adm.CreateTopic(ctx, partitions, 1, nil, p.topic(tb))
		return err
	})
}

type hold struct {
	Topic, Reason, Remedy string
	Partition             int32
}

// awaitHold waits until the status has a table's topic on hold, and nothing else.
func (p *history) awaitHold(tb table, reason, remedy string) hold {
	p.t.Helper()
	var status struct{ Holds []hold }
	eventually(p.t, "a hold of "+p.topic(tb), 30*time.Second, func() bool {
		status.Holds = nil
		json.Unmarshal([]byte(p.status("/status")), &status)
		return len(status.Holds) > 0
	})
	h := status.Holds[0]
	if len(status.Holds) > 1 || h.Topic != p.topic(tb) || !strings.Contains(h.Reason, reason) || !strings.Contains(h.Remedy, remedy) {
		p.t.Fatalf("%+v, want one for %s because %q, with the remedy %q", status.Holds, p.topic(tb), reason, remedy)
	}
	return h
}

// rows is what the target holds of a table.
func (p *history) rows(tb table) string { return fmt.Sprint(p.emu.Snapshot(tb.name).Rows) }

// others changes both tables and waits until the one that is not on hold equals its
// database; the one on hold must stay as it was, and so must its offsets, which the
// commits of the other and the last one at SIGTERM carry along if they moved.
func (p *history) others(held, other table, offsets map[int32]kadm.Offset, rows string) {
	p.t.Helper()
	for range 3 {
		p.change(50)
		eventually(p.t, other.name+" equals its database", 30*time.Second, func() bool {
			diff, _ := p.differences(other)
			return len(diff) == 0
		})
	}
	p.stop()
	if now := p.committed(held); !maps.Equal(now, offsets) {
		p.t.Errorf("the group's offsets of %s went from %+v to %+v", held.name, offsets, now)
	}
	if p.rows(held) != rows {
		p.t.Errorf("rows of %s arrived, though it is on hold", held.name)
	}
}

// TestRetention: records that Sluice has not read are deleted while it is away, as
// retention deletes them: a partition's log then starts beyond the group's offset.
func TestRetention(t *testing.T) {
	p := newHistory(t, "retention")
	p.stop()
	at, rows := p.committed(customers), p.rows(customers)
	p.outgrow(customers, at)
	// Not by retention.ms, which the broker looks at every five minutes, in whole
	// segments: what moves in the end is the log's start, and this moves it too.
	gone := p.ends(customers)
	p.retry("the records are deleted", func(ctx context.Context, adm *kadm.Client) error {
		done, err := adm.DeleteRecords(ctx, kadm.Offsets{p.topic(customers): gone})
		return errors.Join(err, done.Error())
	})
	p.change(50) // what is left for a silent reset to read
	p.start()
	h := p.awaitHold(customers, "records were deleted before Sluice read them", "load it anew")
	if want := fmt.Sprintf("the group's offset is %d, the first record there is %d", at[h.Partition].At, gone[h.Partition].At); !strings.Contains(h.Reason, want) {
		t.Errorf("%s/%d: %q, want %q", h.Topic, h.Partition, h.Reason, want)
	}
	p.others(customers, items, at, rows)
}

// TestTopicMadeAnew: a topic is deleted and made anew under its name, so that its old
// offsets mean other records, or none.
func TestTopicMadeAnew(t *testing.T) {
	running := func(t *testing.T, prefix string, wait, pause time.Duration, reason string) {
		p := newHistory(t, prefix)
		rows := p.rows(items)
		time.Sleep(wait)
		p.makeAnew(items, pause)
		p.outgrow(items, p.ends(items))
		p.awaitHold(items, reason, "load it anew")
		// Kafka has deleted the offsets with the topic; that it was another one is written
		// beside new ones, for the next process to know.
		eventually(t, "it is kept in mind", 20*time.Second, func() bool { return len(p.committed(items)) == len(p.ends(items)) })
		at := p.committed(items)
		p.others(items, customers, at, rows)
		p.start()
		p.awaitHold(items, "the topic was deleted and made anew since Sluice last read it", "delete the group's offsets of "+p.topic(items))
		p.others(items, customers, at, rows)
		// As the remedy says. No change was made before there was a topic for it, so all of
		// them are in this one.
		p.retry("the offsets are deleted", func(ctx context.Context, adm *kadm.Client) error {
			gone := kadm.TopicsSet{}
			for id := range at {
				gone.Add(p.topic(items), id)
			}
			done, err := adm.DeleteOffsets(ctx, p.prefix, gone)
			return errors.Join(err, done.Error())
		})
		p.start()
		p.settle(30*time.Second, customers, items)
	}
	t.Run("while Sluice runs", func(t *testing.T) {
		running(t, "anew_running", 0, 0, "the topic was deleted while Sluice read it; a topic that was made anew under its name is another one")
	})
	// From 15 seconds after it has first seen a topic, the client gives it up when it is
	// missing from a single look at the cluster.
	t.Run("while Sluice runs, and after it was given up", func(t *testing.T) {
		running(t, "anew_missed", 17*time.Second, 3*time.Second, "the topic was deleted and made anew while Sluice ran")
	})

	t.Run("while it is away, and its offsets are put back", func(t *testing.T) {
		p := newHistory(t, "anew_away")
		p.stop()
		at, rows := p.committed(items), p.rows(items)
		p.makeAnew(items, 0)
		eventually(t, "Kafka has forgotten its offsets", 20*time.Second, func() bool { return len(p.committed(items)) == 0 })
		// Only then does the topic's id alone tell: the offsets are good ones of the new
		// topic, whose records before them would be missed.
		p.outgrow(items, at)
		p.retry("the offsets are put back", func(ctx context.Context, adm *kadm.Client) error {
			return adm.CommitAllOffsets(ctx, p.prefix, kadm.Offsets{p.topic(items): at})
		})
		p.start()
		p.awaitHold(items, "the topic was deleted and made anew since Sluice last read it", "delete the group's offsets of "+p.topic(items))
		p.others(items, customers, at, rows)
	})
}
