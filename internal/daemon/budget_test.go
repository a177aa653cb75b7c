package daemon

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/health"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// stateful are settings of a relay whose quota is kept on disk.
func stateful(t *testing.T) config.Config {
	c := plain()
	c.Dev, c.TLS.Mode, c.StateDir = false, config.TLSOff, t.TempDir()
	return c
}

// spend sends so many packets of 1,000 bytes to nobody.
func spend(t *testing.T, conn *client.Conn, packets int) {
	t.Helper()
	nobody := key.NewPrivate().Public()
	for range packets {
		if err := conn.Send(nobody, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
}

// Beyond the hard mark the peers are sent away, nobody comes in, and all that asks is
// told; with another mark the relay serves again.
func TestQuotaSendsPeersAway(t *testing.T) {
	c := stateful(t)
	c.Quota.Soft, c.Quota.Hard, c.Admin = 10_000, 20_000, "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	conn, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	spend(t, conn, 30)
	eventually(t, "the peer is sent away", func() bool { _, err := conn.Recv(make([]byte, 2000)); return err != nil })
	if _, err := login(t, d); err == nil {
		t.Error("somebody comes in")
	}
	eventually(t, "both are counted", func() bool { return d.Counters().Ended["quota"] == 2 })
	if s := d.State().Health; s.Healthy || s.Reason != health.QuotaUsedUp {
		t.Errorf("%+v", s)
	}
	url := "http://" + d.State().Admin
	if code, text := ask(t, http.MethodGet, url+"/readyz", ""); code != 503 || !strings.Contains(text, "quota used up: ") || !strings.Contains(text, " of 20kB are used; the relay serves again from ") {
		t.Errorf("%d %s", code, text)
	}
	if code, _ := ask(t, http.MethodGet, d.State().URL+"/probe", ""); code != 503 {
		t.Errorf("the probe answers %d", code)
	}
	if _, text := ask(t, http.MethodGet, url+"/status", ""); !strings.Contains(text, `"state": "hard"`) {
		t.Errorf("%s", text)
	}
	next := d.Config()
	next.Quota.Hard = 1_000_000
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	again, err := login(t, d)
	if err != nil || !d.State().Health.Healthy {
		t.Fatalf("%v, %+v", err, d.State().Health)
	}
	again.Close()
}

// What was used before a restart counts from the first moment.
func TestQuotaOutlivesTheRelay(t *testing.T) {
	c := stateful(t)
	c.Quota.Hard = 20_000
	d := open(t, c, Options{})
	end := run(t, d)
	conn, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	spend(t, conn, 30)
	eventually(t, "the mark is passed", d.budget.quota.Over)
	end()
	conn.Close()
	if text, err := os.ReadFile(filepath.Join(c.StateDir, "quota.json")); err != nil || !strings.Contains(string(text), `"in"`) {
		t.Fatalf("%v: %s", err, text)
	}
	d = open(t, c, Options{})
	run(t, d)
	if _, err := login(t, d); err == nil || d.State().Health.Healthy {
		t.Errorf("%+v", d.State().Health)
	}
}

// With a rate beyond the mark nobody is sent away.
func TestQuotaSlowsDown(t *testing.T) {
	c := plain()
	c.Quota.Hard, c.Quota.Then, c.Limits.Total = 20_000, "1Mbit/s", 1_000_000
	d := open(t, c, Options{})
	run(t, d)
	conn, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := d.budget.inForce().Total; got != 1_000_000 {
		t.Errorf("the total is %v before the mark", got)
	}
	spend(t, conn, 30)
	eventually(t, "the total is less", func() bool { return d.budget.inForce().Total == 125_000 })
	if other, err := login(t, d); err != nil || !d.State().Health.Healthy {
		t.Errorf("%v, %+v", err, d.State().Health)
	} else {
		other.Close()
	}
	next := d.Config()
	next.Quota.Hard, next.Limits.In = 1_000_000, 500_000
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the total is what the settings say", func() bool { return d.budget.inForce().Total == 1_000_000 })
	if got := d.budget.inForce(); got.In != 500_000 {
		t.Errorf("%+v", got)
	}
}

// The limits are those of the settings, of a label too, and change by a reload.
func TestLimitsFollowTheSettings(t *testing.T) {
	c := plain()
	c.Limits.In, c.Limits.Labels = 1_000_000, map[string]config.Limit{"x": {Out: 9000}}
	d := open(t, c, Options{})
	run(t, d)
	conn, err := login(t, d)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	limits := func() (l relay.Limits) {
		for p := range d.relay.Peers {
			l = p.Limits // there is one
		}
		return l
	}
	if got := limits(); got != (relay.Limits{In: 1_000_000}) {
		t.Errorf("%+v", got)
	}
	next := d.Config()
	next.Limits = config.Limits{Out: 2_000_000, Burst: 70_000}
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	if got := limits(); got != (relay.Limits{Out: 2_000_000, Burst: 70_000}) {
		t.Errorf("%+v", got)
	}
	if got := limitRules(c.Limits, 0); got.Groups["x"] != (relay.Limits{Out: 9000}) || got.Total != 0 {
		t.Errorf("%+v", got)
	}
}

// The webhook's file is looked at before anything changes, and its URL is in no error.
func TestWebhookIsRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, fine := range map[string]bool{
		write("fine", "https://hooks.example/s3cret\r\n"): true,
		write("empty", ""): false,
		write("two", "https://hooks.example/s3cret\nhttps://hooks.example/s3cret"): false,
		write("no URL", "s3cret"):  false,
		filepath.Join(dir, "gone"): false,
	} {
		c := plain()
		c.Quota.Soft, c.Quota.Webhook = 1, path
		d, err := Open(c, Options{})
		if err == nil {
			d.Stop()
		}
		e, _ := errors.AsType[*config.Error](err)
		if fine != (err == nil) || !fine && (e == nil || e.Setting != "quota.webhook") || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if got, err := webhookURL(filepath.Join(dir, "fine")); err != nil || got != "https://hooks.example/s3cret" {
		t.Errorf("%q, %v", got, err)
	}
}
