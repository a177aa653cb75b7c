package main

import (
	"os/exec"
	"regexp"
	"testing"
)

// Each of two relays has a certificate of its own, and a flag for its pin.
func TestPingAcrossTwoRelays(t *testing.T) {
	near, far := runSiblings(t)
	out, err := exec.CommandContext(t.Context(), "detour", "ping", "--count", "3", "--interval", "10ms",
		"--cert-name", near.pin, "--cert-name2", far.pin, near.url, far.url).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	want := regexp.MustCompile(`(?s)^relay (nodekey:[0-9a-f]{64}) at \S+\n  and (nodekey:[0-9a-f]{64}) at \S+: 64 bytes there and back\n.*\n3 packets sent, 3 came back, 0% lost\n`)
	if m := want.FindSubmatch(out); m == nil || string(m[1]) != near.State().PublicKey || string(m[2]) != far.State().PublicKey {
		t.Errorf("%s", out)
	}
}
