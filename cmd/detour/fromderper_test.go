package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/detour-relay/detour/cmd/detour/internal/derper"
	"github.com/detour-relay/detour/cmd/detour/internal/relaycmd"
)

// derper's flags are told by what they are here.
func TestDerpersFlagsAreTold(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"-a :443", "-a is --listen"},
		{"-a=:443", "-a is --listen"},
		{"-c /var/lib/derper/derper.key", "-c is --relay-key"},
		{"-hostname relay.example", "-hostname is --hostname"},
		{"-http-port 80", "-http-port is --http ADDRESS"},
		{"--http-port=-1", "-http-port is --http ADDRESS.*-1 is to leave it out"},
		{"-certmode manual -certdir /certs", "-certmode is --tls files with --cert and --key for manual.*; -certdir is --cert and --key"},
		{"--certmode manual", "-certmode is --tls files"},
		{"-verify-clients", "-verify-clients is --access-tailscaled auto"},
		{"-verify-client-url https://h/verify", "-verify-client-url is --access-verify URL"},
		{"-stun=false", "-stun is --stun off"},
		{"-stun-port 3478", "-stun-port is --stun ADDRESS"},
		{"-mesh-with a.example -mesh-psk-file k", "-mesh-with is --mesh-with; -mesh-psk-file is --mesh-psk-file"},
		{"-dev", "-dev is --dev"},
		{"-home blank", "-home is --home"},
		{"-accept-connection-limit 10", "-accept-connection-limit is --accept-limit"},
		{"-tcp-write-timeout 2s", "-tcp-write-timeout is --tcp-write-timeout"},
		{"-version", `-version is "detour version"`},
		{"-a :443 -hostname relay.example -verify-clients", "-a is --listen; -hostname is --hostname; -verify-clients is"},
	} {
		_, talk := command(t, 2, append([]string{"relay"}, strings.Fields(test.line)...)...)
		wantMatch(t, talk, `^detour relay: these are derper's flags, which "detour derper" takes as they are: .*`+test.want+`.*docs/from-derper.md`)
	}
}

// What derper's flags are called here is there.
func TestTheCounterpartsOfDerpersFlagsAreThere(t *testing.T) {
	relay := relaycmd.New()
	for name, here := range derper.Flags {
		for _, flag := range regexp.MustCompile(`--([a-z][a-z-]+)`).FindAllStringSubmatch(here, -1) {
			if relay.Flags().Lookup(flag[1]) == nil {
				t.Errorf("-%s is said to be --%s, which there is not", name, flag[1])
			}
		}
	}
}

// Whoever is used to one dash is told that there are two, by every command.
func TestLongFlagsHaveTwoDashes(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"ping -count 3 http://127.0.0.1:1", "-count: long flags have two dashes: write --count"},
		{"ping -insecure http://127.0.0.1:1", "write --insecure"},
		{"bench -pairs=3 http://127.0.0.1:1", "write --pairs"},
		{"check -quiet relay.test", "write --quiet"},
		{"key new -out k", "write --out"},
		{"map lint -strict m.json", "write --strict"},
		{"relay -listen :1", "write --listen"},
		{"relay -help", "write --help"},
		{"relay -tls off", "write --tls"},
		{"netcheck -no-udp m.json", "write --no-udp"},
		{"peers list -watch http://127.0.0.1:1", "write --watch"},
	} {
		_, talk := command(t, 2, strings.Fields(test.line)...)
		wantMatch(t, talk, test.want)
	}
}

// Short flags stay as they are, values included.
func TestShortFlagsAreNotTakenForLongOnes(t *testing.T) {
	root := newRootCommand()
	for _, line := range []string{
		"ping -c 3 -i 50ms -s100 URL", "check -q relay.test", "key new -o out", "key new -ok", "prune -n URL", "peers list -w URL",
		"relay -h", "map convert -- -out", "nonsense -count",
	} {
		if err := derper.CheckDashes(root, strings.Fields(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
}
