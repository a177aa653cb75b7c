package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
)

// crowdEnv makes this program one that has nothing in its memory but Nodes.
const crowdEnv = "DETOUR_BENCH_NODES"

// crowdOrder is what that process is told on its standard input. It answers with a nodeMemory on its standard output.
type crowdOrder struct {
	Map    json.RawMessage
	Nodes  int           // besides one that is there before
	Settle time.Duration // until what that one uses is subtracted
	Idle   time.Duration // until memory is read
}

// crowdLate is how long Nodes may take to be connected everywhere.
const crowdLate = time.Minute

// runCrowd carries an order out.
func runCrowd(in io.Reader, out io.Writer) error {
	var order crowdOrder
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return err
	}
	m, err := derpmap.Load(order.Map, derpmap.JSON)
	if err != nil {
		return err
	}
	if err := startIdlers(m, 1); err != nil {
		return err
	}
	time.Sleep(order.Settle)
	before := readMemory()
	if err := startIdlers(m, order.Nodes); err != nil {
		return err
	}
	time.Sleep(order.Idle)
	after, n := readMemory(), float64(order.Nodes)
	return json.NewEncoder(out).Encode(nodeMemory{
		Nodes: order.Nodes, Heap: (after.heap - before.heap) / n, Stack: (after.stack - before.stack) / n,
	})
}

// startIdlers makes Nodes that stay until the process ends, and returns when each has sent a packet to every region.
func startIdlers(m *derpmap.Map, count int) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), crowdLate, fmt.Errorf("not connected everywhere within %v", crowdLate))
	defer cancel()
	var nodes []*client.Host
	for range count {
		n, err := client.NewHost(client.HostConfig{Key: key.NewPrivate(), Map: m})
		if err != nil {
			return err
		}
		go receive(n)
		nodes = append(nodes, n)
	}
	for _, n := range nodes {
		if err := openRegions(ctx, n, m.IDs()); err != nil {
			return err
		}
	}
	return nil
}

// receive takes what comes: that nobody has the keys that packets were sent to.
func receive(n *client.Host) {
	buf := make([]byte, 64)
	for {
		if _, err := n.Recv(buf); err != nil {
			return
		}
	}
}

// openRegions waits until the Host has a home, and then sends a packet to every region, each to a peer that does not exist.
func openRegions(ctx context.Context, n *client.Host, ids []int) error {
	if _, err := n.AwaitHome(ctx); err != nil {
		return err
	}
	for _, id := range ids {
		nobody := key.NewPrivate().Public()
		n.SetPeerHome(nobody, id)
		if err := n.Send(nobody, []byte("is anybody there?")); err != nil {
			return err
		}
	}
	return awaitOpen(ctx, n, len(ids))
}

// awaitOpen waits until the Host is connected to so many regions.
func awaitOpen(ctx context.Context, n *client.Host, count int) error {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	closed := func(r client.HostRegionState) bool { return !r.Connected }
	for {
		if open := n.State().Regions; len(open) == count && !slices.ContainsFunc(open, closed) {
			return nil
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// memory is what is in use, in bytes.
type memory struct{ heap, stack float64 }

// readMemory collects garbage first: twice, since what is in pools goes with the second time only.
func readMemory() memory {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return memory{heap: float64(s.HeapAlloc), stack: float64(s.StackInuse)}
}

// crowdMain ends the process if it is one that carries out an order.
func crowdMain() {
	if os.Getenv(crowdEnv) == "" {
		return
	}
	if err := runCrowd(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
