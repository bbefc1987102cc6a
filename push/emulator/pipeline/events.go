package pipeline

import (
	"time"

	"github.com/google/uuid"
)

// monitorEvent is what the manager keeps of a change of a pipeline's status, as
// GET /v0/pipelines/{name}/events tells it with selector=status.
type monitorEvent struct {
	ID       string    `json:"event_id"`
	Recorded time.Time `json:"recorded_at"`
	Status   string    `json:"deployment_resources_status"`
	Desired  string    `json:"deployment_resources_desired_status"`
	Runtime  *string   `json:"deployment_runtime_status"`
	Wanted   *string   `json:"deployment_runtime_desired_status"`
	Failed   bool      `json:"deployment_has_error"`
	Program  string    `json:"program_status"`
	Storage  string    `json:"storage_status"`
}

const keptEvents = 720

// note keeps an event.
func (p *instance) note(status, desired string) {
	ev := monitorEvent{ID: uuid.NewString(), Recorded: time.Now(), Status: status, Desired: desired, Failed: p.failed != "", Program: "Success", Storage: "InUse"}
	if status == "Provisioned" {
		runtime := p.status
		ev.Runtime, ev.Wanted = &runtime, &runtime
	}
	p.events = append([]monitorEvent{ev}, p.events[:min(len(p.events), keptEvents-1)]...)
}
