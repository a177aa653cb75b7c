package main

import (
	"strings"
	"testing"
)

// A flag that would have no effect is refused, and before anything is tried.
func TestFlagsWithoutEffectAreRefused(t *testing.T) {
	const relay, second = "https://127.0.0.1:1/derp", "https://127.0.0.1:1/derp"
	for _, test := range []struct {
		line string
		want string // what the error says
	}{
		{"bench --pairs 0 --idle 1 --rate 1M", "--rate has no effect with --pairs 0"},
		{"bench --pairs 0 --idle 1 --size 100", "--size has no effect"},
		{"bench --pairs 0 --idle 1 --burst 2", "--burst has no effect"},
		{"bench --pairs 0 --idle 1 --pattern fanin", "--pattern has no effect"},
		{"bench --pairs 0 --idle 1 --stall", "--stall has no effect"},
		{"bench --pairs 0 --idle 1 --warmup 2s", "--warmup has no effect"},
		{"bench --pairs 0 --idle 1 --quiet-pair", "--quiet-pair needs --pairs"},
		{"bench --pairs 0 --idle 1 " + second, "no receivers"},
		{"bench --settle 1s", "--settle has no effect without --idle"},
		{"bench --cert-name2 x", "--cert-name2 is for a second relay"},
		{"bench --insecure --ca x.pem", "--ca has no effect with --insecure"},
		{"ping --cert-name2 x", "--cert-name2 is for a second relay"},
		{"ping --insecure --ca x.pem", "--ca has no effect with --insecure"},
		{"ping --insecure --cert-name x", "contradict each other"},
		{"check --insecure --ca x.pem", "--ca has no effect with --insecure"},
		{"check --region x", "choose from a map"},
		{"check --node x", "choose from a map"},
		{"check --public", "--public has no effect for a relay"},
		{"check --local", "--local has no effect for a relay"},
		{"check --quiet --json", "--quiet has no effect with --json"},
		{"peers list --insecure --ca x.pem", "--ca has no effect with --insecure"},
		{"prune --dry-run --rate 3", "--rate has no effect with --dry-run"},
		{"netcheck --no-udp --nearest m.json", "--nearest has no effect with --no-udp"},
	} {
		t.Run(test.line, func(t *testing.T) {
			args := strings.Fields(test.line)
			if args[0] != "netcheck" {
				args = append(args, relay)
			}
			_, talk := command(t, 2, args...)
			if !strings.Contains(talk, test.want) {
				t.Errorf("%q, want %q", talk, test.want)
			}
		})
	}
}
