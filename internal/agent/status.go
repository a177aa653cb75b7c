package agent

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/detour-relay/detour/derpmap"
	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/tailnet"
	"github.com/detour-relay/detour/wgbind"
)

// Status is what an agent is doing. Its JSON form is stable.
type Status struct {
	Name      string       `json:"name"`
	Key       string       `json:"key"`
	Tailnet   string       `json:"tailnet"`
	Addresses []netip.Addr `json:"addresses"`
	Interface string       `json:"interface"`
	MTU       int          `json:"mtu"`

	Coordinator string        `json:"coordinator,omitempty"` // that is talked to, or was last
	Phase       tailnet.Phase `json:"phase"`
	Home        int           `json:"home,omitempty"` // region
	HomeCode    string        `json:"home_code,omitempty"`
	Connected   bool          `json:"connected"`         // to a relay of it
	Problem     string        `json:"problem,omitempty"` // of the tunnel; or why there is no coordinator or relay

	Peers   []PeerStatus `json:"peers"`
	Dropped uint64       `json:"dropped"` // packets that came in and that nobody took
}

// PeerStatus is one peer.
type PeerStatus struct {
	Name      string       `json:"name"`
	Key       string       `json:"key"`
	Addresses []netip.Addr `json:"addresses"`
	Home      int          `json:"home,omitempty"`
	Path      string       `json:"path,omitempty"`          // "relay 901 one", "direct 198.51.100.4:41641", or both; empty: not known
	State     string       `json:"path_state,omitempty"`    // "relay", "searching", "both" or "direct"
	RoundTrip float64      `json:"round_trip_ms,omitempty"` // by the direct path, else of the last handshake that this side began; 0: not known
	Handshake time.Time    `json:"last_handshake,omitzero"`
	Received  uint64       `json:"received"` // bytes, as they were in the tunnel
	Sent      uint64       `json:"sent"`
}

// Status tells what the agent is doing.
func (a *Agent) Status() (Status, error) {
	config, err := a.device.IpcGet()
	if err != nil {
		return Status{}, fmt.Errorf("the device does not say what it has: %w", err)
	}
	found, err := readDevice(config)
	if err != nil {
		return Status{}, err
	}
	self, state, host, regions := a.member.Self(), a.member.State(), a.bind.Host().State(), a.member.Map()
	s := Status{
		Name: self.Name, Key: self.Key.String(), Tailnet: self.TailnetName, Addresses: list(self.Addresses),
		Coordinator: state.Coordinator, Phase: state.Phase, Problem: a.problemOf(state, host),
		Home: host.Home.Region, HomeCode: codeOf(regions, host.Home.Region), Connected: host.Connected,
		Peers: []PeerStatus{}, Dropped: dropped(a.bind.Stats()),
	}
	s.Interface, _ = a.network.Device().Name()
	s.MTU, _ = a.network.Device().MTU()
	for _, p := range a.member.Peers() {
		s.Peers = append(s.Peers, a.peerStatus(p, found[p.Key], regions))
	}
	return s, nil
}

func (a *Agent) peerStatus(p tailnet.Peer, has *peer, regions *derpmap.Map) PeerStatus {
	path := a.bind.Path(p.Key)
	s := PeerStatus{Name: p.Name, Key: p.Key.String(), Addresses: list(p.Addresses), Home: p.Home, State: path.State, Path: pathText(path, p.Home, regions)}
	if has != nil {
		s.Handshake, s.Received, s.Sent = has.handshake, has.received, has.sent
		s.RoundTrip = float64(cmp.Or(path.RoundTrip, a.trips.of(p.Key)).Microseconds()) / 1e3
	}
	return s
}

// pathText says which way packets go. While a direct path is not sure, they go both ways.
func pathText(path wgbind.Path, home int, regions *derpmap.Map) string {
	var ways []string
	if path.Addr.IsValid() {
		ways = append(ways, "direct "+path.Addr.String())
	}
	if path.Relay && home != 0 {
		ways = append(ways, strings.TrimSpace(fmt.Sprintf("relay %d %s", home, codeOf(regions, home))))
	}
	return strings.Join(ways, " and ")
}

func dropped(s wgbind.Stats) uint64 { return s.Full + s.Down + s.Large + s.Strangers }

func codeOf(m *derpmap.Map, region int) string {
	if m == nil || m.Regions[region] == nil {
		return ""
	}
	return m.Regions[region].RegionCode
}

// list is never null in JSON.
func list(all []netip.Addr) []netip.Addr { return append([]netip.Addr{}, all...) }

// Resolve finds the addresses of a member by its name, or by its key.
func (a *Agent) Resolve(name string) (addresses []netip.Addr, known bool) {
	if self := a.member.Self(); name == self.Name {
		return list(self.Addresses), true
	}
	p, known := a.member.PeerNamed(name)
	if k, err := key.ParsePublic(name); err == nil {
		p, known = a.member.Peer(k)
	}
	return list(p.Addresses), known
}
