package main

import (
	"context"
	"os"
	"strings"
	"testing"
)

// TestFlagsRefused: a flag that is out of range, or would do nothing, is a mistake in the call.
func TestFlagsRefused(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel() // what is taken ends at once
	for call, want := range map[string]string{
		"emulator": "",
		"emulator --faults 1 --jobs-per-hour 0 --key k":    "",
		"emulator --api feldera --pipeline p --enterprise": "",
		"emulator --api feldera --faults 0.5 --delay 10ms": "",
		"emulator --faults 2":                              "--faults 2: want 0 to 1",
		"emulator --faults -0.1":                           "--faults -0.1: want 0 to 1",
		"emulator --faults NaN":                            "--faults NaN: want 0 to 1",
		"emulator --delay -1s":                             "--delay -1s: want a time such as 2s",
		"emulator --jobs-per-hour -1":                      "--jobs-per-hour -1: want at least 0",
		"emulator --api bad":                               "--api bad: want celonis or feldera",
		"emulator --program tables.sql":                    "--program: only with --api feldera",
		"emulator --pipeline " + demoPipeline:              "--pipeline: only with --api feldera",
		"emulator --enterprise --api celonis":              "--enterprise: only with --api feldera",
		"emulator --api feldera --jobs-per-hour 250":       "--jobs-per-hour: only with --api celonis",
		"demo --sink x":                                    "--sink x: want celonis or feldera",
		"demo --events 0":                                  "--events 0: want at least 1",
	} {
		args := strings.Fields(call)
		if args[0] == "emulator" {
			args = append(args, "--addr", "127.0.0.1:0")
		}
		var text strings.Builder
		code := realMain(over, args, os.LookupEnv, &text, &text)
		if want == "" && code != exitOK || want != "" && (code != exitUsage || !strings.Contains(text.String(), "sluice: "+want+"\n")) {
			t.Errorf("%s: exit %d, %s; want %q", call, code, text.String(), want)
		}
	}
}
