package daemon

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/control"
	"github.com/detour-relay/detour/internal/reach"
)

// secured are the settings of a relay that has a state directory and TLS.
func secured(t *testing.T) config.Config {
	t.Helper()
	c := plain()
	dir, err := os.MkdirTemp("", "d") // sockets have short paths
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c.Dev, c.TLS.Mode, c.Hostname, c.StateDir = false, config.TLSSelf, "127.0.0.1", filepath.Join(dir, "state")
	return c
}

func TestAdminSocket(t *testing.T) {
	c := secured(t)
	d := open(t, c, Options{Version: "v1.2.3"})
	end := run(t, d)
	path := filepath.Join(c.StateDir, control.SocketName)
	if s := d.State(); s.Socket != path || s.Remote != "" {
		t.Errorf("%q, %q", s.Socket, s.Remote)
	}
	client := control.OverSocket(path)
	defer client.Close()
	if v, err := client.Version(t.Context()); err != nil || v.Version != "v1.2.3" || v.PID != os.Getpid() {
		t.Errorf("%+v, %v", v, err)
	}
	if s, err := client.Status(t.Context()); err != nil || !strings.Contains(string(s), `"control":{"requests":2,`) {
		t.Errorf("%s, %v", s, err)
	}

	settings := map[string]string{}
	text, err := client.Settings(t.Context())
	if err == nil {
		err = json.Unmarshal(text, &settings)
	}
	if err != nil || settings["tls.mode"] != config.TLSSelf || len(settings) != len(config.Table()) {
		t.Errorf("%v, %v", settings, err)
	}

	// The state directory is this relay's.
	_, err = Open(c, Options{})
	if !errors.Is(err, control.ErrAnswered) || !strings.Contains(err.Error(), path+": another process answers there: each relay has a state-dir of its own") {
		t.Errorf("a second relay: %v", err)
	}
	end()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestWhereTheSocketIs(t *testing.T) {
	dev, off, given := plain(), secured(t), plain()
	off.AdminSocket = config.AdminSocketOff
	given.AdminSocket = filepath.Join(t.TempDir(), "s")
	for name, test := range map[string]struct {
		config config.Config
		want   string
	}{"dev": {dev, ""}, "off": {off, ""}, "given with dev": {given, given.AdminSocket}} {
		d := open(t, test.config, Options{})
		if s := d.State(); s.Socket != test.want {
			t.Errorf("%s: %q", name, s.Socket)
		}
	}
}

// A socket that nobody asked for does not keep the relay from starting.
func TestSocketThatCannotBe(t *testing.T) {
	c := secured(t)
	c.RelayKey = filepath.Join(c.StateDir, "relay.key")
	c.StateDir = filepath.Join(c.StateDir, strings.Repeat("x", 100))
	var log lines
	d := open(t, c, Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if s := d.State(); s.Socket != "" || !strings.Contains(log.String(), "the path is too long for a socket") {
		t.Errorf("%q, %s", s.Socket, log.String())
	}
	c.AdminSocket = filepath.Join(c.StateDir, "s")
	_, err := Open(c, Options{})
	if e, ok := errors.AsType[*config.Error](err); !ok || e.Setting != "admin-socket" || !errors.Is(err, control.ErrTooLong) {
		t.Errorf("%v", err)
	}
}

func writeToken(t *testing.T, file, digit string) (secret string) {
	t.Helper()
	secret = strings.Repeat("01234567"+digit, 5)
	if err := os.WriteFile(file, []byte(secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return secret
}

// Over the network the relay's own certificate and the token say who is who.
func TestAdminHTTPS(t *testing.T) {
	c := secured(t)
	file := filepath.Join(t.TempDir(), "token")
	first := writeToken(t, file, "8")
	c.AdminHTTPS, c.AdminToken = "127.0.0.1:0", file
	d := open(t, c, Options{Version: "v1.2.3"})
	run(t, d)
	ask := func(secret string) error {
		t.Helper()
		base := &url.URL{Scheme: "https", Host: d.State().Remote}
		target, err := reach.New(reach.Config{URL: base.String(), CertName: d.State().Pin})
		if err != nil {
			t.Fatal(err)
		}
		client := control.OverNetwork(base, target.TLSConfig(), nil, secret)
		defer client.Close()
		_, err = client.Version(t.Context())
		return err
	}
	if err := ask(first); err != nil {
		t.Error(err)
	}
	if e, ok := errors.AsType[*control.Error](ask(first + "9")); !ok || e.Status != 401 {
		t.Errorf("%v", e)
	}
	second := writeToken(t, file, "9")
	if _, err := d.Reload(d.Config()); err != nil {
		t.Fatal(err)
	}
	if err := ask(second); err != nil {
		t.Error(err)
	}
	if err := ask(first); err == nil {
		t.Error("the old token counts")
	}
	if err := os.WriteFile(file, []byte("guess me"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Reload(d.Config()); err == nil || !strings.Contains(err.Error(), "admin-token: "+file) {
		t.Errorf("a token that is none: %v", err)
	}
	if err := ask(second); err != nil {
		t.Errorf("the last good token counts no more: %v", err)
	}
}

func TestAdminHTTPSIsChecked(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*config.Config)
		want   string
	}{
		"no token":    {func(c *config.Config) { c.AdminHTTPS = ":0" }, "admin-https needs admin-token"},
		"no address":  {func(c *config.Config) { c.AdminToken = "x" }, "admin-token is for admin-https and admin, which are off"},
		"no TLS":      {func(c *config.Config) { c.AdminHTTPS, c.AdminToken, c.TLS.Mode = ":0", "x", config.TLSOff }, "admin-https needs TLS"},
		"bad address": {func(c *config.Config) { c.AdminHTTPS, c.AdminToken = "here", "x" }, "admin-https "},
		"no file":     {func(c *config.Config) { c.AdminHTTPS, c.AdminToken = "127.0.0.1:0", "/nowhere/token" }, "admin-token: open /nowhere/token"},
	} {
		t.Run(name, func(t *testing.T) {
			c := secured(t)
			test.change(&c)
			d, err := Open(c, Options{})
			if err == nil {
				d.Stop()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}
