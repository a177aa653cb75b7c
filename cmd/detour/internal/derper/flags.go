// Package derper has a relay run by the command line of derper, Tailscale's relay: each
// flag does the same, or stops with a line that says what to do instead. And it knows
// what each is in "detour relay", so that whoever writes it there is told.
//
// line.go takes a command line apart, meaning.go says what it means as settings.
package derper

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
)

// Flags say of each of derper's flags what it is here. What begins with -- is the
// name of a flag of ours; docs/from-derper.md says more.
var Flags = map[string]string{
	"a":                               "--listen",
	"http-port":                       "--http ADDRESS, such as :80; -1 is to leave it out",
	"stun":                            "--stun off to switch it off, otherwise leave it out",
	"stun-port":                       "--stun ADDRESS, such as :3478",
	"derp":                            "--derp",
	"c":                               "--relay-key, which takes derper's file as it is",
	"hostname":                        "--hostname",
	"certmode":                        "--tls files with --cert and --key for manual, --tls acme for letsencrypt and gcp, --tls self for a pinned certificate",
	"certdir":                         "--cert and --key, which name the two files HOST.crt and HOST.key of that directory",
	"acme-email":                      "--acme-contact",
	"acme-eab-kid":                    "--acme-eab-key-id",
	"acme-eab-key":                    "--acme-eab-key, which is a file with it",
	"acme-ip-certs":                   "--public-ip with the addresses, and --tls acme",
	"home":                            "--home",
	"mesh-psk-file":                   "--mesh-psk-file",
	"mesh-with":                       "--mesh-with",
	"secrets-url":                     "not here: put the mesh key into a file and name it with --mesh-psk-file",
	"secrets-path-prefix":             "not here: put the mesh key into a file and name it with --mesh-psk-file",
	"secrets-cache-dir":               "not here: put the mesh key into a file and name it with --mesh-psk-file",
	"bootstrap-dns-names":             "--bootstrap-names",
	"unpublished-bootstrap-dns-names": "--bootstrap-unpublished",
	"verify-clients":                  "--access-tailscaled auto",
	"socket":                          "--access-tailscaled PATH, in place of auto",
	"verify-client-url":               "--access-verify URL",
	"verify-client-url-fail-open":     "--access-fail-open, or better leave it out: who was confirmed before comes in for the time of --access-grace",
	"accept-connection-limit":         "--accept-limit",
	"accept-connection-burst":         "--accept-burst",
	"rate-config":                     "--limits-in and --limits-burst, which a reload changes, too",
	"tcp-keepalive-time":              "--tcp-keepalive",
	"tcp-user-timeout":                "--tcp-user-timeout",
	"tcp-write-timeout":               "--tcp-write-timeout",
	"ace":                             "not here: leave it out",
	"dev":                             "--dev",
	"version":                         `"detour version"`,
	"disallow-app-names":              "--access-deny-apps",
}

// CheckDashes refuses what the flag parser would take apart: long flags with one dash,
// as derper and other programs of Go's flag package have them, and derper's flags
// given to the relay.
func CheckDashes(root *cobra.Command, args []string) error {
	cmd, rest, err := root.Find(args)
	if err != nil || cmd.DisableFlagParsing {
		return nil // cobra says which command there is not; derper has one dash or two
	}
	cmd.InitDefaultHelpFlag() // cobra adds it later
	var derpers []string
	for _, arg := range rest {
		if arg == "--" {
			break
		}
		name, dashes := dashedName(arg)
		if name == "" {
			continue
		}
		known := cmd.Flags().Lookup(name) != nil || cmd.InheritedFlags().Lookup(name) != nil
		if here, derper := Flags[name]; derper && cmd.Name() == "relay" && (dashes == 1 || !known) {
			derpers = append(derpers, fmt.Sprintf("-%s is %s", name, here))
			continue
		}
		if known && dashes == 1 && len(name) > 1 {
			return cli.Usagef("-%s: long flags have two dashes: write --%[1]s", name)
		}
	}
	if len(derpers) > 0 {
		return cli.Usagef("these are derper's flags, which \"detour derper\" takes as they are: %s; see docs/from-derper.md", strings.Join(derpers, "; "))
	}
	return nil
}

// dashedName takes dashes and value off an argument; "" if it is no flag.
func dashedName(arg string) (name string, dashes int) {
	name = strings.TrimLeft(arg, "-")
	dashes = len(arg) - len(name)
	name, _, _ = strings.Cut(name, "=")
	if dashes == 0 || dashes > 2 || name == "" || name[0] < 'a' || name[0] > 'z' {
		return "", 0
	}
	return name, dashes
}
