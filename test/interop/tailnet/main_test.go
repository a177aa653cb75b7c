// Package tailnet sends real traffic between two real Tailscale nodes through relays: two tsnet nodes under a test control
// server, which may talk through relays only, and HTTP downloads from one to the other. They share one relay
// (download_test.go), or each has its home in another region (regions_test.go).
//
// The nodes want a network interface with a default route, and would talk to the world when they find one. So the test runs
// in a network namespace of its own, where the default route leads nowhere: the test binary starts itself once more inside
// one. That takes root, or a Linux that lets users make namespaces, and the `ip` tool. Where it cannot be, the test
// fails and says in one line what is missing; it never passes without having run.
package tailnet

import (
	"fmt"
	"os"
	"testing"

	"github.com/detour-relay/detour/test/interop/programs"
)

// insideEnv is set in the process that runs inside the namespace.
const insideEnv = "DETOUR_TAILNET_INSIDE"

func TestMain(m *testing.M) {
	playRole()
	if os.Getenv(insideEnv) != "" {
		os.Exit(runInside(m))
	}
	status, err := runOutside()
	programs.Clean()
	if err != nil {
		fmt.Fprintf(os.Stderr, "tailnet: cannot run here: %v\n", err)
		os.Exit(1)
	}
	os.Exit(status)
}

// scratch holds what nodes write. They outlive the test, so it is not the test's own directory.
var scratch string

// runInside readies the namespace and runs the tests.
func runInside(m *testing.M) int {
	var err error
	if os.Getenv(directEnv) == "" { // else the namespace is ready
		err = programs.PrepareNetwork()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "tailnet: cannot run here: %v\n", err)
		return 1
	}
	if scratch, err = os.MkdirTemp("", "detour-tailnet-"); err != nil {
		fmt.Fprintf(os.Stderr, "tailnet: %v\n", err)
		return 1
	}
	defer os.RemoveAll(scratch)
	return m.Run()
}

// runOutside builds the relay programs, which takes the go command and perhaps a network, then runs this binary again inside
// a namespace. It returns the exit status of that run.
func runOutside() (int, error) {
	detour, err := programs.Detour()
	if err != nil {
		return 0, err
	}
	derper, err := programs.Derper()
	if err != nil {
		return 0, err
	}
	return programs.EnterNamespace([]string{
		insideEnv + "=1",
		programs.DetourEnv + "=" + detour,
		programs.DerperEnv + "=" + derper,
		"TS_DEBUG_ALWAYS_USE_DERP=true", // read when the process starts: nodes open no UDP socket at all
		"TS_NO_LOGS_NO_SUPPORT=true",    // nodes upload no logs
	})
}
