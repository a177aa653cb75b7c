// Package prober runs Tailscale's derpprobe, a program of its own, against regions of our relays: it must find nothing bad about
// those that are well, and exactly what is broken about others.
package prober

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tailscale.com/tailcfg"

	"github.com/detour-relay/detour/test/interop/mapnode"
	"github.com/detour-relay/detour/test/interop/programs"
)

// patience is how long a run of the prober may take. It gives up on each probe long before.
const patience = 90 * time.Second

func TestMain(m *testing.M) {
	status := m.Run()
	programs.Clean()
	os.Exit(status)
}

// network is the regions that are probed.
type network struct {
	authority *programs.Authority
	dm        *tailcfg.DERPMap
}

func newNetwork(t *testing.T) *network {
	return &network{programs.NewAuthority(t), &tailcfg.DERPMap{Regions: make(map[tailcfg.DERPRegionID]*tailcfg.DERPRegion)}}
}

// start adds a region of relays. As in a map for the world they have a name, and a certificate of an authority.
func (n *network) start(t *testing.T, id int, siblings ...programs.Sibling) []*programs.Relay {
	t.Helper()
	relays := programs.Region{ID: id, Authority: n.authority, STUN: true}.Start(t, programs.NewMeshKey(), siblings...)
	number := tailcfg.DERPRegionID(id)
	region := &tailcfg.DERPRegion{RegionID: number, RegionCode: fmt.Sprintf("r%d", id)}
	for _, r := range relays {
		node := *mapnode.Of(r)
		node.IPv6 = "" // the prober would take "none" for an address
		region.Nodes = append(region.Nodes, &node)
	}
	n.dm.Regions[number] = region
	return relays
}

// findings is what a run of the prober found: by name of a probe, "" if it was good, and else why not.
type findings map[string]string

// probe runs the prober once. It is told how long each probe may take, which it takes for those that fail.
func (n *network) probe(t *testing.T, interval time.Duration) findings {
	t.Helper()
	program, err := programs.Derpprobe()
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(n.dm)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "map.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	every := interval.String()
	cmd := exec.CommandContext(ctx, program, "-once", "-spread=false", "-derp-map", "file://"+file,
		"-mesh-interval", every, "-stun-interval", every, "-tls-interval", every, "-bw-interval", every, "-bw-probe-size-bytes", "300000")
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+n.authority.File)
	out, err := cmd.CombinedOutput()
	status := cmd.ProcessState.ExitCode()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	found := parse(string(out))
	if want := found.status(); status != want {
		t.Fatalf("exit status %d, want %d; it said:\n%s", status, want, out)
	}
	return found
}

// parse reads lines such as "2026/01/02 03:04:05 good: derp/r901/901a/tls: 3ms".
func parse(out string) findings {
	found := make(findings)
	for line := range strings.Lines(out) {
		if _, probe, ok := strings.Cut(line, " good: "); ok {
			name, _, _ := strings.Cut(probe, ": ")
			found[name] = ""
		} else if _, probe, ok := strings.Cut(line, " bad: "); ok {
			name, why, _ := strings.Cut(probe, ": ")
			found[name] = strings.TrimSpace(why)
		}
	}
	return found
}

// status is the one with which the prober must end.
func (f findings) status() int {
	for _, why := range f {
		if why != "" {
			return 1
		}
	}
	return 0
}

// expected is the names of all probes that the map gives rise to.
func (n *network) expected() []string {
	names := []string{"derpmap-probe"}
	for _, region := range n.dm.Regions {
		for _, from := range region.Nodes {
			at := "derp/" + region.RegionCode + "/" + from.Name
			names = append(names, at+"/tls", at+"/udp")
			for _, to := range region.Nodes {
				names = append(names, at+"/"+to.Name+"/mesh", at+"/"+to.Name+"/bw")
			}
		}
	}
	slices.Sort(names)
	return names
}
