package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/programs"
)

// tunnelWorld is a region of ours, a coordinator, and two `detour up --userspace`: what comes in at near comes out at far.
type tunnelWorld struct {
	stage  *stage
	dir    string
	relays []*relay
	admin  string // socket of the coordinator
	invite string

	near      string // address
	far       net.Listener
	processes []*exec.Cmd
}

// tunnelLate is how long anything may take to begin.
const tunnelLate = time.Minute

// newTunnelWorld has no members yet.
func (s *stage) newTunnelWorld(ctx context.Context, relays int, more ...string) (w *tunnelWorld, err error) {
	w = &tunnelWorld{stage: s}
	defer func() {
		if err != nil {
			w.end()
		}
	}()
	if w.dir, err = os.MkdirTemp(s.dir, "tunnel-"); err != nil {
		return w, err
	}
	if w.relays, err = s.startLinked(ctx, relays, more...); err != nil {
		return w, err
	}
	if w.near, err = freeAddr(); err != nil {
		return w, err
	}
	if w.far, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return w, err
	}
	return w, w.startCoordinator(ctx)
}

// startLinked starts a region of one relay, or of more that are linked.
func (s *stage) startLinked(ctx context.Context, n int, more ...string) ([]*relay, error) {
	if n == 1 {
		r, err := s.start(ctx, ours)
		return []*relay{r}, err
	}
	relays, err := s.startRegion(ctx, ours, n, more...)
	if err != nil {
		return nil, err
	}
	return relays, s.awaitLinks(ctx, relays)
}

func (w *tunnelWorld) startCoordinator(ctx context.Context) error {
	pin, err := certificatePin(w.stage.path(programs.CertFile))
	if err != nil {
		return err
	}
	region := &tailcfg.DERPRegion{RegionID: firstRegion, RegionCode: "one"}
	for i, r := range w.relays {
		region.Nodes = append(region.Nodes, &tailcfg.DERPNode{
			Name: fmt.Sprint(firstRegion, string(rune('a'+i))), RegionID: firstRegion, HostName: programs.Host, IPv4: programs.Host, IPv6: "none",
			DERPPort: int(r.addr.Port()), STUNPort: -1, CertName: pin,
		})
	}
	text, err := json.Marshal(&tailcfg.DERPMap{Regions: map[tailcfg.DERPRegionID]*tailcfg.DERPRegion{firstRegion: region}})
	if err != nil {
		return err
	}
	file, addr := filepath.Join(w.dir, "map.json"), ""
	if addr, err = freeAddr(); err != nil {
		return err
	}
	if err := os.WriteFile(file, text, 0o644); err != nil {
		return err
	}
	state := filepath.Join(w.dir, "coord")
	if _, err := w.start("coord", "--listen", addr, "--tls", "self", "--hostname", programs.Host, "--map", file, "--state-dir", state); err != nil {
		return err
	}
	w.admin = filepath.Join(state, "admin.sock")
	if err := w.await(ctx, "the coordinator makes a tailnet", func() error { _, err := w.net(ctx, "create", "home"); return err }); err != nil {
		return err
	}
	w.invite, err = w.net(ctx, "invite", "home", "--uses", fmt.Sprint(2*memoryPeers))
	return err
}

func (w *tunnelWorld) net(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, w.stage.detour, append(append([]string{"net"}, args...), "--admin-socket", w.admin)...).Output()
	return strings.TrimSpace(string(out)), err
}

// start runs our program until the world ends.
func (w *tunnelWorld) start(args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(w.stage.detour, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	w.processes = append(w.processes, cmd)
	return cmd, nil
}

// up starts a member without direct paths.
func (w *tunnelWorld) up(name string, more ...string) (*exec.Cmd, error) {
	return w.start(append([]string{"up", w.invite, "--userspace", "--relay-only", "--log-level", "error",
		"--name", name, "--state", filepath.Join(w.dir, name+".json")}, more...)...)
}

func (w *tunnelWorld) upFar() (*exec.Cmd, error) {
	_, port, _ := net.SplitHostPort(w.far.Addr().String())
	return w.up("far", "--expose", port)
}

func (w *tunnelWorld) upNear() (*exec.Cmd, error) {
	_, near, _ := net.SplitHostPort(w.near)
	_, port, _ := net.SplitHostPort(w.far.Addr().String())
	return w.up("near", "--forward", near+":far:"+port)
}

// upBoth starts both members, and waits until something comes through.
func (w *tunnelWorld) upBoth(ctx context.Context) (near, far *exec.Cmd, err error) {
	if far, err = w.upFar(); err != nil {
		return nil, nil, err
	}
	if near, err = w.upNear(); err != nil {
		return nil, nil, err
	}
	a, b, err := w.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	a.Close()
	b.Close()
	return near, far, nil
}

// connect makes a connection through the tunnel, as soon as it can be.
func (w *tunnelWorld) connect(ctx context.Context) (near, far net.Conn, err error) {
	err = w.await(ctx, "the tunnel carries something", func() error {
		if near, err = net.Dial("tcp", w.near); err != nil {
			return err
		}
		name := rand.Text()
		if _, err = io.WriteString(near, name); err == nil {
			if far, err = w.accept(name); err == nil {
				return nil
			}
		}
		near.Close()
		return err
	})
	return near, far, err
}

// accept returns the connection that begins with this text. Earlier ones, which came too late, end.
func (w *tunnelWorld) accept(name string) (net.Conn, error) {
	late := time.Now().Add(time.Second)
	w.far.(*net.TCPListener).SetDeadline(late)
	for {
		c, err := w.far.Accept()
		if err != nil {
			return nil, err
		}
		text := make([]byte, len(name))
		c.SetDeadline(late)
		if _, err := io.ReadFull(c, text); err == nil && string(text) == name {
			return c, c.SetDeadline(time.Time{})
		}
		c.Close()
	}
}

// await tries until it succeeds.
func (w *tunnelWorld) await(ctx context.Context, what string, try func() error) error {
	late := time.After(tunnelLate)
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-look.C:
		case <-late:
			return fmt.Errorf("within %v it does not come about that %s: %w", tunnelLate, what, err)
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func (w *tunnelWorld) end() {
	for _, p := range w.processes {
		p.Process.Kill()
		p.Wait()
	}
	if w.far != nil {
		w.far.Close()
	}
	stopAll(w.relays)
}
