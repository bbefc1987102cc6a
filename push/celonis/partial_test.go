package celonis

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-cdc/sluice/push"
	"github.com/sluice-cdc/sluice/schema"
)

// TestPartialJobs: files that leave columns out go into jobs of their own, behind the
// others, under the strategy that keeps what rows have there.
func TestPartialJobs(t *testing.T) {
	file := func(op schema.Op, without ...string) schema.Chunk { return schema.Chunk{Op: op, Without: without} }
	chunks := []schema.Chunk{file(schema.Upsert), file(schema.Upsert, "a"), file(schema.Upsert, "a", "b"), file(schema.Upsert, "a"), file(schema.Delete)}
	for order, want := range map[Order]string{
		SingleJob:    "[upsert delete] [upsert-a upsert-a] [upsert-a-b]",
		DeletesFirst: "[delete] [upsert] [upsert-a upsert-a] [upsert-a-b]",
	} {
		var got []string
		for _, job := range order.Split(chunks) {
			var files []string
			for _, c := range job {
				files = append(files, strings.Join(append([]string{c.Op.String()}, c.Without...), "-"))
			}
			got = append(got, fmt.Sprint(files))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: %s, want %s", order, s, want)
		}
	}
	if jobs := SingleJob.Split(chunks[1:2]); len(jobs) != 1 {
		t.Errorf("%d jobs for one file", len(jobs))
	}
	table := &schema.Table{Name: "t"}
	for _, name := range []string{"id", "a", "b"} {
		table.Columns = append(table.Columns, schema.Column{Name: name, Key: name == "id", Type: schema.Type{Kind: schema.String}})
	}
	s := &Sink{opt: Options{UpsertStrategy: "UPSERT_WITH_NULLIFICATION", TableSchema: true, Table: func(string) TableOptions { return TableOptions{} }}}
	d := s.document(&push.Job{Table: table, Chunks: chunks[2:3]})
	if d.UpsertStrategy != "UPSERT_WITH_UNCHANGED_METADATA" || len(d.TableSchema.Columns) != 1 || d.TableSchema.Columns[0].ColumnName != "id" {
		t.Errorf("%+v %+v", d, d.TableSchema)
	}
	if d := s.document(&push.Job{Table: table, Chunks: chunks[:1]}); d.UpsertStrategy != "UPSERT_WITH_NULLIFICATION" || len(d.TableSchema.Columns) != 3 {
		t.Errorf("%+v %+v", d, d.TableSchema)
	}
}
