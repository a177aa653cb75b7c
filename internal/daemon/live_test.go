package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/key"
)

// A running is a relay that serves, with two peers who talk through all that changes.
type running struct {
	*Daemon
	a, b    *client.Conn
	to      key.Public // b's
	packets int
}

func startRunning(t *testing.T, c config.Config, o Options) *running {
	t.Helper()
	r := &running{Daemon: open(t, c, o)}
	run(t, r.Daemon)
	secret := key.NewPrivate()
	r.a, r.b, r.to = r.login(t, key.NewPrivate()), r.login(t, secret), secret.Public()
	r.wantUndisturbed(t)
	return r
}

func (r *running) login(t *testing.T, secret key.Private) *client.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	now := r.State()
	conn, _, err := client.Login(ctx, client.Config{URL: now.URL, CertName: now.Pin, Key: secret, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, now.Listen) // wherever the name may lead
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// wantUndisturbed has a packet go from one peer to the other, over the connections that
// they have had all the time.
func (r *running) wantUndisturbed(t *testing.T) {
	t.Helper()
	r.packets++
	want := fmt.Sprint("packet ", r.packets)
	if err := r.a.Send(r.to, []byte(want)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64<<10)
	for {
		m, err := r.b.Recv(buf)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if m.Kind == client.MessagePacket {
			if string(m.Packet) != want {
				t.Errorf("got %s, want %s", m.Packet, want)
			}
			return
		}
	}
}

// change reloads, and looks that the peers go on.
func (r *running) change(t *testing.T, change func(*config.Config)) {
	t.Helper()
	next := r.Config()
	change(&next)
	report, err := r.Reload(next)
	if err != nil || len(report.Changed) == 0 || len(report.Restart) > 0 {
		t.Fatalf("%+v, %v", report, err)
	}
	r.wantUndisturbed(t)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// come connects, or is closed before that is over.
func (r *running) come(t *testing.T) {
	t.Helper()
	if c, err := net.Dial("tcp", r.State().Listen); err == nil {
		t.Cleanup(func() { c.Close() })
	}
}

func TestHomeIsLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	r.change(t, func(c *config.Config) { c.Home = "blank" })
	if code, text := ask(t, http.MethodGet, "http://"+r.State().Listen+"/", ""); code != http.StatusOK || text != "" {
		t.Errorf("%d %s", code, text)
	}
}

// Whoever comes finds what the settings say now; who is connected stays.
func TestTLSIsLive(t *testing.T) {
	dir := t.TempDir()
	c := plain()
	c.Dev, c.TLS.Mode, c.StateDir = false, config.TLSOff, dir
	r := startRunning(t, c, Options{})
	wanted := func(scheme, host, source string) {
		t.Helper()
		now := r.State()
		if !strings.HasPrefix(now.URL, scheme+"://"+host+":") || (now.Certificate != nil) != (scheme == "https") {
			t.Errorf("%s, %+v", now.URL, now.Certificate)
		}
		if now.Certificate != nil && now.Certificate.Source != source {
			t.Errorf("%+v, want %s", now.Certificate, source)
		}
		if source != "files" {
			r.login(t, key.NewPrivate())
		}
	}
	wanted("http", "127.0.0.1", "")
	r.change(t, func(c *config.Config) { c.TLS.Mode, c.Hostname = config.TLSSelf, "127.0.0.1" })
	wanted("https", "127.0.0.1", "self-signed for 127.0.0.1")
	r.change(t, func(c *config.Config) { c.Hostname = "relay.example" })
	wanted("https", "relay.example", "self-signed for relay.example")
	file := filepath.Join(dir, "self-relay.example.pem")
	r.change(t, func(c *config.Config) { c.TLS = config.TLS{Mode: config.TLSFiles, Cert: file, Key: file} })
	if now := r.State(); now.Certificate == nil || now.Certificate.Source != file || now.Pin != "" {
		t.Errorf("%+v", now.Certificate)
	}
	r.change(t, func(c *config.Config) { c.TLS = config.TLS{Mode: config.TLSOff} })
	wanted("http", "relay.example", "")

	// What cannot be is no reason to lose what is there.
	for name, change := range map[string]func(*config.Config){
		"no files": func(c *config.Config) { c.TLS = config.TLS{Mode: config.TLSFiles, Cert: file + "x", Key: file} },
		"another name": func(c *config.Config) {
			c.TLS, c.Hostname = config.TLS{Mode: config.TLSFiles, Cert: file, Key: file}, "b.example"
		},
		"nothing to be": func(c *config.Config) { c.TLS = config.TLS{Mode: config.TLSFiles} },
	} {
		next := r.Config()
		next.Home = "blank"
		change(&next)
		if _, err := r.Reload(next); err == nil || r.Config().Home != "" {
			t.Errorf("%s: %v", name, err)
		}
		wanted("http", "relay.example", "")
		r.wantUndisturbed(t)
	}
}

func TestAcceptLimitIsLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	r.change(t, func(c *config.Config) { c.Accept = config.Accept{Limit: 0.001, Burst: 1} })
	r.come(t)
	r.come(t)
	eventually(t, "one is too many", func() bool { return r.edge.Snapshot().Rejected > 0 })
	r.change(t, func(c *config.Config) { c.Accept = config.Accept{} })
	r.login(t, key.NewPrivate())
}

