package daemon

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/stun"
)

// A relay with derp off lets nobody log in, needs nobody to say who may, and answers
// STUN and probes.
func TestWithoutDERP(t *testing.T) {
	c := plain()
	c.DERP, c.Listen, c.STUN, c.SelfCheck = false, "0.0.0.0:0", "127.0.0.1:0", config.CheckDirect
	d := open(t, c, Options{})
	run(t, d)
	if conn, err := login(t, d); err == nil {
		conn.Close()
		t.Error("somebody has logged in")
	} else if !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	if now := d.State(); !now.Health.Healthy {
		t.Errorf("it does not want to be asked: %+v", now.Health)
	}
	prober, err := stun.Dial("udp")
	if err != nil {
		t.Fatal(err)
	}
	defer prober.Close()
	at, err := netip.ParseAddrPort(d.State().STUN)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prober.Probe(context.Background(), at, timeout); err != nil {
		t.Error(err)
	}
	answer, err := http.Get(d.State().URL + "/derp/probe")
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusOK {
		t.Errorf("probes are answered with %s", answer.Status)
	}
}

// Names that are none change nothing, and others are taken over while it runs.
func TestReloadOfBootstrapNames(t *testing.T) {
	c := plain()
	d := open(t, c, Options{})
	run(t, d)
	c.Bootstrap.Names = []string{"https://a.example"}
	if _, err := d.Reload(c); err == nil || !strings.HasPrefix(err.Error(), "bootstrap.names: ") {
		t.Errorf("%v", err)
	}
	c.Bootstrap.Names = []string{"127.0.0.1"} // which needs no DNS
	if report, err := d.Reload(c); err != nil || len(report.Changed) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
