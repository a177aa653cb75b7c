package daemon

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/sni"
)

// What backends are of that no name leads to.
const (
	aboutUnknown = "unknown names"
	aboutNone    = "no name"
)

// checkSNI looks at who shares the port.
func checkSNI(cfg config.Config) error {
	rules, err := readSNI(cfg, nil)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(cfg.Hostname); (err == nil || cfg.Hostname == "" && len(cfg.PublicIP) > 0) && cfg.SNINone != "" && cfg.SNINone != config.SNIAnswer {
		return &config.Error{Setting: "sni-none", What: fmt.Sprintf("%q: peers reach this relay by an IP address, and who connects to one asks for no name", cfg.SNINone), Remedy: "leave it at answer, or give the relay a name as {hostname}"}
	}
	for _, b := range rules.Backends() {
		if isListen(b, cfg) {
			return &config.Error{Setting: "sni", What: fmt.Sprintf("%s=%s is where the relay itself listens", b.About, b), Remedy: "have the other server listen elsewhere, such as 127.0.0.1:8443, and name that"}
		}
	}
	return nil
}

// readSNI makes rules of the settings.
func readSNI(cfg config.Config, certified func() []string) (*sni.Rules, error) {
	c := sni.Config{Own: front.Names(cfg), Certified: certified}
	var err error
	if c.Names, err = sni.ParseNames(cfg.SNI); err != nil {
		return nil, &config.Error{Setting: "sni", Err: err}
	}
	if c.Unknown, err = sni.ParseChoice(cfg.SNIUnknown, aboutUnknown); err != nil {
		return nil, &config.Error{Setting: "sni-unknown", Err: err}
	}
	if c.None, err = sni.ParseChoice(cfg.SNINone, aboutNone); err != nil {
		return nil, &config.Error{Setting: "sni-none", Err: err}
	}
	rules, err := sni.New(c)
	if err != nil {
		return nil, &config.Error{Setting: "sni", Err: err}
	}
	return rules, nil
}

// rules say which connections are the relay's; nil: all are, and nobody need look.
func (d *Daemon) rules(cfg config.Config) *sni.Rules {
	if !cfg.Shared() || cfg.TLS.Mode == config.TLSOff {
		return nil
	}
	rules, _ := readSNI(cfg, func() []string { // checked when the settings were
		if shown := d.certificate(); shown != nil {
			return shown.Names
		}
		return nil
	})
	return rules
}

// isListen reports whether a backend is the relay's own listener, as far as the settings
// say: what else leads back there is found when it is tried.
func isListen(b *sni.Backend, cfg config.Config) bool {
	if path, isUnix := cfg.ListenPath(); isUnix || b.Network == "unix" {
		return isUnix && b.Network == "unix" && b.Addr == path
	}
	host, port, err := net.SplitHostPort(cfg.Listen)
	n, portErr := net.LookupPort("tcp", port)
	to, toPort, toErr := net.SplitHostPort(b.Addr)
	if err != nil || portErr != nil || toErr != nil || toPort != fmt.Sprint(n) {
		return false
	}
	if at, err := netip.ParseAddr(host); host != "" && (err != nil || !at.IsUnspecified()) {
		return strings.EqualFold(host, to)
	}
	addr, err := netip.ParseAddr(to)
	here := err == nil && (addr.IsLoopback() || addr.IsUnspecified())
	return here || strings.EqualFold(to, "localhost") || slices.Contains(front.Names(cfg), strings.ToLower(to))
}

// backendTime is what a server that shares the port has to answer a check.
const backendTime = 2 * time.Second

// backends connects to those that share the port. A relay would start without.
func (c *checker) backends(ctx context.Context) {
	rules, err := readSNI(c.cfg, nil)
	if err != nil || !c.cfg.Shared() {
		return // told already, or nothing to tell
	}
	all := rules.Backends()
	errs := make([]error, len(all))
	var asking sync.WaitGroup
	for i, b := range all {
		asking.Go(func() { errs[i] = answers(ctx, b) })
	}
	asking.Wait()
	for i, b := range all {
		level, says := Fine, "answers"
		if errs[i] != nil {
			level, says = Noted, "does not answer: "+errs[i].Error()
		}
		c.say(level, settingOf(b), "%s for %s %s", b, b.About, says)
	}
}

func answers(ctx context.Context, b *sni.Backend) error {
	ctx, cancel := context.WithTimeoutCause(ctx, backendTime, fmt.Errorf("no answer within %v", backendTime))
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, b.Network, b.Addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// settingOf is the one that a backend is of.
func settingOf(b *sni.Backend) string {
	switch b.About {
	case aboutUnknown:
		return "sni-unknown"
	case aboutNone:
		return "sni-none"
	}
	return "sni"
}
