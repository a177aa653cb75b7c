package clients

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/detour-relay/detour/key"
	"github.com/detour-relay/detour/relay"
)

// A Shown is a connection as derper 1.104 has it at /debug/clients/. Names and types are
// derper's.
type Shown struct {
	ConnNum     int64          `json:"connNum"`
	Key         key.Public     `json:"key"`
	Remote      netip.AddrPort `json:"remote"`
	ConnectedAt time.Time      `json:"connectedAt"`
	Connected   time.Duration  `json:"connected"` // whole seconds, in nanoseconds
	Active      bool           `json:"active"`
	Dup         bool           `json:"dup"`
	Disabled    bool           `json:"disabled"` // never here: no duplicate is silenced
	Home        bool           `json:"home"`
	MeshPeer    bool           `json:"meshPeer"`
	NotIdeal    bool           `json:"notIdeal"`
	Prober      bool           `json:"prober"`
	Version     int            `json:"version"`
	AppName     string         `json:"appName"`
	RxPkts      uint64         `json:"rxPkts"`
	RxBytes     uint64         `json:"rxBytes"`
	TxPkts      uint64         `json:"txPkts"`
	TxBytes     uint64         `json:"txBytes"`
	Senders     uint64         `json:"senders"`
}

// A ShownPage is derper's answer with format=json.
type ShownPage struct {
	Query     string  `json:"query"`
	Conns     int     `json:"conns"`
	Keys      int     `json:"keys"`
	Remaining int     `json:"remaining"`
	Next      string  `json:"next,omitempty"` // what to ask for the next page: ?...
	Clients   []Shown `json:"clients"`
}

func shown(p *relay.PeerState, now time.Time) Shown {
	return Shown{
		ConnNum: int64(p.ID), Key: p.Peer, Remote: p.Addr, ConnectedAt: p.Since, Connected: now.Sub(p.Since).Round(time.Second),
		Active: p.Active, Dup: p.Duplicate, Home: p.Home, MeshPeer: p.Sibling, NotIdeal: p.IdealNode != "", Prober: p.Prober,
		Version: p.Version, AppName: p.AppName,
		RxPkts: p.ReceivedPackets, RxBytes: p.Received, TxPkts: p.SentPackets, TxBytes: p.Sent, Senders: uint64(max(p.Senders, 0)),
	}
}

// notIdeal stands for a node that derper does not name.
const notIdeal = "?"

// State is what a connection that derper shows is here.
func (s *Shown) State() relay.PeerState {
	p := relay.PeerState{
		ID: uint64(max(s.ConnNum, 0)), Peer: s.Key, Addr: s.Remote, Since: s.ConnectedAt,
		Active: s.Active, Duplicate: s.Dup, Home: s.Home, Sibling: s.MeshPeer, Prober: s.Prober,
		Version: s.Version, AppName: s.AppName,
		ReceivedPackets: s.RxPkts, Received: s.RxBytes, SentPackets: s.TxPkts, Sent: s.TxBytes, Senders: int(min(s.Senders, 1<<30)),
	}
	if s.NotIdeal {
		p.IdealNode = notIdeal
	}
	return p
}

// asked is a query as derper is asked it: one of all, ip, cidr and key, and programs.
type asked struct {
	Query
	one    string // of these
	value  string
	apps   []string
	inJSON bool
}

// parseDerper reads what derper does. Without a filter there is nothing to list: any is
// false.
func parseDerper(v url.Values, now time.Time) (a *asked, any bool, err error) {
	a = new(asked)
	if a.inJSON, err = wantsJSON(v); err != nil {
		return a, false, err
	}
	if err := a.which(v); err != nil {
		return a, false, err
	}
	if a.one == "" {
		if !v.Has("app") {
			return a, false, nil
		}
		a.one, a.value = "all", "1"
	}
	a.apps = v["app"]
	a.Apps = a.apps
	return a, true, a.paging(theirs, v, now)
}

func wantsJSON(v url.Values) (bool, error) {
	switch format := v.Get("format"); format {
	case "", "html":
		return false, nil
	case "json":
		return true, nil
	default:
		return false, fmt.Errorf("format %s: choose html or json", quoted(format))
	}
}

var errSeveral = errors.New("all, ip, cidr and key: only one of them can be asked at a time")

// which reads the one filter that is not about programs.
func (a *asked) which(v url.Values) (err error) {
	if v.Has("all") {
		a.one, a.value = "all", "1"
	}
	for _, name := range []string{"ip", "cidr", "key"} {
		text := v.Get(name)
		if text == "" {
			continue
		}
		if a.one != "" {
			return errSeveral
		}
		if a.one = name; name == "key" {
			err = a.ofKey(text)
		} else {
			err = a.from(text)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", name, quoted(text), err)
		}
	}
	return nil
}

func (a *asked) ofKey(text string) error {
	k, err := key.ParsePublic(text)
	a.Keys, a.value = []KeyPrefix{WholeKey(k)}, k.String()
	return err
}

func (a *asked) from(text string) error {
	if a.one == "ip" {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return errors.New("want an address such as 192.0.2.1")
		}
		addr = addr.Unmap()
		a.value, a.Networks = addr.String(), []netip.Prefix{netip.PrefixFrom(addr.WithZone(""), addr.BitLen())}
		return nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return errors.New("want a network such as 192.0.2.0/24")
	}
	network = network.Masked()
	a.value, a.Networks = network.String(), []netip.Prefix{network}
	return nil
}

// String is derper's text of a filter, which people see.
func (a *asked) String() (text string) {
	switch a.one {
	case "all":
		text = "all clients"
	case "key":
		text = "connections for " + a.value
	default:
		text = "clients from " + a.value
	}
	if len(a.apps) == 0 {
		return text
	}
	names := slices.Clone(a.apps)
	for i, name := range names {
		if name == "" {
			names[i] = "(none)"
		}
	}
	return text + " with app " + strings.Join(names, " or ")
}

// link asks for the same in another order, or for another page.
func (a *asked) link(sort, after, conn string) string {
	v := url.Values{a.one: {a.value}, "sort": {sort}}
	if len(a.apps) > 0 {
		v["app"] = a.apps
	}
	for name, text := range map[string]string{"after": after, "afterconn": conn} {
		if text != "" {
			v.Set(name, text)
		}
	}
	if a.Limit != UsualLimit {
		v.Set("limit", strconv.Itoa(a.Limit))
	}
	if a.inJSON {
		v.Set("format", "json")
	}
	return "?" + v.Encode()
}

// next asks for the page behind this one; empty: it is the last.
func (a *asked) next(p *Page) string {
	if p.Remaining == 0 || len(p.Peers) == 0 {
		return ""
	}
	after, conn := a.Next(&p.Peers[len(p.Peers)-1])
	return a.link(a.Sort(), after, conn)
}
