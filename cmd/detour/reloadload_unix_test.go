//go:build unix

package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/internal/certs"
	"github.com/detour-relay/detour/internal/config"
	"github.com/detour-relay/detour/internal/meshkey"
	"github.com/detour-relay/detour/key"
)

const (
	reloads     = 8  // under load
	loadPairs   = 4  // of peers
	loadFlights = 50 // packets of each pair under way: no more than what an outbox holds
)

// A relay takes over one configuration after the other while peers send as fast as they
// can: its level of logging, a sibling, limits of new connections, the certificate, a
// limit for each key, the list of keys. No packet is lost, and nobody is disconnected.
func TestReloadUnderLoadLosesNothing(t *testing.T) {
	s, c, file := startFromFile(t)
	pairs := make([]*pair, loadPairs)
	for i := range pairs {
		pairs[i] = newPair()
	}
	writeKeys(t, c.Access.Keys[0], pairs, 0)
	writeSettings(t, file, c)
	s.hangUp(t, `"msg":"reload: done"`)

	ctx, cancel := context.WithCancel(t.Context())
	var loading sync.WaitGroup
	for _, p := range pairs {
		p.connect(t, s)
		loading.Go(func() { p.send(ctx) })
		loading.Go(func() { p.receive(t) })
	}
	dir, before := filepath.Dir(file), c
	for n := range reloads {
		c = before
		if n%2 == 0 {
			c.Log.Level, c.Accept = "debug", config.Accept{Limit: 1000, Burst: 1000}
			c.Mesh.With = nil
			c.Limits.In, c.Limits.Total = 1e9, 2e9
			c.MaxConns, c.KeepAlive, c.Home = 100, config.Duration(5*time.Second), "blank"
		}
		copyFile(t, filepath.Join(dir, fmt.Sprint(n%2), "self-127.0.0.1.pem"), c.TLS.Cert)
		writeKeys(t, c.Access.Keys[0], pairs, n)
		writeSettings(t, file, c)
		had := pairs[0].came.Load()
		s.cmd.Process.Signal(syscall.SIGHUP)
		s.wantLog(t, fmt.Sprintf(`(?s)(?:"msg":"reload: done".*){%d}`, n+2))
		for _, p := range pairs { // and goes on
			p.wantMore(t, 300)
		}
		t.Logf("reload %d: %d packets meanwhile", n, pairs[0].came.Load()-had)
	}
	cancel()
	loading.Wait()
	for i, p := range pairs {
		if sent, came := p.sent.Load(), p.came.Load(); sent != came || came == 0 {
			t.Errorf("pair %d: %d sent, %d came", i, sent, came)
		}
	}
	if text := s.log.text(); strings.Contains(text, `"level":"ERROR"`) || strings.Count(text, `"setting":"mesh.with"`)+strings.Count(text, `"setting":"--mesh-with"`) != reloads {
		t.Errorf("the log says\n%s", text)
	}
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// startFromFile starts a relay whose settings are all in a file, beside a sibling.
func startFromFile(t *testing.T) (*service, config.Config, string) {
	t.Helper()
	s := &service{dir: t.TempDir(), ended: make(chan error, 1)}
	meshKey := filepath.Join(s.dir, "mesh.key")
	if err := meshkey.Create(meshKey, meshkey.New()); err != nil {
		t.Fatal(err)
	}
	near := quiet(t)
	near.Mesh.KeyFile = meshKey
	sibling := runTestRelay(t, near, nil)

	c := config.Defaults()
	c.Listen, c.STUN, c.StateDir, c.Hostname = "127.0.0.1:0", config.STUNOff, filepath.Join(s.dir, "state"), "127.0.0.1"
	c.TLS = config.TLS{Mode: config.TLSFiles, Cert: filepath.Join(s.dir, "relay.pem"), Key: filepath.Join(s.dir, "relay.pem")}
	c.Drain, c.SelfCheck, c.Log.Format = 0, config.CheckOff, "json"
	c.Access.Keys = []string{filepath.Join(s.dir, "keys")}
	c.Mesh.KeyFile, c.Mesh.With = meshKey, []string{sibling.State().Listen + "=" + sibling.pin}
	for _, n := range []string{"0", "1"} { // two certificates to choose from
		if _, err := certs.OpenSelf(certs.SelfConfig{Host: "127.0.0.1", StateDir: filepath.Join(s.dir, n), Logger: slog.New(slog.DiscardHandler)}); err != nil {
			t.Fatal(err)
		}
	}
	copyFile(t, filepath.Join(s.dir, "0", "self-127.0.0.1.pem"), c.TLS.Cert)
	writeKeys(t, c.Access.Keys[0], nil, 1)
	file := filepath.Join(s.dir, "relay.yaml")
	writeSettings(t, file, c)

	s.cmd = exec.Command("detour", "relay", "--config", file)
	s.log.open(t, s.cmd)
	s.start(t)
	s.url = "https://" + s.wantLog(t, `"msg":"relay started","listen":"([^"]+)"`)[1] + "/derp"
	return s, c, file
}

// writeSettings writes what is not empty.
func writeSettings(t *testing.T, file string, c config.Config) {
	t.Helper()
	text, err := c.Encode()
	var all map[string]any
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	if err == nil {
		text, err = json.Marshal(given(all))
	}
	if err == nil {
		err = os.WriteFile(file, text, 0o600) // JSON is YAML
	}
	if err != nil {
		t.Fatal(err)
	}
}

func given(all map[string]any) map[string]any {
	for name, value := range all {
		switch value := value.(type) {
		case map[string]any:
			given(value)
		case string:
			if value == "" {
				delete(all, name)
			}
		case nil:
			delete(all, name)
		}
	}
	return all
}

// writeKeys lets the pairs in, and so many others.
func writeKeys(t *testing.T, file string, pairs []*pair, others int) {
	t.Helper()
	var text strings.Builder
	for range others {
		fmt.Fprintln(&text, key.NewPrivate().Public())
	}
	for _, p := range pairs {
		fmt.Fprintf(&text, "%s label=from\n%s label=to\n", p.keys[0].Public(), p.keys[1].Public())
	}
	if err := os.WriteFile(file+".new", []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to+".new", text, 0o600)
	}
	if err == nil {
		err = os.Rename(to+".new", to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A pair is a peer who sends to another, and never more than what can be under way.
type pair struct {
	keys       [2]key.Private
	conns      [2]*client.Conn
	sent, came atomic.Int64
	flight     chan struct{}
}

func newPair() *pair {
	return &pair{keys: [2]key.Private{key.NewPrivate(), key.NewPrivate()}, flight: make(chan struct{}, loadFlights)}
}

func (p *pair) connect(t *testing.T, s *service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for i, k := range p.keys {
		conn, _, err := client.Login(ctx, client.Config{URL: s.url, Key: k, InsecureSkipVerify: true, WebSocket: client.WebSocketNever})
		if err != nil {
			t.Fatalf("%v\n%s", err, s.log.text())
		}
		p.conns[i] = conn
		t.Cleanup(func() { conn.Close() })
	}
}

// send numbers the packets, and ends with one that has no number.
func (p *pair) send(ctx context.Context) {
	packet := make([]byte, 1000)
	for n := uint64(1); ; n++ {
		p.flight <- struct{}{}
		last := ctx.Err() != nil
		if last {
			n = 0
		}
		binary.BigEndian.PutUint64(packet, n)
		if p.conns[0].Send(p.keys[1].Public(), packet) != nil || last {
			return
		}
		p.sent.Add(1)
	}
}

func (p *pair) receive(t *testing.T) {
	buf := make([]byte, 64<<10)
	for want := uint64(1); ; want++ {
		m, err := p.conns[1].Recv(buf)
		if err != nil {
			t.Errorf("after %d packets: %v", want-1, err)
			return
		}
		if m.Kind != client.MessagePacket {
			want--
			continue
		}
		<-p.flight
		switch got := binary.BigEndian.Uint64(m.Packet); got {
		case 0:
			return
		case want:
			p.came.Add(1)
		default:
			t.Errorf("packet %d came, want %d", got, want)
			return
		}
	}
}

func (p *pair) wantMore(t *testing.T, n int64) {
	t.Helper()
	want := p.came.Load() + n
	for deadline := time.Now().Add(timeout); p.came.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing comes any more")
		}
	}
}
