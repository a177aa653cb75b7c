package cli

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/behind"
)

// TargetPair says how to trust the one relay, or the two of one region, that a command is pointed at.
type TargetPair struct {
	TargetFlags
	CertName2 string

	// ProxyHeader has each connection begin with a PROXY header, as a proxy would.
	ProxyHeader bool
}

// Add defines the flags.
func (f *TargetPair) Add(flags *pflag.FlagSet) {
	f.TargetFlags.Add(flags)
	flags.StringVar(&f.CertName2, "cert-name2", "", "the same as --cert-name, for the second relay")
	flags.BoolVar(&f.ProxyHeader, "proxy-header", false, "begin each connection with a PROXY header, as the proxy does that the relay believes")
}

// OneOrTwo accepts the arguments of a command that is pointed at one relay or at two.
var OneOrTwo = cobra.RangeArgs(1, 2)

// Configs makes the parts of dials that peers share; that of the second relay has no URL if there is none.
func (f *TargetPair) Configs(relays []string) (near, far client.Config, err error) {
	if near, err = f.config(&f.TargetFlags, relays[0]); err != nil {
		return near, far, err
	}
	if len(relays) == 1 {
		if f.CertName2 != "" {
			err = Usagef("--cert-name2 is for a second relay: add its URL, or write --cert-name")
		}
		return near, far, err
	}
	far, err = f.config(f.second(), relays[1])
	return near, far, err
}

// config is that of one relay.
func (f *TargetPair) config(flags *TargetFlags, relay string) (client.Config, error) {
	cfg, err := flags.Config(relay)
	if f.ProxyHeader {
		cfg.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil } // it would take the header for its own
		cfg.DialContext = dialAsProxy
	}
	return cfg, err
}

// dialAsProxy connects as a proxy that brings a peer of this machine.
func dialAsProxy(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	from, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	to, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	if _, err := conn.Write(behind.Header(from, to)); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

func (f *TargetPair) second() *TargetFlags {
	second := f.TargetFlags
	second.CertName = f.CertName2
	return &second
}

// Explain is an error with status 3 about one of the relays, "" if it is not known which.
func (f *TargetPair) Explain(relays []string, which string, err error) error {
	if len(relays) == 2 && which == relays[1] {
		return f.second().Explain(which, err)
	}
	return f.TargetFlags.Explain(relays[0], err)
}

// Args are the flags again, for another process that is pointed at the same relays.
func (f *TargetPair) Args() []string {
	args := f.TargetFlags.Args()
	if f.CertName2 != "" {
		args = append(args, "--cert-name2", f.CertName2)
	}
	if f.ProxyHeader {
		args = append(args, "--proxy-header")
	}
	return args
}
