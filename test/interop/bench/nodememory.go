package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/programs"
)

const (
	nodeRegions = 4 // home and three others
	nodeCount   = 50
	nodeSettle  = 10 * time.Second // of the first one, until it has let go of what it had for sending
	nodeIdle    = 30 * time.Second
)

// nodeMemory is what a client.Host costs that has regions open and nothing to do.
type nodeMemory struct {
	Nodes int     `json:"nodes"` // besides the one that was there before
	Heap  float64 `json:"heap_bytes_per_node"`
	Stack float64 `json:"stack_bytes_per_node"`
}

func nodeMemoryRow() row {
	return row{
		name: "node-memory", text: fmt.Sprintf("memory of a client.Host with home and %d open regions, idle", nodeRegions-1), unit: "KB",
		mark: mark{limit: 150}, needs: []string{nodesIdling},
		figures: func(r *results) (*float64, *float64) {
			if r.Nodes == nil {
				return nil, nil
			}
			kilobytes := (r.Nodes.Heap + r.Nodes.Stack) / 1024
			return &kilobytes, nil
		},
	}
}

func (s *stage) nodes(ctx context.Context) (*nodeMemory, error) {
	return s.measureNodes(ctx, crowdOrder{Nodes: nodeCount, Settle: nodeSettle, Idle: nodeIdle})
}

// measureNodes starts regions of one relay each, and has a process of its own fill itself with Nodes.
func (s *stage) measureNodes(ctx context.Context, order crowdOrder) (*nodeMemory, error) {
	m, stop, err := s.startRegions(ctx, nodeRegions)
	if err != nil {
		return nil, err
	}
	defer stop()
	if order.Map, err = json.Marshal(m); err != nil {
		return nil, err
	}
	found, err := order.inChild(ctx)
	if err == nil {
		talk("  %d nodes: %.1f KB of heap and %.1f KB of stack for each\n", found.Nodes, found.Heap/1024, found.Stack/1024)
	}
	return found, err
}

// startRegions starts n of our relays that know nothing of each other, and returns the map of them.
func (s *stage) startRegions(ctx context.Context, n int) (*tailcfg.DERPMap, func(), error) {
	var relays []*relay
	stop := func() { stopAll(relays) }
	pin, err := certificatePin(s.path(programs.CertFile))
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(s.dir, "regions-")
	if err != nil {
		return nil, nil, err
	}
	var ports []int
	for i := range n {
		relay, stun, err := s.startWithSTUN(ctx, ours, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			stop()
			return nil, nil, err
		}
		relays, ports = append(relays, relay), append(ports, int(stun.Port()))
	}
	m := mapOfPorts(ports)
	for i, r := range relays {
		node := m.Regions[tailcfg.DERPRegionID(firstRegion+i)].Nodes[0]
		node.CertName, node.DERPPort = pin, int(r.addr.Port())
	}
	return m, stop, nil
}

// certificatePin is the pin of the certificate in a file, as maps have it.
func certificatePin(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return "", fmt.Errorf("%s holds no certificate", path)
	}
	sum := sha256.Sum256(block.Bytes)
	return "sha256-raw:" + hex.EncodeToString(sum[:]), nil
}

// inChild has this program, started once more, carry out the order.
func (o crowdOrder) inChild(ctx context.Context) (*nodeMemory, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(os.Environ(), crowdEnv+"=1")
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(text), &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("the process with the nodes: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	found := new(nodeMemory)
	return found, json.Unmarshal(out, found)
}
