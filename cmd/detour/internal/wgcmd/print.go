package wgcmd

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/internal/explain"
	"github.com/detour-relay/detour/internal/wgproxy"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

const (
	mostReason = 1000 // characters of a reason that are printed
	mostHints  = 20   // members that are no peers and are printed
)

// peer is what is known of one, besides what WireGuard has.
type peer struct {
	Key       string `json:"key"`
	PublicKey string `json:"public_key"` // the same, as WireGuard prints it
	Name      string `json:"name,omitempty"`
	Home      int    `json:"home,omitempty"` // 0: nobody says
	Member    bool   `json:"member,omitempty"`
}

// line is one for programs. Its JSON form is stable.
type line struct {
	Time      time.Time      `json:"time"`
	Event     string         `json:"event"` // self, home, relay-trouble, no-mark, no-peer, end, and those of wgproxy and tailnet
	Interface string         `json:"interface"`
	Key       string         `json:"key,omitempty"` // of the interface
	Port      uint16         `json:"port,omitempty"`
	Mark      *uint32        `json:"mark,omitempty"`
	Self      *self          `json:"self,omitempty"`
	Peer      *peer          `json:"peer,omitempty"`
	Endpoint  netip.AddrPort `json:"endpoint,omitzero"` // that the peer has had
	Socket    netip.AddrPort `json:"socket,omitzero"`   // that it has now
	Home      int            `json:"home,omitempty"`
	Count     int            `json:"count,omitempty"`
	Packets   *counts        `json:"packets,omitempty"`
	Reason    string         `json:"reason,omitempty"`
}

// counts are of packets.
type counts struct {
	wgproxy.Stats
	Unsent uint64 `json:"unsent"` // dropped: no relay had room for them
}

// self is which member the interface is.
type self struct {
	Name      string       `json:"name"`
	Tailnet   string       `json:"tailnet"`
	Addresses []netip.Addr `json:"addresses"`
	StateFile string       `json:"state_file"`
}

// printer prints what happens, a line each, for people or for programs.
type printer struct {
	w      io.Writer
	name   string
	asJSON bool

	mu      sync.Mutex
	about   func(key.Public) peer // guarded by mu; nil: nothing was printed yet
	peers   map[key.Public]string // guarded by mu: how each was printed last; empty: not yet
	hints   map[key.Public]bool   // guarded by mu: members that are no peers, told
	home    int                   // guarded by mu: the last one that was printed
	trouble map[int]string        // guarded by mu: of regions, told last
}

func newPrinter(w io.Writer, name string, asJSON bool) *printer {
	return &printer{w: w, name: name, asJSON: asJSON, peers: make(map[key.Public]string), hints: make(map[key.Public]bool), trouble: make(map[int]string)}
}

// begin prints what the device is, and as which member; nil: as none.
func (p *printer) begin(s wgproxy.State, about func(key.Public) peer, is *self) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.about = about
	for k := range s.Peers {
		p.peers[k] = ""
	}
	k := s.Key.Public()
	text := fmt.Sprintf("wireguard  %s, port %d\nkey        %s\n", p.name, s.Port, wireGuard(k))
	if s.Mark != 0 {
		text = fmt.Sprintf("wireguard  %s, port %d, mark %#x\nkey        %s\n", p.name, s.Port, s.Mark, wireGuard(k))
	}
	if is != nil {
		text += fmt.Sprintf("member     %s of %s (%s)\nstate      %s\n", is.Name, is.Tailnet, joined(is.Addresses, ""), is.StateFile)
	}
	p.printLocked(line{Event: "self", Key: k.String(), Port: s.Port, Mark: &s.Mark, Self: is}, text)
	if s.Everything && s.Mark == 0 {
		p.sayLocked(line{Event: "no-mark"}, fmt.Sprintf("all packets may go to one of the peers, and %s has no mark: if a default route leads into it, connections to relays would, too: wg set %s fwmark 51820, and rules as wg-quick makes them",
			p.name, p.name))
	}
}

