package check

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
)

// memory: what batches may take fits into what the process has.
func (s *Subject) memory(_ context.Context, f *Findings) {
	group, grouped := cgroupLimit(os.ReadFile)
	judgeMemory(f, int64(s.Config.MemoryLimit), s.Config.PositionBytes(), group, grouped, debug.SetMemoryLimit(-1))
}

// judgeMemory compares what batches and positions may take with the limit of the control
// group, if there is one, and of the Go runtime, which without GOMEMLIMIT is MaxInt64.
func judgeMemory(f *Findings, batches, positions, group int64, grouped bool, gomemlimit int64) {
	size := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	budget, names := batches+positions, "SLUICE_MEMORY_LIMIT"
	if positions > 0 {
		names += " and SLUICE_POSITION_MEMORY"
	}
	wanted := names + " may take " + size(budget)
	fine := true
	warn := func(remedy, format string, args ...any) {
		fine = false
		f.Warn(remedy, format, args...)
	}
	// Encoding, fetches and the collector need room beside the batches.
	if grouped && budget > group/10*7 {
		warn("lower "+names+" to half of the memory, or raise the memory", "%s of %s; the rest is too little for files and fetches, and the kernel may end the process", wanted, size(group))
	}
	switch {
	case gomemlimit == math.MaxInt64 && grouped:
		warn(fmt.Sprintf("GOMEMLIMIT=%dMiB, 85 %% of the memory", group/100*85>>20), "GOMEMLIMIT is not set, so the collector does not know of the limit of %s", size(group))
	case grouped && gomemlimit > group:
		warn("GOMEMLIMIT at 85 % of the memory", "GOMEMLIMIT is %s, more than the memory of %s", size(gomemlimit), size(group))
	case gomemlimit < budget:
		warn("raise GOMEMLIMIT, or lower "+names, "%s, more than GOMEMLIMIT of %s: the collector would hardly rest", wanted, size(gomemlimit))
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

// telemetry: the collectors are there. Without them Sluice runs on, so it is never a
// problem.
func (s *Subject) telemetry(ctx context.Context, f *Findings) {
	if len(s.Collectors) == 0 {
		f.Skip("the OTEL_ variables have nothing sent")
	}
	for _, endpoint := range slices.Sorted(maps.Keys(s.Collectors)) {
		variable, address := s.Collectors[endpoint], hostPort(endpoint)
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			f.Warn(variable+": check the address, or unset it; Sluice runs without a collector, and drops what it would send", "%s: %v", address, err)
			continue
		}
		conn.Close()
		f.OK("%s accepts connections (%s)", address, variable)
	}
}

// hostPort is where a URL leads, by the port of its scheme if it names none.
func hostPort(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), map[string]string{"https": "443"}[u.Scheme], "80"))
}
