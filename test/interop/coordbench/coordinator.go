package coordbench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A Place is what is measured, and where.
type Place struct {
	Detour string // the program
	Dir    string // for what coordinators keep
	Talk   func(format string, args ...any)

	full   *coordinator // that Million has filled, stopped: it takes minutes; nil: none
	fullOf int          // members
}

// coordinator is a process of the coordination server.
type coordinator struct{ *process }

// one starts a coordinator with an embedded engine.
func (p *Place) one(ctx context.Context) (*coordinator, error) {
	c, err := p.prepare("one")
	if err != nil {
		return nil, err
	}
	return c, c.start(ctx)
}

// three starts a cluster.
func (p *Place) three(ctx context.Context) ([]*coordinator, error) {
	dir, err := os.MkdirTemp(p.Dir, "cluster-")
	if err != nil {
		return nil, err
	}
	var random [32]byte
	rand.Read(random[:])
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(hex.EncodeToString(random[:])+"\n"), 0o600); err != nil {
		return nil, err
	}
	var routes []string
	for _, name := range []string{"a", "b", "c"} {
		addr, err := freeAddr()
		if err != nil {
			return nil, err
		}
		routes = append(routes, name+"="+addr)
	}
	var all []*coordinator
	failed := make(chan error, len(routes))
	for _, route := range routes {
		name, _, _ := strings.Cut(route, "=")
		c, err := p.prepare(name)
		if err != nil {
			return nil, err
		}
		c.args = append(c.args, "--name", name, "--cluster", strings.Join(routes, ","), "--cluster-secret", secret)
		all = append(all, c)
		go func() { failed <- c.start(ctx) }() // none is ready before a second one is there
	}
	for range all {
		err = errors.Join(err, <-failed)
	}
	if err != nil {
		stopAll(all)
		return nil, err
	}
	return all, nil
}

func stopAll(all []*coordinator) {
	for _, c := range all {
		c.stop()
	}
}

func addrsOf(all []*coordinator) (addrs []string) {
	for _, c := range all {
		addrs = append(addrs, c.addr)
	}
	return addrs
}

func (p *Place) prepare(name string) (*coordinator, error) {
	c, err := p.newProcess(name, "coord-"+name+"-", "coord")
	if err != nil {
		return nil, err
	}
	return &coordinator{c}, nil
}

// net runs `detour net` with an own socket.
func (c *coordinator) net(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, c.place.Detour, append(append([]string{"net"}, args...), "--admin-socket", filepath.Join(c.dir, "admin.sock"))...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("detour net %s: %w: %s", args[0], err, said)
	}
	return nil
}
