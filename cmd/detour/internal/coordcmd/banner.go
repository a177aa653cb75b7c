package coordcmd

import (
	"fmt"
	"strings"

	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/coordserver"
	"github.com/detour-relay/detour/internal/front"
)

// banner is what a coordinator prints once it answers: one block for a person, with
// what is needed next ready to be copied.
func banner(c coordserver.Config, now coordserver.State) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-12s %s\n", name, fmt.Sprintf(format, args...))
	}
	if now.NotReady == "" {
		fmt.Fprintln(&b, "The coordinator is ready.")
	} else {
		fmt.Fprintf(&b, "The coordinator has started, and is not ready yet: %s.\n", now.NotReady)
	}
	line("listening", "%s (%s)", now.Listen, modeText(c.Front.TLS.Mode))
	line("url", "%s", now.URL)
	if shown := now.Certificate; shown != nil {
		line("certificate", "%s", cli.CertificateText(*shown))
	}
	if now.Pin != "" {
		line("pin", "%s", now.Pin)
	}
	line("invites name", "%s", contactsText(now))
	line("state", "%s", stateText(c, now))
	line("map", "%s", mapText(c))
	if now.Admin != "" {
		line("status", "http://%s/status", now.Admin)
	}
	if now.Metrics != "" {
		line("metrics", "%s", now.Metrics)
	}
	if now.Socket != "" {
		line("commands", "%s", now.Socket)
	}
	if now.Remote != "" {
		line("", "https://%s, with the token", now.Remote)
	}
	commands := nextCommands(c, now)
	if len(commands) == 0 {
		line("note", "no command can reach it: --admin-socket is off, and there is no --admin-https")
	}
	for i, command := range commands {
		name := "try it"
		if i > 0 {
			name = ""
		}
		line(name, "%s", command)
	}
	return b.String()
}

func contactsText(now coordserver.State) string {
	var all []string
	for _, c := range now.Contacts {
		all = append(all, c.URL)
	}
	return strings.Join(all, ", ")
}

func stateText(c coordserver.Config, now coordserver.State) string {
	switch {
	case c.Front.Dev:
		return "in memory: it is forgotten at the end"
	case len(c.NATS) > 0:
		return "in NATS"
	case len(c.Cluster) > 0:
		return fmt.Sprintf("%s, together with %d others", now.StateDir, len(c.Cluster)-1)
	}
	return now.StateDir
}

func mapText(c coordserver.Config) string {
	if c.Map != "" {
		return c.Map
	}
	return `that of "detour net map set"`
}

// nextCommands are those that make the first two members.
func nextCommands(c coordserver.Config, now coordserver.State) []string {
	at := ""
	switch {
	case now.Socket == "" && now.Remote == "":
		return nil
	case now.Socket == "":
		at = fmt.Sprintf(" --coord https://%s --token-file %s", now.Remote, c.Front.AdminToken)
	case !isUsual(now.Socket):
		at = " --admin-socket " + now.Socket
	}
	commands := []string{"detour net create home" + at, "detour net invite home" + at}
	if c.Map == "" {
		commands = append([]string{"detour net map set derp.yaml" + at}, commands...)
	}
	return commands
}

// isUsual reports whether commands find a socket without being told.
func isUsual(socket string) bool {
	for _, dir := range front.StateDirs(coordserver.StateSub) {
		if usual, err := front.SocketPath(config.Config{StateDir: dir}, coordserver.StateSub); err == nil && usual == socket {
			return true
		}
	}
	return false
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
