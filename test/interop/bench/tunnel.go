package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
)

// tunnelEnv names the file into which the test of package tailnet writes what tunnels carry.
const tunnelEnv = "DETOUR_TUNNEL_JSON"

// The names that it has for them.
const (
	tunnelDetour      = "detour"
	tunnelTsnet       = "tsnet over detour"
	tunnelTsnetDerper = "tsnet over derper"
	tunnelDirect      = "direct"
	tunnelTLS         = "TLS"
)

// tunnels are what tunnels of several kinds carry.
type tunnels struct {
	Bytes      int                  `json:"bytes"`
	Seconds    map[string][]float64 `json:"seconds"`
	MedianMbit map[string]float64   `json:"median_mbit_per_second"`
}

// carry has all kinds of tunnels carry files, in the namespace where tsnet nodes can be.
func (s *stage) carry(ctx context.Context) (*tunnels, error) {
	file := s.path("tunnel.json")
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-timeout", "10m", "-run", "^TestTunnel$", ".")
	cmd.Dir = "tailnet" // a module of its own
	cmd.Env = append(os.Environ(), tunnelEnv+"="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out))
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	found := new(tunnels)
	if err := json.Unmarshal(text, found); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for name, mbit := range found.MedianMbit {
		talk("  %-18s %5.0f Mbit/s\n", name, mbit)
	}
	return found, nil
}

func tunnelRows() []row {
	return []row{
		carryRow("tunnel-tcp", "TCP through two `detour up --userspace` over our relay", mark{limit: 1.3, atLeast: true, ratio: true, reference: "tsnet"}, tunnelTsnet),
		carryRow("tunnel-tcp-derper", "the same, and two tsnet nodes over derper", mark{limit: 1.5, atLeast: true, ratio: true, reference: "tsnet"}, tunnelTsnetDerper),
		carryRow("tunnel-tcp-direct", "the same, and two `detour up` that found a direct path", mark{none: true}, tunnelDirect),
		carryRow("tunnel-tcp-tls", "the same, and a TCP connection through one of TLS, without a relay", mark{none: true}, tunnelTLS),
		livesRow("tunnel-rtt", "round trip that the tunnel adds to the relay's, p50", "ms", mark{limit: 0.2}, tunnelLaptops,
			func(l *tunnelLives) float64 { return l.Laptops.TunnelMS - l.Laptops.RelayMS }),
		livesRow("tunnel-tun", "TCP of the system through two `detour up` with interfaces", "Mbit/s", mark{none: true}, tunnelLaptops,
			func(l *tunnelLives) float64 { return l.Laptops.TCPMbit }),
		livesRow("tunnel-start", "`detour up` until the first answer comes through, the slowest of 5", "ms", mark{limit: 3000}, tunnelStarts,
			func(l *tunnelLives) float64 { return l.StartMS }),
		livesRow("tunnel-memory", fmt.Sprintf("resident memory of `detour up` with %d peers", memoryPeers), "MB", mark{limit: 60}, tunnelMemory,
			func(l *tunnelLives) float64 { return l.LightMB }),
		livesRow("tunnel-memory-busy", "its peak while it carries 400 MB each way", "MB", mark{limit: 60}, tunnelMemory,
			func(l *tunnelLives) float64 { return l.BusyMB }),
		livesRow("tunnel-restart", "longest stall of 100 Mbit/s of TCP while each of 3 relays is restarted as planned", "ms", mark{limit: 300}, tunnelStalls,
			func(l *tunnelLives) float64 { return l.RestartMS }),
		livesRow("tunnel-kill", "longest stall of 100 Mbit/s of TCP while each of 3 relays is killed", "ms", mark{limit: 1000}, tunnelStalls,
			func(l *tunnelLives) float64 { return l.KillMS }),
	}
}

// carryRow compares what two `detour up` carry over our relay with another tunnel.
func carryRow(name, text string, m mark, reference string) row {
	return row{name: name, text: text, unit: "Mbit/s", mark: m, needs: []string{tunnelCarries}, figures: func(r *results) (*float64, *float64) {
		if r.Tunnels == nil {
			return nil, nil
		}
		a, b := r.Tunnels.MedianMbit[tunnelDetour], r.Tunnels.MedianMbit[reference]
		return &a, &b
	}}
}

// livesRow is a row of one figure of ours.
func livesRow(name, text, unit string, m mark, needs string, figure func(*tunnelLives) float64) row {
	return row{name: name, text: text, unit: unit, mark: m, needs: []string{needs}, apart: true, figures: func(r *results) (*float64, *float64) {
		if r.TunnelLives == nil || r.Missing[needs] != nil {
			return nil, nil
		}
		f := figure(r.TunnelLives)
		return &f, nil
	}}
}
