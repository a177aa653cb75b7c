package pair

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/detour-relay/detour/internal/coordstate"
	"github.com/detour-relay/detour/internal/pairing"
	"github.com/detour-relay/detour/internal/smallfile"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// Open reads the state file, or makes one. It asks nobody. The errors are those of this
// package, pairing.ErrToken and ErrOwn, and those of the system about files.
func Open(cfg Config) (*Pair, error) {
	token, err := cfg.check()
	if err != nil {
		return nil, err
	}
	if token == nil && len(cfg.Relays) == 0 { // then nothing is made, neither directory nor lock
		if _, err := os.Stat(cfg.StateFile); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: %w", smallfile.Explain(cfg.StateFile, err), ErrNotPaired)
		}
	}
	release, err := smallfile.LockBeside(cfg.StateFile)
	if err != nil {
		return nil, err
	}
	p := &Pair{
		cfg: cfg, log: cfg.Logger, born: time.Now(), release: release, peers: make(map[key.Public]*known),
		letters: make(chan letter, mostLetters), wake: make(chan struct{}, 1),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	if err := p.open(token); err != nil {
		p.cancel()
		release()
		return nil, err
	}
	return p, nil
}

// check checks the settings, and fills in what is not said.
func (cfg *Config) check() (*pairing.Token, error) {
	if cfg.StateFile == "" {
		return nil, errors.New("pair: no state file: want a path")
	}
	if cfg.Name != "" && !coordstate.IsLabel(cfg.Name) {
		return nil, fmt.Errorf("name %q: %w: want letters a to z, digits and hyphens", cfg.Name, ErrName)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Token == "" {
		return nil, nil
	}
	t, err := pairing.ParseToken(cfg.Token)
	return &t, err
}

func (p *Pair) open(token *pairing.Token) error {
	s, err := readState(p.cfg.StateFile)
	known := err == nil && token == nil
	switch {
	case errors.Is(err, fs.ErrNotExist) && token == nil && len(p.cfg.Relays) == 0:
		return fmt.Errorf("%w: %w", smallfile.Explain(p.cfg.StateFile, err), ErrNotPaired)
	case errors.Is(err, fs.ErrNotExist):
		s = &saved{private: newKey(token)}
	case err != nil:
		return err
	}
	if len(p.cfg.Relays) > 0 {
		s.relays = p.cfg.Relays
	}
	if token != nil {
		if err := s.use(token); err != nil {
			return fmt.Errorf("%s: %w", p.cfg.StateFile, err)
		}
	}
	p.adopt(s)
	if token != nil {
		if err := p.greet(token); err != nil {
			return err
		}
	}
	err = p.saveLocked() // before anybody hears of the key; nobody else is here yet
	if known {
		return nil // also on a full disk; it is tried again
	}
	return err
}

// newKey is one whose address is not that of the inviter.
func newKey(token *pairing.Token) key.Private {
	for {
		k := key.NewPrivate()
		if token == nil || pairing.Addresses(k.Public())[0] != pairing.Addresses(token.Inviter)[0] {
			return k
		}
	}
}

// use takes the relays of a token, unless that would part others from us.
func (s *saved) use(t *pairing.Token) error {
	others := slices.ContainsFunc(s.Peers, func(p savedPeer) bool { return p.Key != t.Inviter })
	if others && !slices.Equal(s.relays, t.Relays) {
		return ErrOtherRelays
	}
	s.relays = t.Relays
	return nil
}

// adopt begins with what the state file says.
func (p *Pair) adopt(s *saved) {
	p.key, p.relays, p.regions = s.private, s.relays, pairing.Map(s.relays)
	host, _ := os.Hostname()
	host, _, _ = strings.Cut(host, ".")
	p.name = cmp.Or(p.cfg.Name, s.Name, coordstate.Label(host), "machine")
	p.boot = max(s.Boot+1, uint64(time.Now().Unix())) // also if the file is an old copy
	p.number = p.boot<<20 + 1
	p.saving.home = s.Home
	var invitations []pairing.Invitation
	for _, i := range s.Invites {
		invitations = append(invitations, pairing.Invitation{Secret: i.secret, Expires: i.Expires, Guest: i.Guest})
	}
	p.door = pairing.NewDoor(p.key, invitations)
	for _, peer := range s.Peers {
		p.putLocked(pairing.Peer{About: pairing.About{Name: peer.Name, Home: peer.Home, Disco: peer.Disco}, Key: peer.Key, Preshared: peer.preshared}, peer.Number)
	}
}

// greet begins to say hello, unless the inviter knows us from this token.
func (p *Pair) greet(t *pairing.Token) error {
	guest, err := pairing.NewGuest(*t, p.key)
	if err != nil {
		return err
	}
	if is := p.peers[t.Inviter]; is != nil && is.preshared == guest.Preshared() {
		return nil
	}
	p.hello = &hello{guest: guest, to: t.Inviter, call: p.newCall(t.Home, mostHelloRest), until: time.Now().Add(pairing.Lifetime)}
	return nil
}

// putLocked takes a peer, in place of the one with its key.
func (p *Pair) putLocked(peer pairing.Peer, last uint64) *known {
	is := &known{
		Peer: tailnet.Peer{
			Key: peer.Key, Name: p.nameForLocked(peer.Key, peer.Name), Addresses: addresses(peer.Key),
			Home: peer.Home, Disco: peer.Disco,
		},
		preshared: peer.Preshared, last: last, link: pairing.NewLink(p.key, peer, last), tell: p.newCall(peer.Home, mostTellRest),
	}
	p.peers[peer.Key] = is
	return is
}
