package acme

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// resolvers are the addresses of DNS servers that look names up for others.
type resolvers []string

const (
	// resolveTime is what each has for an answer.
	resolveTime = 5 * time.Second

	// mostAliases is how many lead from one to the next.
	mostAliases = 8

	resolvConf = "/etc/resolv.conf"
)

// systemResolvers are those of this machine, as far as it keeps them in a file.
func systemResolvers() (all resolvers) {
	c, err := dns.ClientConfigFromFile(resolvConf)
	if err != nil {
		return nil
	}
	for _, server := range c.Servers {
		all = append(all, net.JoinHostPort(server, c.Port))
	}
	return all
}

// follow returns where the record of a name has to be: the name may be an alias, by
// which its zone leaves that to another. Where nobody knows it is the name itself.
func (r resolvers) follow(ctx context.Context, name string) string {
	for range mostAliases {
		next := r.alias(ctx, name)
		if next == "" {
			break
		}
		name = next
	}
	return name
}

// alias is where a name leads; empty: it is none, or nobody knows.
func (r resolvers) alias(ctx context.Context, name string) string {
	m := new(dns.Msg).SetQuestion(name, dns.TypeCNAME)
	for _, server := range r {
		answer, _, err := (&dns.Client{Timeout: resolveTime}).ExchangeContext(ctx, m, server)
		if err != nil || answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
			continue // another one may know
		}
		for _, rr := range answer.Answer {
			if c, ok := rr.(*dns.CNAME); ok && strings.EqualFold(c.Hdr.Name, name) {
				return dns.Fqdn(strings.ToLower(c.Target))
			}
		}
		return ""
	}
	return ""
}
