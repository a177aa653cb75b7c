package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/detour-relay/detour/tailnet"
)

// tunnelLives is what was found of `detour up` besides how much it carries.
type tunnelLives struct {
	Laptops   laptops `json:"laptops"`
	StartMS   float64 `json:"start_ms"`
	LightMB   float64 `json:"light_mb"`
	BusyMB    float64 `json:"busy_mb"`
	RestartMS float64 `json:"restart_ms"`
	KillMS    float64 `json:"kill_ms"`
}

// laptops is what test/laptops/speed.sh prints.
type laptops struct {
	TunnelMS float64 `json:"tunnel_ms"` // p50 of pings
	RelayMS  float64 `json:"relay_ms"`  // p50 without the tunnel
	TCPMbit  float64 `json:"tcp_mbit_per_second"`
}

const (
	tunnelUps   = 5
	memoryPeers = 100
	memoryBytes = 400 << 20
	memoryRest  = 5 * time.Second
	stallRate   = 100e6 // bits per second
	stallSettle = 2 * time.Second
	stallDrain  = 4 * time.Second
	stallPiece  = 8 << 10
)

// lifeStarts measures how long it takes until something comes through.
func (s *stage) lifeStarts(ctx context.Context, l *tunnelLives) error {
	w, err := s.newTunnelWorld(ctx, 1)
	if err != nil {
		return err
	}
	defer w.end()
	if _, err := w.upFar(); err != nil {
		return err
	}
	for range tunnelUps {
		begun := time.Now()
		near, err := w.upNear()
		if err != nil {
			return err
		}
		a, b, err := w.connect(ctx)
		if err != nil {
			return err
		}
		l.StartMS = max(l.StartMS, time.Since(begun).Seconds()*1000)
		a.Close()
		b.Close()
		near.Process.Signal(syscall.SIGTERM)
		near.Wait()
	}
	return nil
}

// lifeLaptops has a script measure what the system's own ping and TCP find in tunnels with interfaces.
func (s *stage) lifeLaptops(ctx context.Context, l *tunnelLives) error {
	cmd := exec.CommandContext(ctx, filepath.Join(s.options.root, "test", "laptops", "speed.sh"), s.detour)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd, err)
	}
	if err := json.Unmarshal(out, &l.Laptops); err != nil {
		return fmt.Errorf("%s says %q: %w", cmd, out, err)
	}
	talk("  round trip p50 %.3f ms, that of the relay %.3f ms; TCP %.0f Mbit/s\n", l.Laptops.TunnelMS, l.Laptops.RelayMS, l.Laptops.TCPMbit)
	return nil
}

// lifeMemory measures a member of a tailnet with many others, before and after it has carried much.
func (s *stage) lifeMemory(ctx context.Context, l *tunnelLives) error {
	w, err := s.newTunnelWorld(ctx, 1)
	if err != nil {
		return err
	}
	defer w.end()
	for i := range memoryPeers - 1 { // and far
		m, err := tailnet.Open(ctx, tailnet.Config{Invite: w.invite, Name: fmt.Sprint("peer", i), StateFile: filepath.Join(w.dir, fmt.Sprint(i))})
		if err != nil {
			return err
		}
		m.Close()
	}
	near, far, err := w.upBoth(ctx)
	if err != nil {
		return err
	}
	time.Sleep(memoryRest)
	if l.LightMB, err = memoryMB(near, "VmRSS"); err != nil {
		return err
	}
	a, b, err := w.connect(ctx)
	if err != nil {
		return err
	}
	defer a.Close()
	defer b.Close()
	for _, ends := range [][2]net.Conn{{a, b}, {b, a}} {
		if err := push(ends[0], ends[1], memoryBytes); err != nil {
			return err
		}
	}
	for _, p := range []*exec.Cmd{near, far} {
		mb, err := memoryMB(p, "VmHWM")
		if err != nil {
			return err
		}
		l.BusyMB = max(l.BusyMB, mb)
	}
	talk("  %.1f MB with %d peers, %.1f MB at most while it carried\n", l.LightMB, memoryPeers, l.BusyMB)
	return nil
}

