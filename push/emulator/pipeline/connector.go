package pipeline

import "net/http"

// connectorToken answers with a token for all that a connector has received so far.
func (p *instance) connectorToken(r *http.Request, _ []byte) answer {
	table, _ := identifier(r.PathValue("table"))
	name := table + "." + r.PathValue("connector")
	for _, ep := range p.endpoints {
		if ep.name == name {
			return answer{200, map[string]any{"token": token{p.incarnation, ep.id, ep.received}.String()}, false}
		}
	}
	return refuse(404, "UnknownInputEndpoint", map[string]any{"endpoint_name": name}, "unknown input endpoint %q", name)
}
