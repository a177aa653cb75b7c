package daemon

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/admit"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

func loginAs(t *testing.T, d *Daemon, secret key.Private) (*client.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	conn, _, err := client.Login(ctx, client.Config{URL: d.State().URL, Key: secret})
	return conn, err
}

// connected logs in, and reads until the connection ends.
func connectedAs(t *testing.T, d *Daemon, secret key.Private) (ended <-chan error) {
	t.Helper()
	conn, err := loginAs(t, d, secret)
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() {
		defer conn.Close()
		for buf := make([]byte, 64<<10); ; {
			if _, err := conn.Recv(buf); err != nil {
				over <- err
				return
			}
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return over
}

func TestRelaysThatOthersReachNeedAccess(t *testing.T) {
	for _, test := range []struct {
		listen string
		access config.Access
		refuse bool
	}{
		{":443", config.Access{}, true},
		{"0.0.0.0:443", config.Access{}, true},
		{"[::]:443", config.Access{}, true},
		{"192.0.2.1:443", config.Access{}, true},
		{"relay.example:443", config.Access{}, true},
		{"localhost.example:443", config.Access{}, true},
		{"127.0.0.1.example:443", config.Access{}, true},
		{"127.0.0.1:443", config.Access{}, false},
		{"127.9.9.9:443", config.Access{}, false},
		{"[::1]:443", config.Access{}, false},
		{"[::ffff:127.0.0.1]:443", config.Access{}, false},
		{"localhost:443", config.Access{}, false},
		{"Localhost.:443", config.Access{}, false},
		{":443", config.Access{Everyone: true}, false},
		{":443", config.Access{Managed: true}, false},
		{":443", config.Access{Keys: []string{"f"}}, false},
		{":443", config.Access{Verify: []string{"u"}}, false},
		{":443", config.Access{Tailscaled: []string{"auto"}}, false},
		{":443", config.Access{DenyApps: []string{"a"}}, true},
	} {
		cfg := config.Defaults()
		cfg.Listen, cfg.Access = test.listen, test.access
		if err := CheckAccess(cfg); (err != nil) != test.refuse {
			t.Errorf("%s, %+v: %v", test.listen, test.access, err)
		}
	}
	c := plain()
	c.Listen = "0.0.0.0:0"
	_, err := Open(c, Options{})
	if e, ok := errors.AsType[*config.Error](err); !ok || len(e.Choices) != 6 {
		t.Errorf("%v", err)
	}
	everyone := func(context.Context, relay.Applicant) (relay.Admission, error) { return relay.Admission{}, nil }
	d := open(t, c, Options{Admit: everyone})
	if d.Access() != nil || d.State().Access != nil {
		t.Error("a chain beside a program that decides")
	}
}

// awaitEnd waits until a connection has been counted as ended for this reason.
func awaitEnd(t *testing.T, d *Daemon, reason string) {
	t.Helper()
	for deadline := time.Now().Add(timeout); d.relay.Survey().Ended[reason] != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("ended: %v, want one %s", d.relay.Survey().Ended, reason)
		}
	}
}

func TestTheListDecidesAndABanCutsOff(t *testing.T) {
	listed, stranger := key.NewPrivate(), key.NewPrivate()
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte(listed.Public().String()+" label=staff\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := plain()
	c.Access.Keys, c.SelfCheck, c.Admin = []string{file}, config.CheckDirect, "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	if conn, err := loginAs(t, d, stranger); err == nil {
		conn.Close()
		t.Error("a stranger got in")
	}
	ended := connectedAs(t, d, listed)
	for p := range d.relay.Peers {
		if p.Peer == listed.Public() && p.Group != "staff" {
			t.Errorf("group %q", p.Group)
		}
	}
	if err := d.Access().Ban(admit.Ban{Key: listed.Public(), Why: "noise"}); err != nil {
		t.Fatal(err)
	}
	<-ended
	if conn, err := loginAs(t, d, listed); err == nil {
		conn.Close()
		t.Error("a banned key got in")
	}
	awaitEnd(t, d, "banned")
	if s := d.State().Access; s.Decisions[admit.SourceBan].Revoked != 1 || s.Managed.Bans != 1 {
		t.Errorf("%+v", s)
	}

	// By a reload, everybody may come in but whom a ban keeps out.
	next := d.Config()
	next.Access = config.Access{Everyone: true}
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	in := connectedAs(t, d, stranger)
	next.Access = config.Access{Managed: true}
	if _, err := d.Reload(next); err != nil {
		t.Fatal(err)
	}
	<-in
	awaitEnd(t, d, "revoked")

	// What is wrong changes nothing.
	next.Access = config.Access{Keys: []string{"nowhere"}}
	if _, err := d.Reload(next); err == nil || !d.Config().Access.Managed {
		t.Errorf("%v, %+v", err, d.Config().Access)
	}
}

// A relay whose sources are away is ready, for those who are known come in; it says so.
func TestSourcesThatAreAwayShow(t *testing.T) {
	answers := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-answers:
			http.Error(w, "away", http.StatusServiceUnavailable)
		default:
			io.WriteString(w, `{"Allow":true}`)
		}
	}))
	defer server.Close()
	c := plain()
	c.Access.Verify, c.Admin = []string{server.URL + "/verify"}, "127.0.0.1:0"
	d := open(t, c, Options{})
	run(t, d)
	known := key.NewPrivate()
	conn, err := loginAs(t, d, known)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if status, text := ask(t, "GET", "http://"+d.State().Admin+"/readyz", ""); status != 200 || text != "ready\n" {
		t.Errorf("%d %q", status, text)
	}
	close(answers)
	if conn, err := loginAs(t, d, key.NewPrivate()); err == nil {
		conn.Close()
		t.Error("a stranger got in while nobody can answer")
	}
	if conn, err = loginAs(t, d, known); err != nil {
		t.Fatalf("a known key: %v", err)
	}
	conn.Close()
	status, text := ask(t, "GET", "http://"+d.State().Admin+"/readyz", "")
	if status != 200 || !strings.HasPrefix(text, "ready\naccess: verify http://127.0.0.1:") || !strings.Contains(text, "/verify cannot answer: status 503") {
		t.Errorf("%d %q", status, text)
	}
	if s := d.State().Access.Sources[0]; !s.Away || s.Yes != 1 || s.Failed == 0 || time.Since(*s.Since) > timeout {
		t.Errorf("%+v", s)
	}
}
