package tailnet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/detour-relay/detour/test/interop/programs"
)

// tunnelEnv names the file that the figures of the tunnels are written to, as JSON.
const tunnelEnv = "DETOUR_TUNNEL_JSON"

// A tunnel carries TCP from a port of this machine to another one.
type tunnel struct {
	name  string
	near  netip.AddrPort
	far   net.Listener
	relay *programs.Relay // that all of it has to pass; nil: none
}

// TestTunnel carries a file through tunnels of several kinds, in turns: two `detour up --userspace` over our relay, two tsnet
// nodes over our relay and over derper, and for comparison two `detour up` with a direct path, and one tunnel of TLS. Each end is
// a process of its own, and each file must arrive whole, over the relay if there is one. How long it took is reported, never judged.
func TestTunnel(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	content, turns := bytes.Repeat([]byte("0123456789abcdef"), downloadBytes/16), rounds
	if os.Getenv(tunnelEnv) == "" { // nobody asks how fast it is
		content, turns = content[:downloadBytes/10], 1
	}
	ours, derper := programs.StartDetour(t), programs.StartDerper(t)
	tunnels := []*tunnel{
		detourTunnel(t, ctx, "detour", ours, "--relay-only"), tsnetTunnel(t, "tsnet over detour", ours), tsnetTunnel(t, "tsnet over derper", derper),
		detourTunnel(t, ctx, "direct", ours), tlsTunnel(t),
	}
	for _, one := range tunnels {
		one.carry(t, ctx, content[:len(content)/5]) // warms up; not reported
	}
	took := make(map[string][]float64)
	for range turns {
		for _, one := range tunnels {
			took[one.name] = append(took[one.name], one.carry(t, ctx, content).Seconds())
		}
		slices.Reverse(tunnels) // none is always the first
	}
	reportTunnels(t, len(content), took)
}

func reportTunnels(t *testing.T, size int, took map[string][]float64) {
	report := struct {
		Bytes      int                  `json:"bytes"`
		Seconds    map[string][]float64 `json:"seconds"`
		MedianMbit map[string]float64   `json:"median_mbit_per_second"`
	}{size, took, make(map[string]float64)}
	for name, all := range took {
		sorted := slices.Sorted(slices.Values(all))
		report.MedianMbit[name] = float64(size) * 8 / 1e6 / sorted[len(sorted)/2]
		t.Logf("%-18s %5.0f Mbit/s, median of %d", name, report.MedianMbit[name], len(all))
	}
	file := os.Getenv(tunnelEnv)
	if file == "" {
		return
	}
	text, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = os.WriteFile(file, append(text, '\n'), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// newTunnel has a place where its connections end.
func newTunnel(t *testing.T, name string, relay *programs.Relay) *tunnel {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &tunnel{name: name, far: l, relay: relay}
}

func (u *tunnel) end() netip.AddrPort { return netip.MustParseAddrPort(u.far.Addr().String()) }

func tsnetTunnel(t *testing.T, name string, relay *programs.Relay) *tunnel {
	t.Helper()
	u := newTunnel(t, name, relay)
	control := startControl(derpMap(relay), newNodeLog(t)).BaseURL()
	at := role{Control: control, Name: "far", Dir: t.TempDir(), To: u.end(), Far: true}.start(t)
	u.near = role{Control: control, Name: "near", Dir: t.TempDir(), To: at}.start(t)
	return u
}

func tlsTunnel(t *testing.T) *tunnel {
	t.Helper()
	u, dir := newTunnel(t, "TLS", nil), t.TempDir()
	if err := programs.WriteCertificate(dir); err != nil {
		t.Fatal(err)
	}
	at := role{To: u.end(), Far: true, Cert: dir}.start(t)
	u.near = role{To: at}.start(t)
	return u
}

// detourTunnel is two members of a coordinator of their own. Without more flags they find a direct path.
func detourTunnel(t *testing.T, ctx context.Context, name string, relay *programs.Relay, flags ...string) *tunnel {
	t.Helper()
	u, dir := newTunnel(t, name, relay), t.TempDir()
	u.near = programs.FreeAddr(t)
	invite := startCoordinator(t, ctx, dir, relay)
	program, err := programs.Detour()
	if err != nil {
		t.Fatal(err)
	}
	for who, more := range map[string][]string{
		"far":  {"--expose", fmt.Sprint(u.end().Port())},
		"near": {"--forward", fmt.Sprintf("%d:far:%d", u.near.Port(), u.end().Port())},
	} {
		args := slices.Concat([]string{"up", invite, "--userspace", "--name", who, "--state", filepath.Join(dir, who+".json")}, more, flags)
		cmd := exec.Command(program, args...)
		cmd.Stderr = os.Stderr
		startUntilEnd(t, cmd)
	}
	if len(flags) == 0 {
		u.relay = nil
		u.awaitDirect(t, ctx, program, filepath.Join(dir, "near.json"))
	}
	return u
}

// startCoordinator returns an invite to a tailnet whose only region is the relay.
func startCoordinator(t *testing.T, ctx context.Context, dir string, relay *programs.Relay) (invite string) {
	t.Helper()
	program, err := programs.Detour()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Regions": map[int]any{relay.Node.RegionID: map[string]any{
		"RegionID": relay.Node.RegionID, "RegionCode": relay.Name, "Nodes": []programs.Node{relay.Node},
	}}})
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "map.json"), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "coord")
	cmd := exec.Command(program, "coord", "--listen", programs.FreeAddr(t).String(), "--tls", "self", "--hostname", programs.Host,
		"--map", filepath.Join(dir, "map.json"), "--state-dir", state)
	startUntilEnd(t, cmd)
	net := func(args ...string) (string, error) {
		out, err := exec.CommandContext(ctx, program, append(append([]string{"net"}, args...), "--admin-socket", filepath.Join(state, "admin.sock"))...).Output()
		return strings.TrimSpace(string(out)), err
	}
	await(t, ctx, "the coordinator makes a tailnet", func() error { _, err := net("create", "home"); return err })
	if invite, err = net("invite", "home", "--uses", "2"); err != nil {
		t.Fatal(err)
	}
	return invite
}

