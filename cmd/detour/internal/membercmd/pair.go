package membercmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/agent/hostnet"
	"github.com/detour-relay/detour/internal/agent/pair"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/front"
	"github.com/detour-relay/detour/internal/pairing"
)

// pairFlags are for machines without a coordinator.
type pairFlags struct {
	relay  []string
	invite bool

	relays []pairing.Relay // of relay
}

func (f *pairFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.relay, "relay", nil, "without a coordinator: `HOST[:PORT][=PIN]` of a relay by which the machines reach each other, with the pin that it prints (sha256-raw:...) unless its certificate is an authority's; repeatable")
	flags.BoolVar(&f.invite, "invite", false, "without a coordinator: print a token for one more machine, also of an up that runs")
	cli.Complete(cmd, "relay")
}

func (f *pairFlags) check() error {
	for _, text := range f.relay {
		r, err := pairing.ParseRelay(text)
		if err != nil {
			return cli.Usagef("--relay %w", err)
		}
		f.relays = append(f.relays, r)
	}
	if len(f.relays) > pairing.MostRelays {
		return cli.Usagef("--relay is given %d times: at most %d relays are possible", len(f.relays), pairing.MostRelays)
	}
	return nil
}

// pairConfig is that of a pair, if what was given is about one; nil: it is a tailnet.
func (f *upFlags) pairConfig(invite string) (*pair.Config, error) {
	token := isToken(invite)
	switch {
	case token && len(f.relays) > 0:
		return nil, cli.Usagef("the token says which relays there are: leave out --relay")
	case token && f.pairFlags.invite:
		return nil, cli.Usagef("first be paired by the token, and then invite others: leave out --invite")
	case !token && invite != "" && (len(f.relays) > 0 || f.pairFlags.invite):
		return nil, cli.Usagef("--relay and --invite are for machines without a coordinator, and the invite is one of a coordinator: leave them out")
	}
	path, err := f.pairPath(invite, token)
	if err != nil {
		return nil, err
	}
	if !token && len(f.relays) == 0 && !f.pairFlags.invite && !pair.IsStateFile(path) {
		return nil, nil
	}
	return &pair.Config{StateFile: path, Token: invite, Relays: f.relays, Name: f.name}, nil
}

// isToken reports whether what was given is meant for a pair.
func isToken(invite string) bool {
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(invite)), pairing.Scheme)
}

// ownPair is the state file of who invites, unless it says another.
const ownPair = "pair.json"

// pairPath chooses the state file: one for each inviter, as there is one for each tailnet.
func (f *upFlags) pairPath(invite string, token bool) (string, error) {
	if f.state != "" {
		return f.state, nil
	}
	dir, err := memberDir()
	if err != nil {
		return "", err
	}
	return f.pairPathIn(dir, invite, token)
}

func (f *upFlags) pairPathIn(dir, invite string, token bool) (string, error) {
	switch {
	case token:
		t, err := pairing.ParseToken(invite)
		if err != nil {
			return "", explainPair(err)
		}
		return filepath.Join(dir, fmt.Sprintf("pair-%.8s.json", t.Inviter.Hex())), nil
	case len(f.relays) > 0:
		return filepath.Join(dir, ownPair), nil
	case f.pairFlags.invite:
		return onlyOne(dir, pairFiles)
	case invite != "":
		return "", nil
	}
	return onlyOne(dir, memberFiles, pairFiles)
}

func memberDir() (string, error) {
	dir, err := front.StateDir("", "members")
	if err != nil {
		return "", cli.Usagef("there is no home directory to keep the state in: name a file with --state")
	}
	return dir, nil
}

// explainPair says of a pair that could not be opened, or was not made, what to do.
func explainPair(err error) error {
	const another = "have another one made there (detour up --invite)"
	for _, e := range []struct {
		is     error
		usage  bool
		remedy string
	}{
		{pairing.ErrToken, true, "copy it whole, from \"" + pairing.Scheme + "\" to its end"},
		{pairing.ErrOwn, true, "give it to that one"},
		{pair.ErrNotPaired, true, "give a token of the other machine (detour up TOKEN), or make one for it (detour up --relay HOST=PIN --invite)"},
		{pair.ErrOtherRelays, true, "name another state file with --state"},
		{pair.ErrName, true, "see --name"},
		{pair.ErrInUse, false, "see --state"},
		{hostnet.ErrCollides, false, "take --userspace, or pair anew with another state file: another key has another address"},
		{pairing.ErrUsed, false, another},
		{pairing.ErrExpired, false, another},
		{pairing.ErrUnknown, false, another},
	} {
		switch {
		case errors.Is(err, e.is) && e.usage:
			return cli.Usagef("%w: %s", err, e.remedy)
		case errors.Is(err, e.is):
			return &failure{err, e.remedy}
		}
	}
	if errors.Is(err, pair.ErrNoAnswer) {
		return cli.Unansweredf("%w: see that \"detour up\" runs there, and that its \"detour status\" has a home; then give a new token", err)
	}
	return err
}

