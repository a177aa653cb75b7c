// Package relaycmd is the command "detour relay": its flags, what it prints once the
// relay is ready, and how it calls the settings of package config.
package relaycmd

import (
	"github.com/spf13/cobra"
)

// New returns the command.
func New() *cobra.Command {
	var f settingFlags
	cmd := &cobra.Command{
		Use:   "relay",
		Short: "Run a relay",
		Long: `Run a relay until SIGTERM or SIGINT, which send its peers elsewhere first; a
second one ends it at once.

To try it out, --dev needs nothing else. A relay that others use needs TLS:
self makes its own certificate, which peers trust by the pin that is printed at
start; files takes a certificate of an authority, and takes over a new one when
the files change (SIGHUP looks at once); acme has an authority (Let's Encrypt, unless
--acme-directory names another) issue and renew one for --hostname and --public-ip,
whose terms you accept thereby.

A relay that others can reach has to be told who may come in, by one or more of
the --access- flags.

Peers choose relays by STUN, which is answered on UDP port 3478. A relay that
fails its own check is silent there, and says so at /derp/probe and /readyz.

Several relays make a region: each is told of the others with --mesh-with,
--mesh-dns or --mesh-srv, and all have the same mesh key (which SIGHUP reloads).

All settings can stand in a YAML file, too, or in the environment (DETOUR_...): a
flag counts more than a variable, and that more than the file. SIGHUP reads both
again. "detour config" checks and shows them, and prints a file to begin with.

SIGUSR2 starts the program anew, with the same arguments, and hands the
listening sockets to it: an upgrade that refuses no connection.`,
		Example: `  detour relay --dev
  detour relay --tls self --hostname 203.0.113.7 --access-keys keys
  detour relay --tls acme --hostname relay.example --access-keys keys
  detour relay --config relay.yaml
  detour relay --hostname relay.example --cert relay.crt --key relay.key --access-tailscaled auto
  detour relay --dev --mesh-psk-file mesh.key --mesh-with http://127.0.0.1:3340,http://127.0.0.1:3341`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runRelay(cmd.Context(), &f, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.define(cmd)
	return cmd
}
