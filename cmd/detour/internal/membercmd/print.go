package membercmd

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/detour-relay/detour/client"
	"github.com/detour-relay/detour/cmd/detour/internal/cli"
	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
)

// printer prints what happens to a member, one line each, for people or as JSON. Nothing
// is printed before who it is.
type printer struct {
	w      io.Writer
	asJSON bool
	begun  chan struct{}

	mu    sync.Mutex
	home  int                   // the last one that was printed; guarded by mu
	peers map[key.Public]string // how each was printed last; guarded by mu
}

func newPrinter(w io.Writer, asJSON bool) *printer {
	return &printer{w: w, asJSON: asJSON, begun: make(chan struct{}), peers: make(map[key.Public]string)}
}

// line is one for programs. Its JSON form is stable.
type line struct {
	Time   time.Time `json:"time"`
	Event  string    `json:"event"` // self, peer (known from the start), home, no-relay, token, waiting, and those of package tailnet
	Self   *self     `json:"self,omitempty"`
	Peer   *peer     `json:"peer,omitempty"`
	Home   int       `json:"home,omitempty"` // region
	At     string    `json:"coordinator,omitempty"`
	Peers  *int      `json:"peers,omitempty"`
	Reason string    `json:"reason,omitempty"`

	Token   string    `json:"token,omitempty"` // for another machine to be paired
	Expires time.Time `json:"expires,omitzero"`
}

type self struct {
	Name      string       `json:"name"`
	Key       string       `json:"key"`
	Tailnet   string       `json:"tailnet"`
	ID        string       `json:"tailnet_id"`
	Addresses []netip.Addr `json:"addresses"`
	StateFile string       `json:"state_file"`
}

type peer struct {
	Name      string       `json:"name"`
	Key       string       `json:"key"`
	Addresses []netip.Addr `json:"addresses"`
	Home      int          `json:"home,omitempty"`
}

func peerOf(p tailnet.Peer) *peer { return &peer{p.Name, p.Key.String(), list(p.Addresses), p.Home} }

// list is never null in JSON.
func list(all []netip.Addr) []netip.Addr { return append([]netip.Addr{}, all...) }

// mostReason is how long a reason is printed, in characters.
const mostReason = 1000

// begin prints who the member is, some more lines, and whom it knows already.
func (p *printer) begin(s tailnet.Self, known []tailnet.Peer, stateFile, more string) {
	p.print(line{Event: "self", Self: &self{s.Name, s.Key.String(), s.TailnetName, s.Tailnet, list(s.Addresses), stateFile}}, fmt.Sprintf(
		"member   %s\naddress  %s\nkey      %s\nstate    %s\n%s",
		memberText(s.Name, s.TailnetName), addresses(s.Addresses), s.Key, stateFile, more))
	for _, k := range known {
		if p.isNews(k) {
			p.print(line{Event: "peer", Peer: peerOf(k)}, stamp("peer "+describe(k)))
		}
	}
	close(p.begun)
}

// memberText is who one is. Without a coordinator there is no tailnet.
func memberText(name, tailnet string) string {
	if tailnet == "" {
		return name
	}
	return name + " of " + tailnet
}

// isNews reports whether a peer would be printed otherwise than the last time. The
// first events are about peers that begin has printed.
func (p *printer) isNews(k tailnet.Peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := describe(k); p.peers[k.Key] != text {
		p.peers[k.Key] = text
		return true
	}
	return false
}

// wasPrinted reports whether a peer that is gone was ever printed, and forgets it.
func (p *printer) wasPrinted(k tailnet.Peer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, was := p.peers[k.Key]
	delete(p.peers, k.Key)
	return was
}

func (p *printer) isPrinted(e tailnet.Event) bool {
	switch e.Type {
	case tailnet.PeerAdded, tailnet.PeerChanged:
		return p.isNews(e.Peer)
	case tailnet.PeerGone:
		return p.wasPrinted(e.Peer)
	}
	return true
}

// member is what a printer asks of one.
type member interface {
	Self() tailnet.Self
	Peers() []tailnet.Peer
	Map() *derpmap.Map
	State() tailnet.State
}

// event prints what OnEvent is told.
func (p *printer) event(m member, e tailnet.Event) {
	if !p.isPrinted(e) {
		return
	}
	l := line{Event: string(e.Type)}
	if e.Err != nil {
		l.Reason = cli.Clean(e.Err.Error(), mostReason) // parts of it may be anybody's
	}
	text := ""
	switch e.Type {
	case tailnet.PeerAdded:
		text = "peer " + describe(e.Peer)
	case tailnet.PeerChanged:
		text = "peer " + describe(e.Peer)
		if e.Before.Name != e.Peer.Name {
			text += ", was " + shown(e.Before)
		}
	case tailnet.PeerGone:
		text = "gone " + shown(e.Peer)
	case tailnet.SelfChanged:
		s := m.Self()
		l.Self = &self{Name: s.Name, Key: s.Key.String(), Tailnet: s.TailnetName, ID: s.Tailnet, Addresses: list(s.Addresses)}
		text = fmt.Sprintf("this member is %s (%s) now", s.Name, addresses(s.Addresses))
	case tailnet.MapChanged:
		text = "map " + cli.Counted(len(m.Map().IDs()), "region")
	case tailnet.IsConnected:
		n := len(m.Peers())
		l.At, l.Peers = m.State().Coordinator, &n
		text = fmt.Sprintf("connected to %s, %s", l.At, cli.Counted(n, "peer"))
	case tailnet.IsAway:
		text = "away, and packets flow on: " + l.Reason
	case tailnet.HasRival:
		text = "another machine is this member, too, with a copy of the state file: packets go to one of them or the other; let that one join by itself"
	case tailnet.NotSaved:
		text = "after a restart this member knows less: " + l.Reason
	case tailnet.WasRemoved:
		text = "this member was removed"
	default:
		return // of a newer version
	}
	if !e.Peer.Key.IsZero() {
		l.Peer = peerOf(e.Peer)
	}
	p.print(l, stamp(text))
}

// state prints where the member is at home.
func (p *printer) state(s client.HostState) {
	<-p.begun
	p.mu.Lock()
	news := s.Connected && s.Home.Region != p.home
	if news {
		p.home = s.Home.Region
	}
	p.mu.Unlock()
	if news {
		p.print(line{Event: "home", Home: s.Home.Region, Reason: s.Home.Reason}, stamp(fmt.Sprintf("home %d (%s)", s.Home.Region, s.Home.Reason)))
	}
}

func (p *printer) print(l line, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asJSON {
		l.Time = time.Now().UTC().Truncate(time.Millisecond)
		cli.WriteJSON(p.w, l)
		return
	}
	io.WriteString(p.w, text)
}

func stamp(text string) string { return time.Now().Format(time.TimeOnly) + " " + text + "\n" }

func describe(p tailnet.Peer) string {
	text := shown(p)
	if len(p.Addresses) > 0 {
		text += " (" + addresses(p.Addresses) + ")"
	}
	if p.Home != 0 {
		text += fmt.Sprintf(" at home in %d", p.Home)
	}
	return text
}

func shown(p tailnet.Peer) string {
	if p.Name == "" {
		return p.Key.Short()
	}
	return p.Name
}

func addresses(all []netip.Addr) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}
