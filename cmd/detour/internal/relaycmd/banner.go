package relaycmd

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/daemon"
)

// banner is what a relay prints once it is ready: one block for a person, with
// what is needed next ready to be copied. The file is where settings come from.
func banner(file string, c config.Config, now daemon.State) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintln(&b, "The relay is ready.")
	if file != "" {
		line("settings", "%s", file)
	}
	line("listening", "%s (%s)", now.Listen, modeText(c.TLS.Mode))
	line("url", "%s", now.URL)
	line("stun", "%s", orOff(now.STUN))
	if now.HTTP != "" {
		line("http", "%s, leads to https", now.HTTP)
	}
	line("public key", "%s", now.PublicKey)
	if shown := now.Certificate; shown != nil {
		line("certificate", "%s", cli.CertificateText(*shown))
		if now.Pin != "" {
			line("pin", "%s", now.Pin)
			if shown.NextFrom != nil {
				line("next pin", "%s, from %s; see detour map pin", shown.NextPin, shown.NextFrom.Format(time.DateOnly))
			}
			line("map node", "%s", mapNode(c.Hostname, now.Pin, portOf(now.Listen), portOf(now.STUN)))
		}
	}
	if c.DERP {
		line("access", "%s", accessText(c))
	} else {
		line("access", "nobody: it relays nothing")
	}
	if len(now.Siblings) > 0 {
		line("siblings", "%s", strings.Join(daemon.SiblingNames(c), ", "))
	}
	if now.Admin != "" {
		line("status", "http://%s/status", now.Admin)
	}
	if now.MetricsAt != "" {
		line("metrics", "%s", now.MetricsAt)
	}
	if now.Socket != "" {
		line("commands", "%s", now.Socket)
	}
	if now.Remote != "" {
		line("", "https://%s, with the token", now.Remote)
	}
	if now.Pprof != "" {
		line("profiles", "http://%s/debug/pprof/", now.Pprof)
	}
	if try := tryText(c, now); try != "" {
		line("try it", "%s", try)
	}
	return b.String()
}

// open reports whether everybody may come in.
func open(a config.Access) bool { return a.Everyone || !a.Given() }

// accessText is who may come in, by the names of the settings that say so.
func accessText(c config.Config) string {
	if open(c.Access) {
		return "everybody"
	}
	var sources []string
	for _, s := range config.Table() {
		if name, ok := strings.CutPrefix(s.Path, "access."); ok && slices.Contains([]string{"keys", "managed", "verify", "coordinator", "tailscaled"}, name) {
			switch shown := s.Shown(c); shown {
			case "", "false":
			case "true":
				sources = append(sources, name)
			default:
				sources = append(sources, name+" "+shown)
			}
		}
	}
	return strings.Join(sources, ", ")
}

// tryText is a command that works: the peers of ping are strangers.
func tryText(c config.Config, now daemon.State) string {
	switch {
	case !c.DERP:
		return ""
	case open(c.Access) && now.Pin != "":
		return fmt.Sprintf("detour ping --cert-name %s %s", now.Pin, now.URL)
	case open(c.Access):
		return "detour ping " + now.URL
	case now.Socket == "":
		return ""
	}
	for _, dir := range daemon.StateDirs() {
		if usual, err := daemon.SocketPath(config.Config{StateDir: dir}); err == nil && usual == now.Socket {
			return "detour access list"
		}
	}
	return "detour access list --admin-socket " + now.Socket
}

func orOff(address string) string {
	if address == "" {
		return config.STUNOff
	}
	return address
}

// portOf returns the port of an address; 0 for none.
func portOf(address string) uint16 {
	addr, _ := netip.ParseAddrPort(address)
	return addr.Port()
}

func modeText(mode string) string {
	switch mode {
	case config.TLSFiles:
		return "TLS, certificate from files"
	case config.TLSSelf:
		return "TLS, self-signed certificate"
	case config.TLSACME:
		return "TLS, certificate of an authority"
	}
	return "plain HTTP"
}
