// Package feldera pushes batches into the tables of a Feldera pipeline over its HTTP
// ingress (https://docs.feldera.com/connectors/sources/http/), and takes a batch for DONE
// when its completion token says complete (https://docs.feldera.com/connectors/completion-tokens/).
//
// A pipeline has no jobs. What stands for one here lives in this process: its requests go
// out one after the other, and after a request of which nobody knows what became, nothing
// more of its table does before everything earlier has settled.
package feldera

import (
	"crypto/tls"
	"errors"
	"net/url"
	"time"

	"github.com/sluice-cdc/sluice/push"
)

// Options are what a Sink does.
type Options struct {
	URL      string                 // of the pipeline manager
	Pipeline string                 // its name
	Key      func() (string, error) // the API key, asked for at each request; nil: none is sent
	TLS      *tls.Config            // nil: the system's authorities

	// Checkpoint has DONE wait until a checkpoint that was made after the completion has
	// succeeded, so that a crash of the pipeline loses nothing of it. Feldera Enterprise has
	// checkpoints.
	Checkpoint bool

	// RequestTimeout is of one request. The manager gives up on a pipeline after 30 seconds.
	RequestTimeout time.Duration

	// Append says that a table need not have a primary key; nil: none may lack it.
	Append func(table string) bool

	// Position names the column of such a table that says where each row's record stands, so
	// that no two rows have the same there, "" if it has none; nil: none has.
	Position func(table string) string

	// Hex says that bytes are texts of hexadecimal digits here, and not of base64.
	Hex bool

	// Warn is told, once, what the pipeline's edition can do and Options leave out, and what
	// its version does wrong; nil: nobody is.
	Warn func(text, remedy string)

	push.Signals // of the requests
}

// CheckURL says what is wrong with the address of a pipeline manager, nil if nothing is.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return errors.New("want the address of a pipeline manager without user and query, such as https://feldera.example.com:8080")
	}
	return nil
}
