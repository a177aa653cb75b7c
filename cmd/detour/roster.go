package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derp"
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
const rosterPin = "=sha256-raw:"

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
func (f *rosterFlags) open(ctx context.Context, urls []string) (rosters []*roster, err error) {
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
		r, err := openRoster(ctx, target, keys)
		if err != nil {
			return rosters, err
		}
		rosters = append(rosters, r)
	}
	return rosters, nil
}

func closeRosters(rosters []*roster) {
	for _, r := range rosters {
		r.conn.Close()
	}
}

// A roster is what a relay tells of the peers that are connected to it, from the
// first flood on. One goroutine at a time uses it.
type roster struct {
	url   string
	conn  *client.Conn
	self  key.Public // we are a peer, too, but not one to list
	peers map[key.Public]client.Message
}

// rosterPatience bounds the wait for a relay to admit us and list its peers.
const rosterPatience = 20 * time.Second

// errMeshKey: the relay closed the connection when we asked for its peers.
var errMeshKey = errors.New("the relay does not tell us of its peers: it has no mesh key, or another one: compare its --mesh-psk-file with ours")

// openRoster tries the keys in turn, as a relay in the middle of a rotation may
// know only one of them.
func openRoster(ctx context.Context, target client.Config, keys []key.Mesh) (r *roster, err error) {
	for _, target.MeshKey = range keys {
		if r, err = dialRoster(ctx, target); !errors.Is(err, errMeshKey) {
			break
		}
	}
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, errMeshKey):
		return nil, cli.Unansweredf("%s: %w", target.URL, err)
	}
	return nil, cli.WithHint(err)
}

func dialRoster(ctx context.Context, target client.Config) (*roster, error) {
	ctx, cancel := context.WithTimeout(ctx, rosterPatience)
	defer cancel()
	target.Key = key.NewPrivate()
	conn, err := client.Dial(ctx, target)
	if err != nil {
		return nil, err
	}
	r := &roster{url: target.URL, conn: conn, self: target.Key.Public(), peers: make(map[key.Public]client.Message)}
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := r.fill(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return r, nil
}

// fill asks for the peers and reads until all have come. We are among them
// ourselves, somewhere; the answer to a Ping that follows is behind the last one.
// (An answer to an earlier Ping need not be: derper begins to list when it
// pleases.)
func (r *roster) fill(ctx context.Context) error {
	if _, err := r.conn.Recv(nil); err != nil {
		return err // not admitted
	}
	if err := r.conn.WatchConns(); err != nil {
		return err
	}
	pinged := make(chan error, 1)
	for listed := false; ; {
		msg, err := r.recv()
		switch {
		case err == nil && msg.Kind == client.MessagePong:
			return <-pinged
		case err == nil && msg.Kind == client.MessagePeerPresent && msg.Peer == r.self && !listed:
			listed = true
			go func() { pinged <- r.ping(ctx) }()
		case err == nil:
		case ctx.Err() != nil:
			err = fmt.Errorf("relay %s: the list of peers has not come: %w", r.conn.RemoteAddr(), context.Cause(ctx))
		case !listed:
			return errMeshKey
		}
		if err != nil {
			return err
		}
	}
}

// ping ends the connection if no answer comes.
func (r *roster) ping(ctx context.Context) error {
	_, err := r.conn.Ping(ctx)
	if err != nil {
		r.conn.Close()
	}
	return err
}

// next returns the next message that is not about ourselves.
func (r *roster) next() (client.Message, error) {
	for {
		if msg, err := r.recv(); err != nil || msg.Peer != r.self {
			return msg, err
		}
	}
}

// recv returns the next message, and notes who has come and gone.
func (r *roster) recv() (client.Message, error) {
	msg, err := r.conn.Recv(nil)
	switch {
	case errors.Is(err, client.ErrBufferSize):
		return msg, fmt.Errorf("%s: a packet came, where only news of peers may", r.url)
	case err != nil || msg.Peer == r.self:
	case msg.Kind == client.MessagePeerPresent:
		r.peers[msg.Peer] = msg
	case msg.Kind == client.MessagePeerGone:
		delete(r.peers, msg.Peer)
	}
	return msg, err
}

// sorted returns the peers by key.
func (r *roster) sorted() []client.Message {
	return slices.SortedFunc(maps.Values(r.peers), func(a, b client.Message) int { return a.Peer.Compare(b.Peer) })
}

// A peerLine is a peer as it is printed. The JSON names are stable.
type peerLine struct {
	Key   key.Public `json:"key"`
	Addr  string     `json:"addr,omitempty"`
	Flags []string   `json:"flags"`
	App   string     `json:"app,omitempty"`
}

func newPeerLine(m client.Message) peerLine {
	line := peerLine{Key: m.Peer, Flags: []string{}, App: m.AppName}
	if m.Addr.IsValid() && m.Addr.Port() != 0 {
		line.Addr = m.Addr.String()
	}
	for _, f := range []struct {
		flag derp.PresenceFlags
		name string
	}{{derp.PresenceMesh, "mesh"}, {derp.PresenceProber, "prober"}, {derp.PresenceNotIdeal, "not-ideal"}} {
		if m.Flags&f.flag != 0 {
			line.Flags = append(line.Flags, f.name)
		}
	}
	return line
}

// columns are the fields for a table, with something in each.
func (l peerLine) columns() string {
	filled := func(text string) string {
		if text == "" {
			return "-"
		}
		return text
	}
	return strings.Join([]string{l.Key.String(), filled(l.Addr), filled(strings.Join(l.Flags, ",")), filled(l.App)}, "\t")
}
