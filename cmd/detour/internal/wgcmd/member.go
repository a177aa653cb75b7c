package wgcmd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"sync/atomic"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/membercmd"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// errOtherKey: a member is who it is by its key.
var errOtherKey = errors.New("the interface has another private key now, so that it is another member")

// A told way knows the homes, and the relays, from a coordinator.
type told struct{ member *tailnet.Member }

func (s *session) asMember(invite []string) error {
	cfg, err := s.flags.Config(s.cmd, invite, filepath.Join(s.dir, "wg-"+place(s.name)+".json"))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(s.cmd.Context())
	defer cancel(nil)
	var member atomic.Pointer[tailnet.Member]
	cfg.Key, cfg.Logger, cfg.DialContext = s.proxy.First().Key, s.log, s.marker.Dialer().DialContext
	cfg.OnEvent = func(e tailnet.Event) {
		if m := member.Load(); m != nil {
			s.p.member(m, e)
		}
		if e.Type == tailnet.WasRemoved {
			cancel(tailnet.ErrRemoved)
		}
	}
	m, err := tailnet.Open(ctx, cfg)
	if err != nil {
		if s.cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
			return nil
		}
		return membercmd.ExplainOpen("detour wg "+s.name, err)
	}
	member.Store(m)
	is := m.Self()
	err = s.run(ctx, told{m}, &self{is.Name, is.TailnetName, append([]netip.Addr{}, is.Addresses...), cfg.StateFile})
	if unsaved := m.Close(); unsaved != nil && err == nil {
		err = fmt.Errorf("after a restart this member knows less: %w", unsaved)
	}
	if err == nil && errors.Is(context.Cause(ctx), tailnet.ErrRemoved) {
		err = membercmd.ExplainRemoved("detour wg "+s.name, cfg.StateFile)
	}
	return err
}

func (w told) host(k key.Private, cfg client.HostConfig) (*client.Host, error) {
	if !k.Equal(w.member.PrivateKey()) {
		return nil, errOtherKey
	}
	return w.member.Host(cfg)
}

func (w told) networkChanged() { w.member.NetworkChanged() }

func (w told) about(k key.Public) peer {
	p, known := w.member.Peer(k)
	return peer{Name: p.Name, Home: p.Home, Member: known}
}