// push sends so many bytes from one end to the other.
func push(from, to net.Conn, n int64) error {
	sent := make(chan error, 1)
	go func() {
		_, err := io.CopyN(from, zeros{}, n)
		sent <- err
	}()
	if _, err := io.CopyN(io.Discard, to, n); err != nil {
		return err
	}
	return <-sent
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

// memoryMB is a field of the status of a process.
func memoryMB(p *exec.Cmd, field string) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb float64
		if n, _ := fmt.Sscanf(line, field+": %f kB", &kb); n == 1 {
			return kb / 1024, nil
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no %s", p.Process.Pid, field)
}

// lifeStalls measures how long TCP stands still while each relay of a region is restarted, and while each is killed.
func (s *stage) lifeStalls(ctx context.Context, l *tunnelLives) error {
	w, err := s.newTunnelWorld(ctx, regionSize, "--drain", stallDrain.String())
	if err != nil {
		return err
	}
	defer w.end()
	if _, _, err := w.upBoth(ctx); err != nil {
		return err
	}
	restart := func(r *relay) error {
		if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return r.awaitEnd(ctx, stallDrain+startBudget)
	}
	if l.RestartMS, err = w.stallOf(ctx, "restarts", restart); err != nil {
		return err
	}
	l.KillMS, err = w.stallOf(ctx, "kills", func(r *relay) error { r.kill(); return nil })
	return err
}

// stallOf is the longest stall in milliseconds while something is done to each relay.
func (w *tunnelWorld) stallOf(ctx context.Context, what string, do func(*relay) error) (worst float64, err error) {
	a, b, err := w.connect(ctx)
	if err != nil {
		return 0, err
	}
	defer a.Close()
	defer b.Close()
	watch := watchGaps(b)
	over := make(chan struct{})
	var sending sync.WaitGroup
	sending.Go(func() {
		piece := make([]byte, stallPiece)
		pace(over, stallRate/8/stallPiece, func() { a.Write(piece) })
	})
	defer sending.Wait()
	defer close(over)
	defer a.Close() // so that who sends does not wait
	var all []string
	for i := range w.relays {
		time.Sleep(stallSettle)
		watch.longest()
		if err := do(w.relays[i]); err != nil {
			return 0, err
		}
		time.Sleep(stallSettle)
		gap := watch.longest().Seconds() * 1000
		all, worst = append(all, fmt.Sprintf("%.0f", gap)), max(worst, gap)
		if w.relays[i], err = w.relays[i].again(ctx); err != nil {
			return 0, err
		}
		if err := w.stage.awaitLinks(ctx, w.relays); err != nil {
			return 0, err
		}
	}
	talk("  %s: longest stalls %s ms\n", what, strings.Join(all, ", "))
	return worst, nil
}

// gaps are the times between reads that bring something.
type gaps struct {
	mu   sync.Mutex
	last time.Time
	gap  time.Duration
}

func watchGaps(c net.Conn) *gaps {
	g := &gaps{last: time.Now()}
	go func() {
		buf := make([]byte, 256<<10)
		for {
			n, err := c.Read(buf)
			if n > 0 {
				g.note(time.Now())
			}
			if err != nil {
				return
			}
		}
	}()
	return g
}

func (g *gaps) note(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gap = max(g.gap, now.Sub(g.last))
	g.last = now
}

// longest returns the longest since it was last asked, the one that lasts included.
func (g *gaps) longest() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	d := max(g.gap, time.Since(g.last))
	g.gap = 0
	return d
}

// tunnelMeasurements are those of `detour up`.
func (s *stage) tunnelMeasurements(r *results) []other {
	l := new(tunnelLives)
	life := func(name string, measure func(context.Context, *tunnelLives) error) other {
		return other{name, func(ctx context.Context) error { r.TunnelLives = l; return measure(ctx, l) }}
	}
	return []other{
		{tunnelCarries, into(&r.Tunnels, s.carry)},
		life(tunnelStarts, s.lifeStarts), life(tunnelLaptops, s.lifeLaptops), life(tunnelMemory, s.lifeMemory), life(tunnelStalls, s.lifeStalls),
	}
}
