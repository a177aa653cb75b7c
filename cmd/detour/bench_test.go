package main

import (
	"strings"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/load"
)

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{
		"max": 0, "0": 0, "1000": 1000, "250k": 250_000, "500M": 500_000_000, "1.5G": 1_500_000_000,
		"100K": 100_000, "1m": 1_000_000, "5m": 5_000_000, "2g": 2_000_000_000, "MAX": 0, "1 G": 1_000_000_000,
		"10Mbit/s": 10_000_000, "10Mbps": 10_000_000, "250 kbit": 250_000,
	} {
		if got, err := parseRate(text); got != want || err != nil {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1M", "1T", "NaN", "Inf", "1e30", "999", "1GG", "5MB", "5MB/s", "1Mi", "M5", "5kM"} {
		if got, err := parseRate(text); err == nil {
			t.Errorf("%q is accepted as %d", text, got)
		}
	}
}

func TestJudgments(t *testing.T) {
	whole := load.Report{}
	broken := load.Report{Broken: load.Broken{Streams: 1, Frames: 2, Example: "out of order: ..."}}
	cut := load.Report{Lost: load.Ended{Count: 1, Example: "a receiver's connection ended"}}
	lossy := load.Report{Packets: load.Packets{Sent: 10, Lost: 9}}
	if judgeBench(&whole) != nil || judgeBench(&lossy) != nil {
		t.Error("a whole run fails; loss is no fault")
	}
	if err := judgeBench(&broken); err == nil || !strings.Contains(err.Error(), broken.Broken.Example) {
		t.Errorf("broken streams: %v", err)
	}
	if err := judgeBench(&cut); err == nil || cli.ExitStatus(err) != cli.ExitBad {
		t.Errorf("a lost connection: %v", err)
	}

	for _, r := range []load.EchoReport{
		{Sent: 3, Received: 2}, {Sent: 3}, {Sent: 3, Received: 3, Broken: load.Broken{Frames: 1}},
	} {
		if err := judgeEcho(&r); cli.ExitStatus(err) != cli.ExitBad {
			t.Errorf("%+v: %v", r, err)
		}
	}
	if err := judgeEcho(&load.EchoReport{Sent: 3, Received: 3}); err != nil {
		t.Error(err)
	}
}
