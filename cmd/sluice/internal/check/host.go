package check

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/sluice-cdc/sluice/cmd/sluice/internal/config"
)

// memory: what batches may take fits into what the process has.
func (s *Subject) memory(_ context.Context, f *Findings) {
	budget := int64(s.Config.MemoryLimit) + int64(s.Config.PositionMemory)
	group, grouped := cgroupLimit(os.ReadFile)
	judgeMemory(f, budget, group, grouped, debug.SetMemoryLimit(-1))
}

// judgeMemory compares what batches and positions may take with the limit of the control
// group, if there is one, and of the Go runtime, which without GOMEMLIMIT is MaxInt64.
func judgeMemory(f *Findings, budget, group int64, grouped bool, gomemlimit int64) {
	size := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	wanted := "SLUICE_MEMORY_LIMIT and SLUICE_POSITION_MEMORY may take " + size(budget)
	fine := true
	warn := func(remedy, format string, args ...any) {
		fine = false
		f.Warn(remedy, format, args...)
	}
	// Encoding, fetches and the collector need room beside the batches.
	if grouped && budget > group/10*7 {
		warn("lower SLUICE_MEMORY_LIMIT to half of the memory, or raise the memory", "%s of %s; the rest is too little for files and fetches, and the kernel may end the process", wanted, size(group))
	}
	switch {
	case gomemlimit == math.MaxInt64 && grouped:
		warn(fmt.Sprintf("GOMEMLIMIT=%dMiB, 85 %% of the memory", group/100*85>>20), "GOMEMLIMIT is not set, so the collector does not know of the limit of %s", size(group))
	case grouped && gomemlimit > group:
		warn("GOMEMLIMIT at 85 % of the memory", "GOMEMLIMIT is %s, more than the memory of %s", size(gomemlimit), size(group))
	case gomemlimit < budget:
		warn("raise GOMEMLIMIT, or lower SLUICE_MEMORY_LIMIT", "%s, more than GOMEMLIMIT of %s: the collector would hardly rest", wanted, size(gomemlimit))
	}
	if fine && grouped {
		f.OK("%s of %s", wanted, size(group))
	} else if fine {
		f.OK("%s; the memory has no limit", wanted)
	}
}

// cgroupLimit returns the memory limit of the control group of a container, of version 2
// or 1 (https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max).
func cgroupLimit(read func(string) ([]byte, error)) (limit int64, limited bool) {
	for _, path := range []string{"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"} {
		text, err := read(path)
		if err != nil {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		// Version 1 says no limit by a number that no machine has.
		if err == nil && n > 0 && n < 1<<60 {
			return n, true
		}
	}
	return 0, false
}

// telemetry: the collector is there. Without it Sluice runs on, so it is never a problem.
func (s *Subject) telemetry(ctx context.Context, f *Findings) {
	if off, _ := s.Lookup("OTEL_SDK_DISABLED"); strings.EqualFold(off, "true") {
		f.Skip("OTEL_SDK_DISABLED=true")
		return
	}
	asked := map[string]bool{}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"} {
		endpoint, _ := s.Lookup(name)
		if endpoint == "" || asked[endpoint] {
			continue
		}
		asked[endpoint] = true
		address, err := hostPort(endpoint)
		if err != nil {
			f.Warn(name+": want http://host:port", "%v", err)
			continue
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			f.Warn(name+": check the address, or unset it; Sluice runs without a collector and drops what it would send", "%s: %v", address, err)
			continue
		}
		conn.Close()
		f.OK("%s accepts connections (%s)", address, name)
	}
	if len(asked) == 0 {
		f.Skip("OTEL_EXPORTER_OTLP_ENDPOINT is not set")
	}
}

// hostPort is where a URL leads, by the port of its scheme if it names none.
func hostPort(text string) (string, error) {
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("%s is not a URL", config.Redacted(text))
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
