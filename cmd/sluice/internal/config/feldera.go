package config

import (
	"time"

	"github.com/sluice-cdc/sluice/push/feldera"
	"github.com/sluice-cdc/sluice/schema/debezium"
)

// Feldera is the settings of that target.
type Feldera struct {
	URL            string        `env:"URL" required:"feldera" help:"the pipeline manager, such as https://feldera.example.com:8080"`
	Pipeline       string        `env:"PIPELINE" required:"feldera" help:"the pipeline, whose program has the tables"`
	APIKey         Secret        `env:"API_KEY" help:"API key with the role write, apikey:…; none for a manager without authentication"`
	CAFile         string        `env:"CA_FILE" help:"PEM file of a private authority in front of the manager; HTTPS_PROXY is honoured"`
	Checkpoint     string        `env:"CHECKPOINT, default=never" oneof:"never,wait" help:"whether offsets are committed only after a checkpoint that has the rows, so that a crash of the pipeline loses nothing; needs Feldera Enterprise"`
	OnStateLoss    string        `env:"ON_STATE_LOSS, default=hold" oneof:"hold,rewind" help:"what becomes of tables when the pipeline was started anew and is empty, as each start of the open-source edition: hold them; or read all topics again from their earliest records"`
	RequestTimeout time.Duration `env:"REQUEST_TIMEOUT, default=1m" min:"1s" help:"of one request; the manager itself gives up after 30 s"`
	RequestRows    int           `env:"REQUEST_ROWS, default=10000" min:"1" help:"rows of one request, which the pipeline takes as a whole"`
	RequestBytes   Bytes         `env:"REQUEST_BYTES, default=8MiB" help:"bytes of one request; one that takes too long is sent in halves"`
	PollInterval   time.Duration `env:"POLL_INTERVAL, default=100ms" min:"10ms" help:"first wait for a completion; it grows by half each time, up to 5 s"`
	Attempts       int           `env:"ATTEMPTS, default=3" min:"1" help:"how often a batch that the pipeline refuses is tried before its table is held; restarts of the pipeline do not count"`
}

// checkFeldera finds what is wrong with the settings of that target, and with those that it
// has no means for.
func (c *Config) checkFeldera(problem func(string, ...any)) {
	if c.Sink != "feldera" {
		return
	}
	if c.Feldera.URL != "" {
		if err := feldera.CheckURL(c.Feldera.URL); err != nil {
			problem("SLUICE_FELDERA_URL=%s: %v", Redacted(c.Feldera.URL), err)
		}
	}
	if c.Timestamp == "int96" {
		problem("SLUICE_TIMESTAMP=int96: want auto, millis or micros under SLUICE_SINK=feldera")
	}
	if c.Unavailable == "unchanged" {
		problem("SLUICE_UNAVAILABLE=unchanged: want hold or null under SLUICE_SINK=feldera, which takes whole rows only")
	}
}

// checkFelderaTables finds what single tables ask for and that target cannot do.
func (c *Config) checkFelderaTables(problem func(string, ...any)) {
	if c.Sink != "feldera" {
		return
	}
	for name, t := range c.Tables.Tables {
		if t.Unavailable == "unchanged" {
			problem("SLUICE_TABLES_FILE: tables.%s.unavailable: want hold or null under SLUICE_SINK=feldera, which takes whole rows only", name)
		}
		if debezium.Truncate(t.Truncate) == debezium.TruncateReplace {
			problem("SLUICE_TABLES_FILE: tables.%s.truncate: want hold or ignore under SLUICE_SINK=feldera, which cannot empty a table", name)
		}
	}
}
