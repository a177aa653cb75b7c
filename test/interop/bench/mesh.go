package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/detour-relay/detour/internal/load"
	"github.com/detour-relay/detour/test/interop/programs"
)

// meshRows are the lines about relays of a region.
func meshRows() []row {
	rows := []row{
		loadRow("mesh-goodput", "two relays: goodput, 10 pairs, as fast as it goes", "Mbit/s", mark{limit: 8, atLeast: true, ratio: true}, "mesh-max", goodput),
		loadRow("mesh-loss", "two relays: loss at 500 Mbit/s offered, 10 pairs", "%", mark{limit: 0.1}, "mesh-500m", loss),
		quotientRow("mesh-stopped", "goodput that 9 local pairs lose beside a sibling that stops reading", "%", mark{limit: 5, below: true},
			"mesh-local-stopped", "mesh-local", goodput, func(a, b float64) float64 { return 100 * (1 - a/b) }),
		goRow("mesh-allocs", "allocations per forwarded packet, both relays together, TLS", "", mark{limit: 0.001}, meshTLS, "allocs/packet"),
	}
	rows = append(rows, bothGo(
		loadRow("mesh-cpu", "two relays: CPU per delivered packet on the first, 500 Mbit/s", "us", mark{limit: 0.55, ratio: true}, "mesh-500m", cpu))...)
	return slices.Concat(rows, presenceRows(), failureRows(), losingRows())
}

// measureMesh puts a load on a relay that has a sibling.
func (s *stage) measureMesh(ctx context.Context, m measurement, kind relayKind) (*load.Report, error) {
	relays, err := s.startRegion(ctx, kind, 2)
	if err != nil {
		return nil, err
	}
	defer stopAll(relays)
	near, far := relays[0], relays[1]
	if err := s.awaitLink(ctx, near, far); err != nil {
		return nil, err
	}
	args := append(m.arguments(s.options), "--pid", fmt.Sprint(near.pid()), near.url)
	if m.mesh {
		return generate(ctx, s.detour, append(args, far.url))
	}
	cross, err := s.cross(near, far)
	if err != nil {
		return nil, err
	}
	defer cross.end()
	if m.stopped {
		if err := far.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			return nil, err
		}
		defer far.cmd.Process.Signal(syscall.SIGCONT)
	}
	return generate(ctx, s.detour, args)
}

// startRegion runs relays that are meshed, each with all others. The caller stops them. They start in reverse order, so that
// the first finds all others at once; derper tries again only after five seconds.
func (s *stage) startRegion(ctx context.Context, kind relayKind, n int, more ...string) ([]*relay, error) {
	dir, err := os.MkdirTemp(s.dir, "region-")
	if err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "mesh.key")
	if err := os.WriteFile(secret, []byte(s.meshKey.Text()), 0o600); err != nil {
		return nil, err
	}
	addrs := make([]string, n)
	for i := range addrs {
		if addrs[i], err = freeAddr(); err != nil {
			return nil, err
		}
	}
	relays := make([]*relay, n)
	for i := n - 1; i >= 0; i-- {
		args := append(meshFlags(kind, secret, s.path(programs.CertFile), without(addrs, i)), more...)
		if relays[i], err = s.startAt(ctx, kind, addrs[i], filepath.Join(dir, fmt.Sprint(i)), args...); err != nil {
			stopAll(relays)
			return nil, err
		}
	}
	return relays, nil
}

func meshFlags(kind relayKind, secret, root string, siblings []string) []string {
	args := []string{"--mesh-psk-file", secret, "--mesh-with", strings.Join(siblings, ",")}
	if kind != derper {
		args = append(args, "--mesh-ca", root)
	}
	return args
}

func without(all []string, i int) []string {
	return append(append([]string(nil), all[:i]...), all[i+1:]...)
}

func stopAll(relays []*relay) {
	for _, r := range relays {
		if r != nil {
			r.stop()
		}
	}
}

// awaitLink waits until packets cross from one relay to the other and back.
func (s *stage) awaitLink(ctx context.Context, near, far *relay) error {
	out, err := exec.CommandContext(ctx, s.detour, "ping", "--insecure", "--count", "1", near.url, far.url).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the relays do not mesh: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// crossing is a load from peers of one relay to peers of its sibling, which nobody measures.
type crossing struct {
	cmd  *exec.Cmd
	done chan struct{}
}

// crossLead is how long the crossing load runs before anything else happens.
const crossLead = time.Second

// cross begins to send across the link: 2 pairs, 100 Mbit/s each.
func (s *stage) cross(near, far *relay) (*crossing, error) {
	c := &crossing{done: make(chan struct{})}
	c.cmd = exec.Command(s.detour, "bench", "--insecure", "--rate", "200M", "--burst", "16", "--pairs", "2",
		"--warmup", "0", "--duration", "1h", near.url, far.url)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		c.cmd.Wait()
		close(c.done)
	}()
	select {
	case <-c.done:
		return nil, errors.New("the load across the link ended at once")
	case <-time.After(crossLead):
		return c, nil
	}
}

func (c *crossing) end() {
	c.cmd.Process.Kill()
	<-c.done
}
