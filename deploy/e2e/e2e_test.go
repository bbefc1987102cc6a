//go:build e2e

package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var (
	databases = []string{"postgres", "mariadb"}
	formats   = []string{"json", "jsonschema", "avro"}
)

// root is the scratch folder of the servers.
func root(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("./stack", "root").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// TestChanges: a snapshot of what is there, then inserts, updates, deletes, key changes
// and transactions over two tables, from both databases in every format.
func TestChanges(t *testing.T) {
	for _, db := range databases {
		for i, format := range formats {
			t.Run(db+"/"+format, func(t *testing.T) {
				create(t, db)
				sql(t, db, workload(db, uint64(100+i), 150))
				p := newPipeline(t, db, format, "changes_"+db+"_"+format)
				p.connect()
				p.start()
				p.settle(time.Minute, customers, items)
				sql(t, db, workload(db, uint64(200+i), 600))
				p.settle(time.Minute, customers, items)
				readers(t, p)
			})
		}
	}
}

// TestSnapshot: 200,000 rows that were there before the connector.
func TestSnapshot(t *testing.T) {
	for db, format := range map[string]string{"postgres": "json", "mariadb": "avro"} {
		t.Run(db+"/"+format, func(t *testing.T) {
			create(t, db)
			fill := "insert into big select g, 'row '||g, g*7 from generate_series(1,200000) g;"
			if db == "mariadb" {
				fill = "insert into big select seq, concat('row ',seq), seq*7 from seq_1_to_200000;"
			}
			sql(t, db, "create table big(id int primary key, a varchar(30), b bigint);"+fill)
			defer sql(t, db, "drop table big;")
			p := newPipeline(t, db, format, "snapshot_"+db)
			p.connect()
			begun := time.Now()
			p.start()
			p.settle(4*time.Minute, big)
			t.Logf("200,000 rows in %v, Debezium's snapshot included", time.Since(begun).Round(time.Second))
			sql(t, db, "update big set b=b+1 where id%100=0; delete from big where id%1000=1;")
			p.settle(2*time.Minute, big)
		})
	}
}

// TestSASL: the listener with SASL_SSL and SCRAM.
func TestSASL(t *testing.T) {
	create(t, "postgres")
	p := newPipeline(t, "postgres", "avro", "sasl")
	for k, v := range map[string]string{"SLUICE_KAFKA_BROKERS": sasl, "SLUICE_KAFKA_TLS_CA_FILE": filepath.Join(root(t), "tls", "ca.crt"),
		"SLUICE_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "SLUICE_KAFKA_SASL_USERNAME": "sluice", "SLUICE_KAFKA_SASL_PASSWORD": "sluice-secret"} {
		p.env[k] = v
	}
	sql(t, "postgres", workload("postgres", 300, 100))
	p.connect()
	p.start()
	p.settle(time.Minute, customers, items)
	sql(t, "postgres", workload("postgres", 301, 100))
	p.settle(time.Minute, customers, items)
}

// TestCrashes: Sluice is killed again and again, and the broker killed and started,
// while the database changes.
func TestCrashes(t *testing.T) {
	for db, format := range map[string]string{"postgres": "jsonschema", "mariadb": "json"} {
		t.Run(db+"/"+format, func(t *testing.T) {
			create(t, db)
			p := newPipeline(t, db, format, "crashes_"+db)
			sql(t, db, workload(db, 400, 50))
			p.connect()
			p.start()
			for round := range 6 {
				sql(t, db, workload(db, uint64(401+round), 200))
				time.Sleep(700 * time.Millisecond)
				if round == 3 {
					stack(t, "kill", "kafka")
					sql(t, db, workload(db, 500, 100))
					stack(t, "start", "kafka")
				} else {
					p.kill()
					p.start()
				}
			}
			p.settle(3*time.Minute, customers, items)
		})
	}
}

// TestReplicas: two replicas, then three, share the tables while the database changes. One
// of the two dies, and the other has all. Of the three one is killed, one is frozen for longer
// than its session and goes on, and all are restarted one by one. No job meets another one of
// its table.
func TestReplicas(t *testing.T) {
	create(t, "postgres")
	p := newPipeline(t, "postgres", "json", "replicas")
	p.env["SLUICE_KAFKA_SESSION_TIMEOUT"] = "6s"
	all := []*pipeline{p, p.sibling("two"), p.sibling("three")}
	seed := uint64(800)
	change := func(n int) {
		seed++
		sql(t, "postgres", workload("postgres", seed, n))
	}
	change(50)
	p.connect()
	for _, one := range all[:2] {
		one.start()
	}
	p.settle(time.Minute, customers, items)
	partitions := func(one *pipeline) (n int) {
		var s struct{ Partitions int }
		json.Unmarshal([]byte(one.status("/status")), &s)
		return s.Partitions
	}
	share := func(among []*pipeline, want ...int) {
		t.Helper()
		eventually(t, "a table each", time.Minute, func() bool {
			var n []int
			for _, one := range among {
				n = append(n, partitions(one))
			}
			slices.Sort(n)
			return slices.Equal(n, want)
		})
	}
	share(all[:2], 2, 2)
	change(100)
	all[1].kill()
	change(100)
	share(all[:1], 4)
	p.settle(time.Minute, customers, items)
	all[1].start()
	all[2].start()
	share(all, 0, 2, 2)
	busy := slices.IndexFunc(all, func(one *pipeline) bool { return partitions(one) > 0 })

	all[busy].kill()
	change(100)
	time.Sleep(time.Second)
	all[busy].start()
	p.settle(time.Minute, customers, items)

	for range 3 {
		frozen := slices.IndexFunc(all, func(one *pipeline) bool { return partitions(one) > 0 })
		change(100)
		all[frozen].cmd.Process.Signal(syscall.SIGSTOP)
		change(100)
		time.Sleep(9 * time.Second)
		change(50)
		p.settle(time.Minute, customers, items) // by the others
		all[frozen].cmd.Process.Signal(syscall.SIGCONT)
		change(100)
		p.settle(time.Minute, customers, items)
	}

	for _, one := range all {
		change(100)
		one.stop()
		change(20)
		one.start()
	}
	p.settle(time.Minute, customers, items)
	if n := p.emu.Counts().Conflicts; n > 0 {
		t.Errorf("%d jobs met another one of their table", n)
	}
}

// TestTableMadeWhileAway: the group's leader is a static member, which the brokers give
// its old partitions after a restart; a table that was made meanwhile must arrive too.
func TestTableMadeWhileAway(t *testing.T) {
	create(t, "postgres")
	p := newPipeline(t, "postgres", "json", "away")
	sql(t, "postgres", "insert into items values (1, 1, 'sku', 2, 3.50);")
	p.connect()
	p.start()
	p.settle(time.Minute, items)
	p.stop()
	sql(t, "postgres", "create table big(id int primary key, a varchar(30), b bigint); insert into big values (1, 'x', 2);")
	defer sql(t, "postgres", "drop table big;")
	eventually(t, "the new table's records", time.Minute, func() bool { return p.lag() > 0 })
	p.start()
	p.settle(time.Minute, items, big)
}

// TestRegistryAway: the registry is away for a minute while a Sluice that knows no
// schema yet starts and the database goes on changing.
func TestRegistryAway(t *testing.T) {
	create(t, "postgres")
	p := newPipeline(t, "postgres", "avro", "registry")
	sql(t, "postgres", workload("postgres", 600, 100))
	p.connect()
	eventually(t, "records in Kafka", time.Minute, func() bool { return p.lag() > 50 })
	stack(t, "stop", "registry")
	defer stack(t, "start", "registry")
	p.start()
	away := time.Now()
	sql(t, "postgres", workload("postgres", 601, 100))
	eventually(t, "the status says why", 30*time.Second, func() bool { return strings.Contains(p.status("/status"), "SLUICE_SCHEMA_REGISTRY_URL") })
	time.Sleep(time.Until(away.Add(time.Minute)))
	if n := p.emu.Counts().Submitted; n != 0 {
		t.Errorf("%d jobs without a schema", n)
	}
	stack(t, "start", "registry")
	p.settle(2*time.Minute, customers, items)
	if s := p.status("/status"); !strings.Contains(s, `"schemaRegistry": "ok"`) {
		t.Errorf("the status afterwards:\n%.500s", s)
	}
}
