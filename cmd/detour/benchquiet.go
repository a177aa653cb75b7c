package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/detour-relay/detour/internal/load"
)

const (
	quietInterval = 5 * time.Millisecond
	// The quiet pair logs in while the load is on already, and ends before it.
	quietMargin   = 500 * time.Millisecond
	shortestQuiet = 2 * quietMargin
)

// pingBeside runs this program's ping against the relays of the load in a process of its own, whose scheduler and
// garbage collector have nothing to do with the load, for a little less than d.
func pingBeside(ctx context.Context, relays []string, trust []string, d time.Duration) (*load.EchoReport, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	count := max(1, int((d-quietMargin)/quietInterval))
	args := append([]string{"ping", "--json", "--interval", quietInterval.String(), "--count", fmt.Sprint(count)}, trust...)
	cmd := exec.CommandContext(ctx, self, append(args, relays...)...)
	cmd.Args[0] = os.Args[0]
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	failed := cmd.Run() // also when packets were lost, of which the report tells
	var report load.EchoReport
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return nil, fmt.Errorf("the quiet pair gave no report: %w: %s", failed, bytes.TrimSpace(stderr.Bytes()))
	}
	return &report, nil
}
