package telemetry

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/contrib/propagators/autoprop"
	"go.opentelemetry.io/otel/propagation"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

// settings are what the OTEL_ variables ask for, as far as the SDK does not read them
// itself. See opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables.
type settings struct {
	disabled              bool
	traces, metrics, logs signal
	propagator            propagation.TextMapPropagator
}

// signal is where the records of one kind go.
type signal struct {
	otlp, console bool
	grpc          bool   // OTLP's protocol, else http/protobuf
	endpoint      string // the specification's default where no variable names one
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	get      func(string) string
	problems []string
}

func (e *environment) problem(format string, args ...any) {
	e.problems = append(e.problems, fmt.Sprintf(format, args...))
}

// readSettings returns a *config.Error where a variable cannot be followed. The SDK
// would pass over most of those in silence, and send nothing.
func readSettings(get func(string) string) (*settings, error) {
	e := &environment{get: get}
	s := &settings{}
	switch v := get("OTEL_SDK_DISABLED"); strings.ToLower(v) {
	case "true":
		s.disabled = true
	case "", "false":
	default:
		e.problem("OTEL_SDK_DISABLED=%s: want true or false", v)
	}
	var names []string
	for _, name := range strings.Split(cmp.Or(get("OTEL_PROPAGATORS"), "tracecontext,baggage"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	var err error
	if s.propagator, err = autoprop.TextMapPropagator(names...); err != nil {
		e.problem("OTEL_PROPAGATORS=%s: want tracecontext, baggage, b3, b3multi, jaeger, xray, ottrace or none, several separated by commas", get("OTEL_PROPAGATORS"))
	}
	if !s.disabled {
		s.traces, s.metrics, s.logs = e.signal("TRACES"), e.signal("METRICS"), e.signal("LOGS")
	}
	if len(e.problems) > 0 {
		return nil, &config.Error{Problems: e.problems}
	}
	return s, nil
}

// signal reads where one goes. Unset means OTLP to where an endpoint is set, and
// nowhere without one: the specification's default would send to an address where
// mostly nobody is. Logs want an endpoint of their own, for what collects standard error
// would else have them twice.
func (e *environment) signal(name string) (s signal) {
	variable := "OTEL_" + name + "_EXPORTER"
	own, common := e.get("OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT"), e.get("OTEL_EXPORTER_OTLP_ENDPOINT")
	list := e.get(variable)
	if list == "" && (own != "" || common != "" && name != "LOGS") {
		list = "otlp"
	}
	accepted := "otlp, console or none"
	if name == "METRICS" {
		accepted = "otlp, console, prometheus or none"
	}
	for _, exporter := range strings.Split(list, ",") {
		switch exporter = strings.TrimSpace(exporter); {
		case exporter == "otlp":
			s.otlp = true
		case exporter == "console":
			s.console = true
		case exporter == "", exporter == "none" && list == exporter:
		case exporter == "prometheus" && name == "METRICS": // it is served in any case
		default:
			e.problem("%s=%s: want %s, several but for none separated by commas", variable, list, accepted)
			return s
		}
	}
	if s.otlp {
		e.otlp(name, &s)
		if own == "" && common == "" {
			s.endpoint = map[bool]string{false: "http://localhost:4318/v1/" + strings.ToLower(name), true: "http://localhost:4317"}[s.grpc]
		}
	}
	return s
}

// samplers are those that the SDK has, and whether each takes a ratio as its argument.
var samplers = map[string]bool{"always_on": false, "always_off": false, "traceidratio": true,
	"parentbased_always_on": false, "parentbased_always_off": false, "parentbased_traceidratio": true}

// Warnings returns which OTEL_ variables are not followed and do not keep Sluice from
// starting. The specification has an unknown sampler, and an argument that it cannot take,
// passed over with a warning (opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables).
func Warnings(get func(string) string) (all []config.Warning) {
	warn := func(remedy, format string, args ...any) {
		all = append(all, config.Warning{Seen: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	for _, name := range []string{"OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE"} {
		if path := get(name); path != "" {
			warn("say the same by the OTEL_ variables that sluice config lists, and unset it", "%s=%s: the file is not read", name, path)
		}
	}
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") {
		return all
	}
	const usual = "parentbased_always_on"
	name, arg := get("OTEL_TRACES_SAMPLER"), strings.TrimSpace(get("OTEL_TRACES_SAMPLER_ARG"))
	byRatio, known := samplers[cmp.Or(strings.ToLower(strings.TrimSpace(name)), usual)]
	ratio, err := strconv.ParseFloat(arg, 64)
	switch {
	case !known:
		warn("want one of "+strings.Join(slices.Sorted(maps.Keys(samplers)), ", "), "OTEL_TRACES_SAMPLER=%s: no such sampler, so it is %s", name, usual)
	case arg == "":
	case !byRatio:
		warn("want OTEL_TRACES_SAMPLER=parentbased_traceidratio or traceidratio, or unset it", "OTEL_TRACES_SAMPLER_ARG=%s: the sampler %s takes none", arg, cmp.Or(name, usual))
	case err != nil, !(ratio >= 0 && ratio <= 1):
		warn("want a number from 0 to 1, such as 0.1", "OTEL_TRACES_SAMPLER_ARG=%s: no ratio, so every trace is taken", arg)
	}
	return all
}

// Collectors returns the addresses that the OTEL_ variables have telemetry sent to by
// OTLP, each with the variable that has it so. What is wrong with them is a *config.Error.
func Collectors(get func(string) string) (variables map[string]string, err error) {
	set, err := readSettings(get)
	if err != nil {
		return nil, err
	}
	variables = map[string]string{}
	for name, s := range map[string]signal{"TRACES": set.traces, "METRICS": set.metrics, "LOGS": set.logs} {
		own, common := "OTEL_EXPORTER_OTLP_"+name+"_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
		switch {
		case !s.otlp:
		case get(own) != "":
			variables[get(own)] = own
		case get(common) != "":
			variables[get(common)] = common
		default:
			variables[s.endpoint] = "OTEL_" + name + "_EXPORTER"
		}
	}
	return variables, nil
}

// headerName is a token of RFC 9110.
var headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$")

// otlp reads the protocol and checks what the exporter will read itself. A signal's own
// variable goes before the one for all.
func (e *environment) otlp(name string, s *signal) {
	of := func(what string) (variable, value string) {
		variable = "OTEL_EXPORTER_OTLP_" + name + "_" + what
		if value = e.get(variable); value == "" {
			variable = "OTEL_EXPORTER_OTLP_" + what
			value = e.get(variable)
		}
		return variable, value
	}
	switch variable, protocol := of("PROTOCOL"); protocol {
	case "", "http/protobuf":
	case "grpc":
		s.grpc = true
	default:
		e.problem("%s=%s: want http/protobuf, whose port usually is 4318, or grpc, on 4317", variable, protocol)
	}
	if variable, address := of("ENDPOINT"); address != "" {
		// Not all exporters take the other targets that gRPC has.
		if u, err := url.Parse(address); err != nil {
			e.problem("%s: want http://host:port or https://host:port", variable) // err has all of it, and maybe a password
		} else if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			e.problem("%s=%s: want http://host:port or https://host:port", variable, u.Redacted())
		}
	}
	if variable, text := of("HEADERS"); text != "" {
		for _, pair := range strings.Split(text, ",") {
			key, value, found := strings.Cut(pair, "=")
			if _, err := url.PathUnescape(value); !found || err != nil || !headerName.MatchString(strings.TrimSpace(key)) {
				e.problem("%s: want key=value separated by commas, the values percent-encoded", variable) // they are secrets
				break
			}
		}
	}
	if variable, how := of("COMPRESSION"); how != "" && how != "gzip" && how != "none" {
		e.problem("%s=%s: want gzip or none", variable, how)
	}
	for _, what := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		variable, path := of(what)
		if path == "" {
			continue
		}
		if text, err := os.ReadFile(path); err != nil {
			e.problem("%s: %v", variable, err)
		} else if what == "CERTIFICATE" && !x509.NewCertPool().AppendCertsFromPEM(text) {
			e.problem("%s=%s: no certificate in it; want a PEM file", variable, path)
		}
	}
}