// proxy prints what wgproxy tells.
func (p *printer) proxy(e wgproxy.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l := line{Event: string(e.Type), Endpoint: e.Endpoint, Socket: e.Own, Port: e.Port, Count: e.Count}
	if e.Err != nil {
		l.Reason = cli.Clean(explainText(p.name, e.Err), mostReason)
	}
	var text string
	switch e.Type {
	case wgproxy.PeerAdded:
		text = p.describeLocked(e.Peer)
		p.peers[e.Peer] = text
		if e.Endpoint.IsValid() {
			text += fmt.Sprintf(", was at %s", e.Endpoint)
		}
	case wgproxy.PeerGone:
		delete(p.peers, e.Peer)
		text = "gone " + wireGuard(e.Peer)
	case wgproxy.EndpointMoved:
		text = fmt.Sprintf("peer %s was given the endpoint %s: it goes through relays again, and has that in the end", wireGuard(e.Peer), e.Endpoint)
	case wgproxy.Restored:
		text = fmt.Sprintf("%s, which a run before had left, as before that", cli.Counted(e.Count, "endpoint"))
	case wgproxy.MarkChanged:
		l.Mark = &e.Mark
		text = fmt.Sprintf("mark %#x", e.Mark)
	case wgproxy.PortChanged:
		text = fmt.Sprintf("port %d", e.Port)
	case wgproxy.KeyChanged:
		l.Key = e.Key.String()
		text = "key " + wireGuard(e.Key)
	case wgproxy.SmallBuffers:
		text = fmt.Sprintf("the system allows buffers of %s only, so that bursts may be lost: allow more (sysctl net.core.rmem_max=7340032), or be root", cli.Bytes(int64(e.Count)))
	case wgproxy.Trouble:
		text = l.Reason
	case wgproxy.TroubleOver:
		text = "all is well again"
	}
	if !e.Peer.IsZero() {
		l.Peer = p.peerLocked(e.Peer)
	}
	p.sayLocked(l, text)
}

func (p *printer) peerLocked(k key.Public) *peer {
	var is peer
	if p.about != nil {
		is = p.about(k)
	}
	is.Key, is.PublicKey = k.String(), wireGuard(k)
	return &is
}

func (p *printer) describeLocked(k key.Public) string {
	is := p.peerLocked(k)
	text := "peer " + is.PublicKey
	if is.Name != "" {
		text += " (" + is.Name + ")"
	}
	if is.Home == 0 {
		return text + ": nobody says where it is: it is looked for in our own region"
	}
	return fmt.Sprintf("%s at home in %d", text, is.Home)
}

// member prints what a coordinator tells.
func (p *printer) member(m *tailnet.Member, e tailnet.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.about == nil {
		return
	}
	l, text := line{Event: string(e.Type)}, ""
	if e.Err != nil {
		l.Reason = cli.Clean(e.Err.Error(), mostReason)
	}
	switch e.Type {
	case tailnet.PeerAdded, tailnet.PeerChanged, tailnet.PeerGone:
		p.memberPeerLocked(l, e)
		return
	case tailnet.IsConnected:
		text = fmt.Sprintf("connected to %s", m.State().Coordinator)
		defer p.hintAllLocked(m.Peers())
	case tailnet.IsAway:
		text = "away, and packets flow on: " + l.Reason
	case tailnet.HasRival:
		text = "another machine has the same key: packets go to one of them or the other; give each a key of its own"
	case tailnet.NotSaved:
		text = "after a restart this member knows less: " + l.Reason
	case tailnet.WasRemoved:
		text = "this member was removed"
	default:
		return // not about WireGuard
	}
	p.sayLocked(l, text)
}

