package operate

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derp"
	"github.com/detour-relay/detour/internal/pin"
	"github.com/detour-relay/detour/internal/roster"
	"github.com/detour-relay/detour/key"
)

// rosterFlags say which relays a command watches, as a sibling of theirs does.
type rosterFlags struct {
	cli.TargetFlags
	meshKey cli.MeshKeyFlag
	asJSON  bool
}

func (f *rosterFlags) add(flags *pflag.FlagSet) {
	f.meshKey.Add(flags)
	f.TargetFlags.Add(flags)
	flags.BoolVar(&f.asJSON, "json", false, "print JSON, and nothing else")
}

// rosterPin is how a URL is given the pin of its relay, since each relay of a
// region may have its own.
const rosterPin = "=" + pin.Prefix

// target makes the dial of one relay, still without keys.
func (f *rosterFlags) target(url string) (client.Config, error) {
	trust := f.TargetFlags
	if i := strings.LastIndex(url, rosterPin); i >= 0 {
		if trust.CertName != "" {
			return client.Config{}, cli.Usagef("%q has a pin, and there is --cert-name: leave one out", url)
		}
		url, trust.CertName = url[:i], url[i+1:]
	}
	cfg, err := trust.Config(url)
	cfg.AppName = "detour peers"
	return cfg, err
}

// open logs in to each relay with its mesh key and returns when all rosters are
// complete.
func (f *rosterFlags) open(ctx context.Context, urls []string) (rosters []*roster.Roster, err error) {
	var targets []client.Config
	for _, url := range urls {
		target, err := f.target(url)
		if err != nil {
			return nil, err
		}
		targets = append(targets, target)
	}
	keys, _, err := f.meshKey.Load()
	if err != nil {
		return nil, cli.Usagef("%w", err)
	}
	if len(keys) == 0 {
		return nil, cli.Usagef("the mesh key of the region is missing: give --mesh-psk-file, or set $%s", cli.MeshKeyVariables[0])
	}
	defer func() {
		if err != nil {
			closeRosters(rosters)
		}
	}()
	for _, target := range targets {
		r, err := f.openRoster(ctx, target, keys)
		if err != nil {
			return rosters, err
		}
		rosters = append(rosters, r)
	}
	return rosters, nil
}

func closeRosters(rosters []*roster.Roster) {
	for _, r := range rosters {
		r.Close()
	}
}

// openRoster opens that of one relay, and says what to do if it cannot be had.
func (f *rosterFlags) openRoster(ctx context.Context, target client.Config, keys []key.Mesh) (*roster.Roster, error) {
	r, err := roster.Open(ctx, roster.Config{Dial: target, MeshKeys: keys})
	if errors.Is(err, client.ErrAdmissionRefused) { // perhaps for the application's name, which is not needed
		target.AppName = ""
		r, err = roster.Open(ctx, roster.Config{Dial: target, MeshKeys: keys})
	}
	switch {
	case errors.Is(err, roster.ErrNotTold):
		return nil, cli.Unansweredf("%s: %w: compare its --mesh-psk-file with ours", target.URL, roster.ErrNotTold)
	case err != nil:
		trust := f.TargetFlags
		trust.CertName = target.CertName
		return nil, trust.Explain(target.URL, err)
	}
	return r, nil
}

// A peerLine is a peer as it is printed. The JSON names are stable.
type peerLine struct {
	Key   key.Public `json:"key"`
	Addr  string     `json:"addr,omitempty"`
	Flags []string   `json:"flags"`
	App   string     `json:"app,omitempty"`
}

func newPeerLine(p roster.Peer) peerLine {
	line := peerLine{Key: p.Key, Flags: []string{}, App: p.AppName}
	if p.Addr.IsValid() && p.Addr.Port() != 0 {
		line.Addr = p.Addr.String()
	}
	for _, f := range []struct {
		flag derp.PresenceFlags
		name string
	}{{derp.PresenceMesh, "mesh"}, {derp.PresenceProber, "prober"}, {derp.PresenceNotIdeal, "not-ideal"}} {
		if p.Flags&f.flag != 0 {
			line.Flags = append(line.Flags, f.name)
		}
	}
	return line
}

// columns are the fields for a table, with something in each.
func (l peerLine) columns() string {
	return strings.Join([]string{l.Key.String(), cli.Filled(l.Addr), cli.Filled(strings.Join(l.Flags, ",")), cli.Filled(l.App)}, "\t")
}