// await tries until it succeeds.
func await(t *testing.T, ctx context.Context, what string, try func() error) {
	t.Helper()
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		err := try()
		if err == nil {
			return
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("it never comes about that %s: %v", what, err)
		}
	}
}

// awaitDirect sends a little until the members say that the path is direct.
func (u *tunnel) awaitDirect(t *testing.T, ctx context.Context, program, state string) {
	t.Helper()
	await(t, ctx, "the path is direct", func() error {
		if _, err := u.try(ctx, []byte("is there a path?")); err != nil {
			return err
		}
		out, err := exec.CommandContext(ctx, program, "status", "--state", state).Output()
		if err == nil && !strings.Contains(string(out), "direct ") {
			err = fmt.Errorf("no direct path: %s", out)
		}
		return err
	})
}

// carry sends all of it through the tunnel, and looks that it came by the relay.
func (u *tunnel) carry(t *testing.T, ctx context.Context, content []byte) (took time.Duration) {
	t.Helper()
	var before, after programs.Usage
	usage := func(into *programs.Usage) {
		var err error
		if u.relay != nil {
			if *into, err = u.relay.Usage(); err != nil {
				t.Fatal(err)
			}
		}
	}
	await(t, ctx, u.name+" carries something", func() (err error) {
		usage(&before)
		took, err = u.try(ctx, content)
		return err
	})
	if usage(&after); u.relay != nil && min(after.Read-before.Read, after.Written-before.Written) < int64(len(content)) {
		t.Errorf("%s: %d bytes of %d came by the relay", u.name, after.Read-before.Read, len(content))
	}
	return took
}

// try sends content once.
func (u *tunnel) try(ctx context.Context, content []byte) (time.Duration, error) {
	begun := time.Now()
	near, err := net.Dial("tcp", u.near.String())
	if err != nil {
		return 0, err
	}
	defer near.Close()
	stop := context.AfterFunc(ctx, func() { near.Close() })
	defer stop()
	sent := make(chan error, 1)
	go func() {
		_, err := near.Write(content)
		sent <- errors.Join(err, near.(*net.TCPConn).CloseWrite())
	}()
	u.far.(*net.TCPListener).SetDeadline(time.Now().Add(5 * time.Second))
	far, err := u.far.Accept()
	if err != nil {
		return 0, err
	}
	defer far.Close()
	far.SetDeadline(time.Now().Add(time.Minute))
	err = compare(far, content)
	return time.Since(begun), errors.Join(err, <-sent)
}

// compare reads to the end, which must be all of it.
func compare(from io.Reader, want []byte) error {
	chunk := make([]byte, 256<<10)
	for at := 0; ; {
		n, err := from.Read(chunk)
		if at+n > len(want) || !bytes.Equal(chunk[:n], want[at:at+n]) {
			return fmt.Errorf("other content than was sent, within the %d bytes after byte %d", n, at)
		}
		if at += n; err == io.EOF && at == len(want) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes of %d: %w", at, len(want), err)
		}
	}
}
