package registry

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Answer is what one server said to a Ping.
type Answer struct {
	URL      string
	Response *http.Response // nil if there was none; the body is closed
	Trouble  string         // "" if all is well
	Remedy   string         // names the setting
}

// Ping asks each server for a list that any reader may see, which shows that addresses
// and credentials are right: of Confluent's subjects, or of one of Apicurio's artifacts.
func (r *Registry) Ping(ctx context.Context, apicurio bool) (all []Answer) {
	path := "/subjects"
	if apicurio {
		path = "/search/artifacts?limit=1"
	}
	for _, s := range r.servers {
		resp, body, err := s.read(ctx, path)
		if err == nil && !json.Valid(body) {
			err = errors.New("the answer is not a registry's")
		}
		a := Answer{URL: s.url, Response: resp}
		if err != nil {
			a.Trouble, a.Remedy = said(err), remedy(err)
		}
		all = append(all, a)
	}
	return all
}
