// Package otlptest receives OTLP in tests, by HTTP and by gRPC.
package otlptest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	collogs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetrics "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	logs "go.opentelemetry.io/proto/otlp/logs/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// Receiver keeps what it is sent.
type Receiver struct {
	HTTP string // endpoint of http/protobuf
	GRPC string // endpoint of grpc

	mu       sync.Mutex
	requests []Request
}

// Request is one export.
type Request struct {
	Headers map[string]string // names in lower case
	Message proto.Message
}

// New listens until the test ends.
func New(t testing.TB) *Receiver {
	t.Helper()
	r := &Receiver{}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/traces", receive(r, &coltrace.ExportTraceServiceRequest{}))
	mux.Handle("POST /v1/metrics", receive(r, &colmetrics.ExportMetricsServiceRequest{}))
	mux.Handle("POST /v1/logs", receive(r, &collogs.ExportLogsServiceRequest{}))
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	r.HTTP = web.URL
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	coltrace.RegisterTraceServiceServer(server, traceService{r: r})
	colmetrics.RegisterMetricsServiceServer(server, metricsService{r: r})
	collogs.RegisterLogsServiceServer(server, logsService{r: r})
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	r.GRPC = "http://" + listener.Addr().String()
	return r
}

func (r *Receiver) add(headers map[string][]string, m proto.Message) {
	one := Request{map[string]string{}, m}
	for k, v := range headers {
		one.Headers[strings.ToLower(k)] = strings.Join(v, ",")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, one)
}

func receive(r *Receiver, like proto.Message) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		m := proto.Clone(like)
		body, err := io.ReadAll(req.Body)
		if err == nil {
			err = proto.Unmarshal(body, m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.add(req.Header, m)
	})
}

type traceService struct {
	coltrace.UnimplementedTraceServiceServer
	r *Receiver
}

func (s traceService) Export(ctx context.Context, m *coltrace.ExportTraceServiceRequest) (*coltrace.ExportTraceServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	s.r.add(headers, m)
	return &coltrace.ExportTraceServiceResponse{}, nil
}

type metricsService struct {
	colmetrics.UnimplementedMetricsServiceServer
	r *Receiver
}

func (s metricsService) Export(ctx context.Context, m *colmetrics.ExportMetricsServiceRequest) (*colmetrics.ExportMetricsServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	s.r.add(headers, m)
	return &colmetrics.ExportMetricsServiceResponse{}, nil
}

type logsService struct {
	collogs.UnimplementedLogsServiceServer
	r *Receiver
}

func (s logsService) Export(ctx context.Context, m *collogs.ExportLogsServiceRequest) (*collogs.ExportLogsServiceResponse, error) {
	headers, _ := metadata.FromIncomingContext(ctx)
	s.r.add(headers, m)
	return &collogs.ExportLogsServiceResponse{}, nil
}

// Requests returns the exports so far.
func (r *Receiver) Requests() []Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Request(nil), r.requests...)
}

// Span is a span and its resource's attributes.
type Span struct {
	*trace.Span
	Resource map[string]string
}

// Spans returns those of all exports.
func (r *Receiver) Spans() (all []Span) {
	for _, one := range r.Requests() {
		if m, ok := one.Message.(*coltrace.ExportTraceServiceRequest); ok {
			for _, rs := range m.ResourceSpans {
				for _, ss := range rs.ScopeSpans {
					for _, s := range ss.Spans {
						all = append(all, Span{s, attributes(rs.Resource)})
					}
				}
			}
		}
	}
	return all
}

// Metric is a metric and its resource's attributes.
type Metric struct {
	*metrics.Metric
	Resource map[string]string
}

// Metrics returns those of all exports.
func (r *Receiver) Metrics() (all []Metric) {
	for _, one := range r.Requests() {
		if m, ok := one.Message.(*colmetrics.ExportMetricsServiceRequest); ok {
			for _, rm := range m.ResourceMetrics {
				for _, sm := range rm.ScopeMetrics {
					for _, x := range sm.Metrics {
						all = append(all, Metric{x, attributes(rm.Resource)})
					}
				}
			}
		}
	}
	return all
}

// Log is a record of a log and its resource's attributes.
type Log struct {
	*logs.LogRecord
	Resource map[string]string
}

// Logs returns those of all exports.
func (r *Receiver) Logs() (all []Log) {
	for _, one := range r.Requests() {
		if m, ok := one.Message.(*collogs.ExportLogsServiceRequest); ok {
			for _, rl := range m.ResourceLogs {
				for _, sl := range rl.ScopeLogs {
					for _, l := range sl.LogRecords {
						all = append(all, Log{l, attributes(rl.Resource)})
					}
				}
			}
		}
	}
	return all
}

// Text is everything that came, headers aside.
func (r *Receiver) Text() string {
	var b strings.Builder
	for _, one := range r.Requests() {
		fmt.Fprintln(&b, prototext.Format(one.Message))
	}
	return b.String()
}

func attributes(r *resource.Resource) map[string]string {
	all := map[string]string{}
	for _, a := range r.GetAttributes() {
		if s, ok := a.Value.Value.(*common.AnyValue_StringValue); ok {
			all[a.Key] = s.StringValue
		}
	}
	return all
}

// BlackHole returns an endpoint that takes connections and never answers.
func BlackHole(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		var open []net.Conn
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			open = append(open, c)
		}
		for _, c := range open {
			c.Close()
		}
	}()
	return "http://" + l.Addr().String()
}
