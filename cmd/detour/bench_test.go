package main

import (
	"strings"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/load"
)

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
