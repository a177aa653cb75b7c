package setup

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/detour-relay/detour/internal/config"
)

// An Opening is a port that has to be let through.
type Opening struct {
	Protocol string   `json:"protocol"` // tcp or udp
	Port     uint16   `json:"port"`
	For      string   `json:"for"`
	From     []string `json:"from"` // networks; empty: everywhere
}

// Openings are the ports of a relay, whose settings are complete.
func Openings(cfg config.Config) (all []Opening) {
	if port := portIn(cfg.Listen); port != 0 && !onLoopback(cfg.Listen) {
		o := Opening{"tcp", port, "peers", []string{}}
		if cfg.TLS.Mode == config.TLSOff && len(cfg.TrustedProxies) > 0 {
			o.For, o.From = "the proxy", cfg.TrustedProxies
		}
		all = append(all, o)
	}
	if port := STUNPort(cfg); port != 0 && !onLoopback(cfg.STUN) {
		all = append(all, Opening{"udp", port, "STUN, by which peers choose relays", []string{}})
	}
	if port := portIn(cfg.HTTP); port != 0 && !onLoopback(cfg.HTTP) {
		what := "/generate_204, and the way to https"
		if cfg.ACME.Challenge == config.ChallengeHTTP {
			what = "the authority's questions"
		}
		all = append(all, Opening{"tcp", port, what, []string{}})
	}
	return all
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	ip, isIP := netip.ParseAddr(host)
	return err == nil && (host == "localhost" || isIP == nil && ip.IsLoopback())
}

// Firewalls are the programs that Commands speaks for, by what they are started as.
var Firewalls = []string{"ufw", "firewall-cmd", "nft"}

// Commands let the ports through by one of the Firewalls.
func Commands(firewall string, openings []Opening) (lines []string) {
	for _, o := range openings {
		from := o.From
		if len(from) == 0 {
			from = []string{""}
		}
		for _, network := range from {
			lines = append(lines, o.command(firewall, network))
		}
	}
	if firewall == "firewall-cmd" {
		lines = append(lines, "firewall-cmd --reload")
	}
	return lines
}

func (o Opening) command(firewall, from string) string {
	family, address := "ipv4", "ip"
	if strings.Contains(from, ":") {
		family, address = "ipv6", "ip6"
	}
	switch {
	case firewall == "ufw" && from == "":
		return fmt.Sprintf("ufw allow %d/%s", o.Port, o.Protocol)
	case firewall == "ufw":
		return fmt.Sprintf("ufw allow from %s to any port %d proto %s", from, o.Port, o.Protocol)
	case firewall == "firewall-cmd" && from == "":
		return fmt.Sprintf("firewall-cmd --permanent --add-port=%d/%s", o.Port, o.Protocol)
	case firewall == "firewall-cmd":
		return fmt.Sprintf("firewall-cmd --permanent --add-rich-rule='rule family=%s source address=%s port port=%d protocol=%s accept'", family, from, o.Port, o.Protocol)
	case from == "":
		return fmt.Sprintf("nft add rule inet filter input %s dport %d accept", o.Protocol, o.Port)
	}
	return fmt.Sprintf("nft add rule inet filter input %s saddr %s %s dport %d accept", address, from, o.Protocol, o.Port)
}