// Fewer than there are: nobody is thrown out.
func TestMaxConnsIsLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	if r.State().Health.Full {
		t.Fatal("full")
	}
	r.change(t, func(c *config.Config) { c.MaxConns = 1 })
	if now := r.State(); !now.Health.Full || now.Conns != 2 {
		t.Errorf("%d conns, full: %v", now.Conns, now.Health.Full)
	}
	r.change(t, func(c *config.Config) { c.MaxConns = 0 })
	r.login(t, key.NewPrivate())
}

func TestMaxPendingIsLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	r.come(t)
	r.come(t)
	eventually(t, "two pending", func() bool { return r.edge.Snapshot().Pending == 2 })
	r.change(t, func(c *config.Config) { c.MaxPending = 1 })
	eventually(t, "one pending", func() bool { return r.edge.Snapshot().Pending == 1 && r.edge.Snapshot().Evicted == 1 })
}

func TestSocketOptionsAreLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	r.change(t, func(c *config.Config) { c.TCP.KeepAlive, c.TCP.UserTimeout = 0, config.Duration(time.Minute) })
	r.login(t, key.NewPrivate()) // package edge looks at the sockets
	if c := r.edgeConfig(r.Config()); c.KeepAlive >= 0 || c.UserTimeout != time.Minute {
		t.Errorf("%+v", c)
	}
}

func TestKeepAliveIsLive(t *testing.T) {
	c := plain()
	c.KeepAlive = 0
	r := startRunning(t, c, Options{})
	r.change(t, func(c *config.Config) { c.KeepAlive = config.Duration(5 * time.Second) })
	eventually(t, "a KeepAlive", func() bool { return r.relay.Survey().KeepAlives > 0 })
	r.wantUndisturbed(t)
}

// A peer that takes nothing was welcome to, until a reload.
func TestWriteTimeoutIsLive(t *testing.T) {
	c := plain()
	c.TCP.WriteTimeout = 0
	r := startRunning(t, c, Options{})
	secret := key.NewPrivate()
	r.login(t, secret) // and never reads
	packet := make([]byte, 60_000)
	eventually(t, "its way is full", func() bool {
		if err := r.a.Send(secret.Public(), packet); err != nil {
			t.Fatal(err)
		}
		drops := r.relay.Survey().Dropped
		return drops["queue_head"].Other.Packets+drops["queue_age"].Other.Packets > 0
	})
	r.change(t, func(c *config.Config) { c.TCP.WriteTimeout = config.Duration(time.Millisecond) })
	eventually(t, "its end", func() bool { return r.relay.Survey().Ended["write_timeout"] == 1 })
	r.wantUndisturbed(t)
}

func TestOutboxMemoryIsLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	for _, want := range []config.Size{8e6, 0, 4e6} {
		r.change(t, func(c *config.Config) { c.OutboxMemory = want })
		if got := r.relay.Survey().OutboxMemory; got>>10 != int64(want)>>10 {
			t.Errorf("%d, want %d", got, want)
		}
	}
	r.wantUndisturbed(t)
}

func TestDrainIsLive(t *testing.T) {
	c := plain()
	c.Drain = config.Duration(24 * time.Hour)
	r := startRunning(t, c, Options{})
	r.change(t, func(c *config.Config) { c.Drain = 0 })
	if err := r.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestSelfCheckIsLive(t *testing.T) {
	r := startRunning(t, plain(), Options{})
	if r.State().Health.SelfCheck != nil {
		t.Fatal("it is on")
	}
	r.change(t, func(c *config.Config) { c.SelfCheck = config.CheckDirect })
	eventually(t, "a check", func() bool { return r.State().Health.SelfCheck.Checks > 0 })
	if got := r.State().Health.SelfCheck; !got.OK {
		t.Errorf("%+v", got)
	}
	r.change(t, func(c *config.Config) { c.SelfCheck = config.CheckOff })
	if got := r.State().Health; got.SelfCheck != nil || !got.Healthy {
		t.Errorf("%+v", got)
	}
}

func TestLogFormatIsLive(t *testing.T) {
	var formats []string
	r := startRunning(t, plain(), Options{Format: func(format string) { formats = append(formats, format) }})
	r.change(t, func(c *config.Config) { c.Log.Format = "json" })
	r.change(t, func(c *config.Config) { c.Home = "blank" })
	if fmt.Sprint(formats) != "[json]" {
		t.Errorf("%q", formats)
	}
	next := r.Config()
	next.Log.Format = "xml"
	if _, err := r.Reload(next); err == nil || errors.Is(err, ErrRestart) || len(formats) != 1 {
		t.Errorf("%v: %q", err, formats)
	}
}