// memberPeerLocked prints what has changed of a peer, and which members are none.
func (p *printer) memberPeerLocked(l line, e tailnet.Event) {
	k := e.Peer.Key
	before, isPeer := p.peers[k]
	if !isPeer {
		if e.Type != tailnet.PeerGone {
			p.hintLocked(e.Peer)
		}
		return
	}
	if text := p.describeLocked(k); before != "" && text != before {
		p.peers[k] = text
		l.Peer = p.peerLocked(k)
		p.sayLocked(l, text)
	}
}

func (p *printer) hintAllLocked(members []tailnet.Peer) {
	for _, m := range members {
		if _, isPeer := p.peers[m.Key]; !isPeer {
			p.hintLocked(m)
		}
	}
}

// hintLocked says of a member that is no peer how to make it one.
func (p *printer) hintLocked(m tailnet.Peer) {
	if p.hints[m.Key] || len(p.hints) >= mostHints {
		return
	}
	p.hints[m.Key] = true
	text := fmt.Sprintf("member %s is no peer of %s: wg set %s peer %s", shown(m), p.name, p.name, wireGuard(m.Key))
	if len(m.Addresses) > 0 {
		text += " allowed-ips " + joined(m.Addresses, "/128")
	}
	if len(p.hints) == mostHints {
		text += " (further ones are not printed)"
	}
	l := line{Event: "no-peer", Peer: p.peerLocked(m.Key)}
	p.sayLocked(l, text)
}

func shown(m tailnet.Peer) string {
	if m.Name == "" {
		return m.Key.Short()
	}
	return m.Name
}

// joined are addresses in a row, each as a prefix if six has one for those of IPv6.
func joined(all []netip.Addr, six string) string {
	var texts []string
	for _, a := range all {
		switch {
		case six == "":
			texts = append(texts, a.String())
		case a.Is4():
			texts = append(texts, a.String()+"/32")
		default:
			texts = append(texts, a.String()+six)
		}
	}
	if six == "" {
		return strings.Join(texts, ", ")
	}
	return strings.Join(texts, ",")
}

// host prints where we are at home, and which relays do not have us.
func (p *printer) host(s client.HostState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.Connected && s.Home.Region != p.home {
		p.home = s.Home.Region
		p.sayLocked(line{Event: "home", Home: p.home, Reason: s.Home.Reason}, fmt.Sprintf("home %d (%s)", p.home, s.Home.Reason))
	}
	for _, r := range s.Regions {
		text := ""
		if r.Err != nil && !r.Connected {
			text = cli.Clean(relayText(r.Err), mostReason)
		}
		if text != "" && text != p.trouble[r.ID] {
			p.sayLocked(line{Event: "relay-trouble", Home: r.ID, Reason: text}, fmt.Sprintf("relay of region %d: %s", r.ID, text))
		}
		p.trouble[r.ID] = text
	}
}

// relayText says why a relay does not have us, and what to do.
func relayText(err error) string {
	text := err.Error()
	if do := explain.Explain(err, explain.Way{Node: true, Words: cli.Words}).Remedy; do != "" {
		text += ": " + do
	}
	return text
}

// end prints what has passed.
func (p *printer) end(s wgproxy.Stats, unsent uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sayLocked(line{Event: "end", Packets: &counts{s, unsent}}, fmt.Sprintf(
		"end: packets %d to peers, %d from them; dropped: %d that no relay had room for, %d from keys that are no peers, %d that WireGuard did not take",
		s.Out, s.In, unsent, s.Strangers, s.Undone))
}

// sayLocked prints a line with its time.
func (p *printer) sayLocked(l line, text string) {
	p.printLocked(l, time.Now().Format(time.TimeOnly)+" "+text+"\n")
}

func (p *printer) printLocked(l line, text string) {
	if p.asJSON {
		l.Time, l.Interface = time.Now().UTC().Truncate(time.Millisecond), p.name
		cli.WriteJSON(p.w, l)
		return
	}
	io.WriteString(p.w, text)
}