// relayTime is how long a relay has to let us in before a token is made or used: who has
// typed this waits.
const relayTime = 30 * time.Second

// beginPair waits for a relay, and prints a token if one was asked for.
func (t *tunnel) beginPair(ctx context.Context, invite bool) error {
	p := t.agent.Pair()
	if p == nil || !invite && !p.Waits() {
		return nil
	}
	if p.Waits() {
		t.p.print(line{Event: "waiting"}, stamp("waiting for the other machine to answer"))
	}
	if err := t.awaitRelay(ctx, p.Relays()); err != nil || !invite {
		return err
	}
	m, err := makeToken(p)
	if err != nil {
		return err
	}
	t.p.token(m)
	return nil
}

// tryPair waits until two machines are paired that were to be, or until that fails.
func (t *tunnel) tryPair(ctx context.Context) error {
	p := t.agent.Pair()
	if p == nil {
		return nil
	}
	if err := t.awaitRelay(ctx, p.Relays()); err != nil {
		return err
	}
	look := time.NewTicker(findLook)
	defer look.Stop()
	for p.Waits() {
		select {
		case <-look.C:
		case err := <-t.failed:
			return err
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// awaitRelay waits until a relay has let us in. What no waiting helps against is told at
// once.
func (t *tunnel) awaitRelay(ctx context.Context, relays []pairing.Relay) error {
	waiting, cancel := context.WithTimeout(ctx, relayTime)
	defer cancel()
	look := time.NewTicker(findLook)
	defer look.Stop()
	for {
		s := t.agent.Host().State()
		at, why := problemOf(s, relays)
		switch {
		case s.Connected:
			return nil
		case why != nil && len(relays) == 1 && isLasting(why), why != nil && waiting.Err() != nil:
			return t.explainRelay(at, why)
		case waiting.Err() != nil && ctx.Err() == nil:
			return cli.Unansweredf("no relay has answered within %v", relayTime)
		}
		select {
		case <-look.C:
		case <-waiting.Done():
			if ctx.Err() != nil {
				return nil
			}
		}
	}
}

// problemOf is a relay that cannot be connected to, and why.
func problemOf(s client.HostState, relays []pairing.Relay) (at pairing.Relay, why error) {
	for _, r := range s.Regions {
		if i := pairing.RelayOf(r.ID); r.Err != nil && i >= 0 && i < len(relays) {
			return relays[i], r.Err
		}
	}
	return at, nil
}

func isLasting(err error) bool {
	return errors.Is(err, client.ErrPinMismatch) || errors.Is(err, client.ErrCertificate) || errors.Is(err, client.ErrAdmissionRefused)
}

func (t *tunnel) explainRelay(at pairing.Relay, err error) error {
	if errors.Is(err, client.ErrAdmissionRefused) {
		return &failure{
			fmt.Errorf("the relay %s admits only peers it knows, and not this machine: %w", at.Host, err),
			"have its operator let it in (on the relay: detour access allow " + t.agent.Member().Self().Key.String() + "), and the other machine by its key",
		}
	}
	if errors.Is(err, client.ErrCertificate) && at.Pin.IsZero() {
		return cli.Unansweredf("relay %s: %w: if its certificate is no authority's, give the pin that it prints at start (--relay %s=sha256-raw:...), or else its issuer with --ca", at.Host, err, at)
	}
	way := explain.Way{Host: at.Host, CA: t.caFile != "", Pin: !at.Pin.IsZero(), Words: relayWords}
	err = fmt.Errorf("relay %s: %w", at.Host, err)
	if do := explain.Explain(err, way).Remedy; do != "" {
		return cli.Unansweredf("%w: %s", err, do)
	}
	return cli.Unansweredf("%w", err)
}

// relayWords are how settings of a relay are spelt here.
var relayWords = explain.Words{CA: "--ca", CertName: "--relay HOST=PIN", Proxy: cli.Words.Proxy}
