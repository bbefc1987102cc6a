package main

import (
	"fmt"
	"os"
	"time"

	"github.com/sluice-cdc/sluice/push/emulator"
	"github.com/sluice-cdc/sluice/push/emulator/pipeline"
)

// poolDemo is the demo's data pool.
type poolDemo struct{ *emulator.Emulator }

const demoJobs = 3600

// newPoolDemo returns a pool in which a few things go wrong, as they do.
func newPoolDemo() poolDemo {
	emu := emulator.New(emulator.Options{Delay: 300 * time.Millisecond, FaultRate: 0.01, Seed: 1, JobsPerHour: demoJobs})
	emu.Inject("execute", emulator.LostAfter, 1, 1)
	emu.Inject("upload", emulator.LostAfter, 2, 1)
	emu.Inject("create", emulator.AnswerHTML, 3, 1)
	emu.Inject("execute", emulator.JobError, 4, 1)
	return poolDemo{emu}
}

func (d poolDemo) settings(base string) map[string]string {
	return map[string]string{
		"SLUICE_CELONIS_URL": base, "SLUICE_CELONIS_POOL_ID": "demo", "SLUICE_CELONIS_API_KEY": "demo",
		"SLUICE_CELONIS_POLL_INTERVAL": "200ms", "SLUICE_CELONIS_JOB_ATTEMPTS": "10",
		"SLUICE_CELONIS_FILE_TYPE": os.Getenv("SLUICE_CELONIS_FILE_TYPE"),
		// A team has 250 jobs an hour and 10 requests a second; a demo has no patience.
		"SLUICE_BUDGET_JOBS_PER_HOUR": fmt.Sprint(demoJobs), "SLUICE_BUDGET_REQUESTS_PER_SECOND": "100",
	}
}

func (d poolDemo) rows(table string) (rows []map[string]any) {
	t := d.Snapshot(table)
	if t == nil {
		return nil
	}
	for _, have := range t.Rows {
		row := map[string]any{}
		for i, c := range t.Columns {
			row[c.Name] = have[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func (d poolDemo) counts() (jobs, faults int) {
	s := d.Counts()
	return s.Submitted, s.Faults
}

func (d poolDemo) upset(int) (string, bool) { return "", true }

func (d poolDemo) words(base string) demoWords {
	return demoWords{
		differs: "with the API's limits raised to 3600 jobs an hour and 100 requests a second, so that it ends soon",
		target:  "an emulator of the Data Push API", tables: base + "/emulator/tables", jobs: "jobs", restarts: "1 restart was",
		next: `  go run ./cmd/sluice emulator --addr 127.0.0.1:8090

  SLUICE_KAFKA_BROKERS=localhost:9092 SLUICE_KAFKA_TOPICS='<topics>' SLUICE_CELONIS_URL=http://127.0.0.1:8090 SLUICE_CELONIS_POOL_ID=any SLUICE_CELONIS_API_KEY=any go run ./cmd/sluice run
`}
}

// pipelineDemo is the demo's Feldera pipeline, of the open-source edition: it forgets all its
// tables when it is started anew.
type pipelineDemo struct{ *pipeline.Emulator }

const (
	demoPipeline = "shop"
	shopProgram  = `CREATE TABLE public_customers (id BIGINT NOT NULL PRIMARY KEY, name VARCHAR, email VARCHAR, vip BOOLEAN, credit BIGINT);
CREATE TABLE public_orders (id BIGINT NOT NULL PRIMARY KEY, customer_id BIGINT, status VARCHAR, total DOUBLE, note VARCHAR, created_at BIGINT);
CREATE TABLE public_order_lines (order_id BIGINT NOT NULL, line_no BIGINT NOT NULL, sku VARCHAR, quantity BIGINT, price DOUBLE, PRIMARY KEY (order_id, line_no));`
)

func newPipelineDemo() (pipelineDemo, error) {
	emu := pipeline.New(pipeline.Options{Lag: 100 * time.Millisecond, FaultRate: 0.01, Seed: 1})
	emu.Inject("ingress", pipeline.After503, 4, 1)
	emu.Inject("ingress", pipeline.Late, 6, 1)
	emu.Inject("completion", pipeline.AnswerHTML, 3, 1)
	err := emu.Create(demoPipeline, shopProgram)
	emu.Start(demoPipeline)
	return pipelineDemo{emu}, err
}

func (d pipelineDemo) settings(base string) map[string]string {
	return map[string]string{"SLUICE_SINK": "feldera", "SLUICE_FELDERA_URL": base, "SLUICE_FELDERA_PIPELINE": demoPipeline,
		"SLUICE_FELDERA_ON_STATE_LOSS": "rewind", "SLUICE_FELDERA_ATTEMPTS": "10"}
}

func (d pipelineDemo) rows(table string) []map[string]any { return d.Table(demoPipeline, table) }

func (d pipelineDemo) counts() (jobs, faults int) {
	s := d.Counts()
	return s.Posts, s.Faults
}

func (d pipelineDemo) upset(rows int) (string, bool) {
	there := 0
	for _, topic := range shopTopics {
		there += len(d.Rows(demoPipeline, targetOf(topic)))
	}
	if there < rows {
		return "", false
	}
	d.Crash(demoPipeline)
	d.Start(demoPipeline)
	return fmt.Sprintf("the pipeline is started anew, and has forgotten all its tables: %d rows", there), true
}

func (d pipelineDemo) words(base string) demoWords {
	return demoWords{
		differs: "the pipeline is the open-source edition's, without checkpoints: SLUICE_FELDERA_ON_STATE_LOSS=rewind",
		target:  "an emulator of a Feldera pipeline", tables: base + "/v0/pipelines/" + demoPipeline + "/query?sql=SELECT%20*%20FROM%20public_orders",
		jobs: "requests", restarts: "1 restart of each side was",
		next: `  SLUICE_KAFKA_BROKERS=localhost:9092 SLUICE_KAFKA_TOPICS='<topics>' SLUICE_SINK=feldera SLUICE_FELDERA_URL=http://127.0.0.1:8080 SLUICE_FELDERA_PIPELINE=<pipeline> go run ./cmd/sluice run
`}
}
